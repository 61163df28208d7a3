"""One submitted notebook: hand its cells to a fresh process of the nursery, put the cases to it, judge what comes.

The student's process is asked one case after the other; what it answers are values, and only right values count.  A
process that ends, hangs, or floods its output is ended with its whole process group, and the cases it did not answer are
wrong, with the reason.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any, final

from bpfbench.course.convert import Master, graded, read, source
from bpfbench.course.exercise import Exercise, Outcome, Report, find, number
from bpfbench.course.sandbox import Limits
from bpfbench.errors import CourseError

LONGEST_LINE = 1 << 20


class Ended(Exception):
    """The student's process will not answer any more; the text says why."""


@final
class Pupil:
    """The judge's side of one student's process."""

    def __init__(self, control: socket.socket, name: str, limits: Limits) -> None:
        self.limits = limits
        self.deadline = time.monotonic() + limits.wall
        job, self.job = os.pipe()
        self.results, results = os.pipe()
        self.output, output = os.pipe()
        self.status, status = os.pipe()
        settings = {"exercise": name, "limits": [limits.seconds, limits.wall, limits.memory, limits.output]}
        socket.send_fds(control, [json.dumps(settings).encode()], [job, results, output, status])
        for fd in (job, results, output, status):
            os.close(fd)
        self.printed = b""
        self.pending = b""
        self.pid = int(self._status_line() or b"0")
        os.set_blocking(self.job, False)

    def _status_line(self) -> bytes:
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self.status], [], [], 10)[0]:
                return b""
            byte = os.read(self.status, 1)
            if not byte:
                return b""
            line += byte
        return line.strip()

    def tell(self, record: Any) -> None:
        raw = json.dumps(record).encode() + b"\n"
        while raw:
            self._wait([], [self.job])
            try:
                raw = raw[os.write(self.job, raw):]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise Ended(self.how_it_ended()) from None

    def hear(self) -> dict[str, Any]:
        """The next line of results."""
        while b"\n" not in self.pending:
            ready = self._wait([self.results], [])
            if self.results in ready:
                more = os.read(self.results, 1 << 16)
                if not more:
                    raise Ended(self.how_it_ended())
                self.pending += more
                if len(self.pending) > LONGEST_LINE:
                    raise Ended("the answer is larger than 1 MiB")
        line, _, self.pending = self.pending.partition(b"\n")
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            raise Ended("what came out of the process is not an answer") from None
        if not isinstance(record, dict):
            raise Ended("what came out of the process is not an answer")
        return record

    def _wait(self, read: list[int], write: list[int]) -> list[int]:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Ended(f"time limit: no answer within {self.limits.wall} seconds")
        watched = [self.output, *read] if self.output >= 0 else read
        ready, able, _ = select.select(watched, write, [], left)
        if self.output in ready:
            more = os.read(self.output, 1 << 16)
            if not more:
                os.close(self.output)
                self.output = -1
            self.printed += more
            if len(self.printed) > self.limits.output:
                raise Ended(f"output limit: printed more than {self.limits.output >> 10} KiB")
        return ready + able

    def how_it_ended(self) -> str:
        code = int(self._status_line() or b"-9")
        if code == -signal.SIGXCPU or code == -signal.SIGKILL:
            return f"time limit: more than {self.limits.seconds} seconds of processor time (an endless loop?)"
        if code < 0:
            return f"the process died of {signal.Signals(-code).name}"
        return f"the process ended (exit status {code}) before it answered: os._exit?"

    def end(self) -> None:
        """End the process and everything in its group."""
        if self.pid > 0:
            for kill in (os.killpg, os.kill):
                try:
                    kill(self.pid, signal.SIGKILL)
                except (ProcessLookupError, PermissionError):
                    pass
        for fd in (self.job, self.results, self.output, self.status):
            if fd >= 0:
                os.close(fd)


def code_cells(path: Path) -> list[str]:
    """What the student wrote: every code cell but the graded one, which is the instructor's."""
    cells = [c for c in read(path)["cells"] if c.get("cell_type") == "code" and not graded(c)]
    return [_plain_python(source(cell)) for cell in cells]


def _plain_python(text: str) -> str:
    """Without IPython's magic commands, which mean nothing here."""
    lines = text.split("\n")
    if lines and lines[0].startswith("%%"):
        return "pass"
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in lines)


def ask(control: socket.socket, ex: Exercise, cells: list[str], seed: int | None,
        limits: Limits) -> tuple[Report, list[str]]:  # fmt: skip
    """Run cells, put the cases, judge; the report and the means of isolation that were in force."""
    pupil = Pupil(control, ex.name, limits)
    cases = ex.cases(seed)
    outcomes: list[Outcome] = []
    held: list[str] = []
    note = ""
    try:
        pupil.tell(cells)
        held = [str(word) for word in pupil.hear().get("held", [])]
        first = pupil.hear()
        note = str(first.get("failure", ""))[:400]
        if not first.get("found"):
            raise Ended(f"the notebook defines no {ex.answer}")
        for case in cases:
            pupil.tell(case)
            answer = pupil.hear()
            outcomes.append(ex.outcome(case, answer.get("got"), str(answer.get("failed", ""))[:400]))
    except Ended as end:
        if "no " + ex.answer in str(end) and note:
            end = Ended(f"{end} ({note})")
        outcomes += [Outcome(case, None, None, str(end), True) for case in cases[len(outcomes):]]
    finally:
        pupil.end()
    return Report(ex, outcomes, note), held


def grade_notebook(control: socket.socket, path: Path, master: Master, limits: Limits) -> dict[str, Any]:
    """A result row for one file; what is wrong with the file is a row too."""
    row: dict[str, Any] = {"notebook": master.stem, "exercise": master.exercise, "max": master.points, "points": 0,
                           "status": "graded", "feedback": "", "isolation": []}  # fmt: skip
    try:
        cells = code_cells(path)
    except CourseError as error:
        return {**row, "status": "unreadable", "feedback": error.message}
    report, held = ask(control, find(master.exercise), cells, master.seed, limits)
    share = report.score / report.exercise.points
    return {**row, "points": round(share * float(master.points), 2), "feedback": str(report), "note": report.short_note(),
            "isolation": held}  # fmt: skip


def points_text(row: dict[str, Any]) -> str:
    return f"{number(float(row['points']))} of {number(float(row['max']))}"
