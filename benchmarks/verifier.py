"""Verification against the running kernel: time as a ratio within one run, and memory of a trace.

    python benchmarks/verifier.py [INSNS]         instructions that each program makes the walk process (100,000)

For each shape of program: our walk without a trace over the kernel's verification time (its own statistics), our walk
with a full trace over the time of a level-2 load, and the peak memory of a fresh process that assembles and verifies,
without and with the trace.
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
from bpfbench.verifier import walker


def loop(body: str, count: int) -> str:
    return f"r0 = 0\nr1 = 0\nl: {body}\nr1 += 1\nif r1 < {count - 1} goto l\nexit"


def forks(n: int) -> str:
    """A decision per bit of a random number, a sum that differs on every path and is looked at in the end: no pruning."""
    bits = max((n // 3).bit_length() - 1, 1)
    tests = "\n".join(f"if r6 & {1 << b} goto a{b}\nr7 += {1 << b}\na{b}:" for b in range(bits))
    return f"call get_prandom_u32\nr6 = r0\nr7 = 0\n{tests}\nr0 = 0\nif r7 > {1 << bits} goto out\nout: exit"


def packet(n: int) -> str:
    """A loop over a packet, 64 bytes a round behind one test against the end; a round leaves a path for later, and
    the kernel keeps at most 8,192 of those."""
    body = "\n".join(f"r7 = *(u8 *)(r5 + {i})\nr0 ^= r7" for i in range(64))
    return ("r2 = *(u32 *)(r1 + 76)\nr3 = *(u32 *)(r1 + 80)\nr4 = 0\nr0 = 0\n"
            f"l: r5 = r2\nr5 += r4\nr6 = r5\nr6 += 64\nif r6 > r3 goto out\n{body}\n"
            f"r4 += 8\nif r4 < {8 * (n // 136)} goto l\nout: exit")


SHAPES: Final[dict[str, Callable[[int], str]]] = {
    "counted loop": lambda n: loop("r0 = 1", n // 3),
    "loop, long body": lambda n: loop("\n".join(["r0 += 3", "r0 &= 255"] * 50), n // 102),
    "loop, spill and fill": lambda n: loop("*(u64 *)(r10 - 8) = r1\nr0 = *(u64 *)(r10 - 8)", n // 4),
    "straight line": lambda n: "\n".join(["r0 = 1"] * (n - 1)) + "\nexit",
    "forks": forks,
    "packet": packet,
}  # fmt: skip


def program(shape: str, insns: int) -> Program:
    return bb.assemble(SHAPES[shape](insns), type="sched_cls")


def peak_megabytes(shape: str, insns: int, trace: bool) -> int:
    """Peak memory of a fresh process that assembles and verifies, with a full trace or without any."""
    call = [sys.executable, __file__, "--peak", shape, str(insns), "trace" if trace else ""]
    return int(subprocess.run(call, capture_output=True, text=True, check=True).stdout)


def peak() -> int:
    """Peak resident size of this process, in MB (`ru_maxrss` would count the parent's)."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> int:
    if sys.argv[1:2] == ["--peak"]:
        kept = bb.verify(program(sys.argv[2], int(sys.argv[3])), trace=sys.argv[4] == "trace")
        assert (kept.trace is not None) == (sys.argv[4] == "trace")
        print(peak())
        return 0
    insns = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    live = bb.kernel.available()
    print(f"verifier {'compiled' if compiled() else 'uncompiled'}; ratios of time, ours / the kernel's")
    print(f"{'shape':22} {'processed':>10} {'level 0':>8} {'trace / level 2':>16} {'MB':>6} {'MB with trace':>14}")
    for shape in SHAPES:
        prog = program(shape, insns)
        begin = time.perf_counter()
        plain = bb.verify(prog)
        middle = time.perf_counter()
        bb.verify(prog, trace=True)
        end = time.perf_counter()
        ratios = ["-", "-"]
        if live:
            oracle = bb.kernel.verify(prog)
            if oracle.insns_processed != plain.insns_processed:
                raise SystemExit(f"{shape}: the kernel processed {oracle.insns_processed}, not {plain.insns_processed}")
            before = time.perf_counter()
            bb.kernel.verify(prog, log_level=2)
            loud = time.perf_counter() - before
            ratios = [f"{(middle - begin) * 1e6 / max(oracle.microseconds or 1, 1):.1f}", f"{(end - middle) / loud:.2f}"]
        memory = [peak_megabytes(shape, insns, trace) for trace in (False, True)]
        row = f"{shape:22} {plain.insns_processed:10} {ratios[0]:>8} {ratios[1]:>16} {memory[0]:6} {memory[1]:14}"
        print(row, flush=True)
    if not live:
        print(f"no running kernel to compare with: {live.reason}")
    return 0


def compiled() -> bool:
    """Is the walker native code?"""
    return not (walker.__file__ or "").endswith(".py")


if __name__ == "__main__":
    sys.exit(main())
