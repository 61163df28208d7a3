"""All exercises through `bpfbench grade` itself: emptied holes must not keep the reference from working."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from bpfbench.course.convert import make
from bpfbench.course.exercise import Exercise
from bpfbench.course.exercises import all_exercises
from bpfbench.course.grade import grade
from bpfbench.course.sandbox import Limits

from .answers import MASTERS, NOTEBOOKS, path_of

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "course.md"


@pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")
def test_references_get_all_points_and_student_versions_none(tmp_path: Path) -> None:
    make(NOTEBOOKS, tmp_path / "in" / "empty")
    (tmp_path / "in" / "right").mkdir()
    for name in MASTERS:
        shutil.copy(path_of(name), tmp_path / "in" / "right")
    rows = grade(tmp_path / "in", NOTEBOOKS, tmp_path / "out", Limits(seconds=20, wall=80), processes=2)
    assert len(rows) == 2 * len(MASTERS)
    wrong = [(row["exercise"], row["feedback"]) for row in rows
             if row["points"] != (row["max"] if row["student"] == "right" else 0)]
    assert not wrong, "\n\n".join(f"{name}: {said}" for name, said in wrong)


def test_the_document_lists_the_exercises() -> None:
    text, found = DOCUMENT.read_text(), list(all_exercises().values())
    assert f"{len(found)} exercises, {sum(ex.points for ex in found)} points" in text
    for stage in {ex.stage for ex in found}:
        here = [ex for ex in found if ex.stage == stage]
        names = ", ".join(f"`{ex.name}`" for ex in here)
        assert f"| {stage} | {names} | {sum(ex.points for ex in here)} |" in text


def test_the_example_of_the_document_is_an_exercise() -> None:
    text = re.search(r"```python\n(from bpfbench.course.exercise import.*?)```", DOCUMENT.read_text(), re.S)
    assert text is not None
    namespace: dict[str, Exercise] = {}
    exec(text.group(1).replace("Exercise(\"tnum-and\"", "made = Exercise(\"tnum-and\""), namespace)
    ex = namespace["made"]
    right = ex.grade(lambda a, b: (a[0] & b[0], (a[0] | a[1]) & (b[0] | b[1]) & ~(a[0] & b[0])))
    assert float(right) == ex.points, str(right.report)
    wrong = ex.grade(lambda a, b: (a[0] & b[0], a[1] | b[1])).report
    assert wrong.score < ex.points and "if *one* side knows" in str(wrong)
