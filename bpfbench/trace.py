"""Events, and lists of them that can be asked questions.

The processes of bpfbench (path walker, interpreter, linker, rewriter) tell an observer what they do; a recorder keeps
what it was told as `Event`s.  A `Trace` is that list together with the few questions that every view asks.

>>> t = Trace([Event("visit", 0, 0), Event("write", 1, 0, {"reg": 0}), Event("visit", 2, 1)])
>>> [e.step for e in t.of("visit")], len(t.at(0))
([0, 2], 2)
"""

from __future__ import annotations

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
    """A list of events in the order they happened."""

    __slots__ = ("events",)

    def __init__(self, events: list[Event] | None = None) -> None:
        self.events: list[Event] = events if events is not None else []

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __getitem__(self, index: int) -> Event:
        return self.events[index]

    def __repr__(self) -> str:
        return f"Trace({len(self.events)} events)"

    def of(self, kind: str) -> list[Event]:
        """All events of one kind."""
        return [e for e in self.events if e.kind == kind]

    def at(self, pc: int) -> list[Event]:
        """All events at one instruction."""
        return [e for e in self.events if e.pc == pc]

    def after(self, step: int, kind: str = "") -> Event | None:
        """The next event after `step` (of a kind, if given), or None."""
        for e in self.events:
            if e.step > step and (not kind or e.kind == kind):
                return e
        return None

    def before(self, step: int, kind: str = "") -> Event | None:
        """The last event before `step` (of a kind, if given), or None."""
        for e in reversed(self.events):
            if e.step < step and (not kind or e.kind == kind):
                return e
        return None
