"""RISC-V 64: short and long forms, constants, moves and arithmetic.

Most instructions have a 16-bit form for certain registers and small immediates; the methods named like instructions
(`addi`, `ld`, ...) choose as the kernel does.  Registers and frame are told in `rv64.py`.

Source: arch/riscv/net/bpf_jit.h (the emit_* functions), bpf_jit_comp64.c.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from bpfbench.bits import s64, sext
from bpfbench.isa import ops
from bpfbench.jit.target import Target
from bpfbench.machine.rv64 import A0, A1, A2, A5, RA, SP, T1, T2, ZERO, R

REG: Final = [A5, A0, A1, A2, 13, 14, 9, 18, 19, 20, 21, 5]
ORDINARY_ADDRESS: Final = 0xFF60_0000_0A1B_2C00     # what kmalloc returns looks like this
# fn -> rows for (32, 64) bits; addition and logic use the 64-bit form for both
ALU: Final = {
    ops.MUL: (R["mulw"], R["mul"]), ops.DIV: (R["divuw"], R["divu"]), ops.MOD: (R["remuw"], R["remu"]),
    ops.SDIV: (R["divw"], R["div"]), ops.SMOD: (R["remw"], R["rem"]), ops.LSH: (R["sllw"], R["sll"]),
    ops.RSH: (R["srlw"], R["srl"]), ops.ARSH: (R["sraw"], R["sra"]),
}  # fmt: skip
# fn -> long form, short form
SHORT: Final = {
    ops.AND: (R["and"], R["c.and"]), ops.OR: (R["or"], R["c.or"]), ops.XOR: (R["xor"], R["c.xor"]),
    ops.SUB: (R["sub"], R["c.sub"]),
}  # fmt: skip

#: Where the bytes with the distance are, from the start of a pair of auipc and jalr or addi.
HIGH_AT: Final = 1
LOW_AT: Final = 6


def signed(value: int, bits: int) -> bool:
    return -(1 << (bits - 1)) <= value < 1 << (bits - 1)


def short(*registers: int) -> bool:
    """Are all of them s0, s1, a0..a5, which the three-bit fields can name?"""
    return all(8 <= r <= 15 for r in registers)


@mypyc_attr(allow_interpreted_subclasses=True)
class Rv64Arithmetic(Target):
    """Moves and arithmetic of the target; the rest is in `rv64.py`."""

    rvc: bool                           # the C extension is there

    # -------------------------------------------------------- the machine's own choices between long and short forms
    def addi(self, rd: int, rs: int, imm: int) -> None:
        if self.rvc and rd == SP == rs and signed(imm, 10) and imm and imm % 16 == 0:
            self.emit(R["c.addi16sp"], imm)
        elif self.rvc and short(rd) and rs == SP and 0 < imm < 1024 and imm % 4 == 0:
            self.emit(R["c.addi4spn"], rd - 8, imm)
        elif self.rvc and rd and rd == rs and imm and signed(imm, 6):
            self.emit(R["c.addi"], rd, imm)
        else:
            self.emit(R["addi"], rd, rs, imm)

    def addiw(self, rd: int, rs: int, imm: int) -> None:
        if self.rvc and rd and rd == rs and signed(imm, 6):
            self.emit(R["c.addiw"], rd, imm)
        else:
            self.emit(R["addiw"], rd, rs, imm)

    def li(self, rd: int, imm: int) -> None:
        if self.rvc and rd and signed(imm, 6):
            self.emit(R["c.li"], rd, imm)
        else:
            self.emit(R["addi"], rd, ZERO, imm)

    def lui(self, rd: int, imm: int) -> None:
        if self.rvc and rd and rd != SP and imm and signed(imm, 6):
            self.emit(R["c.lui"], rd, imm)
        else:
            self.emit(R["lui"], rd, imm & 0xFFFFF)

    def mv(self, rd: int, rs: int) -> None:
        if self.rvc and rd and rs:
            self.emit(R["c.mv"], rd, rs)
        else:
            self.emit(R["addi"], rd, rs, 0)

    def add(self, rd: int, rs1: int, rs2: int) -> None:
        if self.rvc and rd and rd == rs1 and rs2:
            self.emit(R["c.add"], rd, rs2)
        else:
            self.emit(R["add"], rd, rs1, rs2)

    def logic(self, fn: int, rd: int, rs1: int, rs2: int) -> None:
        """AND, OR, XOR, SUB."""
        long_form, short_form = SHORT[fn]
        if self.rvc and rd == rs1 and short(rd, rs2):
            self.emit(short_form, rd - 8, rs2 - 8)
        else:
            self.emit(long_form, rd, rs1, rs2)

    def subw(self, rd: int, rs1: int, rs2: int) -> None:
        if self.rvc and rd == rs1 and short(rd, rs2):
            self.emit(R["c.subw"], rd - 8, rs2 - 8)
        else:
            self.emit(R["subw"], rd, rs1, rs2)

    def andi(self, rd: int, rs: int, imm: int) -> None:
        if self.rvc and rd == rs and short(rd) and signed(imm, 6):
            self.emit(R["c.andi"], rd - 8, imm)
        else:
            self.emit(R["andi"], rd, rs, imm)

    def slli(self, rd: int, rs: int, imm: int) -> None:
        if self.rvc and rd and rd == rs and 0 < imm < 64:
            self.emit(R["c.slli"], rd, imm)
        else:
            self.emit(R["slli"], rd, rs, imm)

    def shift_right(self, name: str, rd: int, rs: int, imm: int) -> None:
        if self.rvc and rd == rs and short(rd) and 0 < imm < 64:
            self.emit(R["c." + name], rd - 8, imm)
        else:
            self.emit(R[name], rd, rs, imm)

    def lw(self, rd: int, off: int, base: int) -> None:
        if self.rvc and base == SP and rd and 0 <= off < 256 and off % 4 == 0:
            self.emit(R["c.lwsp"], rd, off)
        elif self.rvc and short(rd, base) and 0 <= off < 128 and off % 4 == 0:
            self.emit(R["c.lw"], rd - 8, off, base - 8)
        else:
            self.emit(R["lw"], rd, off, base)

    def ld(self, rd: int, off: int, base: int) -> None:
        if self.rvc and base == SP and rd and 0 <= off < 512 and off % 8 == 0:
            self.emit(R["c.ldsp"], rd, off)
        elif self.rvc and short(rd, base) and 0 <= off < 256 and off % 8 == 0:
            self.emit(R["c.ld"], rd - 8, off, base - 8)
        else:
            self.emit(R["ld"], rd, off, base)

    def sw(self, base: int, off: int, rs: int) -> None:
        if self.rvc and base == SP and 0 <= off < 256 and off % 4 == 0:
            self.emit(R["c.swsp"], rs, off)
        elif self.rvc and short(rs, base) and 0 <= off < 128 and off % 4 == 0:
            self.emit(R["c.sw"], rs - 8, off, base - 8)
        else:
            self.emit(R["sw"], rs, off, base)

    def sd(self, base: int, off: int, rs: int) -> None:
        if self.rvc and base == SP and 0 <= off < 512 and off % 8 == 0:
            self.emit(R["c.sdsp"], rs, off)
        elif self.rvc and short(rs, base) and 0 <= off < 256 and off % 8 == 0:
            self.emit(R["c.sd"], rs - 8, off, base - 8)
        else:
            self.emit(R["sd"], rs, off, base)

    def jalr(self, rd: int, rs: int, imm: int) -> None:
        if self.rvc and rd == RA and rs and not imm:
            self.emit(R["c.jalr"], rs)
        elif self.rvc and rd == ZERO and rs and not imm:
            self.emit(R["c.jr"], rs)
        else:
            self.emit(R["jalr"], rd, imm, rs)

    def zextw(self, rd: int, rs: int) -> None:
        if self.has("zba"):
            self.emit(R["zext.w"], rd, rs)
            return
        self.slli(rd, rs, 32)
        self.shift_right("srli", rd, rd, 32)

    def extend(self, name: str, shift: str, amount: int, rd: int, rs: int) -> None:
        """sext.b, sext.h and zext.h, or the two shifts that do the same."""
        if self.has("zbb"):
            self.emit(R[name], rd, rs)
            return
        self.slli(rd, rs, amount)
        self.shift_right(shift, rd, rd, amount)

    def sh3add(self, rd: int, rs1: int, rs2: int) -> None:
        if self.has("zba"):
            self.emit(R["sh3add"], rd, rs1, rs2)
            return
        self.slli(rd, rs1, 3)
        self.add(rd, rd, rs2)

    def imm(self, rd: int, value: int) -> None:
        """Any constant: lui+addiw for 32 bits, else the upper part recursively, shifted, plus the lower 12 bits."""
        upper = s64(value + (1 << 11)) >> 12
        lower = sext(value, 12)
        if signed(value, 32):
            if not upper:
                self.li(rd, lower)
                return
            self.lui(rd, upper)
            self.addiw(rd, rd, lower)
            return
        trailing = (upper & -upper).bit_length() - 1
        self.imm(rd, upper >> trailing)
        self.slli(rd, rd, trailing + 12)
        if lower:
            self.addi(rd, rd, lower)

    def finish32(self, wide: bool, rd: int) -> None:
        """Clear the upper half of a 32-bit result, unless the verifier put a move there that does."""
        if not wide and not self.unit.zext_inserted:
            self.zextw(rd, rd)

    # ----------------------------------------------------------------------------------------------------------- moves
    def mov_reg(self, wide: bool, dst: int, src: int) -> None:
        self.mv(REG[dst], REG[src])
        self.finish32(wide, REG[dst])

    def mov_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.imm(REG[dst], imm)
        self.finish32(wide, REG[dst])

    def mov_sx(self, wide: bool, bits: int, dst: int, src: int) -> None:
        rd, rs = REG[dst], REG[src]
        if bits == 8:
            self.extend("sext.b", "srai", 56, rd, rs)
        elif bits == 16:
            self.extend("sext.h", "srai", 48, rd, rs)
        else:
            self.addiw(rd, rs, 0)
        self.finish32(wide, rd)

    def mov_wide(self, dst: int, value: int) -> None:
        self.imm(REG[dst], s64(value))

    def mov_address(self, dst: int, kind: str, symbol: str, addend: int) -> None:
        if kind != "function" and symbol in self.addresses:
            self.imm(REG[dst], s64(self.addresses[symbol] + addend))
        elif kind == "function" or self.has("user_space"):
            self.emit_address(REG[dst], kind, symbol, addend)
        else:
            # the kernel builds the address as a constant, whose length depends on it: assume an ordinary one
            start = self.here
            self.imm(REG[dst], s64(ORDINARY_ADDRESS))
            self.relocate(start, self.here - start, kind, symbol, "constant", addend)

    def emit_address(self, rd: int, kind: str, symbol: str, addend: int = 0) -> None:
        self.relocate_pair(kind, symbol, addend)
        self.emit(R["auipc"], rd, 0)
        self.emit(R["addi"], rd, rd, 0)

    def relocate_pair(self, kind: str, symbol: str, addend: int = 0) -> None:
        """The distance in auipc and the instruction behind it: the upper bytes of both."""
        self.relocate(self.here + HIGH_AT, 3, kind, symbol, "pcrel_hi", addend)
        self.relocate(self.here + LOW_AT, 2, kind, symbol, "pcrel_lo", addend)

    def zext(self, dst: int, src: int) -> None:
        self.zextw(REG[dst], REG[dst])

    # ------------------------------------------------------------------------------------------------------ arithmetic
    def alu_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.combine(fn, wide, REG[dst], REG[src])

    def combine(self, fn: int, wide: bool, rd: int, rs: int) -> None:
        if fn == ops.ADD:
            self.add(rd, rd, rs)
        elif fn == ops.SUB and not wide:
            self.subw(rd, rd, rs)
        else:
            self.logic(fn, rd, rd, rs)
        self.finish32(wide, rd)

    def alu_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        rd = REG[dst]
        if fn in (ops.ADD, ops.SUB):
            step = imm if fn == ops.ADD else -imm
            if signed(step, 12):
                self.addi(rd, rd, step)
                self.finish32(wide, rd)
                return
        elif signed(imm, 12):
            if fn == ops.AND:
                self.andi(rd, rd, imm)
            else:
                self.emit(R["ori" if fn == ops.OR else "xori"], rd, rd, imm)
            self.finish32(wide, rd)
            return
        self.imm(T1, imm)
        self.combine(fn, True, rd, T1)
        self.finish32(wide, rd)

    def mul_reg(self, wide: bool, dst: int, src: int) -> None:
        self.operate(ops.MUL, wide, REG[dst], REG[src])

    def mul_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.imm(T1, imm)
        self.operate(ops.MUL, wide, REG[dst], T1)

    def div_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.operate(fn, wide, REG[dst], REG[src])

    def div_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        self.imm(T1, imm)
        self.operate(fn, wide, REG[dst], T1)

    def operate(self, fn: int, wide: bool, rd: int, rs: int) -> None:
        self.emit(ALU[fn][wide], rd, rd, rs)
        self.finish32(wide, rd)

    def shift_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.operate(fn, wide, REG[dst], REG[src])

    def shift_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        rd = REG[dst]
        if fn == ops.LSH:
            self.slli(rd, rd, imm)
        elif wide:
            self.shift_right("srli" if fn == ops.RSH else "srai", rd, rd, imm)
        else:
            self.emit(R["srliw" if fn == ops.RSH else "sraiw"], rd, rd, imm)
        self.finish32(wide, rd)

    def neg(self, wide: bool, dst: int) -> None:
        self.logic(ops.SUB, REG[dst], ZERO, REG[dst])
        self.finish32(wide, REG[dst])

    def byte_order(self, fn: int, bits: int, dst: int) -> None:
        rd = REG[dst]
        if fn == ops.LE:
            if bits == 16:
                self.extend("zext.h", "srli", 48, rd, rd)
            elif bits == 32:
                self.finish32(False, rd)
            return
        if self.has("zbb"):
            self.emit(R["rev8"], rd, rd)
            if bits < 64:
                self.shift_right("srli", rd, rd, 64 - bits)
            return
        self.li(T2, 0)
        for byte in range(bits // 8):
            self.andi(T1, rd, 0xFF)
            self.add(T2, T2, T1)
            if byte < bits // 8 - 1:
                self.slli(T2, T2, 8)
                self.shift_right("srli", rd, rd, 8)
        self.mv(rd, T2)
