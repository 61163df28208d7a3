"""The join of two states, and their widening, location by location.

Names are joined as a *partition*: locations that have the same symbol at the same distance in both states have a
common symbol in the result, all others do not:

      old      r1 = s5    r2 = s5    r3 = s5 + 4        new    r1 = s8    r2 = s9    r3 = s8 + 4
      joined   r1 = s5    r3 = s5 + 4    r2 = a fresh symbol

so the result never has more relations than the old state, and a chain of joins comes to an end.  A difference is kept
when it follows in both states.

Source: the partition is the join of Herbrand equivalences, B. Alpern, M. Wegman, F. Zadeck, "Detecting equality of
variables in programs" (1988).
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.cells import join_cells
from bpfbench.fixpoint.covers import integer, ranges_of, upper
from bpfbench.fixpoint.state import Names, Ref, State
from bpfbench.fixpoint.values import ANON, ANY_NUMBER, NO_VALUE, NOTHING, ZERO, Value
from bpfbench.fixpoint.widening import Thresholds, join
from bpfbench.fixpoint.zones import Zones


@final
class Join:
    """One join in progress; `widen` replaces bounds that moved by thresholds."""

    __slots__ = ("old", "new", "names", "widen", "classes", "taken", "idents", "kept", "spans")

    def __init__(self, old: State, new: State, names: Names, widen: Thresholds | None) -> None:
        self.old = old
        self.new = new
        self.names = names
        self.widen = widen
        self.classes: dict[tuple[int, int, int], tuple[int, int]] = {}   # -> result symbol, base
        self.taken: set[int] = set()
        self.idents: dict[tuple[int, int], int] = {}
        self.kept: set[int] = set()
        self.spans: dict[int, list[tuple[Value, Value, int]]] = {}

    def run(self) -> State:
        out = State()
        out.fuel = self.old.fuel and self.new.fuel
        self._bases()
        for f, g in zip(self.old.frames, self.new.frames, strict=True):
            frame = f.copy()
            frame.regs = [self.value(a, b) for a, b in zip(f.regs, g.regs, strict=True)]
            frame.cells = join_cells(f.cells, g.cells, self.value)
            out.frames.append(frame)
        out.counters = {head: self.value(a, self.new.counters[head]) for head, a in self.old.counters.items()
                        if head in self.new.counters}
        out.refs = [Ref(self.ident(x.ident, y.ident), x.pc, x.frame)
                    for x, y in zip(self.old.refs, self.new.refs, strict=True)]
        if self.old.lock is not None and self.new.lock is not None:
            out.lock = (self.ident(self.old.lock[0], self.new.lock[0]), self.old.lock[1])
        if self.old.zones.count or self.new.zones.count:
            self._zones(out)
        return out

    def _bases(self) -> None:
        """Constants that differ get a symbol: its base is the smallest of the old ones, so that nothing wraps."""
        pairs: list[tuple[Value, Value]] = []
        for f, g in zip(self.old.frames, self.new.frames, strict=True):
            pairs += [(a, b) for a, b in zip(f.regs, g.regs, strict=True) if a.sym <= 0 and a.kind == b.kind]
            for at, (size, a) in f.cells.items():
                found = g.cells.get(at)
                if found is not None and found[0] == size and a.sym <= 0 and a.kind == found[1].kind:
                    pairs.append((a, found[1]))
        pairs += [(a, self.new.counters[h]) for h, a in self.old.counters.items() if h in self.new.counters and a.sym <= 0]
        for a, b in pairs:
            if b.sym == ANON or (a.sym == b.sym and a.delta == b.delta):
                continue
            key = (a.sym, b.sym, b.delta - a.delta)
            known = self.classes.get(key)
            if known is None:
                self.classes[key] = (self.names.fresh(), a.delta)
            elif a.delta < known[1]:
                self.classes[key] = (known[0], a.delta)

    def sym(self, a: Value, b: Value) -> tuple[int, int]:
        """Name of the joined value."""
        if a.sym == ANON or b.sym == ANON:
            return ANON, 0
        if a.sym <= 0 and a.sym == b.sym and a.delta == b.delta:
            return a.sym, a.delta
        key = (a.sym, b.sym, b.delta - a.delta)
        found = self.classes.get(key)
        if found is None:
            if a.sym > 0 and a.sym not in self.taken:
                self.taken.add(a.sym)
                found = (a.sym, 0)
            else:
                found = (self.names.fresh(), 0)
            self.classes[key] = found
        delta = a.delta - found[1] if a.sym <= 0 else a.delta
        self.spans.setdefault(found[0], []).append((a, b, delta))
        return found[0], delta

    def ident(self, a: int, b: int) -> int:
        if not a and not b:
            return 0
        if not a or not b:
            return self.names.fresh()
        found = self.idents.get((a, b))
        if found is None:
            found = a if a not in self.kept else self.names.fresh()
            self.kept.add(found)
            self.idents[(a, b)] = found
        return found

    def value(self, a: Value, b: Value) -> Value:
        if a is b and a.sym <= ANON and not a.ident:
            return a
        if a.kind == NOTHING or b.kind == NOTHING:
            return NO_VALUE
        if a.kind != b.kind:
            for zero, ptr in ((a, b), (b, a)):
                if zero.is_zero and ptr.kind in NULLABLE_KINDS and not ptr.ref:
                    return Value(ptr.kind, ptr.scalar, ANON, 0, True, self.names.fresh(), False, ptr.region, ptr.size,
                                 ptr.frame, ptr.note)
            return ANY_NUMBER
        if not a.alike(b):
            return self._unlike(a, b)
        if not a.ident and not b.ident and a.sym == b.sym == ZERO and a.delta == b.delta:
            return a
        scalar = self.widen.widen(a.scalar, b.scalar) if self.widen is not None else join(a.scalar, b.scalar)
        sym, delta = self.sym(a, b)
        out = a.at(scalar, sym, delta, min(b.fixed - a.fixed, 0))
        return out.named(sym, delta, self.ident(a.ident, b.ident))

    def _unlike(self, a: Value, b: Value) -> Value:
        small, large = (a, b) if a.size <= b.size else (b, a)
        if not (a.kind == b.kind and a.ref == b.ref and a.frame == b.frame and a.note == b.note
                and (a.size == b.size or a.kind == vs.MEM)
                and (a.region is b.region or vs.same_region(a.region, b.region))):
            return ANY_NUMBER
        scalar = self.widen.widen(a.scalar, b.scalar) if self.widen is not None else join(a.scalar, b.scalar)
        sym, delta = self.sym(a, b)
        nullable = a.nullable or b.nullable
        ident = self.ident(a.ident, b.ident) or self.names.fresh()
        return Value(a.kind, scalar, sym, delta, nullable, ident, a.ref, small.region, small.size, a.frame, a.note,
                     min(a.fixed, b.fixed))

    # Differences: t is a symbol of the result, s + off what it stands for in one of the states.

    def _zones(self, out: State) -> None:
        old_of: dict[int, list[tuple[int, int]]] = {}       # old symbol -> [(t, off)]
        new_of: dict[int, list[tuple[int, int]]] = {}
        in_old: dict[int, tuple[int, int]] = {}
        in_new: dict[int, tuple[int, int]] = {}
        ranges_old, ranges_new = ranges_of(self.old), ranges_of(self.new)
        for t, found in self.spans.items():
            a, b, delta = found[0]
            before, now = integer(ranges_old, a.sym, a.delta - delta), integer(ranges_new, b.sym, b.delta - delta)
            if before is not None and now is not None:
                in_old[t], in_new[t] = before, now
        fixed = {s for zones in (self.old.zones, self.new.zones) for x, y, _ in zones.pairs() for s in (x, y) if s <= 0}
        for t in fixed | {ZERO}:
            in_old[t] = in_new[t] = (t, 0)
        for t, (s, off) in in_old.items():
            old_of.setdefault(s, []).append((t, off))
        for t, (s, off) in in_new.items():
            new_of.setdefault(s, []).append((t, off))
        wanted: dict[tuple[int, int], None] = {}
        for zones, of in ((self.old.zones, old_of), (self.new.zones, new_of)):
            for x, y, _ in zones.pairs():
                for t, _ in of.get(x, ()):
                    for u, _ in of.get(y, ()):
                        if t != u:
                            wanted[(t, u)] = None
        for t, u in wanted:
            c = _bound(self.old.zones, ranges_old, in_old[t], in_old[u])
            d = _bound(self.new.zones, ranges_new, in_new[t], in_new[u])
            if c is None or d is None or (self.widen is not None and d > c):
                continue
            out.zones.add(t, u, max(c, d))


def _bound(zones: Zones, ranges: dict[int, tuple[int, int]], x: tuple[int, int], y: tuple[int, int]) -> int | None:
    known = upper(zones, ranges, x[0], y[0])
    return None if known is None else known + x[1] - y[1]


NULLABLE_KINDS: Final = frozenset((vs.VALUE, vs.MEM, vs.SOCKET, vs.SOCK_COMMON, vs.TCP_SOCK, vs.STRUCT))


def join_states(old: State, new: State, names: Names, widen: Thresholds | None = None) -> State:
    """The least state this domain has above both (they must be `joinable`); above enough to end a loop with `widen`."""
    return Join(old, new, names, widen).run()
