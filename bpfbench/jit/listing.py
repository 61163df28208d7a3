"""One program on every machine, side by side.

    pc   eBPF                 x86_64                    aarch64                  ...
     0   r6 = r1              mov rbx, rdi              add x19, x0, #0
     1   r0 = *(u32 *)(r6+4)  mov eax, dword ptr [...]  ldr w7, [x19, #4]

Each cell keeps the native instructions, their bytes and the rule of the target that wrote them, so the same table
compares sizes, feeds a graph (`to_networkx`) and answers as JSON.  A target that cannot compile the program says so in
its column instead of making the others unavailable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from bpfbench.errors import BpfbenchError
from bpfbench.isa.text import format_insn
from bpfbench.jit.code import EPILOGUE, PROLOGUE, Code
from bpfbench.jit.compile import compile_program
from bpfbench.jit.targets import TARGETS, target_name
from bpfbench.listing import Row
from bpfbench.program.program import Program

if TYPE_CHECKING:
    import networkx

#: The profile that a target is compiled for when the caller names none: the kernel its recordings come from.
KERNELS = {
    "x86_64": "linux-6.18", "aarch64": "linux-6.12", "riscv64": "linux-6.12", "arm": "linux-6.1", "mips64": "linux-6.1",
    "ppc64": "linux-6.1", "nfp": "linux-6.1",
}  # fmt: skip


@final
class Cell:
    """What one target made of one eBPF instruction: native `rows`, the `rule` that wrote them."""

    __slots__ = ("rows", "rule")

    def __init__(self, rows: list[Row], rule: str) -> None:
        self.rows = rows
        self.rule = rule

    @property
    def size(self) -> int:
        return sum(len(r.bytes) for r in self.rows)

    def __repr__(self) -> str:
        return f"Cell({self.rule}: {'; '.join(r.text for r in self.rows)})"


@final
class Line:
    """One eBPF instruction (or "prologue", "epilogue") and its cell on each target that has one."""

    __slots__ = ("pc", "text", "source", "cells")

    def __init__(self, pc: int, text: str, source: str, cells: dict[str, Cell]) -> None:
        self.pc = pc
        self.text = text
        self.source = source
        self.cells = cells

    def __repr__(self) -> str:
        return f"Line({self.pc}, {self.text!r}, {list(self.cells)})"


@final
class SideBySide:
    """`lines` in program order; `codes` target -> Code; `refused` target -> why it has no column."""

    __slots__ = ("program", "lines", "codes", "refused")

    def __init__(self, program: Program, lines: list[Line], codes: dict[str, Code], refused: dict[str, str]) -> None:
        self.program = program
        self.lines = lines
        self.codes = codes
        self.refused = refused

    @property
    def sizes(self) -> dict[str, int]:
        """Image size in bytes per target."""
        return {name: len(code.bytes) for name, code in self.codes.items()}

    def rules(self) -> list[tuple[str, str, str]]:
        """(target, rule, native text) of every cell: which method of which target wrote what."""
        return [(t, c.rule, "; ".join(r.text for r in c.rows)) for line in self.lines for t, c in line.cells.items()]

    def __str__(self) -> str:
        names = list(self.codes)
        widths = [max([len(n)] + [len(r.text) for line in self.lines if n in line.cells for r in line.cells[n].rows])
                  for n in names]  # fmt: skip
        left = max([4] + [len(line.text) for line in self.lines])
        heads = "  ".join(f"{n:{w}}" for n, w in zip(names, widths))
        out = [f"{self.program.name}:", f"{'pc':>4}  {'eBPF':{left}}  {heads}"]
        for line in self.lines:
            if line.source:
                out.append(f"      ; {line.source}")
            height = max([1] + [len(c.rows) for c in line.cells.values()])
            for i in range(height):
                head = f"{line.pc if line.pc >= 0 else '':>4}  {line.text:{left}}" if i == 0 else " " * (left + 6)
                cells = [native(line.cells.get(n), i) for n in names]
                out.append((head + "  " + "  ".join(f"{c:{w}}" for c, w in zip(cells, widths))).rstrip())
        out.append(f"{'':4}  {'bytes':{left}}  " + "  ".join(f"{self.sizes[n]:<{w}}" for n, w in zip(names, widths)))
        out += [f"{name}: {why}" for name, why in self.refused.items()]
        return "\n".join(line.rstrip() for line in out)

    def to_json(self) -> dict[str, Any]:
        return {
            "program": self.program.name, "sizes": self.sizes, "refused": self.refused,
            "lines": [
                {"pc": line.pc, "text": line.text, "source": line.source,
                 "cells": {t: {"rule": c.rule, "rows": [r.to_json() for r in c.rows]} for t, c in line.cells.items()}}
                for line in self.lines
            ],
        }  # fmt: skip

    def to_networkx(self) -> networkx.DiGraph:
        """Edges eBPF -> native instruction; nodes carry `text`, native ones also `target`, `rule`, `bytes`."""
        import networkx

        graph = networkx.DiGraph()
        for line in self.lines:
            graph.add_node(("bpf", line.pc), text=line.text, source=line.source)
            for name, cell in line.cells.items():
                for r in cell.rows:
                    graph.add_node((name, r.addr), text=r.text, target=name, rule=cell.rule, bytes=r.bytes.hex())
                    graph.add_edge(("bpf", line.pc), (name, r.addr), rule=cell.rule)
        return graph

    def __repr__(self) -> str:
        return f"SideBySide({self.program.name}, {self.sizes})"


def native(cell: Cell | None, index: int) -> str:
    return cell.rows[index].text if cell is not None and index < len(cell.rows) else ""


def listing_all(
    prog: Program, targets: str | list[str] = "all", kernel: str | None = None, **options: Any
) -> SideBySide:
    """Compile `prog` for several targets and line the results up.

    `targets`  "all", one name, or a list of names        `kernel`  a profile for all of them; default: `KERNELS`
    `options`  as for `compile_program`

    >>> from bpfbench.program.program import from_assembly
    >>> table = listing_all(from_assembly("r0 = r1\\nexit"), ["x86_64", "aarch64"])
    >>> table.lines[1].cells["x86_64"].rows[0].text, table.lines[1].cells["aarch64"].rows[0].text
    ('mov rax, rdi', 'add x7, x0, #0')
    """
    names = list(TARGETS) if targets == "all" else [targets] if isinstance(targets, str) else list(targets)
    codes: dict[str, Code] = {}
    refused: dict[str, str] = {}
    for name in map(target_name, names):
        try:
            codes[name] = compile_program(prog, name, kernel or KERNELS.get(name, "linux-6.18"), **options)
        except BpfbenchError as error:
            refused[name] = str(error)
    return SideBySide(prog, lines_of(prog, codes), codes, refused)


def lines_of(prog: Program, codes: dict[str, Code]) -> list[Line]:
    """The prologue, each instruction, and the epilogue, each with what every target made of it."""
    cells = {name: cells_of(code) for name, code in codes.items()}
    order = [(PROLOGUE, "prologue")]
    for pc, insn in enumerate(prog.insns):
        if insn is not None:
            order.append((pc, format_insn(insn)))
    order.append((EPILOGUE, "epilogue"))
    lines: list[Line] = []
    for pc, text in order:
        found = {name: own[pc] for name, own in cells.items() if pc in own}
        if found or pc >= 0:
            line = prog.lines.get(pc)
            source = f"{line.file}:{line.line}  {line.text.strip()}" if line is not None else ""
            lines.append(Line(pc, text, source, found))
    return lines


def cells_of(code: Code) -> dict[int, Cell]:
    """pc -> cell; the prologues (epilogues) of all functions share one."""
    rules = {s.pc: s.rule for s in code.spans}
    cells: dict[int, Cell] = {}
    for row in code.insns:
        cell = cells.get(row.owner)
        if cell is None:
            cell = cells[row.owner] = Cell([], rules.get(row.owner, ""))
        cell.rows.append(row)
    return cells
