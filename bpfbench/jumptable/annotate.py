"""The author's proposal, made without changing a compiler: a filter on the assembly that gcc and clang print.

The compiler's text still says everything the object file forgets: which label is a jump table, how wide its entries
are and against which label they count.  `annotate` adds, for every dispatch it can attribute,

    switch_a.jump0:  .type  %object  .size 12         a local symbol, as Go 1.19 to 1.21 had
    .note.jumptables row                               branch, table, anchor, count, width, sign, scale (see `note`)

and leaves code and layout alone.  `tables_in` is the reader behind it; it attributes tables to branches from the text
only (labels and register names), so that it can also serve as ground truth for recovery, which sees only bytes.

    gcc     .L4: .byte (.L7 - .Lrtx4) / 4             br x0   followed by   .Lrtx4:
    clang   .LJTI0_0: .byte (.LBB0_2-.LBB0_2)>>2      adr x10, .LBB0_2 ... br x10     and the table named by adrp
            .LJTI0_1: .word .LBB0_9-.Ltmp3            .Ltmp3: adr x10, .Ltmp3 ... br x10
"""

from __future__ import annotations

import re
from typing import Final, final

from bpfbench.errors import JumptableError, Where

_ENTRY: Final = re.compile(
    r"^\s*\.(byte|hword|2byte|word|4byte|xword|8byte)\s+\(?\s*([.$\w]+)\s*-\s*([.$\w]+)\s*\)?\s*(?:(/\s*4)|(>>\s*2))?\s*(?:(?://|#|@).*)?$"
)
_LABEL: Final = re.compile(r"^([.$\w]+):")
_BRANCH: Final = re.compile(r"^\s*br\s+(x\d+)\b")
_FUNCTION: Final = re.compile(r"^\s*\.type\s+([.$\w]+)\s*,\s*[@%]function")
_WIDTH: Final = {"byte": 1, "hword": 2, "2byte": 2, "word": 4, "4byte": 4, "xword": 8, "8byte": 8}


@final
class AsmTable:
    """A table in assembly text: its `label`, the `branch_line` (index into the lines) that uses it, the labels of the
    `anchor` and of all `targets`, entry `size`, `signed`, `shift`."""

    __slots__ = (
        "function",
        "label",
        "line",
        "last_line",
        "branch_line",
        "anchor",
        "targets",
        "size",
        "signed",
        "shift",
    )

    def __init__(
        self,
        function: str,
        label: str,
        line: int,
        last_line: int,
        anchor: str,
        targets: list[str],
        size: int,
        signed: bool,
        shift: int,
    ) -> None:
        self.function = function
        self.label = label
        self.line = line
        self.last_line = last_line
        self.branch_line = -1
        self.anchor = anchor
        self.targets = targets
        self.size = size
        self.signed = signed
        self.shift = shift

    def __repr__(self) -> str:
        return f"AsmTable({self.function}, {self.label}, {len(self.targets)} x {self.size})"


def tables_in(assembly: str, name: str = "<assembly>") -> list[AsmTable]:
    """All jump tables of compiler output, attributed to their branches.

    A table two branches use appears twice.  Raises JumptableError when one cannot be attributed.
    """
    lines = assembly.splitlines()
    functions = {m.group(1) for line in lines if (m := _FUNCTION.match(line))}
    tables = _arrays(lines)
    owner, current = [""] * len(lines), ""
    label_at: dict[str, int] = {}
    for k, line in enumerate(lines):
        m = _LABEL.match(line)
        if m:
            label_at[m.group(1)] = k
            if m.group(1) in functions:
                current = m.group(1)
        owner[k] = current
    branches = [(k, m.group(1)) for k, line in enumerate(lines) if (m := _BRANCH.match(line))]
    out: list[AsmTable] = []
    used: set[int] = set()
    for k, reg in branches:
        for t in _used_by(lines, owner, label_at, k, reg, tables):
            copy = AsmTable(owner[k], t.label, t.line, t.last_line, t.anchor, t.targets, t.size, t.signed, t.shift)
            copy.branch_line = k
            out.append(copy)
            used.add(t.line)
    for t in tables:
        if t.line not in used:
            raise JumptableError(f"no branch found for the table {t.label}", Where(file=name, line=t.line + 1))
    return out


def _arrays(lines: list[str]) -> list[AsmTable]:
    out: list[AsmTable] = []
    k = 0
    while k < len(lines):
        m = _LABEL.match(lines[k])
        if not m or not (m.group(1).startswith((".L", "$"))):
            k += 1
            continue
        label, first = m.group(1), k
        entries = []
        k += 1
        while k < len(lines) and (e := _ENTRY.match(lines[k])):
            entries.append(e)
            k += 1
        # EH call-site tables are .uleb128: plain differences against one label are switches or label arithmetic.
        if len(entries) >= 2 and len({(e.group(1), e.group(3)) for e in entries}) == 1:
            gcc = ".Lrtx" in entries[0].group(3)
            if not gcc and not label.startswith(".LJTI"):
                continue
            size = _WIDTH[entries[0].group(1)]
            scaled = bool(entries[0].group(4) or entries[0].group(5))
            out.append(
                AsmTable(
                    "",
                    label,
                    first,
                    k - 1,
                    entries[0].group(3),
                    [e.group(2) for e in entries],
                    size,
                    gcc or not scaled,
                    2 if scaled else 0,
                )
            )
    return out


def _used_by(
    lines: list[str], owner: list[str], label_at: dict[str, int], k: int, reg: str, tables: list[AsmTable]
) -> list[AsmTable]:
    """The table that the branch on line `k` uses."""
    for j in range(k + 1, min(k + 6, len(lines))):  # gcc: the anchor label stands behind the branch
        m = _LABEL.match(lines[j])
        if m and m.group(1).startswith(".Lrtx"):
            return [t for t in tables if t.anchor == m.group(1)]
        if not re.match(r"^\s*(dsb|isb|sb|//|\.)", lines[j]) and not m:
            break
    anchor, table_reg = "", ""
    for j in range(k - 1, max(-1, k - 12), -1):
        m2 = re.match(r"^\s*adr\s+x\d+,\s*([.$\w]+)", lines[j])
        if m2 and not anchor:
            anchor = m2.group(1)
        m2 = re.match(r"^\s*ldr(?:b|h|sw)\s+[wx]\d+,\s*\[(x\d+),", lines[j])
        if m2 and not table_reg:
            table_reg = m2.group(1)
    candidates = [t for t in tables if t.anchor == anchor]
    if len(candidates) <= 1 or not table_reg:
        return candidates
    want = re.compile(rf"^\s*(?:add|adr|adrp|movk)\s+{table_reg},.*(\.LJTI[\w]+)")
    for j in range(k - 1, -1, -1):  # several tables count from one block: follow the register
        m2 = want.match(lines[j])
        if m2:
            return [t for t in candidates if t.label == m2.group(1)]
        if owner[j] != owner[k]:
            break
    return []


def annotate(assembly: str, name: str = "<assembly>") -> str:
    """The same assembly with a symbol and a note row per dispatch.

    >>> text = ".type f, %function\\nf:\\n br x0\\n.Lrtx4:\\n.section .rodata\\n.L4:\\n"
    >>> text += " .byte (.L5 - .Lrtx4) / 4\\n .byte (.L6 - .Lrtx4) / 4\\n.text\\n.L5: ret\\n.L6: ret\\n"
    >>> "f.jump0" in annotate(text) and ".note.jumptables" in annotate(text)
    True
    """
    tables = tables_in(assembly, name)
    lines = assembly.splitlines()
    before: dict[int, list[str]] = {}
    after: dict[int, list[str]] = {}
    counts: dict[str, int] = {}
    rows: list[str] = []
    named: set[int] = set()
    for n, t in enumerate(tables):
        if t.line not in named:
            named.add(t.line)
            k = counts.get(t.function, 0)
            counts[t.function] = k + 1
            symbol = f"{t.function}.jump{k}"
            before.setdefault(t.line, []).extend(
                (f"\t.type\t{symbol}, %object", f"\t.size\t{symbol}, {len(t.targets) * t.size}", f"{symbol}:")
            )
        before.setdefault(t.branch_line, []).append(f".Ljtbr{n}:")
        rows += [
            f"\t.xword\t.Ljtbr{n} - .",
            f"\t.xword\t{t.label} - .",
            f"\t.xword\t{t.anchor} - .",
            f"\t.word\t{len(t.targets)}",
            f"\t.byte\t{t.size}, {int(t.signed)}, {t.shift}, 1",
        ]
    out: list[str] = []
    for k, line in enumerate(lines):
        out += before.get(k, []) + [line] + after.get(k, [])
    if rows:
        out += [
            '\t.section\t.note.jumptables,"a",%note',
            "\t.balign\t4",
            f"\t.word\t8, {32 * len(tables)}, 1",
            '\t.asciz\t"JUMPTAB"',
            *rows,
        ]
    return "\n".join(out) + "\n"
