"""Where a run leaves what the verifier said of it.

The verifier keeps a set of states for every instruction it has looked at; a sound one covers every run.  So a bug shows
as the first moment of a run that no state covers:

    outside     a register holds a number that no state at this instruction allows
    unseen      the instruction was never looked at: to the verifier it was dead
    access      all numbers are as they should be, and yet the interpreter stops an access that the verifier allowed

Source: `debug/stepper.py`, which keeps the run and compares.
"""

from __future__ import annotations

from typing import Any, final

from bpfbench.debug.stepper import Moment, Stepper
from bpfbench.verifier.regstate import SCALAR


@final
class Contradiction:
    """The first moment of a run that the verification does not cover.

    `kind`          "outside", "unseen" or "access", see above
    `pc`, `text`    the instruction about to run, and `step` when
    `register`      the register whose value is outside, else -1
    `value`         what it holds
    `claimed`       what the verifier said of it, as its log would, in each state at this instruction
    `trap`          how the run ended, None if it did not trap
    """

    __slots__ = ("kind", "step", "pc", "text", "register", "value", "claimed", "trap")

    def __init__(self, kind: str, moment: Moment, register: int, claimed: list[str], trap: object) -> None:
        self.kind = kind
        self.step = moment.step
        self.pc = moment.pc
        self.text = moment.text
        self.register = register
        self.value = moment.registers[register] if register >= 0 else 0
        self.claimed = claimed
        self.trap = trap

    def __repr__(self) -> str:
        what = f"r{self.register} = {self.value:#x}" if self.register >= 0 else self.kind
        return f"Contradiction(insn {self.pc}, {what})"

    def __str__(self) -> str:
        if self.kind == "access":
            return f"{self.trap}\nthe verifier had allowed this access"
        if self.register < 0:
            seen = f"insn {self.pc} ({self.text}) runs, and the verifier never looked at it"
        else:
            seen = (f"before insn {self.pc} ({self.text}) r{self.register} holds {self.value:#x}; "
                    f"the verifier said {' or '.join(self.claimed)}")
        return seen + (f"\n{self.trap}" if self.trap is not None else "")


def first_contradiction(run: Stepper) -> Contradiction | None:
    """The first moment of a recorded run that its verification does not cover, else its trap, else None."""
    for step in range(len(run)):
        moment = run.at(step)
        if moment.covered:
            continue
        register = outside(moment)
        return Contradiction("outside" if register >= 0 else "unseen", moment, register, claims(moment, register),
                             run.trap)
    if run.trap is not None:
        return Contradiction("access", run.at(len(run) - 1), -1, [], run.trap)
    return None


def outside(moment: Moment) -> int:
    """The register that most states disagree with; -1 without any state."""
    counts = [0] * 11
    for event in moment.abstract:
        known: Any = event.values["regs"]
        for number, state in enumerate(known):
            if state.kind == SCALAR and not state.scalar.holds(moment.registers[number]):
                counts[number] += 1
    most = max(counts)
    return counts.index(most) if most else -1


def claims(moment: Moment, register: int) -> list[str]:
    """What each state says of a register, each text once."""
    found: list[str] = []
    for event in moment.abstract if register >= 0 else []:
        known: Any = event.values["regs"]
        state = known[register]
        text = repr(state.scalar) if state.kind == SCALAR else repr(state)
        if text not in found:
            found.append(text)
    return found
