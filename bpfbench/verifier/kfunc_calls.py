"""Calls of kernel functions: named by a type id in the kernel's BTF.

Without the kernel's type information only a call of nothing (type id 0) can be judged: the kernel skips it in the
walk and refuses the program afterwards if the call is still there.

Source: kernel/bpf/verifier.c `check_kfunc_call`, `fixup_kfunc_call`.
"""

from __future__ import annotations

from bpfbench.errors import VerifierError, Where
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier.walk import EINVAL, Walk


def call_kfunc(w: Walk, insn: Instruction) -> None:
    """call kfunc"""
    if insn.imm == 0:
        return
    raise VerifierError(f"not supported: call of kernel function {insn.imm} needs the kernel's type information",
                        Where(pc=w.pc))


def check_eliminated(w: Walk) -> None:
    """A call of nothing that some path reaches is still there when calls are linked, and is refused."""
    for insn, aux in zip(w.insns, w.aux, strict=True):
        if insn is not None and insn.kind == ops.CALL_KFUNC and not insn.imm and aux.seen:
            raise w.refuse("invalid kernel function call not eliminated in verifier pass", EINVAL)
