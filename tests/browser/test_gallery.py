"""Every view of the library, in JupyterLab and in the exported file, driven by mouse and keyboard.

Both are made from the notebook in gallery.py, opened once, and every test drives one view in both.  In the file there is no
kernel: laboratories can be read but not changed there, everything else works as in the notebook.  Screenshots of every
view, light and dark, are kept in out/screenshots.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.conftest import watch
from tests.browser.gallery import NAMES, notebook
from tests.conftest import ROOT

IDLE = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
LABS = NAMES[NAMES.index("tnum"):]
ERRORS = ("[data-mime-type='application/vnd.jupyter.error'], [data-mime-type='application/vnd.jupyter.stderr'], "
          ".jp-RenderedText[data-mime-type*='error']")


class Gallery:
    """One of the two pages."""

    def __init__(self, page: Any, where: str) -> None:
        self.page = page
        self.where = where
        self.live = where == "lab"

    def view(self, name: str) -> Any:
        """The output of a cell, scrolled into sight."""
        outputs = ".jp-Cell-outputWrapper, .jp-Cell-outputArea"
        cell = self.page.locator(".jp-CodeCell").nth(NAMES.index(name)).locator(outputs).first
        cell.scroll_into_view_if_needed()
        return cell

    def keep(self, name: str, cell: Any) -> None:
        folder = ROOT / "out" / "screenshots"
        folder.mkdir(parents=True, exist_ok=True)
        box = cell.bounding_box()
        if box["height"] > 1400:                        # the beginning of what is long
            self.page.screenshot(path=str(folder / f"{self.where}-{name.replace(' ', '-')}.png"))
            return
        cell.screenshot(path=str(folder / f"{self.where}-{name.replace(' ', '-')}.png"))


@pytest.fixture(scope="module")
def in_lab(chromium: Any, lab: str) -> Iterator[Gallery]:
    body = json.dumps({"type": "notebook", "format": "json", "content": notebook()}).encode()
    request = urllib.request.Request(f"{lab}/api/contents/gallery.ipynb", body, {"Content-Type": "application/json"},
                                     method="PUT")
    urllib.request.urlopen(request, timeout=20)
    page = chromium.new_page()
    wrong = watch(page)
    page.goto(f"{lab}/lab/tree/gallery.ipynb?reset", wait_until="domcontentloaded")
    page.wait_for_function("() => window.jupyterapp?.restored?.then(() => true)", timeout=60_000)
    page.wait_for_function(IDLE, timeout=60_000)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".jp-CodeCell").nth(len(NAMES) - 1).locator(".lab").wait_for(timeout=60_000)
    yield Gallery(page, "lab")
    page.close()
    assert not wrong


@pytest.fixture(scope="module")
def in_file(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    nbformat = pytest.importorskip("nbformat", reason="no nbformat (pip install jupyterlab)")
    pytest.importorskip("nbconvert", reason="no nbconvert (pip install jupyterlab)")
    from bpfbench.notebook.export import export

    folder = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setenv("BPFBENCH_EXPORT", "1")
        text = export(nbformat.from_dict(notebook()))
    (folder / "gallery.html").write_text(text, encoding="utf-8")
    page = chromium.new_page()
    wrong = watch(page)
    asked: list[str] = []
    page.route("**/*", lambda route: (asked.append(route.request.url), route.abort()) if
               route.request.url.startswith(("http:", "https:", "ws:")) else route.continue_())
    page.goto(f"file://{folder / 'gallery.html'}")
    page.locator(".tm").first.wait_for()
    yield Gallery(page, "file")
    page.close()
    assert asked == [] and not wrong                    # nothing leaves the file


@pytest.fixture(params=["in_lab", "in_file"])
def gallery(request: pytest.FixtureRequest) -> Gallery:
    return request.getfixturevalue(request.param)       # type: ignore[no-any-return]


def test_every_cell_shows_something_and_none_fails(gallery: Gallery) -> None:
    assert gallery.page.locator(ERRORS).all_inner_texts() == []
    for name in NAMES[1:]:
        cell = gallery.view(name)
        assert cell.locator(".bb, img").count() > 0, name


def test_the_time_machine(gallery: Gallery) -> None:
    cell = gallery.view("machine")
    tm = cell.locator(".tm")
    tm.focus()
    page = gallery.page
    page.keyboard.press("Home")
    assert "step 1 /" in cell.locator(".tm-readout").inner_text()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert "step 4 /" in cell.locator(".tm-readout").inner_text()
    assert "R3 = pkt(" in cell.locator(".tm-say").inner_text()
    assert "r4 = r3" in cell.locator(".tm-row.now").inner_text()
    page.keyboard.press("b")
    assert "is kept for later" in cell.locator(".tm-say").inner_text()
    page.keyboard.press("ArrowRight")
    assert "Waiting branches, next first: 5 → 16" in cell.locator(".tm-waiting").inner_text()
    jump = cell.get_by_label("go to step")
    jump.fill("9")
    jump.press("Enter")
    assert "step 9 /" in cell.locator(".tm-readout").inner_text()
    spilled = cell.locator(".tm-regs tr:not([hidden])", has_text="fp-8")
    spilled.click()                                               # the slot that holds the byte of the packet
    cell.locator(".tm-why li").first.wait_for()
    said = cell.locator(".tm-why").inner_text()
    assert "*(u64 *)(r10 -8) = r0" in said and "r0 = *(u8 *)(r3 +12)" in said
    cell.locator(".tm-why .tm-link").first.click()                # to the step that spilled it
    assert "step 8 /" in cell.locator(".tm-readout").inner_text()
    while "In a function of depth" not in cell.locator(".tm-calls").inner_text():
        page.keyboard.press("ArrowRight")
        assert "no such step" not in cell.locator(".tm-say").inner_text()
    assert "called at 15" in cell.locator(".tm-calls").inner_text()
    slider = cell.get_by_role("slider", name="step")
    box = slider.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    step, last = cell.locator(".tm-readout").inner_text().split(" · ")[0].removeprefix("step ").split(" / ")
    assert abs(int(step) - int(last) / 2) <= 2
    cell.locator(".tm-buttons button").nth(2).focus()
    page.keyboard.type("dd")                                      # JupyterLab's keys do nothing to the cell
    assert page.locator(".jp-CodeCell").count() == len(NAMES)
    page.keyboard.press("?")
    assert cell.locator(".tm-help").is_visible()
    page.keyboard.press("?")
    gallery.keep("machine", cell)


def test_the_path_tree_shows_both_states_side_by_side(gallery: Gallery) -> None:
    cell = gallery.view("tree")
    bars = cell.locator("svg [data-opens]")
    assert bars.count() >= 4
    bars.nth(1).focus()
    gallery.page.keyboard.press("Enter")                          # a bar opens what is written about its path
    assert cell.locator("#p-1 details").first.get_attribute("open") is not None
    ended = cell.locator("summary", has_text="pruned by checkpoint").first.inner_text().split(":")[0].removeprefix("path ")
    bars.nth(int(ended)).click()
    cell.locator(f"#p-{ended} summary", has_text="both states side by side").first.click()
    states = cell.get_by_role("region", name="states of checkpoint")
    assert states.count() >= 1 and "checkpoint" in states.first.locator("th").nth(1).inner_text()
    first = cell.locator("details > summary").first
    first.focus()
    gallery.page.keyboard.press("Enter")                          # and by keyboard
    assert cell.locator("details").first.get_attribute("open") is None
    gallery.page.keyboard.press("Enter")
    gallery.keep("tree", cell)


def test_two_runs_on_one_scale(gallery: Gallery) -> None:
    cell = gallery.view("compare")
    text = cell.inner_text()
    assert "without pruning" in text and "instructions processed" in text
    bars = [figure.locator("g[role=img]").count() for figure in cell.locator(".svg").all()]
    assert len(bars) == 2 and bars[0] <= bars[1]
    gallery.keep("compare", cell)


def test_plots_are_pictures(gallery: Gallery) -> None:
    for name in ("timeline", "heat"):
        cell = gallery.view(name)
        assert cell.locator("img").first.evaluate("(e) => e.naturalWidth") > 300
        gallery.keep(name, cell)


@pytest.mark.parametrize("name", ["bounds chart", "cost chart"])
def test_charts_light_up_their_instruction(gallery: Gallery, name: str) -> None:
    cell = gallery.view(name)
    mark = cell.locator(".mark").nth(2)
    mark.hover()
    pc = mark.get_attribute("data-pc")
    assert gallery.page.locator(f"tr.hot[data-prog=parse][data-pc='{pc}']").count() >= 2
    assert mark.locator("title").text_content() != ""
    gallery.keep(name, cell)


def test_the_liveness_chart(gallery: Gallery) -> None:
    cell = gallery.view("liveness chart")
    row = cell.locator("tr[data-pc='4']")
    row.hover()
    assert "hot" in row.get_attribute("class")
    assert row.locator("[aria-label=live]").count() >= 2
    gallery.keep("liveness chart", cell)


def test_the_graph(gallery: Gallery) -> None:
    cell = gallery.view("graph")
    assert cell.locator("svg.cfg .block").count() >= 6 and cell.locator(".arrow.back").count() == 1
    insn = cell.locator("text[data-pc='9']")
    insn.hover()
    assert gallery.page.locator("tr.hot[data-prog=parse][data-pc='9']").count() >= 2
    gallery.keep("graph", cell)


def test_native_listings(gallery: Gallery) -> None:
    cell, page = gallery.view("native"), gallery.page
    row = cell.locator("tr[data-pc='4']")
    row.hover()
    assert "hot" in row.get_attribute("class")
    cell.locator("svg.arrows path").first.wait_for(state="attached")
    row.locator("td").nth(3).locator(".ni").first.click()          # aarch64: a fixed word, with its fields
    said = cell.locator(".fields").inner_text()
    assert "add" in said and "rn[4:0]=" in said
    assert cell.locator(".nb").first.is_hidden()
    cell.get_by_label("bytes").check()
    assert cell.locator(".nb").first.is_visible()
    cell.get_by_label("riscv64").uncheck()
    assert cell.locator("th", has_text="riscv64").is_hidden()
    cell.get_by_role("region", name="native code").focus()
    page.keyboard.press("j")
    page.keyboard.press("e")
    assert cell.locator("tr.hot").get_attribute("data-pc") == "5"
    assert cell.locator(".fields p").count() >= 2
    gallery.keep("native", cell)


def test_the_difference_of_two_listings(gallery: Gallery) -> None:
    cell = gallery.view("diff")
    assert cell.locator("tr.now .changed").count() >= 1 and "groups differ" in cell.inner_text()
    gallery.keep("diff", cell)


def test_the_nfp_pass_by_pass(gallery: Gallery) -> None:
    cell = gallery.view("passes")
    assert cell.locator("tr.now").count() >= 2
    closed = cell.locator("details:not([open]) > summary").first
    name = closed.inner_text().split(":")[0]
    closed.click()
    assert cell.get_by_role("region", name=f"what {name} changed").locator(".changed").count() >= 1
    gallery.keep("passes", cell)


def test_an_explanation(gallery: Gallery) -> None:
    cell = gallery.view("explanation")
    assert "15 bytes" in cell.locator("dl").inner_text()
    summary = cell.locator("details > summary").first
    summary.focus()
    gallery.page.keyboard.press("Enter")
    assert cell.locator("details").first.get_attribute("open") is not None
    gallery.keep("explanation", cell)


def test_program_and_verification(gallery: Gallery) -> None:
    for name in ("program", "verification"):
        cell = gallery.view(name)
        cell.locator("tr[data-pc='6']").first.hover()
        assert gallery.page.locator("tr.hot[data-prog=parse][data-pc='6']").count() >= 3
        gallery.keep(name, cell)


@pytest.mark.parametrize("name", LABS)
def test_laboratories(gallery: Gallery, name: str) -> None:
    cell, page = gallery.view(name), gallery.page
    lab = cell.locator(".lab")
    assert lab.count() == 1 and lab.locator("table, .cells").count() >= 1
    if gallery.live:
        DRIVE[name](lab, page)
    else:
        assert "with a kernel the inputs can be changed" in lab.inner_text()
        assert lab.locator("button, input, select").count() == 0          # nothing pretends to work
    gallery.keep(f"lab-{name}", cell)


def _tnum(lab: Any, page: Any) -> None:
    lab.get_by_role("button", name="bit 0: unknown").click()
    lab.get_by_text("{4, 6}").first.wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    lab.get_by_role("button", name="bit 1: 0").first.wait_for()
    page.keyboard.type("mdd")                                     # JupyterLab's keys do nothing to the cell
    assert page.locator(".jp-CodeCell").count() == len(NAMES)


def _bounds(lab: Any, page: Any) -> None:
    lab.get_by_label("a", exact=True).fill("0..7")
    page.keyboard.press("Enter")
    lab.get_by_text("a number from 1 to 15").first.wait_for()
    lab.get_by_label("operation").select_option("jlt")
    lab.get_by_text("Both ways are possible").wait_for()


def _encoding(lab: Any, page: Any) -> None:
    lab.get_by_role("button", name="imm bit 0: 0").click()
    lab.get_by_text("kernel: r1 += 9").wait_for()
    page.keyboard.press("Enter")
    lab.get_by_text("kernel: r1 += 8").wait_for()


def _pruning(lab: Any, page: Any) -> None:
    new = lab.get_by_label("state that arrives now")
    new.fill("R0=1 R1=9 R6=ctx() fp-8=0")
    new.press("Control+Enter")
    lab.get_by_text("Not pruned").wait_for()
    new.fill("R0=1 R1=3 R6=ctx() fp-8=0")
    new.press("Control+Enter")
    lab.get_by_text("Pruned: whatever was safe").wait_for()


def _liveness(lab: Any, page: Any) -> None:
    lab.get_by_role("button", name="next step").click()
    lab.get_by_text("Round 1, instruction 6").wait_for()
    page.keyboard.press("e")
    lab.get_by_text("this is the fixpoint").wait_for()


def _dfs(lab: Any, page: Any) -> None:
    lab.get_by_role("button", name="next step").click()
    lab.get_by_text("step 1 of").first.wait_for()
    page.keyboard.press("n")
    lab.get_by_text("step 2 of").first.wait_for()
    page.keyboard.press("e")
    lab.get_by_text("insn_stack: empty").wait_for()


def _runs(lab: Any, page: Any) -> None:
    before = lab.locator(".say").last.inner_text()
    lab.get_by_label("second: without").select_option("everything on")
    lab.get_by_text("Both process").wait_for()
    kernel = lab.get_by_label("second: as in")
    kernel.focus()
    page.keyboard.press("End")                                    # linux-4.18, by keyboard
    lab.locator("th", has_text="linux-4.18").wait_for()
    assert lab.locator(".say").last.inner_text() != before and lab.locator("svg").count() == 2


DRIVE = {"tnum": _tnum, "bounds": _bounds, "encoding": _encoding, "pruning": _pruning, "liveness": _liveness, "dfs": _dfs,
         "runs": _runs}


def barriers(page: Any, *where: str) -> list[str]:
    """What axe-core finds serious in our views, or in some of them."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright",
                              reason="no axe-core: pip install axe-playwright-python")
    found = axe.Axe().run(page, context={"include": [[w] for w in where or (".bb",)]}).response["violations"]
    return [f"{v['id']}: {v['help']}: {[n['html'][:160] for n in v['nodes'][:3]]}" for v in found
            if v["impact"] in ("serious", "critical")]


def test_no_serious_barrier(gallery: Gallery) -> None:
    assert barriers(gallery.page) == []


def test_dark(in_lab: Gallery) -> None:
    """The same views in JupyterLab's dark theme: other paper, other ink, no barrier either."""
    page = in_lab.page
    colour = "() => ['backgroundColor', 'color'].map((c) => getComputedStyle(document.querySelector('.bb.tm'))[c])"
    light = page.evaluate(colour)
    change = "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})"
    page.evaluate(change, "JupyterLab Dark")
    page.wait_for_function("() => document.body.dataset.jpThemeLight === 'false'")
    assert all(a != b for a, b in zip(light, page.evaluate(colour)))
    for name in ("machine", "tree", "native", "explanation", "tnum", "runs"):
        in_lab.keep(f"dark-{name}", in_lab.view(name))
    assert barriers(page, ".bb.tm", ".bb .native", "section[aria-label='Known bits']") == []
    page.evaluate(change, "JupyterLab Light")
    page.wait_for_function("() => document.body.dataset.jpThemeLight === 'true'")


def test_on_a_phone(in_file: Gallery) -> None:
    """Nothing runs out of a page that is 390 pixels wide."""
    page = in_file.page
    before = page.viewport_size
    page.set_viewport_size({"width": 390, "height": 844})
    wide = page.evaluate("() => [...document.querySelectorAll('.bb')].filter((e) => e.scrollWidth > e.clientWidth + 1)"
                         ".map((e) => [e.className, e.scrollWidth, e.clientWidth])")
    assert wide == []
    for name in ("machine", "tree", "native", "bounds", "encoding", "pruning"):
        in_file.keep(f"phone-{name}", in_file.view(name))
    page.set_viewport_size(before)
