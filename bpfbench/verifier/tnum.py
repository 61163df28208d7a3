"""Known bits: what is certain about each bit of a value.

A tristate number says of every one of 64 bits that it is 0, 1 or unknown.  It is a pair (value, mask): a bit set in
`mask` is unknown, every other bit is the one in `value`; `value & mask == 0` always.

      value   0 0 0 0 1 0 1 0        the numbers  0000'1x1x:
      mask    0 0 0 0 0 1 0 1        10, 11, 14, 15

A pair stands for a set; an operation on pairs is *sound* when its result holds every result of the operation on
members. The functions are named after what they compute; all work modulo 2**64 (`bits` narrows that for exhaustive
tests).

Sources: kernel/bpf/tnum.c; H. Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with Tristate
Numbers", CGO 2022; slides 29, 34.
"""

from __future__ import annotations

from typing import Final

Tnum = tuple[int, int]

M64: Final = (1 << 64) - 1
M32: Final = (1 << 32) - 1
UNKNOWN: Final[Tnum] = (0, M64)

MUL_PARTIAL: Final = 0      # product of known parts, plus everything uncertain as one mask (5.10 .. 6.17)
MUL_UNION: Final = 1        # long multiplication, joining both outcomes of an unknown bit (6.18)
MUL_HALF_ADD: Final = 2     # the older half-multiply-add (4.14 .. 5.13)


def const(value: int) -> Tnum:
    return (value & M64, 0)


def span(low: int, high: int, bits: int = 64) -> Tnum:
    """The smallest set that holds every number of low..high (unsigned).

    >>> span(8, 11)
    (8, 3)
    """
    differ = (low ^ high).bit_length()
    if differ > bits - 1:
        return (0, (1 << bits) - 1)
    delta = (1 << differ) - 1
    return (low & ~delta, delta)


def lsh(a: Tnum, shift: int, bits: int = 64) -> Tnum:
    whole = (1 << bits) - 1
    return ((a[0] << shift) & whole, (a[1] << shift) & whole)


def rsh(a: Tnum, shift: int) -> Tnum:
    return (a[0] >> shift, a[1] >> shift)


def arsh(a: Tnum, shift: int, bits: int) -> Tnum:
    """Arithmetic shift of the low `bits` bits; an unknown sign spreads unknown bits."""
    whole = (1 << bits) - 1
    sign = 1 << (bits - 1)
    v = a[0] & whole
    m = a[1] & whole
    if v & sign:
        v -= 1 << bits
    if m & sign:
        m -= 1 << bits
    return ((v >> shift) & whole, (m >> shift) & whole)


def add(a: Tnum, b: Tnum, bits: int = 64) -> Tnum:
    """Carries make unknown every bit where the smallest and the largest sum differ."""
    whole = (1 << bits) - 1
    sv = (a[0] + b[0]) & whole
    sigma = (a[1] + b[1] + sv) & whole
    mu = (sigma ^ sv) | a[1] | b[1]
    return (sv & ~mu, mu)


def sub(a: Tnum, b: Tnum, bits: int = 64) -> Tnum:
    whole = (1 << bits) - 1
    dv = (a[0] - b[0]) & whole
    mu = (((dv + a[1]) & whole) ^ ((dv - b[1]) & whole)) | a[1] | b[1]
    return (dv & ~mu, mu)


def neg(a: Tnum, bits: int = 64) -> Tnum:
    return sub((0, 0), a, bits)


def and_(a: Tnum, b: Tnum) -> Tnum:
    v = a[0] & b[0]
    return (v, (a[0] | a[1]) & (b[0] | b[1]) & ~v)


def or_(a: Tnum, b: Tnum) -> Tnum:
    v = a[0] | b[0]
    return (v, (a[1] | b[1]) & ~v)


def xor(a: Tnum, b: Tnum) -> Tnum:
    mu = a[1] | b[1]
    return ((a[0] ^ b[0]) & ~mu, mu)


def union(a: Tnum, b: Tnum) -> Tnum:
    """The smallest set that holds both."""
    mu = (a[0] ^ b[0]) | a[1] | b[1]
    return (a[0] & b[0] & ~mu, mu)


def intersect(a: Tnum, b: Tnum) -> Tnum:
    """What is known when both are true; where they contradict each other, a bit of either is kept."""
    mu = a[1] & b[1]
    return ((a[0] | b[0]) & ~mu, mu)


def mul(a: Tnum, b: Tnum, how: int = MUL_UNION, bits: int = 64) -> Tnum:
    """Product; `how` is the kernel's algorithm of the time (constants MUL_*)."""
    whole = (1 << bits) - 1
    if not a[1] and not b[1]:
        return ((a[0] * b[0]) & whole, 0)
    if how == MUL_UNION:
        acc: Tnum = (0, 0)
        while a[0] or a[1]:
            if a[0] & 1:
                acc = add(acc, b, bits)
            elif a[1] & 1:
                acc = union(acc, add(acc, b, bits))
            a, b = rsh(a, 1), lsh(b, 1, bits)
        return acc
    if how == MUL_PARTIAL:
        product = (a[0] * b[0]) & whole
        rest: Tnum = (0, 0)
        while a[0] or a[1]:
            if a[0] & 1:
                rest = add(rest, (0, b[1]), bits)
            elif a[1] & 1:
                rest = add(rest, (0, b[0] | b[1]), bits)
            a, b = rsh(a, 1), lsh(b, 1, bits)
        return add((product, 0), rest, bits)
    pi = (a[0] * b[0]) & whole
    acc = _masked_sum((pi, 0), a[1], b[1] | b[0], bits)
    return _masked_sum(acc, b[1], a[0], bits)


def _masked_sum(acc: Tnum, value: int, mask: int, bits: int) -> Tnum:
    whole = (1 << bits) - 1
    while mask:
        if mask & 1:
            acc = add(acc, (0, value), bits)
        mask >>= 1
        value = (value << 1) & whole
    return acc


def cast(a: Tnum, size: int) -> Tnum:
    """Its low `size` bytes."""
    keep = (1 << (size * 8)) - 1
    return (a[0] & keep, a[1] & keep)


def swap(a: Tnum, bits: int) -> Tnum:
    """The low `bits` bits with their bytes in the other order, and nothing above."""
    size = bits // 8
    return tuple([int.from_bytes((x & ((1 << bits) - 1)).to_bytes(size, "little"), "big") for x in a])  # type: ignore


def with_low32(a: Tnum, low: Tnum) -> Tnum:
    """`a` with its low half replaced."""
    return ((a[0] & ~M32 & M64) | (low[0] & M32), (a[1] & ~M32 & M64) | (low[1] & M32))


def contains(a: Tnum, b: Tnum) -> bool:
    """Is every member of b a member of a?"""
    return not (b[1] & ~a[1]) and a[0] == (b[0] & ~a[1])


def overlap(a: Tnum, b: Tnum) -> bool:
    """May they have a member in common?"""
    both_known = ~(a[1] | b[1])
    return (a[0] & both_known) == (b[0] & both_known)


def is_aligned(a: Tnum, size: int) -> bool:
    return not ((a[0] | a[1]) & (size - 1))


def next_member(a: Tnum, z: int) -> int:
    """The smallest member above z; the largest member where there is none.  (`tnum_step`)

    >>> next_member((8, 5), 9)      # members 8, 9, 12, 13
    12
    """
    v, m = a
    mismatch = ((z ^ v) & ~m).bit_length()              # above this, z agrees with every known bit
    raisable = ~z & (v | m) & M64
    if mismatch:
        raisable &= ~((1 << (mismatch - 1)) - 1)
    if not raisable:
        return v | m
    bit = raisable & -raisable
    return ((((z & m) | v) & ~(2 * bit - 1)) | bit | (v & (bit - 1))) & M64


def text(a: Tnum) -> str:
    """As the kernel prints it: `(value; mask)`, or the number where all bits are known."""
    if a[1]:
        return f"({hexa(a[0])}; {hexa(a[1])})"
    return str(a[0]) if a[0] <= 0xFFFF else hexa(a[0])


def hexa(n: int) -> str:
    """C's %#llx."""
    return f"{n:#x}" if n else "0"
