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

Sources: arch/arm/net/bpf_jit_32.c and .h of Linux 6.1 and 6.12 (later kernels are taken to be like 6.12);
Procedure Call Standard for the Arm Architecture.
"""

from __future__ import annotations

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.a32_arithmetic import ALU, A32Arithmetic, mask
from bpfbench.jit.code import Relocation
from bpfbench.jit.pair import Pair
from bpfbench.jit.target import Sweep
from bpfbench.machine import a32
from bpfbench.machine.a32 import A32, AL, EQ, FP, GE, HI, HS, IP, LO, LR, LS, LT, NE, PC, REGS, SP
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

ADC_I, ADD, ADD_I, ADDS_I, ANDS, ORRS = (A32.row(n) for n in "adc_i add add_i adds_i ands orrs".split())
AND, B, BX, BLX, CMP, CMP_I, DMB, LDRD = (A32.row(n) for n in "and b bx blx cmp cmp_i dmb ldrd".split())
LDR, LDR_LSL, LDREX, LDREXD, STREX = (A32.row(n) for n in "ldr ldr_lsl ldrex ldrexd strex".split())
STREXD, MOV, MOV_I, ASR_I, PUSH, POP = (A32.row(n) for n in "strexd mov mov_i asr_i push pop".split())
SBCS, SUB_I = (A32.row(n) for n in "sbcs sub_i".split())
# fmt: on


@mypyc_attr(allow_interpreted_subclasses=True)
class A32Target(A32Arithmetic):
    name: ClassVar[str] = "arm"
    machine: ClassVar[Machine] = A32
    frame_pointer: ClassVar[str] = ""
    prologue_bytes = 0

    # ---------------------------------------------------------------------------------------------------------- passes
    def passes(self, sweep: Sweep) -> None:
        """Nothing changes its size with the distance of a branch: one sweep to measure, one for the image."""
        self.routines = []
        sweep("PBE", True)
        sweep("PBE", False)

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
            self.layout.cfa(self.here, REGS[FP], 32)        # it is entered with the frame standing
            self.division_routine()

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
