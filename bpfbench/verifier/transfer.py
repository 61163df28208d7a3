"""What an arithmetic operation does to what is known about its operands.

`transfer` takes the known bits and ranges of two numbers and answers with those of the result.  Bits are computed by
tnum.py, ranges here, each view from the same view of the operands:

      unsigned   umin+umin' .. umax+umax'      unless some of the sums wrap and others do not
      signed     smin+smin' .. smax+smax'      unless one overflows

and `bounds.deduce` then lets the views inform each other.  32-bit operations compute the low half and clear the rest.
Operations that the kernel does not model (division, remainder, byte swaps) give an unknown number.

| gen | rules |
|---|---|
| 0 | up to 6.7: products and bitwise operations need both operands non-negative |
| 1 | 6.8 to 6.13: bitwise operations tell signs from unsigned results |
| 2 | 6.14 on: products of signed ranges; 6.17 on: sums that all wrap; negation |

Sources: kernel/bpf/verifier.c `adjust_scalar_min_max_vals`, `scalar_min_max_*`; slides 18, 19, 29.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from bpfbench.isa import ops
from bpfbench.verifier import bounds, tnum
from bpfbench.verifier.scalar import (
    S32_MAX,
    S32_MIN,
    S64_MAX,
    S64_MIN,
    U32_MAX,
    U64_MAX,
    UNKNOWN,
    Scalar,
    s32,
    s64,
)  # fmt: skip


@final
class Arithmetic:
    """The transfer functions of one kernel: which `gen`eration of rules, which product of bits, how far to `deduce`."""

    __slots__ = ("gen", "mul", "deduce", "neg", "faulty")

    def __init__(self, gen: int, mul: int, deduce: int, neg: bool) -> None:
        self.gen = gen
        self.mul = mul
        self.deduce = deduce
        self.neg = neg
        self.faulty: Callable[[Arithmetic, int, bool, Scalar, Scalar], Scalar | None] | None = None   # history/

    def transfer(self, fn: int, wide: bool, a: Scalar, b: Scalar) -> Scalar:
        """The result of `a fn b` on 64 (wide) or 32 bits.

        >>> from bpfbench.isa import ops
        >>> Arithmetic(2, 1, 2, True).transfer(ops.ADD, True, Scalar.const(3), Scalar.const(4))
        <7>
        """
        if self.faulty is not None:
            wrong = self.faulty(self, fn, wide, a, b)
            if wrong is not None:
                return wrong
        if a.m == 0 and b.m == 0:
            known = fold(fn, wide, a.v, b.v)
            if known >= 0:
                return Scalar.const(known)
        if not self.models(fn, wide, b):
            return UNKNOWN
        s = a.copy()
        if fn == ops.NEG:
            bounds.set_known(s, 0)
            fn = ops.SUB
            b = a
        STEPS[fn](s, b, wide, self)
        if not wide:
            bounds.zext32(s)
        return bounds.deduce(s, self.deduce)

    def models(self, fn: int, wide: bool, b: Scalar) -> bool:
        """Does the kernel compute a range for it?  Shifts only by a known amount below the width."""
        if fn in (ops.ADD, ops.SUB, ops.AND):
            return True
        if fn in (ops.MUL, ops.OR, ops.XOR):
            return self.gen > 0 or (b.m == 0 if wide else not b.m & U32_MAX)
        if fn in (ops.LSH, ops.RSH, ops.ARSH):
            if wide:
                return b.m == 0 and b.umax < 64
            return not b.m & U32_MAX and b.u32min == b.u32max and b.umax < 32
        return fn == ops.NEG and self.neg


def fold(fn: int, wide: bool, a: int, b: int) -> int:
    """The result for two known numbers, or -1 where the kernel does not compute it."""
    if not wide:
        a &= U32_MAX
        b &= U32_MAX
    if fn == ops.ADD:
        r = a + b
    elif fn == ops.SUB:
        r = a - b
    elif fn == ops.MUL:
        r = a * b
    elif fn == ops.AND:
        r = a & b
    elif fn == ops.OR:
        r = a | b
    elif fn == ops.XOR:
        r = a ^ b
    elif fn in (ops.LSH, ops.RSH, ops.ARSH) and b < (64 if wide else 32):
        if fn == ops.LSH:
            r = a << b
        elif fn == ops.RSH:
            r = a >> b
        else:
            r = (s64(a) if wide else s32(a)) >> b
    else:
        return -1
    return r & (U64_MAX if wide else U32_MAX)


# Ranges of one width ------------------------------------------------------------------------------------------------
# Each step reads and writes a Scalar under construction. 64-bit operations also compute the low half.


def _add32(s: Scalar, b: Scalar, gen: int) -> None:
    low, high = s.s32min + b.s32min, s.s32max + b.s32max
    s.s32min, s.s32max = (low, high) if low >= S32_MIN and high <= S32_MAX and low <= S32_MAX and high >= S32_MIN \
        else (S32_MIN, S32_MAX)
    low, high = s.u32min + b.u32min, s.u32max + b.u32max
    if high > U32_MAX and (gen < 2 or low <= U32_MAX):
        s.u32min, s.u32max = 0, U32_MAX
    else:
        s.u32min, s.u32max = low & U32_MAX, high & U32_MAX


def _add64(s: Scalar, b: Scalar, gen: int) -> None:
    low, high = s.smin + b.smin, s.smax + b.smax
    s.smin, s.smax = (low, high) if S64_MIN <= low <= S64_MAX and S64_MIN <= high <= S64_MAX else (S64_MIN, S64_MAX)
    low, high = s.umin + b.umin, s.umax + b.umax
    if high > U64_MAX and (gen < 2 or low <= U64_MAX):
        s.umin, s.umax = 0, U64_MAX
    else:
        s.umin, s.umax = low & U64_MAX, high & U64_MAX


def add_ranges(s: Scalar, b: Scalar, gen: int) -> None:
    """Ranges of a sum, into a Scalar under construction (bits are the caller's)."""
    _add32(s, b, gen)
    _add64(s, b, gen)


def _add(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    _add32(s, b, k.gen)
    _add64(s, b, k.gen)
    s.v, s.m = tnum.add((s.v, s.m), (b.v, b.m))


def _sub(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    low, high = s.s32min - b.s32max, s.s32max - b.s32min
    s.s32min, s.s32max = (low, high) if S32_MIN <= low <= S32_MAX and S32_MIN <= high <= S32_MAX else (S32_MIN, S32_MAX)
    low, high = s.u32min - b.u32max, s.u32max - b.u32min
    if low < 0 and (k.gen < 2 or high >= 0):
        s.u32min, s.u32max = 0, U32_MAX
    else:
        s.u32min, s.u32max = low & U32_MAX, high & U32_MAX
    low, high = s.smin - b.smax, s.smax - b.smin
    s.smin, s.smax = (low, high) if S64_MIN <= low <= S64_MAX and S64_MIN <= high <= S64_MAX else (S64_MIN, S64_MAX)
    low, high = s.umin - b.umax, s.umax - b.umin
    if low < 0 and (k.gen < 2 or high >= 0):
        s.umin, s.umax = 0, U64_MAX
    else:
        s.umin, s.umax = low & U64_MAX, high & U64_MAX
    s.v, s.m = tnum.sub((s.v, s.m), (b.v, b.m))


def _mul(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    s.v, s.m = tnum.mul((s.v, s.m), (b.v, b.m), k.mul)
    if k.gen >= 2:
        _mul_signed(s, b)
        return
    if b.s32min < 0 or s.s32min < 0 or b.u32max > 0xFFFF or s.u32max > 0xFFFF:
        bounds.forget32(s)
    else:
        s.u32min, s.u32max = s.u32min * b.u32min, s.u32max * b.u32max
        s.s32min, s.s32max = (S32_MIN, S32_MAX) if s.u32max > S32_MAX else (s.u32min, s.u32max)
    if b.smin < 0 or s.smin < 0 or b.umax > U32_MAX or s.umax > U32_MAX:
        bounds.forget64(s)
    else:
        s.umin, s.umax = s.umin * b.umin, s.umax * b.umax
        s.smin, s.smax = (S64_MIN, S64_MAX) if s.umax > S64_MAX else (s.umin, s.umax)


def _mul_signed(s: Scalar, b: Scalar) -> None:
    low, high = s.u32min * b.u32min, s.u32max * b.u32max
    s.u32min, s.u32max = (low, high) if high <= U32_MAX else (0, U32_MAX)
    corners = (s.s32min * b.s32min, s.s32min * b.s32max, s.s32max * b.s32min, s.s32max * b.s32max)
    low, high = min(corners), max(corners)
    s.s32min, s.s32max = (low, high) if low >= S32_MIN and high <= S32_MAX else (S32_MIN, S32_MAX)
    low, high = s.umin * b.umin, s.umax * b.umax
    s.umin, s.umax = (low, high) if high <= U64_MAX else (0, U64_MAX)
    corners = (s.smin * b.smin, s.smin * b.smax, s.smax * b.smin, s.smax * b.smax)
    low, high = min(corners), max(corners)
    s.smin, s.smax = (low, high) if low >= S64_MIN and high <= S64_MAX else (S64_MIN, S64_MAX)


def _signs_of_bitwise(s: Scalar, b: Scalar, gen: int, any_sign: bool, old_neg32: bool, old_neg64: bool) -> None:
    """Signed ranges of a bitwise result from its unsigned ones."""
    if gen == 0:
        both32 = not old_neg32 and b.s32min >= 0
        both64 = not old_neg64 and b.smin >= 0
    else:
        both32 = s32(s.u32min) <= s32(s.u32max)
        both64 = s64(s.umin) <= s64(s.umax)
    s.s32min, s.s32max = (s32(s.u32min), s32(s.u32max)) if both32 else (S32_MIN, S32_MAX)
    s.smin, s.smax = (s64(s.umin), s64(s.umax)) if both64 else (S64_MIN, S64_MAX)


def _bitwise(s: Scalar, b: Scalar, k: Arithmetic, bits: tnum.Tnum, op: int) -> None:
    neg32, neg64 = s.s32min < 0, s.smin < 0
    s.v, s.m = bits
    v32, m32 = s.v & U32_MAX, s.m & U32_MAX
    if op == ops.AND:
        s.u32min, s.u32max = v32, min(s.u32max, b.u32max)
        s.umin, s.umax = s.v, min(s.umax, b.umax)
    elif op == ops.OR:
        s.u32min, s.u32max = max(s.u32min, b.u32min), v32 | m32
        s.umin, s.umax = max(s.umin, b.umin), s.v | s.m
    else:
        s.u32min, s.u32max = v32, v32 | m32
        s.umin, s.umax = s.v, s.v | s.m
    _signs_of_bitwise(s, b, k.gen, True, neg32, neg64)
    if not m32 and not b.m & U32_MAX:
        bounds.set_known32(s, v32)
    if not s.m and not b.m:
        bounds.set_known(s, s.v)
    else:
        bounds.bits_to_ranges(s)


def _and(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    _bitwise(s, b, k, tnum.and_((s.v, s.m), (b.v, b.m)), ops.AND)


def _or(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    _bitwise(s, b, k, tnum.or_((s.v, s.m), (b.v, b.m)), ops.OR)


def _xor(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    _bitwise(s, b, k, tnum.xor((s.v, s.m), (b.v, b.m)), ops.XOR)


def _lsh_low(s: Scalar, low: int, high: int) -> None:
    s.s32min, s.s32max = S32_MIN, S32_MAX
    if high > 31 or s.u32max > 1 << (31 - high):
        s.u32min, s.u32max = 0, U32_MAX
    else:
        s.u32min, s.u32max = s.u32min << low, s.u32max << high


def _lsh(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    if not wide:
        _lsh_low(s, b.u32min, b.u32max)
        s.v, s.m = tnum.cast(tnum.lsh(tnum.cast((s.v, s.m), 4), b.u32min), 4)
        bounds.forget64(s)
        bounds.bits_to_ranges32(s)
        return
    shift = b.umin
    if shift == 32 and k.gen > 0:
        s.smin, s.smax = s.s32min << 32, s.s32max << 32
    elif shift == 32:
        s.smax = s.s32max << 32 if s.s32max >= 0 else S64_MAX
        s.smin = s.s32min << 32 if s.s32min >= 0 else S64_MIN
    else:
        s.smin, s.smax = S64_MIN, S64_MAX
    if s.umax > 1 << (63 - shift):
        s.umin, s.umax = 0, U64_MAX
    else:
        s.umin, s.umax = s.umin << shift, s.umax << shift
    _lsh_low(s, shift, shift)
    s.v, s.m = tnum.lsh((s.v, s.m), shift)
    bounds.bits_to_ranges(s)


def _rsh(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    if not wide:
        s.s32min, s.s32max = S32_MIN, S32_MAX
        s.v, s.m = tnum.rsh(tnum.cast((s.v, s.m), 4), b.u32min)
        s.u32min, s.u32max = s.u32min >> b.u32max, s.u32max >> b.u32min
        bounds.forget64(s)
        bounds.bits_to_ranges32(s)
        return
    s.smin, s.smax = S64_MIN, S64_MAX
    s.v, s.m = tnum.rsh((s.v, s.m), b.umin)
    s.umin, s.umax = s.umin >> b.umax, s.umax >> b.umin
    bounds.forget32(s)
    bounds.bits_to_ranges(s)


def _arsh(s: Scalar, b: Scalar, wide: bool, k: Arithmetic) -> None:
    if not wide:
        s.s32min, s.s32max = s.s32min >> b.u32min, s.s32max >> b.u32min
        s.v, s.m = tnum.arsh((s.v, s.m), b.u32min, 32)
        s.u32min, s.u32max = 0, U32_MAX
        bounds.forget64(s)
        bounds.bits_to_ranges32(s)
        return
    s.smin, s.smax = s.smin >> b.umin, s.smax >> b.umin
    s.v, s.m = tnum.arsh((s.v, s.m), b.umin, 64)
    s.umin, s.umax = 0, U64_MAX
    bounds.forget32(s)
    bounds.bits_to_ranges(s)


STEPS: Final[dict[int, Callable[[Scalar, Scalar, bool, Arithmetic], None]]] = {
    ops.ADD: _add, ops.SUB: _sub, ops.MUL: _mul, ops.AND: _and, ops.OR: _or, ops.XOR: _xor,
    ops.LSH: _lsh, ops.RSH: _rsh, ops.ARSH: _arsh,
}  # fmt: skip
