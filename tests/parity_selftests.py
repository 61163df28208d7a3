"""The kernel's own verifier tests: ours against the running kernel and against what the tables expect.

    BPFBENCH_KERNEL_TREE=/usr/src/linux-source-6.1 python tests/parity_selftests.py [--unprivileged] [--differences N]

The tree is yours (Debian: apt-get install linux-source-6.1, and unpack it); none of its tests is in this repository.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bpfbench as bb
from bpfbench.kernel import selftests


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--unprivileged", action="store_true", help="as a process without CAP_PERFMON")
    parser.add_argument("--differences", type=int, default=0, metavar="N")
    args = parser.parse_args()
    tree = os.environ.get("BPFBENCH_KERNEL_TREE", "")
    if not tree:
        print("no kernel source tree: set BPFBENCH_KERNEL_TREE")
        return 0
    tests = [test for test in selftests.read(tree) if not test.needs]
    live = bool(bb.kernel.available())
    rows = list(selftests.compare(tests, privileged=not args.unprivileged, live=live))
    asked = [row for row in rows if row.ours is not None]
    expected = sum(
        selftests.as_expected(row.test, row.ours, args.unprivileged) for row in asked if row.ours is not None
    )
    print(
        f"{len(tests)} tests without attach target or kernel function; as the tables expect: {expected} of {len(asked)}"
    )
    if live:
        counts = selftests.summary(rows)
        print(f"like the running kernel: verdict {counts['same_verdict']} of {counts['tests']}, message "
              f"{counts['same_message']} of {counts['rejected']} rejected, "
              f"wrongly accepted {counts['wrongly_accepted']}, not asked {counts['not_asked']}")  # fmt: skip
        different = [row for row in rows if row.ours is not None and row.kernel is not None and not row.kernel.error
                     and not (row.same_verdict and row.same_message)]  # fmt: skip
        for row in different[: args.differences]:
            print(f"    {row.test.name}\n        kernel {row.kernel}\n        ours   {row.ours}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
