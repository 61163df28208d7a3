"""Known bits, ranges, and what a branch teaches (stages 07, 12, 13, 16)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if, inside
from bpfbench.course.exercises.support import first_difference, log_lines, numbers_program, program
from bpfbench.fixpoint import widening
from bpfbench.fixpoint.verify import verify_static
from bpfbench.isa import ops
from bpfbench.verifier import refine, tnum, transfer
from bpfbench.verifier.bounds import DEDUCE_618, bits_to_ranges, deduce
from bpfbench.verifier.scalar import UNKNOWN, Scalar

M64: Final = (1 << 64) - 1


# Known bits ----------------------------------------------------------------------------------------------------------


def bits(pair: Any, width: int = 16) -> str:
    """The low bits of a tnum, x where unknown."""
    value, mask = pair
    return "".join("x" if mask >> i & 1 else str(value >> i & 1) for i in reversed(range(width)))


def random_tnum(random: Random, width: int) -> list[int]:
    mask = random.getrandbits(width) & random.getrandbits(width)
    return [random.getrandbits(width) & ~mask, mask]


def draw_bits(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    rows = [("a", case["a"]), ("b", case["b"]), ("expected", wanted), ("got", got)]
    return "\n".join(f"  {name:9} …{bits(pair)}" for name, pair in rows)


def two_bits(path: str, adapt: Any) -> tuple[Any, Any]:
    """The attempt and the expectation of an operation on two tnums."""

    def attempt(answer: Any, case: Any) -> Plain:
        if "program" in case:
            return inside(path, adapt(answer), lambda: log_lines(case["program"]))
        found = answer(tuple(case["a"]), tuple(case["b"]))
        if not isinstance(found, (tuple, list)) or len(found) != 2 or not all(type(x) is int for x in found):
            raise Failed(f"a tnum is a pair (value, mask) of numbers, this is {found!r}"[:200])
        return found

    def expected(case: Any) -> Plain:
        if "program" in case:
            return log_lines(case["program"])
        return getattr(tnum, path.rsplit(".", 1)[1])(tuple(case["a"]), tuple(case["b"]))

    return attempt, expected


def tnum_cases(random: Random, op: str, count: int = 10) -> list[Any]:
    made: list[Any] = [{"a": random_tnum(random, w), "b": random_tnum(random, w)} for w in (3, 6, 16, 64, 64)
                       for _ in range(count // 5)]  # fmt: skip
    return made + [{"program": numbers_program(random, op)} for _ in range(2)]


_add_attempt, _add_expected = two_bits("bpfbench.verifier.tnum.add", lambda f: lambda a, b, bits=64: _cut(f(a, b), bits))
_mul_attempt, _mul_expected = two_bits("bpfbench.verifier.tnum.mul", lambda f: lambda a, b, how=1, bits=64: f(a, b))


def _cut(pair: Any, width: int) -> Any:
    return tuple(x & ((1 << width) - 1) for x in pair)


def _no_carry(c: Any, w: Any, g: Any) -> bool:
    mu = c["a"][1] | c["b"][1]
    return bool(g == [(c["a"][0] + c["b"][0]) & M64 & ~mu, mu])


def _not_cut(c: Any, w: Any, g: Any) -> bool:
    return bool([x & M64 for x in g] == w)


def _overlapping(c: Any, w: Any, g: Any) -> bool:
    return bool(g[1] == w[1] and g[0] != w[0] and g[0] & g[1] != 0)


def _unsound(c: Any, w: Any, g: Any) -> bool:
    """Does the answer leave out a sum or product that exists?"""
    return bool(w[1] & ~g[1]) or (w[0] ^ g[0]) & ~(w[1] | g[1]) & M64 != 0


# Ranges --------------------------------------------------------------------------------------------------------------


def number(views: list[int]) -> Scalar:
    """A Scalar with these value, mask and unsigned bounds."""
    s = UNKNOWN.copy()
    s.v, s.m, s.umin, s.umax = views
    return s


def _and_step(answer: Any) -> Any:
    def step(s: Scalar, b: Scalar, wide: bool, k: Any) -> None:
        low, high = answer((s.v, s.m, s.umin, s.umax), (b.v, b.m, b.umin, b.umax))
        mask = (1 << 32) - 1
        u32 = min(s.u32max, b.u32max)
        s.v, s.m = tnum.and_((s.v, s.m), (b.v, b.m))
        s.u32min, s.u32max, s.umin, s.umax = s.v & mask, u32, low, high
        transfer._signs_of_bitwise(s, b, k.gen, True, False, False)
        bits_to_ranges(s)

    return step


def _and_attempt(answer: Any, case: Any) -> Plain:
    if "program" in case:
        return inside("bpfbench.verifier.transfer._and", _and_step(answer), lambda: log_lines(case["program"]))
    return answer(tuple(case["a"]), tuple(case["b"]))


def _and_expected(case: Any) -> Plain:
    if "program" in case:
        return log_lines(case["program"])
    a, b = case["a"], case["b"]
    return [a[0] & b[0], min(a[3], b[3])]


def random_views(random: Random, width: int) -> list[int]:
    value, mask = random_tnum(random, width)
    inner = sorted((value | (mask & random.getrandbits(width)), value | (mask & random.getrandbits(width))))
    return [value, mask, *inner]


def and_cases(random: Random) -> list[Any]:
    made: list[Any] = [{"a": random_views(random, w), "b": random_views(random, w)} for w in (4, 8, 8, 16, 64, 64)]
    return made + [{"program": numbers_program(random, "&=")} for _ in range(3)]


def draw_ranges(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    rows = [("a", case["a"][2:]), ("b", case["b"][2:]), ("expected", wanted), ("got", got)]
    top = int(max(1, *[pair[1] for _, pair in rows[:2]]))

    def bar(low: int, high: int) -> str:
        at, to = 40 * low // top, max(1, 40 * (high - low) // top)
        return " " * min(at, 60) + "=" * min(to, 60)

    return "\n".join(f"  {name:9} {pair[0]:>6} .. {pair[1]:<6} |{bar(*pair)}" for name, pair in rows)


# Branches ------------------------------------------------------------------------------------------------------------

OPERATORS: Final = {"<": ops.JLT, "<=": ops.JLE, "s<": ops.JSLT, "s<=": ops.JSLE}


def _ordered(views: list[int]) -> Scalar:
    s = UNKNOWN.copy()
    s.umin, s.umax, s.smin, s.smax = views
    return s


def _refine_attempt(answer: Any, case: Any) -> Plain:
    if "program" in case:
        names = {code: text for text, code in OPERATORS.items()}
        step = lambda a, b, fn: answer(a, b, names[fn]) if fn in names else None  # noqa: E731
        return inside("bpfbench.verifier.refine._order64", step, lambda: log_lines(case["program"]))
    a, b = _ordered(case["a"]), _ordered(case["b"])
    answer(a, b, case["op"])
    return [[x.umin, x.umax, x.smin, x.smax] for x in (a, b)]


def _refine_expected(case: Any) -> Plain:
    if "program" in case:
        return log_lines(case["program"])
    a, b = _ordered(case["a"]), _ordered(case["b"])
    refine._order64(a, b, OPERATORS[case["op"]])
    return [[x.umin, x.umax, x.smin, x.smax] for x in (a, b)]


def refine_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for op in ("<", "<=", "s<", "s<=", "<", "s<"):
        low, high, low2, high2 = (random.randrange(1, 100) for _ in range(4))
        first, second = sorted((low, high + 50)), sorted((low2, high2 + 50))
        made.append({"op": op, "a": [*first, -first[1], first[1]], "b": [*second, -second[1], second[1]]})
    text = "r2 = *(u32 *)(r1 +12)\nr3 = *(u32 *)(r1 +16)\nr2 &= 255\nr3 &= {}\nif r2 {} r3 goto +1\nr0 = 1\nr0 = 2\nexit"
    return made + [{"program": text.format(random.randrange(1, 200) | 1, op)} for op in ("<", "<=", "s<")]


def _forgets_one(c: Any, w: Any, g: Any) -> bool:
    """`<` treated as `<=`: a bound off by one."""
    if "program" in c:
        return True
    return "=" not in c["op"] and all(abs(x - y) <= 1 for p, q in zip(w, g, strict=True) for x, y in zip(p, q, strict=True))


def _second_untouched(c: Any, w: Any, g: Any) -> bool:
    return "program" in c or (g[0] == w[0] and g[1] == c["b"])


# Containment ---------------------------------------------------------------------------------------------------------

FIELDS: Final = ("v", "m", "umin", "umax", "smin", "smax", "u32min", "u32max", "s32min", "s32max")


def _scalar(views: list[int]) -> Scalar:
    return Scalar(*views)


def _within_attempt(answer: Any, case: Any) -> Plain:
    if "program" in case:
        return inside("bpfbench.verifier.scalar.Scalar.within", answer, lambda: log_lines(case["program"]))
    return answer(_scalar(case["new"]), _scalar(case["old"]))


def _within_expected(case: Any) -> Plain:
    if "program" in case:
        return log_lines(case["program"])
    return _scalar(case["new"]).within(_scalar(case["old"]))


def _views(s: Scalar) -> list[int]:
    return [getattr(s, name) for name in FIELDS]


def within_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for i in range(10):
        old = UNKNOWN.copy()
        old.umin, old.umax = 0, random.randrange(8, 100)
        old.u32min, old.u32max, old.smin, old.smax, old.s32min, old.s32max = 0, old.umax, 0, old.umax, 0, old.umax
        old.v, old.m = 0, 127
        new = old.copy()
        kind = i % 5
        if kind == 0:
            new = Scalar.const(random.randrange(0, old.umax + 1))
        elif kind == 1:
            new.umax = old.umax + 1                       # wider in one view only
        elif kind == 2:
            new.s32min = -1
        elif kind == 3:
            old.m, old.v = 126, 1                         # old is odd, new may be even
        else:
            old.umin, new.umin = 5, 4
        made.append({"new": _views(new), "old": _views(old)})
    text = ("r0 = 0\nr2 = *(u32 *)(r1 +12)\nr2 &= {}\nif r2 > {} goto +1\nr2 = {}\nr3 = r10\nr3 += -16\n"
            "*(u64 *)(r10 -8) = r1\n*(u64 *)(r10 -16) = r1\nr3 += r2\n*(u8 *)(r3 +0) = 1\nexit")  # fmt: skip
    return made + [{"program": text.format(7, random.randrange(1, 6), random.randrange(0, 9))} for _ in range(2)]


def draw_within(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    rows = [f"  {name:7} old {o:>20} new {n:>20}" for name, o, n in zip(FIELDS, case["old"], case["new"], strict=True)]
    return "\n".join(rows)


def _ignores(position: tuple[int, ...]) -> Any:
    def mistaken(new: Scalar, old: Scalar) -> bool:
        return _scalar([getattr(old if i in position else new, name) for i, name in enumerate(FIELDS)]).within(old)

    return mistaken


# Widening ------------------------------------------------------------------------------------------------------------


OTHER_VIEWS: Final = tuple((name + end, least, most) for name, least, most in (
    ("s", -(1 << 63), (1 << 63) - 1), ("u32", 0, (1 << 32) - 1), ("s32", -(1 << 31), (1 << 31) - 1))
    for end in ("min", "max"))  # fmt: skip
ASKED: Final = 100                     # times; the engine asks a few dozen


def _widen_step(answer: Any) -> Any:
    """The engine's widening with the student's unsigned bounds; the signed ones and the bits are the engine's."""
    asked = 0

    def step(self: Any, old: Scalar, new: Scalar) -> Scalar:
        nonlocal asked
        asked += 1
        if asked > ASKED:
            raise Failed(f"after {ASKED} questions the loop is still not stable: does the answer only join?")
        if new.within(old):
            return old
        s = widening.join(old, new)
        low, high = answer((old.umin, old.umax), (s.umin, s.umax), [n for n in self.numbers if n >= 0])
        moved = s.m & ~old.m
        if moved:
            s.m |= ~((moved & -moved) - 1) & M64
            s.v &= ~s.m
        s.umin, s.umax = low, high
        for name, least, most in OTHER_VIEWS:
            now, then = getattr(s, name), getattr(old, name)
            if name.endswith("min"):
                setattr(s, name, max(self.down(now), least) if now < then else then)
            else:
                setattr(s, name, min(self.up(now), most) if now > then else then)
        return deduce(s, DEDUCE_618)

    return step


def _analysed(text: str) -> Plain:
    """What the static analysis finds, and how often it had to look."""
    v = verify_static(program(text))
    last = [str(found) for found in v.invariants.values()][-1]
    return [v.accepted, v.message, last, v.stats.visits, v.stats.widenings]


def _widen_attempt(answer: Any, case: Any) -> Plain:
    if "program" in case:
        if not callable(answer):
            raise Failed(f"the answer must be a function, not {type(answer).__name__}")
        return inside("bpfbench.fixpoint.widening.Thresholds.widen", _widen_step(answer),
                      lambda: _analysed(case["program"]))  # fmt: skip
    steps = case["steps"]
    if "counts" not in case:
        return answer(tuple(case["old"]), tuple(case["new"]), list(steps))
    low, high, rounds = 0, 0, 0
    while rounds < 200:                                   # for (i = 0; i < limit; i += by), as ranges of i at its head
        rounds += 1
        new = (0, min(high, case["counts"] - 1) + case["by"])
        if new[1] <= high:
            break
        low, high = answer((low, high), (min(low, new[0]), new[1]), list(steps))
    return [low, high, rounds]


def _widened(old: Any, new: Any, steps: list[int]) -> list[int]:
    low = old[0] if new[0] >= old[0] else max([s for s in steps if s <= new[0]], default=0)
    high = old[1] if new[1] <= old[1] else min([s for s in steps if s >= new[1]], default=M64)
    return [low, high]


def _widen_expected(case: Any) -> Plain:
    return _analysed(case["program"]) if "program" in case else _widen_attempt(_widened, case)


def widen_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for _ in range(6):
        steps = sorted(random.sample(range(1, 1000), 5))
        low, high = sorted(random.sample(range(1, 1200), 2))
        made.append({"old": [low, high], "new": [random.randrange(0, low + 1), random.randrange(low, 1300)], "steps": steps})
    for _ in range(3):
        limit = random.randrange(10, 500)
        made.append({"counts": limit, "by": random.randrange(1, 4), "steps": [limit - 1, limit, limit + 1, limit + 8]})
    for _ in range(2):
        by, limit = random.randrange(1, 9), random.randrange(100_000, 1_000_000)
        made.append({"program": f"r6 = {random.randrange(9)}\nnext: r6 += {by}\nif r6 < {limit} goto next\nr0 = r6\nexit"})
    return made


def _just_joins(c: Any, w: Any, g: Any) -> bool:
    return "counts" in c or "program" in c or g == [min(c["old"][0], c["new"][0]), max(c["old"][1], c["new"][1])]


def _to_the_end(old: Any, new: Any, steps: Any) -> Any:
    return [old[0] if new[0] >= old[0] else 0, old[1] if new[1] <= old[1] else M64]


_RULES: Final = tuple(f"bpfbench.course.exercises.ranges.{n}" for n in ("_and_expected", "_widened", "_widen_expected"))

EXERCISES: Final = [
    Exercise("tnum-add", "tnum_add", "Adding what is half known", 2, 4, "07 types and ranges", "29, 34",
             public=[{"a": [8, 5], "b": [1, 0]}, {"a": [0, 1], "b": [0, 1]}, {"a": [M64, 0], "b": [1, 2]},
                     {"program": numbers_program(Random(1), "+=")}],
             more=lambda r: tnum_cases(r, "+="), attempt=_add_attempt, expected=_add_expected, draw=draw_bits,
             mistakes=(("carries are forgotten: where the smallest and the largest sum differ, a bit is unknown",
                        lambda c, w, g: "program" in c or _no_carry(c, w, g)),
                       ("the result is not cut to 64 bits", lambda c, w, g: "program" in c or _not_cut(c, w, g)),
                       ("value and mask overlap: a bit that is unknown must be 0 in the value",
                        lambda c, w, g: "program" in c or _overlapping(c, w, g)),
                       ("unsound: the answer leaves out sums that exist",
                        lambda c, w, g: "program" in c or _unsound(c, w, g))),
             seals=("bpfbench.verifier.tnum.add",)),
    Exercise("tnum-mul", "tnum_mul", "Long multiplication with unknown bits", 4, 8, "07 types and ranges", "29, 34",
             public=[{"a": [3, 0], "b": [0, 1]}, {"a": [0, 2], "b": [3, 4]}, {"a": [1, 2], "b": [1, 2]}],
             more=lambda r: tnum_cases(r, "*="), attempt=_mul_attempt, expected=_mul_expected, draw=draw_bits,
             mistakes=(("an unknown bit of a is treated as 1: both outcomes have to be joined",
                        lambda c, w, g: "program" in c or c["a"][1] != 0 and _unsound(c, w, g)),
                       ("the result is not cut to 64 bits", lambda c, w, g: "program" in c or _not_cut(c, w, g)),
                       ("less is known than long multiplication finds: are carries joined too early?",
                        lambda c, w, g: "program" in c or not w[1] & ~g[1])),
             seals=("bpfbench.verifier.tnum.mul",)),
    Exercise("bounds-and", "and_bounds", "The bounds of AND", 1, 3, "07 types and ranges", "19, 29",
             public=[{"a": [0, 255, 0, 200], "b": [15, 0, 15, 15]}, {"a": [8, 7, 9, 12], "b": [8, 3, 8, 11]},
                     {"program": numbers_program(Random(2), "&=")}],
             more=and_cases, attempt=_and_attempt, expected=_and_expected, draw=draw_ranges,
             mistakes=(("the smaller operand bounds AND from above: the minimum of both maxima, not their AND",
                        lambda c, w, g: "program" in c or g[0] == w[0] and g[1] == c["a"][3] & c["b"][3]),
                       ("the lower bound is not the AND of the lower bounds; only known ones are certain",
                        lambda c, w, g: "program" in c or g[1] == w[1] and g[0] == c["a"][2] & c["b"][2])),
             seals=("bpfbench.verifier.transfer._and", "bpfbench.verifier.transfer._bitwise", *_RULES)),
    Exercise("branch-refinement", "refine_less", "What a branch teaches", 2, 4, "07 types and ranges", "29-31",
             public=[{"op": "<", "a": [0, 100, -100, 100], "b": [0, 10, -10, 10]},
                     {"op": "<=", "a": [20, 100, -5, 100], "b": [0, 40, -10, 10]},
                     {"op": "s<", "a": [0, 9, -9, 9], "b": [0, 5, -5, 5]}],
             more=refine_cases, attempt=_refine_attempt, expected=_refine_expected,
             draw=lambda c, w, g: first_difference(w, g) if "program" in c else
             f"  after a {c['op']} b     [umin, umax, smin, smax]\n  a  expected {w[0]}\n     got      {g[0]}\n"
             f"  b  expected {w[1]}\n     got      {g[1]}",
             mistakes=(("only a is narrowed: b learns from a as well", _second_untouched),
                       ("strict and not strict are mixed up: a < b means a <= b.max - 1", _forgets_one)),
             seals=("bpfbench.verifier.refine._order64",)),
    Exercise("state-containment", "within", "When a checkpoint covers a number", 2, 4, "13 pruning", "32, 33",
             public=within_cases(Random(3))[:5], more=within_cases, attempt=_within_attempt, expected=_within_expected,
             draw=draw_within,
             mistakes=(("old and new are the wrong way round: the checkpoint has to be the wider one",
                        as_if(_within_attempt, lambda new, old: old.within(new))),
                       ("the known bits are not compared", as_if(_within_attempt, _ignores((0, 1)))),
                       ("the ranges of the low half are not compared", as_if(_within_attempt, _ignores((6, 7, 8, 9))))),
             seals=("bpfbench.verifier.scalar.Scalar.within",)),
    Exercise("widening", "widen", "Widening with thresholds", 3, 6, "16 static analysis", "33",
             public=[{"old": [0, 1], "new": [0, 2], "steps": [63, 64]}, {"old": [4, 9], "new": [3, 9], "steps": [1, 64]},
                     {"counts": 64, "by": 1, "steps": [63, 64, 65]},
                     {"program": "r6 = 0\nnext: r6 += 3\nif r6 < 1000000 goto next\nr0 = r6\nexit"}],
             more=widen_cases, attempt=_widen_attempt, expected=_widen_expected,
             mistakes=(("this joins, it does not widen: a loop of n rounds takes n steps", _just_joins),
                       ("a bound that moved jumps to infinity instead of to the next threshold",
                        as_if(_widen_attempt, _to_the_end))),
             seals=("bpfbench.fixpoint.widening.Thresholds.widen", *_RULES)),
]  # fmt: skip
