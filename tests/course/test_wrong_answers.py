"""Every exercise: the reference gets all points, an empty answer none, and plausible mistakes are called by their name."""

from __future__ import annotations

import pytest

from bpfbench.course.exercises import all_exercises

from .answers import HERE, MASTERS, defined, empty, prepared, reference, wrong

NAMES = list(MASTERS)
MISTAKEN = [(name, words, text) for name in NAMES for words, text in wrong(name)]


def test_every_exercise_has_a_notebook_and_every_notebook_an_exercise() -> None:
    assert set(MASTERS) == set(all_exercises())
    for name, ex in all_exercises().items():
        assert MASTERS[name].points == ex.points, name
        assert 1 <= ex.stars <= 4, name


def test_every_exercise_has_plausible_wrong_answers() -> None:
    assert [name for name in NAMES if not wrong(name)] == []
    kept = {path.stem.replace("_", "-") for path in (HERE / "wrong").glob("*.py")}
    assert kept <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_gets_all_points(name: str) -> None:
    ex = prepared(name)
    score = ex.grade(defined(name, reference(name)))
    assert float(score) == ex.points, str(score.report)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_answer_gets_none(name: str) -> None:
    score = prepared(name).grade(defined(name, empty(name)))
    assert float(score) == 0
    assert "not written yet" in str(score.report) or "must be" in str(score.report)


@pytest.mark.parametrize("name,words,text", MISTAKEN, ids=[f"{n}: {w[:40]}" for n, w, _ in MISTAKEN])
def test_a_mistake_is_named(name: str, words: str, text: str) -> None:
    ex = prepared(name)
    report = ex.grade(defined(name, text)).report
    assert report.score < ex.points
    assert words and words in str(report), str(report)


@pytest.mark.parametrize("name", NAMES)
def test_hidden_cases_come_from_their_seed(name: str) -> None:
    ex = prepared(name)
    assert ex.cases(5) == ex.cases(5)
    assert len(ex.cases(5)) > len(ex.cases(None)) or ex.judge is not None
