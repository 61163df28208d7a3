"""Instructions that are not well formed, as the kernel's log prints them.

The kernel prints an instruction before it checks it, by opcode, and looks at other fields only where they choose among
operations of one opcode.  So a flawed instruction has a text too, often that of a well-formed neighbour:

    d7 01 00 00 07 00 00 00     (d7) r1 = bswap7 r1                  any width is printed
    bf 16 ff ff 00 00 00 00     (bf) r6 = &(void __percpu *)(r1)     a move with off -1 (from 6.10)
    db 98 f8 ff 99 00 00 00     BUG_db                               an atomic operation that does not exist

Source: kernel/bpf/disasm.c `print_bpf_insn`.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP_BY_CODE, Op
from bpfbench.isa.text import format_insn

CALL: Final = 0x85
END: Final = 0xD0
MOV_X: Final = 0xBF
MAY_GOTO: Final = 0xE5
GOTOL: Final = 0x06
SIZES: Final = {0x00: "u32", 0x08: "u16", 0x10: "u8", 0x18: "u64"}
ATOMICS: Final = {
    # imm: text; d, s and m are the operands, t the type, w 64 for double words
    0x00: "lock *({t} *)(r{d} {m:+d}) += r{s}",    0x01: "r{s} = atomic{w}_fetch_add(({t} *)(r{d} {m:+d}), r{s})",
    0x40: "lock *({t} *)(r{d} {m:+d}) |= r{s}",    0x41: "r{s} = atomic{w}_fetch_or(({t} *)(r{d} {m:+d}), r{s})",
    0x50: "lock *({t} *)(r{d} {m:+d}) &= r{s}",    0x51: "r{s} = atomic{w}_fetch_and(({t} *)(r{d} {m:+d}), r{s})",
    0xA0: "lock *({t} *)(r{d} {m:+d}) ^= r{s}",    0xA1: "r{s} = atomic{w}_fetch_xor(({t} *)(r{d} {m:+d}), r{s})",
    0xE1: "r{s} = atomic{w}_xchg(({t} *)(r{d} {m:+d}), r{s})",
    0xF1: "r0 = atomic{w}_cmpxchg(({t} *)(r{d} {m:+d}), r0, r{s})",
}  # fmt: skip
ATOMICS_615: Final = {
    0x100: "r{d} = load_acquire(({t} *)(r{s} {m:+d}))",
    0x110: "store_release(({t} *)(r{d} {m:+d}), r{s})",
}


def flawed_text(insn: Instruction, version: tuple[int, int]) -> str:
    """The line of a log for an instruction with a `flaw`.

    >>> from bpfbench.isa.codec import decode
    >>> flawed_text(decode(bytes.fromhex("d701000007000000"), strict=False)[0], (6, 18))
    '(d7) r1 = bswap7 r1'
    """
    code, cls = insn.op.code, insn.op.code & 7
    if cls in (4, 7) and code & 0xF0 == END and (cls == 4 or version >= (6, 6)):
        word = "bswap" if cls == 7 else "be" if code & 8 else "le"
        return f"({code:02x}) r{insn.dst} = {word}{insn.imm} r{insn.dst}"
    if cls == 3 and code & 0xE0 == 0xC0:
        return _atomic(insn, code, version)
    if code == MOV_X and insn.off == -1 and version >= (6, 10):
        return f"(bf) r{insn.dst} = &(void __percpu *)(r{insn.src})"
    if code == MOV_X and insn.off == 1 and version >= (6, 9):
        return f"(bf) r{insn.dst} = addr_space_cast(r{insn.src}, {insn.imm >> 16 & 0xFFFF}, {insn.imm & 0xFFFF})"
    if code == CALL:
        return _call(insn)
    if code == GOTOL and version < (6, 6):
        return f"(06) if w{insn.dst} jmp {insn.imm & 0xFFFFFFFF:#x} goto pc{insn.off:+d}"
    if code == MAY_GOTO and insn.src:           # an operation the printer has no sign for
        return f"(e5) if r{insn.dst} (null) {insn.imm & 0xFFFFFFFF:#x} goto pc{insn.off:+d}"
    row = _row(insn, code, version)
    return format_insn(Instruction(row, insn.dst, insn.src, insn.off, insn.imm, 0, insn.flaw), with_code=True)


def _atomic(insn: Instruction, code: int, version: tuple[int, int]) -> str:
    text = ATOMICS.get(insn.imm) or (ATOMICS_615.get(insn.imm) if version >= (6, 15) else None)
    if text is None:
        return f"BUG_{code:02x}"
    size = code & 0x18
    words = text.format(t=SIZES[size], d=insn.dst, s=insn.src, m=insn.off, w="64" if size == 0x18 else "")
    return f"({code:02x}) {words}"


def _call(insn: Instruction) -> str:
    if insn.src == 1:
        return f"(85) call pc{insn.imm:+d}"
    name = helper_name(insn.imm) if insn.src == 0 else ""
    if insn.src == 0 and insn.imm == 0:
        name = "unspec"
    return f"(85) call {'bpf_' + name if name else 'unknown'}#{insn.imm}"


def is_plain(insn: Instruction, version: tuple[int, int]) -> bool:
    """Is it an operation chosen by its offset, in the log of a kernel that knew none of these?"""
    return version < (6, 6) and (insn.op.code == GOTOL or insn.op.selector[0] == "off" and insn.op.selector[1] != 0)


def _row(insn: Instruction, code: int, version: tuple[int, int]) -> Op:
    """The operation that the fields choose, the plain one where they choose none."""
    for row in OP_BY_CODE[code] if version >= (6, 6) else ():
        field, value = row.selector
        if not row.internal and field == "off" and value and value == insn.off:
            return row
    for row in OP_BY_CODE[code]:
        if not row.internal and (row.selector[0] != "off" or not row.selector[1]):
            return row
    return insn.op


#: The text of `call 0`, which is well formed: there is a helper of that number, and nobody may call it.
UNSPEC: Final = "(85) call bpf_unspec#0"
