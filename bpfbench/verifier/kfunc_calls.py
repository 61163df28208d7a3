"""Calls of kernel functions: named by a type id in the kernel's BTF.

Without the kernel's type information only a call of nothing (type id 0) can be judged: the kernel skips it in the walk and
refuses the program afterwards if the call is still there.

Source: kernel/bpf/verifier.c `check_kfunc_call`, `fixup_kfunc_call`.
"""

from __future__ import annotations

from bpfbench.errors import VerifierError, Where
from bpfbench.isa.insn import Instruction
from bpfbench.verifier.walk import Walk


def call_kfunc(w: Walk, insn: Instruction) -> None:
    """call kfunc"""
    if insn.imm == 0:
        return
    raise VerifierError(f"not supported: call of kernel function {insn.imm} needs the kernel's type information",
                        Where(pc=w.pc))
