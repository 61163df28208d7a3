"""`python -m bpfbench` and the `bpfbench` command."""

from __future__ import annotations

import sys


def main() -> int:
    from bpfbench.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
