"""Views of results that have no page of their own: objects, listings, traces, runs, static analyses, jump tables."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from bpfbench.notebook.html import Raw, cards, esc, row, table

MOST: Final = 2000              # rows


def elf_object(obj: Any) -> str:
    """The programs and maps of an object file."""
    programs = (row([p.name, p.type, p.section, len(p.insns), len(p.maps), p.license], numbers=0)
                for p in obj.programs.values())
    parts = [table(["program", "type", "section", "slots", "maps", "licence"], programs, f"programs of {obj.name}")]
    if obj.maps:
        maps = (row([m.name, m.type, m.key_size, m.value_size, m.max_entries], numbers=0) for m in obj.maps.values())
        parts.append(table(["map", "type", "key", "value", "entries"], maps, f"maps of {obj.name}"))
    return "".join(parts)


def listing(found: Any) -> str:
    """Address, bytes, text and note of every row."""
    rows = (row([f"{r.addr:x}", r.bytes.hex(" "), r.text, r.note]) for r in found.rows[:MOST])
    return table(["addr", "bytes", found.title or "instruction", "note"], rows, found.title or "listing") \
        + _more(len(found.rows))


def trace(found: Any) -> str:
    """How many events of each kind, and at how many instructions."""
    counts = Counter(found.kinds)
    places: dict[str, set[int]] = {kind: set() for kind in counts}
    for kind, pc in zip(found.kinds, found.pcs):
        places[kind].add(pc)
    rows = (row([n, kind, len(places[kind])]) for kind, n in counts.most_common())
    return table(["events", "kind", "at so many instructions"], rows, "events of the trace")


def run(result: Any) -> str:
    """What a run returned, and the packet or memory it left."""
    facts: list[tuple[str, object]] = [("r0", f"{result.r0:#x}"), ("instructions", result.insns_executed)]
    bad = "" if result.trap is None else f'<p class="bad">{esc(result.trap)}</p>'
    left = bytes(result.data or b"")
    shown = f"<p><code>{left[:256].hex(' ')}</code>{' …' if len(left) > 256 else ''}</p>" if left else ""
    return cards(facts) + bad + shown


def static_verification(v: Any) -> str:
    """Verdict and cost of the static analysis, and what it knows at the beginning of each block."""
    verdict = Raw('<span class="ok">accepted</span>' if v.accepted else '<span class="bad">rejected</span>')
    s = v.stats
    figures = cards([("verdict", verdict), ("blocks", s.blocks), ("visits of blocks", s.visits), ("steps", s.steps),
                     ("joins", s.joins), ("widenings", s.widenings)])  # fmt: skip
    reason = "" if v.accepted else f'<p class="bad">at instruction {esc(v.pc)}: {esc(v.message)}</p>'
    rows = []
    for block, found in list(v.invariants.items())[:MOST]:
        start = v.cfg.blocks[block].start
        known = "  ".join(f"r{r}={found.reg(r)}" for r in range(10) if str(found.reg(r)) not in ("?", "nothing"))
        rows.append(row([block, start, len(found.states), known], v.program.name, start, numbers=3))
    heads = ["block", "at", "states", "what holds when it is entered"]
    return figures + reason + table(heads, rows, f"invariants of {v.program.name}")


def jump_tables(found: Any) -> str:
    """Every indirect branch: its table, entries, targets and how sure that is."""
    rows = []
    for b in found.rows()[:MOST]:
        targets = " ".join(f"{t:#x}" for t in b.get("targets", [])[:8])
        more = " …" if len(b.get("targets", [])) > 8 else ""
        base = b.get("base")
        rows.append(row([b.get("function", ""), f"{b['branch']:#x}", b["kind"], f"{base:#x}" if base else "",
                         b.get("count", ""), b.get("entry_size", ""), b.get("confidence", ""), targets + more], numbers=0))
    heads = ["function", "branch", "kind", "table", "entries", "bytes", "confidence", "targets"]
    return table(heads, rows, "indirect branches") + _more(len(found.branches))


def both_analyses(found: Any) -> str:
    """The path walk beside the static analysis: figures, then every register of which one knows more."""
    facts: list[tuple[str, object]] = [("same verdict", "yes" if found.same_verdict else "no")]
    facts += [(f"registers: {name}", count) for name, count in found.counts.items()]
    rows = (row([d.pc, f"r{d.reg}", d.walk, d.static, d.compares], found.program.name, d.pc)
            for d in found.differences[:MOST])
    return cards(facts) + table(["at", "", "path walk", "static analysis", "the static one is"], rows, "differences")


def _more(count: int) -> str:
    return f"<p>… {count - MOST} more</p>" if count > MOST else ""
