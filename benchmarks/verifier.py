"""Verification against the running kernel: time as a ratio within one run, and memory of a trace.

    python benchmarks/verifier.py [INSNS]         instructions that each program makes the walk process (100,000)

For each shape of program: our walk without a trace over the kernel's verification time (its own statistics), our walk
with a full trace over the time of a level-2 load, and the peak memory of a process that keeps the trace.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import bpfbench as bb
from bpfbench.program.program import Program


def loop(body: str, count: int) -> str:
    return f"r0 = 0\nr1 = 0\nl: {body}\nr1 += 1\nif r1 < {count} goto l\nexit"


def forks(n: int) -> str:
    """A decision per bit of a random number, a sum that differs on every path and is looked at in the end: no pruning."""
    bits = max((n // 3).bit_length() - 1, 1)
    tests = "\n".join(f"if r6 & {1 << b} goto a{b}\nr7 += {1 << b}\na{b}:" for b in range(bits))
    return f"call get_prandom_u32\nr6 = r0\nr7 = 0\n{tests}\nr0 = 0\nif r7 > {1 << bits} goto out\nout: exit"


def packet(n: int) -> str:
    """A loop over the bytes of a packet, each access behind a test against the end."""
    return ("r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = 0\nr0 = 0\n"
            "l: r5 = r2\nr5 += r4\nr6 = r5\nr6 += 1\nif r6 > r3 goto out\nr7 = *(u8 *)(r5 + 0)\nr0 ^= r7\n"
            f"r4 += 1\nif r4 < {min(n // 9, 65000)} goto l\nout: exit")


SHAPES: Final[dict[str, Callable[[int], str]]] = {
    "counted loop": lambda n: loop("r0 = 1", n // 3),
    "loop, long body": lambda n: loop("\n".join(["r0 += 3", "r0 &= 255"] * 50), n // 102),
    "loop, spill and fill": lambda n: loop("*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)", n // 4),
    "straight line": lambda n: "\n".join(["r0 = 1"] * n) + "\nexit",
    "forks": forks,
    "packet": packet,
}  # fmt: skip


def program(shape: str, insns: int) -> Program:
    return bb.assemble(SHAPES[shape](insns), type="sched_cls")


def peak_megabytes(shape: str, insns: int) -> int:
    """Peak memory of a fresh process that verifies with a full trace."""
    call = [sys.executable, __file__, "--peak", shape, str(insns)]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


def peak() -> int:
    """Peak resident size of this process, in MB (`ru_maxrss` would count the parent's)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> int:
    if sys.argv[1:2] == ["--peak"]:
        kept = bb.verify(program(sys.argv[2], int(sys.argv[3])), trace=True)
        assert kept.trace is not None
        print(peak())
        return 0
    insns = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    live = bb.kernel.available()
    print(f"{'shape':22} {'processed':>10} {'ours/kernel, level 0':>21} {'traced/kernel, level 2':>23} {'trace MB':>9}")
    for shape in SHAPES:
        prog = program(shape, insns)
        begin = time.perf_counter()
        plain = bb.verify(prog)
        middle = time.perf_counter()
        bb.verify(prog, trace=True)
        end = time.perf_counter()
        ratios = ["no live kernel"] * 2
        if live:
            quiet = bb.kernel.verify(prog).microseconds
            before = time.perf_counter()
            bb.kernel.verify(prog, log_level=2)
            loud = time.perf_counter() - before
            ratios = [f"{(middle - begin) * 1e6 / max(quiet or 1, 1):.1f}", f"{(end - middle) / loud:.2f}"]
        print(f"{shape:22} {plain.insns_processed:10} {ratios[0]:>21} {ratios[1]:>23} {peak_megabytes(shape, insns):9}")
    if not live:
        print(f"no running kernel to compare with: {live.reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
