"""A control-flow graph as SVG: blocks with their instructions and C lines, loops, back edges.

Every mark is told by shape as well as by colour: a branch that is taken is blue and labelled T, one that falls through
black and F; a back edge is thick, dashed, vermilion and labelled "back"; blocks in loops are filled darker the deeper
they are, and a loop's header has a double frame and says what is known of the trip count.  In graphs with more than a
hundred blocks, long arrows to a block that many reach end in a small "to block N" box, as a listing would say `goto`.

Colours are the Okabe-Ito palette; text is at least 4.5:1 on its background.  Instructions carry `data-prog` and
`data-pc`, as the rows of tables do, so that a page can light them up together.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.notebook.html import esc
from bpfbench.notebook.layout import Arrow, Box, Layout, layouts
from bpfbench.program.cfg import Cfg, Edge
from bpfbench.program.dot import DEPTH_FILL, block_lines
from bpfbench.program.loops import EXACT, analyse

CHAR: Final = 7.3            # width of a character of the 12 px monospace text
LINE: Final = 15.0           # height of a line
PAD: Final = 8.0
MOST_LINES: Final = 40       # per block; the rest is counted
MOST_CHARS: Final = 72
STUBS_FROM: Final = 100      # blocks; smaller graphs show every arrow whole
_FAR: Final = 25             # blocks that an arrow may skip before it is cut
_MARGIN: Final = 16.0

#         edge      colour     dash       width label
STYLES: Final = {
    "fall":  ("#000000", "",        1.2, "F"),
    "goto":  ("#000000", "",        1.2, ""),
    "taken": ("#0072B2", "",        1.6, "T"),
    "back":  ("#D55E00", "7 3",     2.4, "back"),
}  # fmt: skip


@final
class _Drawn:
    """One function, ready for layout: boxes with their text, arrows with the edge each shows."""

    __slots__ = ("name", "boxes", "arrows", "texts", "blocks")

    def __init__(self, name: str) -> None:
        self.name = name
        self.boxes: list[Box] = []
        self.arrows: dict[Arrow, Edge] = {}
        self.texts: dict[str, list[tuple[str, str, int]]] = {}  # box -> (class, text, pc) per line
        self.blocks: dict[str, int] = {}


def draw(cfg: Cfg, timeout: float = 2.5, trips: bool = True) -> str:
    """The drawing as one `<svg>` element with its style inside; the same graph always gives the same text.

    `timeout` seconds are given to Graphviz before a plain layout is used; `trips` adds trip counts to loop headers.

    >>> from bpfbench.program.program import from_assembly
    >>> from bpfbench.program.cfg import build
    >>> svg = draw(build(from_assembly("A: r1 += -1\\nif r1 != 0 goto A\\nr0 = 0\\nexit")))
    >>> svg.startswith("<svg"), svg.count('class="block')
    (True, 2)
    """
    notes = _loop_notes(cfg) if trips else {}
    parts = [_collect(cfg, function.index, notes) for function in cfg.functions]
    placed = layouts(tuple((tuple(part.boxes), tuple(part.arrows)) for part in parts), timeout)
    body: list[str] = []
    top = width = _MARGIN
    several = len(parts) > 1
    for part, layout in zip(parts, placed, strict=True):
        if several:
            body.append(f'<text class="function" x="{_MARGIN}" y="{top + LINE:.0f}">{esc(part.name)}</text>')
            top += 2 * LINE
        body.append(f'<g transform="translate({_MARGIN:.0f} {top:.0f})">')
        body += [_arrow(layout, arrow, edge) for arrow, edge in part.arrows.items() if arrow in layout.arrows]
        body += [_box(cfg, part, layout, box) for box in part.boxes]
        body.append("</g>")
        top += layout.height + 2 * _MARGIN
        width = max(width, layout.width + 2 * _MARGIN)
    title = f"control-flow graph of {cfg.program.name}"
    said = f"{len(cfg.blocks)} blocks, {len(cfg.edges)} edges, {len(cfg.loops)} loops"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="cfg" role="img" aria-label="{esc(title)}: {said}" '
        f'width="{width:.0f}" height="{top:.0f}" viewBox="0 0 {width:.0f} {top:.0f}">'
        f"<title>{esc(title)}</title><desc>{said}</desc>{_STYLE}{_MARKERS}"
        f'<rect width="100%" height="100%" fill="#FFFFFF"/>' + "\n".join(body) + "</svg>"
    )


def _loop_notes(cfg: Cfg) -> dict[int, str]:
    notes = {}
    for facts in analyse(cfg):
        said = "irreducible" if not facts.loop.reducible else ""
        if facts.trips.count is not None:
            said = f"{'' if facts.trips.kind == EXACT else 'at most '}{facts.trips.count} times"
        notes[facts.loop.header] = f"loop {facts.loop.index}" + (f", {said}" if said else "")
    return notes


def _collect(cfg: Cfg, function: int, notes: dict[int, str]) -> _Drawn:
    part = _Drawn(cfg.functions[function].name)
    blocks = [block.index for block in cfg.blocks if block.function == function]
    cut = len(blocks) > STUBS_FROM
    for block in blocks:
        name = f"b{block}"
        lines = _lines(cfg, block, notes.get(block, ""))
        part.texts[name] = lines
        part.blocks[name] = block
        longest = max(len(text) for _, text, _ in lines)
        part.boxes.append((name, longest * CHAR + 2 * PAD, len(lines) * LINE + 2 * PAD))
    for block in blocks:
        for edge in cfg.edges_from(block):
            head = f"b{edge.target}"
            if cut and _is_far(cfg, edge):
                head = f"s{edge.source}_{edge.target}"
                text = f"to block {edge.target}"
                part.texts[head] = [("stub", text, -1)]
                part.boxes.append((head, len(text) * CHAR + 2 * PAD, LINE + PAD))
            shown = part.arrows.get((f"b{edge.source}", head))
            if shown is None or edge.back:
                part.arrows[f"b{edge.source}", head] = edge
    return part


def _is_far(cfg: Cfg, edge: Edge) -> bool:
    distance = edge.target - edge.source
    return distance < -_FAR or (distance > _FAR and len(cfg.predecessors[edge.target]) >= 3)


def _lines(cfg: Cfg, block: int, note: str) -> list[tuple[str, str, int]]:
    lines: list[tuple[str, str, int]] = [("head", f"block {block}" + (f"   {note}" if note else ""), -1)]
    pcs = iter(pc for pc, _ in cfg.insns(block))
    shown = block_lines(cfg, block)
    for text, is_source in shown[:MOST_LINES]:
        text = text if len(text) <= MOST_CHARS else text[: MOST_CHARS - 1] + "…"
        lines.append(("source", text, -1) if is_source else ("insn", text, next(pcs)))
    if len(shown) > MOST_LINES:
        lines.append(("source", f"… {len(shown) - MOST_LINES} more lines", -1))
    return lines


def _box(cfg: Cfg, part: _Drawn, layout: Layout, box: Box) -> str:
    name, width, height = box
    x, y = layout.boxes[name]
    left, top = x - width / 2, y - height / 2
    index = part.blocks.get(name)
    if index is None:
        frame = f'<rect class="stub" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="8"/>'
        marks = 'class="to"'
    else:
        block = cfg.blocks[index]
        depth = min(cfg.loops[block.loop].depth, len(DEPTH_FILL) - 1) if block.loop >= 0 else 0
        dead = "" if block.reachable else ' stroke-dasharray="2 3"'
        frame = (f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" '
                 f'fill="{DEPTH_FILL[depth]}"{dead}/>')  # fmt: skip
        if "loop" in part.texts[name][0][1]:
            frame += (f'<rect class="inner" x="{left + 3:.1f}" y="{top + 3:.1f}" width="{width - 6:.1f}" '
                      f'height="{height - 6:.1f}"/>')  # fmt: skip
        marks = f'class="block" data-block="{index}"'
    texts = []
    for number, (kind, text, pc) in enumerate(part.texts[name]):
        place = f'x="{left + PAD:.1f}" y="{top + PAD + LINE * (number + 0.75):.1f}"'
        if kind == "stub":
            place = f'x="{left + PAD:.1f}" y="{top + PAD / 2 + LINE * 0.75:.1f}"'
        link = f' data-prog="{esc(cfg.program.name)}" data-pc="{pc}"' if pc >= 0 else ""
        texts.append(f'<text class="{kind}" {place}{link}>{esc(text)}</text>')
    return f"<g {marks}>{frame}{''.join(texts)}</g>"


def _arrow(layout: Layout, arrow: Arrow, edge: Edge) -> str:
    points = layout.arrows[arrow]
    style = "back" if edge.back else edge.kind
    colour, dash, width, label = STYLES[style]
    if label == "F" and len(arrow) and edge.kind == "fall" and not _is_branch(edge, layout, arrow):
        label = ""
    if layout.curved and len(points) % 3 == 1:
        path = f"M{_at(points[0])}" + "".join(
            f"C{_at(points[i])} {_at(points[i + 1])} {_at(points[i + 2])}" for i in range(1, len(points) - 2, 3)
        )
    else:
        path = "M" + "L".join(_at(point) for point in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    line = (f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dashes} '
            f'marker-end="url(#cfg-{style})"/>')  # fmt: skip
    x, y = _label_place(points, edge.back)
    text = f'<text class="edge" x="{x:.1f}" y="{y:.1f}" fill="{colour}">{label}</text>' if label else ""
    return f'<g class="arrow {style}">{line}{text}</g>'


def _is_branch(edge: Edge, layout: Layout, arrow: Arrow) -> bool:
    """Does the block that the edge leaves have another way to go?"""
    return any(tail == arrow[0] and (tail, head) != arrow for tail, head in layout.arrows)


def _label_place(points: list[tuple[float, float]], back: bool) -> tuple[float, float]:
    """Half way along a back edge; near its beginning, on the outer side, for a branch."""
    if back:
        x, y = points[len(points) // 2]
        return x - 12.0, y
    (x0, y0), (x1, y1) = points[0], points[1]
    share = min(1.0, 14.0 / max(abs(y1 - y0), 1.0))
    return x0 + (x1 - x0) * share + (5.0 if x1 >= x0 else -13.0), y0 + 13.0


def _at(point: tuple[float, float]) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


_MARKERS: Final = "<defs>" + "".join(
    f'<marker id="cfg-{name}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" '
    f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0L10 5L0 10z" fill="{colour}"/></marker>'
    for name, (colour, _, _, _) in STYLES.items()
) + "</defs>"  # fmt: skip

_STYLE: Final = """<style>
.cfg text { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; white-space: pre; }
.cfg rect { stroke: #000; stroke-width: 1; }
.cfg > rect { stroke: none; }
.cfg .inner { fill: none; }
.cfg .stub { fill: #F2F2F2; stroke-dasharray: 3 2; }
.cfg .head, .cfg .function { font-weight: bold; }
.cfg .source { font-style: italic; fill: #444; }
.cfg .edge { font-weight: bold; font-size: 11px; paint-order: stroke; stroke: #FFF; stroke-width: 3px; }
</style>"""
