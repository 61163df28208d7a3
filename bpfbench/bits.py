"""Two's complement on Python integers.

Python integers have no width; eBPF registers do.  `u32(x)` reads the low 32 bits as unsigned, `s32(x)` as signed; the
same for 8, 16 and 64.  Everything here is pure and total.

>>> u32(-1), s32(0xFFFFFFFF), s64(1 << 63), swap16(0x1234)
(4294967295, -1, -9223372036854775808, 13330)
"""

from __future__ import annotations

from typing import Final

U8_MAX: Final = 0xFF
U16_MAX: Final = 0xFFFF
U32_MAX: Final = 0xFFFF_FFFF
U64_MAX: Final = 0xFFFF_FFFF_FFFF_FFFF
S32_MIN: Final = -0x8000_0000
S32_MAX: Final = 0x7FFF_FFFF
S64_MIN: Final = -0x8000_0000_0000_0000
S64_MAX: Final = 0x7FFF_FFFF_FFFF_FFFF


def u8(x: int) -> int:
    return x & 0xFF


def u16(x: int) -> int:
    return x & 0xFFFF


def u32(x: int) -> int:
    return x & 0xFFFF_FFFF


def u64(x: int) -> int:
    return x & 0xFFFF_FFFF_FFFF_FFFF


def s8(x: int) -> int:
    return ((x & 0xFF) ^ 0x80) - 0x80


def s16(x: int) -> int:
    return ((x & 0xFFFF) ^ 0x8000) - 0x8000


def s32(x: int) -> int:
    return ((x & 0xFFFF_FFFF) ^ 0x8000_0000) - 0x8000_0000


def s64(x: int) -> int:
    return ((x & 0xFFFF_FFFF_FFFF_FFFF) ^ 0x8000_0000_0000_0000) - 0x8000_0000_0000_0000


def zext(x: int, bits: int) -> int:
    """The low `bits` bits of `x`, unsigned."""
    return x & ((1 << bits) - 1)


def sext(x: int, bits: int) -> int:
    """The low `bits` bits of `x`, signed."""
    sign = 1 << (bits - 1)
    return ((x & ((1 << bits) - 1)) ^ sign) - sign


def fls(x: int) -> int:
    """Position of the highest set bit, counted from 1; 0 for 0 (the kernel's `fls64`)."""
    return x.bit_length()


def swap16(x: int) -> int:
    return ((x & 0xFF) << 8) | ((x >> 8) & 0xFF)


def swap32(x: int) -> int:
    return int.from_bytes((x & 0xFFFF_FFFF).to_bytes(4, "little"), "big")


def swap64(x: int) -> int:
    return int.from_bytes((x & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little"), "big")


def fits_signed(x: int, bits: int) -> bool:
    """Can `x` be written in `bits` bits of two's complement?"""
    return -(1 << (bits - 1)) <= x < (1 << (bits - 1))
