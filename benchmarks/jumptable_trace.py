"""Metric M5 on any program: do the indirect branches that one run executes stay inside the recovered sets?

    QEMU_LD_PREFIX=SYSROOT python benchmarks/jumptable_trace.py ELF [ARGUMENT...]

The program runs under qemu-user with one log line per translation block; a block that ends in a recovered dispatch and
the block after it give one (branch, target) pair.  Programs that fork write two logs into one: trace single processes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from bpfbench.jumptable import a64, recover
from bpfbench.jumptable.image import Image

PIE_BASE = 0x5500000000  # where qemu-user puts position-independent programs
_LINE = re.compile(rb"/([0-9a-f]{16})/")


def block_end(image: Image, start: int) -> int:
    """Address of the first branch or call from `start` on."""
    at = start
    while True:
        word = image.word(at)
        if word is None or a64.decode(word).op in a64.TERMINATORS or a64.decode(word).op in a64.CALLS:
            return at
        at += 4


def main() -> int:
    found = recover(sys.argv[1])
    image = found.image
    tables = {b.table.branch: set(b.table.targets) for b in found.branches if b.table is not None}
    bias = PIE_BASE if image.pie else 0
    low, high = (f(a for r in image.code_ranges() for a in r[:2]) for f in (min, max))
    ends: dict[int, int] = {}
    seen: set[tuple[int, int]] = set()
    outside = blocks = 0
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "log"
        os.mkfifo(log)
        command = ["qemu-aarch64", "-d", "exec,nochain", "-D", str(log), *sys.argv[1:]]
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        before = 0
        with log.open("rb") as lines:
            for line in lines:
                m = _LINE.search(line)
                if m is None:
                    continue
                blocks += 1
                here = int(m.group(1), 16) - bias
                if before and (before, here) not in seen:
                    end = ends.setdefault(before, block_end(image, before)) if before not in ends else ends[before]
                    if end in tables and not before < here <= end:
                        seen.add((before, here))
                        if here not in tables[end]:
                            outside += 1
                            print(f"{end:#x} went to {here:#x}: {found.at(end)}")
                before = here if low <= here < high else 0
        program.wait()
    print(
        f"{blocks} blocks, {len(seen)} distinct (block, target) pairs, {outside} outside the recovered sets"
    )
    return int(outside > 0)


if __name__ == "__main__":
    sys.exit(main())
