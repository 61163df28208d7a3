"""PPC64: moves and arithmetic, and what they need to know of the frame.

Numbers up to 16 bits are operands, larger ones go through r9.  A 32-bit operation leaves its upper half undefined, so a
clearing `rlwinm` follows unless the program has one; where a result has no upper half, a zero extension that follows in
the program is swallowed.  Registers and frame are told in `ppc64.py`.

Shifts of the machine by 64..127 (32..63) give 0; eBPF masks the amount.  The kernel lets that be; with the feature
`masked_shifts` (profile `bpfbench`) the amount is masked first.

Source: arch/powerpc/net/bpf_jit.h, bpf_jit_comp64.c of Linux 6.1 and 6.12.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from bpfbench.isa import ops
from bpfbench.jit.target import Target, Unit
from bpfbench.machine.pattern import Encoding
from bpfbench.machine.ppc64 import PPC64

# fmt: off
#: eBPF r0..r10, the auxiliary register
REG: Final = [8, 3, 4, 5, 6, 7, 27, 28, 29, 30, 31, 12]
SP, CALLEE = 1, 12
TEMP1, TEMP2 = 9, 10
FP: Final = REG[10]
HEADER: Final = 32              # frame header
LOCALS: Final = 24              # tail-call count, room for a doubleword
SAVED: Final = 40               # five callee-saved registers

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
EXTEND: Final = {8: R("extsb"), 16: R("extsh"), 32: R("extsw")}

NOP, LI, LIS, ADDI, MULLI, ORI, ORIS, ANDI = (R(n) for n in "nop li lis addi mulli ori oris andi.".split())
SUB, NEG, MULLW, MULLD, AND, MR, RLWINM = (R(n) for n in "sub neg mullw mulld and mr rlwinm".split())
RLWIMI, RLDICL, RLDICR, SRAWI, SRADI, LDBRX = (R(n) for n in "rlwimi rldicl rldicr srawi sradi ldbrx".split())
STD = R("std")
# fmt: on


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


@mypyc_attr(allow_interpreted_subclasses=True)
class Ppc64Arithmetic(Target):
    """The part of the PPC64 target that computes; its frame is decided before anything is emitted."""

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


def is_tail_call(kind: int, imm: int) -> bool:
    return kind == ops.CALL and imm == 12
