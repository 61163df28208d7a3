"""Reports and laboratories hold no serious barrier that axe-core finds (WCAG 2 A and AA)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.notebook import labs
from bpfbench.notebook.html import page as html_page
from bpfbench.notebook.report import report
from tests.browser.test_pages import PROGRAM

axe = pytest.importorskip("axe_playwright_python.sync_playwright",
                          reason="no axe-core: pip install axe-playwright-python")
DATASETS = Path(__file__).parents[2] / "datasets"


def barriers(page: Any) -> list[str]:
    """Serious and critical findings, each with the first element it is about."""
    found = axe.Axe().run(page).response["violations"]
    return [f"{v['id']}: {v['help']}: {v['nodes'][0]['html'][:120]}" for v in found
            if v["impact"] in ("serious", "critical")]


def test_a_report(page: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report([bb.assemble(PROGRAM, name="parse")]), encoding="utf-8")
    page.goto(f"file://{file}")
    page.locator(".tm").first.wait_for()
    assert barriers(page) == []


def test_a_refusal(page: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report(bb.load(DATASETS / "xdp_firewall_unchecked.o").programs.values()), encoding="utf-8")
    page.goto(f"file://{file}")
    assert barriers(page) == []


def test_laboratories_without_a_kernel(page: Any, tmp_path: Path) -> None:
    every = [labs.tnum_lab(), labs.bounds_lab(), labs.encoding_lab(), labs.pruning_lab(), labs.liveness_lab(),
             labs.dfs_lab()]
    file = tmp_path / "labs.html"
    file.write_text(html_page("laboratories", "<h1>Laboratories</h1><h2>all</h2>" + "".join(map(labs.static_lab, every))),
                    encoding="utf-8")
    page.goto(f"file://{file}")
    assert barriers(page) == []
