"""AArch64: moves, constants and arithmetic.

A constant is built from 16-bit pieces, starting from zeros or from ones, whichever leaves fewer pieces; an operand that
no immediate field holds goes through x10.  Registers and frame are told in `a64.py`.

Source: arch/arm64/net/bpf_jit_comp.c.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from bpfbench.bits import U64_MAX, u32, u64
from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.target import Target
from bpfbench.machine.a64 import R, bitmask, both
from bpfbench.machine.pattern import Encoding

REG: Final = [7, 0, 1, 2, 3, 4, 19, 20, 21, 22, 25, 9]
TMP: Final = 10
TMP2: Final = 11
_ALU: Final = {ops.ADD: "add", ops.SUB: "sub", ops.AND: "and", ops.OR: "orr", ops.XOR: "eor"}
ALU_R: Final = {fn: both(f"{n}_r") for fn, n in _ALU.items()}
ALU_M: Final = {fn: both(f"{n}_m") for fn, n in _ALU.items() if fn in (ops.AND, ops.OR, ops.XOR)}
ADD_I: Final = (both("add_i"), both("add_i12"))
SUB_I: Final = (both("sub_i"), both("sub_i12"))
MUL: Final = both("mul_")
MSUB: Final = both("msub_")
DIV: Final = {ops.DIV: both("udiv_v"), ops.MOD: both("udiv_v"), ops.SDIV: both("sdiv_v"), ops.SMOD: both("sdiv_v")}
SHIFT_V: Final = {ops.LSH: both("lsl_v"), ops.RSH: both("lsr_v"), ops.ARSH: both("asr_v")}
SHIFT_I: Final = {ops.LSH: both("lsl_i"), ops.RSH: both("lsr_i"), ops.ARSH: both("asr_i")}
NEG: Final = both("neg_r")
MOVN: Final = both("movn")
MOVZ: Final = both("movz")
MOVK: Final = both("movk")
MOVNS: Final = both("movns")
MOVZS: Final = both("movzs")
MOVKS: Final = both("movks")
_SXT: Final = ((32, 8, "b"), (32, 16, "h"), (64, 8, "b"), (64, 16, "h"), (64, 32, "w"))
SXT: Final = {(w, b): R[f"sxt{n}{w}"] for w, b, n in _SXT}
#: (plain, shifted left by 12) immediate forms, each (32-bit row, 64-bit row)
Pairs = tuple[tuple[Encoding, Encoding], tuple[Encoding, Encoding]]


def addsub_imm(value: int) -> bool:
    """Fits the 12-bit field of add and sub, as it is or shifted left by 12."""
    value = u32(value)
    return value & ~0xFFF == 0 or value & ~0xFFF000 == 0


def move_part(rd: int, value: int, shift: int) -> bytes:
    """One of three instructions for an address whose upper 16 bits are all zeros or all ones: bits `shift`.. of it."""
    value = u64(value)
    if value >> 48 not in (0, 0xFFFF):
        raise JitError(f"address {value:#x} has more than 48 significant bits")
    part = value >> shift & 0xFFFF
    if shift:
        return MOVKS[1].encode([rd, part, shift])
    return MOVN[1].encode([rd, part ^ 0xFFFF]) if value >> 48 else MOVZ[1].encode([rd, part])


@mypyc_attr(allow_interpreted_subclasses=True)
class A64Arithmetic(Target):
    """Moves and arithmetic of the target; the rest is in `a64.py`."""

    # ----------------------------------------------------------------------------------------------------------- moves
    def emit_mov(self, rd: int, rn: int, wide: bool = True) -> None:
        self.emit(ADD_I[0][wide], rd, rn, 0)

    def emit_imm(self, wide: bool, reg: int, value: int) -> None:
        """A 32-bit value, sign-extended if wide: one or two instructions."""
        high, low = u32(value) >> 16, value & 0xFFFF
        if high & 0x8000:
            if high == 0xFFFF:
                self.emit(MOVN[wide], reg, low ^ 0xFFFF)
                return
            self.emit(MOVNS[wide], reg, high ^ 0xFFFF, 16)
            if low != 0xFFFF:
                self.emit(MOVK[wide], reg, low)
            return
        self.emit(MOVZ[wide], reg, low)
        if high:
            self.emit(MOVKS[wide], reg, high, 16)

    def emit_imm64(self, reg: int, value: int) -> None:
        """Any 64-bit value, from the top 16 bits that matter down, starting from zeros or from ones."""
        if value >> 32 == 0:
            self.emit_imm(False, reg, value)
            return
        blocks = [value >> s & 0xFFFF for s in (0, 16, 32, 48)]
        inverse = sum(b != 0xFFFF for b in blocks) < sum(b != 0 for b in blocks)
        rest = 0xFFFF if inverse else 0
        top = (value ^ U64_MAX if inverse else value).bit_length() - 1
        shift = max(top // 16 * 16, 0)
        first = blocks[shift // 16] ^ rest
        if shift:
            self.emit((MOVNS if inverse else MOVZS)[1], reg, first, shift)
        else:
            self.emit((MOVN if inverse else MOVZ)[1], reg, first)
        for at in range(shift - 16, -1, -16):
            if blocks[at // 16] != rest:
                self.emit_movk(reg, blocks[at // 16], at)

    def emit_movk(self, reg: int, part: int, shift: int) -> None:
        if shift:
            self.emit(MOVKS[1], reg, part, shift)
        else:
            self.emit(MOVK[1], reg, part)

    def emit_address(self, reg: int, kind: str, symbol: str, addend: int = 0) -> None:
        """A kernel address in three instructions: its upper 16 bits are ones."""
        for part in range(3):           # each immediate lies in the three lower bytes of its instruction
            self.relocate(self.here + 4 * part, 3, kind, symbol, f"mov_{16 * part}", addend)
        self.emit(MOVN[1], reg, 0xFFFF)
        self.emit(MOVKS[1], reg, 0, 16)
        self.emit(MOVKS[1], reg, 0, 32)

    def mov_reg(self, wide: bool, dst: int, src: int) -> None:
        self.emit_mov(REG[dst], REG[src], wide)

    def mov_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.emit_imm(wide, REG[dst], imm)

    def mov_sx(self, wide: bool, bits: int, dst: int, src: int) -> None:
        self.emit(SXT[64 if wide else 32, bits], REG[dst], REG[src])

    def mov_wide(self, dst: int, value: int) -> None:
        self.emit_imm64(REG[dst], value)

    def mov_address(self, dst: int, kind: str, symbol: str, addend: int) -> None:
        if kind != "function" and symbol in self.addresses:
            self.emit_imm64(REG[dst], u64(self.addresses[symbol] + addend))
        else:
            self.emit_address(REG[dst], kind, symbol, addend)

    # ------------------------------------------------------------------------------------------------------ arithmetic
    def emit_add_sub(self, rows: Pairs, wide: bool, rd: int, rn: int, value: int) -> None:
        """add or sub with an immediate that `addsub_imm` admits."""
        value = u32(value)
        shifted = value > 0xFFF
        self.emit(rows[shifted][wide], rd, rn, value >> 12 if shifted else value)

    def alu_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.emit(ALU_R[fn][wide], REG[dst], REG[dst], REG[src])

    def alu_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        rd = REG[dst]
        if fn in (ops.ADD, ops.SUB):
            same, opposite = (ADD_I, SUB_I) if fn == ops.ADD else (SUB_I, ADD_I)
            if addsub_imm(imm):
                self.emit_add_sub(same, wide, rd, rd, imm)
                return
            if addsub_imm(-imm):
                self.emit_add_sub(opposite, wide, rd, rd, -imm)
                return
        else:
            mask = bitmask(imm, 64 if wide else 32)
            if mask >= 0:
                self.emit(ALU_M[fn][wide], rd, rd, mask)
                return
        self.emit_imm(wide, TMP, imm)
        self.emit(ALU_R[fn][wide], rd, rd, TMP)

    def mul_reg(self, wide: bool, dst: int, src: int) -> None:
        self.emit(MUL[wide], REG[dst], REG[dst], REG[src])

    def mul_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.emit_imm(wide, TMP, imm)
        self.emit(MUL[wide], REG[dst], REG[dst], TMP)

    def div_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.emit_division(fn, wide, REG[dst], REG[src])

    def div_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        divisor = TMP if fn in (ops.DIV, ops.SDIV) else TMP2
        self.emit_imm(wide, divisor, imm)
        self.emit_division(fn, wide, REG[dst], divisor)

    def emit_division(self, fn: int, wide: bool, rd: int, divisor: int) -> None:
        if fn in (ops.DIV, ops.SDIV):
            self.emit(DIV[fn][wide], rd, rd, divisor)
            return
        self.emit(DIV[fn][wide], TMP, rd, divisor)
        self.emit(MSUB[wide], rd, TMP, divisor, rd)

    def shift_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.emit(SHIFT_V[fn][wide], REG[dst], REG[dst], REG[src])

    def shift_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        self.emit(SHIFT_I[fn][wide], REG[dst], REG[dst], imm)

    def neg(self, wide: bool, dst: int) -> None:
        self.emit(NEG[wide], REG[dst], REG[dst])

    def byte_order(self, fn: int, bits: int, dst: int) -> None:
        rd = REG[dst]
        if fn == ops.LE:
            if bits == 16:
                self.emit(R["uxth32"], rd, rd)
            elif bits == 32:
                self.emit(R["lsr_i32"], rd, rd, 0)
        elif bits == 16:
            wide = "64" if fn == ops.BSWAP else "32"
            self.emit(R["rev16_" + wide], rd, rd)
            self.emit(R["uxth" + wide], rd, rd)
        else:
            self.emit(R[f"rev{bits}"], rd, rd)
