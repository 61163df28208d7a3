"""Cells of eBPF in a real JupyterLab: completion, help under the cursor, a progress bar, an interrupt that keeps what
was found."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from tests.browser.test_gallery import IDLE

CELLS = [
    "%load_ext bpfbench.notebook",
    "%%bpf --name short --verify\nr0 = 1\nexit",
    "%%bpf\ncall map_look",
    "%%bpf\nr0 = *(u32 *)(r1 +4)\nexit",
    "%%bpf --name long -o long\nr6 = 0\nloop: r6 += 1\nif r6 < 450000 goto loop\nr0 = 0\nexit",
    "found = %verify long\nfound",
    "print(found.rejection.rule, found.insns_processed > 1000, len(found.trace.of('visit')) > 1000)",
]


def notebook() -> dict[str, object]:
    cells = [{"cell_type": "code", "execution_count": None, "id": f"cell{i}", "metadata": {}, "outputs": [], "source": code}
             for i, code in enumerate(CELLS)]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}


def test_cells_of_ebpf(page: Any, lab: str, screenshot: Any) -> None:
    body = json.dumps({"type": "notebook", "format": "json", "content": notebook()}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{lab}/api/contents/cells.ipynb", body,
                                                  {"Content-Type": "application/json"}, method="PUT"), timeout=20)
    page.set_default_timeout(60_000)
    page.goto(f"{lab}/lab/tree/cells.ipynb?reset", wait_until="domcontentloaded")
    page.wait_for_function("() => window.jupyterapp?.restored?.then(() => true)")
    page.wait_for_function(IDLE)

    def cell(number: int) -> Any:
        return page.locator(".jp-CodeCell").nth(number)

    def run(number: int) -> None:
        editor = cell(number).locator(".cm-content")
        editor.click()
        editor.press("Control+Enter")                             # focuses that editor, whatever moved in the meantime

    run(0)
    run(1)
    cell(1).locator(".jp-OutputArea .bb").wait_for()
    assert "accepted" in cell(1).locator(".jp-OutputArea").inner_text()

    cell(2).locator(".cm-content").click()                        # completion
    page.keyboard.press("Control+End")
    page.keyboard.press("Tab")
    completer = page.locator(".jp-Completer:not(.jp-mod-outofview)")
    completer.get_by_text("map_lookup_percpu_elem").wait_for()
    screenshot("cell-completion")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].textContent.includes('map_lookup_')")

    cell(3).locator(".cm-content").click()                        # help
    page.keyboard.press("Control+End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+Tab")
    tooltip = page.locator(".jp-Tooltip")
    tooltip.wait_for()
    tooltip.get_by_text("LDXW").first.wait_for()
    screenshot("cell-help")
    page.keyboard.press("Escape")

    run(4)
    cell(4).locator(".jp-OutputArea .bb").wait_for()
    run(5)
    progress = cell(5).locator("progress")
    progress.wait_for()
    first = int(progress.get_attribute("value"))
    page.wait_for_function(f"() => Number(document.querySelector('.jp-CodeCell progress')?.value) > {first}")
    screenshot("cell-progress")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:interrupt-kernel')")
    cell(5).locator(".jp-OutputArea .bb").wait_for()
    page.wait_for_function(IDLE)
    assert "interrupted" in cell(5).locator(".jp-OutputArea").inner_text()
    assert cell(5).locator("progress").count() == 0               # the bar is gone
    screenshot("cell-interrupted")
    run(6)
    printed = cell(6).locator(".jp-OutputArea-output")
    printed.wait_for()
    assert printed.inner_text().strip() == "interrupted True True"
