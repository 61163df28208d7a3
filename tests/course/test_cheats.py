"""Cheating answers, graded as `bpfbench grade` does: none gets full points, and none harms the grader or another student."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from bpfbench.course import exercise
from bpfbench.course.convert import graded, read
from bpfbench.course.grade import grade
from bpfbench.course.sandbox import Limits

from .answers import MASTERS, NOTEBOOKS, defined, path_of, reference
from .cheats import COSTLY, HOSTILE, hard_coded, hostile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")

SOME = {"tnum-add": list(HOSTILE), "depth-first": [what for what in HOSTILE if what not in COSTLY]}
ALL = {name: list(HOSTILE) for name in MASTERS}
TIGHT = Limits(seconds=1, wall=3, memory=192)


def submission(name: str, text: str, folder: Path) -> None:
    """The student's notebook with this text in the answer's cell."""
    notebook = json.loads(json.dumps(read(path_of(name))))
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("solution") and not graded(cell):
            cell["source"] = text
    folder.mkdir(parents=True, exist_ok=True)
    (folder / path_of(name).name).write_text(json.dumps(notebook))


def graded_cheats(plan: dict[str, list[str]], tmp_path: Path) -> tuple[dict[tuple[str, str], dict[str, Any]], Path]:
    loot = tmp_path / "precious" / "file"
    loot.parent.mkdir()
    loot.write_text("precious")
    students = {what: f"s{number:02}" for number, what in enumerate(HOSTILE)}
    for name, cheats in plan.items():
        for what in cheats:
            text = hostile(what, name, exercise(name).answer, str(path_of(name)), str(loot))
            submission(name, text, tmp_path / "in" / students[what])
        submission(name, reference(name), tmp_path / "in" / "zz-honest")
    rows = grade(tmp_path / "in", NOTEBOOKS, tmp_path / "out", TIGHT, processes=2)
    by = {student: what for what, student in students.items()} | {"zz-honest": "honest"}
    return {(by[row["student"]], row["exercise"]): row for row in rows}, loot


def check(rows: dict[tuple[str, str], dict[str, Any]], plan: dict[str, list[str]], loot: Path) -> None:
    assert len(rows) == sum(len(cheats) + 1 for cheats in plan.values())
    for (what, name), row in rows.items():
        if what == "honest":
            assert row["points"] == row["max"], row["feedback"]
        else:
            assert row["points"] < row["max"], f"{what}: {name}\n{row['feedback']}"
    assert loot.read_text() == "precious"


def test_cheats_get_nothing_and_harm_nobody(tmp_path: Path) -> None:
    rows, loot = graded_cheats(SOME, tmp_path)
    check(rows, SOME, loot)
    for (what, _), row in rows.items():
        if what != "honest":
            assert row["points"] == 0, f"{what}: {row['feedback']}"
    said = {what: row["feedback"] for (what, name), row in rows.items() if name == "tnum-add"}
    assert "time limit" in said["never ends"]
    assert "time limit" in said["sleeps"]
    assert "MemoryError" in said["takes all memory"] or "memory" in said["takes all memory"]
    assert "os._exit" in said["leaves with os._exit"]
    assert "AssertionError" not in said["looks for the seed in memory"]
    assert "output limit" in said["floods the output"]


@pytest.mark.slow
def test_cheats_get_nothing_in_any_exercise(tmp_path: Path) -> None:
    rows, loot = graded_cheats(ALL, tmp_path)
    check(rows, ALL, loot)


def recorded(name: str) -> dict[str, object]:
    """What the reference answers when it is called on the visible cases."""
    ex, function, seen = exercise(name), defined(name, reference(name)), {}

    def listening(*args: object) -> object:
        key = repr(args)
        seen[key] = function(*args)                       # type: ignore[operator]
        return seen[key]

    for case in ex.cases(None):
        ex.attempt(listening, case)
    return seen


@pytest.mark.parametrize("name", ["tnum-add", "bounds-and", "widening", "function-partition", "depth-first", "dominators",
                                  "hello-code", "selftest-passed", "library-provider"])
def test_visible_cases_by_heart_are_not_enough(name: str) -> None:
    ex = exercise(name)
    ex.hidden(MASTERS[name].seed or 1)
    report = ex.grade(defined(name, hard_coded(ex.answer, recorded(name)))).report
    assert report.score < ex.points
    ex.seed = None
    assert ex.grade(defined(name, hard_coded(ex.answer, recorded(name)))).report.score == ex.points


def test_the_student_sees_neither_seed_nor_solution(tmp_path: Path) -> None:
    """What a submission can read of the file system holds no instructor notebook and no exercise's source."""
    text = ("import os\nfound = []\nfor place in ({!r}, {!r}):\n    try:\n        found.append(os.listdir(place))\n"
            "    except OSError as error:\n        found.append(str(error))\nraise ValueError(found)")
    here = [str(NOTEBOOKS), str(Path(exercise.__code__.co_filename).parent)]
    submission("tnum-add", text.format(*here), tmp_path / "in" / "anna")
    row, = grade(tmp_path / "in", NOTEBOOKS, tmp_path / "out", TIGHT)
    assert all(f"Permission denied: '{place}'" in row["feedback"] for place in here), row["feedback"]
