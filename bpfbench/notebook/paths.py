"""The tree of explored paths, drawn and written out.

    draw_paths    every path a bar over the steps it took, children below the path that left them; how it ended is the
                  shape and colour of its right end
    path_tree     the drawing, then the tree itself to open and close: forks, checkpoints, comparisons that failed and
                  why, and for a pruned path both states side by side
    side_by_side  two runs of one program on the same scale

Everything is HTML and SVG: it works in exported notebooks, from the keyboard, and in print.
"""

from __future__ import annotations

from typing import Any, Final

from bpfbench.errors import NotebookError
from bpfbench.notebook.html import Raw, cards, details, esc, row, table
from bpfbench.notebook.shown import Shown
from bpfbench.verifier.log import register_text
from bpfbench.verifier.path_tree import EXIT, LOOP, PRUNED, REFUSED, Checkpoint, Path, PathTree, path_tree
from bpfbench.verifier.regstate import NOT_INIT
from bpfbench.verifier.state import TYPE_CHARS

MOST_BARS: Final = 400
MOST_PATHS: Final = 300
MOST_ROWS: Final = 40
WIDTH: Final = 900
BAR: Final = 13
# end -> colour (Okabe-Ito), what it means
ENDS: Final = {EXIT: ("#0072B2", "end of the program"), PRUNED: ("#009E73", "pruned: a checkpoint covers it"),
               LOOP: ("#E69F00", "back in a state it had been in"), REFUSED: ("#D55E00", "refused"),
               "waiting": ("#767676", "not finished")}


def alike(tree: PathTree) -> list[list[int]]:
    """Paths in rows: those that follow each other with the same parent, instructions and end share a row."""
    rows: list[list[int]] = []
    for p in tree.paths:
        last = tree.paths[rows[-1][0]] if rows else None
        if last is not None and (p.parent, p.pcs, p.end, p.by) == (last.parent, last.pcs, last.end, last.by) \
                and not p.children and not last.children and last.parent >= 0:
            rows[-1].append(p.number)
        else:
            rows.append([p.number])
    return rows


def draw_paths(tree: PathTree, anchor: str = "p", steps: int = 0) -> str:
    """SVG of the first 400 rows of paths; `steps` is the length of the scale (that of the tree, if 0).

    Bars of paths that are written out below link there; without an `anchor` none does.
    """
    shown = alike(tree)[:MOST_BARS]
    place = {number: i for i, group in enumerate(shown) for number in group}
    scale = (WIDTH - 90) / max(steps or tree.steps, 1)
    height = BAR * len(shown) + 24
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
             f'role="group" aria-label="{esc(repr(tree)[1:-1])}"><rect width="{WIDTH}" height="{height}" fill="#fff"/>']
    for i, group in enumerate(shown):
        p, y = tree.paths[group[0]], 18 + BAR * i
        left, right = 40 + p.steps[0] * scale, 40 + (tree.paths[group[-1]].steps[1] + 1) * scale
        if p.parent in place:
            at = 40 + _forked(tree, p) * scale
            drop = f"M{at:.1f} {18 + BAR * place[p.parent] + 4} V{y + 4} H{left:.1f}"
            parts.append(f'<path d="{drop}" fill="none" stroke="#aab2bd"/>')
        parts.append(_bar(p, len(group), left, max(right, left + 2), y, anchor if i < MOST_PATHS else ""))
        if i % 10 == 0 or len(shown) <= 60:
            parts.append(f'<text x="34" y="{y + 8}" font-size="9" text-anchor="end" fill="#444">{p.number}</text>')
    parts.append(f'<text x="40" y="11" font-size="10" fill="#444">step 0</text><text x="{WIDTH - 50}" y="11" '
                 f'font-size="10" text-anchor="end" fill="#444">step {steps or tree.steps}</text></svg>')
    return "".join(parts)


def _bar(p: Path, count: int, left: float, right: float, y: int, anchor: str) -> str:
    colour, meaning = ENDS[p.end]
    dash = ' stroke-dasharray="3 2"' if p.speculative else ""
    many = f"{count} paths alike, " if count > 1 else ""
    title = f"path {p.number}: {many}instructions {p.pcs[0]} to {p.pcs[1]}, {p.length} steps, {meaning}"
    times = f'<text x="{right + 13:.1f}" y="{y + 8}" font-size="9" fill="#444">×{count}</text>' if count > 1 else ""
    opens = f'role="link" tabindex="0" data-opens="{esc(anchor)}-{p.number}"' if anchor else 'role="img"'
    return (f'<g {opens} aria-label="{esc(title)}"><title>{esc(title)}</title>'
            f'<rect x="{left:.1f}" y="{y}" width="{right - left:.1f}" height="8" '
            f'fill="{colour}" fill-opacity=".35" stroke="{colour}"{dash}/>{_mark(p.end, right, y + 4, colour)}'
            f"{times}</g>")


def _forked(tree: PathTree, p: Path) -> int:
    """The step of the parent at which this path was left (the last such fork before it was walked)."""
    steps = [step for step, pc, _ in tree.paths[p.parent].forks if pc == p.came_from and step < p.steps[0]]
    return steps[-1] if steps else tree.paths[p.parent].steps[1]


def _mark(end: str, x: float, y: float, colour: str) -> str:
    if end == PRUNED:
        return f'<path d="M{x + 2:.1f} {y - 5} v10" stroke="{colour}" stroke-width="3"/>'
    if end == REFUSED:
        return f'<path d="M{x + 1:.1f} {y - 5} l9 10 m0 -10 l-9 10" stroke="{colour}" stroke-width="2.5"/>'
    return f'<circle cx="{x + 5:.1f}" cy="{y}" r="4" fill="{colour}"/>'


def legend() -> str:
    items = "".join(f'<span style="border-left-color:{colour}">{esc(text)}</span>' for colour, text in ENDS.values())
    return f'<p class="dim legend">{items}</p>'


def tree_view(tree: PathTree, anchor: str = "p") -> str:
    """Figures, drawing, and the tree to open and close."""
    figures = cards([("paths", len(tree.paths)), ("pruned", tree.count(PRUNED)), ("checkpoints", len(tree.checkpoints)),
                     ("steps", tree.steps), ("failed comparisons", sum(len(p.misses) for p in tree.paths))])
    if not tree.paths:
        return figures + "<p>It was refused before the walk.</p>"
    more = len(alike(tree)) - MOST_BARS
    note = f'<p class="dim">… {more} more rows of paths are not drawn.</p>' if more > 0 else ""
    drawing = f'<div class="svg" tabindex="0" role="region" aria-label="explored paths">{draw_paths(tree, anchor)}</div>'
    return figures + legend() + f"<figure>{drawing}</figure>" + note + _written(tree, anchor) + checkpoints(tree)


def _written(tree: PathTree, anchor: str) -> str:
    """Nested lists; written from the last row to the first, so that children are ready when their parent is."""
    done: dict[int, str] = {}
    rows = alike(tree)
    for group in reversed(rows[:MOST_PATHS]):
        p = tree.paths[group[0]]
        inner = "".join(done.pop(c) for c in p.children if c in done)
        head = (f"path {p.number}: {p.pcs[0]} … {p.pcs[1]}, {p.length} step{'s' * (p.length != 1)}, {p.end}"
                + (f" by checkpoint {p.by}" if p.by >= 0 else "") + (", speculative" if p.speculative else "")
                + (f"; {len(group) - 1} more like it" if len(group) > 1 else ""))
        body = details(head, _about(tree, p) + inner, p.number == 0)
        done[p.number] = f'<div id="{esc(anchor)}-{p.number}" style="margin-left:1em">{body}</div>'
    more = len(rows) - MOST_PATHS
    return done.get(0, "") + (f'<p class="dim">… {more} more rows of paths are not written out</p>' if more > 0 else "")


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'s' * (n != 1)}"


def _forks(p: Path) -> str:
    """Where it forked, each place once."""
    counts: dict[tuple[int, int], int] = {}
    for _, pc, target in p.forks:
        counts[pc, target] = counts.get((pc, target), 0) + 1
    shown = list(counts.items())[:MOST_ROWS]
    return ", ".join(f"{pc} (other side: {target}){f' ×{n}' if n > 1 else ''}" for (pc, target), n in shown) \
        + (" …" if len(counts) > MOST_ROWS else "")


def _about(tree: PathTree, p: Path) -> str:
    parts = []
    if p.forks:
        parts.append(f"<p>forks at {esc(_forks(p))}</p>")
    if p.kept:
        kept = ", ".join(f"{n} at {tree.checkpoints[n].pc}" for n in p.kept[:MOST_ROWS])
        parts.append(f"<p>checkpoint{'s' * (len(p.kept) > 1)} {esc(kept)}</p>")
    if p.misses:
        rows = (row([m.pc, m.against, m.why], numbers=2) for m in p.misses[:MOST_ROWS])
        heads = ["at", "checkpoint", "why it does not cover this path"]
        body = table(heads, rows, f"failed comparisons of path {p.number}")
        more = len(p.misses) - MOST_ROWS
        body += f"<p>… {more} more</p>" if more > 0 else ""
        parts.append(details(f"{_count(len(p.misses), 'comparison')} that failed", body))
    if p.by >= 0:
        parts.append(details("both states side by side", side(tree, p)))
    return "".join(parts)


def side(tree: PathTree, p: Path) -> str:
    """The state of a pruned path beside the checkpoint that covers it, register by register."""
    old = tree.checkpoints.get(p.by)
    if old is None or old.state is None or p.state is None:
        raise NotebookError(f"path {p.number} was not ended by a recorded checkpoint")
    rows = []
    for number, new in enumerate(p.state.regs):
        seen = old.state.regs[number]
        if seen.kind == NOT_INIT and new.kind == NOT_INIT:
            continue
        rows.append(_pair(f"r{number}", _reg(seen), _reg(new), seen is new, f"r{number}" in old.precise))
    for number in range(max(len(old.state.stack), len(p.state.stack))):
        name = f"fp-{8 * (number + 1)}"
        cells = [_slot(s.stack[number]) if number < len(s.stack) else "" for s in (old.state, p.state)]
        if any(c.strip("?") for c in cells):
            rows.append(_pair(name, cells[0], cells[1], cells[0] == cells[1], name in old.precise))
    heads = ["", f"checkpoint {old.number} (step {old.step})", f"path {p.number} (step {p.steps[1]})", ""]
    return f'<div class="states">{table(heads, rows, f"states of checkpoint {old.number} and path {p.number}")}</div>'


def _reg(reg: Any) -> str:
    return "" if reg.kind == NOT_INIT else register_text(reg, reg.frame)


def _slot(slot: Any) -> str:
    return _reg(slot.reg) if slot.spilled else "".join(TYPE_CHARS[t] for t in slot.types)


def _pair(name: str, old: str, new: str, same: bool, precise: bool) -> str:
    if old == new or same:
        note = "the same"
    elif not old:
        note = "the checkpoint did not know it, so nothing after it needs it"
    else:
        note = "matters exactly" if precise else "covered: wider, not live, or not needed exactly"
    return row([name, old, new, note + (", P" if precise and note[0] == "t" else "")], kind="" if same else "now", numbers=1)


def checkpoints(tree: PathTree) -> str:
    """What each checkpoint was good for."""
    used = sorted(tree.checkpoints.values(), key=lambda c: (-c.hits, c.number))[:MOST_ROWS]
    rows = (row([c.number, c.pc, c.hits, c.misses, _marks(c)], numbers=4) for c in used)
    body = table(["checkpoint", "at", "paths ended", "did not cover", "needed exactly"], rows, "checkpoints")
    return details(f"{_count(len(tree.checkpoints), 'checkpoint')}, most useful first", body)


def _marks(c: Checkpoint) -> str:
    return " ".join(sorted(c.precise))


def compare_runs(first: Any, second: Any, names: tuple[str, str] = ("", "")) -> Shown:
    """Two verifications of one program (made with `trace=True`), side by side, for a notebook.

    >>> import bpfbench as bb
    >>> prog = bb.assemble("r0 = 0\\nexit")
    >>> compare_runs(bb.verify(prog, trace=True), bb.verify(prog, kernel="linux-6.1", trace=True))
    Runs(prog: 2 against 2 instructions)
    """
    says = f"Runs({first.program.name}: {first.insns_processed} against {second.insns_processed} instructions)"
    return Shown(side_by_side(first, second, names), says)


def side_by_side(first: Any, second: Any, names: tuple[str, str] = ("", "")) -> str:
    """Two verifications of one program (made with `trace=True`) on the same scale of steps."""
    trees = [path_tree(first), path_tree(second)]
    steps = max(t.steps for t in trees)
    heads = [n or v.kernel + (" without " + ", ".join(v.without) if v.without else "")
             for n, v in zip(names, (first, second))]
    facts: list[tuple[str, list[Any]]] = [
             ("verdict", [_verdict(v) for v in (first, second)]), ("instructions processed", [t.steps for t in trees]),
             ("paths", [len(t.paths) for t in trees]), ("pruned", [t.count(PRUNED) for t in trees]),
             ("checkpoints", [len(t.checkpoints) for t in trees]), ("longest path", [_longest(t) for t in trees])]
    figures = table(["", *heads], (row([name, *values], numbers=0) for name, values in facts), "two runs")
    drawings = "".join(f'<h3>{esc(h)}</h3><div class="svg" tabindex="0" role="region" aria-label="paths, {esc(h)}">'
                       f"{draw_paths(t, '', steps)}</div>" for i, (h, t) in enumerate(zip(heads, trees)))
    return figures + legend() + drawings


def _verdict(v: Any) -> Raw:
    return Raw('<span class="ok">accepted</span>' if v.accepted else f'<span class="bad">{esc(v.message or v.errno)}</span>')


def _longest(tree: PathTree) -> int:
    return max((p.length for p in tree.paths), default=0)
