"""The table of all benchmarks: what a row says, how rows become Markdown, and where a document takes them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
rows = pytest.importorskip("rows")
run = pytest.importorskip("run")


def test_growth_is_the_exponent_between_the_last_two_sizes() -> None:
    row = rows.Row("p", "c", "u", [(10, 1.0)], [(10, 5.0), (100, 1.0), (1000, 100.0)])
    assert row.growth() == pytest.approx(2.0)
    assert rows.Row("p", "c", "u", [(10, 1.0)]).growth() is None
    assert rows.from_json(row.to_json()).to_json() == row.to_json()


def test_markdown_has_a_column_for_each_unit_or_each_size() -> None:
    table = [rows.Row("start", "import", "ratio", [(1, 2.0)]), rows.Row("start", "import", "seconds", [(1, 0.031)]),
             rows.Row("walk", "loop", "ratio", [(10, 3.0), (100, 412.3)], [(10, 1.0), (100, 10.0)])]
    faster = [rows.Row("walk", "loop", "ratio", [(10, 1.5), (100, 45.6)])]
    assert rows.markdown(table, faster).split("\n")[1:] == [
        "| start | ratio | seconds |", "|---|---:|---:|", "| import | 2.00 | 0.031 |", "",
        "| walk: ratio | 10 | 100 | growth |", "|---|---:|---:|---:|",
        "| loop | 3.00 → 1.50 | 412 → 45.6 | n^1.00 |", ""]  # fmt: skip


def test_figures_go_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "b.md"
    page.write_text(f"above\n{run.BEGIN}\nold\n{run.END}\nbelow\n")
    run.put(page, "new")
    run.put(page, "newer")
    assert page.read_text() == f"above\n{run.BEGIN}\nnewer\n{run.END}\nbelow\n"
    committed = (ROOT / "docs" / "benchmarks.md").read_text()
    assert committed.index(run.BEGIN) < committed.index(run.END)


def test_parts_are_measured_or_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = run.measured(["start"], 1000, failed := [])
    assert not failed and {row.part for row in found} == {"start"}
    assert "import bpfbench" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["run.py", "gravity"])
    with pytest.raises(SystemExit):
        run.main()
