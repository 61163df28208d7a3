"""Where boxes and arrows go: Graphviz in a process of its own, a plain ranked layout where there is none.

Layout can take long and its libraries write warnings, so it runs in a worker that can be stopped: pygraphviz with the
Graphviz it carries, else the `dot` executable through the graphviz package.  Only sizes go in and only points come out
(the `plain` format), so the same graph always gives the same drawing.

    boxes, arrows --plain_dot--> worker (dot -Tplain) --> Layout        at most `timeout` seconds
                  \\--------------> ranked                --> Layout        no Graphviz, too slow, or too many boxes

Points are pixels, x to the right and y down.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache
from typing import Final, final

from bpfbench.program.dot import plain_dot

DPI: Final = 96.0
MOST_BOXES: Final = 2500     # larger graphs are ranked
QUICK: Final = 250           # from here on Graphviz is told to hurry
_GAP: Final = 28.0

WORKER: Final = """
import json, sys
try:
    from pygraphviz import AGraph
    def plain(dot):
        graph = AGraph(string=dot)
        drawn = graph.draw(format="plain", prog="dot")
        return drawn.decode() if isinstance(drawn, bytes) else drawn
except ImportError:
    from graphviz import Source
    def plain(dot):
        return Source(dot).pipe(format="plain").decode()
sys.stdout.write(json.dumps([plain(dot) for dot in json.load(sys.stdin)]))
"""

Point = tuple[float, float]
Box = tuple[str, float, float]      # name, width, height
Arrow = tuple[str, str]


@final
class Layout:
    """`boxes` name -> centre; `arrows` (tail, head) -> points of a Bezier curve (1 + 3n) or of straight lines.

    `curved` says which; `engine` is "graphviz" or "ranked"; `width` and `height` enclose everything.
    """

    __slots__ = ("boxes", "arrows", "width", "height", "curved", "engine")

    def __init__(
        self, boxes: dict[str, Point], arrows: dict[Arrow, list[Point]], width: float, height: float, curved: bool,
        engine: str,
    ) -> None:  # fmt: skip
        self.boxes = boxes
        self.arrows = arrows
        self.width = width
        self.height = height
        self.curved = curved
        self.engine = engine

    def __repr__(self) -> str:
        return f"Layout({self.engine}: {len(self.boxes)} boxes in {self.width:.0f} x {self.height:.0f})"


@lru_cache(maxsize=64)
def layouts(graphs: tuple[tuple[tuple[Box, ...], tuple[Arrow, ...]], ...], timeout: float = 2.5) -> tuple[Layout, ...]:
    """One layout per graph, by a single worker; graphs that are too large, and all if the worker fails, are ranked.

    >>> layouts((((("a", 80.0, 20.0), ("b", 80.0, 20.0)), (("a", "b"),)),))[0].boxes["a"][1] < 40
    True
    """
    small = [i for i, (boxes, _) in enumerate(graphs) if 1 < len(boxes) <= MOST_BOXES]
    drawn = dict(zip(small, _worker([graphs[i] for i in small], timeout), strict=False)) if small else {}
    return tuple(drawn.get(i) or ranked(list(boxes), list(arrows)) for i, (boxes, arrows) in enumerate(graphs))


def _worker(graphs: list[tuple[tuple[Box, ...], tuple[Arrow, ...]]], timeout: float) -> list[Layout]:
    texts = [
        plain_dot([(n, w / DPI, h / DPI) for n, w, h in boxes], list(arrows), len(boxes) > QUICK)
        for boxes, arrows in graphs
    ]
    try:
        answer = subprocess.run(
            [sys.executable, "-c", WORKER], input=json.dumps(texts), capture_output=True, text=True, timeout=timeout,
            check=True,
        )  # fmt: skip
        curved = [len(boxes) <= QUICK for boxes, _ in graphs]
        return [read_plain(text, c) for text, c in zip(json.loads(answer.stdout), curved, strict=True)]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def read_plain(text: str, curved: bool = True) -> Layout:
    """A layout from Graphviz's `plain` format, whose numbers are inches with y up.

    >>> read_plain("graph 1 1 2\\nnode a 0.5 1.75 1 0.5\\nstop").boxes
    {'a': (48.0, 24.0)}
    """
    boxes: dict[str, Point] = {}
    arrows: dict[Arrow, list[Point]] = {}
    width = height = 0.0
    for line in text.splitlines():
        word = line.split()
        if not word:
            continue
        if word[0] == "graph":
            width, height = float(word[2]), float(word[3])
        elif word[0] == "node":
            boxes[word[1]] = (float(word[2]) * DPI, (height - float(word[3])) * DPI)
        elif word[0] == "edge":
            numbers = [float(w) for w in word[4 : 4 + 2 * int(word[3])]]
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            arrows[word[1], word[2]] = [(x * DPI, (height - y) * DPI) for x, y in pairs]
    if not boxes:
        raise ValueError("no nodes in the layout")
    return Layout(boxes, arrows, width * DPI, height * DPI, curved, "graphviz")


def ranked(boxes: list[Box], arrows: list[Arrow]) -> Layout:
    """Boxes in rows by their longest way from the start, arrows as straight lines; linear in the size of the graph.

    Arrows that point to an earlier box (in the order given) run beside the drawing.
    """
    place = {name: at for at, (name, _, _) in enumerate(boxes)}
    rank = [0] * len(boxes)
    for source, target in sorted(arrows, key=lambda arrow: place[arrow[0]]):
        if place[target] > place[source]:
            rank[place[target]] = max(rank[place[target]], rank[place[source]] + 1)
    rows: list[list[int]] = [[] for _ in range(max(rank, default=0) + 1)]
    for at, level in enumerate(rank):
        rows[level].append(at)
    widest = max((sum(boxes[at][1] + _GAP for at in row) for row in rows), default=0.0)
    centres: dict[str, Point] = {}
    top = 0.0
    for row in rows:
        left = (widest - sum(boxes[at][1] + _GAP for at in row)) / 2
        tall = max((boxes[at][2] for at in row), default=0.0)
        for at in row:
            name, width, height = boxes[at]
            centres[name] = (left + width / 2 + _GAP / 2, top + height / 2)
            left += width + _GAP
        top += tall + 1.5 * _GAP
    half = {name: height / 2 for name, _, height in boxes}
    wide = {name: width / 2 for name, width, _ in boxes}
    points: dict[Arrow, list[Point]] = {}
    for number, (source, target) in enumerate(arrows):
        (x0, y0), (x1, y1) = centres[source], centres[target]
        if rank[place[target]] > rank[place[source]]:
            points[source, target] = [(x0, y0 + half[source]), (x1, y1 - half[target])]
        else:
            side = widest + 6.0 * (number % 8)
            points[source, target] = [(x0 + wide[source], y0), (side, y0), (side, y1), (x1 + wide[target], y1)]
    return Layout(centres, points, widest + 60.0, max(top, 20.0), False, "ranked")
