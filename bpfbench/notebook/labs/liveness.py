"""The laboratory of liveness: the backward fixpoint, one instruction at a time.

      live before = (live after, without what the instruction writes) + what it reads

Instructions are visited in post-order, again and again until a whole round changes nothing; loops are what makes a
second round necessary.  Slide 32; verifier kernel/bpf/liveness.c and `compute_live_registers`.
"""

from __future__ import annotations

from typing import Any, Final

from bpfbench.errors import NotebookError
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn
from bpfbench.notebook.labs.lab import Lab, Part, field, keys, say, slider, table
from bpfbench.program.liveness import fixpoint_steps, postorder, successors, use_and_def
from bpfbench.program.program import from_assembly
from bpfbench.verifier.helper_protos import proto

EXAMPLE: Final = """\
r6 = r1
r7 = 0
loop: r7 += 1
r2 = r6
if r7 < 10 goto loop
r0 = r7
exit"""
MOST: Final = 400               # instructions


class LivenessLab(Lab):
    """See the module text; `inputs`: text (assembly), step."""

    title = "Liveness, backwards"
    help = "n: next step, p: step back, r: next round, e: end."

    def __init__(self, **inputs: Any) -> None:
        self._code: tuple[str, list[Instruction | None], dict[int, int], list[tuple[int, int, int, int]]] | None = None
        super().__init__(**inputs)

    def code(self) -> tuple[list[Instruction | None], dict[int, int], list[tuple[int, int, int, int]]]:
        text = self.inputs["text"]
        if self._code is None or self._code[0] != text:
            insns = from_assembly(text).insns
            if not insns or len(insns) > MOST:
                raise NotebookError(f"a program of 1 to {MOST} instructions, please")
            calls = {pc: len(found.args) for pc, insn in enumerate(insns)
                     if insn is not None and insn.is_call and (found := proto(insn.imm, "xdp")) is not None}
            self._code = (text, insns, calls, fixpoint_steps(insns, calls, postorder(insns, [0])[0]))
        return self._code[1:]

    def change(self, name: str, value: Any) -> None:
        steps = self.code()[2]
        at = self.inputs["step"]
        moves = {"next": at + 1, "previous": at - 1, "end": len(steps), "start": 0,
                 "round": next((i + 1 for i in range(at, len(steps)) if steps[i][0] > steps[max(at - 1, 0)][0]),
                               len(steps))}
        if name in moves:
            name, value = "step", moves[name]
        super().change(name, value)
        self.inputs["step"] = min(max(int(self.inputs["step"]), 0), len(self.code()[2]))

    def inputs_only(self) -> list[Part]:
        return [field("text", "program", self.inputs["text"], 8)]

    def parts(self) -> list[Part]:
        insns, calls, steps = self.code()
        at = self.inputs["step"]
        before = [0] * len(insns)
        for _, pc, _, now in steps[:at]:
            before[pc] = now
        here = steps[at - 1] if at else None
        rows: list[list[str]] = []
        marks: dict[int, str] = {}
        for pc, insn in enumerate(insns):
            if insn is None:
                continue
            use, kill = use_and_def(insn, calls, pc)
            after = 0
            for s in successors(insns, pc):
                after |= before[s] if s < len(before) else 0
            if here is not None and pc == here[1]:
                marks[len(rows)] = "now"
            rows.append([str(pc), format_insn(insn), names(use), names(kill), names(after), names(before[pc])])
        number = here[0] if here is not None else 0
        return [
            *self.inputs_only(),
            keys(("start", "start", "Home"), ("previous", "back", "p"), ("next", "next step", "n"),
                 ("round", "next round", "r"), ("end", "end", "e")),
            slider("step", f"step {at} of {len(steps)}, round {number} of {steps[-1][0]}", at, 0, len(steps)),
            table("liveness", ["pc", "instruction", "reads", "writes", "live after", "live before"], rows, marks),
            say(sentence(here, insns, calls, at == len(steps))),
        ]

    def says(self) -> str:
        insns, _, steps = self.code()
        return f"{sum(i is not None for i in insns)} instructions, {len(steps)} steps in {steps[-1][0]} rounds"


def liveness_lab(text: str = EXAMPLE, step: int = 0) -> LivenessLab:
    """The laboratory with this program.

    >>> liveness_lab("r0 = 1\\nexit")
    LivenessLab(2 instructions, 4 steps in 2 rounds)
    """
    lab = LivenessLab(text=text, step=step)
    lab.code()
    return lab


def names(mask: int) -> str:
    return " ".join(f"r{r}" for r in range(11) if mask >> r & 1) or "-"


def sentence(here: tuple[int, int, int, int] | None, insns: list[Instruction | None], calls: dict[int, int],
             last: bool) -> str:
    if here is None:
        return "Nothing is live yet. The first step looks at the end of the program."
    number, pc, old, now = here
    insn = insns[pc]
    if insn is None:
        return ""
    use, kill = use_and_def(insn, calls, pc)
    text = f"Round {number}, instruction {pc} (`{format_insn(insn)}`): what is live after it, without {names(kill)}, " \
           f"with {names(use)}, is {names(now)}"
    text += f"; it was {names(old)}." if now != old else "; nothing new."
    return text + (" A whole round changed nothing: this is the fixpoint." if last else "")
