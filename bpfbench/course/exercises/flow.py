"""Where functions start, and that jumps stay in them (stages 05, 06)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.support import first_difference, hole, marked_listing, numbers, program
from bpfbench.errors import CourseError
from bpfbench.verifier import checks
from bpfbench.verifier.walk import EINVAL, Subprog

Code = list[checks.Slot]


class _Stage:
    """Just enough of a walk for a check of the shape: it keeps the functions and remembers the refusal."""

    log = None
    gpl = True

    def __init__(self, starts: list[int], count: int) -> None:
        self.subprogs = [Subprog(start) for start in starts]
        self.count = count
        self.k = self
        self.version = (6, 18)

    def refuse(self, text: str, errno: int = 0) -> CourseError:
        return CourseError(text)

    def end_of(self, number: int) -> int:
        return self.subprogs[number + 1].start if number + 1 < len(self.subprogs) else self.count


def code_of(text: str) -> Code:
    return checks.slots(program(text).raw)


# Function partition --------------------------------------------------------------------------------------------------


FILLING: Final = ("r6 = 0x1122334455667788 ll", "r7 = 5", "call ktime_get_ns", "r8 = 1")


def functions_program(random: Random) -> str:
    """A main function that names others, by calls and by address, past constants of two slots."""
    count = random.randrange(1, 4)
    lines: list[str] = []
    for i in range(count):
        lines += random.sample(FILLING, random.randrange(1, 4))
        lines.append(f"call f{i}" if random.random() < 0.6 else f"r3 = func f{i}")
    lines += ["r0 = 0", "exit"]
    for i in range(count):
        more = [f"call f{random.randrange(i + 1, count)}"] if i + 1 < count and random.random() < 0.4 else []
        lines += [f"f{i}: r0 = {i + 1}", *more, "exit"]
    slot: dict[str, int] = {}
    at: list[int] = []
    last = ""
    for line in lines:
        at.append(at[-1] + (2 if " ll" in last or "func" in last else 1) if at else 0)
        slot[line.split(":")[0]] = at[-1]
        last = line
    return "\n".join(f"r3 = func pc{slot[line.split()[-1]] - here - 1:+d}" if "func" in line else line
                     for here, line in zip(at, lines, strict=True))


def _starts(answer: Any, code: Code) -> list[int] | None:
    found = answer(code)
    return None if found is None else numbers(found, "what function_starts returns")


def _partition_step(answer: Any) -> Any:
    def step(w: Any, code: Code) -> None:
        starts = _starts(answer, code)
        if starts is None:
            raise w.refuse("call to invalid destination", EINVAL)
        w.subprogs = [Subprog(start) for start in starts]
        if w.log is not None and w.log.level >= 2:
            for i, sub in enumerate(w.subprogs):
                w.log.line(f"func#{i} @{sub.start}")

    return step


def _engine_starts(code: Code) -> list[int] | None:
    stage: Any = _Stage([], len(code))
    try:
        checks.find_subprogs(stage, code)
    except CourseError:
        return None
    return [sub.start for sub in stage.subprogs]


def _starts_direct(answer: Any, case: Any) -> Plain:
    return _starts(answer, code_of(case["assembly"]))


_partition_attempt, _partition_expected = hole(
    "bpfbench.verifier.checks.find_subprogs", _partition_step, _starts_direct, _engine_starts)


def _named(distance: int, address: bool, entry: bool, helpers: bool) -> Any:
    """function_starts with some of its parts missing."""

    def mistaken(code: Code) -> list[int] | None:
        starts: set[int] = {0} if entry else set()
        for pc, (op, _, src, _, imm) in enumerate(code):
            if (op == 0x85 and (src == 1 or helpers and src == 0)) or (address and op == 0x18 and src == 4):
                if not 0 <= pc + imm + distance < len(code):
                    return None
                starts.add(pc + imm + distance)
        return sorted(starts)

    return mistaken


def partition_cases(random: Random) -> list[Any]:
    made: list[Any] = [{"assembly": functions_program(random)} for _ in range(6)]
    made.append({"assembly": f"call pc+{random.randrange(3, 9)}\nr0 = 0\nexit"})
    return made + [{"program": functions_program(random)} for _ in range(3)]


def draw_functions(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    starts, found = wanted or [], got if isinstance(got, list) else []
    notes = {pc: "<- function starts" + ("" if pc in found else " (missing)") for pc in starts}
    notes |= {pc: "<- no function starts here" for pc in found if pc not in starts and type(pc) is int}
    return marked_listing(case["assembly"], notes)


# Jumps stay in their function ----------------------------------------------------------------------------------------


def _jump_step(answer: Any) -> Any:
    def step(w: Any, code: Code) -> None:
        message = answer([sub.start for sub in w.subprogs], code)
        if message:
            raise w.refuse(str(message), EINVAL)

    return step


def _engine_jumps(starts: list[int], code: Code) -> str:
    stage: Any = _Stage(starts, len(code))
    try:
        checks.check_jumps(stage, code)
    except CourseError as error:
        return error.message
    return ""


def _jumps_direct(answer: Any, case: Any) -> Plain:
    found = answer(list(case["starts"]), code_of(case["assembly"]))
    if not isinstance(found, str):
        raise Failed(f'check_jumps returns the message, or "": this is {found!r}'[:200])
    return found


_jumps_attempt, _jumps_expected = hole("bpfbench.verifier.checks.check_jumps", _jump_step, _jumps_direct, _engine_jumps)


def _jumps_like(first: int = 1, classes: tuple[int, ...] = (5, 6), whole: bool = False, ends: bool = True,
                calls: bool = False) -> Any:  # fmt: skip
    """check_jumps with a part missing or wrong."""

    def mistaken(starts: list[int], code: Code) -> str:
        bounds = [*starts, len(code)]
        for pc, (op, _, _, off, imm) in enumerate(code):
            at = max(i for i, start in enumerate(starts) if start <= pc)
            low, high = (0, len(code)) if whole else (bounds[at], bounds[at + 1])
            if op & 7 in classes and op & 0xF0 != 0x90 and (calls or op & 0xF0 != 0x80):
                target = pc + first + (imm if op == 0x06 else off)
                if not low <= target < high:
                    return f"jump out of range from insn {pc} to {target}"
            if ends and pc == bounds[at + 1] - 1 and op not in (0x95, 0x05, 0x06):
                return "last insn is not an exit or jmp"
        return ""

    return mistaken


def jump_cases(random: Random) -> list[Any]:
    two = "call f\n{}\nr0 = 0\nexit\nf: r0 = 1\n{}\nr0 = 2\nexit"
    ways = [("r6 = 1", "if r1 == 1 goto +0"), (f"if r1 == 1 goto +{random.randrange(2, 5)}", "r6 = 1"),
            ("r6 = 1", f"if w1 > 3 goto -{random.randrange(3, 6)}"), ("goto +1", "gotol -2"), ("r6 = 1", "goto -4"),
            ("r6 = 1", "gotol +9"), ("r6 = 1", "if w1 != 0 goto +2"), ("if r1 > 9 goto -2", "r6 = 2")]  # fmt: skip
    texts = [two.format(*way) for way in ways] + ["call f\nexit\nf: r0 = 1", "r0 = 0\nif r0 == 0 goto -2"]
    made: list[Any] = [{"starts": _engine_starts(code_of(text)), "assembly": text} for text in texts]
    return made + [{"program": text} for text in random.sample(texts, 4)]


def draw_message(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    return marked_listing(case["assembly"], {pc: "<- function starts" for pc in case["starts"]})


_SEALED: Final = tuple(f"bpfbench.course.exercises.flow.{n}" for n in (
    "_engine_starts", "_engine_jumps", "_named", "_jumps_like"))  # fmt: skip

EXERCISES: Final = [
    Exercise("function-partition", "function_starts", "Where functions start", 1, 3, "05 control-flow checks", "21-25",
             public=partition_cases(Random(5)), more=partition_cases,
             attempt=_partition_attempt, expected=_partition_expected, draw=draw_functions,
             mistakes=(("the call's destination counts from the next instruction: pc + imm + 1",
                        as_if(_starts_direct, _named(0, True, True, False))),
                       ("a function whose address is taken (a wide load with src 4) is a function, too",
                        as_if(_starts_direct, _named(1, False, True, False))),
                       ("the program itself is function 0: it starts at slot 0",
                        as_if(_starts_direct, _named(1, True, False, False))),
                       ("calls of helpers (src 0) are no calls of functions",
                        as_if(_starts_direct, _named(1, True, True, True)))),
             seals=("bpfbench.verifier.checks.find_subprogs", "bpfbench.program.functions.partition", *_SEALED)),
    Exercise("jumps-stay", "check_jumps", "A rule: jumps stay in their function", 2, 4, "06 static checks", "20, 25",
             public=jump_cases(Random(6))[:9], more=jump_cases, attempt=_jumps_attempt, expected=_jumps_expected,
             draw=draw_message,
             mistakes=(("a distance counts from the next instruction: pc + 1 + off",
                        as_if(_jumps_direct, _jumps_like(first=0))),
                       ("jumps on 32 bits (class 6) are jumps, too", as_if(_jumps_direct, _jumps_like(classes=(5,)))),
                       ("the target has to be in the same function, not just in the program",
                        as_if(_jumps_direct, _jumps_like(whole=True))),
                       ("a function may not run on into the next one", as_if(_jumps_direct, _jumps_like(ends=False))),
                       ("a call is no jump: its off means something else",
                        as_if(_jumps_direct, _jumps_like(calls=True)))),
             seals=("bpfbench.verifier.checks.check_jumps", "bpfbench.program.cfg._targets", *_SEALED)),
]  # fmt: skip
