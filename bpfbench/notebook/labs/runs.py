"""The laboratory of two runs: the same program, two kernels or two sets of switched-off analyses, side by side, live.

Both verifications are made again whenever an input changes, and their trees of paths are drawn on the same scale: what
does pruning save, what does precision cost, what did 4.18 not know?  Slides 29 to 33.
"""

from __future__ import annotations

from typing import Any, Final

from bpfbench.errors import NotebookError
from bpfbench.notebook.labs.lab import Lab, Part, choice, drawing, field, say, table
from bpfbench.notebook.paths import draw_paths
from bpfbench.program.program import Program, from_assembly
from bpfbench.verifier.path_tree import PRUNED, PathTree, path_tree
from bpfbench.verifier.verification import Verification, verify

KERNELS: Final = ("linux-6.18", "linux-6.12", "linux-6.1", "linux-4.18")
SWITCHES: Final = ("everything on", "pruning", "liveness", "precision", "tnum", "32-bit bounds")
EXAMPLE: Final = """\
call get_prandom_u32
r6 = r0
r7 = 0
if r6 & 1 goto a
r7 = 1
a: if r6 & 2 goto b
r7 = 2
b: if r6 & 4 goto c
r7 = 3
c: r0 = 0
exit"""
MOST: Final = 2000              # instructions of a program


class RunsLab(Lab):
    """See the module text; `inputs`: text, type, kernel_a, without_a, kernel_b, without_b."""

    title = "Two runs of one program"
    help = "Change the program, a kernel, or what is switched off; both walks are made again."

    def __init__(self, **inputs: Any) -> None:
        self._known: dict[tuple[str, ...], tuple[Verification, PathTree]] = {}
        super().__init__(**inputs)

    def inputs_only(self) -> list[Part]:
        i = self.inputs
        return [field("text", "program", i["text"], 8),
                choice("kernel_a", "first: as in", i["kernel_a"], list(KERNELS)),
                choice("without_a", "first: without", i["without_a"], list(SWITCHES)),
                choice("kernel_b", "second: as in", i["kernel_b"], list(KERNELS)),
                choice("without_b", "second: without", i["without_b"], list(SWITCHES))]

    def program(self) -> Program:
        prog = from_assembly(self.inputs["text"], self.inputs["type"])
        if not prog.insns or len(prog.insns) > MOST:
            raise NotebookError(f"a program of 1 to {MOST} instructions, please")
        return prog

    def run(self, side: str) -> tuple[Verification, PathTree]:
        """The verification of one side, "a" or "b", and its tree; made once for each choice of inputs."""
        i = self.inputs
        kernel, without = i[f"kernel_{side}"], i[f"without_{side}"]
        if kernel not in KERNELS or without not in SWITCHES:
            raise NotebookError(f"no run as {kernel} without {without}")
        key = (i["text"], i["type"], kernel, without)
        if key not in self._known:
            off = () if without == SWITCHES[0] else (without,)
            v = verify(self.program(), kernel=kernel, without=off, trace=True)
            self._known = dict(list(self._known.items())[-7:])
            self._known[key] = (v, path_tree(v))
        return self._known[key]

    def parts(self) -> list[Part]:
        (va, a), (vb, b) = self.run("a"), self.run("b")
        names = [self.name("a"), self.name("b")]
        facts = [("verdict", verdict(va), verdict(vb)), ("instructions processed", va.insns_processed, vb.insns_processed),
                 ("paths", len(a.paths), len(b.paths)), ("pruned", a.count(PRUNED), b.count(PRUNED)),
                 ("checkpoints", len(a.checkpoints), len(b.checkpoints))]
        rows = [[str(cell) for cell in fact] for fact in facts]
        marks = {i: "now" for i, (_, x, y) in enumerate(facts) if x != y}
        steps = max(a.steps, b.steps)
        drawn = [drawing(f"paths of {name}", draw_paths(tree, "", steps)) for name, tree in zip(names, (a, b))]
        return [*self.inputs_only(), table("two runs", ["", *names], rows, marks), *drawn, say(self.verdict(va, vb))]

    def name(self, side: str) -> str:
        off = self.inputs[f"without_{side}"]
        return str(self.inputs[f"kernel_{side}"]) + ("" if off == SWITCHES[0] else f" without {off}")

    def verdict(self, a: Verification, b: Verification) -> str:
        if a.accepted != b.accepted:
            return f"They disagree: the first says {verdict(a)}, the second {verdict(b)}."
        x, y = a.insns_processed, b.insns_processed
        if x == y:
            return f"Both process {x} instructions."
        return f"The second processes {y} instructions, the first {x}: {max(x, y) / max(min(x, y), 1):.1f} times as many."

    def says(self) -> str:
        return f"{self.run('a')[0].insns_processed} against {self.run('b')[0].insns_processed} instructions"


def verdict(v: Verification) -> str:
    return "accepted" if v.accepted else f"rejected: {v.message or v.errno}"


def runs_lab(text: str = EXAMPLE, type: str = "xdp", kernel_a: str = "linux-6.18", without_a: str = SWITCHES[0],
             kernel_b: str = "linux-6.18", without_b: str = "pruning") -> RunsLab:
    """Two runs of a program given as assembly.

    >>> runs_lab()
    RunsLab(18 against 33 instructions)
    """
    lab = RunsLab(text=text, type=type, kernel_a=kernel_a, without_a=without_a, kernel_b=kernel_b, without_b=without_b)
    lab.parts()
    return lab
