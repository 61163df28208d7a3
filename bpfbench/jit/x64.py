"""The x86-64 target: eBPF registers are machine registers, and almost every instruction is one instruction.

    r0 rax  r1 rdi  r2 rsi  r3 rdx  r4 rcx  r5 r8  r6 rbx  r7 r13  r8 r14  r9 r15  r10 rbp  r11 r10  temporary r11

    higher   return address
             saved rbp              <- rbp = r10
             BPF stack, rounded up to 8
             tail-call counter, its address (only where tail calls are reachable)
    lower    saved rbx r13 r14 r15 (those used)      <- rsp

Instruction sizes depend on distances, so the first pass assumes 64 bytes per slot and later ones shrink; a short jump
reaches at most +123 so that shrinking cannot oscillate, and from pass 15 on what would shrink is padded with nops.

Source: arch/x86/net/bpf_jit_comp.c of the named kernel.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from bpfbench.bits import s64
from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.code import Relocation
from bpfbench.jit.features import tail_call_layout
from bpfbench.jit.target import Sweep
from bpfbench.jit.x64_arithmetic import ALU_RR, AUX, MOV_RR, X64Arithmetic, imm8

# isort: off
from bpfbench.machine.x64 import (
    JCC8, JCC32, NAMES64, NOPS, R8, R9, R10, R11, R13, R14, R15, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP, X64, R, both,
)  # fmt: skip
# isort: on

REG: Final = [RAX, RDI, RSI, RDX, RCX, R8, RBX, R13, R14, R15, RBP, R10]
CALLEE_SAVED: Final = [(6, RBX), (7, R13), (8, R14), (9, R15)]
MAX_TAIL_CALLS: Final = 33
PADDING_PASS: Final = 15
PATCH_SIZE: Final = 5               # bytes of the call or jump that is patched in and out
LOAD: Final = {size: R[f"load{size}"] for size in (1, 2, 4, 8)}
LOAD_SX: Final = {size: R[f"loads{size}"] for size in (1, 2, 4)}
STORE: Final = {size: R[f"store{size}"] for size in (1, 2, 4, 8)}
STORE_IMM: Final = {size: R[f"storei{size}"] for size in (1, 2, 4, 8)}
ATOMIC: Final = {
    ops.A_ADD: both("lock_add"), ops.A_OR: both("lock_or"), ops.A_AND: both("lock_and"), ops.A_XOR: both("lock_xor"),
    ops.F_ADD: both("lock_xadd"), ops.XCHG: both("lock_xchg"), ops.CMPXCHG: both("lock_cmpxchg"),
}  # fmt: skip
FETCH_LOOP: Final = {ops.F_OR: ops.OR, ops.F_AND: ops.AND, ops.F_XOR: ops.XOR}
CONDITION: Final = {
    ops.JEQ: "e", ops.JNE: "ne", ops.JSET: "ne", ops.JGT: "a", ops.JLT: "b", ops.JGE: "ae", ops.JLE: "be",
    ops.JSGT: "g", ops.JSLT: "l", ops.JSGE: "ge", ops.JSLE: "le",
}  # fmt: skip
TEST_RR: Final = both("test_rr")
TEST_RI: Final = both("test_ri")
CMP_RR: Final = both("cmp_rr")
CMP_RB: Final = both("cmp_rb")
CMP_RI: Final = both("cmp_ri")


def jump8(distance: int) -> bool:
    """Short jumps stop at +123 so that a jump which grows cannot make another one shrink and grow again."""
    return -128 <= distance <= 123


@mypyc_attr(allow_interpreted_subclasses=True)
class X64Target(X64Arithmetic):
    name = "x86_64"
    machine = X64
    max_passes = 20
    frame_pointer = "rbp"

    # ---------------------------------------------------------------------------------------------------------- passes
    def passes(self, sweep: Sweep) -> None:
        """Start from 64 bytes per slot and shrink."""
        self.offsets = [64 * (i + 1) for i in range(len(self.unit.insns) + 1)]
        self.cleanup_at = 64 * (len(self.unit.insns) + 1)
        self.cleanup_seen = False
        self.tail_out = 0
        self.tail_direct_out = 0
        self.padding = False
        self.saved = self.callee_saved()
        self.reg = REG[:10] + [R9 if self.unit.private_stack else RBP, R10]
        before = 0
        for number in range(self.max_passes):
            self.padding = number >= PADDING_PASS
            size = sweep("PBE", True)
            if size == before:
                sweep("PBE", False)
                return
            before = size
        raise JitError(f"x86_64: the image did not settle in {self.max_passes} passes")

    def passes_again(self, sweep: Sweep) -> None:
        self.padding = True
        sweep("PBE", False)

    def callee_saved(self) -> list[int]:
        """Machine registers of r6..r9 that the function mentions, in push order."""
        used = 0
        for insn in self.unit.insns:
            if insn is not None:
                used |= 1 << insn.dst | 1 << insn.src
        return [native for reg, native in CALLEE_SAVED if used >> reg & 1]

    # ------------------------------------------------------------------------------------------- prologue and epilogue
    def prologue(self) -> None:
        unit = self.unit
        self.cleanup_seen = False
        layout = self.layout
        layout.cfa(0, "rsp", 8)
        layout.saved(0, "rip", -8)
        if self.has("ibt"):
            self.emit(R["endbr64"])
        self.emit(NOPS[5])
        self.emit_tail_call_entry()
        self.emit(R["push"], RBP)
        layout.cfa(self.here, "rsp", 16)
        layout.saved(self.here, "rbp", -16)
        self.emit(MOV_RR[1], RBP, RSP)
        layout.cfa(self.here, "rbp", 16)
        if self.has("ibt"):
            self.emit(R["endbr64"])
        depth = self.stack_bytes()
        if depth:
            self.emit(R["sub_ri64"], RSP, depth)
            layout.slot("BPF stack", -16 - depth, depth)
        layout.stack_size = unit.stack_depth
        at = -16 - depth
        if unit.tail_calls:
            self.emit_tail_call_counter()
            layout.slot("tail-call counter", at - 8, 8)
            at -= 16 if self.at_least(6, 12) else 8
        for native in self.saved:
            self.emit(R["push"], native)
            at -= 8
            layout.saved(self.here, NAMES64[native], at)
        if unit.private_stack:
            self.emit_private_stack()

    def stack_bytes(self) -> int:
        """Bytes of the kernel stack that hold BPF stack; none with a private stack."""
        return 0 if self.unit.private_stack else (self.unit.stack_depth + 7) & ~7

    def emit_private_stack(self) -> None:
        """r9 = top of this CPU's own BPF stack of the program (6.13 and later); it serves as r10."""
        self.relocate(self.here + 2, 8, "private_stack", "priv_stack_ptr", "abs64")
        self.emit(R["movabs"], R9, 0)
        self.relocate(self.here + 5, 4, "percpu", "this_cpu_off", "abs32")
        self.emit(R["add_r_gs64"], R9, 0)

    def emit_tail_call_entry(self) -> None:
        """Clear the counter, or a nop of the same size, so that every program is entered at the same distance."""
        first = self.unit.tail_calls and self.unit.index == 0
        if self.at_least(6, 12):
            self.emit(R["xor_rr64"], RAX, RAX) if first else self.emit(NOPS[3])
        else:
            self.emit(R["xor_rr32"], RAX, RAX) if first else self.emit(NOPS[2])

    def emit_tail_call_counter(self) -> None:
        """Keep the counter, and since 6.12 its address, so that subprograms share the counter of the main program."""
        if not self.at_least(6, 12):
            self.emit(R["push"], RAX)
            return
        if self.unit.index == 0:
            self.emit(R["cmp_rb64"], RAX, MAX_TAIL_CALLS)
            self.emit(R["ja8"], 6)
            self.emit(R["push"], RAX)
            self.emit(MOV_RR[1], RAX, RSP)
            self.emit(R["jmp8"], 1)
        self.emit(R["push"], RAX)
        self.emit(R["push"], RAX)

    def epilogue(self) -> None:
        """Nothing: the first `exit` holds it, later ones jump there."""

    def emit_pops(self) -> None:
        for native in reversed(self.saved):
            self.emit(R["pop"], native)

    def emit_return(self) -> None:
        if self.has("return_thunk"):
            self.relocate(self.here + 1, 4, "return_thunk", "__x86_return_thunk", "rel32")
            self.emit(R["jmp32"], 0)
            return
        self.emit(R["ret"])
        if self.has("sls"):
            self.emit(R["int3"])

    def emit_nops(self, count: int) -> None:
        if count:
            self.emit(NOPS[count])

    def padding_for(self, size: int) -> int:
        """Bytes by which this instruction was longer in the previous pass; only asked once padding is on."""
        before = self.offsets[self.pc + self.consumed] - self.offsets[self.pc]
        return before - size

    # ---------------------------------------------------------------------------------------------------------- memory
    def load(self, size: int, dst: int, src: int, off: int) -> None:
        self.emit(LOAD[size], self.reg[dst], self.reg[src], off)

    def load_sx(self, size: int, dst: int, src: int, off: int) -> None:
        self.emit(LOAD_SX[size], self.reg[dst], self.reg[src], off)

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        self.emit(STORE[size], self.reg[dst], off, self.reg[src])

    def store_imm(self, size: int, dst: int, off: int, imm: int) -> None:
        value = imm if size == 8 else imm & ((1 << 8 * size) - 1)
        self.emit(STORE_IMM[size], self.reg[dst], off, value)

    def atomic(self, fn: int, size: int, dst: int, off: int, src: int) -> None:
        wide = size == 8
        if fn not in FETCH_LOOP:
            self.emit(ATOMIC[fn][wide], self.reg[dst], off, self.reg[src])
            return
        # fetch-and/or/xor: compare-and-exchange in a loop, with r0 (rax) kept in r11 of BPF (r10)
        self.emit(MOV_RR[1], R10, RAX)
        value = R10 if src == 0 else self.reg[src]
        base = R10 if dst == 0 else self.reg[dst]
        loop = self.here
        self.emit(LOAD[size], RAX, base, off)
        self.emit(MOV_RR[wide], AUX, RAX)
        self.emit(ALU_RR[FETCH_LOOP[fn]][wide], AUX, value)
        self.emit(ATOMIC[ops.CMPXCHG][wide], base, off, AUX)
        self.emit(JCC8["ne"], loop - self.here - 2)
        self.emit(MOV_RR[wide], value, RAX)
        self.emit(MOV_RR[1], RAX, R10)

    def load_acquire(self, size: int, dst: int, src: int, off: int) -> None:
        self.load(size, dst, src, off)

    def store_release(self, size: int, dst: int, off: int, src: int) -> None:
        self.store(size, dst, off, src)

    # --------------------------------------------------------------------------------------------------------- control
    def jump(self, target: int) -> None:
        # a jump to itself (replaced dead code) is known without asking
        distance = -2 if target == self.pc else self.offsets[target] - self.offsets[self.pc + 1]
        if distance == 0:
            if self.padding:
                self.emit_nops(self.padding_for(0))
            return
        self.emit_jump(distance)

    def emit_jump(self, distance: int) -> None:
        if jump8(distance):
            if self.padding:
                self.emit_nops(self.padding_for(2))
            self.emit(R["jmp8"], distance)
        else:
            self.emit(R["jmp32"], distance)

    def branch_reg(self, fn: int, wide: bool, dst: int, src: int, target: int) -> None:
        row = TEST_RR if fn == ops.JSET else CMP_RR
        start = self.here
        self.emit(row[wide], self.reg[dst], self.reg[src])
        self.emit_branch(CONDITION[fn], target, start)

    def branch_imm(self, fn: int, wide: bool, dst: int, imm: int, target: int) -> None:
        start = self.here
        if fn == ops.JSET:
            self.emit(TEST_RI[wide], self.reg[dst], imm)
        elif imm == 0:
            self.emit(TEST_RR[wide], self.reg[dst], self.reg[dst])
        elif imm8(imm):
            self.emit(CMP_RB[wide], self.reg[dst], imm)
        else:
            self.emit(CMP_RI[wide], self.reg[dst], imm)
        self.emit_branch(CONDITION[fn], target, start)

    def emit_branch(self, condition: str, target: int, start: int) -> None:
        distance = self.offsets[target] - self.offsets[self.pc + 1]
        if jump8(distance):
            if self.padding:
                self.emit_nops(self.padding_for(self.here - start + 2))
            self.emit(JCC8[condition], distance)
        else:
            self.emit(JCC32[condition], distance)

    def call(self, symbol: str) -> None:
        self.emit_call("kfunc" if symbol.startswith("kfunc") else "helper", symbol, 0)

    def call_local(self, callee: int) -> None:
        distance = 0
        if self.functions:
            before = (7 if self.unit.tail_calls else 0) + (2 if self.unit.private_stack else 0)
            distance = self.functions[callee] - (self.base + self.here + before + PATCH_SIZE)
        self.emit_call("subprog", f"function#{callee}", distance)

    def emit_call(self, kind: str, symbol: str, distance: int) -> None:
        if self.unit.tail_calls and (kind == "subprog" or not self.at_least(6, 18)):
            self.emit_load_counter()
        if self.unit.private_stack:
            self.emit(R["push"], R9)
        self.relocate(self.here + 1, 4, kind, symbol, "rel32")
        self.emit(R["call"], distance)
        if self.unit.private_stack:
            self.emit(R["pop"], R9)

    def emit_load_counter(self) -> None:
        """rax = the counter for a callee (itself, since 6.12 its address); before 6.18 helpers get it too."""
        self.emit(R["load_tcc64"], RAX, RBP, -(16 if self.at_least(6, 12) else 8) - self.stack_bytes())

    def tail_call(self) -> None:
        if self.pc in self.unit.pokes:
            self.tail_call_direct()
        else:
            self.tail_call_indirect()

    def tail_call_indirect(self) -> None:
        """rdi context, rsi program array, rdx index: leave for that program unless one of three checks fails."""
        start = self.here
        max_entries, programs, function = tail_call_layout(self.kernel)
        self.emit(MOV_RR[0], RDX, RDX)
        self.emit(R["cmp_mr32"], RSI, max_entries, RDX)
        self.emit_out("be", start, self.tail_out)
        self.emit_count_check(start, self.tail_out)
        self.emit(R["load_entry"], RCX, RSI, RDX, programs)
        self.emit(TEST_RR[1], RCX, RCX)
        self.emit_out("e", start, self.tail_out)
        self.emit_count_up()
        self.emit_leave_for_tail_call()
        entry = 11 + (1 if self.at_least(6, 12) else 0) + (4 if self.has("ibt") else 0)
        self.emit(LOAD[8], RCX, RCX, function)
        self.emit(R["add_rb64"], RCX, entry)
        self.emit_indirect_jump(RCX)
        self.tail_out = self.here - start

    def tail_call_direct(self) -> None:
        """The map and index are constants, so the kernel patches two jumps: past this code, or to the program."""
        start = self.here
        self.emit_count_check(start, self.tail_direct_out)
        target = self.tail_direct_out - PATCH_SIZE
        bypass = self.here - start
        self.relocate(self.here, PATCH_SIZE, "poke", "tail call bypass", "patch")
        self.emit(R["jmp32"], target + PATCH_SIZE - (bypass + PATCH_SIZE))
        self.emit_count_up()
        self.emit_leave_for_tail_call()
        self.relocate(self.here, PATCH_SIZE, "poke", "tail call target", "patch")
        self.emit(NOPS[5])
        self.tail_direct_out = self.here - start

    def emit_out(self, condition: str, start: int, out: int) -> None:
        """Leave the tail-call sequence; its length is known from the previous pass."""
        distance = out - (self.here + 2 - start)
        self.emit(JCC8[condition], distance if imm8(distance) else 0)

    def emit_count_check(self, start: int, out: int) -> None:
        depth = self.stack_bytes()
        if self.at_least(6, 12):
            self.emit(R["load_tcc64"], RAX, RBP, -16 - depth)
            self.emit(R["cmp_m_b64"], RAX, MAX_TAIL_CALLS)
            self.emit_out("ae", start, out)
            return
        self.emit(R["load_tcc32"], RAX, RBP, -4 - depth)
        self.emit(CMP_RB[0], RAX, MAX_TAIL_CALLS)
        self.emit_out("ae", start, out)
        self.emit(R["add_rb32"], RAX, 1)
        self.emit(R["store_tcc32"], RBP, -4 - depth, RAX)

    def emit_count_up(self) -> None:
        if self.at_least(6, 12):
            self.emit(R["add_m_b64"], RAX, 1)

    def emit_leave_for_tail_call(self) -> None:
        self.emit_pops()
        self.emit(R["pop"], RAX)
        if self.at_least(6, 12):
            self.emit(R["pop"], RAX)
        if self.stack_bytes():
            self.emit(R["add_ri64"], RSP, self.stack_bytes())

    def jump_indirect(self, dst: int) -> None:
        if not self.at_least(6, 19) and not self.has("gotox"):
            raise self.unsupported("an indirect jump (gotox) before linux-6.19")
        self.emit_indirect_jump(self.reg[dst])

    def emit_indirect_jump(self, native: int) -> None:
        if self.has("retpoline"):
            self.relocate(self.here + 1, 4, "indirect_thunk", f"__x86_indirect_thunk_{NAMES64[native]}", "rel32")
            self.emit(R["jmp32"], 0)
            return
        self.emit(R["jmp_r"], native)
        if self.has("retpoline_config") or self.has("sls"):
            self.emit(R["int3"])

    def exit(self) -> None:
        if self.cleanup_seen:
            self.emit_jump(self.cleanup_at - self.offsets[self.pc + 1])
            return
        self.cleanup_seen = True
        self.cleanup_at = self.here
        self.emit_pops()
        self.emit(R["leave"])
        self.emit_return()

    # --------------------------------------------------------------------------------------------------------- special
    def nospec(self) -> None:
        self.emit(R["lfence"])

    def percpu(self, dst: int, src: int) -> None:
        self.mov_reg(True, dst, src)
        if self.has("smp"):
            self.relocate(self.here + 5, 4, "percpu", "this_cpu_off", "abs32")
            self.emit(R["add_r_gs64"], self.reg[dst], 0)

    # --------------------------------------------------------------------------------------------------------- linking
    @classmethod
    def patch(cls, code: bytearray, relocation: Relocation, base: int, value: int) -> None:
        at, size = relocation.offset, relocation.size
        value += relocation.addend
        if relocation.form == "rel32":
            value -= base + at + 4
            if not -(1 << 31) <= value < 1 << 31:
                raise JitError(f"{relocation.symbol} is out of reach of a 32-bit displacement")
        elif relocation.form == "abs32" and not -(1 << 31) <= s64(value) < 1 << 31:
            raise JitError(f"{relocation.symbol} does not fit 32 bits; compile with the feature 'user_space'")
        code[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    @classmethod
    def veneer(cls, value: int) -> bytes:
        """movabs r11, value; jmp r11."""
        return R["movabs"].encode([R11, value]) + R["jmp_r"].encode([R11])
