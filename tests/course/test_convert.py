"""Instructor notebook -> student notebook: the solution and the hidden seed are gone, everything else stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bpfbench.course.convert import Master, graded, make, read, source, student_version, without_solution
from bpfbench.errors import CourseError

from .answers import MASTERS, NOTEBOOKS, path_of, reference


@pytest.mark.parametrize("name", list(MASTERS))
def test_the_student_version_has_no_solution(name: str) -> None:
    notebook = read(path_of(name))
    made = student_version(notebook)
    text = json.dumps(made)
    assert "SOLUTION" not in text and "HIDDEN" not in text and "hidden(" not in text
    assert not any(cell.get("outputs") for cell in made["cells"])
    assert len(made["cells"]) == len(notebook["cells"])
    inside = reference(name).split("### BEGIN SOLUTION\n")[1].split("### END SOLUTION")[0].strip()
    assert inside and inside not in "\n".join(source(cell) for cell in made["cells"])


@pytest.mark.parametrize("name", list(MASTERS))
def test_the_cells_are_those_that_nbgrader_knows(name: str) -> None:
    cells = read(path_of(name))["cells"]
    marks = [cell["metadata"]["nbgrader"] for cell in cells]
    assert len({mark["grade_id"] for mark in marks}) == len(cells)
    assert all(mark["schema_version"] == 3 and mark["locked"] is not mark["solution"] for mark in marks)
    assert [graded(cell) for cell in cells].count(True) == 1
    assert source(cells[0]).startswith("# ") and "★" in source(cells[0]) and "Hint" in source(cells[0])


def test_a_solution_becomes_a_hole_of_its_indentation() -> None:
    text = "def f():\n    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\nf"
    assert without_solution(text) == "def f():\n    # YOUR CODE HERE\n    raise NotImplementedError()\nf"


@pytest.mark.parametrize("text", ["### BEGIN SOLUTION", "### END SOLUTION", "### BEGIN SOLUTION\n### BEGIN SOLUTION"])
def test_a_solution_that_does_not_end_is_an_error(text: str) -> None:
    with pytest.raises(CourseError):
        without_solution(text)


@pytest.mark.parametrize("content,message", [
    ("", "not JSON"), ("[]", "format 4"), ('{"nbformat": 3, "cells": []}', "format 4"), ("[" * 100000, "not JSON"),
    ('{"nbformat": 4, "cells": [3]}', "cell 1"), ('{"nbformat": 4, "cells": [{"source": 5}]}', "cell 1"),
    ('{"nbformat": 4, "cells": []}', "0 graded cells"),
])  # fmt: skip
def test_a_file_that_is_no_notebook_is_an_error(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(content)
    with pytest.raises(CourseError, match=message):
        Master(path)


def test_strange_files_are_errors(tmp_path: Path) -> None:
    import os

    (tmp_path / "link.ipynb").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "pipe.ipynb")
    (tmp_path / "folder.ipynb").mkdir()
    (tmp_path / "large.ipynb").write_bytes(b" " * (9 << 20))
    for path in [*tmp_path.iterdir(), tmp_path / "missing.ipynb"]:
        with pytest.raises(CourseError):
            read(path)


def test_make_does_not_overwrite_the_instructors(tmp_path: Path) -> None:
    with pytest.raises(CourseError):
        make(NOTEBOOKS, NOTEBOOKS)
    made = make(NOTEBOOKS, tmp_path / "release")
    assert [path.name for path in made] == [f"{m.stem}.ipynb" for m in MASTERS.values()]


def test_student_versions_pass_as_notebooks(tmp_path: Path) -> None:
    nbformat: Any = pytest.importorskip("nbformat", reason="nbformat is missing: pip install 'bpfbench[test]'")
    for path in make(NOTEBOOKS, tmp_path):
        nbformat.validate(nbformat.read(path, 4))
