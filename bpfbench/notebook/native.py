"""Native code beside the eBPF instructions and the C lines it came from.

    native_view      C, eBPF and every target side by side
    native_diff      two listings of one program: targets, kernels, options
    nfp_passes       the NFP's code after each pass, with what the pass saved

    C line              pc  eBPF                 x86_64            aarch64
    if (x > 7)       ╭─  3  if r2 > 7 goto +2    cmp rdx, 0x7      cmp x1, #7
                     │                           ja 0x2f           b.hi 0x38
                     ╰─> 6  exit                 leave …           …

Point at an instruction and everything that belongs to it lights up, in all columns and views.  Click a native
instruction (or press e in the listing) for its bytes and the fields of its encoding; arrows show where jumps go.  The
listing is a plain table, so that it works on paper and without scripts (static/link.js adds the rest).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn
from bpfbench.jit.code import EPILOGUE, PROLOGUE
from bpfbench.machine.pattern import Pattern
from bpfbench.notebook.html import Raw, cards, details, esc, row, table
from bpfbench.notebook.shown import Shown
from bpfbench.program.program import Program

NAMES: Final = {PROLOGUE: "prologue", EPILOGUE: "epilogue"}
MOST_FIELDS: Final = 4000           # native instructions of a target; above that only bytes are at hand
MOST_SPANS: Final = 20_000          # native instructions of a listing; above that it is text alone


def native_view(prog: Program, targets: str | list[str] = "all", kernel: str | None = None, **options: Any) -> Shown:
    """Listings of a program for some targets, side by side; what a target cannot compile is said below.

    >>> from bpfbench.program.program import from_assembly
    >>> native_view(from_assembly("r0 = 1\\nexit"), ["x86_64", "arm"])
    Native(prog: x86_64 23 bytes, arm 52 bytes)
    """
    from bpfbench.jit.listing import listing_all

    found = listing_all(prog, targets, kernel, **options)
    sizes = ", ".join(f"{name} {size} bytes" for name, size in found.sizes.items())
    return Shown(side_by_side(prog, list(found.codes.values()), found.refused), f"Native({prog.name}: {sizes or 'none'})")


def side_by_side(prog: Program, codes: Sequence[Any], refused: dict[str, str] | None = None) -> str:
    """The listing of codes that were made from `prog`."""
    reasons = "".join(f'<p class="dim">{esc(name)}: {esc(why)}</p>' for name, why in (refused or {}).items())
    if not codes:
        return reasons
    long = sum(len(code.placed) or len(code.bytes) // 8 for code in codes) > MOST_SPANS
    columns = [_texts(code) if long else _cells(code) for code in codes]
    lines = [line for line in prog.lines.values() if line is not None]
    heads = [*(["C"] if lines else []), "pc", "eBPF", *(f"{c.target} ({len(c.bytes)} bytes)" for c in codes)]
    rows: list[str] = []
    last = ""
    order: list[tuple[int, Instruction | None]] = [(PROLOGUE, None)]
    order += [(pc, insn) for pc, insn in enumerate(prog.insns) if insn is not None]
    order.append((EPILOGUE, None))
    for pc, insn in order:
        cells: list[object] = []
        if lines:
            found = prog.lines.get(pc)
            source = f"{found.line}: {found.text.strip()}" if found is not None else ""
            cells.append(Raw(f'<span class="c" title="{esc(source)}">{esc(source)}</span>') if source != last else "")
            last = source or last
        cells += ["" if insn is None else pc, NAMES[pc] if insn is None else format_insn(insn)]
        cells += [Raw("\n".join(column.get(pc, []))) for column in columns]
        rows.append(_row(cells, prog, pc, insn))
    if long:
        return table(heads, rows, f"native code of {prog.name}") + reasons
    tools = "".join(f'<label><input type="checkbox" checked data-column="{i + len(heads) - len(codes)}"> {esc(c.target)}'
                    "</label>" for i, c in enumerate(codes))
    return (f'<div class="native" data-lm-suppress-shortcuts="true"><div class="tools"><label><input type="checkbox" '
            f'class="bytes"> bytes</label>{tools}<span class="dim">click or e: encoding; j, k: next, previous</span></div>'
            + table(heads, rows, f"native code of {prog.name}")
            + '<div class="fields" role="status" aria-label="encoding"></div></div>' + reasons)


def _row(cells: list[object], prog: Program, pc: int, insn: Instruction | None) -> str:
    if insn is None:
        return row(cells, kind="src", numbers=0)
    text = row(cells, prog.name, pc, numbers=0)
    if insn.jump:
        target = pc + 1 + insn.jump
        text = text.replace(" data-pc=", f' data-to="{target}" data-pc=', 1)
    return text


def _cells(code: Any) -> dict[int, list[str]]:
    """Markup of the native instructions of each eBPF instruction."""
    insns = code.insns
    placed = list(code.placed) if len(code.placed) == len(insns) <= MOST_FIELDS else [None] * len(insns)
    cells: dict[int, list[str]] = {}
    for r, p in zip(insns, placed):
        said = f' data-f="{esc(fields(p))}"' if p is not None else ""
        note = f' <i class="dim">{esc(r.note)}</i>' if r.note else ""
        cells.setdefault(r.owner, []).append(
            f'<span class="ni"{said}><span class="a">{r.addr:4x}  </span><span class="nb">{r.bytes.hex(" ")}  </span>'
            f"{esc(r.text)}{note}</span>")  # fmt: skip
    return cells


def _texts(code: Any) -> dict[int, list[str]]:
    """The same of a long program: address and text."""
    cells: dict[int, list[str]] = {}
    for r in code.insns:
        cells.setdefault(r.owner, []).append(f"{r.addr:4x}  {esc(r.text)}")
    return cells


def fields(placed: Any) -> str:
    """The fields of an encoded instruction, most significant first, as "bits name=value; …".

    >>> import bpfbench as bb
    >>> fields(bb.jit(bb.assemble("r0 = 2\\nexit"), "aarch64").placed[-1])
    'br {rn:x}: 31..10 1101011000011111000000; 9..5 rn[4:0]=01010; 4..0 00000'
    """
    form = placed.row
    if not isinstance(form, Pattern):
        named = ", ".join(f"{name}={value}" for name, value in zip(form.names, placed.operands))
        return f"{form.syntax}: {named}" if named else str(form.syntax)
    word = int.from_bytes(placed.raw, "big" if form.byteorder else "little")
    parts = sorted(((at, width, f"{form.names[index]}[{low + width - 1}:{low}]=")
                    for index, low, at, width in form.placed), reverse=True)
    said, top = [], 8 * form.size
    for at, width, name in [*parts, (0, 0, "")]:
        if at + width < top:
            said.append(_span(word, at + width, top - at - width, ""))
        if width:
            said.append(_span(word, at, width, name))
        top = at
    return f"{form.syntax}: " + "; ".join(said)


def _span(word: int, at: int, width: int, name: str) -> str:
    value = word >> at & (1 << width) - 1
    where = f"{at + width - 1}..{at}" if width > 1 else str(at)
    return f"{where} {name}{value:0{width}b}"


# Two listings ---------------------------------------------------------------------------------------------------------


def native_diff(first: Any, second: Any) -> Shown:
    """Two codes of one program, instruction by instruction, with what differs marked.

    >>> import bpfbench as bb
    >>> prog = bb.assemble("r0 = 1\\nexit")
    >>> native_diff(bb.jit(prog, "x86_64"), bb.jit(prog, "x86_64", kernel="linux-6.1"))
    NativeDiff(x86_64, linux-6.18 and x86_64, linux-6.1: 2 of 3 groups differ)
    """
    differ, count, body = diff(first, second)
    names = [f"{c.target}, {c.kernel}" for c in (first, second)]
    return Shown(body, f"NativeDiff({names[0]} and {names[1]}: {differ} of {count} groups differ)")


def diff(first: Any, second: Any) -> tuple[int, int, str]:
    """How many groups differ, how many there are, and the table."""
    columns = []
    for code in (first, second):
        by_pc: dict[int, list[str]] = {}
        for r in code.insns:
            by_pc.setdefault(r.owner, []).append(r.text)
        columns.append(by_pc)
    owners = sorted(set(columns[0]) | set(columns[1]), key=lambda pc: (pc == EPILOGUE, pc))
    rows, differ = [], 0
    for pc in owners:
        left, right = columns[0].get(pc, []), columns[1].get(pc, [])
        differ += left != right
        insn = first.source[pc] if 0 <= pc < len(first.source) else None
        text = format_insn(insn) if insn is not None else ""
        rows.append(row([NAMES.get(pc, pc), text, *(Raw(_lines(a, b)) for a, b in ((left, right), (right, left)))],
                        kind="now" if left != right else ""))
    sizes = [f"{c.target}, {c.kernel} ({len(c.bytes)} bytes)" for c in (first, second)]
    said = f"<p>{differ} of {len(owners)} groups differ; lines that the other side has not are marked with ●.</p>"
    return differ, len(owners), said + table(["pc", "eBPF", *sizes], rows, "two listings")


def _lines(own: list[str], other: list[str]) -> str:
    left = list(other)
    parts = []
    for text in own:
        if text in left:
            left.remove(text)
            parts.append(f"  {esc(text)}")
        else:
            parts.append(f'● <span class="changed">{esc(text)}</span>')
    return "\n".join(parts)


# The NFP, pass by pass ------------------------------------------------------------------------------------------------


def nfp_passes(prog: Program, kernel: str = "bpfbench", offload: bool = True) -> Shown:
    """The code after each pass of the NFP's code generator, and what each pass changed.

    `kernel` "bpfbench" has all passes, linux-* the driver's; NotSupported says what the card or its driver refuses.
    """
    from bpfbench.nfp.reports import reports

    found = reports(prog, kernel, offload=offload)
    return Shown(passes(found) + side_by_side(prog, [found.code]), repr(found))


def passes(found: Any) -> str:
    """A `nfp.reports.Reports`: every pass with what it saved and why it was legal, the changes to open."""
    rows: list[str] = []
    parts: list[str] = []
    for number, p in enumerate(found, 1):
        rows.append(row([number, p.name, p.whose, p.before, p.after, p.saved or "", p.why], kind="now" if p.changes else ""))
        if p.changes:
            changed = (row([c.pc, c.insn, Raw(_lines(c.before, c.after)), Raw(_lines(c.after, c.before)), c.why],
                           found.name, c.pc) for c in p.changes)
            heads = ["pc", "eBPF", "before", "after", "why it is gone"]
            body = table(heads, changed, f"what {p.name} changed")
            parts.append(details(f"{p.name}: {len(p.changes)} changed, {p.saved} saved", body, not parts))
    figures = cards([("NFP instructions without passes", found.before), ("with all", found.after),
                     ("passes that changed something", len(parts))])  # fmt: skip
    heads = ["", "pass", "whose", "before", "after", "saved", "why it is legal"]
    return figures + table(heads, rows, "passes of the NFP") + "".join(parts)
