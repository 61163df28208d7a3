"""x86-64: moves and arithmetic.

Two-operand instructions with destructive results; division needs rax and rdx, shifts by a register need rcx, so those
are saved around them.  Registers and frame are told in `x64.py`.

Source: arch/x86/net/bpf_jit_comp.c.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from bpfbench.bits import s32
from bpfbench.isa import ops
from bpfbench.jit.target import Target

# isort: off
from bpfbench.machine.x64 import (
    R11, RAX, RCX, RDX, R, both,
)  # fmt: skip
# isort: on

AUX: Final = R11
_ALU_NAMES: Final = {ops.ADD: "add", ops.SUB: "sub", ops.AND: "and", ops.OR: "or", ops.XOR: "xor"}
ALU_RR: Final = {fn: both(f"{n}_rr") for fn, n in _ALU_NAMES.items()}
ALU_RB: Final = {fn: both(f"{n}_rb") for fn, n in _ALU_NAMES.items()}
ALU_RI: Final = {fn: both(f"{n}_ri") for fn, n in _ALU_NAMES.items()}
ALU_AI: Final = {fn: both(f"{n}_ai") for fn, n in _ALU_NAMES.items()}
_SHIFT_NAMES: Final = {ops.LSH: ("shl", "shlx"), ops.RSH: ("shr", "shrx"), ops.ARSH: ("sar", "sarx")}
SHIFT_R1: Final = {fn: both(f"{n}_r1") for fn, (n, _) in _SHIFT_NAMES.items()}
SHIFT_RI: Final = {fn: both(f"{n}_ri") for fn, (n, _) in _SHIFT_NAMES.items()}
SHIFT_RC: Final = {fn: both(f"{n}_rc") for fn, (n, _) in _SHIFT_NAMES.items()}
SHIFT_X: Final = {fn: both(x) for fn, (_, x) in _SHIFT_NAMES.items()}
MOVSX: Final = {(w, b): R[f"movsx_{w}_{b}"] for w, b in ((64, 8), (64, 16), (64, 32), (32, 8), (32, 16))}
MOV_RR: Final = both("mov_rr")
IMUL_RR: Final = both("imul_rr")
IMUL_RB: Final = both("imul_rb")
IMUL_RI: Final = both("imul_ri")
NEG: Final = both("neg_r")
DIV: Final = both("div_r")
IDIV: Final = both("idiv_r")
BSWAP: Final = both("bswap_r")


def imm8(value: int) -> bool:
    return -128 <= value <= 127


@mypyc_attr(allow_interpreted_subclasses=True)
class X64Arithmetic(Target):
    """Moves and arithmetic of the target; the rest is in `x64.py`."""

    reg: list[int]                      # eBPF register -> machine register

    # ----------------------------------------------------------------------------------------------------------- moves
    def mov_reg(self, wide: bool, dst: int, src: int) -> None:
        if not wide or dst != src:
            self.emit(MOV_RR[wide], self.reg[dst], self.reg[src])

    def mov_imm(self, wide: bool, dst: int, imm: int) -> None:
        self.emit_mov_imm(wide, self.reg[dst], imm)

    def emit_mov_imm(self, wide: bool, reg: int, imm: int) -> None:
        if wide and s32(imm) < 0:
            self.emit(R["mov_ri64s"], reg, s32(imm))
        elif imm == 0:
            self.emit(R["xor_rr32"], reg, reg)
        else:
            self.emit(R["mov_ri32"], reg, imm & 0xFFFF_FFFF)

    def mov_sx(self, wide: bool, bits: int, dst: int, src: int) -> None:
        self.emit(MOVSX[64 if wide else 32, bits], self.reg[dst], self.reg[src])

    def mov_wide(self, dst: int, value: int) -> None:
        if value <= 0xFFFF_FFFF:
            self.emit_mov_imm(False, self.reg[dst], value)
        elif self.at_least(6, 12) and value >= 0xFFFF_FFFF_8000_0000:
            self.emit_mov_imm(True, self.reg[dst], s32(value))
        else:
            self.emit(R["movabs"], self.reg[dst], value)

    def mov_address(self, dst: int, kind: str, symbol: str, addend: int) -> None:
        """A map is anywhere, a function within the 2 GB of kernel text and modules, whose addresses sign-extend."""
        if kind == "function" and self.at_least(6, 12) and not self.has("user_space"):
            self.relocate(self.here + 3, 4, kind, symbol, "abs32", addend)
            self.emit(R["mov_ri64s"], self.reg[dst], 0)
            return
        self.relocate(self.here + 2, 8, kind, symbol, "abs64", addend)
        self.emit(R["movabs"], self.reg[dst], 0)

    # ------------------------------------------------------------------------------------------------------ arithmetic
    def alu_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        self.emit(ALU_RR[fn][wide], self.reg[dst], self.reg[src])

    def alu_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        if imm8(imm):
            self.emit(ALU_RB[fn][wide], self.reg[dst], imm)
        elif dst == 0:
            self.emit(ALU_AI[fn][wide], imm)
        else:
            self.emit(ALU_RI[fn][wide], self.reg[dst], imm)

    def mul_reg(self, wide: bool, dst: int, src: int) -> None:
        self.emit(IMUL_RR[wide], self.reg[dst], self.reg[src])

    def mul_imm(self, wide: bool, dst: int, imm: int) -> None:
        row = IMUL_RB[wide] if imm8(imm) else IMUL_RI[wide]
        self.emit(row, self.reg[dst], self.reg[dst], imm)

    def div_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        divisor = self.reg[src]
        self.emit_div_save(dst)
        if divisor in (RAX, RDX):
            self.emit(MOV_RR[1], AUX, divisor)
            divisor = AUX
        self.emit_division(fn, wide, dst, divisor)

    def div_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        self.emit_div_save(dst)
        self.emit(R["mov_ri64s"], AUX, imm)
        self.emit_division(fn, wide, dst, AUX)

    def emit_div_save(self, dst: int) -> None:
        if dst != 0:
            self.emit(R["push"], RAX)
        if dst != 3:
            self.emit(R["push"], RDX)

    def emit_division(self, fn: int, wide: bool, dst: int, divisor: int) -> None:
        """rdx:rax / divisor leaves the quotient in rax and the remainder in rdx."""
        if dst != 0:
            self.emit(MOV_RR[wide], RAX, self.reg[dst])
        if fn in (ops.SDIV, ops.SMOD):
            self.emit(R["cqo"] if wide else R["cdq"])
            self.emit(IDIV[wide], divisor)
        else:
            self.emit(R["xor_rr32"], RDX, RDX)
            self.emit(DIV[wide], divisor)
        if fn in (ops.MOD, ops.SMOD) and dst != 3:
            self.emit(MOV_RR[wide], self.reg[dst], RDX)
        elif fn in (ops.DIV, ops.SDIV) and dst != 0:
            self.emit(MOV_RR[wide], self.reg[dst], RAX)
        if dst != 3:
            self.emit(R["pop"], RDX)
        if dst != 0:
            self.emit(R["pop"], RAX)

    def shift_reg(self, fn: int, wide: bool, dst: int, src: int) -> None:
        if self.has("bmi2") and src != 4:
            self.emit(SHIFT_X[fn][wide], self.reg[dst], self.reg[dst], self.reg[src])
            return
        if not self.at_least(6, 2):
            self.shift_before_62(fn, wide, dst, src)
        elif src == 4:
            self.emit(SHIFT_RC[fn][wide], self.reg[dst])
        elif dst == 4:
            self.emit(MOV_RR[1], AUX, RCX)
            self.emit(MOV_RR[1], RCX, self.reg[src])
            self.emit(SHIFT_RC[fn][wide], AUX)
            self.emit(MOV_RR[1], RCX, AUX)
        else:
            self.emit(R["push"], RCX)
            self.emit(MOV_RR[1], RCX, self.reg[src])
            self.emit(SHIFT_RC[fn][wide], self.reg[dst])
            self.emit(R["pop"], RCX)

    def shift_before_62(self, fn: int, wide: bool, dst: int, src: int) -> None:
        """Older kernels treat "amount not in rcx" and "value in rcx" apart, at the price of a needless push."""
        if dst == 4:
            self.emit(MOV_RR[1], AUX, RCX)
        if src != 4:
            self.emit(R["push"], RCX)
            self.emit(MOV_RR[1], RCX, self.reg[src])
        self.emit(SHIFT_RC[fn][wide], AUX if dst == 4 else self.reg[dst])
        if src != 4:
            self.emit(R["pop"], RCX)
        if dst == 4:
            self.emit(MOV_RR[1], RCX, AUX)

    def shift_imm(self, fn: int, wide: bool, dst: int, imm: int) -> None:
        if imm == 1:
            self.emit(SHIFT_R1[fn][wide], self.reg[dst])
        else:
            self.emit(SHIFT_RI[fn][wide], self.reg[dst], imm & 0xFF)

    def neg(self, wide: bool, dst: int) -> None:
        self.emit(NEG[wide], self.reg[dst])

    def byte_order(self, fn: int, bits: int, dst: int) -> None:
        reg = self.reg[dst]
        if fn == ops.LE:
            if bits == 16:
                self.emit(R["movzx_32_16"], reg, reg)
            elif bits == 32:
                self.emit(MOV_RR[0], reg, reg)
            return
        if bits == 16:
            self.emit(R["ror_ri16"], reg, 8)
            self.emit(R["movzx_32_16"], reg, reg)
        else:
            self.emit(BSWAP[bits == 64], reg)
