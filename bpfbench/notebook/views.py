"""One view per kind of object: a value of the library in, a fragment of HTML out.  No algorithm lives here."""

from __future__ import annotations

import re
from typing import Any

from bpfbench.isa.codec import encode
from bpfbench.isa.text import format_insn
from bpfbench.notebook.explained import explanation
from bpfbench.notebook.html import Raw, cards, details, esc, row, table
from bpfbench.program.program import Program

WIDE = 1400                     # pixels; a drawing that is wider does not fit a page
LONG = 100_000                  # processed instructions; a log of more is for a file, not for a page


def source(text: str, label: str = "C source") -> str:
    """C source with line numbers."""
    return table(["line", "C"], (row([n, line]) for n, line in enumerate(text.splitlines(), 1)), label)


def program(prog: Program) -> str:
    """The listing: bytes and text of each instruction, under the C line it came from."""
    rows: list[str] = []
    for pc, insn in enumerate(prog.insns):
        if insn is None:
            continue
        for name, start in prog.symbols.items():
            if start == pc:
                rows.append(row(["", "", f"{name}:"], kind="src"))
        line = prog.lines.get(pc)
        if line is not None:
            rows.append(row(["", f"{line.file.rsplit('/', 1)[-1]}:{line.line}", line.text.strip()], kind="src"))
        rows.append(row([pc, encode([insn]).hex(" "), format_insn(insn)], prog.name, pc))
    return table(["pc", "bytes", "instruction"], rows, f"instructions of {prog.name}")


def maps(prog: Program) -> str:
    if not prog.maps:
        return "<p>It uses no maps.</p>"
    heads = ["#", "name", "type", "key", "value", "entries"]
    return table(heads, (row([i, m.name, m.type, m.key_size, m.value_size, m.max_entries])
                         for i, m in enumerate(prog.maps)), f"maps of {prog.name}")  # fmt: skip


def figure(svg: str, label: str) -> str:
    """A drawing in a scrolling frame; a wide one is shown whole first, and a check box brings it to its own size.

    >>> 'type="checkbox"' in figure('<svg width="4000"></svg>', "wide"), "checkbox" in figure('<svg width="90"></svg>', "")
    (True, False)
    """
    width = re.search(r'<svg[^>]* width="(\d+)"', svg)
    whole = '<label class="fit"><input type="checkbox" checked> whole drawing</label>'
    fit = whole if width is not None and int(width[1]) > WIDE else ""
    return f'<figure>{fit}<div class="svg" tabindex="0" role="region" aria-label="{esc(label)}">{svg}</div></figure>'


def graph(cfg: Any, prog: Program) -> str:
    """The control-flow graph, drawn; above 300 blocks only its figures."""
    from bpfbench.notebook.graph import draw

    figures = cards([("blocks", len(cfg.blocks)), ("loops", len(cfg.loops)), ("functions", len(cfg.subprogs))])
    if len(cfg.blocks) > 300:
        return figures + "<p>Too large to be read as a drawing; the listing above has every jump.</p>"
    return figures + figure(draw(cfg), f"control-flow graph of {prog.name}")


def verification(v: Any, prog: Program) -> str:
    """Verdict and cost, then every processed instruction with the registers and slots it changed."""
    verdict = Raw('<span class="ok">accepted</span>' if v.accepted else '<span class="bad">rejected</span>')
    figures = cards([("verdict", verdict), ("insns processed", v.insns_processed), ("states kept", v.total_states),
                     ("most at one insn", v.max_states_per_insn), ("peak states", v.peak_states)])  # fmt: skip
    reason = "" if v.accepted else f'<p class="bad">{esc(v.message)} <span class="dim">[{esc(v.errno)}]</span></p>'
    if not v.accepted and hasattr(v, "explain"):
        reason = explanation(v.explain())
        if v.rejection.rule == "interrupted":
            return figures + reason
    return figures + reason + details("the kernel's own log, level 2", log(v, prog), opened=True)


def log(v: Any, prog: Program, most: int = 1500) -> str:
    """The level-2 log as a table; its lines carry their instruction so that they light up with it."""
    if v.insns_processed > LONG:
        return f"<p>{v.insns_processed} instructions were processed; <code>.log(2)</code> has the log of them all.</p>"
    lines = v.log(2).splitlines()
    rows: list[str] = []
    for line in lines[:most]:
        head = line.split(":", 1)[0]
        rows.append(row([line], prog.name, int(head) if head.isdigit() else -1, numbers=0))
    if len(lines) > most:
        rows.append(row([f"… {len(lines) - most} more lines"], numbers=0))
    return table(["verifier log"], rows, f"verifier log of {prog.name}")


def runs(heads: list[str], results: list[list[str]]) -> str:
    """Packets against engines."""
    return table(heads, (row(r) for r in results), "runs")
