"""Random programs that always run: every register and the whole stack are set first, and folded into r0 at the end.

    r0..r9 = random constants, eight stack words = random constants
    body: arithmetic, byte order, loads and stores at any alignment, atomics, forward jumps
    r0 = a mixture of all registers and stack words, 31 bits (some targets return an int)

Divisions are guarded in place, as their divisor is made odd and positive; a jump lands before or behind the guard.
"""

from __future__ import annotations

import random
from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP, OPS, Op
from bpfbench.program.program import Program

FRAME: Final = 10
WORDS: Final = 8
EDGES: Final = [
    0, 1, 2, 7, 8, 31, 32, 33, 63, 64, 255, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF,
    0x1_0000_0000, 0x7FFF_FFFF_FFFF_FFFF, 0x8000_0000_0000_0000, 0xFFFF_FFFF_FFFF_FFFF, 0xFFFF_FFFF_8000_0000,
]  # fmt: skip
DIVISIONS: Final = (ops.DIV, ops.MOD, ops.SDIV, ops.SMOD)
SHIFTS: Final = (ops.LSH, ops.RSH, ops.ARSH)
ARITHMETIC: Final = [op for op in OPS if op.kind in (ops.ALU32, ops.ALU64)]
OTHERS: Final = [op for op in OPS if op.kind in (ops.MOVSX, ops.END)]
MEMORY: Final = [op for op in OPS if op.kind in (ops.LDX, ops.LDXS, ops.ST, ops.STX)]
ATOMICS: Final = [op for op in OPS if op.kind == ops.ATOMIC]
JUMPS: Final = [op for op in OPS if op.kind in (ops.JMP, ops.JMP32)]

Piece = tuple[list[Instruction], int]           # instructions, and how many pieces the last one jumps over (0: none)


def random_program(seed: int, size: int = 30) -> Program:
    rng = random.Random(seed)
    insns = [Instruction(OP["LDDW"], r, imm=constant(rng, 64)) for r in range(FRAME)]
    insns += [Instruction(OP["STDW"], FRAME, off=-8 * k, imm=signed(constant(rng, 32))) for k in range(1, WORDS + 1)]
    insns += joined([piece(rng) for _ in range(rng.randrange(1, size))])
    for r in range(1, FRAME):
        insns += [Instruction(OP["MUL64_K"], imm=31), Instruction(OP["XOR64_X"], src=r)]
    for k in range(1, WORDS + 1):
        insns += [Instruction(OP["LDXDW"], 1, FRAME, -8 * k), Instruction(OP["MUL64_K"], imm=37)]
        insns.append(Instruction(OP["ADD64_X"], src=1))
    insns += [Instruction(OP["MOV64_X"], 1), Instruction(OP["RSH64_K"], 1, imm=32), Instruction(OP["XOR64_X"], src=1)]
    insns += [Instruction(OP["LSH64_K"], imm=33), Instruction(OP["RSH64_K"], imm=33), Instruction(OP["EXIT"])]
    return Program(decode(encode(insns)), "socket_filter", f"random {seed}")


def constant(rng: random.Random, bits: int) -> int:
    value = rng.choice(EDGES) if rng.random() < 0.6 else rng.getrandbits(64)
    return value & (1 << bits) - 1


def signed(value: int) -> int:
    return value - (1 << 32) if value >> 31 else value


def piece(rng: random.Random) -> Piece:
    dst, src, imm = rng.randrange(FRAME), rng.randrange(FRAME), signed(constant(rng, 32))
    kind = rng.random()
    if kind < 0.55:
        return arithmetic(rng, rng.choice(ARITHMETIC), dst, src, imm), 0
    if kind < 0.62:
        op = rng.choice(OTHERS)
        return [Instruction(op, dst, src if op.kind == ops.MOVSX else 0)], 0
    if kind < 0.78:
        return [memory(rng, rng.choice(MEMORY), dst, src, imm)], 0
    if kind < 0.86:
        return [Instruction(rng.choice(ATOMICS), FRAME, src, -8 * rng.randrange(1, WORDS + 1))], 0
    op = rng.choice(JUMPS)
    return [Instruction(op, dst, 0 if op.imm else src, imm=imm if op.imm else 0)], 1 + rng.randrange(5)


def arithmetic(rng: random.Random, op: Op, dst: int, src: int, imm: int) -> list[Instruction]:
    if op.fn in DIVISIONS and not op.imm:
        odd, positive = Instruction(OP["OR64_K"], src, imm=1), Instruction(OP["AND64_K"], src, imm=0x7FFF_FFFF)
        return [odd, positive, Instruction(op, dst, src)]
    if op.fn in DIVISIONS:
        return [Instruction(op, dst, imm=imm if imm not in (0, -1) else 5)]
    if op.fn in SHIFTS and op.imm:
        return [Instruction(op, dst, imm=rng.randrange(64 if op.kind == ops.ALU64 else 32))]
    if op.fn == ops.NEG:
        return [Instruction(op, dst)]
    return [Instruction(op, dst, imm=imm) if op.imm else Instruction(op, dst, src)]


def memory(rng: random.Random, op: Op, dst: int, src: int, imm: int) -> Instruction:
    off = rng.choice([-8 * rng.randrange(1, WORDS + 1), -rng.randrange(op.size, 8 * WORDS + 1)])
    if op.kind in (ops.LDX, ops.LDXS):
        return Instruction(op, dst, FRAME, off)
    return Instruction(op, FRAME, off=off, imm=imm) if op.kind == ops.ST else Instruction(op, FRAME, src, off)


def joined(pieces: list[Piece]) -> list[Instruction]:
    """The pieces in a row, jumps linked to the beginnings of later pieces."""
    starts = [0]
    for insns, _ in pieces:
        starts.append(starts[-1] + len(insns))
    out: list[Instruction] = []
    for i, (insns, over) in enumerate(pieces):
        out += insns
        if over:
            target = starts[min(i + over, len(pieces))]
            last = out.pop()
            out.append(Instruction(last.op, last.dst, last.src, target - starts[i + 1], last.imm))
    return out
