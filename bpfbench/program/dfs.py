"""The depth-first walk that finds loops and unreachable instructions, step by step.

The kernel walks instructions, not blocks, with two arrays of program length.  `insn_stack` holds the path from the
first instruction to the current one; `insn_status` says how far each instruction has got:

    .     not seen
    D     discovered: on the stack, nothing followed yet
    Df    discovered, the fall-through edge has been followed
    Db    discovered, the branch edge has been followed too
    E     explored: everything behind it has been seen

The walk looks at the instruction on top of the stack and follows one edge that has not been followed.  If its target
was not seen, it goes on top (a tree edge); if the target is explored, there is nothing to do (a forward or cross edge);
if the target is still on the stack, the edge closes a loop: a *back edge*.  Linux refused back edges until 5.3 and does
so still for programs loaded without CAP_BPF.  What is not explored in the end is unreachable.

Slides 26-28; `kernel/bpf/verifier.c` (push_insn, check_cfg).
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.isa.text import format_insn
from bpfbench.program.functions import destination
from bpfbench.program.program import Program

# insn_status (kernel/bpf/verifier.c)
UNSEEN: Final = 0x00
FALLTHROUGH: Final = 0x01
BRANCH: Final = 0x02
DISCOVERED: Final = 0x10
EXPLORED: Final = 0x20
_SHOWN: Final = {UNSEEN: ".", DISCOVERED: "D", DISCOVERED | FALLTHROUGH: "Df", DISCOVERED | BRANCH: "Db", EXPLORED: "E"}

# what a step did
START: Final = "start"            # the first instruction goes on the stack
TREE: Final = "tree edge"         # the target was not seen: it goes on the stack
CROSS: Final = "cross edge"       # the target is explored already
BACK: Final = "back edge"         # the target is on the stack: a loop
DONE: Final = "explored"          # no edge is left: the instruction leaves the stack
RANGE: Final = "out of range"     # the edge leaves the program


@final
class Step:
    """One step of the walk: the instruction `pc` on top of the stack, what was done, and along which edge to `target`.

    `edge` is FALLTHROUGH, BRANCH, or 0 where no edge was followed.
    """

    __slots__ = ("number", "action", "pc", "target", "edge")

    def __init__(self, number: int, action: str, pc: int, target: int, edge: int) -> None:
        self.number = number
        self.action = action
        self.pc = pc
        self.target = target
        self.edge = edge

    def __repr__(self) -> str:
        way = {FALLTHROUGH: " by falling through", BRANCH: " by branching"}.get(self.edge, "")
        return f"Step({self.number}: {self.action} {self.pc}{f' -> {self.target}{way}' if self.edge else ''})"


@final
class Walk:
    """The whole walk.  `steps` in order; `insn_stack(n)` and `insn_status(n)` are the arrays after step n.

    `back_edges` (from, to) pairs in the order they were found; `tree` (from, to) the edges that discovered something;
    `unreachable` pcs; `message` the kernel's refusal, "" if the shape is accepted.
    """

    __slots__ = ("program", "steps", "back_edges", "tree", "unreachable", "message")

    def __init__(self, program: Program) -> None:
        self.program = program
        self.steps: list[Step] = []
        self.back_edges: list[tuple[int, int]] = []
        self.tree: list[tuple[int, int]] = []
        self.unreachable: list[int] = []
        self.message = ""

    @property
    def accepted(self) -> bool:
        return not self.message

    def insn_stack(self, step: int) -> list[int]:
        """The stack after step number `step`, bottom first."""
        return self._replay(step)[0]

    def insn_status(self, step: int) -> list[int]:
        """The status of each slot after step number `step`, in the kernel's numbers."""
        return self._replay(step)[1]

    def _replay(self, step: int) -> tuple[list[int], list[int]]:
        stack: list[int] = []
        status = [UNSEEN] * len(self.program.insns)
        for taken in self.steps[: step + 1]:
            apply(taken, stack, status)
        return stack, status

    def table(self, first: int = 0, count: int = 1 << 30) -> str:
        """The steps with both arrays after each, as a text table; only slots of the program that hold instructions."""
        pcs = [pc for pc, insn in enumerate(self.program.insns) if insn is not None]
        stack: list[int] = []
        status = [UNSEEN] * len(self.program.insns)
        rows = ["step  action        edge      " + " ".join(f"{pc:>3}" for pc in pcs) + "   insn_stack"]
        for step in self.steps[: first + count]:
            apply(step, stack, status)
            if step.number < first:
                continue
            edge = f"{step.pc} -> {step.target}" if step.edge else f"{step.pc}"
            marks = " ".join(f"{_SHOWN.get(status[pc], '?'):>3}" for pc in pcs)
            rows.append(f"{step.number:4}  {step.action:12}  {edge:8}  {marks}   {' '.join(map(str, stack))}".rstrip())
        return "\n".join(rows)

    def paths(self) -> list[list[int]]:
        """The paths the walk followed, each from where it left the one before to its end.

        The end is an exit, or the instruction reached by a cross or back edge.
        """
        found: list[list[int]] = []
        current: list[int] = []
        for step in self.steps:
            if step.action == START:
                current = [step.pc]
            elif step.action in (TREE, CROSS, BACK):
                if not current:
                    current = [step.pc]
                current.append(step.target)
                if step.action != TREE:
                    found.append(current)
                    current = []
            elif step.action == DONE and current:
                found.append(current)
                current = []
        return found

    def __str__(self) -> str:
        lines = [f"{pc}: {format_insn(insn)}" for pc, insn in enumerate(self.program.insns) if insn is not None]
        return "\n".join([*lines, "", self.table(), "", self.message or "accepted"])

    def __repr__(self) -> str:
        return f"Walk({len(self.steps)} steps, {len(self.back_edges)} back edges; {self.message or 'accepted'})"


def apply(step: Step, stack: list[int], status: list[int]) -> None:
    """What one step does to the two arrays."""
    if step.action in (START, TREE):
        stack.append(step.target)
        status[step.target] = DISCOVERED
    if step.action in (TREE, CROSS, BACK):
        status[step.pc] = DISCOVERED | step.edge
    if step.action == DONE:
        stack.pop()
        status[step.pc] = EXPLORED


def edges_of(prog: Program, pc: int) -> list[tuple[int, int]]:
    """(edge kind, target slot) of an instruction, in the order the walk follows them.

    A call of a function, and a wide load that takes its address, fall through first and then branch into it.
    """
    insn = prog.insns[pc]
    if insn is None:
        return [(FALLTHROUGH, pc + 1)]
    if insn.kind in (ops.EXIT, ops.GOTOX):
        return []
    if insn.kind == ops.JA:
        return [(FALLTHROUGH, pc + 1 + insn.jump)]
    following = [(FALLTHROUGH, pc + insn.slots)]
    if insn.is_conditional:
        following.append((BRANCH, pc + 1 + insn.jump))
    called = destination(prog, pc)
    if called is not None:
        following.append((BRANCH, called))
    return following


def walk(prog: Program, loops: bool = True) -> Walk:
    """Walk a program depth first.  With `loops=False` the first back edge ends the walk, as in Linux 4.18.

    >>> from bpfbench.program.program import from_assembly
    >>> w = walk(from_assembly("r1 += 1\\nif r1 < 10 goto -2\\nexit"), loops=False)
    >>> w.message
    'back-edge from insn 1 to 0'
    """
    found = Walk(prog)
    count = len(prog.insns)
    if not count:
        found.message = "empty program"
        return found
    stack: list[int] = []
    status = [UNSEEN] * count
    followed = [0] * count  # how many edges of an instruction have been followed
    _record(found, START, 0, 0, 0, stack, status)
    while stack and not found.message:
        pc = stack[-1]
        edges = edges_of(prog, pc)
        if followed[pc] == len(edges):
            _record(found, DONE, pc, pc, 0, stack, status)
            continue
        kind, target = edges[followed[pc]]
        followed[pc] += 1
        if not 0 <= target < count:
            found.message = f"jump out of range from insn {pc} to {target}"
            _record(found, RANGE, pc, target, kind, stack, status)
        elif status[target] == UNSEEN:
            found.tree.append((pc, target))
            _record(found, TREE, pc, target, kind, stack, status)
        elif status[target] == EXPLORED:
            _record(found, CROSS, pc, target, kind, stack, status)
        else:
            found.back_edges.append((pc, target))
            _record(found, BACK, pc, target, kind, stack, status)
            if not loops:
                found.message = f"back-edge from insn {pc} to {target}"
    if not found.message:
        _unreachable(found, status)
    return found


def _record(
    found: Walk, action: str, pc: int, target: int, kind: int, stack: list[int], status: list[int]
) -> None:
    step = Step(len(found.steps), action, pc, target, kind)
    apply(step, stack, status)
    found.steps.append(step)


def _unreachable(found: Walk, status: list[int]) -> None:
    for pc, insn in enumerate(found.program.insns):
        if insn is not None and status[pc] != EXPLORED:
            found.unreachable.append(pc)
            found.message = found.message or f"unreachable insn {pc}"
        elif insn is not None and insn.slots == 2 and status[pc + 1] != UNSEEN:
            found.message = found.message or f"jump into the middle of ldimm64 insn {pc}"
