"""A folder of submissions: points, pages, a CSV; what is graded stays graded; what is broken is reported."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bpfbench.course.convert import make
from bpfbench.course.grade import grade
from bpfbench.course.sandbox import Limits
from bpfbench.errors import CourseError

from .answers import MASTERS, NOTEBOOKS, path_of, wrong
from .test_cheats import submission

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")

NAMES = ["bounds-and", "tnum-add", "function-partition"]
LIMITS = Limits(seconds=5, wall=20, memory=256)


def interruptible() -> None:
    """In the child: a process started in the background may have been told to ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def classroom(folder: Path, students: int) -> None:
    """Students 0, 3, 6 … are right; 1, 4, … make a mistake; 2, 5, … have written nothing."""
    make(NOTEBOOKS, folder / "release")
    for number in range(students):
        for name in NAMES:
            place = folder / "in" / f"student{number:02}" / "ps1"
            if number % 3 == 1:
                submission(name, wrong(name)[0][1], place)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(path_of(name) if number % 3 == 0 else folder / "release" / path_of(name).name, place)


def rows_of(out: Path) -> dict[tuple[str, str], dict[str, Any]]:
    with open(out / "grades.csv") as file:
        return {(row["student"], row["exercise"]): row for row in csv.DictReader(file)}


def test_points_pages_and_csv(tmp_path: Path) -> None:
    classroom(tmp_path, 3)
    told: list[tuple[int, int, str]] = []
    grade(tmp_path / "in", NOTEBOOKS, tmp_path / "out", LIMITS, 2, lambda *step: told.append(step))
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 9 and told[0][:2] == (0, 9) and told[-1][:2] == (9, 9)
    for name in NAMES:
        most = MASTERS[name].points
        assert float(rows["student00", name]["points"]) == most
        assert 0 <= float(rows["student01", name]["points"]) < most
        assert rows["student01", name]["note"]
        assert float(rows["student02", name]["points"]) == 0
        assert "not written yet" in rows["student02", name]["note"]
    page = (tmp_path / "out" / "feedback" / "student01.html").read_text()
    assert page.startswith("<!doctype html>") and "probably:" in page and "expected" in page
    assert "http" not in page.lower().replace("http-equiv", "")


def test_what_is_graded_stays_graded_until_it_changes(tmp_path: Path) -> None:
    classroom(tmp_path, 2)
    grade(tmp_path / "in", NOTEBOOKS, tmp_path / "out", LIMITS, 2)
    results = sorted((tmp_path / "out" / "results").rglob("*.json"))
    before = {path: path.stat().st_mtime_ns for path in results}
    told: list[tuple[int, int, str]] = []
    grade(tmp_path / "in", NOTEBOOKS, tmp_path / "out", LIMITS, 2, lambda *step: told.append(step))
    assert told == [(6, 6, "")]
    shutil.copy(path_of("tnum-add"), tmp_path / "in" / "student01" / "ps1")
    grade(tmp_path / "in", NOTEBOOKS, tmp_path / "out", LIMITS, 2)
    changed = [path for path in results if path.stat().st_mtime_ns != before[path]]
    assert [path.parent.name for path in changed] == ["student01"]
    assert float(rows_of(tmp_path / "out")["student01", "tnum-add"]["points"]) == 4


def test_broken_submissions_are_reported(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    name = path_of("tnum-add").name
    contents = {"a-empty": b"", "b-json": b'{"nbformat": 4}', "c-binary": os.urandom(1000), "d-deep": b"[" * 50000,
                "e-large": b" " * (9 << 20)}  # fmt: skip
    for student, content in contents.items():
        (folder / student).mkdir(parents=True)
        (folder / student / name).write_bytes(content)
    submission("tnum-add", "def tnum_add(a, b:\n", folder / "f-syntax")
    submission("tnum-add", "%%bash\nrm -rf /", folder / "g-magic")
    submission("tnum-add", "!rm -rf /\n%time 1\ntnum_add = 5", folder / "h-number")
    submission("tnum-add", "import notthere", folder / "i-import")
    (folder / "j-link").mkdir()
    (folder / "j-link" / name).symlink_to(path_of("tnum-add"))
    (folder / "k-pipe").mkdir()
    os.mkfifo(folder / "k-pipe" / name)
    (folder / "l-folder" / name).mkdir(parents=True)
    (folder / "=cmd").mkdir()
    shutil.copy(path_of("tnum-add"), folder / "=cmd")
    rows = {row["student"]: row for row in grade(folder, NOTEBOOKS, tmp_path / "out", LIMITS, 2)}
    for student in (*contents, "j-link", "k-pipe", "l-folder"):
        assert rows[student]["status"] == "unreadable" and rows[student]["points"] == 0
    assert "SyntaxError" in rows["f-syntax"]["feedback"]
    assert "defines no tnum_add" in rows["g-magic"]["feedback"]
    assert rows["h-number"]["points"] == 0
    assert "No module named 'notthere'" in rows["i-import"]["feedback"]
    assert rows["=cmd"]["points"] == 4
    assert "\n'=cmd," in (tmp_path / "out" / "grades.csv").read_text()       # no formula for a spreadsheet


def test_feedback_is_escaped(tmp_path: Path) -> None:
    text = "def tnum_add(a, b):\n    raise ValueError('<script>alert(1)</script>')"
    submission("tnum-add", text, tmp_path / "in" / "<b>eve")
    grade(tmp_path / "in", NOTEBOOKS, tmp_path / "out", LIMITS)
    page = (tmp_path / "out" / "feedback" / "<b>eve.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page and "<b>eve" not in page


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    classroom(tmp_path, 12)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "bpfbench", "grade", str(tmp_path / "in"), "--source", str(NOTEBOOKS), "-o", str(out)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                           preexec_fn=interruptible)
    deadline = time.monotonic() + 60
    while len(list(out.rglob("*.json"))) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    run.send_signal(how)
    _, said = run.communicate(timeout=60)
    finished = list((out / "results").rglob("*.json"))
    assert 4 <= len(finished) < 36
    assert all(json.loads(path.read_text())["digest"] for path in finished)
    if how == signal.SIGINT:
        assert run.returncode == 130 and "the same command goes on" in said
    kept = {path: path.stat().st_mtime_ns for path in finished}
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 0 and "36 notebooks graded" in again.stdout
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    rows = rows_of(out)
    assert len(rows) == 36
    assert all(float(rows[f"student{n:02}", "tnum-add"]["points"]) == 4 for n in range(0, 12, 3))


def test_wrong_folders_are_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder, source in ((tmp_path / "none", NOTEBOOKS), (tmp_path / "empty", NOTEBOOKS), (NOTEBOOKS, tmp_path / "empty"),
                           (NOTEBOOKS, tmp_path / "none")):
        with pytest.raises(CourseError):
            grade(folder, source, tmp_path / "out", LIMITS)


@pytest.mark.parametrize("words", [["{}/none"], ["{}", "--source", "{}/none"], ["{}", "--seconds", "0"],
                                   ["{}", "--memory", "1"], ["make", "--source", "{}"]])  # fmt: skip
def test_the_command_says_one_line_and_exits_with_2(tmp_path: Path, words: list[str]) -> None:
    command = [sys.executable, "-m", "bpfbench", "grade", *(word.format(tmp_path) for word in words)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 2
    assert len(run.stderr.strip().splitlines()) == 1 and "Traceback" not in run.stderr
