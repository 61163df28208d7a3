"""Notebooks of an exercise: reading them safely, and making the student's version of the instructor's.

An instructor's notebook is an nbgrader source notebook.  The cell metadata say which cell is the solution and which is
graded; two pairs of comments say what a student does not get:

    ### BEGIN SOLUTION                          ### BEGIN HIDDEN TESTS
    return (sv & ~mu, mu)                       ex.hidden(4711)
    ### END SOLUTION                            ### END HIDDEN TESTS

The first becomes `raise NotImplementedError` (or an empty text), the second goes away.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, final

from bpfbench.errors import CourseError, Where

LARGEST = 8 << 20
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HIDE, SHOW = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"


def read_bytes(path: Path) -> bytes:
    """A file that somebody handed in; CourseError for links, pipes, folders and what is too large."""
    where = Where(file=str(path))
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise CourseError("there is no such notebook", where) from None
    except OSError as error:
        raise CourseError(f"cannot be read: {error.strerror}", where) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise CourseError("not a file", where)
        if status.st_size > LARGEST:
            raise CourseError(f"larger than {LARGEST >> 20} MiB", where)
        return b"".join(iter(lambda: os.read(fd, 1 << 20), b""))
    finally:
        os.close(fd)


def read(path: Path) -> dict[str, Any]:
    """A notebook of format 4 as JSON; CourseError says what is wrong with the file."""
    where = Where(file=str(path))
    raw = read_bytes(path)
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise CourseError("not a notebook: the file is not JSON", where) from None
    if not isinstance(found, dict) or found.get("nbformat") != 4 or not isinstance(found.get("cells"), list):
        raise CourseError("not a notebook of format 4", where)
    for number, cell in enumerate(found["cells"], 1):
        if not isinstance(cell, dict) or not isinstance(source(cell), str) \
                or not isinstance(cell.get("metadata", {}), dict):
            raise CourseError(f"cell {number} is not a cell", where)
    return found


def source(cell: dict[str, Any]) -> Any:
    """The text of a cell, which a file may hold as lines."""
    text = cell.get("source", "")
    if isinstance(text, list) and all(isinstance(line, str) for line in text):
        return "".join(text)
    return text


def graded(cell: dict[str, Any]) -> bool:
    mark = cell.get("metadata", {}).get("nbgrader")
    return isinstance(mark, dict) and bool(mark.get("grade"))


def student_version(notebook: dict[str, Any], where: str = "") -> dict[str, Any]:
    """A copy without solutions, hidden tests and outputs."""
    made: dict[str, Any] = json.loads(json.dumps(notebook))
    for cell in made["cells"]:
        text = without_hidden(without_solution(source(cell), where), where)
        cell["source"] = text
        if cell.get("cell_type") == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return made


def without_solution(text: str, where: str = "") -> str:
    """The text with each solution replaced by a hole of the same indentation."""
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        if line.strip() == BEGIN:
            if inside:
                raise CourseError(f"{BEGIN} twice without an end", Where(file=where))
            inside = True
            indent = line[: len(line) - len(line.lstrip())]
            lines += [f"{indent}# YOUR CODE HERE", f"{indent}raise NotImplementedError()"]
        elif line.strip() == END:
            if not inside:
                raise CourseError(f"{END} without a beginning", Where(file=where))
            inside = False
        elif not inside:
            lines.append(line)
    if inside:
        raise CourseError(f"{BEGIN} without an end", Where(file=where))
    return "\n".join(lines)


def without_hidden(text: str, where: str = "") -> str:
    if text.count(HIDE) != text.count(SHOW):
        raise CourseError(f"{HIDE} and {SHOW} do not pair", Where(file=where))
    return re.sub(rf"(?ms)^[ \t]*{HIDE}.*?{SHOW}[ \t]*\n?", "", text)


@final
class Master:
    """What the grader takes from an instructor's notebook: the exercise's name, the hidden `seed`, the `points`."""

    __slots__ = ("stem", "exercise", "seed", "points", "digest")

    def __init__(self, path: Path) -> None:
        import hashlib

        notebook = read(path)
        cells = [cell for cell in notebook["cells"] if graded(cell)]
        if len(cells) != 1:
            raise CourseError(f"has {len(cells)} graded cells instead of one", Where(file=str(path)))
        whole = "\n".join(source(cell) for cell in notebook["cells"] if cell.get("cell_type") == "code")
        name = re.search(r'exercise\("([\w-]+)"\)', whole)
        seed = re.search(rf"(?s){HIDE}.*?hidden\((\d+)\).*?{SHOW}", source(cells[0]))
        if name is None:
            raise CourseError('names no exercise("…")', Where(file=str(path)))
        self.stem = path.stem
        self.exercise = name.group(1)
        self.seed = int(seed.group(1)) if seed else None
        self.points = cells[0]["metadata"]["nbgrader"].get("points", 0)
        self.digest = hashlib.sha256(json.dumps([whole, self.seed]).encode()).hexdigest()


def instructor_notebooks(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CourseError("no such folder of instructor notebooks (say --source)", Where(file=str(folder)))
    found = sorted(p for p in folder.glob("*.ipynb") if not p.name.startswith("."))
    if not found:
        raise CourseError("no notebooks in it (say --source)", Where(file=str(folder)))
    return found


def make(folder: Path, out: Path) -> list[Path]:
    """Write the student version of every instructor notebook of a folder."""
    if out.resolve() == folder.resolve():
        raise CourseError("would overwrite the instructor notebooks", Where(file=str(out)))
    masters = instructor_notebooks(folder)
    versions = [(path, student_version(read(path), str(path))) for path in masters]
    out.mkdir(parents=True, exist_ok=True)
    for path, version in versions:
        (out / path.name).write_text(json.dumps(version, indent=1, ensure_ascii=False) + "\n")
    return [out / path.name for path in masters]
