"""Open-coded iterators: `new`, then `next` until it gives null, then `destroy`.

An iterator lives in stack slots that only its own functions may touch.  The verifier knows that it must be destroyed
(a reference), and whether the last `next` gave something:

      new ──> active ── next gives a value ──> active, depth + 1      (walked later)
                     └─ next gives null ────> drained                 (walked at once)
      destroy, in any state ──> the slots are empty again

A loop is walked until an iteration begins in a state that an earlier one covers.  For that to happen, numbers that
differ from the iteration before and do not matter exactly are forgotten (widen.py); the checkpoint at every call of
`next` is what iterations are compared with.

Source: kernel/bpf/verifier.c `process_iter_arg`, `process_iter_next_call`, `mark_stack_slots_iter`.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.verifier import dynptr
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.branch import settled
from bpfbench.verifier.kfuncs import Kfunc, KfuncArg
from bpfbench.verifier.paths import push
from bpfbench.verifier.references import acquire, release_reference
from bpfbench.verifier.regstate import RegState, Special
from bpfbench.verifier.scalar import ZERO
from bpfbench.verifier.stack_range import mark_slot_read
from bpfbench.verifier.state import EMPTY, ITER, Frame, Slot, State
from bpfbench.verifier.walk import EFAULT, EINVAL, EPROTO, Walk
from bpfbench.verifier.widen import previous_entry, widen

ACTIVE: Final = 1
DRAINED: Final = 2
ALL_ITER: Final = bytes([ITER]) * 8


@final
class Place:
    """Where an iterator is: frame and slot, the reference it holds, whether what it gives is protected by RCU."""

    __slots__ = ("frame", "spi", "ref", "rcu")

    def __init__(self, frame: int, spi: int, ref: int, rcu: bool) -> None:
        self.frame = frame
        self.spi = spi
        self.ref = ref
        self.rcu = rcu


def argument(w: Walk, r: int, reg: RegState, func: Kfunc, arg: KfuncArg) -> Place:
    """The iterator that a call makes, moves or ends."""
    n = r - 1
    name = arg.struct.removeprefix("bpf_iter_")
    slots = max(arg.size // 8, 1)
    if reg.kind != rs.STACK:
        raise w.refuse(f"arg#{n} expected pointer to an iterator on stack", EINVAL)
    if "iter_new" in func.flags:
        return _make(w, r, reg, func, name, slots)
    frame = w.state.frames[reg.frame]
    spi = dynptr.slot_of(w, reg, "iter", slots)
    problem = EINVAL if spi < 0 else _not_one(frame, spi, name, slots)
    if problem == EPROTO:
        raise w.refuse(f"expected an RCU CS when using {func.name}", EPROTO)
    if problem:
        raise w.refuse(f"expected an initialized iter_{name} as arg #{n}", problem)
    for i in range(slots):
        if w.k.liveness == 1:
            w.scratched_slots |= 1 << (spi - i)
        mark_slot_read(w, frame, spi - i, w.k.liveness == 1)
    saved = frame.stack[spi].reg
    place = Place(reg.frame, spi, saved.ref, bool(saved.kind & rs.RCU))
    if "iter_destroy" in func.flags:
        release_reference(w, saved.ref)
        for i in range(slots):
            frame.stack[spi - i] = EMPTY
        _written(w, frame, spi, slots)
    return place


def _make(w: Walk, r: int, reg: RegState, func: Kfunc, name: str, slots: int) -> Place:
    from bpfbench.verifier.memory import access

    spi = dynptr.slot_of(w, reg, "iter", slots)
    frame = w.state.frames[reg.frame]
    if spi == dynptr.BAD or (spi >= 0 and any(ITER in frame.stack[spi - i].types for i in range(slots))):
        raise w.refuse(f"expected uninitialized iter_{name} as arg #{r - 1}", EINVAL)
    for i in range(slots):
        access(w, r, 8 * i, 8, True, -1, False, False)
    frame = w.state.frames[reg.frame]
    spi = dynptr.slot_of(w, reg, "iter", slots)
    ref = acquire(w)
    kind = rs.STACK
    if "rcu_protected" in func.flags:
        kind |= rs.RCU if _in_rcu(w) else rs.UNTRUSTED
    for i in range(slots):
        held = RegState(kind, ZERO, ref=ref if i == 0 else 0, special=Special("iter", i == 0, ACTIVE, 0, name))
        frame.stack[spi - i] = Slot(ALL_ITER, held)
    _written(w, frame, spi, slots)
    return Place(reg.frame, spi, 0, False)


def _in_rcu(w: Walk) -> bool:
    """Programs that cannot sleep run in a read-side critical section."""
    return True


def _written(w: Walk, frame: Frame, spi: int, slots: int) -> None:
    mask = ((1 << slots) - 1) << (spi - slots + 1)
    w.scratched_slots |= mask
    if w.k.liveness == 1:
        w.live_stack.write(frame.number, mask)  # type: ignore[attr-defined]
    else:
        for i in range(slots):
            frame.stack_live[spi - i] |= 4


def _not_one(frame: Frame, spi: int, name: str, slots: int) -> int:
    for i in range(slots):
        slot = frame.stack[spi - i]
        held = slot.reg
        if held.kind & rs.UNTRUSTED:
            return EPROTO
        if bool(held.ref) != (i == 0) or held.special is None or held.special.name != name or slot.types != ALL_ITER:
            return EINVAL
    return 0


def next_call(w: Walk, place: Place) -> None:
    """`next` gives a value, walked later, or null (`process_iter_next_call`)."""
    state = w.state
    now = _held(state, place)
    assert now.special is not None
    if now.special.state == ACTIVE:
        here = state.parent
        if here is None or here.pc != w.pc:
            raise w.refuse("bug: bad parent state for iter next call", EFAULT)
        old = previous_entry(w, here, w.pc)
        queued = push(w, w.pc + 1, w.pc, False)
        _change(queued, place, ACTIVE, now.special.depth + 1)
        if old is not None:
            widen(w, old, queued)
        regs = queued.frames[-1].regs
        regs[0] = settled(regs[0])
    _change(state, place, DRAINED, now.special.depth)
    state.frames[-1].regs[0] = RegState(rs.SCALAR, ZERO, precise=w.unknown_reg.precise)


def _held(state: State, place: Place) -> RegState:
    return state.frames[place.frame].stack[place.spi].reg


def _change(state: State, place: Place, to: int, depth: int) -> None:
    stack = state.frames[place.frame].stack
    slot = stack[place.spi]
    old = slot.reg.special
    assert old is not None
    stack[place.spi] = Slot(slot.types, slot.reg.with_special(Special(old.type, old.first, to, depth, old.name)))


def active_at(state: State, reg: RegState) -> bool:
    """Does the register point to an iterator that is not drained?"""
    if reg.kind != rs.STACK:
        return False
    from bpfbench.verifier.scalar import s64

    spi = (-(reg.off + s64(reg.scalar.v)) - 1) >> 3
    stack = state.frames[reg.frame].stack
    special = stack[spi].reg.special if 0 <= spi < len(stack) else None
    return special is not None and special.state == ACTIVE
