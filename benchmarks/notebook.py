"""How fast the views open: the time machine on a trace of a million steps, a large report, a large graph.

    python benchmarks/notebook.py [STEPS] [--shape NAME]      (1,000,000 steps; both shapes)

*build* is Python's part after verification in seconds of processor time (of the graph: wall time, it waits for a
worker), *open* the browser's part until the first step is drawn; *frames/s* are drawn pictures while the right arrow is
held and while the scrubber is dragged from end to end.  A notebook is sent the states of a step when it is looked at, a
file holds them all.  The browser is a headless Chromium; without one only Python's part is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bpfbench as bb
from benchmarks.cfg import random_program
from benchmarks.verifier import SHAPES
from bpfbench.notebook import report
from bpfbench.notebook.graph import draw
from bpfbench.notebook.html import page as document
from bpfbench.notebook.html import static
from bpfbench.notebook.widgets import TimeMachine, module, static_time_machine, time_machine
from bpfbench.program.program import Program

FLAGS: Final = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
LIMIT: Final = 1_000_000        # instructions that a verifier processes at most

# A notebook in one page: the widget, and a model whose other end is Python in this process.
HOST: Final = """
async ([code, css, trace]) => {
  document.head.append(Object.assign(document.createElement("style"), {textContent: css}));
  document.body.innerHTML = "<main id=tm class=bb></main>";
  const widget = (await import(URL.createObjectURL(new Blob([code], {type: "text/javascript"})))).default;
  const state = {trace, step: 0}, heard = {};
  const model = {get: (k) => state[k], set: (k, v) => { state[k] = v; }, save_changes() {}, on: (n, f) => { heard[n] = f; },
    send: async ({want}) => heard["msg:custom"](JSON.parse(await window.chunk(want)))};
  const begin = performance.now();
  await widget.render({model, el: document.getElementById("tm")});
  await new Promise(requestAnimationFrame);
  return (performance.now() - begin) / 1000;
}
"""
FRAMES: Final = """
async ([seconds, move]) => {
  const slider = document.querySelector(".tm-slider"), root = document.querySelector(".tm"), last = Number(slider.max);
  const moves = {
    key: () => root.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true})),
    drag: (share) => { slider.value = String(Math.floor(share * last)); slider.dispatchEvent(new Event("input")); },
  };
  const begin = performance.now();
  let frames = 0, longest = 0, before = begin;
  while (performance.now() - begin < seconds * 1000) {
    moves[move]((performance.now() - begin) / (seconds * 1000));
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    longest = Math.max(longest, now - before);
    before = now;
    frames++;
  }
  return [frames / seconds, longest];
}
"""

ends: list[Callable[[int], str]] = [lambda number: ""]       # who answers for the widget in the page


@contextmanager
def chromium() -> Iterator[Any]:
    """A page of a headless Chromium, or None."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = None
    if not found:
        print("no Chromium or no playwright: only Python's part is measured", file=sys.stderr)
        yield None
        return
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=found, headless=True, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.expose_function("chunk", lambda number: ends[0](number))
        yield page
        browser.close()


def timed(call: Callable[[], Any], clock: Callable[[], float] = time.perf_counter) -> tuple[float, Any]:
    begin = clock()
    result = call()
    return clock() - begin, result


def traced(shape: str, steps: int) -> Any:
    """A verification of about so many steps, at most as many as a verifier processes."""
    prog = bb.assemble(SHAPES[shape](min(steps, LIMIT - 10)), type="sched_cls", name=shape.replace(" ", "_"))
    return bb.verify(prog, trace=True)


def scrub(page: Any) -> str:
    found = [page.evaluate(FRAMES, [3, move]) for move in ("key", "drag")]
    return "  ".join(f"{rate:5.0f} (longest {longest:4.0f} ms)" for rate, longest in found)


def machine(shape: str, steps: int, page: Any, folder: Path) -> None:
    v = traced(shape, steps)
    prog = v.program
    built, widget = timed(lambda: time_machine(v, prog), time.process_time)
    size = len(widget.trace) / 1e6
    shown = f"{shape:14} {len(widget._steps.pcs):>9} steps  notebook  build {built:5.2f} s  {size:5.1f} MB"
    if page is not None:
        opened = _notebook(widget, page)
        shown += f"  open {opened:5.2f} s  frames/s: key, drag {scrub(page)}"
    print(shown, flush=True)
    del widget
    built, text = timed(lambda: document(shape, module() + static_time_machine(v, prog, "tm")), time.process_time)
    file = folder / "machine.html"
    file.write_text(text, encoding="utf-8")
    shown = f"{'':14} {'':9}        file      build {built:5.2f} s  {len(text) / 1e6:5.1f} MB"
    if page is not None:
        opened = _file(file, page, ".tm .now")
        shown += f"  open {opened:5.2f} s  frames/s: key, drag {scrub(page)}"
    print(shown, flush=True)


def _notebook(widget: TimeMachine, page: Any) -> float:
    """Seconds in the browser until the first step is drawn."""
    ends[0] = lambda number: json.dumps({"chunk": number, "changes": widget._steps.chunk(number)})
    page.goto("about:blank")
    return float(page.evaluate(HOST, [static("time_machine.js"), static("bpfbench.css"), widget.trace]))


def _file(file: Path, page: Any, wanted: str) -> float:
    def load() -> None:
        page.goto(f"file://{file}")
        page.locator(wanted).first.wait_for()

    return timed(load)[0]


def large(slots: int = 9000) -> Program:
    """A program of so many slots: packet bytes, the stack, a map, a branch every ten instructions."""
    unit = """
    r0 = *(u8 *)(r6 + {byte})
    r0 += r8
    r0 &= 255
    if r0 > {limit} goto L{i}
    r8 += {i}
    r8 &= 4095
    *(u64 *)(r10 - {slot}) = r8
    L{i}: r9 = *(u64 *)(r10 - {slot})
    r9 ^= r0
    r9 >>= 3
    """
    head = """.map counts array 4 8 16
    r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 4)
    r2 = r6
    r2 += 64
    if r2 > r7 goto out
    r8 = 0
    *(u64 *)(r10 - 8) = r8
    *(u64 *)(r10 - 16) = r8
    *(u64 *)(r10 - 24) = r8
    *(u64 *)(r10 - 32) = r8
    """
    units = [unit.format(byte=i % 64, limit=16 + i % 200, i=i, slot=8 * (1 + i % 4)) for i in range((slots - 14) // 10)]
    return bb.assemble(head + "".join(units) + "out: r0 = 2\nexit", type="xdp", name="large")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("steps", nargs="?", type=int, default=LIMIT)
    parser.add_argument("--shape", default="", help="only this one: " + ", ".join(SHAPES))
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; only build is processor time", flush=True)
    with chromium() as page, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prog = large()
        built, text = timed(lambda: report.report([prog], "large"), time.process_time)
        (folder / "report.html").write_text(text, encoding="utf-8")
        shown = f"report of {len(prog.insns)} slots         build {built:5.2f} s  {len(text) / 1e6:5.1f} MB"
        print(shown + (f"  open {_file(folder / 'report.html', page, '.tm .now'):5.2f} s" if page else ""), flush=True)
        cfg = bb.cfg(random_program(1000))
        built, svg = timed(lambda: draw(cfg))
        (folder / "graph.html").write_text(document("graph", svg), encoding="utf-8")
        shown = f"graph of {len(cfg.blocks)} blocks         draw  {built:5.2f} s  {len(svg) / 1e6:5.1f} MB"
        print(shown + (f"  open {_file(folder / 'graph.html', page, 'svg.cfg .block'):5.2f} s" if page else ""), flush=True)
        for shape in [options.shape] if options.shape else ["counted loop", "forks"]:
            machine(shape, options.steps, page, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
