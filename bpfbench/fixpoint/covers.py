"""Is every concrete state of one abstract state also one of another?

`covers(old, new)` goes through the locations side by side.  Names need not be equal, only related: what has one symbol
in the old state must have one symbol in the new one, at the same distance, so the map from old to new names has to be a
function.  The old state's differences must follow from the new one's.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.state import State, joinable, symbol_range
from bpfbench.fixpoint.values import ANON, ANY_NUMBER, NOTHING, NUMBER, ZERO, Value
from bpfbench.fixpoint.zones import Zones
from bpfbench.verifier.scalar import U64_MAX

MAX_LENGTH: Final = 0x7FFFFFFF          # of a packet


@final
class _Names:
    """Old names -> the new state's, while it is a function."""

    __slots__ = ("syms", "idents")

    def __init__(self) -> None:
        self.syms: dict[int, tuple[int, int]] = {}
        self.idents: dict[int, int] = {}

    def sym(self, a: Value, b: Value) -> bool:
        if a.sym == ANON:
            return True
        if b.sym == ANON:
            return False
        if a.sym <= 0:
            return a.sym == b.sym and a.delta == b.delta
        found = self.syms.setdefault(a.sym, (b.sym, b.delta - a.delta))
        return found == (b.sym, b.delta - a.delta)

    def ident(self, a: int, b: int) -> bool:
        if not a:
            return True
        if not b:
            b = -1 - len(self.idents)           # an object of its own
        return self.idents.setdefault(a, b) == b

    def value(self, a: Value, b: Value) -> bool:
        """Does a allow all that b allows?"""
        if a is b and a.sym <= ANON and not a.ident:
            return True
        if a.kind == NOTHING:
            return True
        if a.kind == NUMBER:
            if b.kind == NUMBER:
                return b.scalar.within(a.scalar) and self.sym(a, b)
            return b.kind != NOTHING and a.scalar.m == (1 << 64) - 1 and a.sym == ANON and a.scalar.same(ANY_NUMBER.scalar)
        if b.kind == NUMBER:
            return a.nullable and b.is_zero and not a.ref and self.ident(a.ident, 0)
        if not a.alike(b) and not _looser(a, b):
            return False
        return b.scalar.within(a.scalar) and self.sym(a, b) and self.ident(a.ident, b.ident)


def _looser(a: Value, b: Value) -> bool:
    """Alike, but b is not null or larger."""
    return (a.kind == b.kind and (a.nullable or not b.nullable) and a.ref == b.ref and a.size <= b.size
            and (a.size == b.size or a.kind == vs.MEM) and a.frame == b.frame and a.note == b.note
            and (a.region is b.region or vs.same_region(a.region, b.region)))


def covers(old: State, new: State) -> bool:
    """Is every concrete state of `new` one of `old`?"""
    if not joinable(old, new) or (old.fuel and not new.fuel):
        return False
    names = _Names()
    for f, g in zip(old.frames, new.frames, strict=True):
        for a, b in zip(f.regs, g.regs, strict=True):
            if a is not b or a.sym > ANON or a.ident:
                if not names.value(a, b):
                    return False
        for at, (size, a) in f.cells.items():
            found = g.cells.get(at)
            if found is None or found[0] != size or not names.value(a, found[1]):
                return False
    for head, a in old.counters.items():
        other = new.counters.get(head)
        if other is None or not names.value(a, other):
            return False
    for x, y in zip(old.refs, new.refs, strict=True):
        if not names.ident(x.ident, y.ident):
            return False
    if old.lock is not None and new.lock is not None and not names.ident(old.lock[0], new.lock[0]):
        return False
    return _zones_cover(old, new, names)


def _zones_cover(old: State, new: State, names: _Names) -> bool:
    if not old.zones.count:
        return True
    ranges = ranges_of(new)
    for x, y, c in old.zones.pairs():
        a, b = _renamed(x, names), _renamed(y, names)
        if a is None or b is None:
            continue                            # nothing of the old state holds the symbol
        a, b = integer(ranges, *a), integer(ranges, *b)
        known = upper(new.zones, ranges, a[0], b[0]) if a is not None and b is not None else None
        if a is None or b is None or known is None or known + a[1] - b[1] > c:
            return False
    return True


def _renamed(s: int, names: _Names) -> tuple[int, int] | None:
    return (s, 0) if s <= 0 else names.syms.get(s)


def ranges_of(state: State) -> dict[int, tuple[int, int]]:
    """Range of each symbol, from the values that have it exactly."""
    found: dict[int, tuple[int, int]] = {ZERO: (0, 0)}
    for v in state.locations():
        if v.sym > ANON:
            span = symbol_range(v)
            if span is not None:
                known = found.get(v.sym)
                found[v.sym] = span if known is None else (max(span[0], known[0]), min(span[1], known[1]))
    return found


def integer(ranges: dict[int, tuple[int, int]], s: int, off: int) -> tuple[int, int] | None:
    """The 64-bit number `s + off` as symbol and distance that add up without wrapping; None where they may not.

    Differences are about integers: the constant -8 stands 2**64 - 8 above ZERO, not 8 below.

    >>> integer({}, ZERO, -8) == (ZERO, (1 << 64) - 8), integer({7: (8, 20)}, 7, -8), integer({7: (0, 20)}, 7, -8)
    (True, (7, -8), None)
    """
    if s == ZERO:
        return s, off & U64_MAX
    low, high = ranges.get(s, (0, MAX_LENGTH if s < 0 else U64_MAX))
    return (s, off) if low + off >= 0 and high + off <= U64_MAX else None


def upper(zones: Zones, ranges: dict[int, tuple[int, int]], x: int, y: int) -> int | None:
    """The best bound of x - y from differences and ranges together."""
    best = zones.bound(x, y)
    span = ranges.get(x)
    if span is not None and x != ZERO:
        base = zones.bound(ZERO, y)
        if base is not None and (best is None or span[1] + base < best):
            best = span[1] + base
    other = ranges.get(y)
    if span is not None and other is not None and (best is None or span[1] - other[0] < best):
        best = span[1] - other[0]
    return best
