"""Speculation: masks on pointer arithmetic, barriers where a masked path is not enough.

An unprivileged program must not compute, even speculatively, an address outside of its object.  The verifier noted for
each addition of a variable to a pointer how far it may go; the offset is masked to 0 beyond that limit, without a
branch:

    r1 += r2        w11 = LIMIT
                    r11 -= r2       negative when r2 is too large
                    r11 |= r2       … or negative
                    r11 = -r11
                    r11 s>>= 63     all ones, or zero
                    r11 &= r2
                    r1 += r11

Source: kernel/bpf/verifier.c (`do_misc_fixups`, `sanitize_ptr_alu`); slide 20.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier.rewrite.body import Body, Line, op

_AX = 11
# alu_state
SANITIZE_SRC, SANITIZE_DST, NEG_VALUE, NON_POINTER, IMMEDIATE = 1, 2, 4, 8, 16
_NOSPEC = 0xC2


def mask_pointer_arithmetic(body: Body) -> None:
    """Masks before additions and subtractions that the verifier marked."""
    patches: dict[int, list[Line]] = {}
    for i, line in enumerate(body.lines):
        insn = line.insn
        if line.hint is None or line.pc < 0 or insn.kind != ops.ALU64 or insn.op.imm:
            continue
        state = line.hint.alu_state
        if insn.op.fn in (ops.ADD, ops.SUB) and state and state != NON_POINTER:
            patches[i] = [Line(x) for x in _mask(insn, state, line.hint.alu_limit)]
    body.rebuild(patches)


def _mask(insn: Instruction, state: int, limit: int) -> list[Instruction]:
    negative, immediate = state & NEG_VALUE, state & IMMEDIATE
    source = state & (SANITIZE_SRC | SANITIZE_DST) == SANITIZE_SRC
    offset = insn.src if source else insn.dst
    out: list[Instruction] = []
    if immediate:
        out.append(op(0xB4, _AX, 0, 0, limit))
    else:
        out += [op(0x27, offset, 0, 0, -1)] if negative else []
        out += [op(0xB4, _AX, 0, 0, limit), op(0x1F, _AX, offset), op(0x4F, _AX, offset), op(0x87, _AX),
                op(0xC7, _AX, 0, 0, 63), op(0x5F, _AX, offset)]
    if not source:
        out.append(op(0xBF, insn.dst, insn.src))
    adds = (insn.op.fn == ops.ADD) != bool(negative)
    out.append(op(0x0F if adds else 0x1F, insn.dst, _AX))
    if source and negative and not immediate:
        out.append(op(0x27, offset, 0, 0, -1))
    return out


def barriers(body: Body) -> None:
    """Barriers before or after the instructions that the verifier marked, and after spills that could be bypassed."""
    patches: dict[int, list[Line]] = {}
    for i, line in enumerate(body.lines):
        if line.hint is None or line.pc < 0:
            continue
        before = [Line(op(_NOSPEC))] if line.hint.nospec else []
        stores = line.insn.kind in (ops.ST, ops.STX)        # atomic operations are barriers themselves
        after = [Line(op(_NOSPEC))] if stores and (line.hint.nospec_result or line.hint.sanitize_spill) else []
        if before or after:
            patches[i] = [*before, line, *after]
    body.rebuild(patches)
