"""ARM (ARMv7, 32-bit): register pairs, half of the eBPF registers in memory.

    eBPF        where            eBPF              where
    r0          r1:r0            r2 r3 r4 r5       scratch area
    r1          r3:r2            r7 r8 r9 r10 ax   scratch area
    r6          r5:r4            tail-call count   scratch area          temporaries r7:r6, r9:r8, ip, lr

    caller's sp ->  | r4-r9 fp lr        |  32 bytes
    fp (r11)    ->  | scratch area       |  80 bytes, at negative offsets from fp
    eBPF r10    ->  | eBPF stack         |
    sp          ->  | ...                |  rounded to 8 bytes

What the kernel's code generator refuses (bpf-to-bpf calls, atomics; before 6.7 also 64-bit division) is generated here
all the same: a shift-and-subtract routine behind the epilogue, and load-exclusive loops.  The kernel's shifts by a
register do not mask the amount; with the feature `masked_shifts` (profile `bpfbench`) they do.

Sources: arch/arm/net/bpf_jit_32.c and .h of Linux 6.1 and 6.12; Procedure Call Standard for the Arm Architecture.
"""

from __future__ import annotations

from typing import ClassVar, Final

from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.code import Relocation
from bpfbench.jit.pair import Pair, PairTarget
from bpfbench.jit.target import Sweep
from bpfbench.machine import a32
from bpfbench.machine.a32 import A32, AL, EQ, FP, GE, HI, HS, IP, LO, LR, LS, LT, NE, PC, PL, REGS, SP
from bpfbench.machine.pattern import Encoding, Machine

# fmt: off
#: Registers saved by the prologue; the epilogue loads the saved lr into pc.
SAVED: Final = [4, 5, 6, 7, 8, 9, FP, LR]
SCRATCH: Final = 80
TAIL_COUNT: Final = 12          # index in `pairs`
MAX_TAIL_CALLS: Final = 33
#: Offsets in the kernel's structures that a tail call reads (32-bit, 64-byte cache lines).
MAX_ENTRIES: Final = 24         # struct bpf_array: map.max_entries
PROGRAMS: Final = (272, 208)    # struct bpf_array: ptrs, before 6.8 and from then on
ENTRY: Final = 36               # struct bpf_prog: bpf_func

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
#: The condition after comparing dst with src; the signed > and <= compare src with dst.
CONDITION: Final[dict[int, int]] = {
    ops.JEQ: EQ, ops.JNE: NE, ops.JSET: NE, ops.JGT: HI, ops.JGE: HS, ops.JLT: LO, ops.JLE: LS,
    ops.JSGT: LT, ops.JSLE: GE, ops.JSLT: LT, ops.JSGE: GE,
}
SWAPPED: Final = (ops.JSGT, ops.JSLE)
SIGNED: Final = (ops.JSGT, ops.JSLE, ops.JSLT, ops.JSGE)
#         bytes   row, row that subtracts the offset,          largest offset
LOADS: Final[dict[int, tuple[Encoding, Encoding, int]]] = {
    1: (A32.row("ldrb"), A32.row("ldrb_sub"), 0xFFF),
    2: (A32.row("ldrh"), A32.row("ldrh_sub"), 0xFF),
    4: (A32.row("ldr"),  A32.row("ldr_sub"),  0xFFF),
    8: (A32.row("ldr"),  A32.row("ldr_sub"),  0xFFF - 4),
}
SIGNED_LOADS: Final[dict[int, tuple[Encoding, Encoding, int]]] = {
    1: (A32.row("ldrsb"), A32.row("ldrsb_sub"), 0xFF),
    2: (A32.row("ldrsh"), A32.row("ldrsh_sub"), 0xFF),
    4: (A32.row("ldr"),   A32.row("ldr_sub"),   0xFFF),
}
STORES: Final[dict[int, tuple[Encoding, Encoding, int]]] = {
    1: (A32.row("strb"), A32.row("strb_sub"), 0xFFF),
    2: (A32.row("strh"), A32.row("strh_sub"), 0xFF),
    4: (A32.row("str"),  A32.row("str_sub"),  0xFFF),
    8: (A32.row("str"),  A32.row("str_sub"),  0xFFF - 4),
}
#: 64-bit division: symbol of the kernel's routine
ROUTINES: Final[dict[int, str]] = {
    ops.DIV: "jit_udiv64", ops.MOD: "jit_mod64", ops.SDIV: "jit_sdiv64", ops.SMOD: "jit_smod64",
}
SMALL_ROUTINES: Final[dict[int, str]] = {
    ops.DIV: "jit_udiv32", ops.MOD: "jit_mod32", ops.SDIV: "jit_sdiv32", ops.SMOD: "jit_smod32",
}

ADC_I, ADD, ADD_I, ADDS_I = (A32.row(n) for n in ("adc_i", "add", "add_i", "adds_i"))
AND_I, ANDS, ORRS, AND = (A32.row(n) for n in ("and_i", "ands", "orrs", "and"))
B, BL, BX, BLX = (A32.row(n) for n in ("b", "bl", "bx", "blx"))
CMP, CMP_I, DMB, EOR = (A32.row(n) for n in ("cmp", "cmp_i", "dmb", "eor"))
LDRD, LDRD_SUB, STRD, STRD_SUB = (A32.row(n) for n in ("ldrd", "ldrd_sub", "strd", "strd_sub"))
LDR, LDR_SUB, STR, STR_SUB, LDR_LSL = (A32.row(n) for n in ("ldr", "ldr_sub", "str", "str_sub", "ldr_lsl"))
LDREX, LDREXD, STREX, STREXD = (A32.row(n) for n in ("ldrex", "ldrexd", "strex", "strexd"))
MOV, MOV_I, MOVW, MOVT = (A32.row(n) for n in ("mov", "mov_i", "movw", "movt"))
MUL, MLS, UMULL, UDIV, SDIV = (A32.row(n) for n in ("mul", "mls", "umull", "udiv", "sdiv"))
ORR_I, ORR_LSL_I, ORR_LSR_I = (A32.row(n) for n in ("orr_i", "orr_lsl_i", "orr_lsr_i"))
ORR_LSL_R, ORR_LSR_R, ORR_ASR_R = (A32.row(n) for n in ("orr_lsl_r", "orr_lsr_r", "orr_asr_r"))
LSL_I, LSR_I, ASR_I = (A32.row(n) for n in ("lsl_i", "lsr_i", "asr_i"))
LSL_R, LSR_R, ASR_R = (A32.row(n) for n in ("lsl_r", "lsr_r", "asr_r"))
PUSH, POP, REV, REV16, UXTH = (A32.row(n) for n in ("push", "pop", "rev", "rev16", "uxth"))
RSB_I, RSBS_I, RSC_I, SBC, SBCS = (A32.row(n) for n in ("rsb_i", "rsbs_i", "rsc_i", "sbc", "sbcs"))
SUB_I, SUBS, SUBS_I, ADDS, ADCS = (A32.row(n) for n in ("sub_i", "subs", "subs_i", "adds", "adcs"))
# fmt: on


def mask(*regs: int) -> int:
    """The register list of push and pop."""
    return sum(1 << r for r in regs)


CALLER_SAVED: Final = mask(0, 1, 2, 3)


class A32Target(PairTarget):
    name: ClassVar[str] = "arm"
    machine: ClassVar[Machine] = A32
    frame_pointer: ClassVar[str] = ""
    pairs: ClassVar[list[Pair]] = [
        Pair(1, 0), Pair(3, 2), Pair(-4, -8), Pair(-12, -16), Pair(-20, -24), Pair(-28, -32), Pair(5, 4),
        Pair(-36, -40), Pair(-44, -48), Pair(-52, -56), Pair(-60, -64), Pair(-76, -80), Pair(-68, -72),
    ]  # fmt: skip
    temp1: ClassVar[Pair] = Pair(7, 6)
    temp2: ClassVar[Pair] = Pair(9, 8)
    prologue_bytes = 0

    # ---------------------------------------------------------------------------------------------------------- passes
    def passes(self, sweep: Sweep) -> None:
        """Nothing changes its size with the distance of a branch: one sweep to measure, one for the image."""
        self.routines: list[int] = []
        self.routine_at = 0
        sweep("PBE", True)
        sweep("PBE", False)

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

    # ------------------------------------------------------------------------------------------- prologue and epilogue
    def prologue(self) -> None:
        r1, frame = self.pairs[1], self.layout
        frame.stack_size = (self.unit.stack_depth + SCRATCH + 7) & ~7
        frame.cfa(0, "sp", 0)
        self.emit(PUSH, AL, mask(*SAVED))
        frame.cfa(self.here, "sp", 32)
        for i, reg in enumerate(SAVED):
            frame.saved(self.here, REGS[reg], 4 * i - 32)
        self.emit(MOV, AL, FP, SP)
        frame.cfa(self.here, REGS[FP], 32)
        frame.slot("scratch", -32 - SCRATCH, SCRATCH)
        frame.slot("stack", -32 - frame.stack_size, frame.stack_size - SCRATCH)
        if self.unit.index:
            self.subprog_prologue()
            return
        self.emit(MOV_I, AL, r1.hi, 0)
        self.emit(SUB_I, AL, r1.lo, SP, SCRATCH)
        self.emit(SUB_I, AL, SP, SP, a32.modified_immediate(frame.stack_size))
        self.copy_words(self.pairs[10], r1)
        self.emit(MOV_I, AL, r1.lo, 0)
        self.copy_words(self.pairs[TAIL_COUNT], r1)
        self.emit(MOV, AL, r1.lo, 0)
        self.prologue_bytes = self.here

    def subprog_prologue(self) -> None:
        """A function of ours gets r1, r2 in registers and r3-r5 on the stack, like a helper.  No kernel does this."""
        t = self.temp1
        self.emit(SUB_I, AL, t.lo, SP, SCRATCH)
        self.emit(MOV_I, AL, t.hi, 0)
        self.emit(SUB_I, AL, SP, SP, a32.modified_immediate(self.layout.stack_size))
        self.store_words(t, self.pairs[10])
        self.emit(MOV_I, AL, t.lo, 0)
        self.store_words(t, self.pairs[TAIL_COUNT])
        self.store_words(Pair(3, 2), self.pairs[2])
        self.copy_words(self.pairs[1], self.pairs[0])
        for n in (3, 4, 5):
            self.emit(LDRD, AL, t.lo, FP, 4 * len(SAVED) + 8 * (n - 3))
            self.store_words(t, self.pairs[n])
        self.prologue_bytes = self.here

    def epilogue(self) -> None:
        self.emit(MOV, AL, SP, FP)
        self.layout.cfa(self.here, "sp", 32)
        self.emit(POP, AL, mask(*SAVED[:-1], PC))
        if self.routines:
            self.routine_at = self.here
            self.division_routine()

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

    # ---------------------------------------------------------------------------------------------------------- memory
    def access(self, rows: tuple[Encoding, Encoding, int], reg: int, base: int, off: int) -> None:
        """Transfer `reg` at base + off; the sign of the offset is in the opcode."""
        if off >= 0:
            self.emit(rows[0], AL, reg, base, off)
        else:
            self.emit(rows[1], AL, reg, base, -off)

    def far(self, base: int, off: int) -> int:
        """A register with base + off, for offsets beyond the instruction's reach."""
        self.constant(self.temp1.hi, off & 0xFFFF_FFFF)
        self.emit(ADD, AL, self.temp1.hi, self.temp1.hi, base)
        return self.temp1.hi

    def load(self, size: int, dst: int, src: int, off: int) -> None:
        to, rows = self.pairs[dst], LOADS[size]
        rd = self.temp1 if to.stacked else to
        base = self.word(self.pairs[src].lo, self.temp2.lo)
        if not -rows[2] <= off <= rows[2]:
            base, off = self.far(base, off), 0
        elif rd.lo == base:
            self.copy_word(self.temp1.hi, base)
            base = self.temp1.hi
        self.access(rows, rd.lo, base, off)
        if size == 8:
            self.access(rows, rd.hi, base, off + 4)
        else:
            self.clear_high(rd)
        self.put_words(to, rd)

    def load_sx(self, size: int, dst: int, src: int, off: int) -> None:
        to, rows = self.pairs[dst], SIGNED_LOADS[size]
        rd = self.temp1 if to.stacked else to
        base = self.word(self.pairs[src].lo, self.temp2.lo)
        if not -rows[2] <= off <= rows[2]:
            field = a32.modified_immediate(off & 0xFFFF_FFFF)
            if field > 0:
                self.emit(ADD_I, AL, self.temp1.hi, base, field)
                base = self.temp1.hi
            else:
                base = self.far(base, off)
            off = 0
        self.access(rows, rd.lo, base, off)
        self.emit(ASR_I, AL, rd.hi, rd.lo, 31)
        self.put_words(to, rd)

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        self.store_pair(size, dst, off, self.words(self.pairs[src], self.temp2))

    def store_imm(self, size: int, dst: int, off: int, imm: int) -> None:
        if size == 8:
            self.set_signed(self.temp2, imm, True)
        else:
            self.constant(self.temp2.lo, imm & 0xFFFF_FFFF)
        self.store_pair(size, dst, off, self.temp2)

    def store_pair(self, size: int, dst: int, off: int, regs: Pair) -> None:
        rows = STORES[size]
        base = self.word(self.pairs[dst].lo, self.temp1.lo)
        if not -rows[2] <= off <= rows[2]:
            base, off = self.far(base, off), 0
        self.access(rows, regs.lo, base, off)
        if size == 8:
            self.access(rows, regs.hi, base, off + 4)

    def atomic(self, fn: int, size: int, dst: int, off: int, src: int) -> None:
        """A load-exclusive loop: address ip, operand r9:r8, old value r7:r6, success lr.  No kernel does this."""
        source = self.pairs[src]
        base = self.word(self.pairs[dst].lo, self.temp1.lo)
        if base != IP:
            self.copy_word(IP, base)
        if off:
            self.constant(LR, off & 0xFFFF_FFFF)
            self.emit(ADD, AL, IP, IP, LR)
        if source.stacked:
            self.load_words(self.temp2, source)
        else:
            self.copy_word(self.temp2.lo, source.lo)
            self.copy_word(self.temp2.hi, source.hi)
        fetch = fn & 1 == 1
        if fetch:
            self.emit(DMB, 0xB)
        new = self.temp2 if fn in (ops.XCHG, ops.CMPXCHG) else Pair(1, 0)
        if new.lo == 0:
            self.emit(PUSH, AL, mask(0, 1))
        self.exclusive(fn, size, new)
        if new.lo == 0:
            self.emit(POP, AL, mask(0, 1))
        if not fetch:
            return
        self.emit(DMB, 0xB)
        result = self.pairs[0] if fn == ops.CMPXCHG else source
        if size == 8:
            self.put_words(result, self.temp1)
        else:
            self.put_word(result.lo, self.temp1.lo)
            self.clear_high(result)

    def exclusive(self, fn: int, size: int, new: Pair) -> None:
        old, operand = self.temp1, self.temp2
        again = self.here
        self.emit(LDREXD if size == 8 else LDREX, AL, old.lo, IP)
        if fn == ops.CMPXCHG:
            expected = self.pairs[0]
            self.emit(CMP, AL, old.lo, expected.lo)
            if size == 8:
                self.emit(CMP, EQ, old.hi, expected.hi)
            self.emit(B, NE, 8)
        elif fn != ops.XCHG:
            alu = {ops.A_ADD: ops.ADD, ops.A_AND: ops.AND, ops.A_OR: ops.OR, ops.A_XOR: ops.XOR}[fn & ~1]
            low, high = ALU[alu]
            self.emit(low, AL, new.lo, old.lo, operand.lo)
            if size == 8:
                self.emit(high, AL, new.hi, old.hi, operand.hi)
        self.emit(STREXD if size == 8 else STREX, AL, LR, new.lo, IP)
        self.emit(CMP_I, AL, LR, 0)
        self.emit(B, NE, again - self.here - 8)

    def load_acquire(self, size: int, dst: int, src: int, off: int) -> None:
        self.load(size, dst, src, off)
        self.emit(DMB, 0xB)

    def store_release(self, size: int, dst: int, off: int, src: int) -> None:
        self.emit(DMB, 0xB)
        self.store(size, dst, off, src)

    # --------------------------------------------------------------------------------------------------------- control
    def jump(self, target: int) -> None:
        if target != self.pc + self.consumed:
            self.goto(AL, target)

    def goto(self, cond: int, target: int) -> None:
        self.emit(B, cond, self.distance(target) - 8)

    def branch_reg(self, fn: int, wide: bool, dst: int, src: int, target: int) -> None:
        source = self.pairs[src]
        hi = self.word(source.hi, self.temp2.hi)
        lo = self.word(source.lo, self.temp2.lo)
        self.branch(fn, wide, self.pairs[dst], Pair(hi, lo), target)

    def branch_imm(self, fn: int, wide: bool, dst: int, imm: int, target: int) -> None:
        if target == self.pc + 1:
            return
        self.set_signed(self.temp2, imm, True)
        self.branch(fn, wide, self.pairs[dst], self.temp2, target)

    def branch(self, fn: int, wide: bool, dst: Pair, rs: Pair, target: int) -> None:
        rd = self.words(dst, self.temp1)
        if fn == ops.JSET:
            if wide:
                self.emit(AND, AL, IP, rd.lo, rs.lo)
                self.emit(AND, AL, LR, rd.hi, rs.hi)
                self.emit(ORRS, AL, IP, LR, IP)
            else:
                self.emit(ANDS, AL, IP, rd.lo, rs.lo)
        elif fn in SIGNED:
            a, b = (rs, rd) if fn in SWAPPED else (rd, rs)
            self.emit(CMP, AL, a.lo, b.lo)
            if wide:
                self.emit(SBCS, AL, IP, a.hi, b.hi)
        elif wide:
            self.emit(CMP, AL, rd.hi, rs.hi)
            self.emit(CMP, EQ, rd.lo, rs.lo)
        else:
            self.emit(CMP, AL, rd.lo, rs.lo)
        self.goto(CONDITION[fn], target)

    def call(self, symbol: str) -> None:
        self.arguments()
        self.address(self.temp1.lo, "helper", symbol)
        self.emit(BLX, AL, self.temp1.lo)
        self.emit(ADD_I, AL, SP, SP, 24)

    def arguments(self) -> None:
        """r1 and r2 to r3:r2:r1:r0, the other three on the stack; the procedure call standard's order."""
        self.copy_words(self.pairs[0], self.pairs[1])
        self.copy_words(self.pairs[1], self.pairs[2])
        for n in (5, 4, 3):
            regs = self.words(self.pairs[n], self.temp2)
            self.emit(PUSH, AL, mask(regs.lo, regs.hi))

    def call_local(self, callee: int) -> None:
        self.arguments()
        self.address(self.temp1.lo, "subprog", f"function#{callee}")
        self.emit(BLX, AL, self.temp1.lo)
        self.emit(ADD_I, AL, SP, SP, 24)

    def tail_call(self) -> None:
        """Three reasons to fall through: the index, the count, an empty slot."""
        t, count = self.temp1, self.pairs[TAIL_COUNT]
        array = self.word(self.pairs[2].lo, self.temp2.hi)
        index = self.word(self.pairs[3].lo, self.temp2.lo)
        out = self.pc + 1
        self.emit(LDR, AL, t.lo, array, MAX_ENTRIES)
        self.emit(CMP, AL, index, t.lo)
        self.goto(HS, out)
        self.words(count, t)
        self.emit(CMP_I, AL, t.hi, 0)
        self.emit(CMP_I, EQ, t.lo, MAX_TAIL_CALLS)
        self.goto(HS, out)
        self.emit(ADDS_I, AL, t.lo, t.lo, 1)
        self.emit(ADC_I, AL, t.hi, t.hi, 0)
        self.put_words(count, t)
        self.emit(ADD_I, AL, t.lo, array, a32.modified_immediate(PROGRAMS[self.at_least(6, 8)]))
        self.emit(LDR_LSL, AL, t.lo, t.lo, index, 2)
        self.emit(CMP_I, AL, t.lo, 0)
        self.goto(EQ, out)
        self.emit(LDR, AL, t.lo, t.lo, ENTRY)
        self.emit(ADD_I, AL, t.lo, t.lo, self.prologue_bytes)
        self.emit(BX, AL, t.lo)

    def exit(self) -> None:
        if not self.is_last():
            self.emit(B, AL, self.epilogue_at - self.here - 8)

    # --------------------------------------------------------------------------------------------------------- linking
    @classmethod
    def patch(cls, code: bytearray, relocation: Relocation, base: int, value: int) -> None:
        value += relocation.addend
        if not 0 <= value < 1 << 32:
            raise JitError(f"arm: address {value:#x} of {relocation.symbol} has more than 32 bits")
        half = value >> 16 if relocation.form == "movt" else value & 0xFFFF
        at = relocation.offset
        word = int.from_bytes(code[at : at + 4], "little") & ~0x000F_0FFF
        word |= half >> 12 << 16 | half & 0xFFF
        code[at : at + 4] = word.to_bytes(4, "little")
