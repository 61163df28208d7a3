"""The lectures as files: complete, executed, readable on a screen, tied together by links that resolve.

Nothing is run here; `make test` runs every notebook and compares its outputs (nbval).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
LECTURES = sorted(FOLDER.glob("[0-9][0-9]_*.ipynb"))
TWO_SCREENS = 100                   # lines
WIDE = 160                          # columns of printed text
FOLDERS = ("root", "home", "tmp", "work", "usr", "opt")
MACHINE = re.compile("|".join(f"/{d}/" for d in FOLDERS) + r"|site-packages|ipykernel_\d")
LINK = re.compile(r"\]\(([^)\s]+)\)")

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed: pip install bpfbench[test]")


def cells(path: Path, kind: str) -> list[Any]:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in cells(path, "markdown"))


def printed(output: Any) -> str:
    """What an output puts on the screen as text; tables and drawings scroll in frames of their own."""
    if output.output_type == "stream":
        return str(output.text)
    data = output.get("data", {})
    rich = any(kind in data for kind in ("text/html", "image/png", "image/svg+xml"))
    return "" if rich else str(data.get("text/plain", ""))


def stem(path: Path) -> str:
    return path.stem


def test_there_is_a_lecture_for_every_stage() -> None:
    assert [int(path.name[:2]) for path in LECTURES] == list(range(len(LECTURES))) and len(LECTURES) >= 30


def test_the_table_of_contents_lists_every_lecture() -> None:
    contents = (FOLDER / "README.md").read_text()
    assert [path.name for path in LECTURES if f"({path.name})" not in contents] == []
    assert [link for link in LINK.findall(contents) if not (FOLDER / link).exists()] == []


@pytest.mark.parametrize("path", LECTURES, ids=stem)
def test_it_names_its_slides_and_ends_with_questions(path: Path) -> None:
    markdown = cells(path, "markdown")
    assert re.match(rf"# {path.name[:2]} · \S", markdown[0].source)
    assert re.search(r"\*\*(Slides|Post):\*\* \D*\d", markdown[0].source + markdown[1].source)
    questions = markdown[-1].source.partition("## Questions\n")[2]
    assert len(re.findall(r"(?m)^\d+\. .*\?", questions)) >= 3


@pytest.mark.parametrize("path", LECTURES, ids=stem)
def test_the_reader_can_change_something(path: Path) -> None:
    assert any("change me" in cell.source for cell in cells(path, "code"))


@pytest.mark.parametrize("path", LECTURES, ids=stem)
def test_links_resolve(path: Path) -> None:
    links = [link.partition("#")[0] for link in LINK.findall(prose(path)) if not re.match(r"https?://", link)]
    assert [link for link in links if link and not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", LECTURES, ids=stem)
def test_it_was_run_from_top_to_bottom(path: Path) -> None:
    code = cells(path, "code")
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]


@pytest.mark.parametrize("path", LECTURES, ids=stem)
def test_no_cell_prints_more_than_two_screens(path: Path) -> None:
    for cell in cells(path, "code"):
        lines = "\n".join(printed(output) for output in cell.outputs).splitlines()
        assert len(lines) <= TWO_SCREENS, cell.source
        assert max(map(len, lines), default=0) <= WIDE, cell.source


@pytest.mark.parametrize("path", LECTURES, ids=stem)
def test_nothing_tells_where_it_was_made(path: Path) -> None:
    """No paths of a machine, neither in sources nor in outputs."""
    for cell in cells(path, "code") + cells(path, "markdown"):
        found = [cell.source]
        for output in cell.get("outputs", []):
            found += [str(output.get("text", "")), *(str(v) for k, v in output.get("data", {}).items() if "image" not in k)]
        assert [m.group() for text in found for m in MACHINE.finditer(text)] == []
