"""Instructions as text, in the two notations of the field, both ways.

`kernel` is what the verifier log and bpftool print, `llvm` what llvm-objdump prints:

    kernel   (15) if r1 == 0x7 goto pc+2      (61) r1 = *(u32 *)(r2 +4)
    llvm          if r1 == 0x7 goto +0x2           w1 = *(u32 *)(r2 + 0x4)

llvm-objdump has changed its mind about the details: since LLVM 20 it shows loads and stores of 32 bits and less with
`w` registers (as above), LLVM 19 and older with `r` registers, and LLVM 14 prints decimal numbers.  The dialects
`llvm-19` and `llvm-14` print that way.

The text columns of the op table are the only grammar.  Printing fills a row's template.  Parsing cuts a line into
tokens, replaces registers by `r`/`w` and numbers and names by `N`, and looks the resulting *shape* up in the shapes of
all templates; so both notations, any spacing and labels are read by the same few lines.

Sources: kernel/bpf/disasm.c (print_bpf_insn); LLVM BPFInstPrinter.cpp.
"""

from __future__ import annotations

import re
from typing import Final

from bpfbench.bits import s32, s64, u32, u64
from bpfbench.errors import ParseError, UsageError, Where
from bpfbench.isa import ops
from bpfbench.isa.codec import encode, wire
from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OPS, Op

NOTATIONS: Final = ("kernel", "llvm")
DIALECTS: Final = ("kernel", "llvm", "llvm-19", "llvm-14")
_FIELD = re.compile(r"\{(\w)\}")


# ---------------------------------------------------------------------------------------------------------- printing
def format_insn(insn: Instruction, notation: str = "kernel", with_code: bool = False) -> str:
    """The text of one instruction, without its label or comment.

    >>> from bpfbench.isa.ops import OP
    >>> load = Instruction(OP["LDXW"], dst=1, src=2, off=4)
    >>> format_insn(load), format_insn(load, "llvm"), format_insn(load, with_code=True)
    ('r1 = *(u32 *)(r2 +4)', 'w1 = *(u32 *)(r2 + 0x4)', '(61) r1 = *(u32 *)(r2 +4)')
    """
    if notation not in DIALECTS:
        raise UsageError(f"unknown notation '{notation}'; known: {', '.join(DIALECTS)}")
    template = insn.op.kernel if notation == "kernel" else insn.op.llvm
    if notation in ("llvm-19", "llvm-14"):
        template = _older(insn.op, notation)
    text = _FIELD.sub(lambda m: _operand(insn, m.group(1), notation), template)
    return f"({insn.op.code:02x}) {text}" if with_code else text


def _older(op: Op, notation: str) -> str:
    """The template of LLVM 19 or 14: other registers, and what their disassemblers do not know without -mattr."""
    if op.kind == ops.ATOMIC and op.size == 4:
        return ops.OP["ADD_W"].llvm.replace("w{", "r{") if op.fn in (ops.A_ADD, ops.F_ADD) else "<unknown>"
    if notation == "llvm-14" and op.since == "6.6" and op.selector[0] == "off":      # it never looks at off
        op = next(row for row in ops.OP_BY_CODE[op.code] if row.selector[1] == 0)
    if notation == "llvm-14" and (op.since == "6.6" or op.kind in (ops.ALU64, ops.ALU32) and op.fn == ops.MOD):
        return "<unknown>"
    return op.llvm.replace("w{", "r{") if op.kind in (ops.LDX, ops.STX) else op.llvm


def _hex(value: int) -> str:
    return f"-{-value:#x}" if value < 0 else f"{value:#x}"


def _operand(insn: Instruction, field: str, notation: str) -> str:
    kernel = notation == "kernel"
    number = str if notation == "llvm-14" else _hex
    if field == "d":
        return str(insn.dst)
    if field == "s":
        return str(insn.src)
    if field == "i":
        return str(insn.imm) if kernel else number(insn.imm)
    if field == "x":
        return f"{u32(insn.imm):#x}" if kernel else number(insn.imm)
    if field == "m":
        return f"{insn.off:+d}" if kernel else f"{'-' if insn.off < 0 else '+'} {number(abs(insn.off))}"
    if field == "j" or field == "l":
        distance = insn.off if field == "j" else insn.imm
        return f"{distance:+d}" if kernel else ("" if distance < 0 else "+") + number(distance)
    if field == "h":
        name = helper_name(insn.imm)
        return f"{'bpf_' + name if name else 'unknown'}#{insn.imm}"
    if field == "u":
        if insn.op.fn != ops.IMM:
            return number(u32(insn.imm))
        return f"{u64(insn.imm):#x}" if kernel else number(s64(insn.imm))
    if field == "p":
        return f"{insn.imm2:+d}"
    high, low = u32(insn.imm) >> 16, insn.imm & 0xFFFF
    part = high if field == "a" else low
    return str(part) if kernel else _hex(part)


# ----------------------------------------------------------------------------------------------------------- shapes
_TOKEN = re.compile(
    r"\s*(?:(s(?:>>=|/=|%=|>=|<=|>|<)|<<=|>>=|[-+*/|&^%=!<>]=|[()\[\]*&#,<>=|+-])"   # 1 operator
    r"|(0[xX][0-9a-fA-F]{1,32}|\d{1,39})(?![\w.])"                                    # 2 number
    r"|([rw])(\d{1,3})\b"                                                               # 3, 4 register
    r"|([A-Za-z_.$][\w.$:@]*))"                                                       # 5 word
)  # fmt: skip

Operand = int | str        # a number, or the name of a label, map, helper or function


def _tokens(text: str) -> list[tuple[str, Operand]] | int:
    """(shape letter or literal, value) pairs; the column of the first character that is no token otherwise."""
    found: list[tuple[str, Operand]] = []
    at = 0
    text = text.rstrip()
    while at < len(text):
        m = _TOKEN.match(text, at)
        if m is None:
            return at + len(text[at:]) - len(text[at:].lstrip())
        at = m.end()
        if m.group(1):
            found.append((m.group(1), ""))
        elif m.group(2):
            value = int(m.group(2), 0) if m.group(2)[:2] in ("0x", "0X") else int(m.group(2))
            sign = found[-1][0] if found and found[-1][0] in "+-" else ""
            while found and found[-1][0] in ("+", "-"):       # the kernel prints skb[r2 + -4]
                found.pop()
            found.append(("N", -value if sign == "-" else value))
        elif m.group(3):
            found.append((m.group(3), int(m.group(4))))
        else:
            word = m.group(5)
            found.append((word, "") if word in _WORDS else ("N", word))
    return found


def _shape(tokens: list[tuple[str, Operand]]) -> tuple[str, ...]:
    """The key of a line.  `pc` before a jump distance is decoration, but `call pc+5` is not `call 5`."""
    out: list[str] = []
    for letter, _ in tokens:
        if letter == "pc" and out and out[-1] not in ("call", "func"):
            continue
        out.append(letter)
    return tuple(out)


_WORDS: Final[set[str]] = {
    word for op in OPS for text in (op.kernel, op.llvm)
    for word in re.findall(r"[A-Za-z_]\w*", _FIELD.sub(" ", text)) if word not in ("r", "w", "s", "r0", "w0")
}  # fmt: skip


# the order in which a row's template consumes operands, per shape
_SHAPES: Final[dict[tuple[str, ...], list[tuple[Op, str]]]] = {}


def _learn(op: Op, template: str) -> None:
    fields = "".join(_FIELD.findall(template))
    sample = template.replace("{h}", "1")
    sample = _FIELD.sub(lambda m: "+1" if m.group(1) in "mjlp" else "1", sample)
    tokens = _tokens(sample)
    assert not isinstance(tokens, int), template
    rows = _SHAPES.setdefault(_shape(tokens), [])
    if all(known is not op for known, _ in rows):
        rows.append((op, _operands_of(template, fields)))


def _operands_of(template: str, fields: str) -> str:
    """Field letters in token order, "." for a register that the template itself fixes (r0)."""
    order = ""
    for m in re.finditer(r"\{(\w)\}|\b([rw])0\b|(?<![\w{])(\d+)\b", template):
        order += m.group(1) or "."
    return order if order else fields


# ---------------------------------------------------------------------------------------------------------- parsing
def parse_insn(text: str, code: int = -1, where: Where | None = None) -> tuple[Instruction, Operand | None]:
    """One line of either notation (no label, no comment) as an instruction, and the name it refers to, if any.

    `code` is the opcode byte where it is known; it decides between operations that read alike.  A name (jump label,
    map, helper, function) is returned as it stands, with 0 in the instruction's field.

    >>> parse_insn("if r1 s> -7 goto out")
    (<if r1 s> 0xfffffff9 goto pc+0>, 'out')
    """
    where = where if where is not None else Where()
    tokens = _tokens(text)
    if isinstance(tokens, int):
        raise ParseError("not an instruction: unexpected character", _column(where, tokens), text)
    rows = _SHAPES.get(_shape(tokens))
    if rows is None:
        tokens = _with_zero_displacement(tokens)
        rows = _SHAPES.get(_shape(tokens))
    if rows is None and len(tokens) == 4 and tokens[0][0] == "call" and tokens[2][0] == "#":
        tokens = [tokens[0], tokens[3]]                     # call name#number: the number decides
        rows = _SHAPES[("call", "N")]
    if rows is None:
        raise ParseError("not an instruction of eBPF", _column(where, len(text) - len(text.lstrip())), text)
    problem = ""
    for op, order in _candidates(rows, code):
        built = _build(op, order, tokens)
        if isinstance(built, tuple):
            return built
        problem = problem or built
    raise ParseError(problem or f"no form of this instruction has opcode {code:#04x}", _column(where, 0), text)


def _column(where: Where, column: int) -> Where:
    return Where(where.file, where.line, where.column + column + (0 if where.column else 1), pc=where.pc)


def _candidates(rows: list[tuple[Op, str]], code: int) -> list[tuple[Op, str]]:
    if code >= 0:
        return [row for row in rows if row[0].code == code]
    return [row for row in rows if not row[0].internal] + [row for row in rows if row[0].internal]


def _with_zero_displacement(tokens: list[tuple[str, Operand]]) -> list[tuple[str, Operand]]:
    """`*(u8 *)(r1)` is `*(u8 *)(r1 +0)`; `xchg_64(r1, r2)` is `xchg_64(r1 +0, r2)`."""
    out: list[tuple[str, Operand]] = []
    for i, token in enumerate(tokens):
        out.append(token)
        after = tokens[i + 1][0] if i + 1 < len(tokens) else ""
        if token[0] == "r" and i > 0 and tokens[i - 1][0] == "(" and after in (")", ","):
            out.append(("N", 0))
    return out


def _build(op: Op, order: str, tokens: list[tuple[str, Operand]]) -> tuple[Instruction, Operand | None] | str:
    """The instruction these tokens spell as `op`, or the reason why they do not."""
    values: dict[str, Operand] = {}
    at = 0
    for letter, value in tokens:
        if letter not in ("r", "w", "N"):
            continue
        field = order[at] if at < len(order) else "."
        at += 1
        if field == ".":
            continue
        if values.setdefault(field, value) != value:
            return "both registers must be the same here"
    name: Operand | None = None
    fields: dict[str, int] = {}
    for field, value in values.items():
        if isinstance(value, str):
            name, value = value, 0
        problem = _place(op, field, value, fields)
        if problem:
            return problem
    get = fields.get
    return Instruction(op, get("dst", 0), get("src", 0), get("off", 0), get("imm", 0), get("imm2", 0)), name


def _place(op: Op, field: str, value: int, out: dict[str, int]) -> str:
    if field in "ds":
        out["dst" if field == "d" else "src"] = value
        return "" if value <= 10 else f"there is no register r{value}"
    if field in "mj":
        out["off"] = value
        return "" if -0x8000 <= value <= 0x7FFF else f"offset {value} does not fit 16 bits"
    if field in "ab":
        out["imm"] = s32(u32(out.get("imm", 0)) | (value & 0xFFFF) << (16 if field == "a" else 0))
        return ""
    if field == "p":
        out["imm2"] = value
        return "" if -0x8000_0000 <= value <= 0x7FFF_FFFF else f"offset {value} does not fit 32 bits"
    if op.wide:
        if op.fn == ops.IMM:
            out["imm"] = u64(value)
            return "" if -(1 << 63) <= value < 1 << 64 else f"constant {value:#x} does not fit 64 bits"
        out["imm"] = s32(value)
        return "" if -0x8000_0000 <= value <= 0xFFFF_FFFF else f"immediate {value:#x} does not fit 32 bits"
    out["imm"] = s32(value)
    low, high = -0x8000_0000, (0x7FFF_FFFF if op.kind == ops.ALU64 or op.kind == ops.ST else 0xFFFF_FFFF)
    return "" if low <= value <= high else f"immediate {value:#x} does not fit 32 bits"


for _op in OPS:
    _learn(_op, _op.kernel)
    _learn(_op, _op.llvm)


# ------------------------------------------------------------------------------------------------------ disassembly
def exact_text(insn: Instruction, notation: str = "kernel") -> str:
    """Text that parses back to the same instruction: the notation's own, the other one's, or `.insn` with the bytes."""
    if not insn.flaw and insn.kind != ops.UNKNOWN:
        for choice in (notation, *NOTATIONS):
            text = format_insn(insn, choice)
            try:
                again, name = parse_insn(text)
            except ParseError:
                continue
            if name is None and again == insn:
                return text
    code, dst, src, off, imm = wire(insn)
    raw = encode([Instruction(insn.op, dst, src, off, imm, insn.imm2, insn.flaw)]) if insn.flaw else encode([insn])
    return f".insn {raw.hex()}"


def disassemble(insns: list[Instruction | None], notation: str = "kernel") -> str:
    """Assembly that assembles to exactly these slots, with labels at jump targets and flaws as comments.

    >>> from bpfbench.isa.codec import decode
    >>> print(disassemble(decode(bytes.fromhex("15010100000000000700000001000000" "9500000000000000"))))
        if r1 == 0x0 goto L2
        r0 += 1
    L2:
        exit
    """
    labels = {
        pc + 1 + i.jump for pc, i in enumerate(insns)
        if i is not None and i.is_jump and not i.flaw and 0 <= pc + 1 + i.jump < len(insns)
        and insns[pc + 1 + i.jump] is not None
    }  # fmt: skip
    lines: list[str] = []
    for pc, insn in enumerate(insns):
        if insn is None:
            continue
        if pc in labels:
            lines.append(f"L{pc}:")
        text = exact_text(insn, notation)
        if insn.is_jump and not insn.flaw and pc + 1 + insn.jump in labels:
            text = re.sub(r"goto(l?) (pc)?[+-]\w+$", rf"goto\1 L{pc + 1 + insn.jump}", text)
        lines.append(f"    {text}" + (f"    ; {format_insn(insn)}: {insn.flaw}" if insn.flaw else ""))
    return "\n".join(lines)
