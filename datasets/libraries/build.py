"""Builds the objects of the shared-library examples from their C sources.

    python datasets/libraries/build.py            compile everything, write the objects
    python datasets/libraries/build.py --check    compile everything, compare with the objects that are here

The compiler is found as for the other data sets (BPFBENCH_CLANG names another).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from bpfbench.toolchain import compile_object  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    different = []
    for source in sorted(HERE.glob("*.c")):
        raw, target = compile_object(source), source.with_suffix(".o")
        if not args.check:
            target.write_bytes(raw)
        elif not target.exists() or target.read_bytes() != raw:
            different.append(source.name)
    if different:
        print(f"compiled differently: {', '.join(different)}")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
