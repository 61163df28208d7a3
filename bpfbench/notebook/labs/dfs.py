"""The laboratory of the depth-first walk: `insn_stack` and `insn_status`, one step at a time (slides 26-28).

The walk itself is `program/dfs.py`; this shows its arrays after each step, and the edge that was followed.
"""

from __future__ import annotations

from typing import Any, Final

from bpfbench.errors import NotebookError
from bpfbench.isa.text import format_insn
from bpfbench.notebook.labs.lab import Lab, Part, field, keys, say, slider, table
from bpfbench.program import dfs
from bpfbench.program.program import Program, from_assembly

EXAMPLE: Final = """\
r0 = 0
if r1 == 0 goto done
loop: r0 += 1
if r0 < 10 goto loop
done: exit"""
MOST: Final = 400               # instructions
WORDS: Final = {0x00: ".", 0x10: "D", 0x11: "Df", 0x12: "Db", 0x13: "Dfb", 0x20: "E"}


class DfsLab(Lab):
    """See the module text; `inputs`: text (assembly), step."""

    title = "The depth-first walk"
    help = "n: next step, p: step back, e: end, s: start."

    def __init__(self, **inputs: Any) -> None:
        self._walk: tuple[str, Program, dfs.Walk] | None = None
        super().__init__(**inputs)

    def walk(self) -> tuple[Program, dfs.Walk]:
        text = self.inputs["text"]
        if self._walk is None or self._walk[0] != text:
            prog = from_assembly(text)
            if not prog.insns or len(prog.insns) > MOST:
                raise NotebookError(f"a program of 1 to {MOST} instructions, please")
            self._walk = (text, prog, dfs.walk(prog, loops=True))
        return self._walk[1:]

    def change(self, name: str, value: Any) -> None:
        last = len(self.walk()[1].steps) - 1
        at = self.inputs["step"]
        moves = {"next": at + 1, "previous": at - 1, "end": last, "start": 0}
        if name in moves:
            name, value = "step", moves[name]
        super().change(name, max(0, min(int(value), last)) if name == "step" else value)

    def inputs_only(self) -> list[Part]:
        return [field("text", "program", self.inputs["text"], 6)]

    def parts(self) -> list[Part]:
        prog, walk = self.walk()
        at = min(self.inputs["step"], len(walk.steps) - 1)
        step = walk.steps[at]
        stack, status = walk.insn_stack(at), walk.insn_status(at)
        rows: list[list[str]] = []
        marks: dict[int, str] = {}
        for pc, insn in enumerate(prog.insns):
            if insn is not None:
                if pc == step.pc or (step.action == dfs.BACK and pc == step.target):
                    marks[len(rows)] = "now" if pc == step.pc else "bad"
                depth = str(stack.index(pc)) if pc in stack else ""
                rows.append([str(pc), format_insn(insn), WORDS.get(status[pc], hex(status[pc])), depth])
        edge = f" to {step.target}" if step.edge else ""
        return [
            *self.inputs_only(),
            keys(("start", "start", "s"), ("previous", "back", "p"), ("next", "next step", "n"), ("end", "end", "e")),
            slider("step", f"step {at} of {len(walk.steps) - 1}", at, 0, len(walk.steps) - 1),
            table("insn_status, and the place in insn_stack", ["pc", "instruction", "status", "stack"], rows, marks),
            say(f"insn_stack: {' '.join(map(str, stack)) or 'empty'}"),
            say(f"step {at}: {step.action}, instruction {step.pc}{edge}",
                "bad" if step.action in (dfs.BACK, dfs.RANGE) else ""),
        ]  # fmt: skip

    def says(self) -> str:
        _, walk = self.walk()
        found = ", ".join(f"{a} to {b}" for a, b in walk.back_edges) or "none"
        return f"{len(walk.steps)} steps; back edges: {found}"


def dfs_lab(text: str = EXAMPLE, step: int = 0) -> DfsLab:
    """Step through the depth-first walk over a program given as assembly.

    >>> dfs_lab()
    DfsLab(12 steps; back edges: 3 to 2)
    """
    return DfsLab(text=text, step=step)
