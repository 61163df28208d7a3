"""The manual, one page an operation, made from the op table.

A page shows the encoding as boxes, the text in both notations, the meaning, the conformance group and where the slides
speak of it; `manual()` joins all pages, grouped by kind.

>>> print(page("SDIV64_K").splitlines()[0])
SDIV64_K: signed division by an immediate, 64 bit
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import UsageError
from bpfbench.isa import ops
from bpfbench.isa.codec import encode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import KIND_NAMES, OP, OPS, Op
from bpfbench.isa.text import format_insn

# kind -> what the slides say about it
SLIDES: Final[dict[int, str]] = {
    ops.ALU64: "14 (representation), 18 (division by zero, shift amounts), 36 (one-to-one mapping)",
    ops.ALU32: "14, 52-54 (32-bit sub-registers on the NFP)",
    ops.JMP: "14, 26-28 (depth-first walk), 30-33 (paths)",
    ops.JMP32: "14, 52 (32-bit sub-registers)",
    ops.JA: "14, 26 (depth-first walk)",
    ops.LDX: "14, 19 (spilled pointers), 43-51 (NFP memory)",
    ops.ST: "14, 19 (corrupting a spilled pointer)",
    ops.STX: "14, 19, 45 (memcpy)",
    ops.CALL: "37 (linking helpers)",
    ops.CALL_LOCAL: "25 (function partition), 38 (linking bpf-to-bpf calls)",
    ops.EXIT: "17, 25",
    ops.LDDW: "37 (maps and helpers), 43 (maps on the NFP)",
}

_FN_WORDS: Final = {
    "ADD": "addition", "SUB": "subtraction", "MUL": "multiplication",
    "DIV": "unsigned division", "MOD": "unsigned remainder",
    "SDIV": "signed division", "SMOD": "signed remainder", "OR": "bitwise or", "AND": "bitwise and",
    "XOR": "exclusive or",
    "LSH": "left shift", "RSH": "logical right shift", "ARSH": "arithmetic right shift",
    "MOV": "move", "NEG": "negation",
}  # fmt: skip
_SIZE_WORDS: Final = {1: "byte", 2: "half word", 4: "word", 8: "double word"}
_KIND_TITLES: Final[dict[int, str]] = {
    ops.ALU64: "64-bit arithmetic", ops.ALU32: "32-bit arithmetic", ops.MOVSX: "sign-extending moves",
    ops.END: "byte order", ops.JMP: "64-bit conditional jumps", ops.JMP32: "32-bit conditional jumps",
    ops.JA: "jumps", ops.CALL: "helper calls", ops.LDX: "loads", ops.LDXS: "sign-extending loads",
    ops.ST: "stores of an immediate", ops.STX: "stores", ops.ATOMIC: "atomic operations",
    ops.LOAD_ACQ: "load-acquire", ops.STORE_REL: "store-release", ops.LD_ABS: "packet loads, absolute",
    ops.LD_IND: "packet loads, indirect", ops.LDDW: "wide loads", ops.CALL_LOCAL: "bpf-to-bpf calls",
    ops.CALL_KFUNC: "kernel function calls", ops.EXIT: "return",
}  # fmt: skip


def _title(op: Op) -> str:
    head = op.name.split("_")[0]
    word = next((w for fn, w in _FN_WORDS.items() if head in (f"{fn}64", f"{fn}32")), "")
    if word:
        bits = "64 bit" if op.kind == ops.ALU64 else "32 bit"
        operand = "" if op.fn == ops.NEG else (" by an immediate" if op.imm else " by a register")
        return f"{word}{operand.replace(' by', ' of') if op.fn == ops.MOV else operand}, {bits}"
    if op.kind in (ops.LDX, ops.LDXS, ops.ST, ops.STX, ops.ATOMIC, ops.LOAD_ACQ, ops.STORE_REL):
        return f"{_KIND_TITLES[op.kind].rstrip('s')}, {_SIZE_WORDS[op.size]}"
    return op.meaning


def _field(op: Op, name: str) -> str:
    selector, value = op.selector
    if name == selector:
        return f"{value & 0xFFFF_FFFF if value < 0 else value:#x}"
    return name if name in op.uses else "0"


def encoding(op: Op) -> str:
    """The slot(s) as boxes of field contents, most used order: code, dst, src, off, imm."""
    cells = [f"{op.code:#04x}", _field(op, "dst"), _field(op, "src"), _field(op, "off"), _field(op, "imm")]
    heads = ["code:8", "dst:4", "src:4", "off:16", "imm:32"]
    if op.wide:
        heads += ["0:32", "imm:32"]
        cells += ["0", "imm, upper" if op.fn == ops.IMM else ("imm2" if "imm2" in op.uses else "0")]
    widths = [max(len(a), len(b)) for a, b in zip(heads, cells, strict=True)]
    rule = "+" + "+".join("-" * (w + 2) for w in widths) + "+"
    rows = ["|" + "|".join(f" {c:{w}} " for c, w in zip(line, widths, strict=True)) + "|" for line in (heads, cells)]
    return "\n".join([rule, rows[0], rule, rows[1], rule])


def example(op: Op) -> Instruction:
    """A typical instance of the operation."""
    values = {"dst": 1, "src": 2, "off": 8, "imm": 7, "imm2": 4}
    dst, src, off, imm, imm2 = (values[f] if f in op.uses else 0 for f in ("dst", "src", "off", "imm", "imm2"))
    return Instruction(op, dst, src, off, imm, imm2)


def page(name: str) -> str:
    """The manual page of the operation called `name`; `UsageError` if there is none."""
    if name not in OP:
        raise UsageError(f"there is no operation '{name}'")
    op = OP[name]
    sample = example(op)
    lines = [
        f"{op.name}: {_title(op)}", "",
        *(f"    {line}" for line in encoding(op).splitlines()), "",
        f"meaning    {op.meaning}",
        f"kernel     {format_insn(sample)}",
        f"LLVM       {format_insn(sample, 'llvm')}",
        f"bytes      {encode([sample]).hex(' ')}",
        f"group      {op.group}" + (f", since Linux {op.since}" if op.since[:1].isdigit() else f", since {op.since}"),
    ]  # fmt: skip
    if op.kind in SLIDES:
        lines.append(f"slides     {SLIDES[op.kind]}")
    return "\n".join(lines)


def manual() -> str:
    """All pages, by kind, as Markdown."""
    parts: list[str] = ["# The eBPF instruction set\n"]
    for kind, name in enumerate(KIND_NAMES):
        rows = [op for op in OPS if op.kind == kind]
        if rows:
            title = _KIND_TITLES.get(kind, name.lower().replace("_", " "))
            parts.append(f"## {title[0].upper()}{title[1:]}\n")
            parts += [f"### {op.name}\n\n```text\n{page(op.name)}\n```\n" for op in rows]
    return "\n".join(parts)
