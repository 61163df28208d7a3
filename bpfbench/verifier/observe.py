"""What the path walk tells whoever watches it.

An `Observer` has one method for each thing that happens on a walk; all do nothing.  The recorder of a trace, coverage,
the widgets and the fuzzer are observers.  States handed over are the walker's own: look, do not change; keep a
`state.fork()`, which shares everything that is immutable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from mypy_extensions import mypyc_attr

from bpfbench.trace import Event, Trace

if TYPE_CHECKING:
    from bpfbench.verifier.state import State


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """The hooks.  `step` counts processed instructions from 1."""

    def visit(self, step: int, pc: int, state: State) -> None:
        """About to process the instruction at `pc`; `state` is what is true before it."""

    def write(self, step: int, pc: int, frame: int, reg: int, state: State) -> None:
        """The instruction gave a register a new value."""

    def fork(self, step: int, pc: int, target: int, state: State, speculative: bool) -> None:
        """A path to walk later: it continues at `target` with `state`."""

    def resume(self, step: int, pc: int, prev: int, state: State) -> None:
        """A path taken up again, at `pc`, coming from `prev`."""

    def keep(self, step: int, pc: int, state: State) -> None:
        """A checkpoint was made of the current state."""

    def prune(self, step: int, pc: int, old: State, state: State) -> None:
        """The path ends here: checkpoint `old` covers it."""

    def kept(self, step: int, pc: int, old: State, state: State, why: str) -> None:
        """Checkpoint `old` does not cover the state, because of `why`."""

    def precise(self, step: int, pc: int, frame: int, reg: int, slot: int, state: State) -> None:
        """A register or stack slot (the other is -1) of a checkpoint was found to matter exactly."""

    def loop(self, step: int, pc: int, state: State) -> None:
        """A loop was closed: the state equals one that is still being walked."""

    def end(self, step: int, pc: int, state: State) -> None:
        """The path is over: at the end of the program, by pruning, or because speculation stops."""

    def reject(self, step: int, pc: int, message: str, state: State | None) -> None:
        """The program is refused."""


@final
class Recorder(Observer):
    """Keeps everything as a `Trace`; states are shared, not copied deeply."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.path = 0

    @property
    def trace(self) -> Trace:
        return Trace(self.events)

    def visit(self, step: int, pc: int, state: State) -> None:
        self.events.append(Event("visit", step, pc, {"path": self.path, "regs": state.frames[-1].regs[:],
                                                     "stack": state.frames[-1].stack[:],
                                                     "frame": len(state.frames) - 1}))

    def fork(self, step: int, pc: int, target: int, state: State, speculative: bool) -> None:
        self.events.append(Event("fork", step, pc, {"target": target, "speculative": speculative}))

    def resume(self, step: int, pc: int, prev: int, state: State) -> None:
        self.path += 1
        self.events.append(Event("resume", step, pc, {"path": self.path, "from": prev}))

    def keep(self, step: int, pc: int, state: State) -> None:
        self.events.append(Event("keep", step, pc, {"state": state.number}))

    def prune(self, step: int, pc: int, old: State, state: State) -> None:
        self.events.append(Event("prune", step, pc, {"by": old.number}))

    def kept(self, step: int, pc: int, old: State, state: State, why: str) -> None:
        self.events.append(Event("kept", step, pc, {"against": old.number, "why": why}))

    def precise(self, step: int, pc: int, frame: int, reg: int, slot: int, state: State) -> None:
        self.events.append(Event("precise", step, pc, {"frame": frame, "reg": reg, "slot": slot,
                                                       "state": state.number}))

    def loop(self, step: int, pc: int, state: State) -> None:
        self.events.append(Event("loop", step, pc, {}))

    def end(self, step: int, pc: int, state: State) -> None:
        self.events.append(Event("end", step, pc, {}))

    def reject(self, step: int, pc: int, message: str, state: State | None) -> None:
        self.events.append(Event("reject", step, pc, {"message": message}))
