"""What a comparison teaches in kernels before 6.8: only comparisons with a constant, and equality of two registers.

A constant on either side refines the other operand; 64- and 32-bit ranges then inform each other only where one clearly
contains the other.  Two unknown numbers teach something only when compared for equality.

Source: kernel/bpf/verifier.c (6.1) `reg_set_min_max`, `reg_combine_min_max`.
"""

from __future__ import annotations

from collections.abc import Callable

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import tnum
from bpfbench.verifier.bounds import deduce, forget32, forget64, set_known, set_known32
from bpfbench.verifier.refine import FLIP
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, U32_MAX, U64_MAX, Scalar, s32, s64
from bpfbench.verifier.walk import Walk

Combine = Callable[[Scalar, bool, int], Scalar]


def refine_61(w: Walk, insn: Instruction, regs: list[RegState], other_regs: list[RegState], a: RegState, b: RegState,
              fn: int, low: bool) -> None:
    """Refine the operands on both sides, in place."""
    dst, src = insn.dst, insn.src
    sa, sb = a.scalar, b.scalar
    how = w.k.deduce
    if sb.m == 0 or (low and not sb.m & U32_MAX):
        taken, not_taken = against(sa, sb.v, fn, low, how, w.k.combine)
        other_regs[dst] = a.with_scalar(taken)
        regs[dst] = a.with_scalar(not_taken)
    elif sa.m == 0 or (low and not sa.m & U32_MAX):
        taken, not_taken = against(sb, sa.v, FLIP[fn], low, how, w.k.combine)
        other_regs[src] = b.with_scalar(taken)
        regs[src] = b.with_scalar(not_taken)
    elif not low and fn in (ops.JEQ, ops.JNE):
        x, y = _meet(sb, sa, how)
        target = other_regs if fn == ops.JEQ else regs
        target[src] = b.with_scalar(x)
        target[dst] = a.with_scalar(y)


def _meet(a: Scalar, b: Scalar, how: int) -> tuple[Scalar, Scalar]:
    x, y = a.copy(), b.copy()
    x.umin = y.umin = max(a.umin, b.umin)
    x.umax = y.umax = min(a.umax, b.umax)
    x.smin = y.smin = max(a.smin, b.smin)
    x.smax = y.smax = min(a.smax, b.smax)
    x.v, x.m = y.v, y.m = tnum.intersect((a.v, a.m), (b.v, b.m))
    return deduce(x, how), deduce(y, how)


def against(s: Scalar, value: int, fn: int, low: bool, how: int, wrong: Combine | None = None) -> tuple[Scalar, Scalar]:
    """A number compared with a constant: (if the jump is taken, if not); `wrong` stands for `combined` (history/)."""
    t, f = s.copy(), s.copy()
    val = value & U32_MAX if low else value & U64_MAX
    if fn == ops.JEQ:
        set_known32(t, val) if low else set_known(t, val)
    elif fn == ops.JNE:
        set_known32(f, val) if low else set_known(f, val)
    elif fn == ops.JSET:
        _bits(t, f, val, low)
    elif fn in (ops.JGT, ops.JGE, ops.JLT, ops.JLE):
        _unsigned(t, f, val, fn, low)
    else:
        _signed(t, f, s32(val) if low else s64(val), fn, low)
    combine = wrong if wrong is not None else combined
    return combine(t, low, how), combine(f, low, how)


def _bits(t: Scalar, f: Scalar, val: int, low: bool) -> None:
    forget64(f)
    forget32(f)
    keep = ~val & (U32_MAX if low else U64_MAX)
    if low:
        f.v, f.m = tnum.with_low32((f.v, f.m), tnum.and_(tnum.cast((f.v, f.m), 4), (keep, 0)))
    else:
        f.v, f.m = tnum.and_((f.v, f.m), (keep, 0))
    if val and not val & (val - 1):
        t.v, t.m = tnum.or_((t.v, t.m), (val, 0))


def _unsigned(t: Scalar, f: Scalar, val: int, fn: int, low: bool) -> None:
    whole = U32_MAX if low else U64_MAX
    if fn in (ops.JGT, ops.JGE):
        most = val if fn == ops.JGT else (val - 1) & whole
        least = (val + 1) & whole if fn == ops.JGT else val
        small, large = f, t
    else:
        least = val if fn == ops.JLT else (val + 1) & whole
        most = (val - 1) & whole if fn == ops.JLT else val
        small, large = t, f
    if low:
        small.u32max = min(small.u32max, most)
        large.u32min = max(large.u32min, least)
    else:
        small.umax = min(small.umax, most)
        large.umin = max(large.umin, least)


def _signed(t: Scalar, f: Scalar, val: int, fn: int, low: bool) -> None:
    wrap = s32 if low else s64
    if fn in (ops.JSGT, ops.JSGE):
        most = val if fn == ops.JSGT else wrap(val - 1)
        least = wrap(val + 1) if fn == ops.JSGT else val
        small, large = f, t
    else:
        least = val if fn == ops.JSLT else wrap(val + 1)
        most = wrap(val - 1) if fn == ops.JSLT else val
        small, large = t, f
    if low:
        small.s32max = min(small.s32max, most)
        large.s32min = max(large.s32min, least)
    else:
        small.smax = min(small.smax, most)
        large.smin = max(large.smin, least)


def combined(s: Scalar, low: bool, how: int) -> Scalar:
    """What one width says about the other (`__reg_combine_*`)."""
    if low:
        if s.v >> 32 == 0 and s.m >> 32 == 0:
            s.umin, s.umax = s.u32min, s.u32max
            s.smin, s.smax = (s.s32min, s.s32max) if s.s32min >= 0 and s.s32max >= 0 else (0, U32_MAX)
        else:
            forget64(s)
        return deduce(s, how)
    forget32(s)
    if S32_MIN <= s.smin <= S32_MAX and S32_MIN <= s.smax <= S32_MAX:
        s.s32min, s.s32max = s.smin, s.smax
    if s.umin <= U32_MAX and s.umax <= U32_MAX:
        s.u32min, s.u32max = s.umin, s.umax
    return deduce(s, how)
