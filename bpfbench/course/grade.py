"""A folder of submissions to points: feedback pages, one per student, and a CSV.

    FOLDER/STUDENT/…/NOTEBOOK.ipynb        as nbgrader collects them (an assignment folder between does not matter)

    OUT/results/STUDENT/NOTEBOOK.json      written as soon as a notebook is graded; a second run takes it from there
    OUT/feedback/STUDENT.html
    OUT/grades.csv

Each notebook is judged in a process of its own, forked from this one, which knows the instructor's notebooks; the student's
code runs in another (nursery.py), which does not.  Whatever happens to either ends with that notebook.
"""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

from bpfbench.course import judge
from bpfbench.course.convert import Master, instructor_notebooks, read_bytes
from bpfbench.course.exercise import number
from bpfbench.course.exercises import all_exercises
from bpfbench.course.sandbox import Limits
from bpfbench.errors import CourseError, Where
from bpfbench.interrupts import whole

VERSION = 2                       # of what a result row means; part of its digest

Progress = Callable[[int, int, str], None]


@final
class Nursery:
    """The nursery process and the socket it listens on."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-I", "-c", _START, str(theirs.fileno()), str(Path(__file__).resolve().parents[2])]
        self.child = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                                      env={"PATH": os.environ.get("PATH", ""), "HOME": "/nonexistent"}, cwd="/")  # fmt: skip
        theirs.close()
        self.control.settimeout(120)
        try:
            hello = self.control.recv(4096)
        except TimeoutError:
            hello = b""
        if not hello:
            raise CourseError("the process for submissions did not start")
        self.network = str(json.loads(hello)["network"])
        self.control.settimeout(None)

    def close(self) -> None:
        self.control.close()
        self.child.wait(10)

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


_START = """import sys
sys.path.insert(0, sys.argv.pop(2))
from bpfbench.course.nursery import main
sys.exit(main())"""


@final
class Job:
    """One submitted file, and where its result goes."""

    __slots__ = ("student", "path", "master", "result", "digest")

    def __init__(self, student: str, path: Path, master: Master, out: Path, limits: Limits) -> None:
        self.student = student
        self.path = path
        self.master = master
        self.result = out / "results" / student / f"{master.stem}.json"
        settings = [VERSION, master.digest, limits.seconds, limits.memory]
        try:
            content = read_bytes(path)
        except CourseError as error:
            content = error.message.encode()
        self.digest = hashlib.sha256(json.dumps(settings).encode() + content).hexdigest()

    def done(self) -> dict[str, Any] | None:
        """The row of an earlier run of the same file, or None."""
        try:
            row = json.loads(self.result.read_text())
        except (OSError, ValueError):
            return None
        return row if isinstance(row, dict) and row.get("digest") == self.digest else None

    def write(self, row: dict[str, Any]) -> None:
        """All or nothing: a run that is killed leaves no half result."""
        self.result.parent.mkdir(parents=True, exist_ok=True)
        half = self.result.with_suffix(f".{os.getpid()}.part")
        half.write_text(json.dumps({**row, "student": self.student, "digest": self.digest}))
        half.replace(self.result)


def collect(folder: Path, source: Path, out: Path, limits: Limits) -> list[Job]:
    """The submitted notebooks that belong to an instructor's; CourseError for a folder without any."""
    if not folder.is_dir():
        raise CourseError("no such folder of submissions", Where(file=str(folder)))
    masters = {path.stem: Master(path) for path in instructor_notebooks(source)}
    for master in masters.values():
        if master.exercise not in all_exercises():
            raise CourseError(f"no exercise '{master.exercise}'", Where(file=f"{source / master.stem}.ipynb"))
    jobs: dict[tuple[str, str], Job] = {}
    for student in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if student.resolve() == out.resolve():
            continue
        for path in sorted(student.rglob("*.ipynb")):
            if path.stem in masters and ".ipynb_checkpoints" not in path.parts:
                jobs.setdefault((student.name, path.stem), Job(student.name, path, masters[path.stem], out, limits))
    if not jobs:
        raise CourseError("holds no STUDENT/NOTEBOOK.ipynb named like an instructor notebook", Where(file=str(folder)))
    return list(jobs.values())


def grade(folder: Path, source: Path, out: Path, limits: Limits | None = None, processes: int = 0,
          progress: Progress | None = None) -> list[dict[str, Any]]:  # fmt: skip
    """Grade what is not graded yet and write pages and CSV; the rows, sorted.  An interruption leaves what is finished."""
    limits = limits or Limits()
    jobs = collect(folder, source, out, limits)
    out.mkdir(parents=True, exist_ok=True)
    waiting = [job for job in jobs if job.done() is None]
    finished = len(jobs) - len(waiting)
    tell = progress or (lambda done, total, name: None)
    tell(finished, len(jobs), "")
    try:
        if waiting:
            with Nursery() as nursery:
                for job in _run(nursery, waiting, limits, processes or os.cpu_count() or 1):
                    finished += 1
                    tell(finished, len(jobs), f"{job.student}/{job.master.stem}")
    finally:
        rows = [row for job in jobs if (row := job.done()) is not None]
        write_pages(rows, out)
    return rows


def _run(nursery: Nursery, waiting: list[Job], limits: Limits, processes: int) -> Any:
    """Judge the jobs, `processes` at a time; yields each when its result is written."""
    queue = waiting[::-1]
    running: dict[int, tuple[Job, float]] = {}
    try:
        while queue or running:
            while queue and len(running) < processes:
                job = queue.pop()
                with whole():
                    running[_start(nursery, job, limits)] = (job, time.monotonic() + 3 * limits.wall + 30)
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid in running:
                job = running.pop(pid)[0]
                if job.done() is None:
                    job.write(_unjudged(job, "the judge stopped on what was submitted"))
                yield job
                continue
            for late, (job, deadline) in running.items():
                if time.monotonic() > deadline:
                    job.write(_unjudged(job, "judging took too long"))
                    os.kill(late, signal.SIGKILL)
            time.sleep(0.005)
    finally:
        for pid in running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _unjudged(job: Job, why: str) -> dict[str, Any]:
    return {"notebook": job.master.stem, "exercise": job.master.exercise, "max": job.master.points, "points": 0,
            "status": "look at it", "feedback": why, "isolation": []}  # fmt: skip


def _start(nursery: Nursery, job: Job, limits: Limits) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        from bpfbench.course.nursery import die_with_parent

        die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        row = judge.grade_notebook(nursery.control, job.path, job.master, limits)
        row["isolation"] = [*row["isolation"], *([nursery.network] if nursery.network else [])]
        job.write(row)
    except BaseException as error:
        try:
            job.write(_unjudged(job, f"the judge stopped: {type(error).__name__}: {error}"))
        except BaseException:
            pass
    finally:
        os._exit(0)


# Pages ---------------------------------------------------------------------------------------------------------------

FIELDS = ("student", "notebook", "exercise", "points", "max", "status", "note")

_STYLE = ("body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
          "pre{background:#f4f4f4;padding:.8em;overflow-x:auto}h2{margin-top:2em}"
          "table{border-collapse:collapse}td,th{padding:.2em 1em;text-align:left}")  # fmt: skip


def write_pages(rows: list[dict[str, Any]], out: Path) -> None:
    """grades.csv and a feedback page per student."""
    table = io.StringIO()
    writer = csv.DictWriter(table, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        note = row["note"] if "note" in row else str(row["feedback"])
        writer.writerow({**{k: _no_formula(row.get(k, "")) for k in FIELDS}, "note": _no_formula(note)})
    (out / "grades.csv").write_text(table.getvalue())
    (out / "feedback").mkdir(exist_ok=True)
    for student in sorted({str(row["student"]) for row in rows}):
        mine = [row for row in rows if row["student"] == student]
        (out / "feedback" / f"{student}.html").write_text(page(student, mine))


def _no_formula(value: Any) -> Any:
    """A spreadsheet takes a text that begins so for a formula."""
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def page(student: str, rows: list[dict[str, Any]]) -> str:
    """One student's feedback; everything that came from outside is escaped."""
    name = html.escape(student)
    total = sum(float(row["points"]) for row in rows), sum(float(row["max"]) for row in rows)
    lines = [f"<tr><td>{html.escape(row['notebook'])}</td><td>{judge.points_text(row)}</td></tr>" for row in rows]
    parts = [f"<h2>{html.escape(row['notebook'])}: {judge.points_text(row)}</h2><pre>{html.escape(row['feedback'])}</pre>"
             for row in rows]  # fmt: skip
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Feedback for {name}</title><style>{_STYLE}</style>'
            f"<h1>Feedback for {name}</h1><p>{number(total[0])} of {number(total[1])} points</p>"
            f"<table>{''.join(lines)}</table>{''.join(parts)}</html>\n")  # fmt: skip
