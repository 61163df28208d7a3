"""Generated programs: is the path walk sound, and does the running kernel give the same verdict?

    python tests/parity_soundness.py [COUNT]        COUNT programs from the fixed seed 1, as many from a fresh one

What is compared is told in verifier_fuzz.py; this is the row of it that `make parity` prints.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.verifier_fuzz import soundness


def main() -> int:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2500
    total = soundness(count, (1, int(time.time()) * 1000))
    return 1 if total["wrong"] or total["crash"] or total["other verdict"] else 0


if __name__ == "__main__":
    sys.exit(main())
