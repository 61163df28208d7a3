"""The AArch64 target: eBPF registers in machine registers, immediates built in x10 when no field holds them.

    r0 x7   r1-r5 x0-x4   r6-r9 x19-x22   r10 x25   r11 x9   temporaries x10 x11 x12   tail-call counter's address x26

    higher   return address, x29          <- x29
             tail-call counter, x26
             saved x19-x22, x25 (those used, in pairs)
             BPF stack, rounded up to 16   <- x25 = r10 at its top
    lower                                  <- sp

Three sweeps: one for the size, one for the offsets (a call between functions may turn from four instructions into
one), one for the image.  Behind the epilogue stands the start of a jump slot that the kernel's trampolines use.

Source: arch/arm64/net/bpf_jit_comp.c, bpf_jit.h of the named kernel.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from bpfbench.bits import s64, u32
from bpfbench.errors import JitError
from bpfbench.isa import ops
from bpfbench.jit.a64_arithmetic import (
    ADD_I,
    ALU_R,
    REG,
    SHIFT_I,
    SUB_I,
    TMP,
    TMP2,
    A64Arithmetic,
    Pairs,
    addsub_imm,
    move_part,
)
from bpfbench.jit.code import Relocation
from bpfbench.jit.features import tail_call_layout
from bpfbench.jit.target import Sweep
from bpfbench.machine.a64 import A64, CONDITION, FP, LR, SP, ZR, R, bitmask, both
from bpfbench.machine.pattern import Encoding

BPF_FP: Final = 25
TMP3: Final = 12
COUNTER: Final = 26                 # address of the tail-call counter
MAX_TAIL_CALLS: Final = 33
THREAD_INFO_CPU: Final = 16         # offsetof(struct thread_info, cpu)
CMP_I: Final = (both("cmp_i"), both("cmp_i12"))
CMN_I: Final = (both("cmn_i"), both("cmn_i12"))
CMP_R: Final = both("cmp_r")
TST_R: Final = both("tst_r")
TST_M: Final = both("tst_m")
SIZES: Final = (1, 2, 4, 8)
LOAD_I: Final = {s: R[f"load{s}_i"] for s in SIZES}
LOAD_R: Final = {s: R[f"load{s}_r"] for s in SIZES}
LOADS_I: Final = {s: R[f"loads{s}_i"] for s in (1, 2, 4)}
LOADS_R: Final = {s: R[f"loads{s}_rx"] for s in (1, 2, 4)}
STORE_I: Final = {s: R[f"store{s}_i"] for s in SIZES}
STORE_R: Final = {s: R[f"store{s}_r"] for s in SIZES}
LSE_STORE: Final = {
    ops.A_ADD: both("stadd"), ops.A_AND: both("stclr"), ops.A_OR: both("stset"), ops.A_XOR: both("steor"),
}  # fmt: skip
LSE_FETCH: Final = {
    ops.F_ADD: both("ldaddal"), ops.F_AND: both("ldclral"), ops.F_OR: both("ldsetal"), ops.F_XOR: both("ldeoral"),
    ops.XCHG: both("swpal"),
}  # fmt: skip
LLSC_OP: Final = {
    ops.A_ADD: ops.ADD, ops.A_AND: ops.AND, ops.A_OR: ops.OR, ops.A_XOR: ops.XOR,
    ops.F_ADD: ops.ADD, ops.F_AND: ops.AND, ops.F_OR: ops.OR, ops.F_XOR: ops.XOR,
}  # fmt: skip
BRANCH: Final = {
    ops.JEQ: CONDITION["eq"], ops.JNE: CONDITION["ne"], ops.JSET: CONDITION["ne"], ops.JGT: CONDITION["hi"],
    ops.JLT: CONDITION["lo"], ops.JGE: CONDITION["hs"], ops.JLE: CONDITION["ls"], ops.JSGT: CONDITION["gt"],
    ops.JSLT: CONDITION["lt"], ops.JSGE: CONDITION["ge"], ops.JSLE: CONDITION["le"],
}  # fmt: skip


@mypyc_attr(allow_interpreted_subclasses=True)
class A64Target(A64Arithmetic):
    name = "aarch64"
    machine = A64
    frame_pointer = "x25"

    # ---------------------------------------------------------------------------------------------------------- passes
    def passes(self, sweep: Sweep) -> None:
        self.saved = self.callee_saved()
        sweep("PBE", True)
        sweep("PBE", True)
        sweep("PBE", False)

    def passes_again(self, sweep: Sweep) -> None:
        sweep("PBE", True)
        sweep("PBE", False)

    def callee_saved(self) -> list[int]:
        used = 0
        for insn in self.unit.insns:
            if insn is not None:
                used |= 1 << insn.dst | 1 << insn.src
        return [REG[r] for r in (6, 7, 8, 9, 10) if used >> r & 1]

    # ------------------------------------------------------------------------------------------- prologue and epilogue
    def prologue(self) -> None:
        layout = self.layout
        layout.cfa(0, "sp", 0)
        if self.has("bti"):
            self.emit(R["bti_jc"])
        self.emit_mov(9, LR)
        self.emit(R["nop"])
        if self.has("pac"):
            self.emit(R["paciasp"])
        self.emit_push(FP, LR)
        layout.cfa(self.here, "sp", 16)
        layout.saved(self.here, "x29", -16)
        layout.saved(self.here, "x30", -8)
        self.emit_mov(FP, SP)
        layout.cfa(self.here, "x29", 16)
        if self.unit.index == 0:
            self.emit_push(ZR, COUNTER)
            self.emit_mov(COUNTER, SP)
        else:
            self.emit_push(COUNTER, COUNTER)
        layout.slot("tail-call counter", -32, 8)
        layout.saved(self.here, "x26", -24)
        if self.unit.index == 0 and self.has("bti"):
            self.emit(R["bti_j"])
        at = -32
        for i in range(0, len(self.saved), 2):
            first = self.saved[i]
            second = self.saved[i + 1] if i + 1 < len(self.saved) else ZR
            self.emit_push(first, second)
            at -= 16
            layout.saved(self.here, f"x{first}", at)
            if second != ZR:
                layout.saved(self.here, f"x{second}", at + 8)
        if BPF_FP in self.saved:
            self.emit_mov(BPF_FP, SP)
        size = self.stack_bytes()
        layout.stack_size = self.unit.stack_depth
        if size:
            self.emit_add_sub(SUB_I, True, SP, SP, size)
            layout.slot("BPF stack", at - size, size)

    def stack_bytes(self) -> int:
        return (self.unit.stack_depth + 15) & ~15

    def epilogue(self) -> None:
        self.emit_unwind()
        self.emit_pop(ZR, COUNTER)
        self.emit_pop(FP, LR)
        self.emit_mov(0, REG[0])
        if self.has("pac"):
            self.emit(R["autiasp"])
        self.emit(R["ret"])
        # the kernel's long-jump slot; its 8-byte target, behind the image, has to be aligned
        if self.here // 4 % 2:
            self.emit(R["nop"])
        self.emit(R["ldr_lit"], TMP, 8)
        self.emit(R["br"], TMP)

    def emit_unwind(self) -> None:
        """Free the BPF stack and restore callee-saved registers."""
        if self.stack_bytes():
            self.emit_add_sub(ADD_I, True, SP, SP, self.stack_bytes())
        padded = self.saved + [ZR]
        for i in reversed(range(0, len(self.saved), 2)):
            self.emit_pop(padded[i], padded[i + 1])

    def emit_push(self, first: int, second: int) -> None:
        self.emit(R["push_pair"], first, second, SP, -16)

    def emit_pop(self, first: int, second: int) -> None:
        self.emit(R["pop_pair"], first, second, SP, 16)

    # ---------------------------------------------------------------------------------------------------------- memory
    def emit_access(
        self, by_imm: Encoding, by_reg: Encoding, size: int, value: int, base: int, off: int, spare: int
    ) -> None:
        """An access at base + off.  The frame pointer is replaced by sp, below it, whose displacements are positive."""
        rn, at = (SP, off + self.stack_bytes()) if base == BPF_FP else (base, off)
        if 0 <= at <= 0xFFF * size and at % size == 0:
            self.emit(by_imm, value, rn, at)
        else:
            self.emit_imm(True, spare, off)
            self.emit(by_reg, value, base, spare)

    def load(self, size: int, dst: int, src: int, off: int) -> None:
        self.emit_access(LOAD_I[size], LOAD_R[size], size, REG[dst], REG[src], off, TMP)

    def load_sx(self, size: int, dst: int, src: int, off: int) -> None:
        self.emit_access(LOADS_I[size], LOADS_R[size], size, REG[dst], REG[src], off, TMP)

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        self.emit_access(STORE_I[size], STORE_R[size], size, REG[src], REG[dst], off, TMP)

    def store_imm(self, size: int, dst: int, off: int, imm: int) -> None:
        self.emit_imm(True, TMP, imm)
        self.emit_access(STORE_I[size], STORE_R[size], size, TMP, REG[dst], off, TMP2)

    def emit_place(self, dst: int, off: int) -> int:
        """The register that holds dst + off."""
        if not off:
            return REG[dst]
        self.emit_imm(True, TMP, off)
        self.emit(ALU_R[ops.ADD][1], TMP, TMP, REG[dst])
        return TMP

    def atomic(self, fn: int, size: int, dst: int, off: int, src: int) -> None:
        base = self.emit_place(dst, off)
        if self.has("lse"):
            self.atomic_lse(fn, size == 8, base, REG[src])
        else:
            self.atomic_llsc(fn, size == 8, base, REG[src])

    def atomic_lse(self, fn: int, wide: bool, base: int, rs: int) -> None:
        """One instruction; "and" exists only as "clear", so its operand is inverted first."""
        if fn == ops.CMPXCHG:
            self.emit(both("casal")[wide], REG[0], rs, base)
            return
        value = rs
        if fn in (ops.A_AND, ops.F_AND):
            self.emit(both("mvn_r")[wide], TMP2, rs)
            value = TMP2
        if fn in LSE_STORE:
            self.emit(LSE_STORE[fn][wide], value, base)
        else:
            self.emit(LSE_FETCH[fn][wide], value, rs, base)

    def atomic_llsc(self, fn: int, wide: bool, base: int, rs: int) -> None:
        """Load-exclusive, compute, store-exclusive, again if somebody else wrote in between."""
        load, store, release = both("ldxr")[wide], both("stxr")[wide], both("stlxr")[wide]
        if fn in LLSC_OP and not fn & 1:
            self.emit(load, TMP2, base)
            self.emit(ALU_R[LLSC_OP[fn]][wide], TMP2, TMP2, rs)
            self.emit(store, TMP3, TMP2, base)
            self.emit(R["cbnz32"], TMP3, -12)
            return
        if fn in LLSC_OP:
            self.emit_mov(REG[11], rs, wide)
            self.emit(load, rs, base)
            self.emit(ALU_R[LLSC_OP[fn]][wide], TMP2, rs, REG[11])
            self.emit(release, TMP3, TMP2, base)
            self.emit(R["cbnz32"], TMP3, -12)
        elif fn == ops.XCHG:
            self.emit_mov(TMP2, rs, wide)
            self.emit(load, rs, base)
            self.emit(release, TMP3, TMP2, base)
            self.emit(R["cbnz32"], TMP3, -8)
        else:
            self.emit_mov(TMP2, REG[0], wide)
            self.emit(load, REG[0], base)
            self.emit(ALU_R[ops.XOR][wide], TMP3, REG[0], TMP2)
            self.emit(both("cbnz")[wide], TMP3, 16)
            self.emit(release, TMP3, rs, base)
            self.emit(R["cbnz32"], TMP3, -16)
        self.emit(R["dmb_ish"])

    def load_acquire(self, size: int, dst: int, src: int, off: int) -> None:
        base = self.emit_place(src, off)
        self.emit(R[f"ldar{size}"], REG[dst], base)

    def store_release(self, size: int, dst: int, off: int, src: int) -> None:
        base = self.emit_place(dst, off)
        self.emit(R[f"stlr{size}"], REG[src], base)

    # --------------------------------------------------------------------------------------------------------- control
    def jump(self, target: int) -> None:
        self.emit(R["b"], self.distance(target))

    def branch_reg(self, fn: int, wide: bool, dst: int, src: int, target: int) -> None:
        self.emit((TST_R if fn == ops.JSET else CMP_R)[wide], REG[dst], REG[src])
        self.emit_branch(fn, target)

    def branch_imm(self, fn: int, wide: bool, dst: int, imm: int, target: int) -> None:
        rd = REG[dst]
        if fn == ops.JSET:
            mask = bitmask(imm, 64 if wide else 32)
            if mask >= 0:
                self.emit(TST_M[wide], rd, mask)
            else:
                self.emit_imm(wide, TMP, imm)
                self.emit(TST_R[wide], rd, TMP)
        elif addsub_imm(imm):
            self.emit_compare(CMP_I, wide, rd, imm)
        elif addsub_imm(-imm):
            self.emit_compare(CMN_I, wide, rd, -imm)
        else:
            self.emit_imm(wide, TMP, imm)
            self.emit(CMP_R[wide], rd, TMP)
        self.emit_branch(fn, target)

    def emit_compare(self, rows: Pairs, wide: bool, rn: int, value: int) -> None:
        value = u32(value)
        shifted = value > 0xFFF
        self.emit(rows[shifted][wide], rn, value >> 12 if shifted else value)

    def emit_branch(self, fn: int, target: int) -> None:
        self.emit(R["b_cond"], BRANCH[fn], self.distance(target))

    def call(self, symbol: str) -> None:
        if symbol == "bpf_get_smp_processor_id" and self.at_least(6, 10):
            self.emit(R["mrs_sp_el0"], TMP)
            self.emit(LOAD_I[4], REG[0], TMP, THREAD_INFO_CPU)
            return
        if symbol in ("bpf_get_current_task", "bpf_get_current_task_btf") and self.at_least(6, 10):
            self.emit(R["mrs_sp_el0"], REG[0])
            return
        kind = "kfunc" if symbol.startswith("kfunc") else "helper"
        self.emit_call(kind, symbol)

    def emit_call(self, kind: str, symbol: str) -> None:
        """Kernel functions are beyond the 128 MB of a direct call, so their address is built first."""
        self.emit_address(TMP, kind, symbol)
        self.emit(R["blr"], TMP)
        self.emit_mov(REG[0], 0)

    def call_local(self, callee: int) -> None:
        if not self.functions:
            self.emit_call("subprog", f"function#{callee}")
            return
        self.relocate(self.here, 4, "subprog", f"function#{callee}", "branch26")
        self.emit(R["bl"], self.functions[callee] - (self.base + self.here))
        self.emit_mov(REG[0], 0)

    def tail_call(self) -> None:
        """x1 program array, x2 index: leave for that program unless one of three checks fails."""
        out = self.offsets[self.pc + 1]
        max_entries, programs, function = tail_call_layout(self.kernel)
        self.emit_imm64(TMP, max_entries)
        self.emit(LOAD_R[4], TMP, REG[2], TMP)
        self.emit_mov(REG[3], REG[3], False)
        self.emit(CMP_R[0], REG[3], TMP)
        self.emit(R["b_cond"], CONDITION["hs"], out - self.here)
        self.emit_imm64(TMP, MAX_TAIL_CALLS)
        self.emit(LOAD_I[8], TMP3, COUNTER, 0)
        self.emit(CMP_R[1], TMP3, TMP)
        self.emit(R["b_cond"], CONDITION["hs"], out - self.here)
        self.emit_add_sub(ADD_I, True, TMP3, TMP3, 1)
        self.emit_imm64(TMP, programs)
        self.emit(ALU_R[ops.ADD][1], TMP, REG[2], TMP)
        self.emit(SHIFT_I[ops.LSH][1], TMP2, REG[3], 3)
        self.emit(LOAD_R[8], TMP2, TMP, TMP2)
        self.emit(both("cbz")[1], TMP2, out - self.here)
        self.emit(STORE_I[8], TMP3, COUNTER, 0)
        self.emit_unwind()
        self.emit_imm64(TMP, function)
        self.emit(LOAD_R[8], TMP, TMP2, TMP)
        entry = 4 * (6 + self.has("bti") + self.has("pac"))
        self.emit_add_sub(ADD_I, True, TMP, TMP, entry)
        self.emit(R["br"], TMP)

    def exit(self) -> None:
        if not self.is_last():
            self.emit(R["b"], self.epilogue_at - self.here)

    # --------------------------------------------------------------------------------------------------------- special
    def nospec(self) -> None:
        """Nothing before 6.17: the machine's mitigations make it needless.  Later kernels emit a real barrier."""
        if self.at_least(6, 17):
            if self.has("sb"):
                self.emit(R["sb"])
            else:
                self.emit(R["dsb_nsh"])
                self.emit(R["isb"])

    def percpu(self, dst: int, src: int) -> None:
        if dst != src:
            self.emit_mov(REG[dst], REG[src])
        self.emit(R["mrs_tpidr_el2" if self.has("vhe") else "mrs_tpidr_el1"], TMP)
        self.emit(ALU_R[ops.ADD][1], REG[dst], REG[dst], TMP)

    # --------------------------------------------------------------------------------------------------------- linking
    @classmethod
    def patch(cls, code: bytearray, relocation: Relocation, base: int, value: int) -> None:
        at = relocation.offset
        value += relocation.addend
        word = int.from_bytes(code[at : at + 4], "little")
        rd = word & 31
        if relocation.form.startswith("mov_"):
            code[at : at + 4] = move_part(rd, value, int(relocation.form[4:]))
        elif relocation.form == "branch26":
            code[at : at + 4] = R["bl"].encode([s64(value - base - at)])
        else:
            raise JitError(f"aarch64 has no relocation form '{relocation.form}'")
