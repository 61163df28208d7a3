"""Stretches of the stack: within the frame, and set before a helper or a load with an unknown offset uses them.

      bpf_map_lookup_elem(map, r10 - 4)     the four bytes of the key must have been written
      bpf_probe_read(r10 - 16, 16, …)       raw: they may be uninitialized, the helper writes them

Sources: kernel/bpf/verifier.c `check_stack_access_within_bounds`, `check_stack_range_initialized`; slides 18, 19.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.verifier import regstate as rs
from bpfbench.verifier import slides
from bpfbench.verifier.log import tnum_text
from bpfbench.verifier.scalar import s64
from bpfbench.verifier.state import DYN, INVALID, MISC, ZEROED, Frame, Slot
from bpfbench.verifier.walk import EACCES, EFAULT, EINVAL, Refuse, Walk

MAX_STACK: Final = 512
MAX_VAR_OFF: Final = 1 << 29


def mark_slot_read(w: Walk, frame: Frame, spi: int, static: bool) -> None:
    if static:
        w.live_stack.read(w, frame.number, w.pc, 1 << spi)  # type: ignore[attr-defined]
    elif w.k.liveness == 0:
        from bpfbench.verifier.chain import mark_slot

        mark_slot(w, frame, spi)


def check_bounds(w: Walk, ptr: int, off: int, size: int, helper: bool, write: bool) -> None:
    """Does the access stay inside the stack?  Grows it as needed (`check_stack_access_within_bounds`)."""
    if w.k.slides:
        slides.stack_bounds(w, ptr, off, size, write)
        return
    reg = w.state.frames[-1].regs[ptr]
    frame = w.state.frames[reg.frame]
    helper_words = helper and w.k.version < (6, 13)
    extra = " indirect access to" if helper_words else " write to" if write else " read from"
    s = reg.scalar
    if s.m == 0:
        low = s64(s.v) + off
        high = low + size
    else:
        if s.smax >= MAX_VAR_OFF or s.smin <= -MAX_VAR_OFF:
            raise w.refuse(f"invalid unbounded variable-offset{extra} stack R{ptr}")
        low, high = s.smin + off, s.smax + off + size
    least = -MAX_STACK if write or (w.allow_uninit and w.k.stack_grows) else -8 * len(frame.stack)
    errno = EACCES if low < least or low > -1 else EINVAL if high > 0 else EFAULT if size < 0 else 0
    if errno:
        if s.m == 0:
            w.say(f"invalid{extra} stack R{ptr} off={off} size={size}")
        else:
            w.say(f"invalid variable-offset{extra} stack R{ptr} var_off={tnum_text(s.v, s.m, w.k.log_gen)} "
                  + (f"off={off} " if w.k.state_ids else "") + f"size={size}")
        raise Refuse(errno)
    if -low > 8 * len(frame.stack) and (w.k.stack_grows or (write and not helper)):
        frame.grow(-low)
    depth = w.subprogs[frame.subprog]
    if -low > depth.stack_depth:
        depth.stack_depth = -low


@final
class RawWrite:
    """Set by `initialized` when a helper will write the memory: how much, through which register."""

    __slots__ = ("raw", "size", "reg")

    def __init__(self, raw: bool) -> None:
        self.raw = raw
        self.size = 0
        self.reg = 0


def initialized(w: Walk, ptr: int, off: int, size: int, zero_ok: bool, helper: bool, meta: RawWrite | None,
                writes: bool = False) -> None:
    """May a helper (or a load with a variable offset) use these stack bytes?  (`check_stack_range_initialized`)"""
    if w.k.slides:
        if slides.helper_memory(w, ptr, size, zero_ok, meta is not None and meta.raw) and meta is not None:
            meta.size, meta.reg = size, ptr
        return
    reg = w.state.frames[-1].regs[ptr]
    frame = w.state.frames[reg.frame]
    s = reg.scalar
    extra = " indirect" if helper and w.k.version < (6, 13) else ""
    if size == 0 and not zero_ok:
        raise w.refuse("invalid zero-sized read")
    clobber = helper and (writes or w.k.version < (6, 13))
    if w.k.version >= (6, 13):
        bound_write = writes
    else:
        bound_write = helper
    check_bounds(w, ptr, off, size, helper, bound_write)
    if s.m == 0:
        low = high = s64(s.v) + off
    else:
        if not w.bypass_v1:
            raise w.refuse(f"R{ptr}{extra} variable offset stack access prohibited for !root, "
                           f"var_off={tnum_text(s.v, s.m, w.k.log_gen)}")
        if meta is not None and meta.raw:
            meta = None
        low, high = s.smin + off, s.smax + off
    if meta is not None and meta.raw:
        for at in range(low, high + size):
            byte = -at - 1
            if byte < 8 * len(frame.stack) and frame.stack[byte >> 3].types[byte & 7] == DYN:
                raise w.refuse(f"potential write to dynptr at off={at} disallowed")
        meta.size = size
        meta.reg = ptr
        return
    for at in range(low, high + size):
        byte = -at - 1
        spi = byte >> 3
        if byte >= 8 * len(frame.stack):
            if s.m == 0:
                raise w.refuse(f"invalid{extra} read from stack R{ptr} off {low}+{at - low} size {size}")
            raise w.refuse(f"invalid{extra} read from stack R{ptr} var_off {tnum_text(s.v, s.m, w.k.log_gen)}"
                           f"+{at - low} size {size}")
        slot = frame.stack[spi]
        kind = slot.types[byte & 7]
        if kind == MISC:
            pass
        elif kind == ZEROED or (kind == INVALID and w.allow_uninit):
            if clobber:
                types = bytearray(slot.types)
                types[byte & 7] = MISC
                frame.stack[spi] = Slot(bytes(types), slot.reg)
        elif slot.spilled and (slot.reg.kind == rs.SCALAR or w.allow_ptr_leaks):
            if clobber:
                frame.stack[spi] = Slot(bytes(INVALID if t == INVALID else MISC for t in slot.types), w.unknown_reg)
        elif s.m == 0:
            raise w.refuse(f"invalid{extra} read from stack R{ptr} off {low}+{at - low} size {size}")
        else:
            raise w.refuse(f"invalid{extra} read from stack R{ptr} var_off {tnum_text(s.v, s.m, w.k.log_gen)}"
                           f"+{at - low} size {size}")
        mark_slot_read(w, frame, spi, w.k.liveness == 1)
