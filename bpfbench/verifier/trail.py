"""The way to a refusal as the decisions taken on it, from the start of the function walked to the refused instruction.

Between two decisions a path goes straight on, so the decisions alone determine every step.  They are kept as a chain in
which each points to the one before: a fork puts the head of its chain aside, and paths share what they have in common.

      5: if r1 > 3 goto 9 ── not taken ── 7: if r2 == 0 goto 9 ── taken ── 9: r0 = *(u64 *)(r2 +0)  refused

Nothing of this is kept during an ordinary walk.  The walk is deterministic: `Rejection.path` walks once more with a
`Trail` when it is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier.observe import Observer

if TYPE_CHECKING:
    from bpfbench.verifier.state import State

_JUMPS: Final = (ops.JMP, ops.JMP32, ops.MAY_GOTO)


@final
class Decision:
    """One place where the path could have gone elsewhere, or where it ends.

    `step` counts processed instructions from 1; `taken` is True or False for a jump, None for a call into or a return
    from a function of the program (or a callback) and for the refused instruction; `depth` is the number of callers.
    """

    __slots__ = ("step", "pc", "taken", "depth", "speculative", "before")

    def __init__(self, step: int, pc: int, taken: bool | None, depth: int, speculative: bool,
                 before: Decision | None) -> None:
        self.step = step
        self.pc = pc
        self.taken = taken
        self.depth = depth
        self.speculative = speculative
        self.before = before

    def __repr__(self) -> str:
        way = "" if self.taken is None else " taken" if self.taken else " not taken"
        return f"<{self.pc}{way}>"


@final
class Trail(Observer):
    """Keeps the chain of decisions of the path being walked; memory grows with decisions, not with steps."""

    def __init__(self, insns: list[Instruction | None]) -> None:
        self._insns = insns
        self._head: Decision | None = None
        self._step = 0
        self._pc = -1                   # the instruction before, -1 at the start of a function
        self._depth = 0
        self._aside: dict[int, tuple[State, Decision | None, int, int, int]] = {}

    def visit(self, step: int, pc: int, state: State) -> None:
        depth = len(state.frames) - 1
        before = self._pc
        if before >= 0:
            insn = self._insns[before] if before < len(self._insns) else None
            if depth != self._depth:
                self._head = Decision(self._step, before, None, self._depth, state.speculative, self._head)
            elif insn is not None and insn.kind in _JUMPS:
                self._head = Decision(self._step, before, pc != before + 1 or not insn.off, depth, state.speculative,
                                      self._head)
        self._step, self._pc, self._depth = step, pc, depth

    def fork(self, step: int, pc: int, target: int, state: State, speculative: bool) -> None:
        self._aside[id(state)] = (state, self._head, self._step, self._pc, self._depth)

    def resume(self, step: int, pc: int, prev: int, state: State) -> None:
        _, self._head, self._step, self._pc, self._depth = self._aside.pop(id(state), (state, None, 0, -1, 0))

    def end(self, step: int, pc: int, state: State) -> None:
        self._head, self._pc = None, -1

    @property
    def path(self) -> list[Decision]:
        """Root to refused instruction; empty when nothing was walked."""
        if self._pc < 0:
            return []
        out = [Decision(self._step, self._pc, None, self._depth, False, self._head)]
        at = self._head
        while at is not None:
            out.append(at)
            at = at.before
        out.reverse()
        return out
