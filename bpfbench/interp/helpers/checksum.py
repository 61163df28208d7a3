"""The Internet checksum as the kernel computes it on a little-endian machine.

A running sum (`__wsum`) is a 32-bit ones' complement number, a finished one (`__sum16`) its folded complement.
Sources: include/net/checksum.h, arch/x86/lib/csum-partial_64.c, net/core/utils.c; RFC 1071, RFC 1624.

>>> hex(fold(partial(bytes.fromhex("45000073000040004011b861c0a80001c0a800c7"), 0)))
'0x0'
"""

from __future__ import annotations

from bpfbench.bits import U32_MAX, U64_MAX


def add(a: int, b: int) -> int:
    """Ones' complement sum of two running sums."""
    total = a + b
    return (total + (total >> 32)) & U32_MAX


def sub(a: int, b: int) -> int:
    return add(a, ~b & U32_MAX)


def partial(content: bytes, seed: int) -> int:
    """Running sum over `content` (little-endian words), started with `seed`."""
    padded = content + bytes(-len(content) % 8)
    total = seed + sum(int.from_bytes(padded[at : at + 8], "little") for at in range(0, len(padded), 8))
    while total > U64_MAX:
        total = (total & U64_MAX) + (total >> 64)
    return (total + (total >> 32 | total << 32 & U64_MAX)) >> 32 & U32_MAX


def fold(total: int) -> int:
    """The finished checksum of a running sum."""
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return ~total & 0xFFFF


def from32to16(total: int) -> int:
    """A running sum reduced to 16 bits."""
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)


def difference(before: bytes, after: bytes, seed: int) -> int:
    """What bpf_csum_diff returns: `seed` plus `after` minus `before` (net/core/filter.c since 6.13)."""
    if before and after:
        return from32to16(sub(partial(after, seed), partial(before, 0)))
    if after:
        return from32to16(partial(after, seed))
    if before:
        return from32to16(~partial(before, ~seed & U32_MAX) & U32_MAX)
    return seed


def replaced_by_difference(check: int, diff: int) -> int:
    """The finished checksum `check` after its data changed by the running sum `diff`."""
    return fold(add(diff, ~check & U32_MAX))


def replaced2(check: int, old: int, new: int) -> int:
    """The finished checksum after a 16-bit word changed from `old` to `new`."""
    return ~add16(add16(~check & 0xFFFF, ~old & 0xFFFF), new & 0xFFFF) & 0xFFFF


def replaced4(check: int, old: int, new: int) -> int:
    """The finished checksum after a 32-bit word changed from `old` to `new`."""
    return fold(add(sub(~check & U32_MAX, old & U32_MAX), new & U32_MAX))


def add16(a: int, b: int) -> int:
    """Ones' complement sum of two 16-bit numbers."""
    total = a + b
    return (total + (total >> 16)) & 0xFFFF
