"""Conditional jumps: which sides are possible, and what each side knows more.

      if pkt + 14 > pkt_end goto out        fall-through:  0 - length <= -14    (zones.py)
      if r1 < r2 goto L                     ranges of both, and r1 - r2 <= -1
      if r0 == 0 goto L                     every copy of a nullable pointer is null, or none is

A side that contradicts what is known is impossible: `assume` answers None.  What is learnt about one number is carried
to everything that has the same symbol, at whatever distance.

Sources: kernel/bpf/verifier.c `check_cond_jmp_op`, `try_match_pkt_pointers`, `mark_ptr_or_null_regs`; slides 29-31.
"""

from __future__ import annotations

from typing import Final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.arithmetic import DEDUCE, RULES
from bpfbench.fixpoint.context import Analysis
from bpfbench.fixpoint.memory import name
from bpfbench.fixpoint.state import State, symbol_range
from bpfbench.fixpoint.values import ANON, META_LENGTH, NUMBER, ZERO, Value, constant, length_symbol
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import bounds, refine, tnum
from bpfbench.verifier.scalar import Scalar

MAX_PACKET_OFFSET: Final = 0xFFFF
_ORDERED: Final = (ops.JGT, ops.JGE, ops.JLT, ops.JLE)
_SIGNED: Final = {ops.JSGT: ops.JGT, ops.JSGE: ops.JGE, ops.JSLT: ops.JLT, ops.JSLE: ops.JLE}
_NOT_NULL: Final = frozenset((vs.VALUE, vs.KEY, vs.MAP, vs.MEM, vs.RECORD, vs.SOCKET, vs.SOCK_COMMON, vs.TCP_SOCK,
                              vs.XDP_SOCK))
_NEVER_NULL: Final = frozenset((vs.STACK, vs.CTX, vs.PACKET, vs.META, vs.FLOW_KEYS))       # Linux does not ask these


def assume(w: Analysis, state: State, insn: Instruction, taken: bool) -> bool:
    """Narrow the state to one side of the jump; False: that side is impossible."""
    a = w.read(state, insn.dst)
    b = constant(insn.imm) if insn.op.imm else w.read(state, insn.src)
    fn = insn.op.fn if taken else refine.NEGATE[insn.op.fn]
    low = insn.kind == ops.JMP32
    if a.kind == NUMBER and b.kind == NUMBER:
        if not insn.op.imm and not low:
            a, b = name(w, state, insn.dst), name(w, state, insn.src)       # so that their difference can be noted
        return _numbers(w, state, insn, a, b, fn, low)
    if low:
        return True
    if fn in (ops.JEQ, ops.JNE) and (a.is_zero or b.is_zero) and (a.kind > NUMBER or b.kind > NUMBER):
        ptr = b if a.is_zero else a
        if "nulls" not in w.beyond and (ptr.kind in _NEVER_NULL or (ptr.nullable and not insn.op.imm)):
            return True
        return _null(state, ptr, fn == ops.JEQ)
    if fn == ops.JEQ:
        for one, other in ((a, b), (b, a)):
            if one.nullable and other.kind in _NOT_NULL and not other.nullable:
                return _null(state, one, False)
    if a.kind in (vs.PACKET, vs.META, vs.END) and b.kind in (vs.PACKET, vs.META, vs.END) and fn in _ORDERED:
        if "relations" in w.beyond or vs.END in (a.kind, b.kind) or a.kind != b.kind:
            return _packet(state, a, b, fn, "relations" in w.beyond)
    return True


# Null ---------------------------------------------------------------------------------------------------------------


def _null(state: State, ptr: Value, is_null: bool) -> bool:
    if not ptr.nullable:
        return not (is_null and (ptr.kind in _NOT_NULL or ptr.kind in _NEVER_NULL))
    ident = ptr.ident
    if is_null and ptr.ref:
        state.refs = [ref for ref in state.refs if ref.ident != ident]
    for f in state.frames:
        for i, v in enumerate(f.regs):
            if v.ident == ident and v.nullable:
                f.regs[i] = constant(0) if is_null else v.settled()
        for at, (size, v) in list(f.cells.items()):
            if v.ident == ident and v.nullable:
                f.cells[at] = (size, constant(0) if is_null else v.settled())
    return True


# Packets ------------------------------------------------------------------------------------------------------------


def _packet(state: State, a: Value, b: Value, fn: int, relations: bool) -> bool:
    """offset fn length, offset fn offset: as differences.

    Without `relations` only a pointer that a comparison has found beyond the end is known to stay there.
    """
    x, y = _place(a, b), _place(b, a)
    if x is None or y is None:
        return True
    if fn in (ops.JGT, ops.JGE):
        x, y = y, x
    c = y[1] - x[1] - (1 if fn in (ops.JLT, ops.JGT) else 0)       # x.sym + x.delta <= y.sym + y.delta (- 1)
    zones = state.zones
    back = zones.bound(y[0], x[0]) if relations else zones.edges.get(y[0], {}).get(x[0]) if y[2] is None else None
    if back is not None and back + c < 0:
        return False
    zones.add(x[0], y[0], c)
    if x[2] is not None and y[2] is None:
        least = y[1] - x[2] - (1 if fn in (ops.JLT, ops.JGT) else 0)
        zones.add(ZERO, y[0], least)
        if y[0] != META_LENGTH and x[0] == ZERO:
            for other in {length_symbol(v) for v in state.locations() if v.kind == vs.PACKET and v.frame}:
                zones.add(ZERO, other, least)
    return True


def _place(p: Value, other: Value) -> tuple[int, int, int | None] | None:
    """A packet pointer as symbol + delta, counted from where both pointers count, and its least offset."""
    if p.kind == vs.END:
        return (length_symbol(other), 0, None) if other.kind == vs.PACKET else None
    if p.kind == vs.PACKET and other.kind == vs.META:
        return (META_LENGTH, p.scalar.smin, None) if p.scalar.m == 0 and p.scalar.smin == 0 else None
    if not -MAX_PACKET_OFFSET <= p.scalar.smin <= p.scalar.smax <= MAX_PACKET_OFFSET:
        return None
    if p.sym == ANON or symbol_range(p) is None:
        if p.scalar.m:
            return None
        return ZERO, p.scalar.smin, p.scalar.smin
    return p.sym, p.delta, p.scalar.smin


# Numbers ------------------------------------------------------------------------------------------------------------


def _numbers(w: Analysis, state: State, insn: Instruction, a: Value, b: Value, fn: int, low: bool) -> bool:
    same = not insn.op.imm and insn.src == insn.dst
    if fn == refine.NOT_JSET:
        if refine.decide(a.scalar, b.scalar, ops.JSET, low, refine.BITS_TOO) == 1:
            return False
    elif refine.decide(a.scalar, b.scalar, fn, low, refine.BITS_TOO) == 0:
        return False
    if not low and "relations" in w.beyond and _contradicts(state, a, b, fn):
        return False
    x, y = refine.refine(a.scalar, b.scalar, fn, low, refine.BITS_TOO, DEDUCE, same)
    if fn == refine.NOT_JSET and "tests" in w.beyond:       # the rule forgets ranges; they still hold
        x = _meet(x, a.scalar)
        y = _meet(y, b.scalar)
    strict = "tests" in w.beyond
    if bounds.broken(x) or bounds.broken(y):
        if strict:
            return False
        x, y = (bounds.without_ranges(s) if bounds.broken(s) else s for s in (x, y))
    if not _learn(state, insn.dst, a, x, strict):
        return False
    if not insn.op.imm and not same and not _learn(state, insn.src, b, y, strict):
        return False
    if not low and not insn.op.imm:
        _difference(state, a, b, fn)
    return True


def _learn(state: State, r: int, old: Value, scalar: Scalar, strict: bool) -> bool:
    """The number in register r, and all that depend on it, are narrowed; False: to nothing (with `strict`)."""
    regs = state.regs
    if scalar.m == 0:
        regs[r] = constant(scalar.v)
    elif not scalar.same(old.scalar):
        regs[r] = old.at(scalar, old.sym, old.delta)
    if old.sym == ANON or old.sym == ZERO:
        return True
    if old.sym < 0:
        span = symbol_range(old.at(scalar, old.sym, old.delta))
        if span is not None:
            state.zones.add(ZERO, old.sym, -span[0])
            state.zones.add(old.sym, ZERO, span[1])
    for f in state.frames:
        for i, v in enumerate(f.regs):
            if v.sym == old.sym and (f is not state.frames[-1] or i != r):
                fresh = _follow(v, old, scalar, strict)
                if fresh is None:
                    return False
                f.regs[i] = fresh
        for at, (size, v) in list(f.cells.items()):
            if v.sym == old.sym:
                fresh = _follow(v, old, scalar, strict)
                if fresh is None:
                    return False
                f.cells[at] = (size, fresh)
    for head, v in list(state.counters.items()):
        if v.sym == old.sym:
            fresh = _follow(v, old, scalar, strict)
            if fresh is None:
                return False
            state.counters[head] = fresh
    return True


def _follow(v: Value, old: Value, scalar: Scalar, strict: bool) -> Value | None:
    """v has the symbol of `old`, which is now known to be `scalar`."""
    step = v.delta - old.delta
    known = scalar if step == 0 else RULES.transfer(ops.ADD, True, scalar, Scalar.const(step))
    s = _meet(known, v.scalar)
    if bounds.broken(s):
        if strict:
            return None
        s = bounds.without_ranges(known)
    if s.m == 0 and v.kind == NUMBER:
        return constant(s.v)
    if s.m == 0:
        return v.at(s, ZERO, s.smin)
    return v.at(s, v.sym, v.delta)


def _meet(a: Scalar, b: Scalar) -> Scalar:
    """What both say."""
    v, m = tnum.intersect((a.v, a.m), (b.v, b.m))
    s = Scalar(v, m, max(a.umin, b.umin), min(a.umax, b.umax), max(a.smin, b.smin), min(a.smax, b.smax),
               max(a.u32min, b.u32min), min(a.u32max, b.u32max), max(a.s32min, b.s32min), min(a.s32max, b.s32max))
    if s.umin > s.umax or s.smin > s.smax or s.u32min > s.u32max or s.s32min > s.s32max:
        return s
    return bounds.deduce(s, DEDUCE)


def _terms(a: Value, b: Value, fn: int) -> tuple[Value, Value, int] | None:
    """The comparison as  x <= y - strict,  where both are known as integers."""
    if fn in _SIGNED:
        if a.scalar.smin < 0 or b.scalar.smin < 0:
            return None
        fn = _SIGNED[fn]
    if fn not in _ORDERED:
        return None
    if fn in (ops.JGT, ops.JGE):
        a, b = b, a
    if a.sym == ANON or b.sym == ANON or symbol_range(a) is None or symbol_range(b) is None:
        return None
    return a, b, 1 if fn in (ops.JGT, ops.JLT) else 0


def _contradicts(state: State, a: Value, b: Value, fn: int) -> bool:
    found = _terms(a, b, fn)
    if found is None or not state.zones.count:
        return False
    x, y, strict = found
    back = state.zones.bound(y.sym, x.sym)              # y - x of the symbols is at most that
    return back is not None and back + y.delta - x.delta - strict < 0


def _difference(state: State, a: Value, b: Value, fn: int) -> None:
    if fn == ops.JEQ:
        pairs = [_terms(a, b, ops.JLE), _terms(b, a, ops.JLE)]
    else:
        pairs = [_terms(a, b, fn)]
    for found in pairs:
        if found is not None:
            x, y, strict = found
            if x.sym > 0 or y.sym > 0:
                state.zones.add(x.sym, y.sym, y.delta - x.delta - strict)
