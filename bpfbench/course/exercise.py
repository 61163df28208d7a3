"""What an exercise is.

An exercise has *cases* (plain values: numbers, texts, programs as assembly), an *attempt* that runs the student's answer
on one case inside the engine, and a judgement of what came.  The three are apart because they run in different places:

    student's process                        judge's process
    attempt(answer, case) -> plain value     judge(case, value) -> "" or what is wrong
                                             mistakes: which known misunderstanding explains all wrong values

In a notebook all of it happens in one process, for the student's convenience; `bpfbench grade` keeps them apart, so a
student's process can forge values but only right values are worth anything.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from random import Random
from typing import Any, final

from bpfbench.course.plug import plugged
from bpfbench.errors import BpfbenchError, CourseError

Case = Any
Plain = Any
Mistake = tuple[str, Callable[[Case, Plain, Plain], bool]]


class Failed(Exception):
    """The attempt did not give a value; the text says why."""


@final
class Outcome:
    """One case: what was `wanted` and `got` (plain values), and what is `wrong` ("" if right)."""

    __slots__ = ("case", "wanted", "got", "wrong", "failed")

    def __init__(self, case: Case, wanted: Plain, got: Plain, wrong: str, failed: bool = False) -> None:
        self.case = case
        self.wanted = wanted
        self.got = got
        self.wrong = wrong
        self.failed = failed


@final
class Exercise:
    """`answer` is the name the notebook gives to the student's function or text; `hole` the engine's function it takes the
    place of; `seals` what a graded process must not find."""

    __slots__ = ("name", "answer", "title", "stars", "points", "stage", "slides", "public", "more", "attempt", "expected",
                 "judge", "mistakes", "draw", "seals", "seed")

    def __init__(self, name: str, answer: str, title: str, stars: int, points: int, stage: str, slides: str, *,
                 public: list[Case], more: Callable[[Random], list[Case]], attempt: Callable[[Any, Case], Plain],
                 expected: Callable[[Case], Plain] | None = None, judge: Callable[[Case, Plain], str] | None = None,
                 mistakes: tuple[Mistake, ...] = (), draw: Callable[[Case, Plain, Plain], str] | None = None,
                 seals: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.name = name
        self.answer = answer
        self.title = title
        self.stars = stars
        self.points = points
        self.stage = stage
        self.slides = slides
        self.public = public
        self.more = more
        self.attempt = attempt
        self.expected = expected
        self.judge = judge
        self.mistakes = mistakes
        self.draw = draw
        self.seals = seals
        self.seed: int | None = None

    def __repr__(self) -> str:
        return f"Exercise({self.name}, {self.stars} stars, {self.points} points)"

    def cases(self, seed: int | None) -> list[Case]:
        """The public cases, and those that `seed` makes."""
        made = self.more(Random(seed)) if seed is not None else []
        return plain(self.public + made)  # type: ignore[no-any-return]

    def hidden(self, seed: int) -> None:
        """From now on `grade` in this process also asks the cases of this seed (an instructor's line)."""
        self.seed = seed

    def check(self, answer: Any) -> Report:
        """Try an answer on the public cases."""
        return self._run(answer, None)

    def grade(self, answer: Any) -> Score:
        """Points for an answer; nbgrader reads the number, a person the report."""
        report = self._run(answer, self.seed)
        return Score(report)

    def _run(self, answer: Any, seed: int | None) -> Report:
        return Report(self, [self.outcome(case, *attempted(self, answer, case)) for case in self.cases(seed)])

    def outcome(self, case: Case, got: Plain, failure: str) -> Outcome:
        """Judge one value, or the failure to give one."""
        if failure:
            return Outcome(case, None, None, failure, True)
        if self.judge is not None:
            try:
                return Outcome(case, None, got, self.judge(case, got))
            except (BpfbenchError, TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
                return Outcome(case, None, got, str(error).splitlines()[0] if str(error) else type(error).__name__)
        assert self.expected is not None
        wanted = plain(self.expected(case))
        return Outcome(case, wanted, got, "" if same(got, wanted) else "not what the engine answers")


def same(a: Plain, b: Plain) -> bool:
    """Equal, and of the same types all the way down: True is not 1."""
    return type(a) is type(b) and json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def plain(value: Any) -> Plain:
    """The value as it looks after a pipe: tuples become lists; Failed for what JSON cannot say."""
    try:
        return json.loads(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        raise Failed(f"gave a {type(value).__name__}, which is not a plain value") from None


def attempted(ex: Exercise, answer: Any, case: Case) -> tuple[Plain, str]:
    """(value, "") or (None, why there is none)."""
    try:
        return plain(ex.attempt(answer, case)), ""
    except NotImplementedError as error:
        return None, str(error) or "not written yet: the hole is empty"
    except Failed as error:
        return None, str(error)
    except MemoryError:
        return None, "MemoryError: the memory limit was reached"
    except RecursionError:
        return None, "RecursionError: the recursion never ends"
    except (SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return None, "calls sys.exit; an answer returns its value"
    except Exception as error:
        text = str(error).splitlines()
        return None, f"raised {type(error).__name__}: {text[0][:200] if text else ''}"


@final
class Report:
    """How an answer did: `outcomes`, the `score`, the `mistake` that explains every wrong value (or "")."""

    def __init__(self, ex: Exercise, outcomes: list[Outcome], note: str = "") -> None:
        self.exercise = ex
        self.outcomes = outcomes
        self.wrong = [o for o in outcomes if o.wrong]
        passed = len(outcomes) - len(self.wrong)
        self.score = int(ex.points * 2 * passed / max(1, len(outcomes))) / 2
        self.note = note
        self.mistake = self._mistake()

    def _mistake(self) -> str:
        given = [o for o in self.outcomes if not o.failed]
        if any(not whole(o.case) for o in self.outcomes):
            given = [o for o in given if not whole(o.case)]  # a log shows that something is wrong, a small case what
        compared = [o for o in given if o.wrong]
        for text, explains in self.exercise.mistakes if compared else ():
            try:
                cases = given if isinstance(explains, AsIf) else compared
                if all(explains(o.case, o.wanted, o.got) for o in cases):
                    return text
            except Exception:
                continue                          # a value of an unexpected shape is not this mistake
        return ""

    def __str__(self) -> str:
        ex = self.exercise
        right = len(self.outcomes) - len(self.wrong)
        lines = [f"{ex.title}: {right} of {len(self.outcomes)} cases right, {number(self.score)} of {ex.points} points"]
        if self.note:
            lines.append(self.note)
        if self.wrong:
            lines += self._first_wrong(self.wrong[0])
        return "\n".join(lines)

    def short_note(self) -> str:
        """One line: the mistake, else what is wrong with the first wrong case, else nothing."""
        if not self.wrong:
            return ""
        return self.note or self.mistake or self.wrong[0].wrong.splitlines()[0]

    def _first_wrong(self, first: Outcome) -> list[str]:
        lines = [f"probably: {self.mistake}"] if self.mistake else []
        lines += ["", f"first wrong case: {short(first.case)}", f"  {first.wrong}"]
        if first.failed:
            return lines
        if self.exercise.expected is not None:
            lines += [f"  expected  {short(first.wanted)}", f"  got       {short(first.got)}"]
        if self.exercise.draw is not None:
            try:
                lines += ["", self.exercise.draw(first.case, first.wanted, first.got)]
            except Exception as error:
                lines.append(f"  (what came has no drawing: {type(error).__name__})")
        return lines

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


@final
class Score(float):
    """Points as nbgrader wants them (a number), with the report as what is shown beside it."""

    report: Report

    def __new__(cls, report: Report) -> Score:
        made = super().__new__(cls, report.score)
        made.report = report
        return made

    def __repr__(self) -> str:
        return number(float(self))

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


def whole(case: Case) -> bool:
    """Is the case a whole program that goes through the engine?"""
    return isinstance(case, dict) and "program" in case


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def short(value: Plain, limit: int = 300) -> str:
    """One line of a plain value; a program keeps its lines."""
    for key in ("program", "assembly") if isinstance(value, dict) else ():
        if isinstance(value.get(key), str):
            rest = {k: v for k, v in value.items() if k != key}
            body = "".join(f"\n      {line}" for line in value[key].splitlines())
            return (short(rest, limit) if rest else "") + body
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


@final
class AsIf:
    """Explains an answer that gives on every case, right or wrong, what the function `mistaken` would give."""

    __slots__ = ("attempt", "mistaken")

    def __init__(self, attempt: Callable[[Any, Case], Plain], mistaken: Callable[..., Any]) -> None:
        self.attempt = attempt
        self.mistaken = mistaken

    def __call__(self, case: Case, wanted: Plain, got: Plain) -> bool:
        return same(got, plain(self.attempt(self.mistaken, case)))


as_if = AsIf


def find(name: str) -> Exercise:
    from bpfbench.course.exercises import all_exercises

    known = all_exercises()
    if name not in known:
        raise CourseError(f"no exercise '{name}'; there are: {', '.join(known)}")
    return known[name]


def inside(path: str, answer: Any, run: Callable[[], Plain]) -> Plain:
    """Run something with the answer in the place of the engine's function at `path`."""
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    with plugged(path, answer):
        return run()
