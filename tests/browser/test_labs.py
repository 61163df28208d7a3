"""The laboratories in a real browser: driven by mouse and keyboard, and saved without a kernel.

There is no Jupyter here (test_gallery.py has it): the page is given the widget's module and a model whose other end is
the Python laboratory in this process, which takes a moment instead of half a minute.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bpfbench.notebook import labs
from bpfbench.notebook.html import page as document
from bpfbench.notebook.html import static
from bpfbench.notebook.labs.lab import Lab, static_lab

ALL = (labs.tnum_lab, labs.bounds_lab, labs.encoding_lab, labs.pruning_lab, labs.liveness_lab)

# The module in a page, with a model that sends actions to Python and takes the next document from it.
HOST = """
async ([code, css, view]) => {
  document.documentElement.lang = "en"; document.title = "laboratory";
  document.body.innerHTML = "<main id=lab class=bb></main>";
  document.head.append(Object.assign(document.createElement("style"), {textContent: css}));
  const widget = (await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})))).default;
  const state = {view, action: {}}, watchers = {};
  const model = {get: (k) => state[k], set: (k, v) => { state[k] = v; }, on: (name, f) => { watchers[name] = f; },
    async save_changes() { state.view = await window.python(state.action); watchers["change:view"](); }};
  widget.render({model, el: document.getElementById("lab")});
}
"""


def show(page: Any, lab: Lab) -> None:
    """The laboratory in an empty page, connected to this process."""

    def act(action: dict[str, Any]) -> Any:
        lab.action = action
        return lab.view

    page.set_default_timeout(10_000)
    page.expose_function("python", act)
    page.goto("about:blank")
    page.evaluate(HOST, [static("labs.js"), static("bpfbench.css") + static("labs.css"), lab.view])
    page.locator(".lab").wait_for()


def said(page: Any) -> str:
    return str(page.locator(".say").last.inner_text())


def test_known_bits_by_mouse_and_keyboard(page: Any, screenshot: Any) -> None:
    show(page, labs.tnum_lab("0001", "0001"))
    assert said(page).startswith("Exact")
    bit = page.get_by_role("button", name="bit 3: 0").first
    bit.click()                                                     # 0 -> 1
    page.get_by_role("button", name="bit 3: 1").wait_for()
    bit = page.locator("fieldset").first.locator("button").first
    assert bit.evaluate("e => e === document.activeElement")        # the focus stays where it was
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")                                    # bit 2 of a: 0 -> 1 -> x
    page.get_by_role("button", name="bit 2: unknown").wait_for()
    assert "{9, 13}" in page.locator("legend").first.inner_text()
    page.get_by_label("operation").select_option("mul")
    page.get_by_text("a * b, as the verifier computes it").wait_for()
    assert page.locator("circle").count() > 1
    screenshot("lab-tnum")


def test_precision_that_is_lost_is_shown(page: Any, screenshot: Any) -> None:
    show(page, labs.tnum_lab("00x1", "0011", "mul", "linux-4.18"))
    assert page.locator("circle.extra").count() > 0 and page.locator("circle.real").count() > 0
    before = page.locator("circle.extra").count()
    page.get_by_label("product as in").select_option("linux-6.18")
    page.wait_for_function(f"() => document.querySelectorAll('circle.extra').length !== {before}")
    assert page.locator("circle.extra").count() < before            # the newer product is more precise here
    page.get_by_label("bits", exact=True).focus()
    page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="bit 4: 0").first.wait_for()
    screenshot("lab-tnum-mul")


def test_ranges_and_branches(page: Any, screenshot: Any) -> None:
    show(page, labs.bounds_lab("0..10", "5..20", "sub"))
    a = page.get_by_label("a", exact=True)
    a.fill("30..40")
    a.press("Enter")
    page.get_by_text("a number from 10 to 35").wait_for()
    assert a.evaluate("e => e === document.activeElement")
    screenshot("lab-bounds")
    page.get_by_label("operation").select_option("jlt")
    page.get_by_text("The jump is never taken.").wait_for()
    a.fill("nonsense")
    a.press("Enter")
    page.get_by_text("'nonsense' is no range").wait_for()           # and it goes on after that
    a.fill("any")
    a.press("Enter")
    page.get_by_text("Both ways are possible: the path forks.").wait_for()
    screenshot("lab-bounds-branch")


def test_flipping_the_bits_of_an_instruction(page: Any, screenshot: Any) -> None:
    show(page, labs.encoding_lab("r1 += 8"))
    assert "kernel: r1 += 8" in page.locator(".lab").inner_text()
    page.get_by_role("button", name="imm bit 0: 0").click()
    page.get_by_text("kernel: r1 += 9").wait_for()
    page.get_by_role("button", name="dst bit 1: 0").click()
    page.get_by_text("kernel: r3 += 9").wait_for()
    page.get_by_role("button", name="src bit 0: 0").click()         # a reserved field
    page.get_by_text("No instruction:").wait_for()
    text = page.get_by_label("instruction", exact=True)
    text.fill("if r2 s> -7 goto +5")
    text.press("Enter")
    page.get_by_text("kernel: if r2 s> 0xfffffff9 goto pc+5").wait_for()
    screenshot("lab-encoding")


def test_editing_states(page: Any, screenshot: Any) -> None:
    show(page, labs.pruning_lab("R1=Pscalar(umax=7,var_off=(0x0; 0x7)) fp-8=mmmmmmmm", "R1=9 fp-8=mmmmmmmm"))
    assert "Not pruned" in said(page) and "r1" in said(page)
    new = page.get_by_label("state that arrives now")
    new.fill("R1=5 fp-8=mmmmmmmm")
    new.press("Control+Enter")
    page.get_by_text("Pruned: whatever was safe").wait_for()
    live = page.get_by_label("registers that are read later")
    new.fill("R1=9 fp-8=mmmmmmmm")
    live.focus()                                                    # leaving the box applies it
    page.get_by_text("Not pruned").wait_for()
    screenshot("lab-pruning")
    live.fill("R0")
    live.press("Enter")
    page.get_by_text("Pruned: whatever was safe").wait_for()
    assert "nobody reads it any more" in page.locator("table").inner_text()


def test_stepping_the_fixpoint(page: Any, screenshot: Any) -> None:
    show(page, labs.liveness_lab())
    page.get_by_role("button", name="next step").click()
    page.get_by_text("Round 1, instruction 6").wait_for()
    for _ in range(4):
        page.keyboard.press("n")
    page.get_by_text("step 5 of 21").first.wait_for()
    assert page.locator("tr.now").count() == 1
    page.keyboard.press("r")
    page.get_by_text("Round 2,").wait_for()
    screenshot("lab-liveness")
    page.keyboard.press("e")
    page.get_by_text("this is the fixpoint").wait_for()
    page.keyboard.press("Home")
    page.get_by_text("Nothing is live yet").wait_for()
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("step 1 of 21").first.wait_for()


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_every_control_has_a_name(page: Any, make: Any) -> None:
    """What a screen reader needs: names of controls, regions and drawings, one live sentence, tables with headers."""
    show(page, make())
    nameless = page.evaluate("""() => [...document.querySelectorAll(
        'button, input, select, textarea, [role=img], [role=region], [role=group], [role=toolbar]')].filter((e) =>
        !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length))).map((e) => e.outerHTML)""")
    assert nameless == []
    assert page.locator("[aria-live=polite]").count() == 1
    assert page.locator("table").count() == page.locator("table:has(caption):has(th[scope=col])").count() > 0
    small = page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert small <= 0                                               # nothing runs out of the page


def test_dark_and_light_and_narrow(page: Any, screenshot: Any) -> None:
    show(page, labs.tnum_lab())
    colours = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        style = "([e, t]) => [getComputedStyle(e).backgroundColor, getComputedStyle(t).color]"
        colours.append(page.evaluate(f"() => ({style})(['.lab', 'td'].map((s) => document.querySelector(s)))"))
    assert colours[0][0] != colours[1][0] and colours[0][1] != colours[1][1]      # paper and ink
    screenshot("lab-dark")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth <= 400")
    screenshot("lab-phone")


def test_saved_without_a_kernel_everything_can_be_read(page: Any, screenshot: Any, tmp_path: Path) -> None:
    file = tmp_path / "labs.html"
    file.write_text(document("laboratories", "".join(static_lab(make()) for make in ALL)), encoding="utf-8")
    page.goto(f"file://{file}")
    assert page.locator(".lab").count() == len(ALL)
    text = page.locator("main").inner_text()
    for expected in ("as the verifier computes it", "low half, unsigned", "bytes 4-7, immediate", "register by register",
                     "live before", "with a kernel the inputs can be changed"):
        assert expected in text
    assert page.locator("svg[role=img][aria-label]").count() >= 3 and page.locator("span.bit").count() > 60
    screenshot("labs-static")


LOG = """\
0: R1=ctx() R10=fp0
; void *data = (void *)(long)ctx->data; @ xdp.c:12
0: (61) r2 = *(u32 *)(r1 +0)          ; R1=ctx() R2=pkt(r=0)
1: (71) r0 = *(u8 *)(r2 +12)
invalid access to packet, off=12 size=1, R2(id=0,off=12,r=0)
R2 offset is outside of the packet
processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
"""


def test_the_page_about_a_log_explains_and_steps(page: Any, screenshot: Any, tmp_path: Path) -> None:
    from bpfbench.notebook.log_report import log_report
    from bpfbench.verifier.logread import read_log

    file = tmp_path / "log.html"
    file.write_text(log_report(read_log(LOG)), encoding="utf-8")
    page.goto(f"file://{file}")
    assert "needs 13 bytes" in page.locator("#why").inner_text()
    machine = page.locator(".tm")
    machine.wait_for()
    machine.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("step 2 / 2").first.wait_for()
    screenshot("log-report")
