"""How the graph part scales: partition, blocks, dominators, loops, the depth-first walk, trip counts, drawing.

    python benchmarks/cfg.py [BLOCKS …]

Prints one line per size, in seconds of CPU time (drawing: wall time, because it waits for a worker).  The programs are
random but always the same: forward and backward branches, a common exit that one block in five jumps to.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable

from bpfbench.notebook.graph import draw
from bpfbench.program import dfs
from bpfbench.program.cfg import build
from bpfbench.program.dataflow import DefUse
from bpfbench.program.loops import analyse
from bpfbench.program.program import Program, from_assembly

SIZES = (100, 300, 1000, 3000)


def random_program(blocks: int) -> Program:
    """A program of about so many blocks."""
    rng = random.Random(blocks)
    lines = []
    for i in range(blocks):
        lines.append(f"L{i}: r{rng.randint(0, 5)} += {i}")
        kind = rng.random()
        near = min(blocks - 1, i + rng.randint(1, 8))
        if kind < 0.6:
            lines.append(f"if r1 > {i} goto L{near}")
        elif kind < 0.8:
            lines.append(f"if r1 == {i} goto OUT")
        elif kind < 0.9:
            lines.append(f"if r2 > 5 goto L{max(0, i - rng.randint(1, 30))}")
        else:
            lines.append(f"goto L{near}")
    return from_assembly("\n".join([*lines, "OUT: r0 = 0", "exit"]), name=f"random{blocks}")


def timed(call: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    begin = clock()
    call()
    return clock() - begin


def main() -> None:
    sizes = [int(arg) for arg in sys.argv[1:]] or SIZES
    print(f"{'blocks':>7} {'loops':>6} {'build':>7} {'dfs':>7} {'def-use':>7} {'trips':>7} {'draw':>7}")
    for size in sizes:
        prog = random_program(size)
        cfg = build(prog)
        figures = [timed(lambda p=prog: build(p)), timed(lambda p=prog: dfs.walk(p)), timed(lambda c=cfg: DefUse(c)),
                   timed(lambda c=cfg: analyse(c)), timed(lambda c=cfg: draw(c), time.perf_counter)]  # fmt: skip
        print(f"{len(cfg.blocks):7} {len(cfg.loops):6} " + " ".join(f"{figure:7.3f}" for figure in figures))


if __name__ == "__main__":
    main()
