"""What an index can be: value ranges, asked backwards (point 4 of the post: the size that no compiler writes down).

The number of entries follows from whatever keeps the index in range: a compare and branch in front of the dispatch, a
mask, a bit field, a byte load, the clamp of hardened code.  `Ranges.of(loc, addr)` walks back from a use to the
definitions and through the *edges* on the way, narrowing at each conditional branch that compares the same value.

    cmp  w0, #7            [0, 2**32)
    b.hi default  --taken-->  [8, 2**32)
    |  fall                   [0, 7]          so the table has 8 entries, and the compare is the evidence
    adrp x1, T

Two registers hold "the same value" when their copies lead back to the same definitions; copies run through `mov`,
stack slots (clang at -O0 compares the register and reloads the slot) and FP registers.  Ranges join as convex hulls,
a path in progress contributes nothing, so loops converge at once and an index that a loop changes stays unbounded.
"""

from __future__ import annotations

from typing import Final, final

from . import a64
from .cfg import ENTRY, SLOT, Block, Cfg, Edge, is_stack, slot
from .slicing import Slicer

TOP: Final = (1 << 64) - 1
W: Final = (1 << 32) - 1
DEPTH: Final = 60
BUDGET: Final = 20000  # definitions and block entries looked at for one question


@final
class Range:
    """`lo..hi`, both included, unsigned; `why` is the address of the instruction that set `hi` (0: nothing did)."""

    __slots__ = ("lo", "hi", "why")

    def __init__(self, lo: int, hi: int, why: int = 0) -> None:
        self.lo = lo
        self.hi = hi
        self.why = why

    @property
    def bounded(self) -> bool:
        return self.hi < 1 << 24

    def clip(self, wide: bool) -> Range:
        return self if wide or self.hi <= W else Range(0, W, 0)

    def upto(self, hi: int, why: int) -> Range:
        return Range(min(self.lo, hi), hi, why) if hi < self.hi else self

    def join(self, other: Range | None) -> Range:
        if other is None:
            return self
        top = self if self.hi >= other.hi else other
        return Range(min(self.lo, other.lo), top.hi, top.why)

    def __repr__(self) -> str:
        return f"[{self.lo}, {self.hi:#x}]" if self.hi > 1 << 24 else f"[{self.lo}, {self.hi}]"


FULL: Final = Range(0, TOP)
EQ, NE, HS, LO, HI, LS, GE, LT, GT, LE = 0, 1, 2, 3, 8, 9, 10, 11, 12, 13


def narrow(r: Range, cond: int, n: int, why: int, wide: bool) -> Range | None:
    """`r` restricted to values v with `v cond n`; None when there are none.

    >>> narrow(Range(0, 100), LS, 7, 0, True)
    [0, 7]
    """
    top = TOP if wide else W
    lo, hi, origin = r.lo, r.hi, r.why
    if cond == HI:
        lo = max(lo, n + 1)
    elif cond == HS:
        lo = max(lo, n)
    elif cond in (LS, LO, LE, LT):
        limit = n if cond in (LS, LE) else n - 1
        if cond in (LE, LT) and (n > top >> 1 or limit < 0):
            return r
        if limit < hi:
            hi, origin = limit, why
    elif cond == EQ:
        lo, hi, origin = max(lo, n), min(hi, n), why
    elif cond == NE:
        if n == lo:
            lo += 1
        if n == hi:
            hi, origin = hi - 1, why
    elif cond in (GE, GT) and n <= top >> 1:
        lo = max(lo, n + (cond == GT))
        if hi > top >> 1:
            hi, origin = top >> 1, why
    return Range(lo, hi, origin) if lo <= hi else None


def holds(cond: int, nzcv: int) -> bool:
    """Does condition `cond` hold with these flags (n z c v from bit 3 down)?"""
    n, z, c, v = nzcv >> 3 & 1, nzcv >> 2 & 1, nzcv >> 1 & 1, nzcv & 1
    table = (z, c, n, v, c & (1 - z), n == v, (n == v) & (1 - z), 1)
    return bool(table[cond >> 1]) != bool(cond & 1 and cond != 15)


@final
class Ranges:
    """Range queries over one Cfg."""

    def __init__(self, cfg: Cfg, slicer: Slicer) -> None:
        self.cfg = cfg
        self.slicer = slicer
        self._before: dict[tuple[int, int], Range | None] = {}
        self._root: dict[tuple[int, int], tuple[object, ...]] = {}
        self._budget = BUDGET

    def of(self, loc: int, addr: int, depth: int = 0) -> Range | None:
        """The range of `loc` just before the instruction at `addr`; None when no path leads there."""
        if depth == 0:
            self._budget = BUDGET
        if loc == a64.ZR:
            return Range(0, 0, addr)
        block = self.cfg.block(addr)
        site = self.cfg._last(block, addr, loc)
        if site is not None:
            return self._after(loc, site, depth)
        return self._at_entry(loc, block, depth)

    def _at_entry(self, loc: int, block: Block, depth: int) -> Range | None:
        key = (loc, block.start)
        if key in self._before:
            return self._before[key]
        self._budget -= 1
        if depth > DEPTH or self._budget < 0:
            return FULL
        self._before[key] = None
        result: Range | None = FULL if block.root or not block.preds else None
        for e in block.preds:
            r = self._at_end(loc, e.source, depth + 1)
            if r is not None:
                r = self._through(e, loc, r)
            if r is not None:
                result = r.join(result)
        self._before[key] = result
        return result

    def _at_end(self, loc: int, block: Block, depth: int) -> Range | None:
        site = self.cfg._last(block, block.end, loc)
        return self._after(loc, site, depth) if site is not None else self._at_entry(loc, block, depth)

    # -- conditions -------------------------------------------------------------------------------------------

    def root(self, loc: int, addr: int, depth: int = 0) -> tuple[object, ...]:
        """Names the value of `loc` before `addr`: two equal roots hold equal values (their low 32 bits at least)."""
        key = (loc, addr)
        found = self._root.get(key)
        if found is not None:
            return found
        sites = self.cfg.reaching(loc, addr)
        result: tuple[object, ...] = (loc, sites)
        self._root[key] = result
        if len(sites) == 1 and sites[0] != ENTRY and depth < DEPTH:
            site = sites[0]
            insn = self.cfg.insn(site)
            source = self._copied(insn, loc)
            if source is not None:
                result = self.root(source, site, depth + 1)
        self._root[key] = result
        return result

    def _copied(self, insn: a64.Insn, loc: int) -> int | None:
        """The location that `insn` copies into `loc`."""
        op = insn.op
        if loc >= SLOT:
            if op == a64.STORE or op == a64.STOREP:
                reg = insn.rd if loc == slot(insn.rn, insn.imm) else insn.rm
                return reg + 32 if insn.vector else (reg if reg != a64.ZR else None)
            return None
        if op == a64.MOVR and insn.rm != a64.ZR:
            return insn.rm
        if op == a64.LOAD and is_stack(insn) and insn.size >= 4:
            return slot(insn.rn, insn.imm)
        if op == a64.LOADP and is_stack(insn):
            return slot(insn.rn, insn.imm + (insn.size if loc == insn.rm else 0))
        if op == a64.ADDI and insn.imm == 0 and insn.rn != a64.SP and not insn.signed:
            return insn.rn
        if op in (a64.UBFM, a64.SBFM) and insn.imm == 0 and insn.shift == 31:
            return insn.rn
        if op == a64.FMOVFG:
            return insn.rn + 32
        if op == a64.FMOVGF and insn.rn != a64.ZR:
            return insn.rn
        return None

    def _through(self, edge: Edge, loc: int, r: Range) -> Range | None:
        """`r` as it is after taking `edge`."""
        if edge.kind not in ("fall", "taken"):
            return r
        at = edge.source.end - 4
        insn = self.cfg.insn(at)
        if insn.op == a64.BCOND:
            return self._if(insn.cond ^ (edge.kind == "fall"), at, loc, at, r)
        if insn.op == a64.CBZ or (insn.op == a64.TBZ and insn.shift == 0):
            flag = self._flag(insn.rd, at)
            if flag is not None:  # cset w8, hi ; tbnz w8, #0: clang at -O0
                cond, site = flag
                true = (edge.kind == "taken") == bool(insn.ext)
                return self._if(cond if true else cond ^ 1, site, loc, at, r)
        if insn.op == a64.CBZ and insn.rd != a64.ZR and self.root(insn.rd, at) == self.root(loc, at):
            zero = (edge.kind == "taken") != bool(insn.ext)
            return narrow(r, EQ if zero else NE, 0, at, insn.wide)
        if insn.op == a64.TBZ and insn.shift in (31, 63) and self.root(insn.rd, at) == self.root(loc, at):
            if (edge.kind == "taken") != bool(insn.ext):
                return r.upto((1 << insn.shift) - 1, at)
        return r

    def _flag(self, reg: int, at: int) -> tuple[int, int] | None:
        """(condition, address) when `reg` holds the outcome of a condition, made by `cset`."""
        sites = self.cfg.reaching(reg, at) if reg != a64.ZR else ()
        if len(sites) == 1 and sites[0] != ENTRY:
            insn = self.cfg.insn(sites[0])
            if insn.op == a64.CSEL and insn.imm == 1 and insn.rn == insn.rm == a64.ZR:
                return insn.cond ^ 1, sites[0]
        return None

    def _if(self, cond: int, at: int, loc: int, loc_at: int, r: Range) -> Range | None:
        """`r` of `loc` (read at `loc_at`) given that `cond` holds at `at`."""
        flags = self.cfg.reaching(a64.FLAGS, at)
        if len(flags) != 1 or flags[0] == ENTRY:
            return r
        site = flags[0]
        insn = self.cfg.insn(site)
        if insn.op == a64.CCMP and holds(cond, insn.shift):
            return r  # may hold without the comparison
        if insn.op == a64.CCMP:
            before = self._if(insn.cond, site, loc, loc_at, r)
            if before is None:
                return None
            r = before
        if insn.op == a64.ADDI and insn.signed and insn.imm <= 0:
            n: int | None = -insn.imm
        elif insn.op == a64.SUBR and insn.signed and insn.shift == 0:
            n = self._known(insn.rm, site, insn.wide)
        elif insn.op == a64.CCMP:
            n = insn.imm if insn.ext else self._known(insn.rm, site, insn.wide)
        else:
            return r
        if n is None or insn.rn == a64.ZR or self.root(insn.rn, site) != self.root(loc, loc_at):
            return r
        return narrow(r, cond, n, site, insn.wide)

    def _known(self, reg: int, site: int, wide: bool) -> int | None:
        n = self.slicer.operand(reg, site, 0).constant
        return n if n is None or wide else n & W

    # -- definitions ------------------------------------------------------------------------------------------

    def _after(self, loc: int, site: int, depth: int) -> Range | None:
        """The range of `loc` after its definition at `site`."""
        self._budget -= 1
        if depth > DEPTH or self._budget < 0:
            return FULL
        insn = self.cfg.insn(site)
        op = insn.op
        if op in a64.CALLS:
            return None if 1 < loc < 19 else FULL  # never read: the call does not return
        source = self._copied(insn, loc)
        if source is not None:
            r = self.of(source, site, depth + 1)
            narrow32 = loc < SLOT and (not insn.wide or op in (a64.UBFM, a64.LOAD) and insn.size == 4)
            return r.clip(False) if r is not None and narrow32 else r
        if loc >= SLOT:
            return FULL
        r = self._computed(insn, site, loc, depth)
        return r.clip(insn.wide) if r is not None else None

    def _computed(self, insn: a64.Insn, site: int, loc: int, depth: int) -> Range | None:
        op = insn.op
        if op == a64.MOVI:
            return Range(insn.imm, insn.imm, site)
        if op == a64.MOVR:
            return Range(0, 0, site)
        if op == a64.ADDI and insn.rn != a64.SP:
            r = self.of(insn.rn, site, depth + 1)
            if r is None or r.lo + insn.imm < 0 or r.hi + insn.imm > (TOP if insn.wide else W):
                return r and FULL
            return Range(r.lo + insn.imm, r.hi + insn.imm, r.why)
        if op == a64.ANDI:
            r = self.of(insn.rn, site, depth + 1)
            return r and (
                r
                if r.hi <= insn.imm and insn.imm & (insn.imm + 1) == 0
                else Range(0, min(r.hi, insn.imm), site if insn.imm <= r.hi else r.why)
            )
        if op == a64.ANDR:
            a, b = self.of(insn.rn, site, depth + 1), self.of(insn.rm, site, depth + 1)
            low = b if a is None or (b is not None and b.hi < a.hi) else a
            return low and Range(0, low.hi, site)
        if op == a64.UBFM:
            return self._unsigned_field(insn, site, depth)
        if op == a64.SBFM and insn.imm == 0:
            r = self.of(insn.rn, site, depth + 1)
            return r if r is None or r.hi < 1 << insn.shift else FULL
        if op == a64.LOAD and not insn.vector and not insn.signed and insn.size < 4:
            return self._byte_load(insn, site)
        if op == a64.CSEL:
            return self._select(insn, site, depth)
        if insn.word & 0x7FE08000 == 0x1B008000:  # msub rd = ra - rn*rm: a remainder when rm is constant
            n = self._known(insn.rm, site, insn.wide) or self._known(insn.rn, site, insn.wide)
            if n is not None and 0 < n < 1 << 20:
                return Range(0, n - 1, site)
        return FULL

    def _unsigned_field(self, insn: a64.Insn, site: int, depth: int) -> Range | None:
        width = 64 if insn.wide else 32
        first, last = insn.imm, insn.shift
        r = self.of(insn.rn, site, depth + 1)
        if r is None:
            return None
        if last < first:  # lsl, ubfiz
            left = width - first
            r = r if r.hi < 1 << (last + 1) else Range(0, (1 << (last + 1)) - 1, site)
            return Range(r.lo << left, r.hi << left, r.why)
        r = r if insn.wide or r.hi <= W else Range(0, W, site)
        r = Range(r.lo >> first, r.hi >> first, r.why)
        limit = (1 << (last - first + 1)) - 1
        return r if r.hi < limit or (r.hi == limit and r.why) else Range(0, limit, site)

    def _byte_load(self, insn: a64.Insn, site: int) -> Range:
        """A narrow load: the type's range, or the largest value of a constant table of known length."""
        limit = (1 << (8 * insn.size)) - 1
        return Range(0, limit, site)

    def _select(self, insn: a64.Insn, site: int, depth: int) -> Range | None:
        a, b = self.of(insn.rn, site, depth + 1), self.of(insn.rm, site, depth + 1)
        if a is not None and insn.rn != a64.ZR:
            a = self._if(insn.cond, site, insn.rn, site, a)
        if b is not None and insn.rm != a64.ZR:
            b = self._if(insn.cond ^ 1, site, insn.rm, site, b)
        if insn.imm >= 2:
            return FULL
        if insn.imm == 1 and b is not None:
            b = Range(b.lo + 1, b.hi + 1, b.why)
        return b if a is None else a.join(b)
