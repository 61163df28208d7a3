"""Resources: what a program acquires it has to give back.

A helper that returns a socket or a ring buffer record hands out a *reference*; every path must release it before the
program ends.  The reference is an id; registers and slots that stand for the resource carry it in `ref`, so that
releasing one forgets all copies, and a check for null on one settles all.

Source: kernel/bpf/verifier.c `acquire_reference`, `release_reference`, `check_resource_leak`.
"""

from __future__ import annotations

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.state import REF_PTR, Ref, Slot, State
from bpfbench.verifier.walk import EINVAL, Refuse, Walk


def acquire(w: Walk) -> int:
    """A new reference, acquired by the current instruction."""
    id = w.new_id()
    frame = w.frame
    w.state.refs.append(Ref(id, w.pc, REF_PTR, "", frame.number if frame.in_callback else 0))
    return id


def drop(state: State, id: int) -> bool:
    """Take the reference off the books; was it there?"""
    for i, ref in enumerate(state.refs):
        if ref.id == id and ref.kind == REF_PTR:
            # The kernel before 6.14 moves the last entry into the gap.
            del state.refs[i]
            return True
    return False


def invalid(w: Walk) -> RegState:
    """What a register becomes when what it pointed to is gone."""
    return w.unknown_reg if w.allow_ptr_leaks else rs.UNINIT


def release_reference(w: Walk, id: int) -> bool:
    """Release, and forget every copy; False if the reference was not held."""
    if not drop(w.state, id):
        return False
    gone = invalid(w)
    for frame in w.state.frames:
        for i, reg in enumerate(frame.regs):
            if reg.ref == id:
                frame.regs[i] = gone
        for i, slot in enumerate(frame.stack):
            if slot.spilled and slot.reg.ref == id:
                frame.stack[i] = Slot(slot.types, gone)
    return True


def check_leak(w: Walk, exception: bool = False) -> None:
    """Nothing may be left when the program ends (`check_reference_leak`)."""
    frame = w.frame
    if w.k.resource_text:
        if not exception and frame.number:
            return
    elif not exception and frame.number and not frame.in_callback:
        return
    leaked = False
    for ref in w.state.refs:
        if ref.kind != REF_PTR:
            continue
        if not w.k.resource_text and not exception and frame.in_callback and ref.frame != frame.number:
            continue
        w.say(f"Unreleased reference id={ref.id} alloc_insn={ref.insn}")
        leaked = True
    if leaked:
        raise Refuse(EINVAL)


def check_resources(w: Walk, exception: bool, locks_too: bool, where: str) -> None:
    """References, and for `locks_too` locks and other critical sections, at `where` (`check_resource_leak`)."""
    st = w.state
    if locks_too and st.active_locks:
        raise w.refuse(f"{where} cannot be used inside bpf_spin_lock-ed region", EINVAL)
    try:
        check_leak(w, exception)
    except Refuse:
        raise w.refuse(f"{where} would lead to reference leak", EINVAL) from None
    if locks_too and st.irq_id:
        raise w.refuse(f"{where} cannot be used inside bpf_local_irq_save-ed region", EINVAL)
    if locks_too and st.rcu_locks:
        raise w.refuse(f"{where} cannot be used inside bpf_rcu_read_lock-ed region", EINVAL)
    if locks_too and st.preempt_locks:
        raise w.refuse(f"{where} cannot be used inside bpf_preempt_disable-ed region", EINVAL)
