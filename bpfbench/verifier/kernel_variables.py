"""Addresses of kernel variables and functions: wide loads with source 3, which name a type in the kernel's BTF.

| what the type is | the register then points to |
|---|---|
| a variable of a structure type | that structure |
| any other variable | memory of its size, only to be read |
| a variable that every CPU has its own of | the same, to be made an address by bpf_per_cpu_ptr or bpf_this_cpu_ptr |
| a function | memory of no size |

Source: kernel/bpf/verifier.c `check_pseudo_btf_id`, `check_ld_imm`.
"""

from __future__ import annotations

from bpfbench.elf.btf_types import FUNC, STRUCT, UNION, VAR
from bpfbench.errors import VerifierError, Where
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.kernel_btf import per_cpu, variable_type
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import ZERO
from bpfbench.verifier.walk import EINVAL, ENOENT, Walk


def find(w: Walk, pc: int, id: int, module: int) -> None:
    """Is there such a variable?  Before the walk."""
    btf = w.btf
    if btf is None:
        raise VerifierError("not supported: address of a kernel variable needs the kernel's type information",
                            Where(pc=pc))
    if module:          # the number of an open file, which a program at rest does not have
        raise w.refuse("invalid module BTF object FD specified.", EINVAL)
    if not 0 <= id < len(btf):
        raise w.refuse(f"ldimm64 insn specifies invalid btf_id {id}.", ENOENT)
    if btf.kind_of(id) not in (VAR, FUNC):
        kinds = "KIND_VAR or KIND_FUNC" if w.k.version >= (6, 9) else "KIND_VAR."
        raise w.refuse(f"pseudo btf_id {id} in ldimm64 isn't {kinds}", EINVAL)


def address(w: Walk, id: int) -> RegState:
    """What the register holds."""
    btf = w.btf
    assert btf is not None
    if btf.kind_of(id) == FUNC:
        return RegState(rs.MEM | rs.RDONLY, ZERO)
    target = variable_type(btf, id)
    t = btf.type(target)
    if per_cpu(btf, id):
        return RegState(rs.BTF_ID | rs.PERCPU, ZERO, struct=t.name)
    if t.kind in (STRUCT, UNION):
        return RegState(rs.BTF_ID, ZERO, struct=t.name)
    return RegState(rs.MEM | rs.RDONLY, ZERO, size=btf.size_of(target))
