"""Methods of targets: a prologue, the passes until offsets settle, calls between functions (stages 18, 19)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if, inside
from bpfbench.course.exercises.graphs import branching
from bpfbench.course.exercises.machines import native
from bpfbench.course.exercises.support import first_difference
from bpfbench.errors import JitError
from bpfbench.jit.rv64 import Rv64Target
from bpfbench.machine.rv64 import RA, T1
from bpfbench.machine.rv64 import R as RV
from bpfbench.machine.x64 import NAMES64, NOPS, R
from bpfbench.museum.displacement import displacement

# A prologue ----------------------------------------------------------------------------------------------------------

HOLDS: Final = {6: "rbx", 7: "r13", 8: "r14", 9: "r15"}
PLAIN: Final = {"endbr64": R["endbr64"], "nop5": NOPS[5], "nop3": NOPS[3]}


def _lines(answer: Any, stack: int, used: list[int]) -> list[str]:
    found = answer(stack, set(used))
    if not isinstance(found, (list, tuple)) or not all(isinstance(line, str) for line in found):
        raise Failed(f"prologue returns a list of texts, this is {found!r}"[:200])
    return [" ".join(line.lower().replace(",", ", ").split()) for line in found]


def _emit_line(t: Any, line: str) -> None:
    word, _, rest = line.partition(" ")
    if line in PLAIN:
        t.emit(PLAIN[line])
    elif word == "push" and rest in NAMES64:
        t.emit(R["push"], NAMES64.index(rest))
    elif line == "mov rbp, rsp":
        t.emit(R["mov_rr64"], NAMES64.index("rbp"), NAMES64.index("rsp"))
    elif line.startswith("sub rsp, ") and rest[5:].isdigit():
        t.emit(R["sub_ri64"], NAMES64.index("rsp"), int(rest[5:]))
    else:
        raise Failed(f"a prologue has no line '{line}'")


def _prologue_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        return _lines(answer, case["stack"], case["used"])

    def prologue(t: Any) -> None:
        t.cleanup_seen = False
        insns = [insn for insn in t.unit.insns if insn is not None]
        for line in _lines(answer, t.unit.stack_depth, sorted({r for insn in insns for r in (insn.dst, insn.src)})):
            _emit_line(t, line)

    return inside("bpfbench.jit.x64.X64Target.prologue", prologue, lambda: native(case["program"], "x86_64"))


def _prologue_like(exact: bool = False, everything: bool = False, early: bool = False, second: bool = True,
                   nothing: bool = False) -> Any:  # fmt: skip
    """prologue with one thing wrong; without options, the reference."""

    def found(stack: int, used: set[int]) -> list[str]:
        room = stack if exact else (stack + 7) // 8 * 8
        saved = [f"push {HOLDS[n]}" for n in HOLDS if everything or n in used]
        make = [f"sub rsp, {room}"] if room or nothing else []
        tail = saved + make if early else make + saved
        return ["endbr64", "nop5", "nop3", "push rbp", "mov rbp, rsp", *(["endbr64"] if second else []), *tail]

    return found


def _prologue_expected(case: Any) -> Plain:
    if "program" in case:
        return native(case["program"], "x86_64")
    return _lines(_prologue_like(), case["stack"], case["used"])


def prologue_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for stack in (0, 8, random.randrange(1, 500), random.randrange(1, 64) * 8, random.randrange(1, 8)):
        used = random.sample(range(0, 11), random.randrange(1, 7))
        made.append({"stack": stack, "used": sorted(used)})
    for regs in ((6, 9), (7, 8), ()):
        off = random.randrange(1, 60)
        body = [f"r{n} = {n}" for n in regs] + ([f"*(u8 *)(r10 -{off}) = 1"] if random.random() < 0.8 else [])
        made.append({"program": "\n".join([*body, "r0 = 0", "exit"])})
    return made


def draw_prologue(case: Any, wanted: Plain, got: Plain) -> str:
    return first_difference(wanted, got)


# Until nothing moves -------------------------------------------------------------------------------------------------

SWEEPS: Final = 20
ENDLESS: Final = 100


class _Told:
    """A sweep whose results are known beforehand: a list for each call, from the last ones on around in a circle."""

    def __init__(self, results: list[list[int]], circle: int) -> None:
        self.results = results
        self.circle = circle
        self.calls = 0
        self.given: list[int] = []

    def __call__(self, offsets: Any) -> list[int]:
        if self.calls >= ENDLESS:
            raise Failed(f"sweeps on and on: after {SWEEPS} sweeps it is time to give up")
        at = self.calls
        if at >= len(self.results):
            at = len(self.results) - self.circle + (at - len(self.results)) % self.circle
        if self.calls and list(offsets) != self.given:
            raise Failed("each sweep has to be given the offsets that the one before it has found")
        self.calls += 1
        self.given = list(self.results[at])
        return list(self.given)


def _settled(found: Any) -> list[int] | None:
    if found is None or isinstance(found, (list, tuple)) and all(type(x) is int for x in found):
        return None if found is None else list(found)
    raise Failed(f"settle returns a list of offsets, or None: this is {found!r}"[:200])


def _settle_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        told = _Told(case["sweeps"], case["circle"])
        found = _settled(answer(told, list(case["guess"])))
        return {"offsets": found, "sweeps": told.calls}

    def passes(t: Any, sweep: Any) -> None:
        t.cleanup_at = t.tail_out = t.tail_direct_out = 0
        t.cleanup_seen = t.padding = False
        t.saved = t.callee_saved()
        t.reg = [NAMES64.index(n) for n in "rax rdi rsi rdx rcx r8 rbx r13 r14 r15 rbp r10".split()]
        calls = [0]

        def once(offsets: Any) -> list[int]:
            calls[0] += 1
            if calls[0] > ENDLESS:
                raise Failed(f"sweeps on and on: after {SWEEPS} sweeps it is time to give up")
            t.offsets = list(offsets)
            sweep("PBE", True)
            return list(t.offsets)

        found = _settled(answer(once, [64 * (i + 1) for i in range(len(t.unit.insns) + 1)]))
        if found is None:
            raise JitError("the image does not settle")
        t.offsets = found
        sweep("PBE", False)

    def compiled() -> Plain:
        try:
            return native(case["program"], "x86_64", fault="CVE-2021-29154")
        except JitError as error:
            return error.message

    return inside("bpfbench.jit.x64.X64Target.passes", passes, compiled)


def _settle_like(length: bool = False, fixed: int = 0, late: int = 0, limit: int = SWEEPS) -> Any:
    """settle with one thing wrong; without options, the reference."""

    def found(sweep: Any, guess: list[int]) -> list[int] | None:
        offsets, again = guess, late
        for number in range(1, limit + 1):
            after = sweep(offsets)
            if fixed == number:
                return list(after)
            if after == offsets or length and after[-1] == offsets[-1]:
                if not again:
                    return list(after)
                again -= 1
            offsets = after
        return None

    return found


def settle_sweeps(random: Random, count: int, size: int, circle: int) -> Any:
    """Offsets that shrink and then stand still, or go around; some sweeps keep the length and move what is inside."""
    now = [64 * (i + 1) for i in range(size)]
    guess = list(now)
    sweeps: list[list[int]] = []
    for _ in range(count):
        step = [b - a for a, b in zip([0, *now], now, strict=False)]
        at, other = random.sample(range(1, size), 2)
        if sweeps and random.random() < 0.4 and step[at] > 4:
            step[at] -= 4
            step[other] += 4
        else:
            step = [random.randrange(2, s + 1) if s > 6 else s for s in step]
        now = [sum(step[: i + 1]) for i in range(size)]
        sweeps.append(now)
    if circle == 1:
        sweeps.append(list(now))
    return {"guess": guess, "sweeps": sweeps, "circle": circle}


def settle_cases(random: Random) -> list[Any]:
    made = [settle_sweeps(random, count, random.randrange(4, 8), 1) for count in (1, 3, 5, 9, 18)]
    made += [settle_sweeps(random, 4, 4, 3), settle_sweeps(random, 22, 4, 1)]
    crowd = branching(random, 60).replace("r0 += 1", "r0 += 100000")
    return [*made, {"program": crowd}, {"program": "r5 = 1\n" * random.randrange(3) + displacement()}]


def draw_settle(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    rows = [("guess", case["guess"]), *((f"sweep {i + 1}", row) for i, row in enumerate(case["sweeps"]))]
    lines = [f"  {name:9} {' '.join(f'{x:4}' for x in row)}" for name, row in rows[:24]]
    more = f"  … and so on, the last {case['circle']} again and again" if case["circle"] > 1 else ""
    return "\n".join([*lines, *([more] if more else []), f"  expected after {wanted['sweeps']} sweeps: "
                      f"{wanted['offsets']}", f"  got after {got['sweeps']} sweeps: {got['offsets']}"])


# Calls between functions ---------------------------------------------------------------------------------------------


def _parts(answer: Any, distance: int) -> list[int]:
    found = answer(distance)
    if not isinstance(found, (tuple, list)) or len(found) != 2 or not all(type(x) is int for x in found):
        raise Failed(f"split returns two numbers, this is {found!r}"[:200])
    return list(found)


def _far_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        return _parts(answer, case["distance"])

    def far(self: Any, rd: int, distance: int) -> None:
        high, low = _parts(answer, distance)
        self.emit(RV["auipc"], T1, high)
        self.emit(RV["jalr"], rd, low, T1)

    return inside("bpfbench.jit.rv64.Rv64Target.far", far, lambda: native(case["program"], "riscv64"))


class _Paper:
    def __init__(self) -> None:
        self.found: list[int] = []

    def emit(self, row: Any, *operands: int) -> None:
        self.found.append(operands[1])


def _engine_split(distance: int) -> list[int]:
    paper: Any = _Paper()
    Rv64Target.far(paper, RA, distance)
    return list(paper.found)


def _far_expected(case: Any) -> Plain:
    return native(case["program"], "riscv64") if "program" in case else _engine_split(case["distance"])


def _split(rounded: bool = True, low_signed: bool = True, masked: bool = True, swapped: bool = False) -> Any:
    """split with one thing wrong."""

    def mistaken(distance: int) -> list[int]:
        high = (distance + 0x800 if rounded else distance) >> 12
        low = distance & 0xFFF
        if low_signed and low > 0x7FF:
            low -= 0x1000
        parts = [high & 0xFFFFF if masked else high, low]
        return parts[::-1] if swapped else parts

    return mistaken


def calling(random: Random) -> str:
    """A function that calls two others, far away in both directions."""
    def body() -> str:
        return "\n".join(["r7 += 1000000"] * random.randrange(100, 400))

    return (f"r7 = 0\ncall one\n{body()}\ncall two\nexit\none: r7 = 1\n{body()}\ncall two\nexit\n"
            f"two: r7 = 2\n{body()}\nr0 = 3\nexit")  # fmt: skip


def far_cases(random: Random) -> list[Any]:
    fixed = [16, 2048, -8, 4096 - 2, -4096 - 4, 0x12345678, -0x12345678, 0x7FF, 0x800, -0x800, -0x802]
    drawn = [random.randrange(-1 << 20, 1 << 20) & ~1 for _ in range(5)]
    made: list[Any] = [{"distance": d} for d in [*random.sample(fixed, 7), *drawn]]
    return [*made, {"program": calling(random)}]


def draw_far(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    lines = [f"  distance {case['distance']:#x}"]
    for said, (high, low) in (("expected", wanted), ("got", got)):
        upper = (high & 0xFFFFF) - (1 << 20 if high >> 19 & 1 else 0)
        lines.append(f"  {said:9} {high:#x}, {low:#x}: {upper << 12:#x} + {low:#x} = {(upper << 12) + low:#x}")
    return "\n".join(lines)


_HERE: Final = "bpfbench.course.exercises.targets."
_SEALED: Final = tuple(_HERE + n for n in ("_prologue_like", "_settle_like", "_split", "_engine_split"))

EXERCISES: Final = [
    Exercise("x64-prologue", "prologue", "A prologue", 1, 3, "18 code generation", "36",
             public=prologue_cases(Random(33)), more=prologue_cases, attempt=_prologue_attempt,
             expected=_prologue_expected, draw=draw_prologue,
             mistakes=(("the stack is rounded up to 8 bytes", as_if(_prologue_attempt, _prologue_like(exact=True))),
                       ("only registers that the function uses are saved",
                        as_if(_prologue_attempt, _prologue_like(everything=True))),
                       ("the stack comes first: saved registers are below it",
                        as_if(_prologue_attempt, _prologue_like(early=True))),
                       ("behind the frame is a second place to enter, so a second endbr64",
                        as_if(_prologue_attempt, _prologue_like(second=False))),
                       ("without a stack there is nothing to subtract",
                        as_if(_prologue_attempt, _prologue_like(nothing=True)))),
             seals=("bpfbench.jit.x64.X64Target.prologue", *_SEALED)),
    Exercise("until-nothing-moves", "settle", "Sweep until nothing moves", 3, 6, "18 code generation", "36",
             public=settle_cases(Random(34)), more=settle_cases, attempt=_settle_attempt,
             expected=lambda case: _settle_attempt(_settle_like(), case), draw=draw_settle,
             mistakes=(("the same length is not the same offsets: something may have shrunk and something else grown "
                        "(CVE-2021-29154)", as_if(_settle_attempt, _settle_like(length=True))),
                       ("one dry run is not enough: jumps that get shorter make others shorter",
                        as_if(_settle_attempt, _settle_like(fixed=1))),
                       ("two sweeps are not enough: jumps that get shorter make others shorter",
                        as_if(_settle_attempt, _settle_like(fixed=2))),
                       ("once a sweep has changed nothing, no later one will",
                        as_if(_settle_attempt, _settle_like(late=1)))),
             seals=("bpfbench.jit.x64.X64Target.passes", "bpfbench.jit.target.Target.passes", *_SEALED)),
    Exercise("far-call", "split", "The two halves of a call", 2, 4, "19 linking", "37, 38",
             public=far_cases(Random(35)), more=far_cases, attempt=_far_attempt, expected=_far_expected, draw=draw_far,
             mistakes=(("jalr extends the sign of its 12 bits: where they are negative, the upper part has to be one more",
                        as_if(_far_attempt, _split(rounded=False))),
                       ("jalr's 12 bits are signed: -2048 to 2047", as_if(_far_attempt, _split(low_signed=False))),
                       ("jalr's 12 bits are signed: -2048 to 2047",
                        as_if(_far_attempt, _split(rounded=False, low_signed=False))),
                       ("auipc's field has 20 bits, without a sign", as_if(_far_attempt, _split(masked=False))),
                       ("the upper part comes first", as_if(_far_attempt, _split(swapped=True)))),
             seals=("bpfbench.jit.rv64.Rv64Target.far", *_SEALED)),
]  # fmt: skip
