"""Checkpoints: when a path may end because an earlier one covers it.

At the instructions where paths meet, the state is compared with the checkpoints left there.  If a finished checkpoint
is as general as the state in everything that still matters, what follows was already walked, and the path ends:

      checkpoint   r1 = scalar(umax=20)    r2 not live           state   r1 = 7    r2 = ctx()        covered
      checkpoint   r1 = P5 (precise)                             state   r1 = 7                      not covered

Otherwise the state may become a checkpoint itself; the kernel does that only every few instructions and jumps, and
drops checkpoints that keep failing to match.  A state equal to one that is still being walked is an infinite loop.

Sources: kernel/bpf/verifier.c `is_state_visited`, `clean_verifier_state`, `propagate_precision`; slides 32, 33.
"""

from __future__ import annotations

from typing import Final

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.compare import EXACT, LOOSE, RANGE, Comparison
from bpfbench.verifier.jump_history import push_step
from bpfbench.verifier.log import state_text
from bpfbench.verifier.paths import add_backedge, enter_loop, incomplete, maybe_free, peak
from bpfbench.verifier.precision import Wanted, all_imprecise, all_precise, walk_back
from bpfbench.verifier.regstate import UNINIT
from bpfbench.verifier.state import (
    EMPTY,
    ITER,
    Slot,
    State,
)  # fmt: skip
from bpfbench.verifier.walk import EINVAL, SccVisit, Walk

MAX_STATES: Final = 64          # BPF_COMPLEXITY_LIMIT_STATES
MAX_ROUNDS: Final = 64

def clean(w: Walk, st: State) -> None:
    """Forget in a finished checkpoint what nothing after it reads (`clean_verifier_state`)."""
    st.cleaned = True
    live = w.live_stack
    live.ask(w, st)  # type: ignore[attr-defined]
    for number, frame in enumerate(st.frames):
        regs = w.live[st.frame_pc(number)]
        for i in range(10):
            if not regs >> i & 1:
                frame.regs[i] = UNINIT
        alive = live.alive(w, st, number)  # type: ignore[attr-defined]
        for i in range(len(frame.stack)):
            if not alive >> i & 1:
                frame.stack[i] = EMPTY


def _clean_finished(w: Walk, at: list[State], pc: int) -> None:
    if not w.k.live:
        return
    if w.k.liveness == 0:
        from bpfbench.verifier.chain import clean_finished

        clean_finished(w, at, pc)
        return
    for st in at:
        if st.branches or st.pc != pc or st.cleaned or not st.same_callsites(w.state) or incomplete(w, st):
            continue
        clean(w, st)


# The decision -------------------------------------------------------------------------------------------------------


def visited(w: Walk, pc: int) -> bool:
    """At a pruning point: True if the path may end here; else perhaps leaves a checkpoint (`is_state_visited`)."""
    k = w.k
    if k.slides:
        from bpfbench.verifier.slides import visited as visited_plainly

        return visited_plainly(w, pc)
    state = w.state
    aux = w.aux[pc]
    force = aux.checkpoint or w.keeps_all or (k.history_limit > 0 and len(state.history) > k.history_limit)
    add = force or (w.jmps - w.prev_jmps >= 2 and w.processed - w.prev_processed >= 8)
    key = ((pc ^ state.frames[-1].callsite) & 0xFFFFFFFF) % len(w.insns)
    at = w.explored.get(key)
    if at is None:
        at = w.explored[key] = []
    if not k.pruning:
        return _without_pruning(w, pc, at, add)
    _clean_finished(w, at, pc)
    count = 0
    i = 0
    while i < len(at):
        old = at[i]
        count += 1
        i += 1
        if old.pc != pc:
            continue
        loop = False
        hit = False
        if old.branches:
            verdict = _being_walked(w, pc, old, state)
            if verdict == _HIT:
                hit = True
                loop = not aux.calls_callback or (w.k.callback_loops and k.scc)
            else:
                if verdict == _THROTTLE and not force and w.jmps - w.prev_jmps < 20 and \
                        w.processed - w.prev_processed < 100:
                    add = False
        else:
            if k.scc:
                loop = incomplete(w, old)
            elif k.version >= (6, 7):
                from bpfbench.verifier.chain import unfinished_loop

                loop = unfinished_loop(old)
            compare = Comparison(w, RANGE if loop else LOOSE)
            hit = compare.states(old, state)
            if not hit and w.observer is not None:
                w.observer.kept(w.processed, pc, old, state, compare.why)
        if hit:
            _hit(w, pc, old, state, loop)
            return True
        if add:
            old.misses += 1
        n = 64 if aux.checkpoint and old.branches > 0 and k.version >= (6, 7) else 3
        if old.misses > old.hits * n + n:
            i -= 1
            del at[i]
            _evict(w, old)
    if count > w.max_states_per_insn:
        w.max_states_per_insn = count
    if not w.bpf_capable and count > MAX_STATES:
        return False
    if add:
        leave_checkpoint(w, pc, at)
    return False


_MISS: Final = 0
_HIT: Final = 1
_THROTTLE: Final = 2


def _being_walked(w: Walk, pc: int, old: State, state: State) -> int:
    """`old` has unfinished paths, and this one came through it: a loop."""
    k = w.k
    frame = old.frames[-1]
    aux = w.aux[pc]
    if frame.in_async and frame.async_entry != state.frames[-1].async_entry:
        return _THROTTLE
    if aux.iter_next:
        if Comparison(w, RANGE).states(old, state):
            from bpfbench.verifier.iterators import active_at

            if active_at(state, state.frames[-1].regs[1]):
                return _HIT
        return _THROTTLE
    if aux.checkpoint and not aux.calls_callback and w.insns[pc] is not None and _is_may_goto(w, pc):
        if old.may_goto != state.may_goto and Comparison(w, RANGE).states(old, state):
            return _HIT
    if aux.calls_callback and k.callbacks_as_loops:
        return _HIT if Comparison(w, RANGE).states(old, state) else _THROTTLE
    if _maybe_looping(old, state) and Comparison(w, EXACT).states(old, state) and old.may_goto == state.may_goto \
            and old.callback_unroll == state.callback_unroll and not _depths_differ(old, state):
        if w.observer is not None:
            w.observer.loop(w.processed, pc, state)
        w.say(f"infinite loop detected at insn {pc}")
        if w.log is not None and w.k.state_ids:
            last = len(state.frames) - 1
            w.log.parts.append("cur state:" + state_text(state, last, k.log_gen, True, 0, 0) + "\n")
            w.log.parts.append("old state:" + state_text(old, last, k.log_gen, True, 0, 0) + "\n")
        from bpfbench.verifier.walk import Refuse

        raise Refuse(EINVAL)
    return _THROTTLE


def _is_may_goto(w: Walk, pc: int) -> bool:
    from bpfbench.isa import ops

    insn = w.insns[pc]
    return insn is not None and insn.kind == ops.MAY_GOTO


def _maybe_looping(old: State, state: State) -> bool:
    if len(old.frames) != len(state.frames):
        return False
    for a, b in zip(old.frames[-1].regs, state.frames[-1].regs, strict=True):
        if a is not b and not (a.same_but_ids(b) and a.id == b.id and a.ref == b.ref):
            return False
    return True


def _depths_differ(old: State, state: State) -> bool:
    """Another iteration of an open-coded iterator is no repetition (`iter_active_depths_differ`)."""
    for a, b in zip(old.frames, state.frames, strict=True):
        for i, slot in enumerate(a.stack):
            if slot.types[0] == ITER and slot.reg.special is not None and slot.reg.special.state == 1 \
                    and i < len(b.stack):
                other = b.stack[i].reg.special
                if other is not None and other.depth != slot.reg.special.depth:
                    return True
    return False


def _hit(w: Walk, pc: int, old: State, state: State, loop: bool) -> None:
    old.hits += 1
    if w.observer is not None:
        w.observer.prune(w.processed, pc, old, state)
        if loop:
            w.observer.loop(w.processed, pc, state)
    if w.k.liveness == 0:
        from bpfbench.verifier.chain import covered

        covered(w, old, state, loop)
    if w.aux[pc].jmp_point:
        push_step(w, 0, -1, 0, ())
    propagate(w, old, state)
    if loop and w.k.scc:
        edge = state.fork()
        edge.equal = old
        edge.pc = pc
        add_backedge(w, old, edge)


def propagate(w: Walk, old: State, state: State) -> bool:
    """What the checkpoint depends on, the path that it covers depends on too (`propagate_precision`)."""
    if not w.k.subprog_history:
        _propagate_61(w, old)
        return False
    wanted = Wanted(len(old.frames) - 1)
    verbose = w.log is not None and w.log.level >= 2
    chain = w.k.liveness == 0
    for number in range(len(old.frames) - 1, -1, -1):
        frame = old.frames[number]
        names: list[str] = []
        for i in range(10):
            reg = frame.regs[i]
            if reg.kind == rs.SCALAR and reg.precise and not (chain and not frame.live[i] & 3):
                wanted.regs[number] |= 1 << i
                names.append(f"r{i}")
        for i, slot in enumerate(frame.stack):
            if slot.spilled_scalar and slot.reg.precise and not (chain and not frame.stack_live[i] & 3):
                wanted.slots[number] |= 1 << i
                names.append(f"fp-{(i + 1) * 8}")
        if verbose and names and w.log is not None:
            w.log.line(f"frame {number}: propagating {','.join(names)}")
    return walk_back(w, state, wanted, True)


def _propagate_61(w: Walk, old: State) -> None:
    """One register and slot after the other."""
    from bpfbench.verifier.precision_61 import mark_chain_61

    verbose = w.log is not None and w.log.level >= 2
    for number in range(len(old.frames) - 1, -1, -1):
        frame = old.frames[number]
        for i in range(10):
            if frame.regs[i].kind == rs.SCALAR and frame.regs[i].precise and frame.live[i] & 3:
                if verbose and w.log is not None:
                    w.log.line(f"frame {number}: propagating r{i}")
                mark_chain_61(w, number, i, -1)
        for i, slot in enumerate(frame.stack):
            if slot.spilled_scalar and slot.reg.precise and frame.stack_live[i] & 3:
                if verbose and w.log is not None:
                    w.log.line(f"frame {number}: propagating fp-{(i + 1) * 8}")
                mark_chain_61(w, number, -1, i)


def propagate_backedges(w: Walk, visit: SccVisit) -> None:
    """The ends of a loop depend on what its beginning depends on, until nothing changes."""
    rounds = 0
    changed = True
    while changed and visit.backedges:
        rounds += 1
        if rounds > MAX_ROUNDS + 1:
            for edge in visit.backedges:
                all_precise(w, edge, w.log is not None and w.log.level >= 2)
            break
        changed = False
        for edge in visit.backedges:
            assert edge.equal is not None
            changed |= propagate(w, edge.equal, edge)
    visit.backedges = []


def _evict(w: Walk, old: State) -> None:
    old.listed = False
    if w.k.liveness == 0:
        from bpfbench.verifier.chain import evicted

        evicted(w, old)
        return
    w.free_count += 1
    w.explored_count -= 1
    maybe_free(w, old)


def leave_checkpoint(w: Walk, pc: int, at: list[State]) -> None:
    """Keep the current state as a checkpoint."""
    state = w.state
    w.total_states += 1
    if w.k.liveness == 1:
        w.explored_count += 1
        peak(w)
    else:
        w.peak_states += 1
    w.prev_jmps = w.jmps
    w.prev_processed = w.processed
    if w.bpf_capable and w.k.imprecise and w.k.precision:
        all_imprecise(state)
    if w.k.singular_ids:
        clear_singular_ids(state)
    new = state.fork()
    new.pc = pc
    new.number = w.checkpoint_count
    new.listed = True
    w.checkpoint_count += 1
    w.just_kept = True
    if w.k.scc:
        enter_loop(w, new)
    state.parent = new
    state.first = pc
    state.depth = new.depth + 1
    state.history = []
    if w.k.liveness == 0:
        from bpfbench.verifier.chain import start_marks

        start_marks(new, state)
    at.insert(0, new)
    if w.observer is not None:
        w.observer.keep(w.processed, pc, new)


def clear_singular_ids(state: State) -> None:
    """A number that shares its id with no other needs none."""
    counts: dict[int, int] = {}
    for frame in state.frames:
        for reg in frame.regs:
            if reg.kind == rs.SCALAR and reg.id:
                counts[reg.id & ~rs.ADD_CONST] = counts.get(reg.id & ~rs.ADD_CONST, 0) + 1
        for slot in frame.stack:
            if slot.spilled_scalar and slot.reg.id:
                counts[slot.reg.id & ~rs.ADD_CONST] = counts.get(slot.reg.id & ~rs.ADD_CONST, 0) + 1
    if 1 not in counts.values():
        return
    for frame in state.frames:
        for i, reg in enumerate(frame.regs):
            if reg.kind == rs.SCALAR and reg.id and counts[reg.id & ~rs.ADD_CONST] == 1:
                frame.regs[i] = reg.with_link(0, 0)
        for i, slot in enumerate(frame.stack):
            if slot.spilled_scalar and slot.reg.id and counts[slot.reg.id & ~rs.ADD_CONST] == 1:
                frame.stack[i] = Slot(slot.types, slot.reg.with_link(0, 0))


def _without_pruning(w: Walk, pc: int, at: list[State], add: bool) -> bool:
    """The experiment: every path to its end, but a loop that repeats its state is still refused."""
    for old in at:
        if old.pc == pc and old.branches:
            _being_walked(w, pc, old, w.state)
    if add:
        leave_checkpoint(w, pc, at)
    return False
