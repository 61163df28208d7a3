"""The laboratory of pruning: a checkpoint and a state; does one cover the other, and if not, why not?

Both are written in the notation of the kernel's log, with P in front of a number that is precise:

    checkpoint   R0=scalar(umax=255) R1=Pscalar(umax=7) fp-8=mmmmmmmm
    state        R0=5 R1=4 fp-8=0

The verdict is the verifier's own (`Comparison` of verifier/compare.py), register by register and slot by slot.
Slides 32 and 33.
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import NotebookError
from bpfbench.notebook.labs.lab import Lab, Part, choice, field, say, table
from bpfbench.program.program import from_assembly
from bpfbench.verifier import logvalues
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.compare import EXACT, LOOSE, RANGE, Comparison
from bpfbench.verifier.features import features
from bpfbench.verifier.log import register_text
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.route import slot_text
from bpfbench.verifier.state import EMPTY, MAIN, Frame, State
from bpfbench.verifier.walk import Walk
from bpfbench.verifier.words import describe

KERNELS: Final = ("linux-6.18", "linux-6.12", "linux-6.1")
LEVELS: Final = {"loose (end of a path)": LOOSE, "exact (a loop that repeats)": EXACT,
                 "range (loops with a callback)": RANGE}  # fmt: skip
ALL: Final = "R0 R1 R2 R3 R4 R5 R6 R7 R8 R9"


class PruningLab(Lab):
    """See the module text; `inputs`: old, new (texts), live (registers that matter), level, kernel."""

    title = "Pruning: does the checkpoint cover the state?"
    help = "States as in the kernel's log; P before a number marks it precise. Apply with Ctrl+Enter or by leaving the box."

    def inputs_only(self) -> list[Part]:
        i = self.inputs
        return [field("old", "checkpoint (explored before, found safe)", i["old"], 3),
                field("new", "state that arrives now", i["new"], 3),
                field("live", "registers that are read later", i["live"]),
                choice("level", "how exactly", i["level"], list(LEVELS)),
                choice("kernel", "as in", i["kernel"], list(KERNELS))]

    def compare(self) -> tuple[list[list[str]], dict[int, str], bool, str]:
        """Rows (place, checkpoint, state, verdict, why), their marks, the verdict and what decided it."""
        i = self.inputs
        if i["level"] not in LEVELS or i["kernel"] not in KERNELS:
            raise NotebookError(f"no comparison '{i['level']}' of {i['kernel']}")
        old, new = parse(i["old"], "checkpoint"), parse(i["new"], "state")
        walk = walk_for(i["kernel"], i["live"])
        level = LEVELS[i["level"]]
        whole = Comparison(walk, level)
        covered = whole.states(old, new)
        rows, marks = self.rows(walk, level, old, new)
        return rows, marks, covered, whole.why

    def rows(self, walk: Walk, level: int, old: State, new: State) -> tuple[list[list[str]], dict[int, str]]:
        rows: list[list[str]] = []
        marks: dict[int, str] = {}
        a, b = old.frames[0], new.frames[0]
        each = Comparison(walk, level)                  # one for all rows: ids must be related in the same way
        for r in range(10):
            x, y = a.regs[r], b.regs[r]
            if x.kind == rs.NOT_INIT and y.kind == rs.NOT_INIT:
                continue
            live = walk.live[0] >> r & 1
            good = not live or each.register(x, y)
            marks[len(rows)] = "dim" if not live else "ok" if good else "bad"
            rows.append([f"r{r}", shown(x), shown(y), "covered" if good else "not covered",
                         reason(x, y, bool(live), good, level)])
        for s in range(max(len(a.stack), len(b.stack))):
            p = a.stack[s] if s < len(a.stack) else EMPTY
            q = b.stack[s] if s < len(b.stack) else None
            good = each.slot(p, q)
            marks[len(rows)] = "ok" if good else "bad"
            rows.append([f"fp-{8 * s + 8}", slot_text(p), slot_text(q) if q is not None else "nothing",
                         "covered" if good else "not covered",
                         "every byte that the checkpoint knows is known as well" if good else
                         "the checkpoint relied on bytes that are different now"])
        return rows, marks

    def parts(self) -> list[Part]:
        rows, marks, covered, why = self.compare()
        verdict = "Pruned: whatever was safe from the checkpoint on is safe from this state on." if covered else \
            f"Not pruned: the walk goes on, because of {why or 'the difference above'}."
        return [*self.inputs_only(),
                table("register by register, slot by slot", ["", "checkpoint", "state", "", "why"], rows, marks),
                say(verdict, "ok" if covered else "bad")]

    def says(self) -> str:
        _, _, covered, why = self.compare()
        return "pruned" if covered else f"not pruned: {why}"


def pruning_lab(old: str = "R0=scalar(umax=255) R1=Pscalar(umax=7,var_off=(0x0; 0x7)) R6=ctx() fp-8=mmmmmmmm",
                new: str = "R0=scalar() R1=4 R6=ctx() fp-8=0", live: str = ALL,
                level: str = "loose (end of a path)", kernel: str = "linux-6.18") -> PruningLab:
    """The laboratory with these two states.

    >>> pruning_lab("R1=Pscalar(umax=7,var_off=(0x0; 0x7))", "R1=9")
    PruningLab(not pruned: r1)
    >>> pruning_lab("R1=scalar(umax=7,var_off=(0x0; 0x7))", "R1=9")
    PruningLab(pruned)
    """
    lab = PruningLab(old=old, new=new, live=live, level=level, kernel=kernel)
    lab.compare()
    return lab


def parse(text: str, what: str) -> State:
    """One frame in the notation of the log; bounds may be given in part, the views inform each other."""
    from bpfbench.verifier import bounds

    found = logvalues.state(" " + " ".join(text.split()), True)
    if not found.good:
        raise NotebookError(f"the {what} is not in the notation of the log: write R1=scalar(umax=7) fp-8=mmmm????")
    state = State()
    frame = Frame(MAIN, 0, 0, True)
    for r, reg in found.regs.items():
        if reg.kind == rs.SCALAR and reg.scalar.m:
            reg = reg.with_scalar(bounds.deduce(reg.scalar.copy(), bounds.DEDUCE_618))
        frame.regs[r] = reg
    for number, value in sorted(found.slots.items()):
        slot = logvalues.slot(value, 0, True, None)
        if slot is None or not 0 <= number < 64:
            raise NotebookError(f"fp-{8 * number + 8} of the {what} holds '{value}', which is no content of a slot")
        frame.grow(8 * (number + 1))
        frame.stack[number] = slot
    state.frames.append(frame)
    return state


def walk_for(kernel: str, live: str) -> Walk:
    """A walk that has not begun: the comparison asks it for the kernel's rules and for what is live."""
    walk = Walk(from_assembly("r0 = 0\nexit"), features(kernel, ()), True, None, None)
    mask = 1 << 10
    for word in live.replace(",", " ").split():
        if not word[1:].isdigit() or word[0] not in "rR" or int(word[1:]) > 10:
            raise NotebookError(f"'{word}' is no register; write for example R0 R6")
        mask |= 1 << int(word[1:])
    walk.live[0] = mask
    return walk


def shown(reg: RegState) -> str:
    return register_text(reg, 0) if reg.kind != rs.NOT_INIT else "nothing"


def reason(old: RegState, new: RegState, live: bool, good: bool, level: int) -> str:
    """Why this register decides as it does, in words."""
    if not live:
        return "nobody reads it any more"
    if old.kind == rs.NOT_INIT:
        return "the checkpoint did not rely on it"
    if old.kind != new.kind:
        return f"the checkpoint had {describe(old)}, now it is {describe(new)}"
    if old.kind == rs.SCALAR:
        if not old.precise and level == LOOSE and good:
            return "the number never mattered: any other will do"
        inside = new.scalar.within(old.scalar)
        if good:
            return "every value of the state was possible at the checkpoint"
        return "the number matters, and now it can have values that were not explored" if not inside else \
            "the numbers are linked in another way"
    if good:
        return "the same kind of pointer, within the same bounds"
    return f"{describe(new)} is not within {describe(old)}"
