"""MIPS64: eBPF registers are machine registers; 32-bit operations sign-extend, so much is about extending.

    r0 v0   r1-r5 a0-a4   r6-r9 s0-s3   r10 fp   r11 at   tail-call count a5   temporaries t4-t9

    caller's sp ->  | s0-s3 fp ra, those used  |
    fp = r10    ->  | eBPF stack               |  rounded to 16 bytes
                    | caller-saved registers   |  around calls
    sp          ->  +--------------------------+

A branch reaches 128 KiB.  One that would have to go further is *converted*: the inverted branch jumps over an absolute
`j`.  Converting lengthens the code, so the body is swept until nothing changes.  Jumps use the absolute form always,
hence each is a relocation against the place of the image.

Signed division, sign-extending moves and loads and bpf-to-bpf calls are our own: the kernel's generator has none.

Sources: arch/mips/net/bpf_jit_comp.c, bpf_jit_comp64.c of Linux 6.1 and 6.12 (later kernels
are taken to be like 6.12); MIPS n64 ABI.
"""

from __future__ import annotations

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.code import Relocation
from bpfbench.jit.features import tail_call_layout
from bpfbench.jit.mips64_arithmetic import ALU, ONES, REG, Mips64Arithmetic
from bpfbench.jit.target import Sweep, Unit
from bpfbench.machine.pattern import Encoding, Machine

# isort: off
from bpfbench.machine.mips64 import (
    A5, A6, A7, FP, GP, MIPS64, RA, REGS, S0, S7, SP, T4, T5, T6, T7, T8, T9, V0, V1, ZERO,
)  # fmt: skip
# isort: on

# fmt: off
CALLEE_SAVED: Final = [*range(S0, S7 + 1), GP, FP, RA]
CALLER_SAVED: Final = [A5, A6, A7]
TAIL_COUNT: Final = A5
MAX_TAIL_CALLS: Final = 33
TAIL_CALL_SKIP: Final = 4       # a tail call enters behind the instruction that sets the count
MAX_ITERATIONS: Final = 8
REACH: Final = (-0x20000, 0x1FFFF)

R = MIPS64.row
LOADS: Final = {1: R("lbu"), 2: R("lhu"), 4: R("lwu"), 8: R("ld")}
SIGNED_LOADS: Final = {1: R("lb"), 2: R("lh"), 4: R("lw")}
STORES: Final = {1: R("sb"), 2: R("sh"), 4: R("sw"), 8: R("sd")}
ATOMIC_ALU: Final = {ops.A_ADD: ops.ADD, ops.A_AND: ops.AND, ops.A_OR: ops.OR, ops.A_XOR: ops.XOR}

NEVER, ALWAYS, NO_BITS = 0x100, 0x101, 0x102        # conditions besides those of eBPF
INVERSE: Final = {
    ALWAYS: NEVER, ops.JEQ: ops.JNE, ops.JNE: ops.JEQ, ops.JSET: NO_BITS, ops.JGT: ops.JLE, ops.JLE: ops.JGT,
    ops.JGE: ops.JLT, ops.JLT: ops.JGE, ops.JSGT: ops.JSLE, ops.JSLE: ops.JSGT, ops.JSGE: ops.JSLT, ops.JSLT: ops.JSGE,
}
ORDER: Final = (ops.JGT, ops.JGE, ops.JLT, ops.JLE, ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE)
SIGNED: Final = (ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE)
STRICT_UP: Final = (ops.JGT, ops.JLE, ops.JSGT, ops.JSLE)      # compared as src < dst, or dst < imm + 1
#: The comparison's result is 1 when this condition holds ...
BY_REGISTER: Final = (ops.JGT, ops.JLT, ops.JSGT, ops.JSLT)
BY_IMMEDIATE: Final = (ops.JLT, ops.JLE, ops.JSLT, ops.JSLE)

#            release 6   load linked, store conditional: 32 bits, 64 bits
LINKED: Final[dict[bool, tuple[tuple[Encoding, Encoding], tuple[Encoding, Encoding]]]] = {
    False: ((R("ll"), R("sc")), (R("lld"), R("scd"))),
    True:  ((R("ll_r6"), R("sc_r6")), (R("lld_r6"), R("scd_r6"))),
}
DADDIU, LUI, ORI, NOP, BEQ, BNE, BLTZ, J, JR = (R(n) for n in "daddiu lui ori nop beq bne bltz j jr".split())
JALR, DADDU, AND, DSLL, DSRL32, SLL, SLT = (R(n) for n in "jalr daddu and dsll dsrl32 sll slt".split())
SLTU, SLTI, SLTIU, ANDI, LD, SD, LWU, SYNC = (R(n) for n in "sltu slti sltiu andi ld sd lwu sync".split())
# fmt: on


def fits_branch(cond: int, imm: int) -> bool:
    """Has this comparison an immediate form for this number?"""
    if cond == NEVER:
        return True
    if cond in (ops.JSET, NO_BITS):
        return 0 <= imm <= 0xFFFF
    if cond not in ORDER:
        return False
    return -0x8000 <= imm + (1 if cond in STRICT_UP else 0) <= 0x7FFF


def decided(fn: int, imm: int, wide: bool) -> int:
    """`fn`, or ALWAYS or NEVER where the number decides by itself."""
    never = always = False
    if fn in (ops.JSET, ops.JLT):
        never = imm == 0
    elif fn == ops.JGE:
        always = imm == 0
    elif fn == ops.JGT:
        never = imm == -1
    elif fn == ops.JLE:
        always = imm == -1
    elif not wide:
        never = fn == ops.JSGT and imm == 0x7FFF_FFFF or fn == ops.JSLT and imm == -0x8000_0000
        always = fn == ops.JSGE and imm == -0x8000_0000 or fn == ops.JSLE and imm == 0x7FFF_FFFF
    return NEVER if never else ALWAYS if always else fn


@mypyc_attr(allow_interpreted_subclasses=True)
class Mips64Target(Mips64Arithmetic):
    name: ClassVar[str] = "mips64"
    machine: ClassVar[Machine] = MIPS64
    frame_pointer: ClassVar[str] = REGS[FP]

    def __init__(self, unit: Unit, features: dict[str, bool], kernel: tuple[int, int]) -> None:
        super().__init__(unit, features, kernel)
        self.uses_frame = any(i is not None and 10 in (i.dst, i.src) for i in unit.insns)
        self.uses_tail_count = False
        self.converted: set[int] = set()
        self.conversions = 0
        self.taken = True               # can the current branch be taken at all?
        self.reserved = 0               # bytes for caller-saved registers, found while sweeping
        self.stack_size = 0
        self.saved_size = 0

    # ---------------------------------------------------------------------------------------------------------- passes
    def passes(self, sweep: Sweep) -> None:
        """Find out which registers are used, settle the offsets, then the image."""
        sweep("B", True)
        for turn in range(MAX_ITERATIONS):
            if turn == MAX_ITERATIONS - 2:
                self.converted.update(range(len(self.unit.insns)))
            before, self.conversions = self.offsets[:-1], 0
            sweep("PBE", True)
            if self.offsets[:-1] == before and not self.conversions:
                break
        else:
            raise JitError("mips64: branch offsets did not settle")
        sweep("PBE", False)

    # ------------------------------------------------------------------------------------------- prologue and epilogue
    def prologue(self) -> None:
        frame = self.layout
        self.emit(ORI, TAIL_COUNT, ZERO, MAX_TAIL_CALLS)
        for used, reg in ((self.uses_frame, FP), (self.uses_tail_count, TAIL_COUNT), (self.uses_ones, ONES)):
            if used:
                self.clobbered.add(reg)
        saved = [r for r in CALLEE_SAVED if r in self.clobbered]
        self.saved_size = (8 * len(saved) + 15) & ~15
        locals_size = (self.unit.stack_depth + 15) & ~15
        self.stack_size = (self.saved_size + locals_size + self.reserved + 15) & ~15
        self.reserved = 0
        at = self.stack_size - self.saved_size
        frame.stack_size = locals_size
        frame.cfa(0, REGS[SP], 0)
        if self.stack_size:
            self.emit(DADDIU, SP, SP, -self.stack_size)
            frame.cfa(self.here, REGS[SP], self.stack_size)
        self.save(saved, at)
        for i, reg in enumerate(saved):
            frame.saved(self.here, REGS[reg], 8 * i - self.saved_size)
        frame.slot("stack", -self.saved_size - locals_size, locals_size)
        if self.uses_frame:
            self.emit(DADDIU, FP, SP, at)
        if self.uses_ones:
            self.make_ones()

    def epilogue(self) -> None:
        # the return value of a program is an int; a function of ours returns all 64 bits
        self.leave(RA, extend=self.unit.index == 0)

    def leave(self, to: int, extend: bool) -> None:
        """Take down the frame and jump to the address in `to`."""
        self.restore([r for r in CALLEE_SAVED if r in self.clobbered], self.stack_size - self.saved_size)
        if self.stack_size:
            self.emit(DADDIU, SP, SP, self.stack_size)
            self.layout.cfa(self.here, REGS[SP], 0)
        if self.has("mips_r6"):
            self.emit(JALR, ZERO, to)
        else:
            self.emit(JR, to)
        if extend:
            self.emit(SLL, V0, V0, 0)
        else:
            self.emit(NOP)

    def save(self, regs: list[int], at: int) -> None:
        for i, reg in enumerate(regs):
            self.emit(SD, reg, at + 8 * i, SP)

    def restore(self, regs: list[int], at: int) -> None:
        for i, reg in enumerate(regs):
            self.emit(LD, reg, at + 8 * i, SP)

    def make_ones(self) -> None:
        self.emit(DADDIU, ONES, ZERO, -1)
        self.emit(DSRL32, ONES, ONES, 0)

    # ---------------------------------------------------------------------------------------------------------- memory
    def load(self, size: int, dst: int, src: int, off: int) -> None:
        self.emit(LOADS[size], REG[dst], off, REG[src])
        self.clobbered.add(REG[dst])

    def load_sx(self, size: int, dst: int, src: int, off: int) -> None:
        self.emit(SIGNED_LOADS[size], REG[dst], off, REG[src])
        self.clobbered.add(REG[dst])

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        self.emit(STORES[size], REG[src], off, REG[dst])

    def store_imm(self, size: int, dst: int, off: int, imm: int) -> None:
        self.constant(T4, imm)
        self.emit(STORES[size], T4, off, REG[dst])

    def atomic(self, fn: int, size: int, dst: int, off: int, src: int) -> None:
        rd, rs, fetch = REG[dst], REG[src], fn & 1 == 1
        if self.has("mips_r6") and not -256 <= off < 256:
            self.emit(DADDIU, T5 if size == 8 else T7, rd, off)     # a register that the sequence leaves alone
            rd, off = T5 if size == 8 else T7, 0
        if fn == ops.CMPXCHG:
            self.compare_exchange(size, rd, off, rs)
        elif size == 8:
            self.exchange(fn, 8, T6, T7, rd, off, rs)
        elif fetch:
            if rs == rd:
                self.copy(T4, rd)
                rd = T4
            self.sext(rs, rs)
            self.exchange(fn, 4, T9, T8, rd, off, rs)
            self.zext_result(False, rs)
        else:
            self.sext(T4, rs)
            self.exchange(fn, 4, T9, T8, rd, off, T4)

    def exchange(self, fn: int, size: int, old: int, new: int, rd: int, off: int, rs: int) -> None:
        """Load linked, operate, store conditionally, again if that failed."""
        load, store = LINKED[self.has("mips_r6")][size == 8]
        self.emit(load, old, off, rd)
        if fn == ops.XCHG:
            self.move(new, rs)
        else:
            self.emit(ALU[ATOMIC_ALU[fn & ~1]][size == 8], new, old, rs)
        self.emit(store, new, off, rd)
        self.emit(BEQ, new, ZERO, -16)
        self.emit(NOP)
        if fn & 1:
            self.move(rs, old)
            self.clobbered.add(rs)

    def compare_exchange(self, size: int, rd: int, off: int, rs: int) -> None:
        if size == 8:
            self.compare_and_swap(8, T6, T7, rd, off, rs, V0)
            return
        result = T4 if rd == V0 else V0         # the address must survive
        self.sext(result, V0)
        self.sext(T5, rs)
        self.compare_and_swap(4, T9, T8, rd, off, T5, result)
        if rd == V0:
            self.copy(V0, T4)
        self.zext_result(False, V0)

    def compare_and_swap(self, size: int, old: int, new: int, rd: int, off: int, rs: int, expected: int) -> None:
        load, store = LINKED[self.has("mips_r6")][size == 8]
        self.emit(load, old, off, rd)
        self.emit(BNE, old, expected, 12)
        self.move(new, rs)
        self.emit(store, new, off, rd)
        self.emit(BEQ, new, ZERO, -20)
        self.move(expected, old)
        self.clobbered.add(expected)

    def move(self, rd: int, rs: int) -> None:
        self.emit(DADDU, rd, ZERO, rs)

    def load_acquire(self, size: int, dst: int, src: int, off: int) -> None:
        self.load(size, dst, src, off)
        self.emit(SYNC, 0)

    def store_release(self, size: int, dst: int, off: int, src: int) -> None:
        self.emit(SYNC, 0)
        self.store(size, dst, off, src)

    # --------------------------------------------------------------------------------------------------------- control
    def jump(self, target: int) -> None:
        if target != self.pc + self.consumed:
            self.goto(self.offsets[target])

    def goto(self, addr: int) -> None:
        """An absolute jump to byte `addr` of this function, with an empty delay slot."""
        self.relocate(self.here, 4, "code", f"function#{self.unit.index}", "jump26", addr)
        self.emit(J, (self.base + addr) & 0x0FFF_FFFC)
        self.emit(NOP)

    def branch_reg(self, fn: int, wide: bool, dst: int, src: int, target: int) -> None:
        if target == self.pc + 1:
            return
        ra, rb = REG[dst], REG[src]
        if dst == src and fn != ops.JSET:
            fn = NEVER if fn in (ops.JNE, ops.JLT, ops.JGT, ops.JSGT, ops.JSLT) else ALWAYS
        cond, off = self.prepare(fn, target)
        if not wide:
            self.sext(T4, ra)
            self.sext(T5, rb)
            ra, rb = T4, T5
        self.branch(cond, ra, rb, off)
        self.finish(cond, target)

    def branch_imm(self, fn: int, wide: bool, dst: int, imm: int, target: int) -> None:
        if target == self.pc + 1:
            return
        cond, off = self.prepare(decided(fn, imm, wide), target)
        ra, spare = REG[dst], T4
        if not wide:
            self.sext(T4, ra)
            ra, spare = T4, T5
        if fits_branch(cond, imm):
            self.branch_constant(cond, ra, imm, off)
        else:
            self.constant(spare, imm)
            self.branch(cond, ra, spare, off)
        self.finish(cond, target)

    def prepare(self, cond: int, target: int) -> tuple[int, int]:
        """The condition and distance to emit: as asked, or inverted over an absolute jump."""
        pc = self.pc
        self.taken = cond != NEVER
        if self.offsets[pc] == 0 or cond == NEVER:
            return cond, 0
        if cond == ALWAYS:
            self.converted.add(pc)
        off = self.offsets[target] - self.offsets[pc + 1] + 4
        if pc not in self.converted and REACH[0] <= off <= REACH[1]:
            return cond, off
        if pc not in self.converted:
            self.conversions += 1
            self.converted.add(pc)
        return INVERSE[cond], 12

    def finish(self, cond: int, target: int) -> None:
        """The delay slot, and the absolute jump of a converted branch."""
        if cond != NEVER:
            self.emit(NOP)
        if self.pc in self.converted and self.taken:
            self.goto(self.offsets[target])

    def branch(self, cond: int, ra: int, rb: int, off: int) -> None:
        if cond == ops.JEQ:
            self.emit(BEQ, ra, rb, off)
        elif cond == ops.JNE:
            self.emit(BNE, ra, rb, off)
        elif cond in (ops.JSET, NO_BITS):
            self.emit(AND, T9, ra, rb)
            self.emit(BNE if cond == ops.JSET else BEQ, T9, ZERO, off)
        elif cond in ORDER:
            row = SLT if cond in SIGNED else SLTU
            a, b = (rb, ra) if cond in STRICT_UP else (ra, rb)
            self.emit(row, T9, a, b)
            self.emit(BNE if cond in BY_REGISTER else BEQ, T9, ZERO, off)

    def branch_constant(self, cond: int, ra: int, imm: int, off: int) -> None:
        if cond in (ops.JSET, NO_BITS):
            self.emit(ANDI, T9, ra, imm)
            self.emit(BNE if cond == ops.JSET else BEQ, T9, ZERO, off)
        elif cond in ORDER:
            row = SLTI if cond in SIGNED else SLTIU
            self.emit(row, T9, ra, imm + 1 if cond in STRICT_UP else imm)
            self.emit(BNE if cond in BY_IMMEDIATE else BEQ, T9, ZERO, off)

    def call(self, symbol: str) -> None:
        self.call_address("helper", symbol)

    def call_address(self, kind: str, symbol: str) -> None:
        """Kernel text lies in the upper 2 GiB: a sign-extended 32-bit number."""
        kept = [r for r in CALLER_SAVED if r in self.clobbered]
        self.reserved = max(self.reserved, 8 * len(kept))
        self.save(kept, 0)
        self.relocate(self.here, 2, kind, symbol, "hi16")
        self.emit(LUI, T6, 0)
        self.relocate(self.here, 2, kind, symbol, "lo16")
        self.emit(ORI, T6, T6, 0)
        self.emit(JALR, RA, T6)
        self.emit(NOP)
        self.restore(kept, 0)
        if self.uses_ones:
            self.make_ones()
        self.clobbered.update((RA, V0, V1))

    def call_local(self, callee: int) -> None:
        self.call_address("subprog", f"function#{callee}")

    def tail_call(self) -> None:
        """Three reasons to fall through: the index, the count, an empty slot."""
        array, index = REG[2], REG[3]
        entries, programs, code = tail_call_layout(self.kernel)
        self.emit(LWU, T6, entries, array)
        self.emit(SLTU, T6, index, T6)
        self.emit(BEQ, T6, ZERO, self.distance(self.pc + 1) - 4)
        self.emit(DADDIU, TAIL_COUNT, TAIL_COUNT, -1)
        self.emit(BLTZ, TAIL_COUNT, self.distance(self.pc + 1) - 4)
        self.emit(DSLL, T6, index, 3)
        self.emit(DADDU, T6, T6, array)
        self.emit(LD, T6, programs, T6)
        self.emit(BEQ, T6, ZERO, self.distance(self.pc + 1) - 4)
        self.emit(NOP)
        self.emit(LD, T6, code, T6)
        self.emit(DADDIU, T6, T6, TAIL_CALL_SKIP)
        self.leave(T6, extend=True)
        self.layout.cfa(self.here, REGS[SP], self.stack_size)
        self.uses_tail_count = True

    def exit(self) -> None:
        if not self.is_last():
            self.goto(self.offsets[-1])

    # --------------------------------------------------------------------------------------------------------- linking
    @classmethod
    def patch(cls, code: bytearray, relocation: Relocation, base: int, value: int) -> None:
        at, value = relocation.offset, (value + relocation.addend) & 0xFFFF_FFFF_FFFF_FFFF
        word = int.from_bytes(code[at : at + 4], "little")
        if relocation.form == "jump26":
            if (base + at + 4 ^ value) & ~0x0FFF_FFFF:
                raise JitError(f"mips64: a jump at {base + at:#x} does not reach {value:#x}")
            word = word & ~0x03FF_FFFF | value >> 2 & 0x03FF_FFFF
        elif relocation.form in ("abs64", "abs16_32"):
            whole = relocation.form == "abs64"
            if not whole and value >> 32 & 0xFFFF:
                raise JitError(f"mips64: {relocation.symbol} at {value:#x}: bits 32 to 47 are not zero")
            for shift, step in ((48, 0), (32, 4), (16, 12), (0, 20)) if whole else ((48, 0), (16, 8), (0, 16)):
                code[at + step : at + step + 2] = (value >> shift & 0xFFFF).to_bytes(2, "little")
            return
        else:
            if 0x8000_0000 <= value < 0xFFFF_FFFF_8000_0000:
                raise JitError(f"mips64: {relocation.symbol} at {value:#x}: not a sign-extended 32-bit number")
            word = word & ~0xFFFF | (value >> 16 if relocation.form == "hi16" else value) & 0xFFFF
        code[at : at + 4] = word.to_bytes(4, "little")

    @classmethod
    def veneer(cls, value: int) -> bytes:
        """t9 = a 64-bit address, jump there."""
        halves = [value >> shift & 0xFFFF for shift in (48, 32, 16, 0)]
        code = LUI.encode([T9, halves[0]]) + ORI.encode([T9, T9, halves[1]])
        for half in halves[2:]:
            code += DSLL.encode([T9, T9, 16]) + ORI.encode([T9, T9, half])
        return code + JR.encode([T9]) + NOP.encode([])
