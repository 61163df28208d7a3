"""What a comparison decides, and what each outcome teaches about the two numbers compared.

`decide` says whether a jump is taken for all values that the operands may have (1), for none (0) or for some (-1).
For "some", the walker forks, and `refine` narrows both operands on either side:

      if r1 < r2 goto L          taken:       r1.umax <= r2.umax - 1      r2.umin >= r1.umin + 1
                                 not taken:   r1.umin >= r2.umin          r2.umax <= r1.umax

Sources: kernel/bpf/verifier.c `is_scalar_branch_taken`, `regs_refine_cond_op`; slides 29-31.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.verifier import tnum
from bpfbench.verifier.bounds import deduce
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, Scalar, s32, s64

NOT_JSET: Final = 16            # the other outcome of JSET has no operation of its own

FLIP: Final[dict[int, int]] = {     # a OP b  ==  b FLIP[OP] a
    ops.JEQ: ops.JEQ, ops.JNE: ops.JNE, ops.JSET: ops.JSET, ops.JGE: ops.JLE, ops.JGT: ops.JLT, ops.JLE: ops.JGE,
    ops.JLT: ops.JGT, ops.JSGE: ops.JSLE, ops.JSGT: ops.JSLT, ops.JSLE: ops.JSGE, ops.JSLT: ops.JSGT,
}  # fmt: skip
NEGATE: Final[dict[int, int]] = {   # not (a OP b)  ==  a NEGATE[OP] b
    ops.JEQ: ops.JNE, ops.JNE: ops.JEQ, ops.JSET: NOT_JSET, NOT_JSET: ops.JSET, ops.JGE: ops.JLT, ops.JGT: ops.JLE,
    ops.JLE: ops.JGT, ops.JLT: ops.JGE, ops.JSGE: ops.JSLT, ops.JSGT: ops.JSLE, ops.JSLE: ops.JSGT,
    ops.JSLT: ops.JSGE,
}  # fmt: skip

JUST_CONST: Final = 0           # up to 6.7: only comparisons with a constant decide and refine
BOTH_SIDES: Final = 1           # 6.8 on
BITS_TOO: Final = 2             # 6.18 on (and stable releases): disjoint bits, disjoint low halves decide equality


def is_const(s: Scalar, low: bool) -> bool:
    return not s.m & U32_MAX if low else s.m == 0


def decide(a: Scalar, b: Scalar, fn: int, low: bool, how: int) -> int:
    """1, 0 or -1: is `a fn b` true for all, no, or some values; `low` compares the low halves.

    >>> decide(Scalar.const(3), Scalar.const(4), ops.JLT, False, BITS_TOO)
    1
    """
    if how == JUST_CONST and not is_const(b, low):
        return -1
    if fn in (ops.JEQ, ops.JNE):
        equal = _equal(a, b, low, how)
        return equal if fn == ops.JEQ or equal < 0 else 1 - equal
    if fn == ops.JSET:
        return _some_bit(a, b, low)
    if fn in (ops.JGT, ops.JLT, ops.JGE, ops.JLE):
        al, ah, bl, bh = (a.u32min, a.u32max, b.u32min, b.u32max) if low else (a.umin, a.umax, b.umin, b.umax)
    else:
        al, ah, bl, bh = (a.s32min, a.s32max, b.s32min, b.s32max) if low else (a.smin, a.smax, b.smin, b.smax)
    if fn in (ops.JLT, ops.JSLT):
        al, ah, bl, bh, fn = bl, bh, al, ah, ops.JGT
    elif fn in (ops.JLE, ops.JSLE):
        al, ah, bl, bh, fn = bl, bh, al, ah, ops.JGE
    if fn in (ops.JGT, ops.JSGT):
        return 1 if al > bh else 0 if ah <= bl else -1
    return 1 if al >= bh else 0 if ah < bl else -1


def _equal(a: Scalar, b: Scalar, low: bool, how: int) -> int:
    if low:
        if not a.m & U32_MAX and not b.m & U32_MAX:
            return 1 if (a.v ^ b.v) & U32_MAX == 0 else 0
        if how == JUST_CONST:
            return -1
        if how == BITS_TOO and not tnum.overlap(tnum.cast((a.v, a.m), 4), tnum.cast((b.v, b.m), 4)):
            return 0
        if a.u32min > b.u32max or a.u32max < b.u32min or a.s32min > b.s32max or a.s32max < b.s32min:
            return 0
        return -1
    if not a.m and not b.m:
        return 1 if a.v == b.v else 0
    if how == JUST_CONST:
        return -1
    if how == BITS_TOO and not tnum.overlap((a.v, a.m), (b.v, b.m)):
        return 0
    if a.umin > b.umax or a.umax < b.umin or a.smin > b.smax or a.smax < b.smin:
        return 0
    if how >= BOTH_SIDES and (a.u32min > b.u32max or a.u32max < b.u32min or a.s32min > b.s32max or a.s32max < b.s32min):
        return 0
    return -1


def _some_bit(a: Scalar, b: Scalar, low: bool) -> int:
    if not is_const(b, low):
        a, b = b, a
        if not is_const(b, low):
            return -1
    value = b.v & U32_MAX if low else b.v
    if a.v & value:
        return 1
    return -1 if (a.v | a.m) & value else 0


def refine(a: Scalar, b: Scalar, fn: int, low: bool, how: int, deduce_how: int,
           same: bool = False) -> tuple[Scalar, Scalar]:
    """Both operands, given that `a fn b` is true; `same` when they are one register, narrowed twice."""
    x = a.copy()
    y = x if same else b.copy()
    if fn in (ops.JGE, ops.JGT, ops.JSGE, ops.JSGT):
        _narrow(y, x, FLIP[fn], low)
    else:
        _narrow(x, y, fn, low, how)
    deduce(x, deduce_how)
    deduce(y, deduce_how)
    return x, y


def _narrow(a: Scalar, b: Scalar, fn: int, low: bool, how: int = BITS_TOO) -> None:
    if fn == ops.JEQ:
        _meet(a, b, low)
    elif fn in (ops.JNE, ops.JSET, NOT_JSET):
        if not is_const(b, low):
            a, b = b, a
        if is_const(b, low):
            value = b.v & U32_MAX if low else b.v
            if fn == ops.JNE:
                _exclude(a, value, low)
            else:
                _bits_tested(a, value, fn == ops.JSET, low, how)
    elif low:
        _order32(a, b, fn)
    else:
        _order64(a, b, fn)


def _meet(a: Scalar, b: Scalar, low: bool) -> None:
    if low:
        a.u32min = b.u32min = max(a.u32min, b.u32min)
        a.u32max = b.u32max = min(a.u32max, b.u32max)
        a.s32min = b.s32min = max(a.s32min, b.s32min)
        a.s32max = b.s32max = min(a.s32max, b.s32max)
        both = tnum.intersect(tnum.cast((a.v, a.m), 4), tnum.cast((b.v, b.m), 4))
        a.v, a.m = tnum.with_low32((a.v, a.m), both)
        b.v, b.m = tnum.with_low32((b.v, b.m), both)
        return
    a.umin = b.umin = max(a.umin, b.umin)
    a.umax = b.umax = min(a.umax, b.umax)
    a.smin = b.smin = max(a.smin, b.smin)
    a.smax = b.smax = min(a.smax, b.smax)
    a.v, a.m = b.v, b.m = tnum.intersect((a.v, a.m), (b.v, b.m))


def _exclude(a: Scalar, value: int, low: bool) -> None:
    """`value` at an end of a range is cut off."""
    if low:
        if a.u32min == value:
            a.u32min = (a.u32min + 1) & U32_MAX
        if a.u32max == value:
            a.u32max = (a.u32max - 1) & U32_MAX
        signed = s32(value)
        if a.s32min == signed:
            a.s32min = s32(a.s32min + 1)
        if a.s32max == signed:
            a.s32max = s32(a.s32max - 1)
        return
    if a.umin == value:
        a.umin = (a.umin + 1) & U64_MAX
    if a.umax == value:
        a.umax = (a.umax - 1) & U64_MAX
    signed = s64(value)
    if a.smin == signed:
        a.smin = s64(a.smin + 1)
    if a.smax == signed:
        a.smax = s64(a.smax - 1)


def _bits_tested(a: Scalar, value: int, some: bool, low: bool, how: int) -> None:
    if some:
        if value and not value & (value - 1):
            bits = tnum.or_((a.v, a.m), (value, 0))
            a.v, a.m = tnum.with_low32((a.v, a.m), bits) if low else bits
        return
    if how == BITS_TOO:         # keeping the ranges could contradict the bits
        a.umin, a.umax, a.smin, a.smax = 0, U64_MAX, S64_MIN, S64_MAX
        a.u32min, a.u32max, a.s32min, a.s32max = 0, U32_MAX, S32_MIN, S32_MAX
    bits = tnum.and_((a.v, a.m), (~value & U64_MAX, 0))
    a.v, a.m = tnum.with_low32((a.v, a.m), bits) if low else bits


def _order32(a: Scalar, b: Scalar, fn: int) -> None:
    if fn == ops.JLE:
        a.u32max = min(a.u32max, b.u32max)
        b.u32min = max(a.u32min, b.u32min)
    elif fn == ops.JLT:
        a.u32max = min(a.u32max, (b.u32max - 1) & U32_MAX)
        b.u32min = max((a.u32min + 1) & U32_MAX, b.u32min)
    elif fn == ops.JSLE:
        a.s32max = min(a.s32max, b.s32max)
        b.s32min = max(a.s32min, b.s32min)
    elif fn == ops.JSLT:
        a.s32max = min(a.s32max, s32(b.s32max - 1))
        b.s32min = max(s32(a.s32min + 1), b.s32min)


def _order64(a: Scalar, b: Scalar, fn: int) -> None:
    if fn == ops.JLE:
        a.umax = min(a.umax, b.umax)
        b.umin = max(a.umin, b.umin)
    elif fn == ops.JLT:
        a.umax = min(a.umax, (b.umax - 1) & U64_MAX)
        b.umin = max((a.umin + 1) & U64_MAX, b.umin)
    elif fn == ops.JSLE:
        a.smax = min(a.smax, b.smax)
        b.smin = max(a.smin, b.smin)
    elif fn == ops.JSLT:
        a.smax = min(a.smax, s64(b.smax - 1))
        b.smin = max(s64(a.smin + 1), b.smin)
