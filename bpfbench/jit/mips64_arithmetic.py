"""MIPS64: moves and arithmetic.

32-bit operations take sign-extended operands and give a sign-extended result; eBPF wants the upper half cleared.
Multiplication and division by a power of two become shifts and masks.  Registers and frame are told in `mips64.py`.

Source: arch/mips/net/bpf_jit_comp.c, bpf_jit_comp64.c of Linux 6.1; signed division and sign-extending moves are ours.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from bpfbench.isa import ops
from bpfbench.jit.target import Target, Unit
from bpfbench.machine.mips64 import A0, A1, A2, A3, A4, AT, FP, MIPS64, S0, S1, S2, S3, T4, T6, T7, T8, T9, V0, V1, ZERO
from bpfbench.machine.pattern import Encoding

# fmt: off
#: eBPF r0..r10, the auxiliary register
REG: Final = [V0, A0, A1, A2, A3, A4, S0, S1, S2, S3, FP, AT]
ONES: Final = V1                # before release 2: holds 0xffffffff for zero extension
R = MIPS64.row
#            eBPF fn    32 bits    64 bits
ALU: Final[dict[int, tuple[Encoding, Encoding]]] = {
    ops.ADD:  (R("addu"), R("daddu")), ops.SUB: (R("subu"), R("dsubu")),
    ops.AND:  (R("and"), R("and")),    ops.OR:  (R("or"), R("or")),      ops.XOR:  (R("xor"), R("xor")),
    ops.LSH:  (R("sllv"), R("dsllv")), ops.RSH: (R("srlv"), R("dsrlv")), ops.ARSH: (R("srav"), R("dsrav")),
}
#            eBPF fn    32 bits    64 bits: amounts below 32, from 32 on
SHIFT: Final[dict[int, tuple[Encoding, Encoding, Encoding]]] = {
    ops.LSH:  (R("sll"), R("dsll"), R("dsll32")),
    ops.RSH:  (R("srl"), R("dsrl"), R("dsrl32")),
    ops.ARSH: (R("sra"), R("dsra"), R("dsra32")),
}
BITS_IMM: Final = {ops.AND: R("andi"), ops.OR: R("ori"), ops.XOR: R("xori")}
#            eBPF fn    32 bits    64 bits   where the result is
DIVIDE: Final[dict[int, tuple[Encoding, Encoding, Encoding]]] = {
    ops.DIV:  (R("divu"), R("ddivu"), R("mflo")), ops.MOD:  (R("divu"), R("ddivu"), R("mfhi")),
    ops.SDIV: (R("div"),  R("ddiv"),  R("mflo")), ops.SMOD: (R("div"),  R("ddiv"),  R("mfhi")),
}
#: Release 6 writes the result to a register of choice.
DIVIDE_R6: Final[dict[int, tuple[Encoding, Encoding]]] = {
    ops.DIV:  (R("divu_r6"), R("ddivu_r6")), ops.MOD:  (R("modu_r6"), R("dmodu_r6")),
    ops.SDIV: (R("div_r6"),  R("ddiv_r6")),  ops.SMOD: (R("mod_r6"),  R("dmod_r6")),
}

ADDIU, DADDIU, LUI, ORI, SUBU, DSUBU, AND, OR = (R(n) for n in "addiu daddiu lui ori subu dsubu and or".split())
DSLL, DSRL, DSLL32, DSRL32, DINSU, SLL, SRL = (R(n) for n in "dsll dsrl dsll32 dsrl32 dinsu sll srl".split())
SRA, ANDI, MUL_R6, DMULU, WSBH, ROTR, DSBH = (R(n) for n in "sra andi mul_r6 dmulu_r6 wsbh rotr dsbh".split())
DSHD, MUL, DMULTU, MFLO = (R(n) for n in "dshd mul dmultu mflo".split())
# fmt: on


def fits_alu(fn: int, imm: int) -> bool:
    """Has `fn` an immediate form for this number (perhaps as another operation)?"""
    if fn in SHIFT:
        return True
    if fn == ops.ADD:
        return -0x8000 <= imm <= 0x7FFF
    if fn == ops.SUB:
        return -0x7FFF <= imm <= 0x8000
    if fn in BITS_IMM:
        return 0 <= imm <= 0xFFFF
    if fn == ops.MUL:
        return imm == 0 or imm > 0 and imm & (imm - 1) == 0
    return fn in (ops.DIV, ops.MOD) and 0 < imm <= 0x10000 and imm & (imm - 1) == 0


def simplified(fn: int, imm: int) -> tuple[int, int] | None:
    """The cheapest operation that does the same, None if nothing is to be done."""
    if fn in (ops.MUL, ops.DIV):
        if imm == 1:
            return None
        if imm == 0:
            return ops.AND, 0
        return (ops.LSH if fn == ops.MUL else ops.RSH), imm.bit_length() - 1
    if fn == ops.MOD:
        return ops.AND, imm - 1
    if imm == 0 and fn != ops.AND:
        return None
    return fn, imm


@mypyc_attr(allow_interpreted_subclasses=True)
class Mips64Arithmetic(Target):
    """The part of the MIPS64 target that computes; `clobbered` collects the machine registers it writes."""

    def __init__(self, unit: Unit, features: dict[str, bool], kernel: tuple[int, int]) -> None:
        super().__init__(unit, features, kernel)
        self.clobbered: set[int] = set()
        self.uses_ones = False

    # ----------------------------------------------------------------------------------------------------------- moves
    def mov_reg(self, wide: bool, dst: int, src: int) -> None:
        self.copy(REG[dst], REG[src])
        self.zext_result(wide, REG[dst])

    def mov_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.constant(REG[dst], imm)
        self.zext_result(wide, REG[dst])

    def mov_sx(self, wide: bool, bits: int, dst: int, src: int) -> None:
        rd = REG[dst]
        if bits == 32:
            self.sext(rd, REG[src])
        else:
            self.emit(SLL, rd, REG[src], 32 - bits)
            self.emit(SRA, rd, rd, 32 - bits)
            self.clobbered.add(rd)
        self.zext_result(wide, rd)

    def mov_wide(self, dst: int, value: int) -> None:
        """16 bits at a time, leading and inner zeros left out."""
        rd = REG[dst]
        self.clobbered.add(rd)
        if value >= 0xFFFF_FFFF_FFFF_8000 or value < 0x8000:
            self.emit(DADDIU, rd, ZERO, (value & 0xFFFF ^ 0x8000) - 0x8000)
            return
        if value >= 0xFFFF_FFFF_8000_0000 or 0xFFFF < value < 0x8000_0000:
            self.emit(LUI, rd, value >> 16 & 0xFFFF)
            self.emit(ORI, rd, rd, value & 0xFFFF)
            return
        started, shift = False, 0
        for k in range(4):
            half = value >> (48 - 16 * k) & 0xFFFF
            shift += 16 if started else 0
            if half:
                self.shift_wide(ops.LSH, rd, rd, shift)
                self.emit(ORI, rd, rd if started else ZERO, half)
                started, shift = True, 0
        self.shift_wide(ops.LSH, rd, rd, shift)

    def mov_address(self, dst: int, kind: str, symbol: str, addend: int) -> None:
        """The address is not known yet.  In the kernel it is 0x9800_0000_xxxx_xxxx (memory) or 0xc000_0000_xxxx_xxxx
        (vmalloc), for which `mov_wide` takes five instructions; elsewhere it may need six."""
        rd = REG[dst]
        self.clobbered.add(rd)
        if self.has("user_space"):
            self.relocate(self.here, 24, kind, symbol, "abs64", addend)
            self.emit(LUI, rd, 0)
            self.emit(ORI, rd, rd, 0)
            self.emit(DSLL, rd, rd, 16)
        else:
            self.relocate(self.here, 20, kind, symbol, "abs16_32", addend)
            self.emit(ORI, rd, ZERO, 0)
            self.emit(DSLL32, rd, rd, 0)
        self.emit(ORI, rd, rd, 0)
        self.emit(DSLL, rd, rd, 16)
        self.emit(ORI, rd, rd, 0)

    def zext(self, dst: int, src: int) -> None:
        if dst != src:
            self.copy(REG[dst], REG[src])
        self.zext_word(REG[dst])

    def copy(self, rd: int, rs: int) -> None:
        self.emit(ORI, rd, rs, 0)
        self.clobbered.add(rd)

    def constant(self, rd: int, imm: int) -> None:
        """rd = a 32-bit number, sign-extended."""
        if -0x8000 <= imm <= 0x7FFF:
            self.emit(ADDIU, rd, ZERO, imm)
        else:
            self.emit(LUI, rd, imm >> 16 & 0xFFFF)
            self.emit(ORI, rd, rd, imm & 0xFFFF)
        self.clobbered.add(rd)

    def sext(self, rd: int, rs: int) -> None:
        """rd = the low word of rs, sign-extended: what 32-bit operations need to be defined."""
        self.emit(SLL, rd, rs, 0)
        self.clobbered.add(rd)

    def zext_word(self, rd: int) -> None:
        if self.has("mips_r2"):
            self.emit(DINSU, rd, ZERO, 31)
        else:
            self.emit(AND, rd, rd, ONES)
            self.uses_ones = True
        self.clobbered.add(rd)

    def zext_result(self, wide: bool, rd: int) -> None:
        """Clear the upper half of a 32-bit result, unless the program has an instruction for that."""
        if not wide and not self.unit.zext_inserted:
            self.zext_word(rd)

    # ------------------------------------------------------------------------------------------------------ arithmetic
    def alu_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.operate(fn, wide, dst, REG[src])

    def alu_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        self.operate_imm(fn, wide, dst, imm)

    def mul_reg(self, wide: bool, dst: int, src: int) -> None:
        self.operate(ops.MUL, wide, dst, REG[src])

    def mul_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.operate_imm(ops.MUL, wide, dst, imm)

    def div_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.operate(fn, wide, dst, REG[src])

    def div_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        self.operate_imm(fn, wide, dst, imm)

    def shift_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.operate(fn, wide, dst, REG[src])

    def shift_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        self.operate_imm(fn, wide, dst, imm)

    def needs_sext(self, fn: int) -> bool:
        """Is this 32-bit operation defined for sign-extended operands only?"""
        return fn not in (ops.AND, ops.OR, ops.XOR, ops.LSH)

    def operate(self, fn: int, wide: bool, dst: int, rs: int) -> None:
        rd = REG[dst]
        if not wide and self.needs_sext(fn):
            self.sext(rd, rd)
            self.sext(T4, rs)
            rs = T4
        self.alu(fn, wide, rd, rs)
        self.zext_result(wide, rd)

    def operate_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        rd = REG[dst]
        extend = not wide and self.needs_sext(fn)
        if not fits_alu(fn, imm):
            if extend:
                self.sext(rd, rd)
            self.constant(T4, imm)
            self.alu(fn, wide, rd, T4)
        else:
            cheaper = simplified(fn, imm)
            if cheaper is not None:
                if extend:
                    self.sext(rd, rd)
                self.alu_constant(cheaper[0], wide, rd, cheaper[1])
        self.zext_result(wide, rd)

    def alu(self, fn: int, wide: bool, rd: int, rs: int) -> None:
        self.clobbered.add(rd)
        if fn in ALU:
            self.emit(ALU[fn][wide], rd, rd, rs)
        elif self.has("mips_r6"):
            pair = (MUL_R6, DMULU) if fn == ops.MUL else DIVIDE_R6[fn]
            self.emit(pair[wide], rd, rd, rs)
        elif fn == ops.MUL:
            if wide:
                self.emit(DMULTU, rd, rs)
                self.emit(MFLO, rd)
            else:
                self.emit(MUL, rd, rd, rs)
        else:
            narrow, full, result = DIVIDE[fn]
            self.emit(full if wide else narrow, rd, rs)
            self.emit(result, rd)

    def alu_constant(self, fn: int, wide: bool, rd: int, imm: int) -> None:
        self.clobbered.add(rd)
        if fn in BITS_IMM:
            self.emit(BITS_IMM[fn], rd, rd, imm & 0xFFFF)
        elif fn in SHIFT:
            if wide:
                self.shift_wide(fn, rd, rd, imm)
            else:
                self.emit(SHIFT[fn][0], rd, rd, imm)
        else:
            self.emit(DADDIU if wide else ADDIU, rd, rd, imm if fn == ops.ADD else -imm)

    def shift_wide(self, fn: int, rd: int, rs: int, amount: int) -> None:
        if amount >= 32:
            self.emit(SHIFT[fn][2], rd, rs, amount - 32)
        elif amount:
            self.emit(SHIFT[fn][1], rd, rs, amount)

    def neg(self, wide: bool, dst: int) -> None:
        rd = REG[dst]
        self.clobbered.add(rd)
        if wide:
            self.emit(DSUBU, rd, ZERO, rd)
            return
        self.sext(rd, rd)
        self.emit(SUBU, rd, ZERO, rd)
        self.zext_result(False, rd)

    def byte_order(self, fn: int, bits: int, dst: int) -> None:
        rd = REG[dst]
        self.clobbered.add(rd)
        if fn == ops.LE:
            if bits == 32:
                self.zext_word(rd)
            elif bits == 16:
                self.emit(ANDI, rd, rd, 0xFFFF)
            return
        if bits == 64:
            self.swap_doubleword(rd)
            return
        self.sext(rd, rd)
        if not self.has("mips_r2"):
            self.swap_by_shifts(bits, rd)
        elif bits == 32:
            self.emit(WSBH, rd, rd)
            self.emit(ROTR, rd, rd, 16)
        else:
            self.emit(WSBH, rd, rd)
            self.emit(ANDI, rd, rd, 0xFFFF)
        self.zext_word(rd)

    def swap_doubleword(self, rd: int) -> None:
        if self.has("mips_r2"):
            self.emit(DSBH, rd, rd)
            self.emit(DSHD, rd, rd)
            return
        self.emit(DSLL32, T7, rd, 0)
        self.emit(DSRL32, rd, rd, 0)
        self.emit(OR, rd, rd, T7)
        self.emit(ORI, T7, ZERO, 0xFFFF)
        self.emit(DSLL32, T6, T7, 0)
        self.emit(OR, T6, T6, T7)
        self.swap_parts(rd, T6, 16)
        self.emit(LUI, T7, 0xFF)
        self.emit(ORI, T7, T7, 0xFF)
        self.emit(DSLL32, T6, T7, 0)
        self.emit(OR, T6, T6, T7)
        self.swap_parts(rd, T6, 8)

    def swap_parts(self, rd: int, mask: int, bits: int) -> None:
        """Exchange neighbouring groups of `bits` bits."""
        self.emit(AND, T9, rd, mask)
        self.emit(DSLL, T9, T9, bits)
        self.emit(DSRL, rd, rd, bits)
        self.emit(AND, rd, rd, mask)
        self.emit(OR, rd, rd, T9)

    def swap_by_shifts(self, bits: int, rd: int) -> None:
        if bits == 16:
            self.emit(ANDI, T8, rd, 0xFF00)
            self.emit(SRL, T8, T8, 8)
            self.emit(ANDI, rd, rd, 0xFF)
            self.emit(SLL, rd, rd, 8)
            self.emit(OR, rd, rd, T8)
            return
        self.emit(SLL, T8, rd, 16)
        self.emit(SRL, rd, rd, 16)
        self.emit(OR, rd, rd, T8)
        self.emit(LUI, T9, 0xFF)
        self.emit(ORI, T9, T9, 0xFF)
        self.emit(AND, T8, rd, T9)
        self.emit(SLL, T8, T8, 8)
        self.emit(SRL, rd, rd, 8)
        self.emit(AND, rd, rd, T9)
        self.emit(OR, rd, rd, T8)
