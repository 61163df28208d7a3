"""Small rewritings of the instruction list, each by its own pass.

    register_init   r6 = r1 at the start          removed: nobody can read a context pointer from a register
    negate          r1 += -5  ->  r1 -= 5         small constants are operands of eight bits, others need an immed
    mask_after_load r0 = packet[..]; r0 &= 0xff   removed: the load clears what the mask clears
    shift_after_load ..; r0 <<= 32; r0 >>= 32     removed for the same reason
    extension       r1 <<= 32; r1 >>= 35  ->  w1 >>= 3                     ours: what LLVM makes of unsigned int
    power_of_two    r1 *= 8  ->  r1 <<= 3         ours: a product takes 4 to 8 instructions
    byte_masks      r1 &= 0xffff00                ours: ld_field keeps bytes, without a constant in a register

Source of the first four: `nfp_bpf_opt_reg_init`, `_neg_add_sub`, `_ld_mask`, `_ld_shift` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP
from bpfbench.nfp.notes import Step

INT_MIN: Final = -(1 << 31)
HALF: Final = 32
CLASSIC: Final = (ops.LD_ABS, ops.LD_IND)
MASKS: Final = {1: 0xFF, 2: 0xFFFF, 4: -1}
NEGATABLE: Final = (ops.JGE, ops.JSGE, ops.JLT, ops.JSLT)


def register_init(steps: list[Step], driver: bool) -> None:
    for s in steps:
        insn = s.insn
        if s.removed or insn.kind == ops.ALU64 and insn.op.fn == ops.XOR and not insn.op.imm and insn.dst == insn.src:
            continue
        if insn.kind == ops.ALU64 and insn.op.fn == ops.MOV and not insn.op.imm and (insn.dst, insn.src) == (6, 1):
            s.merge("the context pointer is not kept in a register")
            continue
        break


def negate(steps: list[Step], driver: bool) -> None:
    """The constant -2^31 has no opposite; the driver negates it all the same."""
    for s in steps:
        insn = s.insn
        if s.removed or not insn.op.imm or insn.imm >= 0 or insn.imm == INT_MIN and not driver:
            continue
        opposite = -insn.imm if insn.imm != INT_MIN else INT_MIN
        if insn.kind in (ops.JMP, ops.JMP32) and insn.op.fn in NEGATABLE:
            s.negated = True
            s.insn = Instruction(insn.op, insn.dst, insn.src, insn.off, opposite)
        elif insn.kind in (ops.ALU64, ops.ALU32) and insn.op.fn in (ops.ADD, ops.SUB):
            name = "SUB" if insn.op.fn == ops.ADD else "ADD"
            op = OP[f"{name}{64 if insn.kind == ops.ALU64 else 32}_K"]
            s.insn = Instruction(op, insn.dst, insn.src, insn.off, opposite)


def _is(s: Step, fn: int, imm: int) -> bool:
    insn = s.insn
    return insn.kind == ops.ALU64 and insn.op.fn == fn and insn.op.imm and insn.imm == imm and insn.dst == 0


def mask_after_load(steps: list[Step], driver: bool) -> None:
    for load, mask in zip(steps, steps[1:]):
        if load.insn.kind in CLASSIC and not mask.target and _is(mask, ops.AND, MASKS[load.insn.op.fn]):
            mask.merge("the load clears these bits")


def shift_after_load(steps: list[Step], driver: bool) -> None:
    for load, one, two in zip(steps, steps[1:], steps[2:]):
        if load.insn.kind not in CLASSIC or load.insn.op.fn != 4 or one.target or two.target:
            continue
        left = _is(one, ops.LSH, 32) and _is(two, ops.RSH, 32)
        right = _is(one, ops.RSH, 32) and _is(two, ops.LSH, 32) and driver      # gives 0, not the loaded word
        if left or right:
            one.merge("the load clears the upper half")
            two.merge("the load clears the upper half")


def extension(steps: list[Step], driver: bool) -> None:
    """r <<= 32; r >>= 32 + n is a 32-bit shift by n with the upper half cleared, or filled with the sign."""
    for one, two in zip(steps, steps[1:]):
        if driver or one.removed or two.removed or two.target or one.insn.dst != two.insn.dst:
            continue
        right = "RSH32_K" if _shifts(two, ops.RSH) else "ARSH32_K" if _shifts(two, ops.ARSH) else ""
        if right and _shifts(one, ops.LSH) and one.insn.imm == HALF and two.insn.imm >= HALF:
            one.extend = "zero" if right == "RSH32_K" else "sign"
            one.insn = Instruction(OP[right], one.insn.dst, imm=two.insn.imm - HALF)
            two.merge("its predecessor extends the lower half")


def _shifts(s: Step, fn: int) -> bool:
    return s.insn.kind == ops.ALU64 and s.insn.op.fn == fn and s.insn.op.imm


def power_of_two(steps: list[Step], driver: bool) -> None:
    for s in steps:
        insn = s.insn
        if driver or s.removed or insn.kind not in (ops.ALU64, ops.ALU32) or insn.op.fn != ops.MUL or not insn.op.imm:
            continue
        if insn.imm > 0 and insn.imm & insn.imm - 1 == 0:
            op = OP["LSH64_K" if insn.kind == ops.ALU64 else "LSH32_K"]
            s.insn = Instruction(op, insn.dst, insn.src, insn.off, insn.imm.bit_length() - 1)


def byte_masks(steps: list[Step], driver: bool) -> None:
    for s in steps:
        insn = s.insn
        s.bytes = (not driver and insn.kind in (ops.ALU64, ops.ALU32) and insn.op.fn == ops.AND and insn.op.imm
                   and all(insn.imm >> at & 0xFF in (0, 0xFF) for at in (0, 8, 16, 24)))  # fmt: skip
