"""Drawings of control-flow graphs: every block and arrow is there, with and without Graphviz."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from bpfbench.notebook import layout
from bpfbench.notebook.graph import draw
from bpfbench.program.cfg import build
from bpfbench.program.program import SourceLine, from_assembly

NESTED = ("r6 = 9\nA: r7 = 5\nB: r7 += -1\nif r7 != 0 goto B\nr6 += -1\ncall pc+3\nif r6 != 0 goto A\nr0 = 0\nexit\n"
          "r0 = 4\nC: r0 += -1\nif r0 s> 0 goto C\nexit")  # fmt: skip
SVG = "{http://www.w3.org/2000/svg}"


def marks(svg: str, name: str) -> list[ElementTree.Element]:
    return [g for g in ElementTree.fromstring(svg).iter(f"{SVG}g") if name in g.get("class", "").split()]


def test_every_block_and_back_edge_is_drawn() -> None:
    cfg = build(from_assembly(NESTED))
    svg = draw(cfg)
    assert [int(g.get("data-block", "")) for g in marks(svg, "block")] == [b.index for b in cfg.blocks]
    assert len(marks(svg, "back")) == 3 and len(marks(svg, "arrow")) == len(cfg.edges)
    texts = [t.text for t in ElementTree.fromstring(svg).iter(f"{SVG}text")]
    assert "block 1   loop 0, 9 times" in texts and "func 1" in texts


def test_kinds_of_edges_differ_by_more_than_colour() -> None:
    svg = draw(build(from_assembly(NESTED)))
    (back, *_) = marks(svg, "back")
    assert back[0].get("stroke-dasharray") and back[1].text == "back"


def test_source_lines_are_shown_once_per_run() -> None:
    prog = from_assembly("r1 = 1\nr2 = 2\nr0 = 0\nexit")
    prog.lines = {0: SourceLine("a.c", 3, 1, "int x = <1>;"), 1: SourceLine("a.c", 3, 9, "int x = <1>;")}
    assert draw(build(prog)).count("a.c:3  int x = &lt;1&gt;;") == 1


def test_same_graph_same_text() -> None:
    first = draw(build(from_assembly(NESTED)))
    layout.layouts.cache_clear()
    assert draw(build(from_assembly(NESTED))) == first


def test_instructions_can_be_linked() -> None:
    svg = draw(build(from_assembly(NESTED, name="p")))
    linked = [t.get("data-pc") for t in ElementTree.fromstring(svg).iter(f"{SVG}text") if t.get("data-prog") == "p"]
    assert sorted(map(int, filter(None, linked))) == list(range(13))


@pytest.mark.parametrize("broken", ["import sys; sys.exit(1)", "import time; time.sleep(60)", "print('[]')"])
def test_without_graphviz_blocks_are_ranked(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setattr(layout, "WORKER", broken)
    layout.layouts.cache_clear()
    cfg = build(from_assembly(NESTED))
    svg = draw(cfg, timeout=0.5)
    layout.layouts.cache_clear()
    assert len(marks(svg, "block")) == len(cfg.blocks) and len(marks(svg, "arrow")) == len(cfg.edges)


def test_graphviz_executable_serves_when_pygraphviz_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("dot") is None:
        pytest.skip("no dot executable: install graphviz")
    monkeypatch.setattr(layout, "WORKER", layout.WORKER.replace("from pygraphviz", "from no_such_module"))
    layout.layouts.cache_clear()
    (found,) = layout.layouts((((("a", 80.0, 20.0), ("b", 80.0, 20.0)), (("a", "b"),)),), 20.0)
    layout.layouts.cache_clear()
    assert found.engine == "graphviz"


def test_ranked_boxes_do_not_overlap() -> None:
    rng = random.Random(1)
    boxes = [(f"b{i}", rng.uniform(20, 300), rng.uniform(20, 200)) for i in range(60)]
    arrows = list({(f"b{rng.randrange(60)}", f"b{rng.randrange(60)}") for _ in range(90)})
    placed = layout.ranked(boxes, arrows)
    spans = [(*placed.boxes[n], w / 2, h / 2) for n, w, h in boxes]
    for i, (x, y, w, h) in enumerate(spans):
        for u, v, p, q in spans[:i]:
            assert abs(x - u) >= w + p or abs(y - v) >= h + q


def test_long_jumps_end_in_a_box_that_names_the_block() -> None:
    lines = [f"L{i}: r1 += {i}\nif r1 > {i} goto OUT" for i in range(150)]
    cfg = build(from_assembly("\n".join([*lines, "OUT: r0 = 0", "exit"])))
    svg = draw(cfg)
    assert len(marks(svg, "to")) > 100 and "to block 150" in svg


def test_library_writes_nothing_to_stderr() -> None:
    code = (
        "from bpfbench.notebook.graph import draw; from bpfbench.program.cfg import build; "
        "from bpfbench.program.program import from_assembly; draw(build(from_assembly('r0 = 0\\nexit')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
