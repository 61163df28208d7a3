"""The stack: spills and fills, byte by byte.

A store to the stack either *saves* a register (an aligned store: the slot then holds everything known of it), or leaves
data: MISC bytes, or ZEROED ones where zero was stored.  A load *fills* a register from a saved one, or finds zeros, or
some data.  Bytes never written may be read by privileged programs of later kernels only.

      *(u64 *)(r10 -8) = r1        fp-8=ctx()           all of r1, pointer or number
      *(u32 *)(r10 -8) = r2        fp-8=mmmm???? …      a number's low half, kept if the number fits
      *(u8 *)(r10 -7) = r3         fp-8=mmmmmmmm        a saved pointer is gone

Sources: kernel/bpf/verifier.c `check_stack_write_fixed_off`, `check_stack_read_fixed_off` and their variable-offset
siblings, `check_stack_range_initialized`; slides 18, 19.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.verifier import regstate as rs
from bpfbench.verifier import slides
from bpfbench.verifier.dynptr import destroy_dynptr_slot
from bpfbench.verifier.jump_history import push_step
from bpfbench.verifier.log import tnum_text
from bpfbench.verifier.precision import mark_chain
from bpfbench.verifier.regstate import RegState, constant
from bpfbench.verifier.scalar import UNKNOWN, s64
from bpfbench.verifier.stack_range import initialized, mark_slot_read
from bpfbench.verifier.state import (
    ALL_SPILL,
    DYN,
    INVALID,
    ITER,
    MISC,
    SPILL,
    ZEROED,
    Frame,
    Slot,
)  # fmt: skip
from bpfbench.verifier.walk import EINVAL, Walk


def width(reg: RegState) -> int:
    """How many bits the number may need."""
    return reg.scalar.umax.bit_length()


def linked_copy(w: Walk, frame: Frame, r: int) -> RegState:
    """Give a number an id, so that its copy is refined with it (`assign_scalar_id_before_mov`)."""
    reg = frame.regs[r]
    fresh = with_link_id(w, reg)
    if fresh is not reg:
        frame.regs[r] = fresh
    return fresh


def with_link_id(w: Walk, reg: RegState) -> RegState:
    if reg.kind != rs.SCALAR:
        return reg
    if reg.id & rs.ADD_CONST:
        reg = reg.with_link(0, 0)
    if not reg.id and (reg.scalar.m or not w.k.state_ids):
        reg = reg.with_id(w.new_id())
    return reg


def misc_byte(w: Walk, old: int) -> int:
    """What a byte beside a narrow spill becomes (`mark_stack_slot_misc`)."""
    if not w.k.null_slot_retain:
        return INVALID if old == INVALID else MISC
    if old == ZEROED:
        return ZEROED
    if w.k.null_slot_retain and old == INVALID and (w.allow_ptr_leaks or w.k.version >= (6, 12)):
        return INVALID
    return MISC


def save(w: Walk, frame: Frame, spi: int, reg: RegState, size: int) -> None:
    """Save a register in the low `size` bytes of a slot (`save_register_state`)."""
    if size == 8:
        frame.stack[spi] = Slot(ALL_SPILL, reg)
        if w.k.liveness == 0:
            frame.stack_live[spi] |= 4
        return
    old = frame.stack[spi].types
    types = bytearray(old)
    for i in range(8):
        types[i] = SPILL if i >= 8 - size else misc_byte(w, old[i])
    frame.stack[spi] = Slot(bytes(types), reg)


def write_fixed(w: Walk, frame: Frame, off: int, size: int, value: int) -> None:
    """Store `size` bytes at frame offset `off`, from register `value` or (-1) from the immediate or elsewhere."""
    byte = -off - 1
    spi = byte >> 3
    slot = frame.stack[spi]
    insn = w.insn()
    if not w.allow_ptr_leaks and slot.spilled and (slot.reg.kind != rs.SCALAR or not w.k.state_ids) and size != 8:
        raise w.refuse("attempt to corrupt spilled pointer on stack")
    current = w.state.frames[-1]
    reg = current.regs[value] if value >= 0 else None
    immediate = reg is None and insn.kind == ops.ST
    if not w.bypass_v4 and _needs_barrier(slot, byte, size, reg):
        if w.k.nospec:
            w.note(w.pc).nospec_result = True
        else:
            w.note(w.pc).sanitize_spill = True
    destroy_dynptr_slot(w, frame, spi)
    keep_fastcall_contract(w, frame, w.pc, off)
    w.scratched_slots |= 1 << spi
    if w.k.liveness == 1 and size == 8:
        w.live_stack.write(frame.number, 1 << spi)  # type: ignore[attr-defined]
    aligned = off % 8 == 0
    track = True
    if not w.k.sub_spills:
        _write_61(w, frame, spi, byte, off, size, value, reg, immediate)
        return
    narrow = w.k.sub_spills or size == 8
    if reg is not None and aligned and narrow and reg.kind == rs.SCALAR and w.bpf_capable:
        fits = width(reg) <= 8 * size
        if fits and w.k.sub_spills:
            reg = linked_copy(w, current, value)
        save(w, frame, spi, reg, size)
        if not fits:
            saved = frame.stack[spi]
            frame.stack[spi] = Slot(saved.types, saved.reg.with_id(0))
    elif immediate and aligned and narrow and w.bpf_capable and (w.k.sub_spills or insn.imm != 0):
        save(w, frame, spi, constant(insn.imm), size)
    elif reg is not None and (reg.kind & rs.BASE) in rs.SPILLABLE and not (reg.kind == rs.SCALAR):
        if size != 8:
            raise w.refuse("invalid size of register spill")
        if frame is not current and reg.kind == rs.STACK:
            raise w.refuse("cannot spill pointers to stack into stack frame of the caller", EINVAL)
        save(w, frame, spi, reg, size)
    else:
        _write_data(w, frame, spi, byte, size, value, reg, immediate and insn.imm == 0)
        track = False
    if track and w.k.stack_history:
        push_step(w, frame.number, spi, 0, ())


def _write_61(w: Walk, frame: Frame, spi: int, byte: int, off: int, size: int, value: int, reg: RegState | None,
              immediate: bool) -> None:
    """Before 6.8: only numbers of which something is known are saved, and never a zero."""
    insn = w.insn()
    aligned = off % 8 == 0
    if reg is not None and aligned and reg.kind == rs.SCALAR and not reg.scalar.same(UNKNOWN) and not reg.is_null \
            and w.bpf_capable and w.k.spills_numbers:
        if insn.dst != 10:
            mark_chain(w, value)
            reg = w.state.frames[-1].regs[value]
        save(w, frame, spi, reg, size)
        if width(reg) > 8 * size:
            frame.stack[spi] = Slot(frame.stack[spi].types, frame.stack[spi].reg.with_id(0))
    elif immediate and aligned and insn.imm != 0 and w.bpf_capable and w.k.spills_numbers:
        save(w, frame, spi, constant(insn.imm), size)
    elif reg is not None and (reg.kind & rs.BASE) in rs.SPILLABLE:
        if size != 8:
            raise w.refuse("invalid size of register spill")
        if frame is not w.state.frames[-1] and reg.kind == rs.STACK:
            raise w.refuse("cannot spill pointers to stack into stack frame of the caller", EINVAL)
        save(w, frame, spi, reg, size)
    else:
        _write_data(w, frame, spi, byte, size, value, reg, immediate and insn.imm == 0)


def _needs_barrier(slot: Slot, byte: int, size: int, reg: RegState | None) -> bool:
    if reg is not None and (reg.kind & rs.BASE) in rs.SPILLABLE:
        return True
    for i in range(size):
        if slot.types[(byte - i) & 7] not in (MISC, ZEROED):
            return True
    return False


def _write_data(w: Walk, frame: Frame, spi: int, byte: int, size: int, value: int, reg: RegState | None,
                zero: bool) -> None:
    slot = frame.stack[spi]
    types = bytearray(slot.types)
    if types[7] == SPILL or (types[7] in (DYN, ITER) and w.k.dynptr_tracked):
        for i in range(8):
            types[i] = INVALID if types[i] == INVALID else MISC
    if size == 8 and w.k.liveness == 0:
        frame.stack_live[spi] |= 4
    kind = MISC
    if (reg is not None and reg.is_null) or zero:
        if value >= 0:
            mark_chain(w, value)
        elif not w.k.retval_precise:
            pass
        kind = ZEROED
    for i in range(size):
        types[(byte - i) & 7] = kind
    frame.stack[spi] = Slot(bytes(types), rs.UNINIT)


def write_variable(w: Walk, frame: Frame, ptr: int, off: int, size: int, value: int) -> None:
    """Store somewhere in a range of the stack."""
    current = w.state.frames[-1]
    s = current.regs[ptr].scalar
    low, high = s.smin + off, s.smax + off + size
    value_reg = current.regs[value] if value >= 0 else None
    insn = w.insn()
    zero = (value_reg is not None and value_reg.is_null) or (value_reg is None and insn.kind == ops.ST and insn.imm == 0)
    zero_used = False
    for at in range(low, high):
        destroy_dynptr_slot(w, frame, (-at - 1) >> 3)
    keep_fastcall_contract(w, frame, w.pc, low)
    for at in range(low, high):
        byte = -at - 1
        spi = byte >> 3
        slot = frame.stack[spi]
        kind = slot.types[byte & 7]
        w.scratched_slots |= 1 << spi
        if not w.allow_ptr_leaks and kind not in (MISC, ZEROED):
            raise w.refuse(f"spilled ptr in range of var-offset stack write; insn {w.pc}, ptr off: {at}", EINVAL)
        if zero and kind == SPILL and slot.spilled_scalar and slot.reg.is_null:
            zero_used = True
            continue
        types = bytearray(slot.types)
        if w.k.version >= (6, 12) and types[7] in (SPILL, DYN, ITER):
            for i in range(8):
                types[i] = INVALID if types[i] == INVALID else MISC
            kind = types[byte & 7]
        new = MISC
        if zero and kind == ZEROED:
            new = ZEROED
            zero_used = True
        if kind == INVALID and not w.allow_uninit:
            raise w.refuse(f"uninit stack in range of var-offset write prohibited for !root; insn {w.pc}, off: {at}",
                           EINVAL)
        types[byte & 7] = new
        frame.stack[spi] = Slot(bytes(types), rs.UNINIT)
    if zero_used and value >= 0:
        mark_chain(w, value)


def fill_from_bytes(w: Walk, frame: Frame, low: int, high: int, dst: int) -> None:
    """A register loaded from stack bytes that are no saved register (`mark_reg_stack_read`)."""
    zeros = 0
    for at in range(low, high):
        byte = -at - 1
        if w.k.state_ids:
            w.scratched_slots |= 1 << (byte >> 3)
        if frame.stack[byte >> 3].types[byte & 7] != ZEROED:
            break
        zeros += 1
    current = w.state.frames[-1]
    if zeros == high - low:
        current.regs[dst] = zero_register(w)
    else:
        current.regs[dst] = w.unknown_reg
    if w.k.liveness == 0:
        current.live[dst] |= 4


def zero_register(w: Walk) -> RegState:
    """A zero that was not computed: imprecise from 6.8 on, before that forced to be precise."""
    if w.unknown_reg.precise or w.k.version < (6, 8):
        return constant(0).with_precise(True)
    return constant(0)


def read_fixed(w: Walk, frame: Frame, off: int, size: int, dst: int) -> None:
    """Load `size` bytes at frame offset `off` into `dst` (-1: nowhere)."""
    byte = -off - 1
    spi = byte >> 3
    slot = frame.stack[spi]
    types = slot.types
    current = w.state.frames[-1]
    if w.k.state_ids:
        w.scratched_slots |= 1 << spi
    keep_fastcall_contract(w, current, w.pc, off)
    mark_slot_read(w, frame, spi, w.k.liveness == 1)
    track = True
    if types[7] == SPILL:
        if w.k.slides:
            slides.check_fill(w, types, size)
        track = _fill(w, frame, spi, off, size, dst)
        mark_slot_read(w, frame, spi, False)
        if dst < 0 and size != 8 and track:
            return
    else:
        _readable(w, types, byte, off, size)
        mark_slot_read(w, frame, spi, False)
        if dst >= 0:
            fill_from_bytes(w, frame, off, off + size, dst)
        track = False
    if track and w.k.stack_history:
        push_step(w, frame.number, spi, 0, ())


def _readable(w: Walk, types: bytes, byte: int, off: int, size: int) -> None:
    for i in range(size):
        kind = types[(byte - i) & 7]
        if kind == MISC or kind == ZEROED or (kind == INVALID and w.allow_uninit):
            continue
        raise w.refuse(f"invalid read from stack off {off}+{i} size {size}")


def _fill(w: Walk, frame: Frame, spi: int, off: int, size: int, dst: int) -> bool:
    """Load from a slot that holds a register; answers whether precision can follow the value into the slot."""
    slot = frame.stack[spi]
    types, reg = slot.types, slot.reg
    current = w.state.frames[-1]
    spill_size = 1
    while spill_size < 8 and types[7 - spill_size] == SPILL:
        spill_size += 1
    if size == 8 and spill_size == 8:
        if dst >= 0:
            if w.bpf_capable and w.k.zext_fill_ids:
                linked = with_link_id(w, reg)
                if linked is not reg:
                    frame.stack[spi] = Slot(types, linked)
                    reg = linked
            current.regs[dst] = reg
            if w.k.liveness == 0:
                current.live[dst] |= 4
        elif w.leaks(reg):
            raise w.refuse(f"leaking pointer from stack off {off}")
        return True
    if reg.kind != rs.SCALAR:
        raise w.refuse("invalid size of register fill")
    if dst < 0:
        return True
    if size <= spill_size and narrow_ok(w, off, size, spill_size):
        if w.bpf_capable and size == 4 and spill_size == 4 and width(reg) <= 32 and w.k.zext_fill_ids:
            linked = with_link_id(w, reg)
            if linked is not reg:
                frame.stack[spi] = Slot(types, linked)
                reg = linked
        if width(reg) > size * 8 and w.k.sub_spills:
            reg = reg.with_link(0, 0) if reg.id & rs.ADD_CONST else reg.with_id(0)
        current.regs[dst] = reg
        tracked = True
    else:
        tracked = _fill_mixed(w, slot, off, size, dst)
    if w.k.liveness == 0:
        current.live[dst] |= 4
    return tracked


def narrow_ok(w: Walk, off: int, size: int, spill_size: int) -> bool:
    """Little endian: a narrow fill must begin where the value begins."""
    if w.k.version < (6, 8):
        return off % 8 == 0 and size == spill_size
    return off % 8 == 0


def _fill_mixed(w: Walk, slot: Slot, off: int, size: int, dst: int) -> bool:
    byte = -off - 1
    spills = zeros = 0
    for i in range(size):
        kind = slot.types[(byte - i) & 7]
        if kind == SPILL:
            spills += 1
        elif kind == ZEROED and w.k.sub_spills:
            zeros += 1
        elif kind == MISC or (kind == INVALID and w.allow_uninit):
            continue
        else:
            raise w.refuse(f"invalid read from stack off {off}+{i} size {size}")
    regs = w.state.frames[-1].regs
    if w.k.version >= (6, 8):
        if spills == size and slot.reg.is_null:
            regs[dst] = zero_register(w)
            return True
        if zeros == size:
            regs[dst] = zero_register(w)
            return False
    regs[dst] = w.unknown_reg
    return False


def read(w: Walk, ptr: int, off: int, size: int, dst: int) -> None:
    reg = w.state.frames[-1].regs[ptr]
    s = reg.scalar
    frame = w.state.frames[reg.frame]
    if s.m == 0:
        read_fixed(w, frame, off + s64(s.v), size, dst)
        return
    if dst < 0:
        raise w.refuse("variable offset stack pointer cannot be passed into helper function; "
                       f"var_off={tnum_text(s.v, s.m, w.k.log_gen)} off={off} size={size}")
    initialized(w, ptr, off, size, False, False, None)
    fill_from_bytes(w, frame, s.smin + off, s.smax + off + size, dst)
    keep_fastcall_contract(w, frame, w.pc, s.smin + off)


def write(w: Walk, ptr: int, off: int, size: int, value: int) -> None:
    reg = w.state.frames[-1].regs[ptr]
    frame = w.state.frames[reg.frame]
    if reg.scalar.m == 0:
        write_fixed(w, frame, off + s64(reg.scalar.v), size, value)
    else:
        write_variable(w, frame, ptr, off, size, value)


def keep_fastcall_contract(w: Walk, frame: Frame, pc: int, off: int) -> None:
    """A stack access outside the spill patterns of fast calls undoes those patterns (`check_fastcall_stack_contract`)."""
    if not w.k.fastcall:
        return
    sub = w.subprogs[frame.subprog]
    if sub.fastcall_off <= off or w.aux[pc].fastcall:
        return
    sub.fastcall_off = -32768
    for i in range(sub.start, w.end_of(frame.subprog)):
        if w.aux[i].fastcall_spills or w.aux[i].fastcall:
            note = w.note(i)
            note.fastcall_spills = 0
            note.fastcall = False

