"""Stepping through a run in both directions, with everything that is known of each moment.

A run in the interpreter is recorded once: the registers before each instruction, and every store.  After that any
moment can be visited, backwards as well as forwards, and each shows four things at once:

    C line         r1 += r2 came from `sum += x;`
    concrete       r1 = 5, r2 = 7, bytes of memory as they were
    abstract       the verifier's states at this instruction, those first that cover the concrete values
    native         the instructions that the JIT made of it

Questions go back in time too: who set r3 last, when was this instruction run before, what was in that byte.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

from bpfbench.errors import DebugError
from bpfbench.interp.machine import run
from bpfbench.interp.observe import Observer
from bpfbench.isa.text import format_insn
from bpfbench.jit.code import Code
from bpfbench.listing import Row
from bpfbench.program.program import Program, SourceLine
from bpfbench.trace import Event
from bpfbench.verifier.regstate import NOT_INIT, SCALAR
from bpfbench.verifier.verification import Verification

REGISTERS: Final = 11
DEFAULT_BUDGET: Final = 200_000


@final
class Moment:
    """The machine just before the instruction at `pc` runs for the `step`-th time counted over the whole run.

    `registers` r0..r10 · `depth` of calls, 0 in the main program · `line` of C · `native` rows of the JITed code ·
    `abstract` the verifier's visits to this instruction, those that cover the registers first, `covered` how many do.
    """

    __slots__ = ("step", "pc", "depth", "registers", "text", "line", "native", "abstract", "covered")

    def __init__(
        self, step: int, pc: int, depth: int, registers: tuple[int, ...], text: str, line: SourceLine | None,
        native: list[Row], abstract: list[Event], covered: int,
    ) -> None:  # fmt: skip
        self.step = step
        self.pc = pc
        self.depth = depth
        self.registers = registers
        self.text = text
        self.line = line
        self.native = native
        self.abstract = abstract
        self.covered = covered

    def __repr__(self) -> str:
        return f"Moment(step {self.step}, insn {self.pc}: {self.text})"

    def __str__(self) -> str:
        held = "  ".join(f"r{n}={value:#x}" for n, value in enumerate(self.registers))
        lines = [f"step {self.step}  {self.pc}: {self.text}", f"  {held}"]
        if self.line is not None:
            lines.insert(0, str(self.line))
        if self.abstract:
            lines.append(f"  {self.covered} of {len(self.abstract)} states of the verifier here cover this")
        return "\n".join(lines + [f"  {row.addr:#x}: {row.text}" for row in self.native])


@final
class _Tape(Observer):
    """What is kept of a run."""

    def __init__(self) -> None:
        self.visits: list[tuple[int, int, tuple[int, ...]]] = []  # pc, depth, registers
        self.stores: list[tuple[int, str, int, int, int]] = []  # step, region, offset, size, value
        self.depth = 0

    def visit(self, step: int, pc: int, registers: list[int]) -> None:
        self.visits.append((pc, self.depth, tuple(registers)))

    def access(self, step: int, pc: int, what: str, region: str, offset: int, size: int, value: int) -> None:
        if what != "load":
            self.stores.append((len(self.visits) - 1, region, offset, size, value))

    def frame(self, step: int, pc: int, depth: int, target: int) -> None:
        self.depth = depth


@final
class Stepper:
    """A recorded run and a place in it.

    >>> import bpfbench as bb
    >>> run = record(bb.assemble("r1 = 3\\nA: r1 += -1\\nif r1 != 0 goto A\\nr0 = r1\\nexit"))
    >>> run.to_end().pc, run.back_to(1).registers[1], run.who_set(1).pc
    (4, 1, 1)
    """

    __slots__ = ("program", "tape", "position", "r0", "trap", "rows", "states")

    def __init__(
        self, program: Program, tape: _Tape, r0: int, trap: object, code: Code | None, verification: Verification | None
    ) -> None:
        self.program = program
        self.tape = tape
        self.position = 0
        self.r0 = r0
        self.trap = trap
        self.rows: dict[int, list[Row]] = {}
        for row in code.insns if code is not None else []:
            self.rows.setdefault(row.owner, []).append(row)
        self.states: dict[int, list[Event]] = {}
        trace = verification.trace if verification is not None else None
        for event in trace.of("visit") if trace is not None else []:
            self.states.setdefault(event.pc, []).append(event)

    def __len__(self) -> int:
        return len(self.tape.visits)

    def __repr__(self) -> str:
        return f"Stepper({self.program.name}: step {self.position} of {len(self)})"

    @property
    def now(self) -> Moment:
        return self.at(self.position)

    def at(self, step: int) -> Moment:
        """A moment without going there."""
        if not 0 <= step < len(self):
            raise DebugError(f"the run has steps 0 to {len(self) - 1}, not {step}")
        pc, depth, registers = self.tape.visits[step]
        insn = self.program.insns[pc] if pc < len(self.program.insns) else None
        states = self.states.get(pc, [])
        covering = [event for event in states if covers(event, registers)]
        rest = [event for event in states if event not in covering]
        text = format_insn(insn) if insn is not None else ""
        return Moment(step, pc, depth, registers, text, self.program.source_line(pc), self.rows.get(pc, []),
                      covering + rest, len(covering))  # fmt: skip

    # --- going places ------------------------------------------------------------------------------------------------

    def forward(self, count: int = 1) -> Moment:
        """`count` instructions on, or as far as the run went."""
        self.position = min(self.position + count, len(self) - 1)
        return self.now

    def back(self, count: int = 1) -> Moment:
        """`count` instructions back, or to the beginning."""
        self.position = max(self.position - count, 0)
        return self.now

    def to_end(self) -> Moment:
        return self.forward(len(self))

    def to_start(self) -> Moment:
        return self.back(len(self))

    def run_to(self, pc: int) -> Moment | None:
        """On to the next time the instruction at `pc` runs; None (and no move) if it does not."""
        return self._seek(range(self.position + 1, len(self)), lambda step: self.tape.visits[step][0] == pc)

    def back_to(self, pc: int) -> Moment | None:
        """Back to the last time the instruction at `pc` ran; None (and no move) if it had not."""
        return self._seek(range(self.position - 1, -1, -1), lambda step: self.tape.visits[step][0] == pc)

    def next_line(self) -> Moment | None:
        """On to another C line, not stopping in functions that are called."""
        return self._seek(range(self.position + 1, len(self)), self._other_line())

    def previous_line(self) -> Moment | None:
        """Back to another C line, not stopping in functions that were called."""
        return self._seek(range(self.position - 1, -1, -1), self._other_line())

    def who_set(self, register: int) -> Moment | None:
        """Back to the instruction that gave a register the value it has now; None if it had it from the start."""
        value, depth = self.now.registers[register], self.now.depth

        def changed(step: int) -> bool:
            return self.tape.visits[step][2][register] != value and self.tape.visits[step][1] >= depth

        return self._seek(range(self.position - 1, -1, -1), changed)

    def _other_line(self) -> Callable[[int], bool]:
        here, depth = self.program.source_line(self.now.pc), self.now.depth

        def differs(step: int) -> bool:
            pc, deep, _ = self.tape.visits[step]
            line = self.program.source_line(pc)
            same = line is not None and here is not None and (line.file, line.line) == (here.file, here.line)
            return deep <= depth and not same

        return differs

    def _seek(self, steps: range, wanted: Callable[[int], bool]) -> Moment | None:
        for step in steps:
            if wanted(step):
                self.position = step
                return self.now
        return None

    # --- memory ------------------------------------------------------------------------------------------------------

    def memory(self, region: str, offset: int, size: int) -> list[int | None]:
        """Bytes of a region at this moment; None for a byte that the program has not stored to so far.

        Regions are named as traps name them: "stack", "stack of frame 1", "packet", ….
        """
        found: list[int | None] = [None] * size
        for step, name, at, width, value in self.tape.stores:
            if step >= self.position:
                break
            if name != region:
                continue
            for index, byte in enumerate((value & (1 << 8 * width) - 1).to_bytes(width, "little")):
                if 0 <= at + index - offset < size:
                    found[at + index - offset] = byte
        return found


def covers(event: Event, registers: tuple[int, ...]) -> bool:
    """Does a state of the verifier allow these concrete values?  Of pointers it says nothing about the number."""
    known: Any = event.values.get("regs", [])
    return all(
        state.kind == NOT_INIT or state.kind != SCALAR or state.scalar.holds(value)
        for state, value in zip(known, registers, strict=False)
    )


def record(
    program: Program, data: bytes | str = b"", ctx: Any = None, maps: object = None, code: Code | None = None,
    verification: Verification | None = None, budget: int = DEFAULT_BUDGET,
) -> Stepper:  # fmt: skip
    """Run a program in the interpreter and keep every step.

    `code` (of `bb.jit(program)`) adds native instructions, `verification` (of `bb.verify(program, trace=True)`) the
    abstract states.  A trap ends the recording; it is in `Stepper.trap`.
    """
    tape = _Tape()
    result = run(program, data, ctx, maps, budget, observe=tape)
    if not tape.visits:
        raise DebugError(f"program '{program.name}' did not run: {result.trap}")
    return Stepper(program, tape, result.r0, result.trap, code, verification)
