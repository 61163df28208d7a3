"""Code generators as they were before a published bug was fixed, each a target with one method less right.

`compile_program(prog, target, fault=NAME)` compiles with one of them; nothing else ever does.

| name              | target  | what was wrong                                                                       |
|-------------------|---------|--------------------------------------------------------------------------------------|
| `CVE-2021-29154`  | x86_64  | passes end when the length is the same; nobody checks that the addresses are         |
| `x64-first-insn`  | x86_64  | a jump to instruction 0 goes to the start of the image, into the prologue            |
| `x64-store-rbp`   | x86_64  | storing the low byte of r10 names ch instead of bpl: the REX byte is missing         |
| `a32-shift-zero`  | arm     | r >>= 0 is encoded as a shift by 32                                                  |
| `rv64-upper-half` | riscv64 | 32-bit sums and differences are sign-extended to 64 bits instead of zero-extended    |
| `ppc64-negate`    | ppc64   | r -= -2147483648 adds the constant's negation, which does not fit 32 bits            |
| `CVE-2021-38300`  | mips64  | a conditional branch beyond 128 KiB keeps the low 16 bits of its distance            |

Source: the commits named in `FAULTS`; arch/*/net/bpf_jit_comp*.c before and after them.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.errors import UsageError
from bpfbench.isa import ops
from bpfbench.jit.a32 import A32Target
from bpfbench.jit.a32_arithmetic import LSR_I, ORR_LSL_I, SHIFT
from bpfbench.jit.mips64 import ALWAYS, NEVER, Mips64Target
from bpfbench.jit.pair import Pair
from bpfbench.jit.ppc64 import Ppc64Target
from bpfbench.jit.ppc64_arithmetic import ALU
from bpfbench.jit.ppc64_arithmetic import REG as PPC_REG
from bpfbench.jit.rv64 import Rv64Target
from bpfbench.jit.target import Target
from bpfbench.jit.x64 import X64Target
from bpfbench.machine.rv64 import RV64
from bpfbench.machine.x64 import JCC8, JCC32, RBP, R
from bpfbench.machine.x86 import Form

AL: Final = 14                          # ARM's condition "always"
STORE_CH: Final = Form("store1_ch", "88 /5 disp", "mov byte ptr [{base:r64}{disp:d}], ch")


class FirstInsn(X64Target):
    """The array of offsets had no entry for the beginning of the first instruction, only for ends."""

    def jump(self, target: int) -> None:
        begin = self.offsets[0]
        if target == 0:
            self.offsets[0] = 0
        super().jump(target)
        self.offsets[0] = begin

    def emit_branch(self, condition: str, target: int, start: int) -> None:
        begin = self.offsets[0]
        if target == 0:
            self.offsets[0] = 0
        super().emit_branch(condition, target, start)
        self.offsets[0] = begin


class Displacement(X64Target):
    """Short jumps reached all of a signed byte, and the written image was not compared with the addresses it was for."""

    def emit_jump(self, distance: int) -> None:
        self.emit(R["jmp8"] if -128 <= distance <= 127 else R["jmp32"], distance)

    def emit_branch(self, condition: str, target: int, start: int) -> None:
        distance = self.offsets[target] - self.offsets[self.pc + 1]
        self.emit((JCC8 if -128 <= distance <= 127 else JCC32)[condition], distance)


class StoreRbp(X64Target):
    """Only rdi and rsi were known to need a REX byte for their low byte; without one, number 5 is ch."""

    def store(self, size: int, dst: int, off: int, src: int) -> None:
        if size == 1 and self.reg[src] == RBP and self.reg[dst] < 8:
            self.emit(STORE_CH, self.reg[dst], off)
        else:
            super().store(size, dst, off, src)


class ShiftZero(A32Target):
    """The amount 0 in a shift right means 32, and 32 - 0 spills out of its field into the register's number."""

    def shift_right_by(self, fn: int, rd: Pair, n: int) -> None:
        if n:
            super().shift_right_by(fn, rd, n)
            return
        t = self.temp2.lo
        self.emit(LSR_I, AL, t, rd.lo, 0)
        self.emit(ORR_LSL_I, AL, rd.lo | 1, t, rd.hi, 0)
        self.emit(SHIFT[fn][1], AL, rd.hi, rd.hi, 0)


class UpperHalf(Rv64Target):
    """addw and subw sign-extend; eBPF wants the upper half clear."""

    def combine(self, fn: int, wide: bool, rd: int, rs: int) -> None:
        if wide or fn not in (ops.ADD, ops.SUB):
            super().combine(fn, wide, rd, rs)
        else:
            self.emit(RV64.row("addw" if fn == ops.ADD else "subw"), rd, rd, rs)


class Negate(Ppc64Target):
    """Subtracting was adding the negated constant, also where the negation overflows."""

    def alu_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        if fn == ops.SUB and imm == -0x8000_0000:
            self.by_constant(ALU[ops.ADD], PPC_REG[dst], imm)
            self.truncate(wide, dst)
        else:
            super().alu_imm(fn, wide, dst, imm)


class Reach(Mips64Target):
    """Nobody asked whether the distance fits: what the encoder took was its low 16 bits, in words."""

    def prepare(self, cond: int, target: int) -> tuple[int, int]:
        if self.offsets[self.pc] == 0 or cond in (NEVER, ALWAYS):
            return super().prepare(cond, target)
        self.taken = True
        words = (self.offsets[target] - self.offsets[self.pc + 1] + 4) >> 2 & 0xFFFF
        return cond, 4 * (words - 0x10000 if words & 0x8000 else words)


@final
class Fault:
    """A row: the target it is about, the class to compile with, the commit that fixed it, the kernels that had it."""

    __slots__ = ("name", "target", "made", "commit", "kernels")

    def __init__(self, name: str, target: str, made: type[Target], commit: str, kernels: str) -> None:
        self.name = name
        self.target = target
        self.made = made
        self.commit = commit
        self.kernels = kernels

    def __repr__(self) -> str:
        return f"<{self.name} ({self.target}): fixed by {self.commit}>"


#          name               target     class       fixed by        kernels
FAULTS: Final[dict[str, Fault]] = {f.name: f for f in (
    Fault("CVE-2021-29154",  "x86_64",  Displacement, "e4d4d456436b", "up to 5.11"),
    Fault("x64-first-insn",  "x86_64",  FirstInsn, "7c2e988f400e", "up to 5.2"),
    Fault("x64-store-rbp",   "x86_64",  StoreRbp,  "aee194b14dd2", "up to 5.6"),
    Fault("a32-shift-zero",  "arm",     ShiftZero, "bb9562cf5c67", "4.14 to 5.6"),
    Fault("rv64-upper-half", "riscv64", UpperHalf, "1e692f09e091", "5.1"),
    Fault("ppc64-negate",    "ppc64",   Negate,    "5855c4c1f415", "up to 5.14"),
    Fault("CVE-2021-38300",  "mips64",  Reach,     "37cb28ec7d3a", "3.16 to 5.14"),
)}  # fmt: skip


def faulty_class(target: str, name: str) -> type[Target]:
    """The target with the named bug; UsageError if there is none of that name, or on another target."""
    fault = FAULTS.get(name)
    if fault is None:
        raise UsageError(f"unknown code generator bug '{name}'; known: {', '.join(FAULTS)}")
    if fault.target != target:
        raise UsageError(f"the bug '{name}' is one of {fault.target}, not of {target}")
    return fault.made
