"""Checkpoints: when a path may end because an earlier one covers it.

At the instructions where paths meet, the state is compared with the checkpoints left there.  If a finished checkpoint is
as general as the state in everything that still matters, what follows was already walked, and the path ends:

      checkpoint   r1 = scalar(umax=20)    r2 not live           state   r1 = 7    r2 = ctx()        covered
      checkpoint   r1 = P5 (precise)                             state   r1 = 7                      not covered

Otherwise the state may become a checkpoint itself; the kernel does that only every few instructions and jumps, and drops
checkpoints that keep failing to match.  A state equal to one that is still being walked is an infinite loop.

| level | how a register must match |
|---|---|
| LOOSE | imprecise numbers match anything |
| EXACT | the same, up to ids |
| RANGE | every number within the checkpoint's range, whether precise or not: for loops |

Sources: kernel/bpf/verifier.c `is_state_visited`, `states_equal`, `regsafe`, `stacksafe`; slides 32, 33.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.history import push_step
from bpfbench.verifier.log import state_text
from bpfbench.verifier.paths import add_backedge, enter_loop, incomplete, maybe_free, peak
from bpfbench.verifier.precision import Wanted, all_imprecise, all_precise, walk_back
from bpfbench.verifier.regstate import UNINIT, RegState
from bpfbench.verifier.state import (
    ALL_SPILL,
    DYN,
    EMPTY,
    INVALID,
    IRQ,
    ITER,
    MISC,
    SPILL,
    ZEROED,
    Frame,
    Slot,
    State,
)  # fmt: skip
from bpfbench.verifier.walk import EINVAL, SccVisit, Walk

LOOSE: Final = 0
EXACT: Final = 1
RANGE: Final = 2

MAX_STATES: Final = 64          # BPF_COMPLEXITY_LIMIT_STATES
MAX_ROUNDS: Final = 64

_MEMORY_KINDS: Final = frozenset((rs.MAP_KEY, rs.MAP_VALUE, rs.MEM, rs.BUF, rs.TP_BUFFER))


@final
class Ids:
    """Which id of the checkpoint stands for which id of the state (`struct bpf_idmap`)."""

    __slots__ = ("old", "new", "next", "lenient")

    def __init__(self, next: int) -> None:
        self.old: dict[int, int] = {}
        self.new: dict[int, int] = {}
        self.next = next

    def match(self, old: int, new: int) -> bool:
        """Same relation as before, or a new pair; both must be ids or neither."""
        if not old or not new:
            return old == new
        known = self.old.get(old)
        if known is not None:
            return known == new
        if new in self.new:
            return False
        self.old[old] = new
        self.new[new] = old
        return True

    def match_number(self, old: int, new: int) -> bool:
        """Ids of numbers: a checkpoint without one matches any; a state without one gets a fresh one."""
        if not old:
            return True
        if not new:
            self.next += 1
            new = self.next
        if not self.match(old, new):
            return False
        if old & rs.ADD_CONST:
            return self.match(old & ~rs.ADD_CONST, new & ~rs.ADD_CONST)
        return True


@final
class Comparison:
    """A checkpoint against a state; `why` names the first difference."""

    __slots__ = ("w", "level", "ids", "why")

    def __init__(self, w: Walk, level: int) -> None:
        self.w = w
        self.level = level
        self.ids = Ids(w.id_gen)
        self.why = ""

    def no(self, why: str) -> bool:
        self.why = why
        return False

    def states(self, old: State, new: State) -> bool:
        """Does `old` cover `new`? (`states_equal`)"""
        if len(old.frames) != len(new.frames):
            return self.no("call depth")
        if old.speculative and not new.speculative:
            return self.no("speculative")
        if old.sleepable != new.sleepable:
            return self.no("sleepable")
        if self.w.k.resource_text and not self.resources(old, new):
            return False
        if not self.w.k.resource_text and not self.locks(old, new):
            return False
        for i, old_frame in enumerate(old.frames):
            new_frame = new.frames[i]
            if not self.w.k.state_ids:
                self.ids = Ids(0)
            if old_frame.callsite != new_frame.callsite:
                return self.no("call site")
            if not self.frames(old_frame, new_frame, old.frame_pc(i)):
                return False
        if not self.w.k.resource_text and not self.references(old, new):
            return False
        return True

    def locks(self, old: State, new: State) -> bool:
        if old.lock_target != new.lock_target or bool(old.lock_id) != bool(new.lock_id):
            return self.no("lock")
        if old.lock_id and not self.ids.match(old.lock_id, new.lock_id):
            return self.no("lock")
        if old.rcu_locks != new.rcu_locks or old.preempt_locks != new.preempt_locks:
            return self.no("critical section")
        return True

    def resources(self, old: State, new: State) -> bool:
        if old.active_locks != new.active_locks or old.preempt_locks != new.preempt_locks \
                or old.rcu_locks != new.rcu_locks or not self.ids.match(old.irq_id, new.irq_id) \
                or not self.ids.match(old.lock_id, new.lock_id) or old.lock_target != new.lock_target:
            return self.no("critical section") if len(old.refs) == len(new.refs) else self.no("references")
        return self.references(old, new)

    def references(self, old: State, new: State) -> bool:
        if len(old.refs) != len(new.refs):
            return self.no("references")
        for a, b in zip(old.refs, new.refs, strict=True):
            if not self.w.k.state_ids:
                if a.id != b.id or a.insn != b.insn or a.frame != b.frame:
                    return self.no(f"reference {a.id}")
                continue
            if not self.ids.match(a.id, b.id) or a.kind != b.kind or a.target != b.target:
                return self.no(f"reference {a.id}")
        return True

    def frames(self, old: Frame, new: Frame, pc: int) -> bool:
        if old.callback_depth > new.callback_depth:
            return self.no("callback depth")
        k = self.w.k
        live = self.w.aux[pc].live if k.liveness == 1 and k.live else 0xFFFF
        chain = k.liveness == 0
        for i in range(11):
            if not live >> i & 1:
                continue
            a, b = old.regs[i], new.regs[i]
            if a is b and a.id == 0 and a.ref == 0:
                continue
            if chain and (self.level == LOOSE or not k.state_ids) and k.live and not old.live[i] & 3:
                continue
            if not self.register(a, b):
                return self.no(f"r{i}" + (f" of frame {old.number}" if old.number else ""))
        return self.stacks(old, new)

    def register(self, old: RegState, new: RegState) -> bool:
        """Does the checkpoint's register cover the state's? (`regsafe`)"""
        level = self.level
        if not self.w.k.state_ids:
            return self.register_61(old, new)
        if level == EXACT:
            return self.exact(old, new)
        if old.kind == rs.NOT_INIT:
            return self.w.k.liveness == 1 or level == LOOSE or new.kind == rs.NOT_INIT
        if old.kind != new.kind:
            return False
        base = old.kind & rs.BASE
        if base == rs.SCALAR:
            return self.number(old, new)
        if base in _MEMORY_KINDS:
            return old.same_region(new) and new.scalar.within(old.scalar) and self.ids.match(old.id, new.id) \
                and self.ids.match(old.ref, new.ref)
        if base in rs.PACKET_KINDS:
            if old.range < 0 or new.range < 0:
                if old.range != new.range:
                    return False
            elif old.range > new.range:
                return False
            return old.off == new.off and self.ids.match(old.id, new.id) and new.scalar.within(old.scalar)
        if base == rs.STACK:
            return old.frame == new.frame and self.exact(old, new)
        if base == rs.ARENA:
            return True
        return self.exact(old, new)

    def register_61(self, old: RegState, new: RegState) -> bool:
        """Before 6.3: identical states, ids and all, or a few kinds with ranges."""
        equal = old.same_but_ids(new) and old.id == new.id and old.ref == new.ref
        if old.kind == rs.STACK:
            return equal and old.frame == new.frame
        if equal or old.kind == rs.NOT_INIT:
            return True
        if new.kind == rs.NOT_INIT:
            return False
        base = old.kind & rs.BASE
        if base == rs.SCALAR:
            if self.w.explore_alu_limits or new.kind != rs.SCALAR:
                return False
            return not old.precise or new.scalar.within(old.scalar)
        if base in (rs.MAP_KEY, rs.MAP_VALUE):
            if old.kind & rs.MAYBE_NULL:
                return bool(new.kind & rs.MAYBE_NULL) and old.same_but_ids(new) and self.ids.match(old.id, new.id)
            return old.same_region(new) and new.scalar.within(old.scalar)
        if base in rs.PACKET_KINDS:
            if new.kind != old.kind:
                return False
            if old.range < 0 or new.range < 0:
                if old.range != new.range:
                    return False
            elif old.range > new.range:
                return False
            if old.off != new.off or (old.id and not self.ids.match(old.id, new.id)):
                return False
            return new.scalar.within(old.scalar)
        return False

    def exact(self, old: RegState, new: RegState) -> bool:
        return old.same_but_ids(new) and self.ids.match(old.id, new.id) and self.ids.match(old.ref, new.ref)

    def number(self, old: RegState, new: RegState) -> bool:
        k = self.w.k
        if self.w.explore_alu_limits:
            return old.same_but_ids(new) and self.ids.match_number(old.id, new.id)
        if not old.precise and self.level == LOOSE and k.precision:
            return True
        if old.id & rs.ADD_CONST:
            if not new.id & rs.ADD_CONST or old.off != new.off:
                return False
        elif old.id and new.id & rs.ADD_CONST:
            return False
        if k.state_ids and not self.ids.match_number(old.id, new.id):
            return False
        return new.scalar.within(old.scalar)

    def stacks(self, old: Frame, new: Frame) -> bool:
        """Slots of the checkpoint that matter must be covered; more slots in the state are fine (`stacksafe`)."""
        k = self.w.k
        for i, a in enumerate(old.stack):
            b = new.stack[i] if i < len(new.stack) else None
            must_equal = k.state_ids and (self.level == EXACT or (self.level == RANGE and k.liveness == 0))
            if must_equal and (b is None or a.types != b.types):
                return self.no(f"fp-{(i + 1) * 8}")
            if a is EMPTY or (b is not None and a is b and not a.spilled):
                continue
            if k.liveness == 0 and (self.level == LOOSE or not k.state_ids) and k.live and not old.stack_live[i] & 3:
                continue
            if not self.slot(a, b):
                return self.no(f"fp-{(i + 1) * 8}" + (f" of frame {old.number}" if old.number else ""))
        return True

    def slot(self, a: Slot, b: Slot | None) -> bool:
        w = self.w
        matters = [t for t in a.types if t != INVALID and not (t == MISC and w.allow_uninit)]
        if not matters:
            return True
        if b is None:
            return False
        if w.k.version >= (6, 8) and a.types[0] != INVALID and not (a.types[0] == MISC and w.allow_uninit):
            old_reg, new_reg = self.as_number(a), self.as_number(b)
            if old_reg is not None and new_reg is not None:
                return self.register(old_reg, new_reg)
        for i in range(8):
            x, y = a.types[i], b.types[i]
            if x == INVALID or (x == MISC and w.allow_uninit):
                continue
            if w.k.version >= (6, 8):
                old_reg, new_reg = self.as_number(a), self.as_number(b)
                if old_reg is not None and new_reg is not None:
                    return self.register(old_reg, new_reg)
            if x == MISC and y == ZEROED:
                continue
            if x != y:
                return False
        return self.content(a, b)

    def as_number(self, slot: Slot) -> RegState | None:
        """What a load of the whole slot would give, if that is a number (`scalar_reg_for_stack`)."""
        if slot.types == ALL_SPILL and slot.reg.kind == rs.SCALAR:
            return slot.reg
        for t in slot.types:
            if t != MISC and not (t == INVALID and self.w.allow_uninit):
                return None
        return rs.UNKNOWN_NUMBER

    def content(self, a: Slot, b: Slot) -> bool:
        top = a.types[7]
        x, y = a.reg, b.reg
        if top == SPILL:
            return self.register(x, y)
        if top == DYN:
            return x.special is not None and y.special is not None and x.special.type == y.special.type \
                and x.special.first == y.special.first and self.ids.match(x.ref, y.ref)
        if top == ITER:
            return x.special is not None and y.special is not None and x.special.name == y.special.name \
                and x.special.state == y.special.state and self.ids.match(x.ref, y.ref)
        if top == IRQ:
            return self.ids.match(x.ref, y.ref)
        return True


# Cleaning -----------------------------------------------------------------------------------------------------------


def clean(w: Walk, st: State) -> None:
    """Forget in a finished checkpoint what nothing after it reads (`clean_verifier_state`)."""
    st.cleaned = True
    live = w.live_stack
    live.ask(w, st)  # type: ignore[attr-defined]
    for number, frame in enumerate(st.frames):
        regs = w.aux[st.frame_pc(number)].live
        for i in range(10):
            if not regs >> i & 1:
                frame.regs[i] = UNINIT
        alive = live.alive(w, st, number)  # type: ignore[attr-defined]
        for i in range(len(frame.stack)):
            if not alive >> i & 1:
                frame.stack[i] = EMPTY


def _clean_finished(w: Walk, at: list[State], pc: int) -> None:
    if w.k.liveness == 0:
        from bpfbench.verifier.chain import clean_finished

        clean_finished(w, at, pc)
        return
    if not w.k.live:
        return
    for st in at:
        if st.branches or st.pc != pc or st.cleaned or not st.same_callsites(w.state) or incomplete(w, st):
            continue
        clean(w, st)


# The decision -------------------------------------------------------------------------------------------------------


def visited(w: Walk, pc: int) -> bool:
    """At a pruning point: True if the path may end here; else perhaps leaves a checkpoint (`is_state_visited`)."""
    k = w.k
    state = w.state
    aux = w.aux[pc]
    force = aux.checkpoint or (k.history_limit > 0 and len(state.history) > k.history_limit)
    add = force or (w.jmps - w.prev_jmps >= 2 and w.processed - w.prev_processed >= 8)
    key = (pc ^ state.frames[-1].callsite) % len(w.insns)
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
        _checkpoint(w, pc, at)
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
            from bpfbench.verifier.iterators import is_active

            if is_active(w):
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


def _checkpoint(w: Walk, pc: int, at: list[State]) -> None:
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
        _checkpoint(w, pc, at)
    return False
