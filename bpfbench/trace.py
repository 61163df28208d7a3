"""Events, and lists of them that can be asked questions.

The processes of bpfbench (path walker, interpreter, linker, rewriter) tell an observer what they do; a recorder keeps
what it was told as `Event`s.  A `Trace` is that list together with the few questions that every view asks.

A trace of a million events is kept as columns, and an `Event` is made when it is asked for:

    kinds    "visit"  "visit"  "keep"   "write"  …     names, shared
    steps    1        2        2        2        …     32-bit numbers
    pcs      0        1        1        1        …
    numbers  0        0        7        0        …     the first named value of kinds that are in `names`
    held     t1       t1       t1       {…}      …     their other values, a tuple that events share; or all, by name

`names` says what the values of a kind are called, so that they need not be kept with each event.

>>> t = Trace([Event("visit", 0, 0), Event("write", 1, 0, {"reg": 0}), Event("visit", 2, 1)])
>>> [e.step for e in t.of("visit")], len(t.at(0))
([0, 2], 2)
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import final


@final
class Event:
    """Something that happened: its `kind` ("visit", "write", …), the `step` it happened in, the `pc`, named values."""

    __slots__ = ("kind", "step", "pc", "values")

    def __init__(self, kind: str, step: int, pc: int, values: dict[str, object] | None = None) -> None:
        self.kind = kind
        self.step = step
        self.pc = pc
        self.values = values if values is not None else {}

    def __repr__(self) -> str:
        shown = " ".join(f"{k}={v}" for k, v in self.values.items())
        return f"<{self.step}: {self.kind} @{self.pc}{' ' + shown if shown else ''}>"

    def to_json(self) -> dict[str, object]:
        return {"kind": self.kind, "step": self.step, "pc": self.pc, **{k: _plain(v) for k, v in self.values.items()}}


def _plain(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value.hex() if isinstance(value, bytes) else str(value)


@final
class Trace:
    """A list of events in the order they happened; see the module text for how it is kept."""

    __slots__ = ("kinds", "steps", "pcs", "numbers", "held", "names")

    def __init__(self, events: list[Event] | None = None, names: dict[str, tuple[str, ...]] | None = None) -> None:
        self.kinds: list[str] = []
        self.steps = array("i")
        self.pcs = array("i")
        self.numbers = array("i")
        self.held: list[tuple[object, ...] | dict[str, object] | None] = []
        self.names = names if names is not None else {}
        for e in events or []:
            self.add(e.kind, e.step, e.pc, e.values)

    def add(
        self, kind: str, step: int, pc: int, held: tuple[object, ...] | dict[str, object] | None = None,
        number: int = 0,
    ) -> None:  # fmt: skip
        """Append an event: with its values by name, or with the number and the tuple that `names` has names for."""
        self.kinds.append(kind)
        self.steps.append(step)
        self.pcs.append(pc)
        self.numbers.append(number)
        self.held.append(held)

    def values(self, index: int) -> dict[str, object]:
        """The named values of one event."""
        held = self.held[index]
        if isinstance(held, dict):
            return held
        names = self.names.get(self.kinds[index], ())
        if not names:
            return {}
        values: dict[str, object] = {names[0]: self.numbers[index]}
        if held is not None:
            values.update(zip(names[1:], held))
        return values

    def __len__(self) -> int:
        return len(self.kinds)

    def __iter__(self) -> Iterator[Event]:
        return map(self._event, range(len(self.kinds)))

    def __getitem__(self, index: int) -> Event:
        return self._event(index)

    def _event(self, i: int) -> Event:
        return Event(self.kinds[i], self.steps[i], self.pcs[i], self.values(i))

    def __repr__(self) -> str:
        return f"Trace({len(self.kinds)} events)"

    def of(self, kind: str) -> list[Event]:
        """All events of one kind."""
        return [self._event(i) for i, k in enumerate(self.kinds) if k == kind]

    def at(self, pc: int) -> list[Event]:
        """All events at one instruction."""
        return [self._event(i) for i, p in enumerate(self.pcs) if p == pc]

    def after(self, step: int, kind: str = "") -> Event | None:
        """The next event after `step` (of a kind, if given), or None."""
        for i, at in enumerate(self.steps):
            if at > step and (not kind or self.kinds[i] == kind):
                return self._event(i)
        return None

    def before(self, step: int, kind: str = "") -> Event | None:
        """The last event before `step` (of a kind, if given), or None."""
        for i in range(len(self.kinds) - 1, -1, -1):
            if self.steps[i] < step and (not kind or self.kinds[i] == kind):
                return self._event(i)
        return None
