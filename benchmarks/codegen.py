"""How long code generation takes (CPU time): per eBPF instruction, for each target, from 100 to 60,000 instructions.

    python benchmarks/codegen.py [--targets x86_64,aarch64,...] [--json]

The program is a mix of arithmetic, memory accesses and forward branches, like straight compiler output.  What matters
is the last column: the time per instruction at 60,000 over that at 1,000 has to stay near 1 (growth is linear).
"""

from __future__ import annotations

import argparse
import json
import random
import time

from bpfbench.isa.codec import decode
from bpfbench.isa.insn import Instruction
from bpfbench.jit.compile import compile_insns
from bpfbench.jit.facts import Facts
from bpfbench.jit.listing import KERNELS
from bpfbench.jit.targets import TARGETS, target_class

SIZES = (100, 1_000, 10_000, 60_000)


def program(count: int, seed: int = 1) -> list[Instruction | None]:
    """`count` slots: of ten instructions five arithmetic, two loads, one store, one branch ahead, one constant."""
    rng = random.Random(seed)
    out = bytearray()
    for at in range(count - 1):
        kind = rng.randrange(10)
        dst, src = rng.randrange(10), rng.randrange(10)
        if kind < 3:
            out += slot(rng.choice([0x07, 0x57, 0x47, 0x04]), dst, 0, 0, rng.randrange(-5000, 5000))
        elif kind < 5:
            out += slot(rng.choice([0x0F, 0x5F, 0x1F, 0xBF]), dst, src, 0, 0)
        elif kind < 7:
            out += slot(0x79, dst, 10, -8 * rng.randrange(1, 30), 0)
        elif kind < 8:
            out += slot(0x7B, 10, src, -8 * rng.randrange(1, 30), 0)
        elif kind < 9:
            out += slot(0x15, dst, 0, min(rng.randrange(1, 60), count - 2 - at), rng.randrange(100))
        else:
            out += slot(0xB7, dst, 0, 0, rng.randrange(-(1 << 31), 1 << 31))
    return decode(bytes(out) + slot(0x95, 0, 0, 0, 0))


def slot(code: int, dst: int, src: int, off: int, imm: int) -> bytes:
    head = bytes([code, src << 4 | dst]) + off.to_bytes(2, "little", signed=True)
    return head + imm.to_bytes(4, "little", signed=True)


def seconds(insns: list[Instruction | None], target: str, repeat: int) -> float:
    """The best of `repeat` runs, each from cold."""
    best = float("inf")
    for _ in range(repeat):
        for row in target_class(target).machine.rows:
            row.cache.clear()               # what an earlier run encoded must not help this one
        start = time.process_time()
        code = compile_insns(insns, target, KERNELS[target], facts=Facts([256], [False], True))
        best = min(best, time.process_time() - start)
        del code                                # giving back its memory is not code generation
    return best


def measure(target: str) -> dict[int, float]:
    """Microseconds per instruction by program size."""
    return {n: 1e6 * seconds(program(n), target, 5 if n <= 1000 else 2) / n for n in SIZES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default=",".join(TARGETS))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {target: measure(target) for target in options.targets.split(",")}
    if options.json:
        print(json.dumps({t: {str(n): round(us, 3) for n, us in found.items()} for t, found in rows.items()}))
        return
    print(f"{'us per instruction':20}" + "".join(f"{n:>10}" for n in SIZES) + f"{'60k / 1k':>10}")
    for target, found in rows.items():
        print(f"{target:20}" + "".join(f"{found[n]:10.2f}" for n in SIZES) + f"{found[60_000] / found[1_000]:10.2f}")


if __name__ == "__main__":
    main()
