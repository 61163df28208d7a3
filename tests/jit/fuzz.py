"""Mutated programs into every code generator: each answers with code or with one clear error.

    python -m tests.jit.fuzz [COUNT] [SEED]

A program is a few random instructions of the operation table, then some of its bytes are changed.
"""

from __future__ import annotations

import random
import sys
from collections import Counter

from bpfbench.errors import BpfbenchError
from bpfbench.isa.codec import decode
from bpfbench.isa.ops import OPS
from bpfbench.jit.compile import compile_insns
from bpfbench.jit.listing import KERNELS
from bpfbench.jit.targets import TARGETS

EXIT = bytes([0x95, 0, 0, 0, 0, 0, 0, 0])


def mutant(rng: random.Random) -> bytes:
    """A few slots of nearly valid program."""
    out = bytearray()
    count = rng.randint(1, 12)
    for _ in range(count):
        op = rng.choice(OPS)
        field, value = op.selector
        dst, src = rng.randrange(11) if "dst" in op.uses else 0, rng.randrange(11) if "src" in op.uses else 0
        off = rng.choice([0, 1, 2, -1, -8, -2, rng.randrange(-32768, 32768)]) if "off" in op.uses else 0
        imm = rng.choice([0, 1, 12, 63, -1, rng.randrange(-(1 << 31), 1 << 31)]) if "imm" in op.uses else 0
        src = value if field == "src" else src
        off = value if field == "off" else off
        imm = value if field == "imm" else imm
        out += bytes([op.code, src << 4 | dst]) + (off & 0xFFFF).to_bytes(2, "little")
        out += (imm & 0xFFFF_FFFF).to_bytes(4, "little")
        if op.wide:
            out += bytes(4) + rng.randrange(1 << 32).to_bytes(4, "little")
    out += EXIT
    for _ in range(rng.choice([0, 0, 1, 1, 2])):
        at = rng.randrange(len(out))
        out[at] = rng.choice([0, 1, 0xFF, 0x85, 0x18, 0x95, rng.randrange(256)])
    return bytes(out)


def sweep(count: int, seed: int) -> Counter[str]:
    """How often each target compiled or refused; anything but a BpfbenchError propagates."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    for _ in range(count):
        raw = mutant(rng)
        internal = rng.random() < 0.5
        for target, kernel in ((name, KERNELS[name]) for name in TARGETS):
            try:
                insns = decode(raw, strict=False, internal=internal)
                compile_insns(insns, target, kernel, rewritten=internal)
                found[f"{target} compiled"] += 1
            except BpfbenchError as error:
                assert str(error) and "\n" not in str(error)
                found[f"{target} refused"] += 1
            except Exception:
                print(f"{target}: {raw.hex()} internal={internal}", file=sys.stderr)
                raise
    return found


if __name__ == "__main__":
    total = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for what, times in sorted(sweep(total, int(sys.argv[2]) if len(sys.argv) > 2 else 1).items()):
        print(f"{what:20} {times:8}")
