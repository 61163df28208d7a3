"""Ranges that tell each other what they know.

After an operation or a branch, one view of a value may know more than the others: a comparison moved `umin`, a mask
cleared bits.  `deduce` lets knowledge flow between the views until the kernel stops, in the kernel's order, because
the order is visible in the result:

      known bits ──► ranges ──► low half <─► whole, signed <─► unsigned ──► known bits ──► ranges

How far a kernel goes has grown with time, so the profile picks one of three:

| DEDUCE_61  | up to 6.7  | sign bit from both sides, bits to ranges and back |
| DEDUCE_612 | 6.8 on     | low half from equal or adjacent upper halves, whole from low half, three rounds |
| DEDUCE_618 | 6.17 on    | also values that straddle the sign boundary on one side only; single members of a tnum |

Sources: kernel/bpf/verifier.c `reg_bounds_sync` and what it calls; slides 19, 29.
"""

from __future__ import annotations

from typing import Final

from bpfbench.verifier import tnum
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

DEDUCE_61: Final = 0
DEDUCE_612: Final = 1
DEDUCE_618: Final = 2

HIGH: Final = U64_MAX & ~U32_MAX


def forget64(s: Scalar) -> None:
    """Drop the 64-bit ranges of a Scalar under construction."""
    s.umin, s.umax, s.smin, s.smax = 0, U64_MAX, S64_MIN, S64_MAX


def forget32(s: Scalar) -> None:
    s.u32min, s.u32max, s.s32min, s.s32max = 0, U32_MAX, S32_MIN, S32_MAX


def set_known(s: Scalar, value: int) -> None:
    """Make a Scalar under construction the constant `value`."""
    value &= U64_MAX
    low = value & U32_MAX
    s.v, s.m = value, 0
    s.umin = s.umax = value
    s.smin = s.smax = s64(value)
    s.u32min = s.u32max = low
    s.s32min = s.s32max = s32(low)


def set_known32(s: Scalar, value: int) -> None:
    """Make the low half `value`; the 64-bit ranges stay."""
    low = value & U32_MAX
    s.v = (s.v & HIGH) | low
    s.m &= HIGH
    s.u32min = s.u32max = low
    s.s32min = s.s32max = s32(low)


def bits_to_ranges32(s: Scalar) -> None:
    v, m = s.v & U32_MAX, s.m & U32_MAX
    s.s32min = max(s.s32min, s32(v | (m & 0x80000000)))
    s.s32max = min(s.s32max, s32(v | (m & 0x7FFFFFFF)))
    s.u32min = max(s.u32min, v)
    s.u32max = min(s.u32max, v | m)


def bits_to_ranges64(s: Scalar) -> None:
    v, m = s.v, s.m
    s.smin = max(s.smin, s64(v | (m & 0x8000000000000000)))
    s.smax = min(s.smax, s64(v | (m & 0x7FFFFFFFFFFFFFFF)))
    s.umin = max(s.umin, v)
    s.umax = min(s.umax, v | m)


def bits_to_ranges(s: Scalar) -> None:
    bits_to_ranges32(s)
    bits_to_ranges64(s)


def only_member(s: Scalar) -> None:
    """Where the unsigned range and the known bits share one number, that is the value."""
    bits = (s.v, s.m)
    after = tnum.next_member(bits, s.umin)
    largest = s.v | s.m
    low_is_member = (s.umin & ~s.m) == s.v
    if low_is_member:
        if after > s.umax:
            set_known(s, s.umin)
    elif after == largest:
        set_known(s, largest)
    elif after <= s.umax and tnum.next_member(bits, after) > s.umax:
        set_known(s, after)


def low_half(s: Scalar) -> None:
    """What the ranges of the whole, and of the other sign, say about the low half."""
    umin, umax, smin, smax = s.umin, s.umax, s.smin, s.smax
    if umin >> 32 == umax >> 32:
        s.u32min = max(s.u32min, umin & U32_MAX)
        s.u32max = min(s.u32max, umax & U32_MAX)
        _narrow_s32(s, s32(umin), s32(umax))
    if smin >> 32 == smax >> 32:
        low, high = smin & U32_MAX, smax & U32_MAX
        if low <= high:
            s.u32min = max(s.u32min, low)
            s.u32max = min(s.u32max, high)
        _narrow_s32(s, s32(smin), s32(smax))
    # Two adjacent upper halves, the low half running from negative to positive.
    if ((umin >> 32) + 1) & U32_MAX == umax >> 32 and s32(umin) < 0 <= s32(umax):
        s.s32min = max(s.s32min, s32(umin))
        s.s32max = min(s.s32max, s32(umax))
    if ((smin >> 32) + 1) & U32_MAX == (smax >> 32) & U32_MAX and s32(smin) < 0 <= s32(smax):
        s.s32min = max(s.s32min, s32(smin))
        s.s32max = min(s.s32max, s32(smax))


def _narrow_s32(s: Scalar, low: int, high: int) -> None:
    if low <= high:
        s.s32min = max(s.s32min, low)
        s.s32max = min(s.s32max, high)


def signs32(s: Scalar, straddle: bool) -> None:
    """Signed and unsigned range of the low half tell each other."""
    _narrow_s32(s, s32(s.u32min), s32(s.u32max))
    low, high = s.s32min & U32_MAX, s.s32max & U32_MAX
    if low <= high:
        s.u32min = max(low, s.u32min)
        s.u32max = min(high, s.u32max)
    elif straddle:
        if s.u32max < low:
            s.s32min = s32(s.u32min)
            s.u32max = min(s.u32max, high)
        elif high < s.u32min:
            s.s32max = s32(s.u32max)
            s.u32min = max(s.u32min, low)


def signs64(s: Scalar, straddle: bool) -> None:
    """The same for the whole."""
    low, high = s64(s.umin), s64(s.umax)
    if low <= high:
        s.smin = max(s.smin, low)
        s.smax = min(s.smax, high)
    low, high = s.smin & U64_MAX, s.smax & U64_MAX
    if low <= high:
        s.umin = max(low, s.umin)
        s.umax = min(high, s.umax)
    elif straddle:
        if s.umax < low:
            s.smin = s64(s.umin)
            s.umax = min(s.umax, high)
        elif high < s.umin:
            s.smax = s64(s.umax)
            s.umin = max(s.umin, low)


def whole_from_half(s: Scalar) -> None:
    """Put the bounds of the low half under the upper half of the whole's bounds."""
    s.umin = max(s.umin, (s.umin & HIGH) | s.u32min)
    s.umax = min(s.umax, (s.umax & HIGH) | s.u32max)
    s.smin = max(s.smin, s64((s.smin & HIGH) | s.u32min))
    s.smax = min(s.smax, s64((s.smax & HIGH) | s.u32max))
    low, high = s.s32min & U32_MAX, s.s32max & U32_MAX
    if low <= high:
        s.umin = max(s.umin, (s.umin & HIGH) | low)
        s.umax = min(s.umax, (s.umax & HIGH) | high)
        s.smin = max(s.smin, s64((s.smin & HIGH) | low))
        s.smax = min(s.smax, s64((s.smax & HIGH) | high))
    if s.s32min >= 0 and s.smin >= S32_MIN and s.smax <= S32_MAX:
        s.smin = s.umin = s.s32min
        s.smax = s.umax = s.s32max
        s.v, s.m = tnum.intersect((s.v, s.m), tnum.span(s.smin & U64_MAX, s.smax & U64_MAX))


def ranges_to_bits(s: Scalar) -> None:
    whole = tnum.intersect((s.v, s.m), tnum.span(s.umin, s.umax))
    low = tnum.intersect((whole[0] & U32_MAX, whole[1] & U32_MAX), tnum.span(s.u32min, s.u32max))
    s.v = (whole[0] & HIGH) | (low[0] & U32_MAX)
    s.m = (whole[1] & HIGH) | (low[1] & U32_MAX)


def deduce(s: Scalar, how: int) -> Scalar:
    """Spread knowledge through a Scalar under construction and return it."""
    if s.m == 0 and s.umin == s.v and s.umax == s.v and s.smin == s.smax == s64(s.v):
        low = s.v & U32_MAX
        if s.u32min == low and s.u32max == low and s.s32min == s.s32max == s32(low):
            return s
    bits_to_ranges(s)
    if how == DEDUCE_61:
        _signs_61(s)
        ranges_to_bits(s)
        bits_to_ranges(s)
        return s
    if how == DEDUCE_618:
        only_member(s)
    straddle = True
    for _ in range(3):
        low_half(s)
        signs32(s, straddle)
        signs64(s, straddle)
        whole_from_half(s)
    ranges_to_bits(s)
    bits_to_ranges(s)
    if how == DEDUCE_618:
        only_member(s)
    return s


def _signs_61(s: Scalar) -> None:
    """Learn the sign bit from whichever range knows it (`__reg{32,64}_deduce_bounds` before 6.8)."""
    if s.s32min >= 0 or s.s32max < 0:
        low = max(s.s32min & U32_MAX, s.u32min)
        high = min(s.s32max & U32_MAX, s.u32max)
        s.u32min, s.u32max, s.s32min, s.s32max = low, high, s32(low), s32(high)
    elif s32(s.u32max) >= 0:
        s.s32min = s32(s.u32min)
        s.s32max = s32(min(s.s32max & U32_MAX, s.u32max))
        s.u32max = s.s32max & U32_MAX
    elif s32(s.u32min) < 0:
        low = max(s.s32min & U32_MAX, s.u32min)
        s.s32min, s.u32min = s32(low), low
        s.s32max = s32(s.u32max)
    if s.smin >= 0 or s.smax < 0:
        low = max(s.smin & U64_MAX, s.umin)
        high = min(s.smax & U64_MAX, s.umax)
        s.umin, s.umax, s.smin, s.smax = low, high, s64(low), s64(high)
    elif s64(s.umax) >= 0:
        s.smin = s64(s.umin)
        high = min(s.smax & U64_MAX, s.umax)
        s.smax, s.umax = s64(high), high
    elif s64(s.umin) < 0:
        low = max(s.smin & U64_MAX, s.umin)
        s.smin, s.umin = s64(low), low
        s.smax = s64(s.umax)


def broken(s: Scalar) -> str:
    """What is inconsistent between the views, or ""; the kernel then forgets all ranges (`reg_bounds_sanity_check`)."""
    if s.umin > s.umax or s.smin > s.smax or s.u32min > s.u32max or s.s32min > s.s32max:
        return "range bounds violation"
    if s.m == 0 and (s.umin != s.v or s.umax != s.v or s.smin != s64(s.v) or s.smax != s.smin):
        return "const tnum out of sync with range bounds"
    if not s.m & U32_MAX:
        low = s.v & U32_MAX
        if s.u32min != low or s.u32max != low or s.s32min != s32(low) or s.s32max != s.s32min:
            return "const subreg tnum out of sync with range bounds"
    return ""


def without_ranges(s: Scalar) -> Scalar:
    return Scalar(s.v, s.m, 0, U64_MAX, S64_MIN, S64_MAX, 0, U32_MAX, S32_MIN, S32_MAX)


# Widths -------------------------------------------------------------------------------------------------------------


def zext32(s: Scalar) -> None:
    """A 32-bit operation cleared the upper half of a Scalar under construction."""
    s.v &= U32_MAX
    s.m &= U32_MAX
    s.umin, s.umax = s.u32min, s.u32max
    if s.s32min >= 0 and s.s32max >= 0:
        s.smin, s.smax = s.s32min, s.s32max
    else:
        s.smin, s.smax = 0, U32_MAX


def truncated(old: Scalar, size: int, how: int) -> Scalar:
    """The value zero-extended from its low `size` bytes (`coerce_reg_to_size`)."""
    if size == 8:
        return old
    mask = (1 << (size * 8)) - 1
    if old is UNKNOWN:
        fresh = _UNKNOWN_BYTES.get((size, how))
        if fresh is not None:
            return fresh
    s = old.copy()
    s.v &= mask
    s.m &= mask
    if s.umin & ~mask == s.umax & ~mask:
        s.umin &= mask
        s.umax &= mask
    else:
        s.umin, s.umax = 0, mask
    s.smin, s.smax = s.umin, s.umax
    if size < 4:
        forget32(s)
    deduce(s, how)
    if old is UNKNOWN:
        _UNKNOWN_BYTES[(size, how)] = s
    return s


_UNKNOWN_BYTES: Final[dict[tuple[int, int], Scalar]] = {}


def sign_extended(old: Scalar, size: int, width: int) -> Scalar:
    """The low `size` bytes, sign-extended to `width` (32 or 64) bits; a 32-bit result is not yet zero-extended."""
    return _sext64(old, size) if width == 64 else _sext32(old, size)


def _sext(value: int, size: int) -> int:
    bits = size * 8
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _sext64(old: Scalar, size: int) -> Scalar:
    if old.m == 0:
        return Scalar.const(_sext(old.v, size))
    bits = size * 8
    if (old.smax & U64_MAX) >> bits == (old.smin & U64_MAX) >> bits:
        a, b = _sext(old.smax, size), _sext(old.smin, size)
        low, high = min(a, b), max(a, b)
        if (high >= 0) == (low >= 0):
            v, m = tnum.span(low & U64_MAX, high & U64_MAX)
            return Scalar(v, m, low & U64_MAX, high & U64_MAX, low, high, low & U32_MAX, high & U32_MAX, low, high)
    top = 1 << (bits - 1)
    return Scalar(0, U64_MAX, 0, U64_MAX, -top, top - 1, 0, U32_MAX, -top, top - 1)


def _sext32(old: Scalar, size: int) -> Scalar:
    s = old.copy()
    if old.m == 0:
        value = _sext(old.v, size)
        s.v, s.m = value & U64_MAX, 0
        s.s32min = s.s32max = value
        s.u32min = s.u32max = value & U32_MAX
        return s
    bits = size * 8
    if (old.s32max & U32_MAX) >> bits == (old.s32min & U32_MAX) >> bits:
        a, b = _sext(old.s32max, size), _sext(old.s32min, size)
        low, high = min(a, b), max(a, b)
        if (low >= 0) == (high >= 0):
            s.s32min, s.s32max = low, high
            s.u32min, s.u32max = low & U32_MAX, high & U32_MAX
            s.v, s.m = tnum.cast(tnum.span(low & U64_MAX, high & U64_MAX), 4)
            return s
    top = 1 << (bits - 1)
    s.s32min, s.s32max, s.u32min, s.u32max = -top, top - 1, 0, U32_MAX
    s.v, s.m = 0, U32_MAX
    return s
