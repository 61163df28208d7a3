"""What the interpreter tells while it runs: hooks of an `Observer`, and the recorder that keeps them as events.

All hooks do nothing by default.  `step` counts executed instructions from 0; `registers` is the live list r0..r10 and
must be copied to be kept.
"""

from __future__ import annotations

from mypy_extensions import mypyc_attr

from bpfbench.trace import Trace


@mypyc_attr(allow_interpreted_subclasses=True)
class Observer:
    """Base of everything that watches a run."""

    def visit(self, step: int, pc: int, registers: list[int]) -> None:
        """The instruction at `pc` is about to run."""

    def write(self, step: int, pc: int, register: int, old: int, new: int) -> None:
        """A register changed."""

    def access(self, step: int, pc: int, what: str, region: str, offset: int, size: int, value: int) -> None:
        """A memory access, `what` = "load", "store" or "atomic"; `value` is what was loaded or is now stored."""

    def branch(self, step: int, pc: int, target: int, taken: bool) -> None:
        """A conditional jump was decided."""

    def call(self, step: int, pc: int, name: str, arguments: list[int], result: int) -> None:
        """A helper returned."""

    def frame(self, step: int, pc: int, depth: int, target: int) -> None:
        """Control entered (depth grew) or left (depth shrank) a function; `target` is where it goes on."""

    def trap(self, step: int, pc: int, message: str) -> None:
        """The program failed here."""


class Recorder(Observer):
    """Keeps every hook as an `Event` of the same name.

    >>> r = Recorder(); r.branch(3, 5, 9, True); r.trace.of("branch")
    [<3: branch @5 target=9 taken=True>]
    """

    def __init__(self) -> None:
        self.trace = Trace()

    def _keep(self, kind: str, step: int, pc: int, **values: object) -> None:
        self.trace.add(kind, step, pc, values)

    def visit(self, step: int, pc: int, registers: list[int]) -> None:
        self._keep("visit", step, pc, registers=list(registers))

    def write(self, step: int, pc: int, register: int, old: int, new: int) -> None:
        self._keep("write", step, pc, register=register, old=old, new=new)

    def access(self, step: int, pc: int, what: str, region: str, offset: int, size: int, value: int) -> None:
        self._keep(what, step, pc, region=region, offset=offset, size=size, value=value)

    def branch(self, step: int, pc: int, target: int, taken: bool) -> None:
        self._keep("branch", step, pc, target=target, taken=taken)

    def call(self, step: int, pc: int, name: str, arguments: list[int], result: int) -> None:
        self._keep("call", step, pc, name=name, arguments=list(arguments), result=result)

    def frame(self, step: int, pc: int, depth: int, target: int) -> None:
        self._keep("frame", step, pc, depth=depth, target=target)

    def trap(self, step: int, pc: int, message: str) -> None:
        self._keep("trap", step, pc, message=message)
