"""Joins of numbers, and widening: jumping to a bound that holds for good, by way of the program's own constants.

A loop makes a range grow by one step per round; widening replaces a bound that has moved by the next *threshold*
outside it, so that a chain of joins ends soon.  Thresholds are the constants that the program compares and adds, the
sizes of its maps, and the ends of the widths: where a range really stops is usually one of them.  Narrowing afterwards
(iterate.py) takes back what was too much.

      i = 0, 0..1, then umax -> next threshold 64 (from  if i < 64),  stable

Known bits form a short lattice but not short enough: a bit that changed takes all bits above it with it, so that what
stays is the alignment, which is what matters for accesses.

P. and R. Cousot, "Abstract Interpretation: a unified lattice model …" (1977); S. Blazy et al., "A static analyzer for
large safety-critical software" (2003), section 7.1.2 (widening with thresholds).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final, final

from bpfbench.isa import ops
from bpfbench.program.program import Program
from bpfbench.verifier import bounds, tnum
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, Scalar, s64

_ENDS: Final = (0, 0xFF, 0x7FFF, 0xFFFF, S32_MAX, U32_MAX, S64_MAX)


def join(a: Scalar, b: Scalar) -> Scalar:
    """The smallest Scalar that holds both."""
    if a is b or a.same(b):
        return a
    v, m = tnum.union((a.v, a.m), (b.v, b.m))
    return Scalar(v, m, min(a.umin, b.umin), max(a.umax, b.umax), min(a.smin, b.smin), max(a.smax, b.smax),
                  min(a.u32min, b.u32min), max(a.u32max, b.u32max), min(a.s32min, b.s32min), max(a.s32max, b.s32max))


@final
class Thresholds:
    """Sorted bounds to stop at.

    >>> from bpfbench.program.program import from_assembly
    >>> t = Thresholds(from_assembly("if r1 > 60 goto +1\\nr0 = 0\\nexit")); t.up(7), t.down(-3)
    (59, -256)
    """

    __slots__ = ("numbers",)

    def __init__(self, prog: Program | None) -> None:
        """Those of a program; of none: just the ends of the widths, which are soon passed."""
        found: set[int] = set()
        for insn in prog.insns if prog is not None else ():
            if insn is None or not insn.op.imm or insn.kind not in (ops.JMP, ops.JMP32, ops.ALU64, ops.ALU32, ops.LDDW):
                continue
            c = s64(insn.imm)
            found |= {c - 1, c, c + 1}
        for spec in prog.maps if prog is not None else ():
            found |= {spec.value_size - 1, spec.value_size, spec.max_entries - 1, spec.max_entries}
        for end in _ENDS:
            found |= {end, -end - 1}
        self.numbers = sorted(n for n in found if S64_MIN <= n <= S64_MAX)

    def up(self, n: int) -> int:
        """The next threshold at or above."""
        at = bisect_left(self.numbers, n)
        return self.numbers[at] if at < len(self.numbers) else U64_MAX

    def down(self, n: int) -> int:
        """The next threshold at or below."""
        at = bisect_right(self.numbers, n)
        return self.numbers[at - 1] if at else S64_MIN

    def widen(self, old: Scalar, new: Scalar) -> Scalar:
        """A Scalar that holds both, no bound of which has moved a little."""
        if new.within(old):
            return old
        s = join(old, new)
        v, m = s.v, s.m
        moved = (m & ~old.m).bit_length() and (m & ~old.m) & -(m & ~old.m)
        if moved:
            m = (m | ~(moved - 1)) & U64_MAX
            v &= ~m
        s.v, s.m = v, m
        s.umin = max(self.down(s.umin), 0) if s.umin < old.umin else old.umin
        s.umax = min(self.up(s.umax), U64_MAX) if s.umax > old.umax else old.umax
        s.smin = max(self.down(s.smin), S64_MIN) if s.smin < old.smin else old.smin
        s.smax = min(self.up(s.smax), S64_MAX) if s.smax > old.smax else old.smax
        s.u32min = max(self.down(s.u32min), 0) if s.u32min < old.u32min else old.u32min
        s.u32max = min(self.up(s.u32max), U32_MAX) if s.u32max > old.u32max else old.u32max
        s.s32min = max(self.down(s.s32min), S32_MIN) if s.s32min < old.s32min else old.s32min
        s.s32max = min(self.up(s.s32max), S32_MAX) if s.s32max > old.s32max else old.s32max
        return bounds.deduce(s, bounds.DEDUCE_618)
