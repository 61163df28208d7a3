"""Division: no divisor may be 0, no quotient may overflow.

eBPF defines x / 0 = 0 and x % 0 = x, and LLONG_MIN / -1 = LLONG_MIN; processors trap instead.  So a guard goes before
every division by a register, and a signed division by -1 becomes a negation:

    r0 /= r1                    if r1 != 0x0 goto +2
                                w0 ^= w0
                                goto +1
                                r0 /= r1
    r0 s/= -1                   r0 = -r0            (and r0 s%= -1:  w0 = 0)

Source: kernel/bpf/verifier.c (`do_misc_fixups`); RFC 9669 section 4.1; slide 22.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier.rewrite.body import Body, Line, op

_AX = 11
_DIVISIONS = (ops.DIV, ops.SDIV, ops.MOD, ops.SMOD)


def guard_divisions(body: Body, version: tuple[int, int]) -> None:
    """Guards before divisions; the signed forms since 6.6, their -1 cases since 6.11 and stable backports."""
    patches: dict[int, list[Line]] = {}
    for i, line in enumerate(body.lines):
        insn = line.insn
        if insn.kind not in (ops.ALU64, ops.ALU32) or insn.op.fn not in _DIVISIONS or line.pc < 0:
            continue
        if insn.op.imm:
            if insn.op.fn in (ops.SDIV, ops.SMOD) and insn.imm == -1:
                patches[i] = _by_minus_one(insn)
        elif insn.op.fn in (ops.SDIV, ops.SMOD):
            patches[i] = _signed(line)
        else:
            patches[i] = _unsigned(line)
    body.rebuild(patches)


def _unsigned(line: Line) -> list[Line]:
    insn = line.insn
    jump = 0x05 if insn.kind == ops.ALU64 else 0x06
    dst, src = insn.dst, insn.src
    if insn.op.fn == ops.DIV:
        return [Line(op(jump | 0x50, src, 0, 2, 0)), Line(op(0xAC, dst, dst)), Line(op(0x05, 0, 0, 1)), line]
    if insn.kind == ops.ALU64:
        return [Line(op(jump | 0x10, src, 0, 1, 0)), line]
    return [Line(op(jump | 0x10, src, 0, 2, 0)), line, Line(op(0x05, 0, 0, 1)), Line(op(0xBC, dst, dst))]


def _by_minus_one(insn: Instruction) -> list[Line]:
    if insn.op.fn == ops.SDIV:
        return [Line(op(0x87 if insn.kind == ops.ALU64 else 0x84, insn.dst))]
    return [Line(op(0xB4, insn.dst, 0, 0, 0))]


def _signed(line: Line) -> list[Line]:
    """The divisor plus one is 1 for 0 and 0 for -1: one unsigned comparison finds both."""
    insn = line.insn
    dst, src = insn.dst, insn.src
    alu, jump = (0x07, 0x05) if insn.kind == ops.ALU64 else (0x04, 0x06)
    head = [op(0xBF, _AX, src), op(alu, _AX, 0, 0, 1)]
    if insn.op.fn == ops.SDIV:
        rest = [op(jump | 0x20, _AX, 0, 4, 1), op(jump | 0x10, _AX, 0, 1, 0), op(alu | 0xB0, dst, 0, 0, 0),
                op(alu | 0x80, dst), op(0x05, 0, 0, 1)]
        return [Line(i) for i in head + rest] + [line]
    narrow = insn.kind == ops.ALU32
    rest = [op(jump | 0x20, _AX, 0, 3, 1), op(jump | 0x10, _AX, 0, 4 if narrow else 3, 1), op(0xB4, dst, 0, 0, 0),
            op(0x05, 0, 0, 1)]
    tail = [Line(op(0x05, 0, 0, 1)), Line(op(0xBC, dst, dst))] if narrow else []
    return [Line(i) for i in head + rest] + [line] + tail
