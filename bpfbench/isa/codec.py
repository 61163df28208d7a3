"""Bytes to instructions and back, in both byte orders.

Decoding looks up the code byte, lets the rows' selectors choose among the operations that share it, and then checks
that every field the row does not use is zero.  `strict` decoding raises at the first flaw, naming the slot; lenient
decoding keeps the flawed instruction (`Instruction.flaw`) so that a verifier can refuse it where the kernel would.

Slots, not instructions, are numbered: a wide load fills two, and the second is `None` in the list.

Source: RFC 9669 sections 3 and 4; kernel/bpf/verifier.c (resolve_pseudo_ldimm64, check_alu_op, do_check).
"""

from __future__ import annotations

import struct

from bpfbench.bits import s32, u32
from bpfbench.errors import DecodeError, EncodeError, Where
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP_BY_CODE, UNKNOWN_OPS, Op

SLOT = 8
_LITTLE = struct.Struct("<BBhi")
_BIG = struct.Struct(">BBhi")
_SELECTED = {"dst": "destination register", "src": "source register", "off": "offset", "imm": "immediate"}


def decode(
    raw: bytes, big_endian: bool = False, strict: bool = True, internal: bool = False
) -> list[Instruction | None]:
    """Slot-indexed instructions of a program.

    `raw` is a multiple of 8 bytes.  `internal` admits what only programs rewritten by the kernel contain.
    Raises `DecodeError` naming the slot; with `strict=False` only for a length that is not a multiple of 8.

    >>> decode(bytes.fromhex("b7000000020000009500000000000000"))
    [<r0 = 2>, <exit>]
    """
    if len(raw) % SLOT:
        message = f"{len(raw)} bytes are not a whole number of 8-byte instructions"
        raise DecodeError(message, Where(offset=len(raw) & ~7))
    insns: list[Instruction | None] = []
    known: dict[bytes, Instruction] = {}             # equal slots share one object
    at = 0
    while at < len(raw):
        slot = raw[at : at + SLOT]
        insn = known.get(slot)
        if insn is None:
            insn = _one(raw, at, big_endian, internal)
            if insn.flaw and strict:
                raise DecodeError(insn.flaw, Where(pc=at // SLOT))
            if not insn.op.wide:
                known[slot] = insn
        insns.append(insn)
        if insn.slots == 2:
            insns.append(None)
        at += SLOT * insn.slots
    return insns


def _fields(raw: bytes, at: int, big_endian: bool) -> tuple[int, int, int, int]:
    """Opcode, registers, offset and immediate of one slot."""
    code, regs, off, imm = (_BIG if big_endian else _LITTLE).unpack_from(raw, at)
    return code, regs, off, imm


def _registers(byte: int, big_endian: bool) -> tuple[int, int]:
    low, high = byte & 15, byte >> 4
    return (high, low) if big_endian else (low, high)


def _one(raw: bytes, at: int, big_endian: bool, internal: bool) -> Instruction:
    code, regs, off, imm = _fields(raw, at, big_endian)
    dst, src = _registers(regs, big_endian)
    rows = OP_BY_CODE[code]
    op = _select(rows, src, off, imm, internal)
    if op is None:
        best = _best(rows, code)
        return Instruction(best, dst, src, off, imm, 0, _no_row(rows, code, src, off, imm))
    flaw = _flaw(op, dst, src, off, imm, internal)
    if op.wide and not flaw:
        return _wide(op, raw, at + SLOT, big_endian, dst, off, imm)
    if flaw:
        return Instruction(op, dst, src, off, imm, 0, flaw)
    field = op.selector[0]
    return Instruction(
        op, dst, 0 if field == "src" else src, 0 if field == "off" else off, 0 if field == "imm" else imm
    )


def _best(rows: list[Op], code: int) -> Op:
    for op in rows:
        if not op.internal:
            return op
    return UNKNOWN_OPS[code]


def _select(rows: list[Op], src: int, off: int, imm: int, internal: bool) -> Op | None:
    for op in rows:
        if op.internal and not internal:
            continue
        field, value = op.selector
        if not field or value == (src if field == "src" else off if field == "off" else imm):
            if op.kind == ops.ALU32 and op.fn == ops.MOV and not op.imm and imm == 1 and internal:
                continue
            return op
    return None


def _no_row(rows: list[Op], code: int, src: int, off: int, imm: int) -> str:
    if _best(rows, code).kind == ops.UNKNOWN:
        return f"unknown opcode {code:02x}"
    field = rows[0].selector[0]
    for op in rows:
        field = op.selector[0] or field
    value = {"src": src, "off": off, "imm": imm}[field]
    return f"opcode {code:02x} does not allow {_SELECTED[field]} {value:#x}"


def _flaw(op: Op, dst: int, src: int, off: int, imm: int, internal: bool) -> str:
    top = 11 if internal else 10  # rewritten programs may use the auxiliary register r11 (BPF_REG_AX)
    if dst > top or src > top:
        return f"register r{max(dst, src)} is invalid"
    selector = op.selector[0]
    if internal and op.kind in (ops.CALL_LOCAL, ops.CALL):
        return ""
    for field, value in (("dst", dst), ("src", src), ("off", off), ("imm", imm)):
        if value and field != selector and field not in op.uses:
            return f"{op.name} uses reserved field: {_SELECTED[field]} is {value:#x}, not 0"
    return ""


def _wide(op: Op, raw: bytes, at: int, big_endian: bool, dst: int, off: int, imm: int) -> Instruction:
    """A wide load whose second half is at `at`."""
    if at >= len(raw):
        return Instruction(op, dst, op.fn, off, imm, 0, "second half of a wide load is missing")
    code2, regs2, off2, imm2 = _fields(raw, at, big_endian)
    if code2 or regs2 or off2:
        return Instruction(op, dst, op.fn, off, imm, 0, "second half of a wide load is not zero but for its immediate")
    if op.fn == ops.IMM:
        return Instruction(op, dst, 0, 0, u32(imm2) << 32 | u32(imm))
    if imm2 and "imm2" not in op.uses:
        return Instruction(op, dst, 0, 0, imm, imm2)
    return Instruction(op, dst, 0, 0, imm, imm2)


def encode(insns: list[Instruction | None], big_endian: bool = False) -> bytes:
    """The bytes of slot-indexed instructions; `EncodeError` names the slot whose operand does not fit.

    >>> encode(decode(bytes.fromhex("18010000785634120000000001000000"))).hex()
    '18010000785634120000000001000000'
    """
    pack = struct.Struct(">BBhi" if big_endian else "<BBhi").pack
    out: list[bytes] = []
    known: dict[int, bytes] = {}                     # by identity: equal instructions share an object
    for pc, insn in enumerate(insns):
        if insn is None:
            continue
        again = known.get(id(insn))
        if again is not None:
            out.append(again)
            continue
        try:
            code, dst, src, off, imm = wire(insn)
            low, high = (src, dst) if big_endian else (dst, src)
            raw = pack(code, high << 4 | low, off, imm)
            if insn.slots == 2:
                raw += pack(0, 0, 0, s32(insn.imm >> 32) if insn.op.fn == ops.IMM else insn.imm2)
            known[id(insn)] = raw
            out.append(raw)
        except struct.error:
            raise EncodeError(f"an operand of '{insn.op.name}' does not fit its field", Where(pc=pc)) from None
    return b"".join(out)


def wire(insn: Instruction) -> tuple[int, int, int, int, int]:
    """(code, dst, src, off, imm) of the first slot, selector fields included."""
    op = insn.op
    src, off, imm = insn.src, insn.off, insn.imm
    if not insn.flaw:
        field, value = op.selector
        if field == "src":
            src = value
        elif field == "off":
            off = value
        elif field == "imm":
            imm = value
        if op.wide:
            imm = s32(imm)
    return op.code, insn.dst, src, off, imm
