"""How long code generation takes (CPU time): per eBPF instruction, for each target, from 100 to 60,000 instructions.

    python benchmarks/codegen.py [--targets x86_64,aarch64,...,nfp] [--json]

The program is a mix of arithmetic, memory accesses and forward branches, like straight compiler output.  What matters
is the last column: the time per instruction of the largest program over that of the one of 1,000 has to stay near 1
(growth is linear).  What is known about the program, which a verifier finds out, is given and not in the time.  An address
on the NFP has 14 bits, so programs of more than some 6,000 instructions do not fit.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Callable

from bpfbench.isa.codec import decode
from bpfbench.isa.insn import Instruction
from bpfbench.jit import nfp, nfp_emit
from bpfbench.jit.compile import compile_insns
from bpfbench.jit.facts import Facts
from bpfbench.jit.listing import KERNELS
from bpfbench.jit.targets import NFP, TARGETS, target_class
from bpfbench.program.program import Program

SIZES = (100, 1_000, 5_000, 10_000, 60_000)
NFP_SIZES = (100, 1_000, 5_000)


def program(count: int, seed: int = 1) -> list[Instruction | None]:
    """`count` slots: registers and stack are set first; then of ten instructions five arithmetic, two loads, one store,
    one branch ahead, one constant."""
    rng = random.Random(seed)
    out = bytearray()
    for register in range(10):
        out += slot(0xB7, register, 0, 0, register)
    for word in range(1, 30):
        out += slot(0x7B, 10, 0, -8 * word, 0)
    for at in range(len(out) // 8, count - 2):
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
            out += slot(0x15, dst, 0, min(rng.randrange(1, 60), count - 3 - at), rng.randrange(100))
        else:
            out += slot(0xB7, dst, 0, 0, rng.randrange(-(1 << 31), 1 << 31))
    return decode(bytes(out) + slot(0xB7, 0, 0, 0, 2) + slot(0x95, 0, 0, 0, 0))


def slot(code: int, dst: int, src: int, off: int, imm: int) -> bytes:
    head = bytes([code, src << 4 | dst]) + off.to_bytes(2, "little", signed=True)
    return head + imm.to_bytes(4, "little", signed=True)


def best_of(repeat: int, cold: Callable[[], object], run: Callable[[], object]) -> float:
    """The best of `repeat` runs; before each, `cold` forgets what an earlier one encoded."""
    best = float("inf")
    for _ in range(repeat):
        cold()
        start = time.process_time()
        code = run()
        best = min(best, time.process_time() - start)
        del code                                # giving back its memory is not code generation
    return best


def seconds(insns: list[Instruction | None], target: str, repeat: int) -> float:
    """A host machine."""
    def forget() -> None:
        for row in target_class(target).machine.rows:
            row.cache.clear()

    return best_of(repeat, forget,
                   lambda: compile_insns(insns, target, KERNELS[target], facts=Facts([256], [False], True)))


def seconds_on_the_card(insns: list[Instruction | None], repeat: int) -> float:
    """The NFP, with all passes; what its generator is told, our verifier has found before."""
    prog = Program([insn for insn in insns if insn is not None], type="xdp")
    facts = nfp.facts_of(prog, nfp.OWN)
    return best_of(repeat, nfp_emit.forget, lambda: nfp.compile_from(prog, facts, nfp.OWN))


def measure(target: str) -> dict[int, float]:
    """Microseconds per instruction by program size."""
    found = {}
    for n in NFP_SIZES if target == NFP else SIZES:
        repeat = 20 if n <= 5_000 else 4
        once = seconds_on_the_card(program(n), repeat) if target == NFP else seconds(program(n), target, repeat)
        found[n] = 1e6 * once / n
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--targets", default=",".join((*TARGETS, NFP)))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {target: measure(target) for target in options.targets.split(",")}
    if options.json:
        print(json.dumps({t: {str(n): round(us, 3) for n, us in found.items()} for t, found in rows.items()}))
        return
    print(f"{'us per instruction':20}" + "".join(f"{n:>10}" for n in SIZES) + f"{'growth':>10}")
    for target, found in rows.items():
        print(f"{target:20}" + "".join(f"{found[n]:10.2f}" if n in found else f"{'-':>10}" for n in SIZES)
              + f"{found[max(found)] / found[1_000]:10.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
