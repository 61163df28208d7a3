"""Charts to point at: the plots of plots.py as drawings whose every mark belongs to an instruction.

    bounds_chart     what was known of registers, step by step
    liveness_chart   instructions against registers, live or not
    cost_chart       how often each instruction was processed, with checkpoints and prunes

Pointing at a mark lights up its instruction in every other view of the page or notebook (static/link.js), and says the
numbers.  Everything is SVG and tables: it works offline, in print, and from the keyboard (each mark's text is in its title).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from bpfbench.errors import NotebookError
from bpfbench.isa.text import format_insn
from bpfbench.notebook.html import Raw, esc, row, table
from bpfbench.notebook.plots import BLUE, GREEN, ORANGE, RED
from bpfbench.notebook.shown import Shown
from bpfbench.verifier.regstate import NOT_INIT, SCALAR

WIDTH: Final = 900
BAND: Final = 92                # height of a register's strip
LEFT: Final = 72
MOST_MARKS: Final = 6000
MOST_ROWS: Final = 2000


def bounds_chart(v: Any, registers: Sequence[int] = (0,)) -> Shown:
    """Unsigned bounds of registers over the steps of a walk made with `trace=True`, on a logarithmic scale.

    >>> import bpfbench as bb
    >>> prog = bb.assemble("r0 = 0\\nl: r0 += 1\\nif r0 < 5 goto l\\nexit")
    >>> bounds_chart(bb.verify(prog, trace=True), [0])
    BoundsChart(prog: r0 over 12 steps)
    """
    for r in registers:
        if not 0 <= r <= 10:
            raise NotebookError(f"there is no register r{r}")
    if v.trace is None or not len(v.trace):
        raise NotebookError("there is no trace to show: verify with trace=True")
    visits = v.trace.of("visit")
    scale = (WIDTH - LEFT - 8) / max(len(visits), 1)
    strips = [_strip(v, visits, r, 8 + BAND * i, scale) for i, r in enumerate(registers)]
    height = BAND * len(registers) + 26
    said = f"bounds of {', '.join(f'r{r}' for r in registers)} over {len(visits)} steps"
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
           f'role="img" aria-label="{said}"><rect width="{WIDTH}" height="{height}" fill="#fff"/>{"".join(strips)}'
           f'<text x="{LEFT}" y="{height - 6}" font-size="10" fill="#444">step 1</text><text x="{WIDTH - 8}" '
           f'y="{height - 6}" font-size="10" text-anchor="end" fill="#444">step {len(visits)}</text></svg>')
    return Shown(_figure(svg, said), f"BoundsChart({v.program.name}: {said.removeprefix('bounds of ')})")


def _strip(v: Any, visits: list[Any], r: int, top: int, scale: float) -> str:
    """One register: a bar from its smallest to its largest value for each run of steps at which they are the same."""
    runs: list[tuple[int, int, int, Any, str]] = []
    for step, e in enumerate(visits):
        reg = e.values["regs"][r]
        text = "" if reg.kind == NOT_INIT else repr_of(reg)
        if runs and runs[-1][4] == text:
            first, _, pc, held, _ = runs[-1]
            runs[-1] = (first, step, pc, held, text)
        else:
            runs.append((step, step, e.pc, reg, text))
    marks = [f'<text x="8" y="{top + 46}" font-size="13" font-weight="bold">r{r}</text>']
    for power in (0, 32, 64):
        y = _y(top, (1 << power) - 1)
        marks.append(f'<path d="M{LEFT} {y:.1f} H{WIDTH - 8}" stroke="#d4d9df"/><text x="{LEFT - 8}" y="{y + 3:.1f}" '
                     f'font-size="8" text-anchor="end" fill="#59636e">{f"2^{power}" if power else "0"}</text>')
    for first, last, pc, reg, text in runs[:MOST_MARKS]:
        number = reg.kind == SCALAR or (reg.kind != NOT_INIT and reg.scalar.m)
        if not number:
            continue
        x, wide = LEFT + first * scale, max((last - first + 1) * scale, 1.2)
        high, low = _y(top, reg.scalar.umax), _y(top, reg.scalar.umin)
        colour = BLUE if reg.scalar.m else ORANGE
        title = f"steps {first + 1} to {last + 1}, insn {pc}: {text}"
        marks.append(f'<rect class="mark" data-prog="{esc(v.program.name)}" data-pc="{pc}" x="{x:.1f}" y="{high - 1.5:.1f}" '
                     f'width="{wide:.1f}" height="{low - high + 3:.1f}" fill="{colour}"><title>{esc(title)}</title></rect>')
    return "".join(marks)


def repr_of(reg: Any) -> str:
    from bpfbench.verifier.log import register_text

    return register_text(reg, reg.frame)


def _y(top: int, n: int) -> float:
    """Logarithmic: 0 at the bottom of a strip, 2^64 at its top."""
    return top + (BAND - 16) * (1 - n.bit_length() / 64)


def liveness_chart(v: Any) -> Shown:
    """Which registers are live before each instruction: ● live, · not.

    >>> import bpfbench as bb
    >>> liveness_chart(bb.verify(bb.assemble("r0 = 0\\nexit")))
    LivenessChart(prog: 1 of 22 live)
    """
    masks = v.liveness
    rows, live = [], 0
    shown = [(pc, insn) for pc, insn in enumerate(v.program.insns) if insn is not None]
    for pc, insn in shown[:MOST_ROWS]:
        marks = [masks[pc] >> r & 1 for r in range(11)]
        live += sum(marks)
        cells = [Raw('<span class="live" role="img" aria-label="live">●</span>') if m else "·" for m in marks]
        rows.append(row([pc, *cells, format_insn(insn)], v.program.name, pc))
    more = f"<p>… {len(shown) - MOST_ROWS} more instructions</p>" if len(shown) > MOST_ROWS else ""
    heads = ["pc", *(f"r{r}" for r in range(11)), "instruction"]
    body = f'<div class="liveness">{table(heads, rows, f"liveness of {v.program.name}")}</div>{more}'
    return Shown(body, f"LivenessChart({v.program.name}: {live} of {11 * len(rows)} live)")


def cost_chart(v: Any) -> Shown:
    """How often each instruction was processed; dots: checkpoints made (blue), paths pruned (green).

    >>> import bpfbench as bb
    >>> cost_chart(bb.verify(bb.assemble("r0 = 0\\nexit"), trace=True))
    CostChart(prog: 2 processed)
    """
    if v.trace is None or not len(v.trace):
        raise NotebookError("there is no trace to show: verify with trace=True")
    counts: dict[str, Counter[int]] = {kind: Counter() for kind in ("visit", "keep", "prune", "kept")}
    for kind, pc in zip(v.trace.kinds, v.trace.pcs):
        if kind in counts:
            counts[kind][pc] += 1
    size, tallest = len(v.program.insns), max(counts["visit"].values(), default=1)
    scale, height = (WIDTH - LEFT - 8) / max(size, 1), 190
    marks = []
    for pc, visits in sorted(counts["visit"].items()):
        insn = v.program.insns[pc]
        tall, x = 140 * visits / tallest, LEFT + pc * scale
        title = (f"insn {pc} ({format_insn(insn) if insn is not None else ''}): processed {visits} times, "
                 f"{counts['keep'][pc]} checkpoints, {counts['prune'][pc]} pruned, {counts['kept'][pc]} failed comparisons")
        dots = "".join(f'<circle cx="{x + scale / 2:.1f}" cy="{y}" r="3" fill="{colour}"/>' for kind, y, colour in
                       (("keep", 164, BLUE), ("prune", 172, GREEN), ("kept", 180, RED)) if counts[kind][pc])
        marks.append(f'<g class="mark" data-prog="{esc(v.program.name)}" data-pc="{pc}"><title>{esc(title)}</title>'
                     f'<rect x="{x:.1f}" y="{156 - tall:.1f}" width="{max(scale - 0.4, 0.8):.1f}" height="{tall:.1f}" '
                     f'fill="{BLUE}"/>{dots}</g>')
    said = f"{v.insns_processed} processed"
    svg = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
           f'role="img" aria-label="cost of each instruction, {said}"><rect width="{WIDTH}" height="{height}" fill="#fff"/>'
           f'<text x="{LEFT - 6}" y="22" font-size="10" text-anchor="end" fill="#444">{tallest}</text><text x="{LEFT - 6}" '
           f'y="156" font-size="10" text-anchor="end" fill="#444">0</text>{"".join(marks)}</svg>')
    said_below = '<p class="dim">dots below a bar: checkpoints made, paths pruned, comparisons that failed</p>'
    return Shown(_figure(svg, f"cost of {v.program.name}") + said_below, f"CostChart({v.program.name}: {said})")


def _figure(svg: str, label: str) -> str:
    return f'<figure><div class="svg chart" tabindex="0" role="region" aria-label="{esc(label)}">{svg}</div></figure>'
