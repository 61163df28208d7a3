"""Transfer functions that claimed too much.

A faulty rule is asked before the right one, for every operation on two numbers.  It answers with its own result, or with
None where the bug made no difference, and then the right rule goes on.

      rule(arithmetic, operation, wide, a, b) -> result | None

Each docstring says what the kernel did, and what it does since.  Source: the commits named in switches.py.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.verifier import bounds, tnum
from bpfbench.verifier.scalar import S64_MAX, S64_MIN, U32_MAX, Scalar, s32
from bpfbench.verifier.transfer import Arithmetic

BITWISE = (ops.AND, ops.OR, ops.XOR)


def untruncated(k: Arithmetic, fn: int, wide: bool, a: Scalar, b: Scalar) -> Scalar | None:
    """32-bit operations took 32-bit operands and gave 64-bit results: 0xffffffff + 1 was 0x1_0000_0000.

    >>> from bpfbench.verifier.features import features
    >>> ones, one = Scalar.const(0xffffffff), Scalar.const(1)
    >>> untruncated(features("linux-6.1").arith, ops.ADD, False, ones, one)
    <4294967296>
    """
    if wide or fn not in (ops.ADD, ops.SUB, ops.MUL, ops.LSH):
        return None
    return k.transfer(fn, True, bounds.truncated(a, 4, k.deduce), bounds.truncated(b, 4, k.deduce))


def shift_before_truncation(k: Arithmetic, fn: int, wide: bool, a: Scalar, b: Scalar) -> Scalar | None:
    """w1 >>= n shifted all 64 bits and then cut the result, so that bits of the upper half came down into the lower.

    >>> from bpfbench.verifier.features import features
    >>> shift_before_truncation(features("linux-6.1").arith, ops.RSH, False, Scalar.const(1 << 32), Scalar.const(31))
    <2>
    """
    if wide or fn != ops.RSH:
        return None
    return bounds.truncated(k.transfer(fn, True, a, b), 4, k.deduce)


def sign_at_bit_63(k: Arithmetic, fn: int, wide: bool, a: Scalar, b: Scalar) -> Scalar | None:
    """w1 s>>= n took bit 63 of the known bits for the sign, which truncation had just cleared, instead of bit 31.

    >>> from bpfbench.verifier.features import features
    >>> sign_at_bit_63(features("linux-6.1").arith, ops.ARSH, False, Scalar.const(0x80000000), Scalar.const(31))
    <1>
    """
    if wide or fn != ops.ARSH:
        return None
    return bounds.truncated(k.transfer(fn, True, bounds.truncated(a, 4, k.deduce), b), 4, k.deduce)


def stale_signed_maximum(k: Arithmetic, fn: int, wide: bool, a: Scalar, b: Scalar) -> Scalar | None:
    """r1 >>= n of a number that may be negative moved the signed minimum to 0 and left the maximum as it was.

    A negative number becomes a huge one; -1 >> 1 is S64_MAX, far above the stale maximum.
    """
    if not wide or fn != ops.RSH or not b.umin or a.smin >= 0 or not k.models(fn, wide, b):
        return None
    s = a.copy()
    s.smin = 0
    s.umin, s.umax = s.umin >> b.umax, s.umax >> b.umin
    s.v, s.m = tnum.rsh((s.v, s.m), b.umin)
    bounds.forget32(s)
    bounds.bits_to_ranges(s)
    return bounds.deduce(s, k.deduce)


def half_from_whole(k: Arithmetic, fn: int, wide: bool, a: Scalar, b: Scalar) -> Scalar | None:
    """OR of two numbers not negative: the signed 32-bit range was copied from the *64-bit* unsigned one, and so cut.

    umin=1, umax=0x6_0000_0001 gave s32min=1, s32max=1: a constant.
    """
    if fn != ops.OR or not a.m & U32_MAX or not b.m and not a.m or a.s32min < 0 or b.smin < 0:
        return None
    s = a.copy()
    s.v, s.m = tnum.or_((a.v, a.m), (b.v, b.m))
    s.u32min, s.u32max = max(a.u32min, b.umin & U32_MAX), (s.v | s.m) & U32_MAX
    s.s32min, s.s32max = s32(a.umin), s32(a.umax)
    s.umin, s.umax = max(a.umin, b.umin), s.v | s.m
    s.smin, s.smax = (s.umin, s.umax) if a.smin >= 0 and s.umax <= S64_MAX else (S64_MIN, S64_MAX)
    bounds.bits_to_ranges(s)
    if not wide:
        bounds.zext32(s)
    return bounds.deduce(s, k.deduce)


def forgotten_half(k: Arithmetic, fn: int, wide: bool, a: Scalar, b: Scalar) -> Scalar | None:
    """AND, OR, XOR whose low halves are constants left the 32-bit ranges alone: "the 64-bit rule will do it".

    That rule does it only where the *whole* is a constant.  Where the upper half is unknown, the old 32-bit range met
    the new known bits, and the two contradict each other: u32min=1, u32max=0.
    """
    if fn not in BITWISE or b.m & U32_MAX:
        return None
    a_bits, b_bits = (a.v, a.m), (b.v, b.m)
    bits = tnum.and_(a_bits, b_bits) if fn == ops.AND else tnum.or_(a_bits, b_bits) if fn == ops.OR else \
        tnum.xor(a_bits, b_bits)
    if bits[1] & U32_MAX or (not wide and not bits[1]) or not bits[1]:
        return None
    right = Arithmetic(k.gen, k.mul, k.deduce, k.neg).transfer(fn, wide, a, b)
    s = right.copy()
    s.u32min, s.u32max, s.s32min, s.s32max = a.u32min, a.u32max, a.s32min, a.s32max
    bounds.bits_to_ranges32(s)
    if not wide:
        bounds.zext32(s)
    return bounds.deduce(s, k.deduce)
