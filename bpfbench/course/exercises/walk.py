"""Watching the path walk, and comparing ids (stages 12, 13)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.graphs import branching
from bpfbench.course.exercises.liveness import looping
from bpfbench.course.exercises.support import first_difference, hole, marked_listing, verified
from bpfbench.verifier import compare
from bpfbench.verifier.observe import Observer

# What a program costs ------------------------------------------------------------------------------------------------


class _Counter(Observer):
    """The reference: visits per instruction, paths, prunes per instruction.  The options are mistakes."""

    def __init__(self, ends: bool = True, kept: bool = False, once: bool = False) -> None:
        self.visits: dict[int, int] = {}
        self.prunes: dict[int, int] = {}
        self.paths = 0
        self.ends, self.kept_too, self.once = ends, kept, once

    def visit(self, step: int, pc: int, state: Any) -> None:
        self.visits[pc] = 1 if self.once else self.visits.get(pc, 0) + 1

    def prune(self, step: int, pc: int, old: Any, state: Any) -> None:
        self.prunes[pc] = self.prunes.get(pc, 0) + 1

    def kept(self, step: int, pc: int, old: Any, state: Any, why: str) -> None:
        if self.kept_too:
            self.prunes[pc] = self.prunes.get(pc, 0) + 1

    def fork(self, step: int, pc: int, target: int, state: Any, speculative: bool) -> None:
        self.paths += not self.ends

    def end(self, step: int, pc: int, state: Any) -> None:
        self.paths += self.ends


def _configured(**mistake: bool) -> Any:
    class Mistaken(_Counter):
        def __init__(self) -> None:
            super().__init__(**mistake)

    return Mistaken


def _observed(answer: Any, case: Any) -> Plain:
    if not isinstance(answer, type) or not issubclass(answer, Observer):
        raise Failed("the answer must be a subclass of bpfbench.verifier.observe.Observer")
    observer: Any = answer()
    verified(case["program"], kernel=case["kernel"]).observe(observer)
    found = []
    for name in ("visits", "prunes"):
        table = getattr(observer, name, None)
        if not isinstance(table, dict):
            raise Failed(f"the observer needs a dict `{name}` from pc to count, this is {table!r}"[:200])
        found.append(sorted([pc, count] for pc, count in table.items() if count))
    return {"visits": found[0], "prunes": found[1], "paths": getattr(observer, "paths", None)}


def meeting(random: Random) -> str:
    """Three ways meet; what they bring in r7 is used as an offset, so only equal offsets are covered."""
    first, second = random.randrange(0, 8), random.randrange(0, 8)
    work = "\n".join(["r8 = 1"] * random.randrange(8, 12))
    return (f"r6 = *(u32 *)(r1 +16)\n*(u64 *)(r10 -8) = 0\nr7 = {first}\nif r6 == 1 goto +1\nr7 = {second}\n"
            f"if r6 == 2 goto +1\nr7 = {second}\n{work}\nif r6 > 9 goto +0\nr2 = r10\nr2 += -8\nr2 += r7\n"
            "*(u8 *)(r2 +0) = 1\nr0 = 0\nexit")  # fmt: skip


def cost_cases(random: Random) -> list[Any]:
    made = [branching(random, size, False) for size in (10, 18)] + [meeting(random), looping(random), meeting(random)]
    return [{"kernel": random.choice(("linux-6.18", "linux-6.12", "linux-6.1")), "program": text} for text in made]


def draw_cost(case: Any, wanted: Plain, got: Plain) -> str:
    ours = {name: dict(map(tuple, wanted[name])) for name in ("visits", "prunes")}
    yours = {name: dict(map(tuple, got[name])) for name in ("visits", "prunes")}
    notes: dict[int, str] = {}
    for pc in sorted({*ours["visits"], *ours["prunes"], *yours["visits"], *yours["prunes"]}):
        rows = [(yours[n].get(pc, 0), ours[n].get(pc, 0), n) for n in ("visits", "prunes")]
        notes[pc] = "  ".join(f"{w} {n}" + (f" (got {g})" if g != w else "") for g, w, n in rows if w or g)
    return marked_listing(case["program"], notes) + f"\n  paths: {wanted['paths']}, got {got['paths']}"


# Ids -----------------------------------------------------------------------------------------------------------------


def _pairs_direct(answer: Any, case: Any) -> Plain:
    known: dict[int, int] = {}
    found = [answer(known, old, new) for old, new in case["pairs"]]
    if not all(isinstance(one, bool) for one in found):
        raise Failed(f"match returns True or False, this is {found!r}"[:200])
    return found


def _match_step(answer: Any) -> Any:
    return lambda self, old, new: answer(self.old, old, new)


def _engine_match(known: dict[int, int], old: int, new: int) -> bool:
    ids = compare.Ids(0)
    ids.old, ids.new = known, {value: key for key, value in known.items()}
    return ids.match(old, new)


def _match(zeros: bool = True, one_way: bool = False, equal: bool = False) -> Any:
    """match with a part missing."""

    def mistaken(known: dict[int, int], old: int, new: int) -> bool:
        if equal:
            return old == new
        if zeros and (not old or not new):
            return old == new
        if old in known:
            return known[old] == new
        if not one_way and new in known.values():
            return False
        known[old] = new
        return True

    return mistaken


_match_attempt, _match_expected = hole("bpfbench.verifier.compare.Ids.match", _match_step, _pairs_direct, _engine_match)


def match_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for size in (3, 4, 5, 6, 8):
        partner = {old: new for old, new in zip(range(1, 6), random.sample(range(1, 9), 5), strict=True)}
        pairs = []
        for _ in range(size):
            old = random.randrange(0, 6)
            pairs.append([old, partner.get(old, 0) if random.random() < 0.6 else random.randrange(0, 9)])
        made.append({"pairs": pairs})
    made += [{"pairs": [[1, 7], [2, 7]]}, {"pairs": [[3, 3], [3, 4], [0, 0], [0, 5], [6, 0]]}]
    text = ("r6 = r1\nr2 = *(u32 *)(r6 +0)\nr3 = *(u32 *)(r6 +4)\nr4 = r2\nr5 = *(u32 *)(r6 +16)\nr5 &= {}\nr2 += r5\n"
            "r7 = 0\nif r5 == {} goto +1\nr7 = r2\nr4 = r2\nr4 += {}\nif r4 > r3 goto +1\nr0 = *(u8 *)(r2 +0)\n"
            "r0 = 0\nexit")  # fmt: skip
    return made + [{"program": text.format(random.choice((7, 15, 31)), random.randrange(1, 6), random.randrange(1, 5))}
                   for _ in range(2)]


def draw_match(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    rows = [f"  {old:3} ~ {new:<3} expected {w!s:5}  got {g}"
            for (old, new), w, g in zip(case["pairs"], wanted, got, strict=True)]
    return "\n".join(["  checkpoint ~ state", *rows])


_SEALED: Final = tuple(f"bpfbench.course.exercises.walk.{n}" for n in ("_Counter", "_engine_match", "_match"))

EXERCISES: Final = [
    Exercise("cost-observer", "Cost", "What a program costs the walk", 2, 4, "12 the path walker", "32",
             public=cost_cases(Random(11)), more=cost_cases, attempt=_observed,
             expected=lambda case: _observed(_Counter, case), draw=draw_cost,
             mistakes=(("every path has an end, also the first, which no fork announced",
                        as_if(_observed, _configured(ends=False))),
                       ("`kept` says that a checkpoint did *not* cover the state: only `prune` ends a path",
                        as_if(_observed, _configured(kept=True))),
                       ("an instruction is visited once per path that reaches it: count, do not remember",
                        as_if(_observed, _configured(once=True)))),
             seals=_SEALED),
    Exercise("id-map", "match", "The same, up to names", 3, 5, "13 pruning", "32, 33",
             public=match_cases(Random(12)), more=match_cases, attempt=_match_attempt, expected=_match_expected,
             draw=draw_match,
             mistakes=(("ids are only names: that they are equal says nothing",
                        as_if(_pairs_direct, _match(equal=True))),
                       ("two ids of the checkpoint may not stand for the same id of the state",
                        as_if(_pairs_direct, _match(one_way=True))),
                       ("0 is no id: it matches 0 and nothing else", as_if(_pairs_direct, _match(zeros=False)))),
             seals=("bpfbench.verifier.compare.Ids.match", *_SEALED)),
]  # fmt: skip
