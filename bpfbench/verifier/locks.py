"""Spin locks and timers inside map values.

Source: kernel/bpf/verifier.c `process_spin_lock`, `process_timer_func`.
"""

from __future__ import annotations

from bpfbench.verifier.arguments import Call
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import s64
from bpfbench.verifier.walk import EACCES, EINVAL, Walk


def _field_at(w: Walk, r: int, reg: RegState, kind: str) -> None:
    name = f"bpf_{kind}"
    if reg.scalar.m:
        raise w.refuse(f"R{r} doesn't have constant offset. {name} has to be at the constant offset", EINVAL)
    m = reg.map
    if m is None or not m.has_btf:
        raise w.refuse(f"map '{m.name if m is not None else ''}' has to have BTF in order to use {name}",
                       EINVAL if w.k.version >= (6, 2) else EACCES)
    at = m.field(kind)
    if at < 0:
        raise w.refuse(f"map '{m.name}' has no valid {name}", EINVAL)
    off = s64(reg.scalar.v) + reg.off
    if off != at:
        raise w.refuse(f"off {off} doesn't point to 'struct {name}' that is at {at}", EINVAL)


def spin_lock(w: Walk, r: int, reg: RegState, lock: bool) -> None:
    _field_at(w, r, reg, "spin_lock")
    state = w.state
    target = f"map{reg.map.index}" if reg.map is not None else reg.struct
    if lock:
        if state.active_locks:
            raise w.refuse("Locking two bpf_spin_locks are not allowed", EINVAL)
        state.active_locks += 1
        state.lock_id, state.lock_target = reg.id, target
        return
    if not state.active_locks:
        raise w.refuse("bpf_spin_unlock without taking a lock", EINVAL)
    if state.lock_target != target or state.lock_id != reg.id:
        raise w.refuse("bpf_spin_unlock of different lock", EINVAL)
    state.active_locks -= 1
    state.lock_id, state.lock_target = 0, ""


def timer(w: Walk, r: int, reg: RegState, call: Call) -> None:
    _field_at(w, r, reg, "timer")
    call.map, call.map_uid = reg.map, reg.map_uid
