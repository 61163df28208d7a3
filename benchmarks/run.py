"""Every benchmark in turn; `make bench` runs this.  Each prints ratios within one run, never times to compare with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> int:
    worst = 0
    for script in sorted(HERE.rglob("*.py")):
        if script.name in ("run.py", "__init__.py") or script.name.startswith("_"):
            continue
        print(f"\n== {script.relative_to(HERE)}", flush=True)
        worst = max(worst, subprocess.call([sys.executable, str(script)], cwd=HERE.parent))
    return worst


if __name__ == "__main__":
    sys.exit(main())
