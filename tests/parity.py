"""Agreement with real kernels, as tables: every parity script in turn.  `make parity` runs this.

    parity_verifier.py   verdicts, messages, counts and states against the recordings of three kernels
    parity_soundness.py  generated programs: runs lie inside what the walk claims; verdicts as the running kernel
    parity_fixpoint.py   the static analysis against the recordings and the data sets
    parity_jit.py        native images against the recordings of eight machines
    parity_execution.py  every engine on generated programs: return value, packet, maps
    parity_live.py       data sets and generated programs against the running kernel, where bpf(2) is permitted
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    worst = 0
    for script in sorted(HERE.glob("parity_*.py")):
        print(f"\n== {script.stem} " + "=" * (100 - len(script.stem)), flush=True)
        worst = max(worst, subprocess.call([sys.executable, str(script)], cwd=HERE.parent))
    return worst


if __name__ == "__main__":
    sys.exit(main())
