"""What a verifier costs and what it loses: small programs that show it (stages 07, 12)."""

from __future__ import annotations

import functools
from random import Random
from typing import Any, Final, final

from bpfbench.course.exercise import Exercise, Failed, Plain
from bpfbench.course.exercises.support import marked_listing, program
from bpfbench.errors import BpfbenchError, CourseError
from bpfbench.interp import run
from bpfbench.isa import ops
from bpfbench.program.cfg import build
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.verification import Verification, verify

KERNEL: Final = "linux-6.18"
LONGEST: Final = 4000                # characters of a program
SLOTS: Final = 64
PATIENCE: Final = 20_000             # instructions of the walk


@final
class _Watch(Observer):
    """Ends a walk that takes too long; keeps what is known of r0 wherever the program ends."""

    def __init__(self, text: str) -> None:
        self.insns = program(text).insns
        self.results: list[RegState] = []
        self.visits: dict[int, int] = {}

    def visit(self, step: int, pc: int, state: Any) -> None:
        if step > PATIENCE:
            raise CourseError(f"the verifier is still walking after {PATIENCE} instructions: more than was asked for")
        self.visits[pc] = self.visits.get(pc, 0) + 1
        insn = self.insns[pc]
        if insn is not None and insn.kind == ops.EXIT:
            self.results.append(state.frame.regs[0])


@functools.lru_cache(64)
def _walk(text: str) -> tuple[Verification | BpfbenchError, _Watch]:
    watch = _Watch(text)
    try:
        return verify(program(text), KERNEL, observer=watch), watch
    except BpfbenchError as error:
        return error, watch


def watched(text: str) -> tuple[Verification, _Watch]:
    """The verdict, and what was seen on the way; raises what the walk raised."""
    found, watch = _walk(text)
    if isinstance(found, BpfbenchError):
        raise found
    return found, watch


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise Failed(f"the answer gives the text of a program, this is {found!r}"[:200])
    if len(found) > LONGEST:
        raise Failed(f"the program is longer than {LONGEST} characters")
    return found


def _called(key: str) -> Any:
    """The attempt: the text that the function gives for a number."""

    def attempt(answer: Any, case: Any) -> Plain:
        if not callable(answer):
            raise Failed(f"the answer must be a function, not {type(answer).__name__}")
        return _text(answer(case[key]))

    return attempt


# More paths than instructions ----------------------------------------------------------------------------------------


def _paths_judge(case: Any, got: Plain) -> str:
    graph = build(program(got))
    if graph.loops or any(insn is not None and insn.is_jump and insn.jump < 0 for insn in graph.program.insns):
        return "there is a jump back: this has to do without loops"
    slots = len(graph.program.insns)
    if slots > SLOTS:
        return f"{slots} slots; {SLOTS} are allowed"
    v, _ = watched(got)
    if v.rejection is not None:
        return f"refused at insn {v.rejection.pc}: {v.rejection.message}"
    walked = v.stats.processed
    if walked >= case["least"]:
        return ""
    if walked < 3 * slots:
        return (f"walked {walked} of at least {case['least']} instructions: hardly any instruction is walked twice; does "
                "every branch leave both ways open, and something different behind?")  # fmt: skip
    return (f"walked {walked} of at least {case['least']} instructions: paths are pruned where they meet, or there are too "
            "few of them; does something later depend on what differs?")  # fmt: skip


def draw_paths(case: Any, wanted: Plain, got: Plain) -> str:
    try:
        visits = watched(got)[1].visits
    except BpfbenchError:
        return "\n".join(f"  {line}" for line in got.splitlines()[:70])
    return marked_listing(got, {pc: f"<- walked {count} times" for pc, count in visits.items()})


# Lost knowledge ------------------------------------------------------------------------------------------------------

LINES: Final = 2


def lost(fragment: str, mask: int, value: int | None = None) -> str:
    """The student's lines behind a number of which only some bits are unknown; with a value, the program of one run."""
    number = f"r2 = {value}" if value is not None else "r2 = *(u32 *)(r1 +16)"
    return f"{number}\nr2 &= {mask}\nr0 = r2\n{fragment}\nexit"


def _lost_judge(case: Any, got: Plain) -> str:
    lines = [text for text in (one.split(";")[0].strip() for one in got.splitlines()) if text]
    if len(lines) > LINES:
        return f"{len(lines)} lines; {LINES} are allowed"
    mask = case["mask"]
    v, watch = watched(lost(got, mask))
    if v.rejection is not None:
        return f"refused at insn {v.rejection.pc}: {v.rejection.message}"
    inputs = [x for x in range(mask + 1) if x & ~mask == 0]
    results = {out.r0 if out.trap is None else str(out.trap)
               for out in (run(program(lost(got, mask, x)), b"", budget=1000) for x in inputs)}  # fmt: skip
    if len(results) > 1:
        some = ", ".join(str(r) for r in sorted(results, key=str)[:4])
        return f"r0 is not always the same: {some}{', …' if len(results) > 4 else ''}"
    known = [reg for reg in watch.results if reg.is_const]
    if known:
        return f"the verifier knows it, too: r0 = {known[0].scalar.v}"
    return ""


def draw_lost(case: Any, wanted: Plain, got: Plain) -> str:
    text = lost(got, case["mask"])
    try:
        found = watched(text)[1].results
    except BpfbenchError:
        return "\n".join(f"  {line}" for line in text.splitlines())
    exit_at = len(program(text).insns) - 1
    return marked_listing(text, {exit_at: f"<- r0 is {found[0].scalar!r}"} if found else {})


def lost_cases(random: Random) -> list[Any]:
    return [{"mask": mask} for mask in random.sample(range(3, 64), 5)]


EXERCISES: Final = [
    Exercise("lost-knowledge", "lose", "Two lines that lose what is known", 1, 3, "07 types and ranges", "26-28",
             public=[{"mask": 7}, {"mask": 1}, {"mask": 12}], more=lost_cases, attempt=_called("mask"),
             judge=_lost_judge, draw=draw_lost),
    Exercise("many-paths", "many_paths", "More paths than instructions", 2, 5, "12 the path walker", "22, 29-31",
             public=[{"least": n} for n in (500, 2000, 5000)],
             more=lambda random: [{"least": random.randrange(1000, 8000)} for _ in range(2)],
             attempt=_called("least"), judge=_paths_judge, draw=draw_paths),
]  # fmt: skip
