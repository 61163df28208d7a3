"""The RISC-V 64 target: three-operand instructions, short forms where the C extension has them.

    r0 a5   r1-r5 a0-a4   r6-r9 s1-s4   r10 s5   r11 t0   temporaries t1 t2 t3   tail-call counter a6 (s6 across calls)

    higher   saved ra, s0, s1-s6 (those used)   <- s0
             padding to 16
             BPF stack, rounded up to 16        <- s5 = r10 at its top
    lower                                       <- sp

32-bit results are left with any upper half; the verifier inserts `w = w` where a later use cares, and loads, which
clear it anyway, swallow that move.  Branch sequences shrink from 64 bytes per slot until the size settles twice, as the
kernel allocates the image in between.

Source: arch/riscv/net/bpf_jit_comp64.c, bpf_jit_core.c, bpf_jit.h of the named kernel.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from bpfbench.bits import s64, sext
from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.code import Relocation
from bpfbench.jit.features import tail_call_layout
from bpfbench.jit.rv64_arithmetic import HIGH_AT, LOW_AT, REG, Rv64Arithmetic, signed
from bpfbench.jit.target import Sweep
from bpfbench.machine.rv64 import A0, A1, A2, A5, A6, FP, NAMES, RA, RV64, S6, SP, T1, T2, T3, TP, ZERO, R

TRACKED: Final = (9, 18, 19, 20, 21, S6)        # callee-saved registers in the order of their slots
MAX_TAIL_CALLS: Final = 33
THREAD_INFO_CPU: Final = 32                     # offsetof(struct thread_info, cpu)
LOAD: Final = {1: R["lbu"], 2: R["lhu"], 4: R["lwu"]}
LOAD_SX: Final = {1: R["lb"], 2: R["lh"], 4: R["lw"]}
STORE: Final = {1: R["sb"], 2: R["sh"]}
# condition -> row, operands swapped
BRANCH: Final = {
    ops.JEQ: (R["beq"], False), ops.JNE: (R["bne"], False), ops.JGT: (R["bltu"], True), ops.JLT: (R["bltu"], False),
    ops.JGE: (R["bgeu"], False), ops.JLE: (R["bgeu"], True), ops.JSGT: (R["blt"], True), ops.JSLT: (R["blt"], False),
    ops.JSGE: (R["bge"], False), ops.JSLE: (R["bge"], True),
}  # fmt: skip
INVERSE: Final = {
    ops.JEQ: ops.JNE, ops.JNE: ops.JEQ, ops.JGT: ops.JLE, ops.JLE: ops.JGT, ops.JLT: ops.JGE, ops.JGE: ops.JLT,
    ops.JSGT: ops.JSLE, ops.JSLE: ops.JSGT, ops.JSLT: ops.JSGE, ops.JSGE: ops.JSLT,
}  # fmt: skip
SIGNED: Final = (ops.JSGT, ops.JSLT, ops.JSGE, ops.JSLE)
AMO: Final = {
    ops.A_ADD: "amoadd", ops.A_AND: "amoand", ops.A_OR: "amoor", ops.A_XOR: "amoxor", ops.F_ADD: "amoadd",
    ops.F_AND: "amoand", ops.F_OR: "amoor", ops.F_XOR: "amoxor", ops.XCHG: "amoswap",
}  # fmt: skip
ATOMIC: Final = {
    (fn, size): R[f"{name}.{letter}" + (".aqrl" if fn & 1 else "")]
    for fn, name in AMO.items() for size, letter in ((4, "w"), (8, "d"))
}  # fmt: skip


@mypyc_attr(allow_interpreted_subclasses=True)
class Rv64Target(Rv64Arithmetic):
    name = "riscv64"
    machine = RV64
    max_passes = 32
    frame_pointer = "s5"

    # ---------------------------------------------------------------------------------------------------------- passes
    def passes(self, sweep: Sweep) -> None:
        """One body to see which registers and features occur; then shrink until the size has settled twice."""
        self.rvc = self.has("rvc")
        self.used: set[int] = set()
        self.calls = False
        self.seen_tail_call = False
        self.frame = 0
        for insn in self.unit.insns:
            if insn is not None:
                self.used.update({REG[insn.dst], REG[insn.src]} & set(TRACKED))
        sweep("B", True)
        self.offsets = [64 * i for i in range(len(self.unit.insns) + 1)]
        self.epilogue_at = 0
        before = 64 * len(self.unit.insns)
        allocated = False
        for _ in range(self.max_passes):
            size = sweep("PBE", True)
            if size == before:
                if allocated:
                    sweep("PBE", False)
                    return
                allocated = True
            before = size
        raise JitError(f"riscv64: the image did not settle in {self.max_passes} passes")

    # ------------------------------------------------------------------------------------------- prologue and epilogue
    def prologue(self) -> None:
        layout = self.layout
        stack = (self.unit.stack_depth + 15) & ~15
        if stack:
            self.used.add(REG[10])
        saved = self.saved()
        self.frame = (8 * len(saved) + 15 & ~15) + stack
        layout.cfa(0, "sp", 0)
        self.emit(R["nop"])
        self.emit(R["nop"])
        self.emit(R["addi"], A6, ZERO, MAX_TAIL_CALLS)
        self.addi(SP, SP, -self.frame)
        layout.cfa(self.here, "sp", self.frame)
        for i, reg in enumerate(saved):
            self.sd(SP, self.frame - 8 * (i + 1), reg)
            layout.saved(self.here, NAMES[reg], -8 * (i + 1))
        self.addi(FP, SP, self.frame)
        layout.cfa(self.here, "s0", 0)
        if stack:
            self.addi(REG[10], SP, stack)
            layout.slot("BPF stack", -self.frame, stack)
        layout.stack_size = self.unit.stack_depth
        if self.seen_tail_call and self.calls:
            self.mv(S6, A6)

    def saved(self) -> list[int]:
        """Registers with a slot, from the top of the frame down."""
        return ([RA] if self.calls else []) + [FP] + [r for r in TRACKED if r in self.used]

    def epilogue(self) -> None:
        self.leave(False)

    def leave(self, for_tail_call: bool) -> None:
        for i, reg in enumerate(self.saved()):
            self.ld(reg, self.frame - 8 * (i + 1), SP)
        self.addi(SP, SP, self.frame)
        if not for_tail_call:
            self.addiw(A0, A5, 0)
            self.jalr(ZERO, RA, 0)
        else:
            self.jalr(ZERO, T3, 12)         # past two nops and the counter's initialisation

    # ---------------------------------------------------------------------------------------------------------- memory
    def place(self, base: int, off: int, spare: int) -> tuple[int, int]:
        """(base, displacement) of an access: the offset itself if it has 12 bits, else base + off in `spare`."""
        if signed(off, 12):
            return base, off
        self.imm(spare, off)
        self.add(spare, spare, base)
        return spare, 0

    def load(self, size: int, dst: int, src: int, off: int) -> None:
        base, at = self.place(REG[src], off, T1)
        if size == 8:
            self.ld(REG[dst], at, base)
            return
        self.emit(LOAD[size], REG[dst], at, base)
        self.swallow_zext()

    def load_sx(self, size: int, dst: int, src: int, off: int) -> None:
        base, at = self.place(REG[src], off, T1)
        self.emit(LOAD_SX[size], REG[dst], at, base)
        self.swallow_zext()

    def swallow_zext(self) -> None:
        """The load has cleared the upper half, so the move that would do it is dropped."""
        following = self.next_insn()
        if following is not None and following.kind == ops.ZEXT32:
            self.swallow()

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        base, at = self.place(REG[dst], off, T1)
        self.put(size, base, at, REG[src])

    def store_imm(self, size: int, dst: int, off: int, imm: int) -> None:
        self.imm(T1, imm)
        base, at = self.place(REG[dst], off, T2)
        self.put(size, base, at, T1)

    def put(self, size: int, base: int, at: int, rs: int) -> None:
        if size == 8:
            self.sd(base, at, rs)
        elif size == 4:
            self.sw(base, at, rs)
        else:
            self.emit(STORE[size], rs, at, base)

    def atomic(self, fn: int, size: int, dst: int, off: int, src: int) -> None:
        rd, rs = REG[dst], REG[src]
        if off:
            if signed(off, 12):
                self.addi(T1, rd, off)
            else:
                self.imm(T1, off)
                self.add(T1, T1, rd)
            rd = T1
        if fn == ops.CMPXCHG:
            self.compare_exchange(size, rd, rs)
            return
        fetch = fn & 1
        self.emit(ATOMIC[fn, size], rs if fetch else ZERO, rs, rd)
        if fetch and size == 4:
            self.zextw(rs, rs)

    def compare_exchange(self, size: int, base: int, rs: int) -> None:
        letter = "d" if size == 8 else "w"
        r0 = REG[0]
        if size == 8:
            self.mv(T2, r0)
        else:
            self.addiw(T2, r0, 0)
        self.emit(R[f"lr.{letter}"], r0, base)
        self.emit(R["bne"], T2, r0, 16)
        self.emit(R[f"sc.{letter}.rl"], T3, rs, base)
        self.emit(R["bne"], T3, ZERO, -12)
        self.emit(R["fence"], 3, 3)

    def load_acquire(self, size: int, dst: int, src: int, off: int) -> None:
        self.load(size, dst, src, off)
        self.emit(R["fence"], 2, 3)

    def store_release(self, size: int, dst: int, off: int, src: int) -> None:
        self.emit(R["fence"], 3, 1)
        self.store(size, dst, off, src)

    # --------------------------------------------------------------------------------------------------------- control
    def jump(self, target: int) -> None:
        self.jump_and_link(ZERO, self.distance(target))

    def jump_and_link(self, rd: int, distance: int) -> None:
        """jal where it reaches (a distance of 0, a jump to itself, does not count), else auipc and jalr."""
        if distance and signed(distance, 21):
            self.emit(R["jal"], rd, distance)
        else:
            self.far(rd, distance)

    def far(self, rd: int, distance: int) -> None:
        self.emit(R["auipc"], T1, (distance + (1 << 11)) >> 12 & 0xFFFFF)
        self.emit(R["jalr"], rd, sext(distance, 12), T1)

    def branch_reg(self, fn: int, wide: bool, dst: int, src: int, target: int) -> None:
        rd, rs = REG[dst], REG[src]
        if not wide:
            for_signed = fn in SIGNED
            rs = self.narrow(for_signed, T1, rs)
            rd = self.narrow(for_signed, T2, rd)
        if fn == ops.JSET:
            self.logic(ops.AND, T1, rd, rs)
            fn, rd, rs = ops.JNE, T1, ZERO
        self.branch(fn, rd, rs, self.distance(target))

    def narrow(self, for_signed: bool, spare: int, reg: int) -> int:
        """The lower half of a register, extended into `spare`."""
        if for_signed:
            self.addiw(spare, reg, 0)
        else:
            self.zextw(spare, reg)
        return spare

    def branch_imm(self, fn: int, wide: bool, dst: int, imm: int, target: int) -> None:
        rd = REG[dst]
        if fn == ops.JSET:
            if signed(imm, 12):
                self.andi(T1, rd, imm)
            else:
                self.imm(T1, imm)
                self.logic(ops.AND, T1, rd, T1)
            if not wide and imm < 0:
                self.addiw(T1, T1, 0)
            self.branch(ops.JNE, T1, ZERO, self.distance(target))
            return
        if imm:
            self.imm(T1, imm)
        rs = T1 if imm else ZERO
        if not wide:
            if fn in SIGNED:
                rd = self.narrow(True, T2, rd)
            else:
                rd = self.narrow(False, T2, rd)
                if imm:
                    self.zextw(rs, rs)
        self.branch(fn, rd, rs, self.distance(target))

    def branch(self, fn: int, rd: int, rs: int, distance: int) -> None:
        """A conditional branch; beyond 4 KB around a jump, beyond 1 MB around auipc and jalr."""
        if signed(distance, 13):
            self.compare(fn, rd, rs, distance)
            return
        distance -= 4
        if signed(distance, 21):
            self.compare(INVERSE[fn], rd, rs, 8)
            self.emit(R["jal"], ZERO, distance)
        else:
            self.compare(INVERSE[fn], rd, rs, 12)
            self.far(ZERO, distance)

    def compare(self, fn: int, rd: int, rs: int, distance: int) -> None:
        row, swapped = BRANCH[fn]
        if swapped:
            rd, rs = rs, rd
        self.emit(row, rd, rs, distance)

    def call(self, symbol: str) -> None:
        if symbol == "bpf_get_smp_processor_id" and self.at_least(6, 10):
            self.lw(REG[0], THREAD_INFO_CPU, TP)
            return
        self.emit_call("kfunc" if symbol.startswith("kfunc") else "helper", symbol)
        self.mv(REG[0], A0)

    def emit_call(self, kind: str, symbol: str) -> None:
        self.calls = True
        self.relocate_pair(kind, symbol)
        self.far(RA, 0)

    def call_local(self, callee: int) -> None:
        """The callee leaves its whole result in a5, so nothing has to be moved."""
        self.calls = True
        distance = self.functions[callee] - (self.base + self.here) if self.functions else 0
        self.relocate_pair("subprog", f"function#{callee}")
        self.far(RA, distance)

    def tail_call(self) -> None:
        """a1 program array, a2 index; the counter counts down."""
        start = self.here
        self.seen_tail_call = True
        counter = A6
        if self.calls:
            self.used.add(S6)
            counter = S6
        # for the first instruction the kernel takes the end address for the length, prologue included
        length = self.offsets[self.pc + 1] - (self.offsets[self.pc] if self.pc else 0)
        max_entries, programs, function = tail_call_layout(self.kernel)
        self.zextw(A2, A2)
        self.emit(R["lwu"], T1, max_entries, A1)
        self.branch(ops.JGE, A2, T1, length - (self.here - start))
        self.addi(A6, counter, -1)
        self.branch(ops.JSLT, A6, ZERO, length - (self.here - start))
        self.sh3add(T2, A2, A1)
        self.ld(T2, programs, T2)
        self.branch(ops.JEQ, T2, ZERO, length - (self.here - start))
        self.ld(T3, function, T2)
        self.leave(True)

    def exit(self) -> None:
        if not self.is_last():
            self.jump_and_link(ZERO, self.epilogue_at - self.here)

    # --------------------------------------------------------------------------------------------------------- special
    def nospec(self) -> None:
        """Nothing: the kernel knows no barrier for this machine."""

    def percpu(self, dst: int, src: int) -> None:
        if dst != src:
            self.mv(REG[dst], REG[src])
        if self.has("smp"):
            self.lw(T1, THREAD_INFO_CPU, TP)
            self.emit_address(T2, "percpu", "__per_cpu_offset")
            self.sh3add(T1, T1, T2)
            self.ld(T1, 0, T1)
            self.add(REG[dst], REG[dst], T1)

    # --------------------------------------------------------------------------------------------------------- linking
    @classmethod
    def patch(cls, code: bytearray, relocation: Relocation, base: int, value: int) -> None:
        at = relocation.offset
        value += relocation.addend
        if relocation.form == "constant":
            raise JitError("a constant of another length cannot be put in its place; compile with 'user_space'")
        pair = at - HIGH_AT if relocation.form == "pcrel_hi" else at - LOW_AT
        distance = s64(value - base - pair)
        if not -(1 << 31) - (1 << 11) <= distance < (1 << 31) - (1 << 11):
            raise JitError(f"{relocation.symbol} is out of reach of auipc")
        if relocation.form == "pcrel_hi":
            word = int.from_bytes(code[pair : pair + 4], "little")
            word = word & 0xFFF | ((distance + (1 << 11)) >> 12 & 0xFFFFF) << 12
            code[pair : pair + 4] = word.to_bytes(4, "little")
        else:
            word = int.from_bytes(code[pair + 4 : pair + 8], "little")
            word = word & 0xFFFFF | (distance & 0xFFF) << 20
            code[pair + 4 : pair + 8] = word.to_bytes(4, "little")

    @classmethod
    def veneer(cls, value: int) -> bytes:
        """auipc t1, 0; ld t1, 16(t1); jr t1 (all 4 bytes long); a nop; the address."""
        load = R["auipc"].encode([T1, 0]) + R["ld"].encode([T1, 16, T1])
        jump = R["jalr"].encode([ZERO, 0, T1]) + R["nop"].encode([])
        return load + jump + (value & (1 << 64) - 1).to_bytes(8, "little")
