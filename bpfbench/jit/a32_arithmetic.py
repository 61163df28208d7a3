"""ARM: moves and arithmetic on register pairs.

Each 64-bit operation is the low words first, then the high words with the carry; shifts cross between the words, and
64-bit division is a routine.  Where the eBPF registers live, and the frame, is told in `a32.py`.

The kernel's generator calls C functions for 64-bit division from 6.7 on and refuses it before; with the feature
`own_routines`, and for those older kernels, a shift-and-subtract routine stands behind the epilogue.  The kernel's
shifts by a register do not mask the amount; with the feature `masked_shifts` (profile `bpfbench`) they do.

Source: arch/arm/net/bpf_jit_32.c of Linux 6.1 and 6.12.
"""

from __future__ import annotations

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from bpfbench.isa import ops
from bpfbench.jit.pair import Pair, PairTarget
from bpfbench.jit.target import Unit
from bpfbench.machine import a32
from bpfbench.machine.a32 import A32, AL, EQ, FP, HS, IP, LO, LR, NE, PL, SP
from bpfbench.machine.pattern import Encoding

# fmt: off
#            eBPF fn    low word          high word
ALU: Final[dict[int, tuple[Encoding, Encoding]]] = {
    ops.ADD: (A32.row("adds"), A32.row("adc")),
    ops.SUB: (A32.row("subs"), A32.row("sbc")),
    ops.AND: (A32.row("and"),  A32.row("and")),
    ops.OR:  (A32.row("orr"),  A32.row("orr")),
    ops.XOR: (A32.row("eor"),  A32.row("eor")),
}
#            eBPF fn     by register       by constant
SHIFT: Final[dict[int, tuple[Encoding, Encoding]]] = {
    ops.LSH:  (A32.row("lsl_r"), A32.row("lsl_i")),
    ops.RSH:  (A32.row("lsr_r"), A32.row("lsr_i")),
    ops.ARSH: (A32.row("asr_r"), A32.row("asr_i")),
}
#: 64-bit division: symbol of the kernel's routine
ROUTINES: Final[dict[int, str]] = {
    ops.DIV: "jit_udiv64", ops.MOD: "jit_mod64", ops.SDIV: "jit_sdiv64", ops.SMOD: "jit_smod64",
}
SMALL_ROUTINES: Final[dict[int, str]] = {
    ops.DIV: "jit_udiv32", ops.MOD: "jit_mod32", ops.SDIV: "jit_sdiv32", ops.SMOD: "jit_smod32",
}

ADD, ADD_I, AND_I, ORRS, B, BL, BX = (A32.row(n) for n in "add add_i and_i orrs b bl bx".split())
BLX, CMP, EOR, LDRD_SUB, STRD_SUB = (A32.row(n) for n in "blx cmp eor ldrd_sub strd_sub".split())
LDR_SUB, STR_SUB, MOV, MOV_I, MOVW, MOVT = (A32.row(n) for n in "ldr_sub str_sub mov mov_i movw movt".split())
MUL, MLS, UMULL, UDIV, SDIV, ORR_I = (A32.row(n) for n in "mul mls umull udiv sdiv orr_i".split())
ORR_LSL_I, ORR_LSR_I, ORR_LSL_R = (A32.row(n) for n in "orr_lsl_i orr_lsr_i orr_lsl_r".split())
ORR_LSR_R, ORR_ASR_R, LSL_I, LSR_I = (A32.row(n) for n in "orr_lsr_r orr_asr_r lsl_i lsr_i".split())
ASR_I, LSL_R, LSR_R, PUSH, POP, REV = (A32.row(n) for n in "asr_i lsl_r lsr_r push pop rev".split())
REV16, UXTH, RSB_I, RSBS_I, RSC_I, SBC = (A32.row(n) for n in "rev16 uxth rsb_i rsbs_i rsc_i sbc".split())
SUB_I, SUBS, SUBS_I, ADDS, ADCS = (A32.row(n) for n in "sub_i subs subs_i adds adcs".split())
# fmt: on


def mask(*regs: int) -> int:
    """The register list of push and pop."""
    return sum(1 << r for r in regs)


CALLER_SAVED: Final = mask(0, 1, 2, 3)


@mypyc_attr(allow_interpreted_subclasses=True)
class A32Arithmetic(PairTarget):
    """The part of the ARM target that computes; `routines` holds a 64-bit division's fn once one was needed."""

    pairs: ClassVar[list[Pair]] = [
        Pair(1, 0), Pair(3, 2), Pair(-4, -8), Pair(-12, -16), Pair(-20, -24), Pair(-28, -32), Pair(5, 4),
        Pair(-36, -40), Pair(-44, -48), Pair(-52, -56), Pair(-60, -64), Pair(-76, -80), Pair(-68, -72),
    ]  # fmt: skip
    temp1: ClassVar[Pair] = Pair(7, 6)
    temp2: ClassVar[Pair] = Pair(9, 8)

    def __init__(self, unit: Unit, features: dict[str, bool], kernel: tuple[int, int]) -> None:
        super().__init__(unit, features, kernel)
        self.routines: list[int] = []
        self.routine_at = 0

    # ------------------------------------------------------------------------------------------------ words and pairs
    def load_word(self, reg: int, slot: int) -> None:
        self.emit(LDR_SUB, AL, reg, FP, -slot)

    def store_word(self, reg: int, slot: int) -> None:
        self.emit(STR_SUB, AL, reg, FP, -slot)

    def load_words(self, regs: Pair, slots: Pair) -> None:
        self.emit(LDRD_SUB, AL, regs.lo, FP, -slots.lo)

    def store_words(self, regs: Pair, slots: Pair) -> None:
        self.emit(STRD_SUB, AL, regs.lo, FP, -slots.lo)

    def copy_word(self, rd: int, rs: int) -> None:
        self.emit(MOV, AL, rd, rs)

    def constant(self, rd: int, value: int) -> None:
        field = a32.modified_immediate(value)
        if field >= 0:
            self.emit(MOV_I, AL, rd, field)
            return
        self.emit(MOVW, AL, rd, value & 0xFFFF)
        if value > 0xFFFF:
            self.emit(MOVT, AL, rd, value >> 16)

    def address(self, rd: int, kind: str, symbol: str, addend: int = 0) -> None:
        """rd = an address that is not known yet."""
        self.relocate(self.here, 3, kind, symbol, "movw", addend)
        self.emit(MOVW, AL, rd, 0)
        self.relocate(self.here, 3, kind, symbol, "movt", addend)
        self.emit(MOVT, AL, rd, 0)

    # ----------------------------------------------------------------------------------------------------------- moves
    def mov_sx(self, wide: bool, bits: int, dst: int, src: int) -> None:
        to, source = self.pairs[dst], self.pairs[src]
        rd = self.temp1.lo if to.stacked else to.lo
        rs = self.word(source.lo, rd)
        if bits == 32:
            rd = rs
        else:
            self.emit(LSL_I, AL, rd, rs, 32 - bits)
            self.emit(ASR_I, AL, rd, rd, 32 - bits)
        if dst != src or bits != 32:
            self.put_word(to.lo, rd)
        if not wide:
            self.clear_high(to)
        elif to.stacked:
            self.emit(ASR_I, AL, self.temp1.hi, rd, 31)
            self.put_word(to.hi, self.temp1.hi)
        else:
            self.emit(ASR_I, AL, to.hi, rd, 31)

    def mov_address(self, dst: int, kind: str, symbol: str, addend: int) -> None:
        to = self.pairs[dst]
        regs = self.temp1 if to.stacked else to
        self.address(regs.lo, kind, symbol, addend)
        self.constant(regs.hi, 0)
        self.put_words(to, regs)

    # ------------------------------------------------------------------------------------------------------ arithmetic
    def alu_words(self, fn: int, wide: bool, dst: Pair, src: Pair) -> None:
        low, high = ALU[fn]
        rd = self.words(dst, self.temp1)
        if wide:
            rs = self.words(src, self.temp2)
            self.emit(low, AL, rd.lo, rd.lo, rs.lo)
            self.emit(high, AL, rd.hi, rd.hi, rs.hi)
        else:
            self.emit(low, AL, rd.lo, rd.lo, self.word(src.lo, self.temp2.lo))
            self.clear_high(rd)
        self.put_words(dst, rd)

    def mul_reg(self, wide: bool, dst: int, src: int) -> None:
        self.multiply(wide, self.pairs[dst], self.pairs[src])

    def mul_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.set_signed(self.temp2, imm, wide)
        self.multiply(wide, self.pairs[dst], self.temp2)

    def multiply(self, wide: bool, dst: Pair, src: Pair) -> None:
        rd = self.words(dst, self.temp1)
        if not wide:
            rs = self.word(src.lo, self.temp2.lo)
            self.emit(MUL, AL, rd.lo, rs, rd.lo)
            self.clear_high(rd)
            self.put_words(dst, rd)
            return
        rt = self.words(src, self.temp2)
        self.emit(MUL, AL, IP, rt.hi, rd.lo)
        self.emit(MUL, AL, LR, rt.lo, rd.hi)
        self.emit(ADD, AL, LR, IP, LR)
        self.emit(UMULL, AL, IP, rd.hi, rd.lo, rt.lo)
        self.emit(ADD, AL, rd.hi, LR, rd.hi)
        self.put_word(dst.lo, IP)
        self.put_word(dst.hi, rd.hi)

    def div_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        if wide:
            rd = self.words(self.pairs[dst], self.temp2)
            self.divide_words(fn, self.pairs[dst], rd, self.words(self.pairs[src], self.temp1))
            return
        rd_lo = self.word(self.pairs[dst].lo, self.temp2.lo)
        self.divide_word(fn, self.pairs[dst], rd_lo, self.word(self.pairs[src].lo, self.temp2.hi))

    def div_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        if wide:
            rd = self.words(self.pairs[dst], self.temp2)
            self.set_signed(self.temp1, imm, True)
            self.divide_words(fn, self.pairs[dst], rd, self.temp1)
            return
        rd_lo = self.word(self.pairs[dst].lo, self.temp2.lo)
        self.set_word(self.temp2.hi, imm & 0xFFFF_FFFF)
        self.divide_word(fn, self.pairs[dst], rd_lo, self.temp2.hi)

    def divide_word(self, fn: int, dst: Pair, rd: int, divisor: int) -> None:
        if self.has("idiv"):
            row = SDIV if fn in (ops.SDIV, ops.SMOD) else UDIV
            if fn in (ops.DIV, ops.SDIV):
                self.emit(row, AL, rd, rd, divisor)
            else:
                self.emit(row, AL, IP, rd, divisor)
                self.emit(MLS, AL, rd, divisor, IP, rd)
        else:
            self.divide_by_call(fn, rd, divisor)
        self.put_word(dst.lo, rd)
        self.clear_high(dst)

    def divide_by_call(self, fn: int, rd: int, divisor: int) -> None:
        """Without idiv: dividend to r0, divisor to r1, result in r0; the temporaries keep what r0 and r1 held."""
        t = self.temp1
        if divisor != 1:
            self.emit(MOV, AL, t.hi, 1)
            self.emit(MOV, AL, 1, divisor)
        if rd != 0:
            self.emit(MOV, AL, t.lo, 0)
            self.emit(MOV, AL, 0, rd)
        self.emit(PUSH, AL, mask(2, 3))
        self.address(IP, "routine", SMALL_ROUTINES[fn])
        self.emit(BLX, AL, IP)
        self.emit(POP, AL, mask(2, 3))
        if rd != 0:
            self.emit(MOV, AL, rd, 0)
        if divisor != 1:
            self.emit(MOV, AL, 1, t.hi)
        if rd != 0:
            self.emit(MOV, AL, 0, t.lo)

    def divide_words(self, fn: int, dst: Pair, rd: Pair, divisor: Pair) -> None:
        """Dividend to r1:r0, divisor to r3:r2, call, result from r1:r0; what is not the result is restored."""
        self.emit(PUSH, AL, CALLER_SAVED)
        if rd.lo != 0 and divisor.lo == 0:
            self.emit(PUSH, AL, mask(0, 1))
            self.copy_word(1, rd.hi)
            self.copy_word(0, rd.lo)
            self.emit(POP, AL, mask(2, 3))
        else:
            if rd.lo != 0:
                self.copy_word(1, rd.hi)
                self.copy_word(0, rd.lo)
            if divisor.lo != 2:
                self.copy_word(3, divisor.hi)
                self.copy_word(2, divisor.lo)
        if self.kernel_divides():
            self.address(IP, "routine", ROUTINES[fn])
            self.emit(BLX, AL, IP)
        else:
            self.call_division(fn)
        if rd.lo != 0:
            self.copy_word(rd.hi, 1)
            self.copy_word(rd.lo, 0)
        if rd.lo not in (0, 2):
            self.emit(POP, AL, CALLER_SAVED)
        elif rd.lo == 2:
            self.emit(POP, AL, mask(0, 1))
            self.emit(ADD_I, AL, SP, SP, 8)
        else:
            self.emit(ADD_I, AL, SP, SP, 8)
            self.emit(POP, AL, mask(2, 3))
        self.put_words(dst, rd)

    def kernel_divides(self) -> bool:
        """Does this kernel's generator call routines of its own for 64-bit division?"""
        return self.at_least(6, 7) and not self.has("own_routines")

    def call_division(self, fn: int) -> None:
        """Call the routine behind the epilogue: r1:r0 / r3:r2 -> quotient r1:r0, remainder r7:r6; r8 = signs."""
        if not self.routines:
            self.routines.append(fn)
        signed = fn in (ops.SDIV, ops.SMOD)
        if signed:
            self.emit(ASR_I, AL, 8, 1, 31)
            self.emit(A32.row("eor_asr_i"), AL, 9, 8, 3, 31)
            self.negate_if(8, 0, 1)
            self.emit(ASR_I, AL, IP, 3, 31)
            self.negate_if(IP, 2, 3)
        self.emit(BL, AL, self.routine_at - self.here - 8)
        if fn in (ops.MOD, ops.SMOD):
            self.copy_word(0, 6)
            self.copy_word(1, 7)
        if signed:
            self.negate_if(9 if fn == ops.SDIV else 8, 0, 1)

    def negate_if(self, sign: int, lo: int, hi: int) -> None:
        """hi:lo = -hi:lo where the register `sign` is -1, unchanged where it is 0."""
        self.emit(EOR, AL, lo, lo, sign)
        self.emit(EOR, AL, hi, hi, sign)
        self.emit(SUBS, AL, lo, lo, sign)
        self.emit(SBC, AL, hi, hi, sign)

    def division_routine(self) -> None:
        """Shift and subtract, one bit of the quotient per turn; a divisor of 0 gives quotient 0, remainder dividend."""
        self.emit(ORRS, AL, IP, 2, 3)
        self.emit(MOV_I, AL, 6, 0)
        self.emit(MOV_I, AL, 7, 0)
        self.emit(MOV, EQ, 6, 0)
        self.emit(MOV, EQ, 7, 1)
        self.emit(MOV_I, EQ, 0, 0)
        self.emit(MOV_I, EQ, 1, 0)
        self.emit(BX, EQ, LR)
        self.emit(MOV_I, AL, IP, 64)
        turn = self.here
        self.emit(ADDS, AL, 0, 0, 0)
        self.emit(ADCS, AL, 1, 1, 1)
        self.emit(ADCS, AL, 6, 6, 6)
        self.emit(ADCS, AL, 7, 7, 7)
        self.emit(B, HS, 8)              # a 65th bit: the divisor certainly fits
        self.emit(CMP, AL, 7, 3)
        self.emit(CMP, EQ, 6, 2)
        self.emit(B, LO, 8)
        self.emit(SUBS, AL, 6, 6, 2)
        self.emit(SBC, AL, 7, 7, 3)
        self.emit(ORR_I, AL, 0, 0, 1)
        self.emit(SUBS_I, AL, IP, IP, 1)
        self.emit(B, NE, turn - self.here - 8)
        self.emit(BX, AL, LR)

    def shift_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        to, source = self.pairs[dst], self.pairs[src]
        if not wide:
            rd = self.words(to, self.temp1)
            amount = self.masked(self.word(source.lo, self.temp2.lo), 31)
            self.emit(SHIFT[fn][0], AL, rd.lo, rd.lo, amount)
            self.clear_high(rd)
            self.put_words(to, rd)
            return
        amount = self.masked(self.word(source.lo, self.temp2.lo), 63)
        rd = self.words(to, self.temp1)
        if fn == ops.LSH:
            self.shift_left(rd, amount)
        else:
            self.shift_right(fn, rd, amount)
        self.put_word(to.lo, LR)
        self.put_word(to.hi, IP)

    def masked(self, amount: int, bits: int) -> int:
        """The shift amount modulo the width, where that is asked for; the kernel leaves it as it is."""
        if not self.has("masked_shifts"):
            return amount
        self.emit(AND_I, AL, self.temp2.lo, amount, bits)
        return self.temp2.lo

    def shift_left(self, rd: Pair, amount: int) -> None:
        """ip:lr = rd << amount.  Amounts of 32 and more shift out to 0, so both partial results may be or-ed."""
        self.emit(SUB_I, AL, IP, amount, 32)
        self.emit(RSB_I, AL, self.temp2.hi, amount, 32)
        self.emit(LSL_R, AL, LR, rd.hi, amount)
        self.emit(ORR_LSL_R, AL, LR, LR, rd.lo, IP)
        self.emit(ORR_LSR_R, AL, IP, LR, rd.lo, self.temp2.hi)
        self.emit(LSL_R, AL, LR, rd.lo, amount)

    def shift_right(self, fn: int, rd: Pair, amount: int) -> None:
        self.emit(RSB_I, AL, IP, amount, 32)
        self.emit(SUBS_I, AL, self.temp2.hi, amount, 32)
        self.emit(LSR_R, AL, LR, rd.lo, amount)
        self.emit(ORR_LSL_R, AL, LR, LR, rd.hi, IP)
        if fn == ops.ARSH:
            self.emit(ORR_ASR_R, PL, LR, LR, rd.hi, self.temp2.hi)
        else:
            self.emit(ORR_LSR_R, AL, LR, LR, rd.hi, self.temp2.hi)
        self.emit(SHIFT[fn][0], AL, IP, rd.hi, amount)

    def shift_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        to = self.pairs[dst]
        if wide:
            rd = self.words(to, self.temp1)
            if fn == ops.LSH:
                self.shift_left_by(rd, imm)
            else:
                self.shift_right_by(fn, rd, imm)
            self.put_words(to, rd)
            return
        if imm:
            reg = self.word(to.lo, self.temp1.hi)
            self.emit(SHIFT[fn][1], AL, reg, reg, imm)
            self.put_word(to.lo, reg)
        self.clear_high(to)

    def shift_left_by(self, rd: Pair, n: int) -> None:
        t = self.temp2.hi
        if n < 32:
            self.emit(LSL_I, AL, t, rd.hi, n)
            self.emit(ORR_LSR_I, AL, rd.hi, t, rd.lo, 32 - n if n else 0)   # 0 stands for a shift by 32
            self.emit(LSL_I, AL, rd.lo, rd.lo, n)
            return
        if n == 32:
            self.copy_word(rd.hi, rd.lo)
        else:
            self.emit(LSL_I, AL, rd.hi, rd.lo, n - 32)
        self.emit(EOR, AL, rd.lo, rd.lo, rd.lo)

    def shift_right_by(self, fn: int, rd: Pair, n: int) -> None:
        row, t = SHIFT[fn][1], self.temp2.lo
        if n == 0:
            return
        if n < 32:
            self.emit(LSR_I, AL, t, rd.lo, n)
            self.emit(ORR_LSL_I, AL, rd.lo, t, rd.hi, 32 - n)
            self.emit(row, AL, rd.hi, rd.hi, n)
            return
        if n == 32:
            self.copy_word(rd.lo, rd.hi)
        else:
            self.emit(row, AL, rd.lo, rd.hi, n - 32)
        if fn == ops.ARSH:
            self.emit(ASR_I, AL, rd.hi, rd.hi, 31)
        else:
            self.emit(MOV_I, AL, rd.hi, 0)

    def neg(self, wide: bool, dst: int) -> None:
        to = self.pairs[dst]
        if wide:
            rd = self.words(to, self.temp1)
            self.emit(RSBS_I, AL, rd.lo, rd.lo, 0)
            self.emit(RSC_I, AL, rd.hi, rd.hi, 0)
            self.put_words(to, rd)
            return
        reg = self.word(to.lo, self.temp1.hi)
        self.emit(RSB_I, AL, reg, reg, 0)
        self.put_word(to.lo, reg)
        self.clear_high(to)

    def byte_order(self, fn: int, bits: int, dst: int) -> None:
        to = self.pairs[dst]
        rd = self.words(to, self.temp1)
        if fn != ops.LE:
            if bits == 64:
                self.emit(REV, AL, LR, rd.lo)
                self.emit(REV, AL, rd.lo, rd.hi)
                self.emit(MOV, AL, rd.hi, LR)
            else:
                self.emit(REV16 if bits == 16 else REV, AL, rd.lo, rd.lo)
        if bits == 16:
            self.emit(UXTH, AL, rd.lo, rd.lo)
        if bits != 64 and not self.unit.zext_inserted:
            self.emit(EOR, AL, rd.hi, rd.hi, rd.hi)
        self.put_words(to, rd)
