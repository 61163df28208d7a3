"""How fast the interpreter is, next to the running kernel's test run of the same program.

    python benchmarks/interp.py [MILLIONS]

Five shapes of about a million instructions each (or MILLIONS of them); per shape instructions per second, watched and
unwatched, and how much longer than the kernel's native code it takes.
"""

from __future__ import annotations

import sys
import time

import bpfbench as bb
from bpfbench import interp
from bpfbench.errors import BpfbenchError
from bpfbench.program.program import Program, from_assembly

LOOP = "r6 = r1\nr7 = {count}\nr8 = 0\n{setup}again:\n{body}r7 += -1\nif r7 != 0 goto again\nr0 = r8\nexit"
MAP = ".map m array 4 8 16\n"
# name           instructions in the body, setup, body
SHAPES = {
    "arithmetic": (4, "", "r8 += r7\nr8 ^= 5\nw8 *= w7\nr8 <<= 3\n"),
    "branches":   (4, "", "if r8 > r7 goto a{n}\nr8 += 3\na{n}: if w8 s< 7 goto b{n}\nr8 -= 1\nb{n}:\n"),
    "stack":      (4, "*(u64 *)(r10 - 8) = 1\n", "r1 = *(u64 *)(r10 - 8)\nr1 += 1\n*(u64 *)(r10 - 8) = r1\nr8 += r1\n"),
    "packet":     (3, "r2 = *(u32 *)(r6 + 0)\nr3 = *(u32 *)(r6 + 4)\nr4 = r2\nr4 += 32\nif r4 > r3 goto out\n",
                   "r1 = *(u32 *)(r2 + 12)\nr8 += r1\n*(u8 *)(r2 + 3) = r8\n"),
    "map lookup": (7, "*(u32 *)(r10 - 4) = 3\n",
                   "r1 = m ll\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nif r0 == 0 goto c{n}\n"
                   "r1 = *(u64 *)(r0 + 0)\nr8 += r1\nc{n}:\n"),
}  # fmt: skip


def program(name: str, instructions: int) -> Program:
    length, setup, body = SHAPES[name]
    text = LOOP.format(count=instructions // (length + 2), setup=setup, body=body.format(n=0))
    if "goto out" in text:
        text = text.replace("r0 = r8\nexit", "out: r0 = r8\nexit")
    return from_assembly((MAP if "r1 = m" in text else "") + text, name=name.replace(" ", "_"))


def rate(prog: Program, watched: bool) -> float:
    """Million instructions a second, the best of three."""
    best = 0.0
    for _ in range(1 if watched else 3):
        begin = time.perf_counter()
        result = interp.run(prog, bytes(64), budget=1 << 40, observe=interp.Observer() if watched else None)
        best = max(best, result.insns_executed / (time.perf_counter() - begin) / 1e6)
        assert result.trap is None, result.trap
    return best


def kernel_seconds(prog: Program) -> float | None:
    """Time of one test run of a short loop in the kernel, scaled; None where the kernel will not."""
    try:
        return bb.kernel.run(prog, bytes(64), repeat=100).duration_ns / 1e9
    except BpfbenchError:
        return None


def main() -> None:
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    print(f"{'shape':12} {'M insns/s':>10} {'watched':>8} {'against native':>15}")
    for name in SHAPES:
        prog = program(name, int(millions * 1e6))
        short = program(name, 20_000)
        speed = rate(prog, False)
        native = kernel_seconds(short)
        executed = interp.run(short, bytes(64)).insns_executed
        ratio = f"{executed / (speed * 1e6) / native:14.0f}x" if native else f"{'-':>15}"
        print(f"{name:12} {speed:10.2f} {rate(program(name, 100_000), True):8.2f} {ratio}")


if __name__ == "__main__":
    main()
