"""What holds at a point of the program: frames, stack cells, references, differences; and how two such states join.

      State   frames  main, called, called …     refs   acquired and not yet released     zones   differences
      Frame   regs r0..r10     cells  offset -> (size, Value): bytes in no cell hold some data

Joining is location by location.  Names are joined as a *partition*: locations that have the same symbol at the same
distance in both states have a common symbol in the result, all others do not:

      old   r1 = s5      r2 = s5      r3 = s5 + 4          new   r1 = s8   r2 = s9   r3 = s8 + 4
      joined   r1 = s5   r3 = s5 + 4   r2 = a fresh symbol

so the names of the result only ever become fewer relations, and a loop comes to an end.  `covers` asks the same question
without building anything: is every concrete state of the one a state of the other?

Sources: the partition is the join of Herbrand equivalences, B. Alpern, M. Wegman, F. Zadeck, "Detecting equality of
variables in programs" (1988).
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.cells import Cells, join_cells
from bpfbench.fixpoint.values import ANON, ANY_NUMBER, NO_VALUE, NOTHING, NUMBER, ZERO, Value
from bpfbench.fixpoint.widening import Thresholds, join
from bpfbench.fixpoint.zones import Zones

MAIN: Final = -1
PLAIN: Final = 0            # a function that was called
CALLBACK: Final = 1         # a function that a helper calls
ASYNC: Final = 2            # one that runs later, on its own
GLOBAL: Final = 3           # checked by itself, for any arguments


@final
class Names:
    """Fresh symbols and identities."""

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = ANON

    def fresh(self) -> int:
        self.last += 1
        return self.last


@final
class Frame:
    """One function's registers and stack; `site` is the pc of the call, `role` how it was called."""

    __slots__ = ("regs", "cells", "site", "function", "role")

    def __init__(self, function: int, site: int, number: int, role: int = PLAIN) -> None:
        self.regs: list[Value] = [NO_VALUE] * 10 + [vs.pointer(vs.STACK, 0, frame=number)]
        self.cells: Cells = {}
        self.site = site
        self.function = function
        self.role = role

    def copy(self) -> Frame:
        other = Frame.__new__(Frame)
        other.regs = self.regs[:]
        other.cells = self.cells.copy()
        other.site = self.site
        other.function = self.function
        other.role = self.role
        return other


@final
class Ref:
    """A reference: its identity, where it was acquired, and in which callback's frame (0: in none)."""

    __slots__ = ("ident", "pc", "frame")

    def __init__(self, ident: int, pc: int, frame: int) -> None:
        self.ident = ident
        self.pc = pc
        self.frame = frame


@final
class State:
    """See the module text.  `lock` is (identity, map index) of the spin lock held; `counters` count the rounds of the
    loops around this point; `fuel` says that the round passed a may_goto, which ends by itself."""

    __slots__ = ("frames", "refs", "lock", "zones", "counters", "fuel")

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.refs: list[Ref] = []
        self.lock: tuple[int, int] | None = None
        self.zones = Zones()
        self.counters: dict[int, Value] = {}
        self.fuel = False

    def copy(self) -> State:
        other = State()
        other.frames = [f.copy() for f in self.frames]
        other.refs = self.refs[:]
        other.lock = self.lock
        other.zones = self.zones.copy()
        other.counters = self.counters.copy() if self.counters else self.counters
        other.fuel = self.fuel
        return other

    @property
    def regs(self) -> list[Value]:
        """The registers of the running function."""
        return self.frames[-1].regs

    def locations(self) -> list[Value]:
        """Every value that is held somewhere."""
        found = list(self.counters.values())
        for f in self.frames:
            found += f.regs
            found += [v for _, v in f.cells.values()]
        return found

    def shape(self) -> tuple[object, ...]:
        """What must be equal for a join to lose nothing but numbers: kinds of values, references, the lock."""
        kinds: list[object] = []
        for f in self.frames:
            kinds.append(f.site)
            kinds += [_kind(v) for v in f.regs[:10]]
            kinds += [(at, _kind(v)) for at, (_, v) in sorted(f.cells.items()) if v.kind > NUMBER]
        kinds += [ref.pc for ref in self.refs]
        kinds.append(self.lock is None)
        return tuple(kinds)

    def tidy(self) -> None:
        """Forget differences between symbols that nothing holds."""
        if self.zones.count:
            self.zones.keep({v.sym for v in self.locations()})


def _kind(v: Value) -> object:
    if v.kind <= NUMBER:
        return v.kind
    return (v.kind, v.nullable, v.region.index if v.region is not None else -1, v.size, v.frame, v.note, v.ref)


def joinable(a: State, b: State) -> bool:
    """Do the states agree on what has no join: frames, references, the lock?"""
    if len(a.frames) != len(b.frames) or len(a.refs) != len(b.refs) or (a.lock is None) != (b.lock is None):
        return False
    if any(x.site != y.site or x.function != y.function or x.role != y.role
           for x, y in zip(a.frames, b.frames, strict=True)):
        return False
    if a.lock is not None and b.lock is not None and a.lock[1] != b.lock[1]:
        return False
    return all(x.pc == y.pc for x, y in zip(a.refs, b.refs, strict=True))


# Covering -----------------------------------------------------------------------------------------------------------


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
        known = upper(new.zones, ranges, a[0], b[0])
        if known is None or known + a[1] - b[1] > c:
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


def symbol_range(v: Value) -> tuple[int, int] | None:
    """The integers its symbol may be, None when value = symbol + delta may wrap."""
    s = v.scalar
    low, high = (s.umin, s.umax) if v.kind == NUMBER else (s.smin, s.smax)
    low, high = low - v.delta, high - v.delta
    return (low, high) if low >= 0 and high < 1 << 64 else None


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


# Joining ------------------------------------------------------------------------------------------------------------


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
        for t, found in self.spans.items():
            a, b, delta = found[0]
            in_old[t], in_new[t] = (a.sym, a.delta - delta), (b.sym, b.delta - delta)
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
        ranges_old, ranges_new = ranges_of(self.old), ranges_of(self.new)
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
