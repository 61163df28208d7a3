"""Global functions: checked at the call against their prototype, and once by themselves.

Source: kernel/bpf/verifier.c `btf_check_func_arg_match`, `do_check_common`; kernel/bpf/btf.c `btf_prepare_func_args`.
"""

from __future__ import annotations

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.walk import EINVAL, Refuse, Walk


def look_at(w: Walk, subprog: int) -> bool:
    """Say what is odd about a function's prototype; False when it will not do (`btf_prepare_func_args`)."""
    proto = w.subprogs[subprog].prototype
    if proto is None:
        return True
    if proto.odd:
        w.say(proto.odd)
    return not proto.errno


def insist(w: Walk, subprog: int) -> None:
    """A global function whose prototype will not do is refused."""
    proto = w.subprogs[subprog].prototype
    if not look_at(w, subprog) and proto is not None:
        raise Refuse(proto.errno)


def check_arguments(w: Walk, subprog: int) -> None:
    """r1-r5 at a call of a global function."""
    sub = w.subprogs[subprog]
    if sub.unreliable or not look_at(w, subprog) or sub.args is None:
        raise _invalid(w, subprog)
    regs = w.state.frames[-1].regs
    for i, (kind, size) in enumerate(sub.args):
        reg = regs[i + 1]
        if kind == "any":
            if reg.kind != rs.SCALAR:
                w.say(f"R{i + 1} is not a scalar")
                raise _invalid(w, subprog)
        elif kind == "ctx":
            if reg.kind != rs.CTX:
                w.say(f"arg#{i} expects pointer to ctx")
                raise _invalid(w, subprog)
        elif kind.startswith("mem"):
            _memory(w, i, size, kind == "mem?", subprog)


def _invalid(w: Walk, subprog: int) -> Refuse:
    return w.refuse(f"Caller passes invalid args into func#{subprog} ('{w.subprogs[subprog].name}')", EINVAL)


def _memory(w: Walk, i: int, size: int, nullable: bool, subprog: int) -> None:
    from bpfbench.verifier.arguments import memory
    from bpfbench.verifier.branch import settled

    regs = w.state.frames[-1].regs
    reg = regs[i + 1]
    if reg.is_null:
        return
    may_be_null = bool(reg.kind & rs.MAYBE_NULL)
    try:
        if may_be_null:
            regs[i + 1] = settled(reg)
        memory(w, i + 1, size, False, True, None)
        memory(w, i + 1, size, True, True, None)
    except Refuse:
        raise _invalid(w, subprog) from None
    finally:
        if may_be_null:
            regs[i + 1] = reg
    if may_be_null and not nullable:
        w.say(f"arg#{i} is expected to be non-NULL")
        raise _invalid(w, subprog)
