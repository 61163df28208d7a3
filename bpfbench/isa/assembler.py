"""Text to a program: labels, directives, comments, expectations.

One instruction a line, in either notation of `isa/text.py`, after an optional label; `;`, `//` and a `#` after a blank
start a comment.  A listing pasted from a kernel log (`3: (bf) r6 = r1`) or from llvm-objdump (`3: bf 16 …  r6 = r1`)
assembles too: the leading number is dropped and the opcode decides between operations that read alike.

    .type xdp                          program type
    .license GPL
    .map counts hash 4 8 16            name type key_size value_size max_entries [flags]
    .func helper_fn                    a label that a `call helper_fn` turns into a bpf-to-bpf call
    .insn 7b1af8ff00000000             the bytes themselves

A comment of the form `; reject: message`, `; accept` or `; r2=…` is an *expectation* on the line that causes it.
"""

from __future__ import annotations

import re
from typing import final

from bpfbench.bits import s32
from bpfbench.errors import BpfbenchError, ParseError, Where
from bpfbench.isa import ops
from bpfbench.isa.codec import decode
from bpfbench.isa.helpers import helper_id
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import Operand, parse_insn

_COMMENT = re.compile(r"(?:^|\s)#.*$|;.*$|//.*$")
_LABEL = re.compile(r"\s*(<?[A-Za-z_.$][\w.$]*>?):(?!:)")
_LOG = re.compile(r"\s*\d+:\s*(?:\(([0-9a-fA-F]{2})\)\s*)?")
_OBJDUMP = re.compile(r"\s*((?:[0-9a-fA-F]{2} ){7}[0-9a-fA-F]{2})\s+")
_CODE = re.compile(r"\s*\(([0-9a-fA-F]{2})\)\s*")
_EXPECT = re.compile(r"^(reject\b|accept\b|[rR]\d+\w*\s*=|fp-\d+)")


#: What lines read before were: (text, opcode) -> instruction and the name it refers to.
Known = dict[tuple[str, int], tuple[Instruction, Operand | None]]


@final
class Assembly:
    """What a text assembled to: slot-indexed `insns`; `labels`; `comments` by pc; `maps` as declared."""

    __slots__ = ("insns", "labels", "comments", "maps", "type", "license", "functions")

    def __init__(self) -> None:
        self.insns: list[Instruction | None] = []
        self.labels: dict[str, int] = {}
        self.comments: dict[int, str] = {}
        self.maps: list[tuple[str, str, int, int, int, int]] = []
        self.type = ""
        self.license = ""
        self.functions: list[str] = []

    @property
    def expectations(self) -> dict[int, str]:
        """The comments that state what must happen at a pc."""
        return {pc: text for pc, text in self.comments.items() if _EXPECT.match(text)}

    def __repr__(self) -> str:
        return f"Assembly({len(self.insns)} slots, {len(self.labels)} labels, {len(self.maps)} maps)"


def assemble_text(text: str, file: str = "") -> Assembly:
    """Assemble `text`; raises `ParseError` with line, column and a caret.

    >>> assemble_text("start: r0 = 1\\n if r0 == 0 goto start\\n exit ; done").comments
    {2: 'done'}
    """
    out = Assembly()
    pending: list[tuple[int, str, str, Where]] = []          # (pc, name, line, where) still to be resolved
    known: Known = {}
    for number, line in enumerate(text.splitlines(), 1):
        _line(out, pending, known, line, Where(file, number, 1))
    _resolve(out, pending)
    return out


def _line(
    out: Assembly, pending: list[tuple[int, str, str, Where]], known: Known, line: str, where: Where
) -> None:  # fmt: skip
    comment = _COMMENT.search(line)
    body = line[: comment.start()] if comment else line
    said = comment.group(0).strip().lstrip(";/#").strip() if comment else ""
    column = 0
    m = _LABEL.match(body)
    while m is not None:
        name = m.group(1).strip("<>")
        if name in out.labels:
            raise ParseError(f"label '{name}' is defined twice", _at(where, m.start(1)), line)
        out.labels[name] = len(out.insns)
        column = m.end()
        m = _LABEL.match(body, column)
    rest, code, dumped = _strip_listing(body[column:])
    column = len(body) - len(rest)
    if not rest.strip():
        if said and out.insns and not body.strip() and len(out.insns) - 1 in out.comments:
            return
        return
    column += len(rest) - len(rest.lstrip())
    rest = rest.strip()
    if said:
        out.comments[len(out.insns)] = said
    if rest.startswith("."):
        _directive(out, rest, _at(where, column), line)
        return
    try:
        found = known.get((rest, code))
        if found is None:
            found = known[rest, code] = parse_insn(rest, code)
        insn, name2 = found
    except ParseError as error:
        raise ParseError(error.message, _at(where, column + max(error.where.column - 1, 0)), line) from None
    pc = len(out.insns)
    if dumped and name2 is None:
        insn = _prefer_bytes(insn, dumped)
    if name2 is not None:
        pending.append((pc, str(name2), line, _at(where, column)))
    insn = _call_or_wide(insn, name2)
    out.insns.append(insn)
    if insn.slots == 2:
        out.insns.append(None)


def _at(where: Where, column: int) -> Where:
    return Where(where.file, where.line, column + 1)


def _strip_listing(body: str) -> tuple[str, int, bytes]:
    """Drop a leading slot number, dumped bytes or an opcode in parentheses."""
    code, dumped = -1, b""
    m = _LOG.match(body)
    if m is not None:
        body = body[m.end() :]
        code = int(m.group(1), 16) if m.group(1) else -1
    m = _OBJDUMP.match(body)
    if m is not None:
        dumped = bytes.fromhex(m.group(1))
        body, code = body[m.end() :], dumped[0]
        m2 = re.search(r"\s<[^>]*>\s*$", body)
        if m2 is not None:
            body = body[: m2.start()]
    m = _CODE.match(body)
    if m is not None:
        body, code = body[m.end() :], int(m.group(1), 16)
    return body, code, dumped


def _prefer_bytes(insn: Instruction, dumped: bytes) -> Instruction:
    """The bytes beside the text say what the text leaves open (which kind of call, which kind of wide load)."""
    if insn.op.wide:
        row = [op for op in ops.OP_BY_CODE[insn.op.code] if op.fn == dumped[1] >> 4]
        if not row or row[0].fn == ops.IMM:
            return insn
        return Instruction(row[0], insn.dst, 0, 0, s32(insn.imm), s32(insn.imm >> 32))
    again = decode(dumped, strict=False, internal=True)[0]
    return again if again is not None else insn


def _call_or_wide(insn: Instruction, name: Operand | None) -> Instruction:
    """`call name` is a helper if there is one of that name, else a bpf-to-bpf call; `r1 = big` is a wide load."""
    if insn.kind == ops.CALL and isinstance(name, str):
        if helper_id(name):
            return Instruction(insn.op, imm=helper_id(name))
        return Instruction(ops.OP["CALL_LOCAL"])
    if insn.kind == ops.LDDW and insn.op.fn == ops.IMM and isinstance(name, str):
        return Instruction(ops.OP["LDDW_MAP_FD"], insn.dst)
    return insn


def _directive(out: Assembly, text: str, where: Where, line: str) -> None:
    words = text.replace(",", " ").split()
    if words[0] == ".insn" and len(words) == 2:
        try:
            decoded = decode(bytes.fromhex(words[1]), strict=False, internal=False)
        except (ValueError, BpfbenchError):
            raise ParseError(".insn wants the bytes of whole instructions as hex", where, line) from None
        out.insns += decoded
    elif words[0] == ".type" and len(words) == 2:
        out.type = words[1]
    elif words[0] == ".license" and len(words) >= 2:
        out.license = " ".join(words[1:]).strip('"')
    elif words[0] == ".func" and len(words) == 2:
        if words[1] in out.labels:
            raise ParseError(f"label '{words[1]}' is defined twice", where, line)
        out.labels[words[1]] = len(out.insns)
        out.functions.append(words[1])
    elif words[0] == ".map" and len(words) in (6, 7):
        try:
            numbers = [int(w, 0) for w in words[3:]]
        except ValueError:
            raise ParseError(".map wants name type key_size value_size max_entries [flags]", where, line) from None
        out.maps.append((words[1], words[2], numbers[0], numbers[1], numbers[2], numbers[3] if len(numbers) > 3 else 0))
    else:
        raise ParseError(f"unknown directive '{words[0]}' or wrong number of words", where, line)


def _resolve(out: Assembly, pending: list[tuple[int, str, str, Where]]) -> None:
    maps = [m[0] for m in out.maps]
    for pc, name, line, where in pending:
        insn = out.insns[pc]
        assert insn is not None
        if insn.kind == ops.CALL:
            continue
        if insn.kind == ops.LDDW and insn.op.fn in (ops.MAP_FD, ops.MAP_VALUE):
            if name not in maps:
                raise ParseError(f"unknown map '{name}'; declare it with .map", where, line)
            out.insns[pc] = Instruction(insn.op, insn.dst, 0, 0, maps.index(name), insn.imm2)
            continue
        if name not in out.labels:
            raise ParseError(f"unknown label or helper '{name}'", where, line)
        distance = out.labels[name] - pc - 1
        by_imm = insn.kind in (ops.CALL_LOCAL, ops.LDDW) or insn.op.name == "JA32"
        if not by_imm and not -0x8000 <= distance <= 0x7FFF:
            raise ParseError(f"label '{name}' is {distance} slots away, too far for this jump", where, line)
        if insn.is_jump or by_imm:
            out.insns[pc] = (
                Instruction(insn.op, insn.dst, insn.src, 0, distance) if by_imm
                else Instruction(insn.op, insn.dst, insn.src, distance, insn.imm)
            )  # fmt: skip
        else:
            raise ParseError(f"'{name}' is not a number", where, line)
