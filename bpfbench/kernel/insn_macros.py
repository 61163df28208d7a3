"""The instruction macros that the kernel writes BPF programs in, as functions from operands to slots.

    BPF_MOV64_IMM(BPF_REG_0, 7)        (0xb7, 0, 0, 0, 7)
    BPF_LD_IMM64(BPF_REG_1, 1 << 40)   (0x18, 1, 0, 0, 0), (0, 0, 0, 0, 0x100)

A slot is (code, dst, src, off, imm) with off and imm cut to 16 and 32 signed bits, as the C structure does.  An opcode
is class | size or operation | mode or source; the rows below say which.  Source: include/linux/filter.h, slide 7.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.bits import s16, s32, u8
from bpfbench.isa.helpers import HELPERS
from bpfbench.program.program import MAP_TYPES, PROG_TYPES

Slot = tuple[int, int, int, int, int]

# Classes, sources, modes
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
K, X = 0x00, 0x08
IMM, ABS, IND, MEM, MEMSX, ATOMIC = 0x00, 0x20, 0x40, 0x60, 0x80, 0xC0
W, H, B, DW = 0x00, 0x08, 0x10, 0x18
MOV, END, JA, CALL, EXIT = 0xB0, 0xD0, 0x00, 0x80, 0x90

OPCODES: Final[dict[str, int]] = {
    "LD": LD, "LDX": LDX, "ST": ST, "STX": STX, "ALU": ALU, "JMP": JMP, "JMP32": JMP32, "ALU64": ALU64,
    "K": K, "X": X, "IMM": IMM, "ABS": ABS, "IND": IND, "MEM": MEM, "MEMSX": MEMSX, "ATOMIC": ATOMIC, "XADD": ATOMIC,
    "LEN": 0x80, "MSH": 0xA0, "W": W, "H": H, "B": B, "DW": DW,
    "ADD": 0x00, "SUB": 0x10, "MUL": 0x20, "DIV": 0x30, "OR": 0x40, "AND": 0x50, "LSH": 0x60, "RSH": 0x70, "NEG": 0x80,
    "MOD": 0x90, "XOR": 0xA0, "MOV": MOV, "ARSH": 0xC0, "END": END, "TO_LE": 0x00, "TO_BE": 0x08, "FROM_LE": 0x00,
    "FROM_BE": 0x08, "JA": JA, "JEQ": 0x10, "JGT": 0x20, "JGE": 0x30, "JSET": 0x40, "JNE": 0x50, "JSGT": 0x60,
    "JSGE": 0x70, "CALL": CALL, "EXIT": EXIT, "JLT": 0xA0, "JLE": 0xB0, "JSLT": 0xC0, "JSLE": 0xD0, "JCOND": 0xE0,
    "FETCH": 0x01, "XCHG": 0xE1, "CMPXCHG": 0xF1, "LOAD_ACQ": 0x100, "STORE_REL": 0x110,
    "PSEUDO_MAP_FD": 1, "PSEUDO_MAP_VALUE": 2, "PSEUDO_BTF_ID": 3, "PSEUDO_FUNC": 4, "PSEUDO_MAP_IDX": 5,
    "PSEUDO_MAP_IDX_VALUE": 6, "PSEUDO_CALL": 1, "PSEUDO_KFUNC_CALL": 2, "REG_FP": 10, "REG_CTX": 6, "REG_TMP": 8,
    "REG_AX": 11, "REG_A": 0, "REG_X": 7, "MAXINSNS": 4096,
}


def constants() -> dict[str, int]:
    """Names in C: opcodes, registers, helpers, program and map types, limits of integers, errno."""
    names = {f"BPF_{name}": value for name, value in OPCODES.items()}
    names.update({f"BPF_REG_{n}": n for n in range(11)})
    names.update({f"BPF_REG_ARG{n}": n for n in range(1, 6)})
    names.update({f"BPF_FUNC_{name}": number for number, name in HELPERS})
    names["BPF_FUNC_unspec"] = 0
    names.update({f"BPF_PROG_TYPE_{name.upper()}": number for number, name in enumerate(PROG_TYPES)})
    names.update({f"BPF_MAP_TYPE_{name.upper()}": number for number, name in enumerate(MAP_TYPES)})
    for bits, name in ((16, "SHRT"), (32, "INT"), (64, "LLONG"), (64, "LONG")):
        names.update({f"{name}_MIN": -(1 << (bits - 1)), f"{name}_MAX": (1 << (bits - 1)) - 1})
        names[f"U{name}_MAX"] = (1 << bits) - 1
    for bits in (8, 16, 32, 64):
        names.update({f"U{bits}_MAX": (1 << bits) - 1, f"S{bits}_MAX": (1 << (bits - 1)) - 1,
                      f"S{bits}_MIN": -(1 << (bits - 1))})
    names.update({"EPERM": 1, "ENOENT": 2, "E2BIG": 7, "EACCES": 13, "EFAULT": 14, "EINVAL": 22, "ETH_HLEN": 14,
                  "MAX_BPF_STACK": 512, "NULL": 0, "true": 1, "false": 0, "__BITS_PER_LONG": 64, "PAGE_SIZE": 4096,
                  "BPF_F_STRICT_ALIGNMENT": 1, "BPF_F_ANY_ALIGNMENT": 2, "BPF_F_TEST_RND_HI32": 4,
                  "BPF_F_TEST_STATE_FREQ": 8, "BPF_F_SLEEPABLE": 16})
    return names


def slot(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> list[Slot]:
    """One slot with fields cut to their width."""
    return [(u8(code), dst & 15, src & 15, s16(off), s32(imm))]


def wide(dst: int, src: int, imm: int, second: int | None = None, off: int = 0, off2: int = 0) -> list[Slot]:
    """A wide load: a 64-bit immediate, or two 32-bit halves when `second` is given."""
    return slot(LD | DW | IMM, dst, src, off, imm) + slot(0, 0, 0, off2, imm >> 32 if second is None else second)


def _size(size: int) -> int:
    return size & 0x18


def _op(op: int) -> int:
    return op & 0xF0


MACROS: Final[dict[str, Callable[..., list[Slot]]]] = {
    # name               operands                        slot
    "BPF_RAW_INSN":      slot,
    "BPF_ALU64_REG":     lambda op, dst, src:            slot(ALU64 | _op(op) | X, dst, src),
    "BPF_ALU32_REG":     lambda op, dst, src:            slot(ALU | _op(op) | X, dst, src),
    "BPF_ALU64_IMM":     lambda op, dst, imm:            slot(ALU64 | _op(op) | K, dst, 0, 0, imm),
    "BPF_ALU32_IMM":     lambda op, dst, imm:            slot(ALU | _op(op) | K, dst, 0, 0, imm),
    "BPF_ALU64_REG_OFF": lambda op, dst, src, off:       slot(ALU64 | _op(op) | X, dst, src, off),
    "BPF_ALU32_REG_OFF": lambda op, dst, src, off:       slot(ALU | _op(op) | X, dst, src, off),
    "BPF_ALU64_IMM_OFF": lambda op, dst, imm, off:       slot(ALU64 | _op(op) | K, dst, 0, off, imm),
    "BPF_ALU32_IMM_OFF": lambda op, dst, imm, off:       slot(ALU | _op(op) | K, dst, 0, off, imm),
    "BPF_ENDIAN":        lambda kind, dst, bits:         slot(ALU | END | (kind & 8), dst, 0, 0, bits),
    "BPF_BSWAP":         lambda dst, bits:               slot(ALU64 | END, dst, 0, 0, bits),
    "BPF_MOV64_REG":     lambda dst, src:                slot(ALU64 | MOV | X, dst, src),
    "BPF_MOV32_REG":     lambda dst, src:                slot(ALU | MOV | X, dst, src),
    "BPF_MOV64_IMM":     lambda dst, imm:                slot(ALU64 | MOV | K, dst, 0, 0, imm),
    "BPF_MOV32_IMM":     lambda dst, imm:                slot(ALU | MOV | K, dst, 0, 0, imm),
    "BPF_MOVSX64_REG":   lambda dst, src, bits:          slot(ALU64 | MOV | X, dst, src, bits),
    "BPF_MOVSX32_REG":   lambda dst, src, bits:          slot(ALU | MOV | X, dst, src, bits),
    "BPF_MOV64_RAW":     lambda kind, dst, src, imm:     slot(ALU64 | MOV | (kind & 8), dst, src, 0, imm),
    "BPF_MOV32_RAW":     lambda kind, dst, src, imm:     slot(ALU | MOV | (kind & 8), dst, src, 0, imm),
    "BPF_ZEXT_REG":      lambda dst:                     slot(ALU | MOV | X, dst, dst, 0, 1),
    "BPF_LD_IMM64":      lambda dst, imm:                wide(dst, 0, imm),
    "BPF_LD_IMM64_RAW":  lambda dst, src, imm:           wide(dst, src, imm),
    "BPF_LD_IMM64_RAW_FULL": lambda dst, src, off, off2, imm, imm2: wide(dst, src, imm, imm2, off, off2),
    "BPF_LD_MAP_FD":     lambda dst, fd:                 wide(dst, 1, fd),
    "BPF_LD_MAP_VALUE":  lambda dst, fd, off:            wide(dst, 2, fd, off),
    "BPF_LD_ABS":        lambda size, imm:               slot(LD | _size(size) | ABS, 0, 0, 0, imm),
    "BPF_LD_IND":        lambda size, src, imm:          slot(LD | _size(size) | IND, 0, src, 0, imm),
    "BPF_LDX_MEM":       lambda size, dst, src, off:     slot(LDX | _size(size) | MEM, dst, src, off),
    "BPF_LDX_MEMSX":     lambda size, dst, src, off:     slot(LDX | _size(size) | MEMSX, dst, src, off),
    "BPF_STX_MEM":       lambda size, dst, src, off:     slot(STX | _size(size) | MEM, dst, src, off),
    "BPF_ST_MEM":        lambda size, dst, off, imm:     slot(ST | _size(size) | MEM, dst, 0, off, imm),
    "BPF_STX_XADD":      lambda size, dst, src, off:     slot(STX | _size(size) | ATOMIC, dst, src, off),
    "BPF_ATOMIC_OP":     lambda size, op, dst, src, off: slot(STX | _size(size) | ATOMIC, dst, src, off, op),
    "BPF_ATOMIC_FETCH_ADD": lambda size, dst, src, off:  slot(STX | _size(size) | ATOMIC, dst, src, off, 1),
    "BPF_JMP_REG":       lambda op, dst, src, off:       slot(JMP | _op(op) | X, dst, src, off),
    "BPF_JMP_IMM":       lambda op, dst, imm, off:       slot(JMP | _op(op) | K, dst, 0, off, imm),
    "BPF_JMP32_REG":     lambda op, dst, src, off:       slot(JMP32 | _op(op) | X, dst, src, off),
    "BPF_JMP32_IMM":     lambda op, dst, imm, off:       slot(JMP32 | _op(op) | K, dst, 0, off, imm),
    "BPF_JMP_A":         lambda off:                     slot(JMP | JA, 0, 0, off),
    "BPF_JMP32_A":       lambda imm:                     slot(JMP32 | JA, 0, 0, 0, imm),
    "BPF_CALL_REL":      lambda target:                  slot(JMP | CALL, 0, 1, 0, target),
    "BPF_EMIT_CALL":     lambda helper:                  slot(JMP | CALL, 0, 0, 0, helper),
    "BPF_CALL_KFUNC":    lambda off, imm:                slot(JMP | CALL, 0, 2, off, imm),
    "BPF_EXIT_INSN":     lambda:                         slot(JMP | EXIT),
    "BPF_NOP":           lambda:                         slot(JMP | JA),
}
