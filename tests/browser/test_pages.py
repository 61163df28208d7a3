"""The time machine and the reports in a real browser: in a file opened offline, and in JupyterLab."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpfbench as bb
from bpfbench.notebook.report import report
from tests.conftest import ROOT

DATASETS = ROOT / "datasets"
PROGRAM = """
    r0 = 0
    r2 = *(u32 *)(r1 + 4)
    r3 = *(u32 *)(r1 + 0)
    r4 = r3
    r4 += 14
    if r4 > r2 goto out
    r0 = *(u8 *)(r3 + 12)
    if r0 > 7 goto out
    r0 &= 3
out:
    exit
"""


def text(page: Any, selector: str) -> str:
    return str(page.locator(selector).first.inner_text())


def test_report_scrubs_with_the_keyboard_offline(page: Any, screenshot: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report([bb.assemble(PROGRAM, name="parse")]), encoding="utf-8")
    page.goto(f"file://{file}")
    machine = page.locator(".tm")
    machine.wait_for()
    machine.focus()
    assert "step 1 /" in text(page, ".tm-readout")
    page.keyboard.press("ArrowRight")
    assert "step 2 /" in text(page, ".tm-readout") and "insn 1 " in text(page, ".tm-readout")
    assert "R0 = 0" in text(page, ".tm-say")
    page.keyboard.press("b")                                  # to the next branch
    assert "is kept for later" in text(page, ".tm-say")
    page.keyboard.press("End")
    last = text(page, ".tm-readout")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")                          # there is nothing before the first step
    assert "no such step" in text(page, ".tm-say") and "step 1 /" in text(page, ".tm-readout") != last
    screenshot("report")


def test_pointing_at_an_instruction_lights_it_up_everywhere(page: Any, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(report([bb.assemble(PROGRAM, name="parse")]), encoding="utf-8")
    page.goto(f"file://{file}")
    page.locator('tr[data-pc="6"]').first.hover()
    lit = page.locator('tr.hot[data-pc="6"]')
    assert lit.count() >= 3                                   # listing, log, native code


def test_notebook_00_runs_in_jupyterlab(page: Any, lab: str, screenshot: Any) -> None:
    page.goto(f"{lab}/lab/tree/notebooks/00_the_whole_journey.ipynb?reset", wait_until="domcontentloaded")
    page.wait_for_function("() => window.jupyterapp?.restored?.then(() => true)", timeout=60_000)
    idle = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    page.wait_for_function(idle, timeout=60_000)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    machine = page.locator(".tm").first
    machine.wait_for(timeout=90_000)
    page.wait_for_function(idle, timeout=90_000)
    machine.scroll_into_view_if_needed()
    machine.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    page.get_by_text("step 6 /").wait_for()
    assert page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator(".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']").all_inner_texts() == []
    screenshot("notebook-00")


def test_a_report_on_paper_and_on_a_phone(page: Any, tmp_path: Path) -> None:
    """Printed, everything is inside the page; on a phone, too; and no request is made either way."""
    asked: list[str] = []
    page.route("**/*", lambda route: (asked.append(route.request.url), route.abort()) if
               not route.request.url.startswith(("file:", "blob:", "data:")) else route.continue_())
    file = tmp_path / "report.html"
    programs = [*bb.load(DATASETS / "xdp_firewall.o").programs.values(), bb.assemble(PROGRAM, name="parse")]
    file.write_text(report(programs), encoding="utf-8")
    page.goto(f"file://{file}")
    page.locator(".tm .now").first.wait_for()
    folder = ROOT / "out" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    for name, width, height, media in (("phone", 390, 844, "screen"), ("wide", 1400, 1000, "screen"),
                                       ("print", 794, 1123, "print")):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(media=media)
        over = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert over <= 0, name
        page.screenshot(path=str(folder / f"report-{name}.png"))
    pages = page.pdf(path=str(folder / "report.pdf"), format="A4", print_background=True)
    assert pages.startswith(b"%PDF") and pages.count(b"/Type /Page\n") < 80
    assert asked == []
