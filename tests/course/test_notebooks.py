"""The notebooks as notebooks: a graded cell of a student version fails, for every exercise, until the hole is filled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfbench.course.convert import graded, make, source
from bpfbench.course.exercise import Score

from .answers import MASTERS, NOTEBOOKS, path_of

nbformat: Any = pytest.importorskip("nbformat", reason="nbformat is missing: pip install 'bpfbench[test]'")


def run(path: Path) -> tuple[Any, Exception | None]:
    """The value of the last expression of the graded cell, running the code cells one after the other as a kernel does."""
    import ast

    namespace: dict[str, Any] = {"__name__": "__main__"}
    failure: Exception | None = None
    value: Any = None
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "code":
            continue
        tree = ast.parse(source(cell))
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        try:
            exec(compile(tree, cell.id, "exec"), namespace)
            if isinstance(last, ast.Expr):
                found = eval(compile(ast.Expression(last.value), cell.id, "eval"), namespace)
                if graded(cell):
                    value = found
        except Exception as error:
            if graded(cell):
                failure = error
    return value, failure


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    make(NOTEBOOKS, folder)
    return folder


@pytest.mark.parametrize("name", list(MASTERS))
def test_an_unsolved_notebook_gets_no_points(name: str, release: Path) -> None:
    value, failure = run(release / path_of(name).name)
    assert failure is not None or (isinstance(value, Score) and float(value) == 0)


@pytest.mark.parametrize("name", list(MASTERS))
def test_the_saved_output_of_the_graded_cell_is_full_marks(name: str) -> None:
    cell, = [cell for cell in nbformat.read(path_of(name), 4).cells if graded(cell)]
    output, = cell.outputs
    assert output["data"]["text/plain"] == str(MASTERS[name].points)
    assert not any("stderr" in str(out) for other in nbformat.read(path_of(name), 4).cells
                   for out in other.get("outputs", []) if out.output_type == "stream")
