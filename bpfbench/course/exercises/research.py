"""Research: a measure for a study that switches algorithms of the verifier off (stage 29)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.support import verified
from bpfbench.verifier.observe import Observer

# label -> what is switched off, as in notebook 29
CONFIGURATIONS: Final = {
    "baseline":     (),
    "no liveness":  ("liveness",),
    "no precision": ("precision",),
    "neither":      ("liveness", "precision"),
    "no pruning":   ("pruning",),
}  # fmt: skip
COUNTS: Final = ("comparisons", "checkpoints", "unused")
KERNELS: Final = ("linux-6.18", "linux-6.12", "linux-6.1")


class _Work(Observer):
    """The reference: what comparing states costs.  The options are mistakes."""

    def __init__(self, hits: bool = True, misses: bool = True, twice: bool = False, near: bool = False,
                 last: bool = False) -> None:  # fmt: skip
        self.comparisons = self.checkpoints = self.unused = 0
        self.reasons: dict[str, int] = {}
        self.covering: set[int] = set()
        self.hits, self.misses, self.twice, self.near, self.last = hits, misses, twice, near, last

    def keep(self, step: int, pc: int, state: Any) -> None:
        self.checkpoints += 1
        self.unused += 1

    def kept(self, step: int, pc: int, old: Any, state: Any, why: str) -> None:
        self.comparisons += self.misses
        self.reasons[why] = 1 if self.last else self.reasons.get(why, 0) + 1
        if self.near:
            self._use(old)

    def prune(self, step: int, pc: int, old: Any, state: Any) -> None:
        self.comparisons += self.hits
        self._use(old)

    def _use(self, old: Any) -> None:
        self.unused -= self.twice or old.number not in self.covering
        self.covering.add(old.number)


def _configured(**mistake: bool) -> Any:
    class Mistaken(_Work):
        def __init__(self) -> None:
            super().__init__(**mistake)

    return Mistaken


def _measured(observer: Any) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for name in COUNTS:
        row[name] = getattr(observer, name, None)
        if type(row[name]) is not int:
            raise Failed(f"the observer needs a number `{name}`, this is {row[name]!r}"[:200])
    reasons = getattr(observer, "reasons", None)
    if not isinstance(reasons, dict) or not all(type(count) is int for count in reasons.values()):
        raise Failed(f"the observer needs a dict `reasons` from words to count, this is {reasons!r}"[:200])
    return {**row, "reasons": sorted([str(why), count] for why, count in reasons.items() if count)}


def _study(answer: Any, case: Any) -> Plain:
    """A row of measures for each configuration, each walk with an observer of its own."""
    if not isinstance(answer, type) or not issubclass(answer, Observer):
        raise Failed("the answer must be a subclass of bpfbench.verifier.observe.Observer")
    rows: dict[str, Any] = {}
    for label, without in CONFIGURATIONS.items():
        observer = answer()
        verified(case["program"], kernel=case["kernel"], without=without).observe(observer)
        rows[label] = _measured(observer)
    return rows


def _goes_on(case: Any, wanted: Plain, got: Plain) -> bool:
    """Explains reasons that grow from walk to walk: a dict that belongs to the class."""
    met = [sum(count for _, count in got[label]["reasons"]) for label in CONFIGURATIONS]
    right = all(got[label][name] == wanted[label][name] for label in CONFIGURATIONS for name in COUNTS)
    return right and met == sorted(met) and met[-1] > 0      # without pruning nothing is compared


def ways(random: Random) -> str:
    """Ways that part and meet with other numbers in r7 to r9, of which perhaps one is an offset; r4 is never read."""
    lines = ["r6 = *(u32 *)(r1 +16)", "*(u64 *)(r10 -8) = 0", "*(u64 *)(r10 -16) = 0", "r4 = 1"]
    lines += [f"r{reg} = {random.randrange(4)}" for reg in (7, 8, 9)]
    for _ in range(random.randrange(2, 4)):
        aside = [f"r{random.choice((7, 8, 9))} = {random.randrange(4, 8)}", *(["r4 = r10"] if random.random() < 0.6 else [])]
        lines += [f"if r6 > {random.randrange(1, 99)} goto +{len(aside)}", *aside, *(["r0 = 1"] * random.randrange(6, 9)),
                  f"if r6 == {random.randrange(100)} goto +1", "r0 = 2"]  # fmt: skip
    offset, result = random.sample((7, 8, 9), 2)
    if random.random() < 0.7:
        lines += ["r2 = r10", "r2 += -16", f"r2 += r{offset}", "*(u8 *)(r2 +0) = 1"]
    return "\n".join([*lines, f"r0 = r{result}", "exit"])


def study_cases(random: Random) -> list[Any]:
    return [{"kernel": kernel, "program": ways(random)} for kernel in (*KERNELS, random.choice(KERNELS))]


def draw_study(case: Any, wanted: Plain, got: Plain) -> str:
    """A row per configuration; what differs stands below what was expected."""
    lines = [f"  {'':13}" + "".join(f"{name:>13}" for name in COUNTS) + "  reasons"]
    for label in CONFIGURATIONS:
        for said, row in (("", wanted[label]), ("got", got[label])):
            if said and row == wanted[label]:
                continue
            reasons = ", ".join(f"{why} {count}" for why, count in row["reasons"])
            lines.append(f"  {said or label:13}" + "".join(f"{row[name]:13}" for name in COUNTS) + f"  {reasons}".rstrip())
    return "\n".join(lines)


EXERCISES: Final = [
    Exercise("hidden-work", "Work", "Work that is not counted", 2, 4, "29 research", "32-34",
             public=study_cases(Random(51)), more=study_cases, attempt=_study,
             expected=lambda case: _study(_Work, case), draw=draw_study,
             mistakes=(("a comparison that succeeds is a comparison, too: it is told by `prune`",
                        as_if(_study, _configured(hits=False))),
                       ("a comparison that fails is a comparison, too: it is told by `kept`",
                        as_if(_study, _configured(misses=False))),
                       ("a checkpoint that ends several paths is one checkpoint",
                        as_if(_study, _configured(twice=True))),
                       ("`kept` says that the checkpoint did *not* cover the state: it was of no use there",
                        as_if(_study, _configured(near=True))),
                       ("each walk has an observer of its own, which must not go on where another stopped: make the dict "
                        "in `__init__`", _goes_on),
                       ("how often a reason was met counts, not that it was",
                        as_if(_study, _configured(last=True)))),
             seals=("bpfbench.course.exercises.research._Work",)),
]  # fmt: skip
