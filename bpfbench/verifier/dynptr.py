"""Dynamic pointers on the stack: two slots that only helpers may touch.

A dynamic pointer (to memory of run-time size: a map value, a ring buffer record, a packet) lives in 16 bytes of stack.
The verifier knows where it is, of what type, and for a ring buffer that it must be released; overwriting one forgets it
together with every slice that was taken from it.

      fp-16  second slot   DYN DYN … (not first)
      fp-8   first slot    DYN DYN … id, type, reference        (spi of the pointer passed is the higher slot number)

Source: kernel/bpf/verifier.c `mark_stack_slots_dynptr`, `destroy_if_dynptr_stack_slot` and neighbours.
"""

from __future__ import annotations

from typing import Final

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import RegState, Special
from bpfbench.verifier.scalar import ZERO, s64
from bpfbench.verifier.state import DYN, EMPTY, Frame, Ref, Slot
from bpfbench.verifier.walk import EFAULT, EINVAL, Walk

ALL_DYN: Final = bytes([DYN]) * 8
BAD: Final = -1             # not a place for one
OUTSIDE: Final = -2         # a place not yet allocated


def slot_of(w: Walk, reg: RegState, what: str = "dynptr", slots: int = 2) -> int:
    """Number of the first slot of the object that a stack pointer points to, BAD (with a message) or OUTSIDE."""
    if reg.scalar.m:
        w.say(f"{what} has to be at a constant offset")
        return BAD
    off = reg.off + s64(reg.scalar.v)
    if off % 8:
        w.say(f"cannot pass in {what} at an offset={off}")
        return BAD
    spi = (-off - 1) >> 3 if off < 0 else -((off + 1) >> 3)         # rounded towards zero
    if spi + 1 < slots:
        w.say(f"cannot pass in {what} at an offset={off}")
        return BAD
    if spi - slots + 1 < 0 or spi >= len(w.state.frames[reg.frame].stack):
        return OUTSIDE
    return spi


def ref_counted(type: str) -> bool:
    return type == "ringbuf"


def make(w: Walk, reg: RegState, type: str, clone_ref: int = 0) -> None:
    """Turn two slots into a dynamic pointer."""
    frame = w.state.frames[reg.frame]
    spi = slot_of(w, reg)
    if spi < 0:
        raise w.refuse("", EINVAL)
    destroy_dynptr_slot(w, frame, spi)
    destroy_dynptr_slot(w, frame, spi - 1)
    id = w.new_id() if w.k.dynptr_tracked else 0
    ref = 0
    if ref_counted(type):
        if clone_ref:
            ref = clone_ref
        else:
            ref = w.new_id()
            w.state.refs.append(Ref(ref, w.pc))
    own = 1 if w.k.version >= (6, 3) else 0         # shares its place with `first`, and is shown so
    frame.stack[spi] = Slot(ALL_DYN, RegState(rs.DYNPTR, ZERO, id=id, ref=ref, dynptr=own,
                                              special=Special(type, True)))
    frame.stack[spi - 1] = Slot(ALL_DYN, RegState(rs.DYNPTR, ZERO, id=id, ref=ref, dynptr=own,
                                                  special=Special(type, False)))
    mark_written(w, frame, spi)


def mark_written(w: Walk, frame: Frame, spi: int) -> None:
    if w.k.liveness == 1:
        w.live_stack.write(frame.number, 3 << (spi - 1))  # type: ignore[attr-defined]
    else:
        frame.stack_live[spi] |= 4
        frame.stack_live[spi - 1] |= 4


def mark_read(w: Walk, frame: Frame, spi: int) -> None:
    from bpfbench.verifier.stack_range import mark_slot_read

    if w.k.liveness == 1:
        w.scratched_slots |= 3 << (spi - 1)
    mark_slot_read(w, frame, spi, w.k.liveness == 1)
    mark_slot_read(w, frame, spi - 1, w.k.liveness == 1)


def forget(w: Walk, frame: Frame, spi: int) -> None:
    frame.stack[spi] = EMPTY
    frame.stack[spi - 1] = EMPTY
    mark_written(w, frame, spi)


def release(w: Walk, reg: RegState) -> None:
    """A helper consumed the dynamic pointer; clones of the same resource die with it (`unmark_stack_slots_dynptr`)."""
    frame = w.state.frames[reg.frame]
    spi = slot_of(w, reg)
    saved = frame.stack[spi].reg
    if saved.special is None or not ref_counted(saved.special.type):
        forget(w, frame, spi)
        return
    ref = saved.ref
    from bpfbench.verifier.references import release_reference

    release_reference(w, ref)
    for i in range(1, len(frame.stack)):
        slot = frame.stack[i]
        if slot.reg.ref != ref or slot.types[0] != DYN:
            continue
        if slot.reg.special is not None and slot.reg.special.first:
            forget(w, frame, i)


def destroy_dynptr_slot(w: Walk, frame: Frame, spi: int) -> None:
    """A store hits the slot: a dynamic pointer in it is gone, with its slices (`destroy_if_dynptr_stack_slot`)."""
    slot = frame.stack[spi]
    if slot.types[0] != DYN or not w.k.dynptr_tracked:
        return
    special = slot.reg.special
    if special is None:
        raise w.refuse("verifier bug: dynptr slot without type", EFAULT)
    if not special.first:
        spi += 1
        slot = frame.stack[spi]
    if ref_counted(special.type):
        raise w.refuse("cannot overwrite referenced dynptr", EINVAL)
    w.scratched_slots |= 3 << (spi - 1)
    id = slot.reg.id
    invalid = w.unknown_reg if w.allow_ptr_leaks else rs.UNINIT
    for f in w.state.frames:
        for i, reg in enumerate(f.regs):
            if reg.kind in (rs.MEM, rs.MEM | rs.MAYBE_NULL) and reg.dynptr == id:
                f.regs[i] = invalid
        for i, other in enumerate(f.stack):
            if other.spilled and other.reg.kind in (rs.MEM, rs.MEM | rs.MAYBE_NULL) and other.reg.dynptr == id:
                f.stack[i] = Slot(other.types, invalid)
    frame.stack[spi] = EMPTY
    frame.stack[spi - 1] = EMPTY
    mark_written(w, frame, spi)


def is_uninit(w: Walk, reg: RegState) -> bool:
    if reg.kind == rs.DYNPTR:
        return False
    if not w.k.dynptr_tracked:
        spi = slot_of(w, reg)
        stack = w.state.frames[reg.frame].stack
        return spi < 0 or not (DYN in stack[spi].types or DYN in stack[spi - 1].types)
    return slot_of(w, reg) != BAD


def is_init(w: Walk, reg: RegState) -> bool:
    if reg.kind == rs.DYNPTR:
        return True
    spi = slot_of(w, reg)
    if spi < 0:
        return False
    frame = w.state.frames[reg.frame]
    first, second = frame.stack[spi], frame.stack[spi - 1]
    if first.types != ALL_DYN or second.types != ALL_DYN:
        return False
    return first.reg.special is not None and first.reg.special.first


def saved(w: Walk, reg: RegState) -> RegState:
    """The register state that describes an initialised dynamic pointer."""
    if reg.kind == rs.DYNPTR:
        return reg
    return w.state.frames[reg.frame].stack[slot_of(w, reg)].reg
