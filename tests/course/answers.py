"""The answers that the tests give: the instructor's, an empty one, and the wrong ones kept in wrong/NAME.py.

A file of wrong answers is cut into sections.  Each begins with a line that says what its feedback has to contain:

    # wrong: carries are forgotten
    def tnum_add(a, b): …
"""

from __future__ import annotations

import re
from pathlib import Path

from bpfbench.course import exercise
from bpfbench.course.convert import Master, graded, instructor_notebooks, read, source, student_version
from bpfbench.course.exercise import Exercise

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parents[1] / "notebooks" / "exercises"
MASTERS = {m.exercise: m for m in map(Master, instructor_notebooks(NOTEBOOKS))}


def path_of(name: str) -> Path:
    return NOTEBOOKS / f"{MASTERS[name].stem}.ipynb"


def answer_cell(notebook: dict) -> str:
    """The source of the cell that the student edits."""
    cells = [c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("solution") and not graded(c)]
    assert len(cells) == 1
    return source(cells[0])


def reference(name: str) -> str:
    return answer_cell(read(path_of(name)))


def empty(name: str) -> str:
    return answer_cell(student_version(read(path_of(name))))


def wrong(name: str) -> list[tuple[str, str]]:
    """(words the feedback has to contain, the answer) for each plausible wrong answer."""
    path = HERE / "wrong" / f"{name.replace('-', '_')}.py"
    parts = re.split(r"(?m)^# wrong: *(.*)\n", path.read_text()) if path.exists() else [""]
    return [(words.strip(), text) for words, text in zip(parts[1::2], parts[2::2])]


def prepared(name: str) -> Exercise:
    """The exercise with its hidden cases."""
    ex = exercise(name)
    ex.hidden(MASTERS[name].seed or 0)
    return ex


def defined(name: str, text: str) -> object:
    """What the notebook calls the answer, after running the cell."""
    namespace: dict = {"__name__": "answer"}
    try:
        exec(compile(text, f"<answer to {name}>", "exec"), namespace)
    except NotImplementedError:
        pass
    return namespace.get(exercise(name).answer)
