"""Arithmetic of 64 bits on pairs of 32: moves, logic, carries, shifts, multiplication, division, byte order.

    add64     alu[dL, dL, +, sL]; alu[dH, dH, +carry, sH]          shifts     nfp_shifts.py
    mul       mul_step: 8 bits of the multiplier a step            div        by a constant, as a multiplication

Where nobody reads the upper half of a result (`Step.wide` is False), there is no code for it.
Source: `wrp_*` of the driver's bpf/jit.c; lib/math/reciprocal_div.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bpfbench.isa import ops
from bpfbench.jit.nfp_emit import TEMP_A, TEMP_B, U32, Writer, a, b, both
from bpfbench.jit.nfp_shifts import SPARE, TEMP, shift

if TYPE_CHECKING:
    from bpfbench.jit.nfp import Generator
    from bpfbench.nfp.notes import Step

LOGIC: Final = {ops.AND: "AND", ops.OR: "OR", ops.XOR: "XOR"}
SUMS: Final = {ops.ADD: ("+", "+carry"), ops.SUB: ("-", "-carry")}


def half(value: int, high: bool) -> int:
    """One half of a sign-extended constant."""
    return value >> 32 & U32 if high else value & U32


def alu(g: Generator, s: Step) -> None:
    """ALU and ALU64, every operation."""
    fn, wide = s.insn.op.fn, s.insn.kind == ops.ALU64
    if fn == ops.MOV:
        move(g, s, wide)
    elif fn in LOGIC:
        logic(g, s, LOGIC[fn], wide)
    elif fn in SUMS:
        add_or_subtract(g, s, SUMS[fn], wide)
    elif fn == ops.NEG:
        d = 2 * s.insn.dst
        g.w.alu(both(d), "0x0", "-", b(d))
        if wide and s.wide:
            g.w.alu(both(d + 1), "0x0", "-carry", b(d + 1))
        elif not wide:
            g.zext(s)
    elif fn in (ops.LSH, ops.RSH, ops.ARSH):
        shift(g, s, fn, wide)
    elif fn == ops.MUL:
        multiply(g, s, wide)
    elif fn == ops.DIV:
        divide(g, s, wide)
    elif fn == ops.MOD and s.insn.op.imm and not g.driver:
        remainder(g, s, wide)
    else:
        raise g.unsupported(s, f"operation {s.insn.op.id}")


def move(g: Generator, s: Step, wide: bool) -> None:
    w, insn = g.w, s.insn
    d, r = 2 * insn.dst, 2 * insn.src
    if insn.op.imm:
        w.const(both(d), insn.imm)
        if s.wide:
            w.const(both(d + 1), half(insn.imm, True) if wide else 0)
        return
    if wide and insn.src == 10:
        w.alu(both(d), "gprA_22", "+", w.operand(g.depth))
    elif g.driver or insn.src != insn.dst:
        w.mov(both(d), b(r))
    if s.wide and (g.driver or insn.src != insn.dst or not wide):
        if wide and insn.src != 10:
            w.mov(both(d + 1), b(r + 1))
        else:
            w.const(both(d + 1), 0)


def wide_constant(g: Generator, s: Step, value: int) -> None:
    w, d = g.w, 2 * s.insn.dst
    low, high = value & U32, value >> 32 & U32
    w.const(both(d), low)
    if not s.wide:
        return
    if low == high:
        w.mov(both(d + 1), a(d))
    else:
        w.const(both(d + 1), high)


def logic_constant(w: Writer, d: int, op: str, value: int, whole_bytes: bool = False) -> None:
    """One half; what cannot change it costs nothing."""
    if op == "AND" and value == 0:
        w.const(both(d), 0)
    elif op == "OR" and value == U32:
        w.const(both(d), U32)
    elif op == "XOR" and value == U32:
        w.alu(both(d), "--", "~B", b(d))
    elif whole_bytes and 255 < value < U32:
        w.field(both(d), byte_mask(value), a(d), clear=True)
    elif value != (U32 if op == "AND" else 0):
        w.alu(both(d), a(d), op, w.operand(value))


def byte_mask(value: int) -> int:
    """The bytes that a mask keeps, as ld_field names them.

    >>> byte_mask(0xFF00FF00)
    10
    """
    return sum(1 << lane for lane in range(4) if value >> 8 * lane & 1)


def logic(g: Generator, s: Step, op: str, wide: bool) -> None:
    d, r = 2 * s.insn.dst, 2 * s.insn.src
    for high in range(1 + (wide and s.wide)):
        if s.insn.op.imm:
            logic_constant(g.w, d + high, op, half(s.insn.imm, bool(high)), s.bytes)
        else:
            g.w.alu(both(d + high), a(d + high), op, b(r + high))
    if not wide:
        g.zext(s)


def add_or_subtract(g: Generator, s: Step, names: tuple[str, str], wide: bool) -> None:
    d, r = 2 * s.insn.dst, 2 * s.insn.src
    for high in range(1 + (wide and s.wide)):
        right = g.w.operand(half(s.insn.imm, bool(high))) if s.insn.op.imm else b(r + high)
        g.w.alu(both(d + high), a(d + high), names[high], right)
    if not wide:
        g.zext(s)


# ------------------------------------------------------------------------------------------- multiplication, division
def steps(w: Writer, left: str, right: str, bits: int) -> None:
    w.emit(f"mul_step[{left}, {right}], start")
    for number in range(1, bits // 8 + 1):
        w.emit(f"mul_step[{left}, {right}], {bits}x{bits}_step{number}")


def product(w: Writer, low: str, high: str, left: str, right: str) -> None:
    """32 by 32 bits: `low` and `high` half, "0x0" where nobody wants it."""
    steps(w, left, right, 32)
    w.emit(f"mul_step[{low}, --], 32x32_last")
    if high:
        w.emit(f"mul_step[{high}, --], 32x32_last2")


def multiply(g: Generator, s: Step, wide: bool) -> None:
    w, insn = g.w, s.insn
    d = 2 * insn.dst
    right = w.operand(insn.imm) if insn.op.imm else b(2 * insn.src)
    largest = insn.imm & U32 if insn.op.imm else s.note.src_max
    if max(s.note.dst_max, largest) > 0xFFFF:
        keep = wide and s.wide
        product(w, both(d), both(d + 1) if keep else "", a(d), right)
        if not wide and s.wide:
            w.const(both(d + 1), 0)
        return
    steps(w, a(d), right, 16)
    w.emit(f"mul_step[{both(d)}, --], 16x16_last")
    if not wide and not g.driver:
        g.zext(s)


def reciprocal(divisor: int, bits: int) -> tuple[int, int, bool]:
    """(factor, shift, wide): n / divisor = n * factor >> 32 + shift for n of `bits` bits; wide factors have 33 bits.

    >>> reciprocal(3, 32)
    (2863311531, 1, False)
    """
    shift = (divisor - 1).bit_length()
    low = (1 << 32 + shift) // divisor
    high = ((1 << 32 + shift) + (1 << 32 + shift - bits)) // divisor
    while shift and low >> 1 < high >> 1:
        low, high, shift = low >> 1, high >> 1, shift - 1
    return high & U32, shift, high >> 32 != 0


def divide(g: Generator, s: Step, wide: bool) -> None:
    divisor = s.insn.imm & (U32 if not wide or s.insn.imm >= 0 else (1 << 64) - 1) if s.insn.op.imm else s.note.amount
    if divisor is None:
        raise g.unsupported(s, "division by a register that has no single value")
    divide_constant(g, 2 * s.insn.dst, divisor if wide else divisor & U32)
    if not wide and not g.driver:
        g.zext(s)


def remainder(g: Generator, s: Step, wide: bool) -> None:
    """What is left of a number below 2^32 after dividing by a constant: n - n / k * k.  The driver has none."""
    w, d, divisor = g.w, 2 * s.insn.dst, s.insn.imm & U32
    if divisor & divisor - 1 == 0:
        logic_constant(w, d, "AND", divisor - 1)
    else:
        w.mov(both(SPARE), b(d))
        divide_constant(g, d, divisor)
        product(w, both(d), "", a(d), w.operand(divisor))
        w.alu(both(d), a(SPARE), "-", b(d))
    if not wide:
        g.zext(s)


def right_by(g: Generator, d: int, n: int) -> None:
    """A shift of the low half; by 0 it would become an indirect one, which the driver overlooks."""
    if n:
        g.w.shift(both(d), "--", "B", a(d), f">>{n}")
    elif g.driver:
        g.w.shift(both(d), "--", "B", a(d), ">>indirect")


def divide_constant(g: Generator, d: int, divisor: int) -> None:
    w = g.w
    if divisor == 0 or divisor > U32:
        w.const(both(d), 0)
    elif divisor > 1 << 31:
        w.alu("--", a(d), "-", w.operand(divisor))
        w.const(TEMP_A, 0)
        w.alu(both(d), TEMP_A, "+carry", "0x0")
    else:
        by_reciprocal(g, d, divisor)


def by_reciprocal(g: Generator, d: int, divisor: int) -> None:
    w, power = g.w, divisor & divisor - 1 == 0
    factor, after, wide = reciprocal(divisor, 32)
    before = 0
    if wide and not divisor & 1:
        before = (divisor & -divisor).bit_length() - 1
        factor, after, wide = reciprocal(divisor >> before, 32 - before)
    right = "" if power and not g.driver else w.operand(factor)
    if power:
        right_by(g, d, divisor.bit_length() - 1)
    elif wide:
        product(w, "0x0", both(TEMP), a(d), right)
        w.alu(both(d), a(d), "-", TEMP_B)
        w.shift(both(d), "--", "B", a(d), ">>1")
        w.alu(both(d), a(d), "+", TEMP_B)
        right_by(g, d, after - 1)
    else:
        if before:
            right_by(g, d, before)
        product(w, "0x0", both(d), a(d), right)
        right_by(g, d, after)


# --------------------------------------------------------------------------------------------------------- byte order
def swap32(w: Writer, src: str, dst: int) -> None:
    w.field(both(dst), 0b1111, src, rotate=8)
    w.field(both(dst), 0b0101, a(dst), rotate=16)


def byte_order(g: Generator, s: Step) -> None:
    w, d, bits = g.w, 2 * s.insn.dst, s.insn.op.size
    if s.insn.op.fn != ops.BE:
        raise g.unsupported(s, "byte order other than to big endian")
    if bits == 16:
        w.field(both(d), 0b1001, b(d), rotate=8)
        w.field(both(d), 0b1110, a(d), shift=16)
    elif bits == 32:
        swap32(w, a(d), d)
    elif s.wide:
        w.mov(TEMP_A, b(d + 1))
        swap32(w, a(d), d + 1)
        swap32(w, TEMP_A, d)
        return
    else:
        swap32(w, a(d + 1), d)
    if s.wide:
        w.const(both(d + 1), 0)
