"""Programs that no verifier accepts, to reach every rule of a code generator: nothing in them has to make sense.

Any operation, any operands, numbers and offsets around the limits of machine fields, jumps to anywhere but slot 0 (for
which the ARM kernel's generator reads before its table), calls, tail calls and exits in the middle.
"""

from __future__ import annotations

import random
from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP, OPS, Op

NUMBERS: Final = [
    0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 33, 63, 255, 256, 0x3FC, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x10000, 0x10001,
    0xFF0000, 0x7FFFFFFF, -1, -2, -5, -256, -0x7FFF, -0x8000, -0x8001, -0x8002, -0x10000, -0x80000000,
]  # fmt: skip
OFFSETS: Final = [
    0, 1, 2, 3, 4, 6, 8, -1, -2, -4, -8, 255, 256, 257, -255, -256, 4091, 4092, 4095, 4096, -4091, -4095, -4096, 32760,
    32764, 32767, -32768,
]  # fmt: skip
CONSTANTS: Final = [
    0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x12340000, 0x80000000, 0xFFFFFFFF, 1 << 32, 0xFFFFFFFF80000000, 0xFFFFFFFFFFFF8000,
    1 << 63, 0x7FFF00000000, 0x123400005678, 0xC000000000012345,
]  # fmt: skip
DIVISIONS: Final = (ops.DIV, ops.MOD, ops.SDIV, ops.SMOD)
SHIFTS: Final = (ops.LSH, ops.RSH, ops.ARSH)
TAIL_CALL: Final = 12
#: what a zero extension may follow: the verifier puts one behind 32-bit results only
EXTENDED: Final = (ops.ALU32, ops.LDX, ops.END)


def generates(op: Op, target: str, kernel: str) -> bool:
    """Has the kernel's generator a rule for this operation?"""
    if op.kind not in (ops.ALU32, ops.ALU64, ops.MOVSX, ops.END, ops.LDX, ops.LDXS, ops.ST, ops.STX, ops.ATOMIC):
        return False
    newer = op.since.startswith("6.")
    if newer and (kernel == "linux-6.1" or target == "mips64"):
        return False
    if target == "arm" and op.kind == ops.ATOMIC:
        return False
    return not (target == "arm" and kernel == "linux-6.1" and op.kind == ops.ALU64 and op.fn in DIVISIONS)


def any_program(seed: int, target: str, kernel: str, size: int, zext: bool) -> list[Instruction | None]:
    """Up to `size` instructions, slot-indexed; with `zext`, zero extensions as the verifier inserts them."""
    rng = random.Random(seed)
    known = [op for op in OPS if generates(op, target, kernel)]
    jumps = [op for op in OPS if op.kind in (ops.JMP, ops.JMP32)] + [OP["JA"]]
    body: list[Instruction | None] = []
    for _ in range(rng.randrange(1, size)):
        kind = rng.random()
        last = body[-1] if body else None
        if kind < 0.7:
            body.append(operation(rng, rng.choice(known)))
        elif kind < 0.75:
            value = rng.choice([*CONSTANTS, rng.getrandbits(64), rng.getrandbits(48)])
            body += [Instruction(OP["LDDW"], rng.randrange(10), imm=value), None]
        elif kind < 0.9:
            op = rng.choice(jumps)
            second = rng.randrange(11) if op.kind != ops.JA and not op.imm else 0
            imm = number(rng) if op.imm else 0
            body.append(Instruction(op, rng.randrange(10) if op.kind != ops.JA else 0, second, imm=imm))
        elif kind < 0.94:
            body.append(Instruction(OP["CALL"], imm=rng.choice([0x1234, TAIL_CALL])))
        elif kind < 0.96:
            body.append(Instruction(OP["EXIT"]))
        elif zext and last is not None and last.kind in EXTENDED:
            body.append(Instruction(OP["ZEXT32"], last.dst, last.dst, imm=1))
    body.append(Instruction(OP["EXIT"]))
    return linked(rng, body)


def number(rng: random.Random) -> int:
    return rng.choice(NUMBERS) if rng.random() < 0.7 else rng.randrange(-1 << 31, 1 << 31)


def operation(rng: random.Random, op: Op) -> Instruction:
    dst, src = rng.randrange(10), rng.randrange(11)
    off = rng.choice(OFFSETS) if rng.random() < 0.6 else rng.randrange(-1 << 15, 1 << 15)
    if op.kind in (ops.ALU32, ops.ALU64):
        if op.fn == ops.NEG:
            return Instruction(op, dst)
        if not op.imm:
            return Instruction(op, dst, src)
        if op.fn in SHIFTS:
            return Instruction(op, dst, imm=rng.randrange(64 if op.kind == ops.ALU64 else 32))
        return Instruction(op, dst, imm=number(rng) or 3 if op.fn in DIVISIONS else number(rng))
    if op.kind in (ops.MOVSX, ops.END):
        return Instruction(op, dst, src if op.kind == ops.MOVSX else 0)
    if op.kind == ops.LDXS:                     # the PPC64 kernel drops the low bits of a word's offset
        return Instruction(op, dst, src, off & ~3)
    if op.kind == ops.LDX:
        return Instruction(op, dst, src, off)
    if op.kind == ops.ST:
        return Instruction(op, src, 0, off, number(rng))
    return Instruction(op, src, dst, off)


def linked(rng: random.Random, body: list[Instruction | None]) -> list[Instruction | None]:
    """Jumps led to instructions, most of them near."""
    out = list(body)
    for pc, insn in enumerate(body):
        if insn is None or insn.kind not in (ops.JMP, ops.JMP32, ops.JA):
            continue
        near = rng.randrange(max(1, pc - 8), min(len(body), pc + 9)) if len(body) > 1 else 0
        target = rng.randrange(len(body)) if rng.random() < 0.3 else near
        while target == 0 or body[target] is None:
            target = target + 1 if target + 1 < len(body) else len(body) - 1
        distance = target - pc - 1
        if -0x8000 <= distance < 0x8000:
            out[pc] = Instruction(insn.op, insn.dst, insn.src, distance, insn.imm)
        else:
            out[pc] = Instruction(insn.op, insn.dst, insn.src, 0, insn.imm)
    return out
