"""ALU instructions on any kind of value: numbers are computed, pointers moved.

      r1 += 8          the offset grows by 8
      r1 += r2         the offset's range grows by that of r2, both remember the symbol of r2
      r3 = end - pkt   a number: the length of the packet less the offset
      r1 * 2           of a pointer: refused, as Linux does

Source: kernel/bpf/verifier.c `check_alu_op`, `adjust_ptr_min_max_vals`, `check_reg_sane_offset`; slides 18-20.
"""

from __future__ import annotations

from typing import Final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.arithmetic import between, compute, extended, low_half, moved, negated, swapped
from bpfbench.fixpoint.context import Analysis
from bpfbench.fixpoint.covers import MAX_LENGTH
from bpfbench.fixpoint.memory import name
from bpfbench.fixpoint.state import State, symbol_range
from bpfbench.fixpoint.values import ANON, ANY_NUMBER, NUMBER, Value, constant
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier.scalar import U32_MAX

MAX_OFFSET: Final = 1 << 29
_MOVABLE: Final = frozenset((vs.CTX, vs.VALUE, vs.KEY, vs.STACK, vs.META, vs.PACKET, vs.TP_BUFFER, vs.STRUCT, vs.MEM,
                             vs.RECORD, vs.FUNC, vs.DYNPTR, vs.FLOW_KEYS))


def alu(w: Analysis, state: State, insn: Instruction) -> None:
    """An ALU instruction of either width."""
    fn, wide, imm = insn.op.fn, insn.kind == ops.ALU64, insn.op.imm
    if fn == ops.MOV:
        _move(w, state, insn, wide)
        return
    if fn == ops.NEG:
        a = w.read(state, insn.dst)
        w.write(state, insn.dst, compute(ops.NEG, wide, a, a) if a.kind == NUMBER else ANY_NUMBER)
        return
    b = constant(insn.imm) if imm else w.read(state, insn.src)
    a = w.read(state, insn.dst)
    if imm and fn in (ops.DIV, ops.MOD, ops.SDIV, ops.SMOD) and insn.imm == 0:
        raise w.refuse("divide", "division by the constant 0")
    if imm and fn in (ops.LSH, ops.RSH, ops.ARSH) and not 0 <= insn.imm < (64 if wide else 32):
        raise w.refuse("divide", f"shift by {insn.imm}")
    if a.kind == NUMBER and b.kind == NUMBER:
        if fn in (ops.ADD, ops.SUB) and b.scalar.m == 0 and a.sym == ANON and a.scalar.m:
            a = name(w, state, insn.dst)
        w.write(state, insn.dst, compute(fn, wide, a, b, "division" in w.beyond))
        return
    w.write(state, insn.dst, _with_pointer(w, state, insn, a, b, wide))


def _move(w: Analysis, state: State, insn: Instruction, wide: bool) -> None:
    if insn.op.imm:
        w.write(state, insn.dst, constant(insn.imm if wide else insn.imm & U32_MAX))
        return
    v = w.read(state, insn.src)
    if v.kind == NUMBER:
        v = name(w, state, insn.src) if wide or v.scalar.umax <= U32_MAX else low_half(v)
    elif not wide:
        v = Value(NUMBER, between(0, U32_MAX), ANON)
    w.write(state, insn.dst, v)


def move_extended(w: Analysis, state: State, insn: Instruction) -> None:
    """dst = (s8/s16/s32)src"""
    v = w.read(state, insn.src)
    if v.kind != NUMBER:
        v = ANY_NUMBER
    elif v.scalar.umax < 1 << (insn.op.size - 1):
        v = name(w, state, insn.src)
    w.write(state, insn.dst, extended(v, insn.op.size // 8, 64 if insn.op.fn == 64 else 32))


def byte_order(w: Analysis, state: State, insn: Instruction) -> None:
    v = w.read(state, insn.dst)
    w.write(state, insn.dst, swapped(v, insn.op.fn, insn.op.size) if v.kind == NUMBER else ANY_NUMBER)


def _with_pointer(w: Analysis, state: State, insn: Instruction, a: Value, b: Value, wide: bool) -> Value:
    """At least one operand is a pointer."""
    fn, dst = insn.op.fn, insn.dst
    if a.kind > NUMBER and b.kind > NUMBER:
        if fn != ops.SUB:
            raise w.refuse("pointer-arithmetic", f"r{dst}: {vs.text(a)} and {vs.text(b)} are both pointers", dst, insn.src)
        return _distance(a, b) if wide and "lengths" in w.beyond else ANY_NUMBER
    ptr, by = (a, b) if a.kind > NUMBER else (b, a)
    if not wide:
        if fn == ops.SUB:
            return ANY_NUMBER               # Linux does not note that the upper half is clear
        raise w.refuse("pointer-arithmetic", f"32-bit arithmetic on {vs.text(ptr)} in r{dst}", dst)
    if fn not in (ops.ADD, ops.SUB):
        raise w.refuse("pointer-arithmetic", f"no such operation on a pointer, r{dst}: {vs.text(ptr)}", dst)
    if ptr.nullable:
        raise w.refuse("maybe-null", f"{vs.text(ptr)} in r{dst} is moved before it is known not to be null", dst)
    if ptr.kind not in _MOVABLE and not (by.is_zero and ptr.kind == vs.MAP and fn == ops.ADD):
        raise w.refuse("pointer-arithmetic", f"{vs.text(ptr)} in r{dst} cannot be moved", dst)
    _bounded(w, dst, ptr, by)
    if fn == ops.SUB:
        if a.kind == NUMBER:
            raise w.refuse("pointer-arithmetic", f"a pointer is taken from a number, r{dst}", dst)
        if ptr.kind == vs.STACK:
            raise w.refuse("pointer-arithmetic", f"subtraction from a stack pointer, r{dst}", dst)
        by = negated(by)
    out = moved(ptr, by, w.names.fresh())
    _bounded(w, dst, out, constant(0))
    if ptr.kind in vs.IN_PACKET and out.scalar.m and ptr.scalar.m and by.scalar.m:
        _tie(state, out, ptr, by)
        _tie(state, out, by, ptr)
    return out


def _tie(state: State, out: Value, one: Value, other: Value) -> None:
    """out = one + other: out differs from one by as much as the other may be."""
    if one.sym != ANON and out.scalar.smin >= 0 and symbol_range(one) is not None and one.scalar.smin >= 0:
        state.zones.add(out.sym, one.sym, one.delta + other.scalar.smax)
        state.zones.add(one.sym, out.sym, -one.delta - other.scalar.smin)


def _bounded(w: Analysis, r: int, ptr: Value, by: Value) -> None:
    for v in (by, ptr):
        s = v.scalar
        if s.smin <= -MAX_OFFSET or (s.m == 0 and s.smin >= MAX_OFFSET):
            raise w.refuse("unbounded-offset", f"r{r}: {vs.text(ptr)} is moved by {vs.text(by)}", r)
        if s.smin >= MAX_OFFSET:
            raise w.refuse("unbounded-offset", f"r{r}: {vs.text(ptr)} is moved by {vs.text(by)}", r)


def _distance(a: Value, b: Value) -> Value:
    """end - pkt is the length of the packet less the offset; other differences of pointers are some number."""
    if a.kind == vs.END and b.kind == vs.PACKET and b.scalar.m == 0 and b.scalar.v == 0:
        return Value(NUMBER, between(0, MAX_LENGTH), vs.LENGTH, 0)
    if a.kind == b.kind == vs.PACKET and b.scalar.m == 0 and b.scalar.v == 0 and a.scalar.smin >= 0:
        return Value(NUMBER, a.scalar, a.sym, a.delta)
    return ANY_NUMBER
