"""What arithmetic does to values: numbers by the verifier's transfer functions, pointers by moving their offset.

Numbers use `verifier/transfer.py`, the rules of Linux 6.18, so that what is a known bound there is one here.  A few
operations that the kernel gives up on are modelled besides, where asked for (`beyond`, context.py):

| operation | here |
|---|---|
| a / b, a % b, unsigned | 0 .. a.umax / b.umin,  0 .. b.umax - 1, not above a |
| shifts by an unknown amount below the width | ends shifted by both ends |

Sources: kernel/bpf/verifier.c `adjust_scalar_min_max_vals`, `adjust_ptr_min_max_vals`.
"""

from __future__ import annotations

from typing import Final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.values import ANON, Value, constant, number
from bpfbench.isa import ops
from bpfbench.verifier import bounds, tnum
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, UNKNOWN, Scalar, s32, s64
from bpfbench.verifier.transfer import Arithmetic

RULES: Final = Arithmetic(2, tnum.MUL_UNION, bounds.DEDUCE_618, True)      # those of 6.18
DEDUCE: Final = bounds.DEDUCE_618


def between(low: int, high: int) -> Scalar:
    """Any number of low … high (unsigned).

    >>> between(0, 7)
    <scalar(smin=smin32=0,smax=umax=smax32=umax32=7,var_off=(0x0; 0x7))>
    """
    if low == high:
        return Scalar.const(low)
    s = UNKNOWN.copy()
    s.umin, s.umax = low, high
    return bounds.deduce(s, DEDUCE)


def between_signed(low: int, high: int) -> Scalar:
    """Any number of low … high (signed)."""
    if low == high:
        return Scalar.const(low)
    s = UNKNOWN.copy()
    s.smin, s.smax = low, high
    return bounds.deduce(s, DEDUCE)


def cut(value: Value, size: int) -> Value:
    """The low `size` bytes of a number, zero-extended."""
    if size == 8:
        return value
    if value.scalar.umax < 1 << 8 * size:
        return value
    return number(bounds.truncated(value.scalar, size, DEDUCE))


def shifted_down(value: Value, bits: int) -> Value:
    if not bits:
        return value
    return number(RULES.transfer(ops.RSH, True, value.scalar, Scalar.const(bits)))


def extended(value: Value, size: int, width: int) -> Value:
    """The low `size` bytes, sign-extended to `width` bits."""
    same = value.scalar.umax < 1 << (8 * size - 1)
    s = bounds.sign_extended(value.scalar, size, width).copy()
    if width == 32:
        bounds.zext32(s)
    s = bounds.deduce(s, DEDUCE)
    return value.at(s, value.sym, value.delta) if same and s.m else number(s)


def swapped(value: Value, fn: int, size: int) -> Value:
    """Byte order: `fn` LE cuts, BE and BSWAP swap the low `size` bits."""
    s = value.scalar
    if fn != ops.LE:
        v, m = tnum.swap((s.v, s.m), size)
        s = Scalar(v, m, 0, U64_MAX, S64_MIN, S64_MAX, 0, U32_MAX, S32_MIN, S32_MAX)
    elif size == 64:
        return value
    if size < 64:
        s = bounds.truncated(s, size // 8, DEDUCE)
    return number(bounds.deduce(s.copy(), DEDUCE))


def low_half(value: Value) -> Value:
    """w2 = w1"""
    if value.scalar.umax <= U32_MAX:
        return value
    return number(bounds.truncated(value.scalar, 4, DEDUCE))


def compute(fn: int, wide: bool, a: Value, b: Value, division: bool = False) -> Value:
    """a fn b for two numbers; sums with a constant keep the symbol.  `division`: also what Linux gives up on."""
    s = scalar_of(fn, wide, a.scalar, b.scalar, division)
    if s.m == 0:
        return constant(s.v)
    if wide and fn == ops.ADD and b.scalar.m == 0 and a.sym != ANON:
        return Value(vs.NUMBER, s, a.sym, a.delta + s64(b.scalar.v))
    if wide and fn == ops.ADD and a.scalar.m == 0 and b.sym != ANON:
        return Value(vs.NUMBER, s, b.sym, b.delta + s64(a.scalar.v))
    if wide and fn == ops.SUB and b.scalar.m == 0 and a.sym != ANON:
        return Value(vs.NUMBER, s, a.sym, a.delta - s64(b.scalar.v))
    if not wide and fn in (ops.ADD, ops.SUB) and b.scalar.m == 0 and a.sym != ANON and a.scalar.umax <= U32_MAX:
        step = s32(b.scalar.v) if fn == ops.ADD else -s32(b.scalar.v)
        if a.scalar.umin + step >= 0 and a.scalar.umax + step <= U32_MAX:
            return Value(vs.NUMBER, s, a.sym, a.delta + step)
    return number(s)


def scalar_of(fn: int, wide: bool, a: Scalar, b: Scalar, division: bool) -> Scalar:
    """Bits and ranges of a fn b."""
    if fn == ops.NEG or RULES.models(fn, wide, b):
        return RULES.transfer(fn, wide, a, b)
    if not division:
        return UNKNOWN          # not even that 32-bit operations clear the upper half
    if a.m == 0 and b.m == 0 and fn in (ops.DIV, ops.MOD, ops.SDIV, ops.SMOD):
        return Scalar.const(_divide(fn, wide, a.v, b.v))
    mask = U64_MAX if wide else U32_MAX
    low, high, least, most = (a.umin, a.umax, b.umin, b.umax) if wide else (a.u32min, a.u32max, b.u32min, b.u32max)
    if fn == ops.DIV:
        return between(0, high // least) if least else between(0, high)
    if fn == ops.MOD:
        return between(0, min(high, most - 1)) if least else between(0, high)
    if fn == ops.RSH and most < (64 if wide else 32):
        return between(low >> most, high >> least)
    if fn == ops.LSH and most < (64 if wide else 32) and high << most <= mask:
        return between(low << least, high << most)
    return UNKNOWN if wide else between(0, U32_MAX)


def _divide(fn: int, wide: bool, a: int, b: int) -> int:
    """Division as the machine does it: by zero 0, the remainder then is the dividend."""
    mask = U64_MAX if wide else U32_MAX
    a, b = a & mask, b & mask
    if fn in (ops.SDIV, ops.SMOD):
        x, y = (s64(a), s64(b)) if wide else (s32(a), s32(b))
        if y == 0:
            return 0 if fn == ops.SDIV else a
        q = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
        return (q if fn == ops.SDIV else x - q * y) & mask
    if b == 0:
        return 0 if fn == ops.DIV else a
    return a // b if fn == ops.DIV else a % b


def moved(ptr: Value, by: Value, fresh: int) -> Value:
    """ptr + by; `fresh` is the symbol to use where the sum of two symbols needs one."""
    s = offset_sum(ptr.scalar, by.scalar)
    if s.m == 0:
        return ptr.at(s, vs.ZERO, s64(s.v), s64(by.scalar.v))
    if by.scalar.m == 0:
        step = s64(by.scalar.v)
        return ptr.at(s, ptr.sym, ptr.delta + step if ptr.sym != ANON else 0, step)
    if ptr.scalar.m == 0 and by.sym != ANON and by.scalar.smin >= 0:
        return ptr.at(s, by.sym, by.delta + s64(ptr.scalar.v))
    return ptr.at(s, fresh, 0)


def offset_sum(a: Scalar, b: Scalar) -> Scalar:
    """The sum of two offsets."""
    return RULES.transfer(ops.ADD, True, a, b)


def negated(by: Value) -> Value:
    s = RULES.transfer(ops.NEG, True, by.scalar, by.scalar) if by.scalar.m else Scalar.const(-s64(by.scalar.v))
    return number(s)

