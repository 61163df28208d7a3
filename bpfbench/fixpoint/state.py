"""What holds at a point of the program: frames, stack cells, references, differences.

      State   frames  main, called, called …     refs   acquired and not yet released     zones   differences
      Frame   regs r0..r10     cells  offset -> (size, Value): bytes in no cell hold some data

Names (symbols, identities) mean something inside one state only; covers.py and joins.py relate those of two.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.cells import Cells
from bpfbench.fixpoint.values import ANON, NO_VALUE, NUMBER, Value
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


def symbol_range(v: Value) -> tuple[int, int] | None:
    """The integers its symbol may be, None when value = symbol + delta may wrap."""
    s = v.scalar
    low, high = (s.umin, s.umax) if v.kind == NUMBER else (s.smin, s.smax)
    low, high = low - v.delta, high - v.delta
    return (low, high) if low >= 0 and high < 1 << 64 else None
