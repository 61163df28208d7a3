"""Opening the time machine: time and size against the number of steps it shows.

    python benchmarks/widgets.py [LARGEST]       steps of the longest trace (100,000)

The ratio is the time to make the page's fragment over that of the verification with its trace; the widget in a notebook
is made from the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

import bpfbench as bb
from bpfbench.notebook.widgets import static_time_machine, time_machine

sys.path.insert(0, str(Path(__file__).parent))
from rows import Row, processor, show  # type: ignore[import-not-found]

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LOOP = ("r0 = 0\nr1 = 0\nl: *(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)\nr0 &= 255\nr1 += 1\n"
        "if r1 < {n} goto l\nr0 = 0\nexit")


def measure(largest: int = 100_000) -> list[Row]:
    ratios, sizes, opened, times = [], [], [], []
    static_time_machine(bb.verify(bb.assemble(LOOP.format(n=9)), trace=True), bb.assemble(LOOP.format(n=9)), "warm")
    for size in [s for s in SIZES if s <= largest]:
        prog = bb.assemble(LOOP.format(n=size // 5))
        begin = processor()
        v = bb.verify(prog, trace=True)
        walked = processor()
        page = static_time_machine(v, prog, "t")
        written = processor()
        widget = time_machine(v, prog)
        end = processor()
        assert widget is not None
        ratios.append((size, (written - walked) / (walked - begin)))
        opened.append((size, (end - written) / (walked - begin)))
        sizes.append((size, len(page.encode()) / size))
        times.append((size, written - walked))
    return [Row("time machine", "page", "ours / verification with its trace", ratios, times),
            Row("time machine", "widget in a notebook", "ours / verification with its trace", opened),
            Row("time machine", "page", "bytes a step", sizes)]


if __name__ == "__main__":
    show(measure(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000))
