"""Branches: a comparison of 64 bits on a machine with carry, and equality that looks at both halves.

    x < y      alu[--, xL, -, yL]; alu[--, xH, -carry, yH]; bcc       the carry of both words
    x == y     alu[tA, xL, XOR, yL]; alu[tB, xH, XOR, yH]; alu[--, tA, OR, tB]; beq

Where both values are known to fit 32 bits (`Step.low`) the lower words decide, and no sign comes into it.
Source: `cmp_reg`, `cmp_imm`, `jeq_*`, `jne_*`, `jset_*` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bpfbench.isa import ops
from bpfbench.jit.nfp_emit import TEMP_A, TEMP_B, U32, a, b

if TYPE_CHECKING:
    from bpfbench.jit.nfp import Generator
    from bpfbench.nfp.notes import Step

#             operands   branch
ORDER: Final = {
    ops.JGT:  (True,     "bcc"),        # True: src - dst
    ops.JGE:  (False,    "bcs"),
    ops.JLT:  (False,    "bcc"),
    ops.JLE:  (True,     "bcs"),
    ops.JSGT: (True,     "blt"),
    ops.JSGE: (False,    "bge"),
    ops.JSLT: (False,    "blt"),
    ops.JSLE: (True,     "bge"),
}  # fmt: skip

UNSIGNED: Final = {ops.JSGT: ops.JGT, ops.JSGE: ops.JGE, ops.JSLT: ops.JLT, ops.JSLE: ops.JLE}


def jump(g: Generator, s: Step) -> None:
    """JMP and JMP32, every condition."""
    fn, wide = s.insn.op.fn, s.insn.kind == ops.JMP and not s.low
    if fn in ORDER:
        order(g, s, wide)
    elif fn == ops.JEQ:
        equal(g, s, wide)
    elif fn == ops.JNE:
        unequal(g, s, wide)
    elif fn == ops.JSET:
        bits(g, s, wide)
    else:
        raise g.unsupported(s, f"condition {s.insn.op.id}")


def order(g: Generator, s: Step, wide: bool) -> None:
    w, insn = g.w, s.insn
    swap, branch = ORDER[UNSIGNED.get(insn.op.fn, insn.op.fn) if s.low else insn.op.fn]
    names = ("+", "+carry") if s.negated else ("-", "-carry")
    for high in range(1 + wide):
        if insn.op.imm:
            left, right = a(2 * insn.dst + high), w.operand(insn.imm >> 32 * high & U32)
            if swap:
                left, right = right, left
        else:
            x, y = (insn.src, insn.dst) if swap else (insn.dst, insn.src)
            left, right = a(2 * x + high), b(2 * y + high)
        w.alu("--", left, names[high], right)
    g.to_slot(branch)


def equal(g: Generator, s: Step, wide: bool) -> None:
    w, insn = g.w, s.insn
    d, r = 2 * insn.dst, 2 * insn.src
    if not insn.op.imm:
        w.alu(TEMP_A, a(d), "XOR", b(r))
        if wide:
            w.alu(TEMP_B, a(d + 1), "XOR", b(r + 1))
            w.alu("--", TEMP_A, "OR", TEMP_B)
    elif not wide:
        w.alu("--", a(d), "XOR", w.operand(insn.imm))
    else:
        low, high = a(d), b(d + 1)
        if insn.imm & U32:
            w.alu(TEMP_A, a(d), "XOR", w.operand(insn.imm))
            low = TEMP_A
        if insn.imm >> 32 & U32:
            w.alu(TEMP_B, a(d + 1), "XOR", w.operand(insn.imm >> 32))
            high = TEMP_B
        w.alu("--", low, "OR", high)
    g.to_slot("beq")


def unequal(g: Generator, s: Step, wide: bool) -> None:
    w, insn = g.w, s.insn
    d, r = 2 * insn.dst, 2 * insn.src
    if insn.op.imm and not insn.imm:
        if wide:
            w.alu("--", a(d), "OR", b(d + 1))
        else:
            w.mov("--", b(d))
        g.to_slot("bne")
        return
    for high in range(1 + wide):
        right = w.operand(insn.imm >> 32 * high) if insn.op.imm else b(r + high)
        w.alu("--", a(d + high), "XOR", right)
        g.to_slot("bne")


def bits(g: Generator, s: Step, wide: bool) -> None:
    w, insn = g.w, s.insn
    d, r = 2 * insn.dst, 2 * insn.src
    if insn.op.imm:
        w.alu(TEMP_B, a(d), "AND", w.operand(insn.imm))
        if wide and insn.imm < 0:
            w.alu("--", a(d + 1), "OR", TEMP_B)
        g.to_slot("bne")
        return
    for high in range(1 + wide):
        w.alu("--", a(d + high), "AND", b(r + high))
        g.to_slot("bne")
