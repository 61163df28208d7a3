"""What every code generator takes for granted of a program, checked once before the first sweep.

A verifier would have refused all of it; programs that no verifier has seen are compiled as well, to look at their code.
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import JitError, Where
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.jit.partition import Function

MAX_REGISTER: Final = 11
JUMPS: Final = (ops.JMP, ops.JMP32, ops.JA, ops.MAY_GOTO)


def check(insns: list[Instruction | None]) -> None:
    """What every target takes for granted: clean instructions, registers that exist, writes that r10 does not see."""
    if not insns:
        raise JitError("the program is empty")
    wide = False
    for pc, insn in enumerate(insns):
        if insn is None:
            if not wide:
                raise JitError("the second half of a wide load stands alone", Where(pc=pc))
            wide = False
            continue
        if wide:
            raise JitError("the second half of a wide load is missing", Where(pc=pc - 1))
        if insn.flaw:
            raise JitError(f"not a valid instruction: {insn.flaw}", Where(pc=pc))
        if not 0 <= insn.dst <= MAX_REGISTER or not 0 <= insn.src <= MAX_REGISTER:
            raise JitError(f"register r{max(insn.dst, insn.src)} does not exist", Where(pc=pc))
        wide = insn.op.wide
    if wide:
        raise JitError("the second half of a wide load is missing", Where(pc=len(insns) - 1))


def check_jumps(insns: list[Instruction | None], functions: list[Function]) -> None:
    """Jumps stay in their function and land on instructions."""
    for f in functions:
        for pc in range(f.start, f.end):
            insn = insns[pc]
            if insn is None or insn.kind not in JUMPS:
                continue
            to = pc + 1 + insn.jump
            if not f.start <= to < f.end or insns[to] is None:
                raise JitError(f"jump to slot {to}, which is not an instruction of this function", Where(pc=pc))
