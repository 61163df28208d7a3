"""Paths still to be walked: a stack of states, and the bookkeeping of which checkpoints are done.

A fork pushes a copy of the state; when a path ends, the youngest pending one is taken up.  Every checkpoint counts the
paths that started from it and are unfinished (`branches`); at zero everything behind it has been walked and found safe,
and only then may it stand for other paths.

Source: kernel/bpf/verifier.c `push_stack`, `pop_stack`, `update_branch_counts`, `maybe_exit_scc`; slides 29-31.
"""

from __future__ import annotations

from typing import Final

from bpfbench.verifier.state import State
from bpfbench.verifier.walk import Pending, SccVisit, Walk

MAX_PENDING: Final = 8192       # BPF_COMPLEXITY_LIMIT_JMP_SEQ


def push(w: Walk, pc: int, prev: int, speculative: bool) -> State:
    """Fork: walk from `pc` later, with a copy of the current state, which is returned."""
    state = w.state.fork()
    state.speculative = state.speculative or speculative
    w.pending.append(Pending(state, pc, prev, w.log.mark() if w.log is not None else 0))
    if w.k.slides and len(w.pending) > 1024:
        raise w.refuse("BPF program is too complex", 14)
    if len(w.pending) > MAX_PENDING:
        raise w.refuse(f"The sequence of {len(w.pending)} jumps is too complex.", w.k.full_errno)
    if state.parent is not None:
        state.parent.branches += 1
    if w.observer is not None:
        w.observer.fork(w.processed, w.pc, pc, state, speculative)
    return state


def pop(w: Walk) -> bool:
    """Take up the youngest pending path; False when there is none."""
    if not w.pending:
        return False
    item = w.pending.pop()
    w.state = item.state
    w.pc = item.pc
    w.prev = item.prev
    if w.log is not None and w.log.level == 1 and not w.k.slides:
        w.log.cut(item.log_mark)
    w.lines.clear()
    if w.observer is not None:
        w.observer.resume(w.processed, item.pc, item.prev, item.state)
    return True


def finish(w: Walk, state: State) -> None:
    """The path of `state` ended well: count down the checkpoints it came through (`update_branch_counts`)."""
    st: State | None = state
    while st is not None:
        st.branches -= 1
        if st.branches:
            break
        if w.k.scc:
            _leave_loop(w, st)
            maybe_free(w, st)
        elif w.k.version >= (6, 7) and st.parent is not None:
            from bpfbench.verifier.chain import update_loop_entry_of_parent

            update_loop_entry_of_parent(st)
        st = st.parent


def maybe_free(w: Walk, st: State) -> None:
    """A checkpoint no longer listed, with nothing behind it unfinished, is gone (`maybe_free_verifier_state`)."""
    if st.number >= 0 and not st.listed and st.branches == 0:
        w.free_count -= 1
        st.number = -2 - st.number


def peak(w: Walk) -> None:
    now = w.explored_count + w.free_count + w.backedges
    w.peak_states = max(w.peak_states, now)


# Loops (6.17 on) ----------------------------------------------------------------------------------------------------


def loop_key(w: Walk, st: State) -> tuple[int, ...] | None:
    """The outermost loop that the state is in, and the calls that lead there."""
    sites: list[int] = []
    last = len(st.frames) - 1
    for i in range(last + 1):
        pc = st.frame_pc(i)
        scc = w.scc[pc]
        if scc:
            return (*sites, -scc)
        if i == last:
            return None
        sites.append(pc)
    return None


def loop_text(key: tuple[int, ...]) -> str:
    return "(" + "".join(f"{site}," for site in key[:-1]) + f"{-key[-1]})"


def enter_loop(w: Walk, st: State) -> None:
    """A checkpoint inside a loop: the first one is what the loop is entered with (`maybe_enter_scc`)."""
    key = loop_key(w, st)
    if key is None:
        return
    visit = w.scc_visits.get(key)
    if visit is None:
        visit = w.scc_visits[key] = SccVisit()
    if visit.entry is None:
        visit.entry = st
        if w.log is not None and w.log.level >= 2:
            w.log.line(f"SCC enter {loop_text(key)}")


def _leave_loop(w: Walk, st: State) -> None:
    """Everything behind the loop's entry is walked: what its end depends on, its beginning does (`maybe_exit_scc`)."""
    key = loop_key(w, st)
    if key is None:
        return
    visit = w.scc_visits.get(key)
    if visit is None or visit.entry is not st:
        return
    if w.log is not None and w.log.level >= 2:
        w.log.line(f"SCC exit {loop_text(key)}")
    visit.entry = None
    w.backedges -= len(visit.backedges)
    peak(w)
    from bpfbench.verifier.prune import propagate_backedges

    propagate_backedges(w, visit)


def add_backedge(w: Walk, st: State, edge: State) -> None:
    key = loop_key(w, st)
    assert key is not None
    if w.log is not None and w.log.level >= 2:
        w.log.line(f"SCC backedge {loop_text(key)}")
    visit = w.scc_visits[key]
    visit.backedges.insert(0, edge)
    w.backedges += 1
    peak(w)


def incomplete(w: Walk, st: State) -> bool:
    """May the state still learn that it depends on something? (`incomplete_read_marks`)"""
    if not w.k.scc or not w.scc_visits:
        return False
    key = loop_key(w, st)
    if key is None:
        return False
    visit = w.scc_visits.get(key)
    return visit is not None and bool(visit.backedges)
