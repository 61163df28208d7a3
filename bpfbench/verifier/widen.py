"""Loops that must converge: forgetting what an iteration changed.

A loop through an iterator, a callback or `may_goto` is walked until its state repeats.  A counter would keep it from
ever repeating; so where a number differs from the previous iteration's and nobody depends on it exactly, it becomes
unknown.

Source: kernel/bpf/verifier.c `find_prev_entry`, `widen_imprecise_scalars`.
"""

from __future__ import annotations

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.state import Slot, State
from bpfbench.verifier.walk import Walk


def previous_entry(w: Walk, state: State, pc: int) -> State | None:
    """The checkpoint at `pc` of the iteration before (`find_prev_entry`)."""
    st = state.parent
    while st is not None and not (st.pc == pc and st.same_callsites(state)):
        st = st.parent
    return st


def widen(w: Walk, old: State, state: State) -> None:
    """Make unknown what differs and is not depended on."""
    for old_frame, frame in zip(old.frames, state.frames, strict=False):
        for i in range(10):
            fresh = _widened(w, old_frame.regs[i], frame.regs[i])
            if fresh is not None:
                frame.regs[i] = fresh
        for i, slot in enumerate(frame.stack):
            if i >= len(old_frame.stack):
                break
            other = old_frame.stack[i]
            if not slot.spilled or not other.spilled:
                continue
            fresh = _widened(w, other.reg, slot.reg)
            if fresh is not None:
                frame.stack[i] = Slot(slot.types, fresh)


def _widened(w: Walk, old: RegState, new: RegState) -> RegState | None:
    if old.kind != rs.SCALAR or new.kind != rs.SCALAR:
        return None
    if old.precise or new.precise or (old.same_but_ids(new) and _same_ids(old, new)):
        return None
    return w.unknown_reg


def _same_ids(old: RegState, new: RegState) -> bool:
    """`regs_exact` with an empty id map: an id on either side must be one on the other."""
    return bool(old.id) == bool(new.id) and bool(old.ref) == bool(new.ref)
