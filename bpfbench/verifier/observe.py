"""What the path walk tells whoever watches it.

An `Observer` has one method for each thing that happens on a walk; all do nothing.  The recorder of a trace, coverage,
the widgets and the fuzzer are observers.  States handed over are the walker's own: look, do not change; keep a
`state.fork()`, which shares everything that is immutable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from mypy_extensions import mypyc_attr

from bpfbench.trace import Trace

if TYPE_CHECKING:
    from bpfbench.verifier.regstate import RegState
    from bpfbench.verifier.state import Slot, State


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


NAMES: Final = {
    "visit":   ("path", "regs", "stack", "frame"),
    "keep":    ("state", "regs", "stack", "frame"),
    "prune":   ("by", "regs", "stack", "frame"),
    "kept":    ("against", "why"),
    "precise": ("state", "frame", "reg", "slot"),
    "fork":    ("target", "speculative"),
    "resume":  ("path", "from"),
}  # fmt: skip


@final
class Recorder(Observer):
    """Keeps everything as a `Trace`.

    Register states are immutable, so what an instruction left alone is shared: a step that changed nothing costs a
    row of numbers, one that changed a register a list of eleven references.
    """

    __slots__ = ("trace", "path", "regs", "stack", "frame", "shown", "shared")

    def __init__(self) -> None:
        self.trace = Trace(names=NAMES)
        self.path = 0
        self.regs: list[RegState] = []
        self.stack: list[Slot] = []
        self.frame = -1
        self.shown: tuple[object, ...] = ()
        self.shared: dict[object, tuple[object, ...]] = {}

    def _look(self, state: State) -> tuple[object, ...]:
        """Registers, slots and frame; the tuple of the last time where nothing has changed."""
        top = state.frames[-1]
        number = len(state.frames) - 1
        same = number == self.frame
        if top.regs != self.regs:               # lists of objects without ==: compares identities
            self.regs = top.regs[:]
            same = False
        if top.stack != self.stack:
            self.stack = top.stack[:]
            same = False
        if not same:
            self.frame = number
            self.shown = (self.regs, self.stack, number)
        return self.shown

    def _once(self, values: tuple[object, ...]) -> tuple[object, ...]:
        """One tuple for all events with these values."""
        return self.shared.setdefault(values, values)

    def visit(self, step: int, pc: int, state: State) -> None:
        self.trace.add("visit", step, pc, self._look(state), self.path)

    def fork(self, step: int, pc: int, target: int, state: State, speculative: bool) -> None:
        self.trace.add("fork", step, pc, self._once((speculative,)), target)

    def resume(self, step: int, pc: int, prev: int, state: State) -> None:
        self.path += 1
        self.trace.add("resume", step, pc, self._once((prev,)), self.path)

    def keep(self, step: int, pc: int, state: State) -> None:
        self.trace.add("keep", step, pc, self._look(state), state.number)

    def prune(self, step: int, pc: int, old: State, state: State) -> None:
        self.trace.add("prune", step, pc, self._look(state), old.number)

    def kept(self, step: int, pc: int, old: State, state: State, why: str) -> None:
        self.trace.add("kept", step, pc, self._once((why,)), old.number)

    def precise(self, step: int, pc: int, frame: int, reg: int, slot: int, state: State) -> None:
        self.trace.add("precise", step, pc, self._once((frame, reg, slot)), state.number)

    def loop(self, step: int, pc: int, state: State) -> None:
        self.trace.add("loop", step, pc)

    def end(self, step: int, pc: int, state: State) -> None:
        self.trace.add("end", step, pc)

    def reject(self, step: int, pc: int, message: str, state: State | None) -> None:
        self.trace.add("reject", step, pc, {"message": message})
