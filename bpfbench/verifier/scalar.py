"""What the verifier knows about a number: its bits and its ranges.

A `Scalar` holds six views of one 64-bit value, each of which alone would be an answer:

    v, m                     known bits                          (tnum.py)
    umin .. umax             as unsigned 64-bit number
    smin .. smax             as signed 64-bit number
    u32min .. u32max         its low half, unsigned
    s32min .. s32max         its low half, signed

`bounds.py` lets every view tell the others what it knows; `transfer.py` computes results of operations.  A Scalar is
never changed after it has been given out: functions that compute one work on a fresh copy and return it.

Source: struct bpf_reg_state in include/linux/bpf_verifier.h; slides 19, 29.

>>> Scalar.const(7)
<7>
>>> Scalar.unknown()
<scalar()>
"""

from __future__ import annotations

from typing import Final, final

U64_MAX: Final = (1 << 64) - 1
S64_MAX: Final = (1 << 63) - 1
S64_MIN: Final = -(1 << 63)
U32_MAX: Final = (1 << 32) - 1
S32_MAX: Final = (1 << 31) - 1
S32_MIN: Final = -(1 << 31)


def s64(x: int) -> int:
    x &= U64_MAX
    return x - (1 << 64) if x > S64_MAX else x


def s32(x: int) -> int:
    x &= U32_MAX
    return x - (1 << 32) if x > S32_MAX else x


@final
class Scalar:
    """Bits and ranges of a 64-bit value; see the module text for the fields."""

    __slots__ = ("v", "m", "umin", "umax", "smin", "smax", "u32min", "u32max", "s32min", "s32max")

    def __init__(self, v: int, m: int, umin: int, umax: int, smin: int, smax: int, u32min: int, u32max: int,
                 s32min: int, s32max: int) -> None:
        self.v = v
        self.m = m
        self.umin = umin
        self.umax = umax
        self.smin = smin
        self.smax = smax
        self.u32min = u32min
        self.u32max = u32max
        self.s32min = s32min
        self.s32max = s32max

    @staticmethod
    def unknown() -> Scalar:
        """Nothing is known.  Always the same object."""
        return UNKNOWN

    @staticmethod
    def const(value: int) -> Scalar:
        """Exactly `value` (taken modulo 2**64)."""
        value &= U64_MAX
        if value < 1024:
            return SMALL[value]
        signed = value - (1 << 64) if value > S64_MAX else value
        low = value & U32_MAX
        low_signed = low - (1 << 32) if low > S32_MAX else low
        return Scalar(value, 0, value, value, signed, signed, low, low, low_signed, low_signed)

    def copy(self) -> Scalar:
        return Scalar(self.v, self.m, self.umin, self.umax, self.smin, self.smax, self.u32min, self.u32max,
                      self.s32min, self.s32max)

    def same(self, other: Scalar) -> bool:
        """Equal in every view."""
        return self is other or (
            self.v == other.v and self.m == other.m and self.umin == other.umin and self.umax == other.umax
            and self.smin == other.smin and self.smax == other.smax and self.u32min == other.u32min
            and self.u32max == other.u32max and self.s32min == other.s32min and self.s32max == other.s32max)

    def within(self, old: Scalar) -> bool:
        """Does `old` allow every value this allows, in every view?  (`range_within` and `tnum_in`)"""
        if self is old:
            return True
        return (
            old.umin <= self.umin and old.umax >= self.umax and old.smin <= self.smin and old.smax >= self.smax
            and old.u32min <= self.u32min and old.u32max >= self.u32max and old.s32min <= self.s32min
            and old.s32max >= self.s32max and not (self.m & ~old.m) and old.v == (self.v & ~old.m))

    def holds(self, value: int) -> bool:
        """Is this concrete value (modulo 2**64) one of those it stands for?"""
        value &= U64_MAX
        low = value & U32_MAX
        return (
            (value & ~self.m) == self.v and self.umin <= value <= self.umax and self.smin <= s64(value) <= self.smax
            and self.u32min <= low <= self.u32max and self.s32min <= s32(low) <= self.s32max)

    @property
    def is_const(self) -> bool:
        return self.m == 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scalar) and self.same(other)

    def __hash__(self) -> int:
        return hash((self.v, self.m, self.umin, self.umax, self.smin, self.smax))

    def __repr__(self) -> str:
        if self.m == 0:
            return f"<{s64(self.v)}>"
        from bpfbench.verifier.log import ranges_text

        return f"<scalar({ranges_text(self)})>"


SMALL: Final[list[Scalar]] = [Scalar(n, 0, n, n, n, n, n, n, n, n) for n in range(1024)]
ZERO: Final = SMALL[0]
UNKNOWN: Final = Scalar(0, U64_MAX, 0, U64_MAX, S64_MIN, S64_MAX, 0, U32_MAX, S32_MIN, S32_MAX)
