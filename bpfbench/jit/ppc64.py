"""PPC64, little endian, ELF ABI version 2: eBPF registers are machine registers; nearly every layout is fixed.

    r0 r8   r1-r5 r3-r7   r6-r9 r27-r30   r10 r31   ax r12   temporaries r9 r10, r0 for old values

    caller's sp ->  | r27-r31, those used        |  40 bytes
                    | tail-call count            |   8
                    | room for a doubleword      |  16
    fp (r31)    ->  | eBPF stack                 |  rounded to 16
                    | frame header               |  32
    sp (r1)     ->  +----------------------------+

A function that neither calls nor uses its stack makes no frame; then the part above fp lies below the caller's stack
pointer, in the 288 bytes the ABI protects.  A conditional branch always takes two words, a short branch with a `nop` or
an inverted branch over a long one, so no distance changes a size.  Helpers are reached relative to the kernel's TOC,
whose address the prologue loads into r2 from the per-CPU area that r13 points to.

Shifts of the machine by 64..127 (32..63) give 0; eBPF masks the amount.  The kernel lets that be; with the feature
`masked_shifts` (profile `bpfbench`) the amount is masked first.

Sources: arch/powerpc/net/bpf_jit.h, bpf_jit_comp.c, bpf_jit_comp64.c of Linux 6.1 and 6.12; 64-Bit ELF V2 ABI.
"""

from __future__ import annotations

from typing import ClassVar, Final

from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.code import Relocation
from bpfbench.jit.features import tail_call_layout
from bpfbench.jit.target import Sweep, Target, Unit
from bpfbench.machine.pattern import Encoding, Machine
from bpfbench.machine.ppc64 import PPC64, REGS

# fmt: off
#: eBPF r0..r10, the auxiliary register
REG: Final = [8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31, 12]
SP, TOC, CALLEE, PACA = 1, 2, 12, 13
TEMP1, TEMP2, OLD = 9, 10, 0
FP: Final = REG[10]
KERNEL_TOC: Final = 16          # struct paca_struct: kernel_toc
HEADER: Final = 32              # frame header
LOCALS: Final = 24              # tail-call count, room for a doubleword
SAVED: Final = 40               # five callee-saved registers
FRAME: Final = HEADER + LOCALS + SAVED
LINK_SLOT: Final = 16           # where the caller's frame keeps our return address
MAX_TAIL_CALLS: Final = 33
TAIL_CALL_SKIP: Final = 12      # a tail call enters behind the load of r2 and the two words that set the count

R = PPC64.row
ALU: Final = {ops.ADD: R("add"), ops.SUB: R("sub"), ops.AND: R("and"), ops.OR: R("or"), ops.XOR: R("xor")}
#           eBPF fn    32 bits    64 bits
SHIFT: Final[dict[int, tuple[Encoding, Encoding]]] = {
    ops.LSH: (R("slw"), R("sld")), ops.RSH: (R("srw"), R("srd")), ops.ARSH: (R("sraw"), R("srad")),
}
DIVIDE: Final[dict[int, tuple[Encoding, Encoding]]] = {
    ops.DIV:  (R("divwu"), R("divdu")), ops.MOD:  (R("divwu"), R("divdu")),
    ops.SDIV: (R("divw"),  R("divd")),  ops.SMOD: (R("divw"),  R("divd")),
}
#                                 bits 0..15   bits 16..31
HALVES: Final[dict[int, tuple[Encoding, Encoding]]] = {ops.OR: (R("ori"), R("oris")), ops.XOR: (R("xori"), R("xoris"))}
#           signed: register, immediate; unsigned: register, immediate (first 32 bits, then 64)
COMPARE: Final[dict[tuple[bool, bool], tuple[Encoding, Encoding]]] = {
    (True, False):  (R("cmpw"),  R("cmpwi")),  (True, True):  (R("cmpd"),  R("cmpdi")),
    (False, False): (R("cmplw"), R("cmplwi")), (False, True): (R("cmpld"), R("cmpldi")),
}
LOADS: Final = {1: R("lbz"), 2: R("lhz"), 4: R("lwz"), 8: R("ld")}
STORES: Final = {1: R("stb"), 2: R("sth"), 4: R("stw"), 8: R("std")}
ATOMIC_ALU: Final = {ops.A_ADD: R("add"), ops.A_AND: R("and"), ops.A_OR: R("or"), ops.A_XOR: R("xor")}
EXTEND: Final = {8: R("extsb"), 16: R("extsh"), 32: R("extsw")}
SIGNED: Final = (ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE)

BGT, BLT, BEQ, BGE, BLE, BNE = (R(n) for n in "bgt blt beq bge ble bne".split())
#: The branch if the condition holds, and if it does not
CONDITION: Final[dict[int, tuple[Encoding, Encoding]]] = {
    ops.JGT: (BGT, BLE), ops.JSGT: (BGT, BLE), ops.JLT: (BLT, BGE), ops.JSLT: (BLT, BGE), ops.JEQ: (BEQ, BNE),
    ops.JGE: (BGE, BLT), ops.JSGE: (BGE, BLT), ops.JLE: (BLE, BGT), ops.JSLE: (BLE, BGT), ops.JNE: (BNE, BEQ),
    ops.JSET: (BNE, BEQ),
}

NOP, LI, LIS, ADDI, ADDIS, MULLI = (R(n) for n in "nop li lis addi addis mulli".split())
ORI, ORIS, ANDI, XORI = (R(n) for n in "ori oris andi. xori".split())
ADD, SUB, NEG, MULLW, MULLD, AND, AND_DOT, OR, MR = (R(n) for n in "add sub neg mullw mulld and and. or mr".split())
RLWINM, RLWINM_DOT, RLWIMI, RLDICL, RLDICR = (R(n) for n in "rlwinm rlwinm. rlwimi rldicl rldicr".split())
SRAWI, SRADI = R("srawi"), R("sradi")
LBZ, LHA, LWA, LWAX, LWZ, LD, LDX, LDBRX = (R(n) for n in "lbz lha lwa lwax lwz ld ldx ldbrx".split())
STD, STDU, STDX = R("std"), R("stdu"), R("stdx")
LWARX, LDARX, STWCX, STDCX, SYNC = (R(n) for n in "lwarx ldarx stwcx. stdcx. sync".split())
B, BLR, BCTR, BCTRL, MFLR, MTLR, MTCTR = (R(n) for n in "b blr bctr bctrl mflr mtlr mtctr".split())
TRAP, EIEIO2 = R("trap"), R("eieio2")
# fmt: on


def reaches(distance: int, bits: int) -> bool:
    return -(1 << (bits - 1)) <= distance < 1 << (bits - 1)


def signed16(value: int) -> int:
    return (value & 0xFFFF ^ 0x8000) - 0x8000


def load_immediate(rd: int, value: int) -> list[tuple[Encoding, tuple[int, ...]]]:
    """The instructions that give `rd` a 64-bit number (-2^63 .. 2^64 - 1): at most five.

    >>> len(load_immediate(3, 7)), len(load_immediate(3, 0xC000000000012345))
    (1, 4)
    """
    if value >= 1 << 63:
        value -= 1 << 64
    if -0x8000 <= value < 0x8000:
        return [(LI, (rd, value))]
    low = [(ORI, (rd, rd, value & 0xFFFF))] if value & 0xFFFF else []
    if -0x8000_0000 <= value < 0x8000_0000:
        return [(LIS, (rd, value >> 16)), *low]
    if not value & 0xFFFF_8000_0000_0000:
        upper: list[tuple[Encoding, tuple[int, ...]]] = [(LI, (rd, value >> 32 & 0xFFFF))]
    else:
        upper = [(LIS, (rd, signed16(value >> 48)))]
        if value >> 32 & 0xFFFF:
            upper.append((ORI, (rd, rd, value >> 32 & 0xFFFF)))
    upper.append((RLDICR, (rd, rd, 32, 31)))
    if value >> 16 & 0xFFFF:
        upper.append((ORIS, (rd, rd, value >> 16 & 0xFFFF)))
    return upper + low


class Ppc64Target(Target):
    name: ClassVar[str] = "ppc64"
    machine: ClassVar[Machine] = PPC64
    frame_pointer: ClassVar[str] = REGS[FP]

    def __init__(self, unit: Unit, features: dict[str, bool], kernel: tuple[int, int]) -> None:
        super().__init__(unit, features, kernel)
        used = {r for i in unit.insns if i is not None for r in (i.dst, i.src)}
        self.saved = [REG[r] for r in range(6, 11) if r in used]
        self.calls = any(i is not None and i.is_call and not is_tail_call(i.kind, i.imm) for i in unit.insns)
        self.makes_tail_calls = any(i is not None and is_tail_call(i.kind, i.imm) for i in unit.insns)
        self.framed = self.calls or FP in self.saved
        self.stack_size = (unit.stack_depth + 15) & ~15
        self.padded = True              # wide loads are padded to five words
        self.length = 0                 # what the image was measured to need
        self.near_exit = -1             # a copy of the epilogue, where the real one is out of reach

    # ---------------------------------------------------------------------------------------------------------- passes
    def passes(self, sweep: Sweep) -> None:
        """Measure, settle, write.  From 6.8 on, wide loads are padded only while measuring: the image ends in traps."""
        self.padded = True
        sweep("B", True)
        self.near_exit = -1
        self.length = sweep("PBE", True)
        self.padded = not self.at_least(6, 8)
        for dry in (True, False):
            self.near_exit = -1
            sweep("PBE", dry)

    def passes_again(self, sweep: Sweep) -> None:
        self.near_exit = -1
        sweep("PBE", False)

    # ------------------------------------------------------------------------------------------- prologue and epilogue
    def prologue(self) -> None:
        frame = self.layout
        frame.stack_size = self.stack_size
        frame.cfa(0, REGS[SP], 0)
        self.emit(LD, TOC, KERNEL_TOC, PACA)
        if self.makes_tail_calls:
            self.emit(LI, TEMP1, 0)
            self.emit(STD, TEMP1, -(SAVED + 8), SP)
        else:
            self.emit(NOP)
            self.emit(NOP)
        if self.framed:
            if self.calls:
                self.emit(MFLR, 0)
                self.emit(STD, 0, LINK_SLOT, SP)
                frame.saved(self.here, "lr", LINK_SLOT)
            self.emit(STDU, SP, -(FRAME + self.stack_size), SP)
            frame.cfa(self.here, REGS[SP], FRAME + self.stack_size)
            frame.slot("stack", -SAVED - LOCALS - self.stack_size, self.stack_size)
        for reg in self.saved:
            self.emit(STD, reg, self.save_slot(reg), SP)
            frame.saved(self.here, REGS[reg], -8 * (32 - reg))
        frame.slot("tail-call count", -SAVED - 8, 8)
        if FP in self.saved:
            self.emit(ADDI, FP, SP, HEADER + self.stack_size)

    def epilogue(self) -> None:
        self.leave()
        self.emit(MR, 3, REG[0])
        self.emit(BLR)
        if not self.padded:
            while self.here < self.length:
                self.emit(TRAP)

    def leave(self) -> None:
        """Restore registers and take down the frame."""
        for reg in self.saved:
            self.emit(LD, reg, self.save_slot(reg), SP)
        if self.framed:
            self.emit(ADDI, SP, SP, FRAME + self.stack_size)
            if self.calls:
                self.emit(LD, 0, LINK_SLOT, SP)
                self.emit(MTLR, 0)

    def save_slot(self, reg: int) -> int:
        return (FRAME + self.stack_size if self.framed else 0) - 8 * (32 - reg)

    def local_slot(self) -> int:
        """Where there is room for a doubleword; the tail-call count is 16 above."""
        return HEADER + self.stack_size if self.framed else -(SAVED + LOCALS)

    # ----------------------------------------------------------------------------------------------------------- moves
    def mov_reg(self, wide: bool, dst: int, src: int) -> None:
        if dst != src or not self.at_least(6, 7):
            self.emit(MR, REG[dst], REG[src])
        self.truncate(wide, dst)

    def mov_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.constant(REG[dst], imm)
        if imm < 0:
            self.truncate(wide, dst)
        else:
            self.swallow_zext()

    def mov_sx(self, wide: bool, bits: int, dst: int, src: int) -> None:
        self.emit(EXTEND[bits], REG[dst], REG[src])
        self.truncate(wide, dst)

    def mov_wide(self, dst: int, value: int) -> None:
        start = self.here
        for row, operands in load_immediate(REG[dst], value):
            self.emit(row, *operands)
        while self.padded and self.here < start + 20:
            self.emit(NOP)

    def mov_address(self, dst: int, kind: str, symbol: str, addend: int) -> None:
        self.address(REG[dst], kind, symbol, addend)

    def address(self, rd: int, kind: str, symbol: str, addend: int = 0) -> None:
        """Always five words: the address is not known yet."""
        self.relocate(self.here, 20, kind, symbol, "abs64", addend)
        self.emit(LIS, rd, 0)
        self.emit(ORI, rd, rd, 0)
        self.emit(RLDICR, rd, rd, 32, 31)
        self.emit(ORIS, rd, rd, 0)
        self.emit(ORI, rd, rd, 0)

    def zext(self, dst: int, src: int) -> None:
        self.emit(RLWINM, REG[dst], REG[src], 0, 0, 31)

    def truncate(self, wide: bool, dst: int) -> None:
        """Clear the upper half of a 32-bit result, unless the program has an instruction for that."""
        if not wide and not self.unit.zext_inserted:
            self.emit(RLWINM, REG[dst], REG[dst], 0, 0, 31)

    def swallow_zext(self) -> None:
        """The result has no upper half: a following zero extension is not needed."""
        after = self.next_insn()
        if after is not None and after.kind == ops.ZEXT32:
            self.swallow()

    def constant(self, rd: int, imm: int) -> None:
        """rd = a 32-bit number, sign-extended."""
        for row, operands in load_immediate(rd, imm):
            self.emit(row, *operands)

    # ------------------------------------------------------------------------------------------------------ arithmetic
    def alu_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        rd = REG[dst]
        if fn == ops.OR and src == dst:
            self.emit(MR, rd, rd)
        else:
            self.emit(ALU[fn], rd, rd, REG[src])
        self.truncate(wide, dst)

    def alu_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        rd = REG[dst]
        if fn in (ops.ADD, ops.SUB):
            addend = imm if fn == ops.ADD else -imm
            if -0x8000 <= addend < 0x8000:
                if imm:
                    self.emit(ADDI, rd, rd, addend)
            else:
                self.by_constant(ALU[fn], rd, imm)
        elif fn == ops.AND:
            if 0 <= imm <= 0xFFFF:
                self.emit(ANDI, rd, rd, imm)
            else:
                self.by_constant(AND, rd, imm)
        elif imm < 0 and wide:
            self.by_constant(ALU[fn], rd, imm)
        else:
            low, high = HALVES[fn]
            if imm & 0xFFFF:
                self.emit(low, rd, rd, imm & 0xFFFF)
            if imm >> 16 & 0xFFFF:
                self.emit(high, rd, rd, imm >> 16 & 0xFFFF)
        self.truncate(wide, dst)

    def by_constant(self, row: Encoding, rd: int, imm: int) -> None:
        self.constant(TEMP1, imm)
        self.emit(row, rd, rd, TEMP1)

    def mul_reg(self, wide: bool, dst: int, src: int) -> None:
        self.emit(MULLD if wide else MULLW, REG[dst], REG[dst], REG[src])
        self.truncate(wide, dst)

    def mul_imm(self, wide: bool, dst: int, imm: int) -> None:
        if -0x8000 <= imm < 0x8000:
            self.emit(MULLI, REG[dst], REG[dst], imm)
        else:
            self.by_constant(MULLD if wide else MULLW, REG[dst], imm)
        self.truncate(wide, dst)

    def div_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        rd, rs, row = REG[dst], REG[src], DIVIDE[fn][wide]
        if fn in (ops.DIV, ops.SDIV):
            self.emit(row, rd, rd, rs)
        else:
            self.emit(row, TEMP1, rd, rs)
            self.emit(MULLD if wide else MULLW, TEMP1, rs, TEMP1)
            self.emit(SUB, rd, rd, TEMP1)
        self.truncate(wide, dst)

    def div_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        rd, row = REG[dst], DIVIDE[fn][wide]
        quotient = fn in (ops.DIV, ops.SDIV)
        if imm == 1 and not quotient:
            self.emit(LI, rd, 0)
            return
        if imm != 1:
            self.constant(TEMP1, imm)
            if quotient:
                self.emit(row, rd, rd, TEMP1)
            else:
                self.emit(row, TEMP2, rd, TEMP1)
                self.emit(MULLD if wide else MULLW, TEMP1, TEMP1, TEMP2)
                self.emit(SUB, rd, rd, TEMP1)
        self.truncate(wide, dst)

    def shift_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        amount = REG[src]
        if self.has("masked_shifts"):
            if wide:
                self.emit(RLDICL, TEMP1, amount, 0, 58)
            else:
                self.emit(RLWINM, TEMP1, amount, 0, 27, 31)
            amount = TEMP1
        self.emit(SHIFT[fn][wide], REG[dst], REG[dst], amount)
        if not wide and fn == ops.ARSH:
            self.truncate(False, dst)
        elif not wide:
            self.swallow_zext()

    def shift_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        rd = REG[dst]
        if not wide:
            self.shift_word(fn, dst, imm)
        elif imm and fn == ops.LSH:
            self.emit(RLDICR, rd, rd, imm, 63 - imm)
        elif imm and fn == ops.RSH:
            self.emit(RLDICL, rd, rd, 64 - imm, imm)
        elif imm:
            self.emit(SRADI, rd, rd, imm)

    def shift_word(self, fn: int, dst: int, imm: int) -> None:
        rd = REG[dst]
        if fn == ops.ARSH:
            self.emit(SRAWI, rd, rd, imm)
            self.truncate(False, dst)
            return
        if fn == ops.LSH:
            self.emit(RLWINM, rd, rd, imm, 0, 31 - imm)
        else:
            self.emit(RLWINM, rd, rd, 32 - imm & 31, imm, 31)
        self.swallow_zext()

    def neg(self, wide: bool, dst: int) -> None:
        self.emit(NEG, REG[dst], REG[dst])
        self.truncate(wide, dst)

    def byte_order(self, fn: int, bits: int, dst: int) -> None:
        rd = REG[dst]
        if fn == ops.LE:
            if bits == 16:
                self.emit(RLDICL, rd, rd, 0, 48)
                self.swallow_zext()
            elif bits == 32 and not self.unit.zext_inserted:
                self.emit(RLDICL, rd, rd, 0, 32)
        elif bits == 16:
            self.emit(RLWINM, TEMP1, rd, 8, 16, 23)
            self.emit(RLWIMI, TEMP1, rd, 24, 24, 31)
            self.emit(MR, rd, TEMP1)
        elif bits == 32:
            self.emit(RLWINM, TEMP1, rd, 8, 0, 31)
            self.emit(RLWIMI, TEMP1, rd, 24, 0, 7)
            self.emit(RLWIMI, TEMP1, rd, 24, 16, 23)
            self.emit(MR, rd, TEMP1)
        else:
            self.emit(STD, rd, self.local_slot(), SP)
            self.emit(ADDI, TEMP1, SP, self.local_slot())
            self.emit(LDBRX, rd, 0, TEMP1)

    # ---------------------------------------------------------------------------------------------------------- memory
    def load(self, size: int, dst: int, src: int, off: int) -> None:
        rd, base = REG[dst], REG[src]
        if size == 8 and off % 4:
            self.emit(LI, TEMP1, off)
            self.emit(LDX, rd, base, TEMP1)
        else:
            self.emit(LOADS[size], rd, off, base)
        if size != 8:
            self.swallow_zext()

    def load_sx(self, size: int, dst: int, src: int, off: int) -> None:
        rd, base = REG[dst], REG[src]
        if size == 1:
            self.emit(LBZ, rd, off, base)
            self.emit(EXTEND[8], rd, rd)
        elif size == 2:
            self.emit(LHA, rd, off, base)
        elif off % 4:                           # the kernel drops the two low bits here
            self.emit(LI, TEMP1, off)
            self.emit(LWAX, rd, base, TEMP1)
        else:
            self.emit(LWA, rd, off, base)

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        self.store_register(size, REG[dst], off, REG[src])

    def store_imm(self, size: int, dst: int, off: int, imm: int) -> None:
        if size < 4:
            self.emit(LI, TEMP1, signed16(imm))
        else:
            self.constant(TEMP1, imm)
        self.store_register(size, REG[dst], off, TEMP1)

    def store_register(self, size: int, base: int, off: int, reg: int) -> None:
        if size == 8 and off % 4:
            self.emit(LI, TEMP2, off)
            self.emit(STDX, reg, base, TEMP2)
        else:
            self.emit(STORES[size], reg, off, base)

    def atomic(self, fn: int, size: int, dst: int, off: int, src: int) -> None:
        """Load and reserve, operate, store if still reserved; full barriers around what returns the old value."""
        base, rs, fetch, wide = REG[dst], REG[src], fn & 1 == 1, size == 8
        self.emit(LI, TEMP1, off)
        if fetch:
            self.emit(SYNC)
        again = self.here
        self.emit(LDARX if wide else LWARX, TEMP2, TEMP1, base)
        if fetch:
            self.emit(MR, OLD, TEMP2)
        new = TEMP2
        if fn in (ops.XCHG, ops.CMPXCHG):
            new = rs
            if fn == ops.CMPXCHG:
                self.emit(COMPARE[True, wide][0], REG[0], TEMP2)
                self.emit(BNE, 12)
        else:
            self.emit(ATOMIC_ALU[fn & ~1], TEMP2, TEMP2, rs)
        self.emit(STDCX if wide else STWCX, new, TEMP1, base)
        self.emit(BNE, again - self.here)
        if fetch:
            self.emit(SYNC)
            self.emit(MR, REG[0] if fn == ops.CMPXCHG else rs, OLD)
            if fn == ops.CMPXCHG and not wide:
                self.swallow_zext()

    def load_acquire(self, size: int, dst: int, src: int, off: int) -> None:
        self.load(size, dst, src, off)
        self.emit(SYNC)

    def store_release(self, size: int, dst: int, off: int, src: int) -> None:
        self.emit(SYNC)
        self.store(size, dst, off, src)

    # --------------------------------------------------------------------------------------------------------- control
    def jump(self, target: int) -> None:
        self.emit(B, self.distance(target))

    def branch_reg(self, fn: int, wide: bool, dst: int, src: int, target: int) -> None:
        ra, rb = REG[dst], REG[src]
        if fn == ops.JSET:
            self.test(wide, ra, rb)
        else:
            self.emit(COMPARE[fn in SIGNED, wide][0], ra, rb)
        self.branch(fn, target)

    def branch_imm(self, fn: int, wide: bool, dst: int, imm: int, target: int) -> None:
        ra = REG[dst]
        lowest = -0x8000 if fn in SIGNED else 0
        if lowest <= imm < 0x8000:
            if fn == ops.JSET:
                self.emit(ANDI, TEMP1, ra, imm)
            else:
                self.emit(COMPARE[fn in SIGNED, wide][1], ra, imm)
        else:
            self.constant(TEMP1, imm)
            if fn == ops.JSET:
                self.test(wide, ra, TEMP1)
            else:
                self.emit(COMPARE[fn in SIGNED, wide][0], ra, TEMP1)
        self.branch(fn, target)

    def test(self, wide: bool, ra: int, rb: int) -> None:
        """Compare ra & rb with 0."""
        if wide:
            self.emit(AND_DOT, TEMP1, ra, rb)
        else:
            self.emit(AND, TEMP1, ra, rb)
            self.emit(RLWINM_DOT, TEMP1, TEMP1, 0, 0, 31)

    def branch(self, fn: int, target: int) -> None:
        """Two words, whatever the distance."""
        holds, fails = CONDITION[fn]
        if reaches(self.distance(target), 16):
            self.emit(holds, self.distance(target))
            self.emit(NOP)
        else:
            self.emit(fails, 8)
            self.emit(B, self.distance(target))

    def call(self, symbol: str) -> None:
        """Helpers lie within 2 GiB of the kernel's TOC."""
        self.relocate(self.here, 2, "helper", symbol, "toc16_ha")
        self.emit(ADDIS, CALLEE, TOC, 0)
        self.relocate(self.here, 2, "helper", symbol, "toc16_lo")
        self.emit(ADDI, CALLEE, CALLEE, 0)
        self.call_register()

    def call_local(self, callee: int) -> None:
        self.address(CALLEE, "subprog", f"function#{callee}")
        self.call_register()

    def call_register(self) -> None:
        self.emit(MTCTR, CALLEE)
        self.emit(BCTRL)
        self.emit(MR, REG[0], 3)

    def tail_call(self) -> None:
        """Three reasons to fall through: the index, the count, an empty slot."""
        array, index, out = REG[2], REG[3], self.pc + 1
        entries, programs, code = tail_call_layout(self.kernel)
        count = self.local_slot() + 16
        self.emit(LWZ, TEMP1, entries, array)
        self.emit(RLWINM, index, index, 0, 0, 31)
        self.emit(COMPARE[False, False][0], index, TEMP1)
        self.emit(BGE, self.distance(out))
        self.emit(LD, TEMP1, count, SP)
        self.emit(COMPARE[False, False][1], TEMP1, MAX_TAIL_CALLS)
        self.emit(BGE, self.distance(out))
        self.emit(ADDI, TEMP1, TEMP1, 1)
        self.emit(MULLI, TEMP2, index, 8)
        self.emit(ADD, TEMP2, TEMP2, array)
        self.emit(LD, TEMP2, programs, TEMP2)
        self.emit(COMPARE[False, True][1], TEMP2, 0)
        self.emit(BEQ, self.distance(out))
        self.emit(LD, TEMP2, code, TEMP2)
        self.emit(ADDI, TEMP2, TEMP2, TAIL_CALL_SKIP)
        self.emit(MTCTR, TEMP2)
        self.emit(STD, TEMP1, count, SP)
        self.leave()
        self.emit(BCTR)

    def exit(self) -> None:
        if self.is_last():
            return
        if reaches(self.offsets[-1] - self.here, 26):
            self.emit(B, self.offsets[-1] - self.here)
        elif self.near_exit >= 0:
            self.emit(B, self.near_exit - self.here)
        else:
            self.near_exit = self.here
            self.leave()
            self.emit(MR, 3, REG[0])
            self.emit(BLR)

    # --------------------------------------------------------------------------------------------------------- special
    def nospec(self) -> None:
        if self.has("store_barrier"):
            self.emit(EIEIO2)

    # --------------------------------------------------------------------------------------------------------- linking
    @classmethod
    def patch(cls, code: bytearray, relocation: Relocation, base: int, value: int) -> None:
        """The TOC of an image of ours is the image's own address: 16(r13) has to hold it."""
        at, value = relocation.offset, value + relocation.addend
        if relocation.form == "abs64":
            rd = int.from_bytes(code[at : at + 4], "little") >> 21 & 31
            words = b"".join(row.encode(operands) for row, operands in load_immediate(rd, value))
            code[at : at + 20] = words + NOP.encode([]) * (5 - len(words) // 4)
            return
        distance = value - base
        if not reaches(distance + 0x8000, 32):
            raise JitError(f"ppc64: {relocation.symbol} at {value:#x} is more than 2 GiB from the TOC at {base:#x}")
        half = (distance + 0x8000) >> 16 if relocation.form == "toc16_ha" else distance
        code[at : at + 2] = (half & 0xFFFF).to_bytes(2, "little")

    @classmethod
    def veneer(cls, value: int) -> bytes:
        """r12 = a 64-bit address, jump there."""
        code = b"".join(row.encode(operands) for row, operands in load_immediate(CALLEE, value))
        return code + MTCTR.encode([CALLEE]) + BCTR.encode([])


def is_tail_call(kind: int, imm: int) -> bool:
    return kind == ops.CALL and imm == 12
