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

Sources: arch/powerpc/net/bpf_jit.h, bpf_jit_comp.c, bpf_jit_comp64.c of Linux 6.1 and 6.12 (later
kernels are taken to be like 6.12); 64-Bit ELF V2 ABI.
"""

from __future__ import annotations

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.code import Relocation
from bpfbench.jit.features import tail_call_layout
from bpfbench.jit.target import Sweep
from bpfbench.machine.pattern import Encoding, Machine
from bpfbench.machine.ppc64 import PPC64, REGS

# isort: off
from bpfbench.jit.ppc64_arithmetic import (
    CALLEE, EXTEND, FP, HEADER, LOCALS, REG, SAVED, SP, TEMP1, TEMP2, Ppc64Arithmetic, load_immediate, signed16,
)  # fmt: skip
# isort: on

# fmt: off
TOC, PACA = 2, 13
OLD: Final = 0                  # keeps the value an atomic operation found
KERNEL_TOC: Final = 16          # struct paca_struct: kernel_toc
FRAME: Final = HEADER + LOCALS + SAVED
LINK_SLOT: Final = 16           # where the caller's frame keeps our return address
MAX_TAIL_CALLS: Final = 33
TAIL_CALL_SKIP: Final = 12      # a tail call enters behind the load of r2 and the two words that set the count

R = PPC64.row
BGT, BLT, BEQ, BGE, BLE, BNE, NOP, LI, ADDI = (R(n) for n in "bgt blt beq bge ble bne nop li addi".split())
ADDIS, MULLI, ANDI, ADD, AND, AND_DOT, MR = (R(n) for n in "addis mulli andi. add and and. mr".split())
RLWINM, RLWINM_DOT, LBZ, LHA, LWA, LWAX, LWZ = (R(n) for n in "rlwinm rlwinm. lbz lha lwa lwax lwz".split())
LD, LDX, STD, STDU, STDX, LWARX, LDARX = (R(n) for n in "ld ldx std stdu stdx lwarx ldarx".split())
STWCX, STDCX, SYNC, B, BLR, BCTR, BCTRL = (R(n) for n in "stwcx. stdcx. sync b blr bctr bctrl".split())
MFLR, MTLR, MTCTR, TRAP, EIEIO2 = (R(n) for n in "mflr mtlr mtctr trap eieio2".split())

#           signed: register, immediate; unsigned: register, immediate (first 32 bits, then 64)
COMPARE: Final[dict[tuple[bool, bool], tuple[Encoding, Encoding]]] = {
    (True, False):  (R("cmpw"),  R("cmpwi")),  (True, True):  (R("cmpd"),  R("cmpdi")),
    (False, False): (R("cmplw"), R("cmplwi")), (False, True): (R("cmpld"), R("cmpldi")),
}
LOADS: Final = {1: R("lbz"), 2: R("lhz"), 4: R("lwz"), 8: R("ld")}
STORES: Final = {1: R("stb"), 2: R("sth"), 4: R("stw"), 8: R("std")}
ATOMIC_ALU: Final = {ops.A_ADD: R("add"), ops.A_AND: R("and"), ops.A_OR: R("or"), ops.A_XOR: R("xor")}
SIGNED: Final = (ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE)

#: The branch if the condition holds, and if it does not
CONDITION: Final[dict[int, tuple[Encoding, Encoding]]] = {
    ops.JGT: (BGT, BLE), ops.JSGT: (BGT, BLE), ops.JLT: (BLT, BGE), ops.JSLT: (BLT, BGE), ops.JEQ: (BEQ, BNE),
    ops.JGE: (BGE, BLT), ops.JSGE: (BGE, BLT), ops.JLE: (BLE, BGT), ops.JSLE: (BLE, BGT), ops.JNE: (BNE, BEQ),
    ops.JSET: (BNE, BEQ),
}
# fmt: on


def reaches(distance: int, bits: int) -> bool:
    return -(1 << (bits - 1)) <= distance < 1 << (bits - 1)


@mypyc_attr(allow_interpreted_subclasses=True)
class Ppc64Target(Ppc64Arithmetic):
    name: ClassVar[str] = "ppc64"
    machine: ClassVar[Machine] = PPC64
    frame_pointer: ClassVar[str] = REGS[FP]

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
            self.layout.cfa(self.here, REGS[SP], 0)
            if self.calls:
                self.emit(LD, 0, LINK_SLOT, SP)
                self.emit(MTLR, 0)

    def save_slot(self, reg: int) -> int:
        return (FRAME + self.stack_size if self.framed else 0) - 8 * (32 - reg)

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
        if self.framed:
            self.layout.cfa(self.here, REGS[SP], FRAME + self.stack_size)

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
            if self.framed:
                self.layout.cfa(self.here, REGS[SP], FRAME + self.stack_size)

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
