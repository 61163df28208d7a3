"""Lessons from comparisons that were not taught.

After a jump has narrowed one width of a number, a faulty rule here carries that over to the other width.  They stand for
`refine_61._combined`, with the same arguments: the number under construction, whether its low half was compared, and
how far to deduce.  Source: the commits named in switches.py.
"""

from __future__ import annotations

from bpfbench.verifier import bounds, tnum
from bpfbench.verifier.refine_61 import combined
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, U32_MAX, Scalar


def offset32(s: Scalar, low: bool, how: int) -> Scalar:
    """After a 32-bit comparison the *64-bit* bounds were cut to 32 bits and their span taken for the low half's.

    1 <= r <= 0x1_0000_0001 has both ends with a low half of 1, so the low half was "known" to be 1.
    """
    if not low:
        return combined(s, low, how)
    first, last = s.umin & U32_MAX, s.umax & U32_MAX
    span = tnum.span(first, last)
    s = combined(s, low, how)
    s.v, s.m = tnum.with_low32((s.v, s.m), tnum.intersect(tnum.cast((s.v, s.m), 4), span))
    bounds.bits_to_ranges(s)
    return bounds.deduce(s, how)


def one_end(s: Scalar, low: bool, how: int) -> Scalar:
    """After a 64-bit comparison each end of the unsigned range that fits 32 bits became an end of the low half's.

    Both have to fit: of r >= 1 follows nothing for the low half, which is 0 for r = 0x1_0000_0000.
    """
    if low:
        return combined(s, low, how)
    bounds.forget32(s)
    if S32_MIN <= s.smin <= S32_MAX and S32_MIN <= s.smax <= S32_MAX:
        s.s32min, s.s32max = s.smin, s.smax
    if s.umin <= U32_MAX:
        s.u32min = s.umin
    if s.umax <= U32_MAX:
        s.u32max = s.umax
    return bounds.deduce(s, how)
