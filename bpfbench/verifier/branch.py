"""Conditional jumps: decide, or fork and learn on both sides.

A comparison teaches more than ranges: that a nullable pointer is or is not null, that packet bytes up to a pointer
exist, that everything linked to the compared number (copies of it, copies plus a constant) is refined with it.

      r2 = data; r3 = data_end; r2 += 14
      if r2 > r3 goto out          fall-through: every packet pointer with r2's id may access 14 bytes

Sources: kernel/bpf/verifier.c `check_cond_jmp_op`, `find_good_pkt_pointers`, `mark_ptr_or_null_regs`,
`sync_linked_regs`; slides 29-31.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import bounds, refine, slides, speculation, tnum
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.alu import forgetful, sane
from bpfbench.verifier.jump_history import push_step
from bpfbench.verifier.paths import push
from bpfbench.verifier.precision import mark_chain
from bpfbench.verifier.references import drop
from bpfbench.verifier.regstate import RegState, constant
from bpfbench.verifier.scalar import U32_MAX, U64_MAX, ZERO, Scalar, s32
from bpfbench.verifier.state import Slot, State
from bpfbench.verifier.transfer import add_ranges
from bpfbench.verifier.walk import Walk

MAX_PACKET_OFF: Final = 0xFFFF
LINKED_MAX: Final = 6
_ANY_PACKET: Final = (rs.PACKET, rs.PACKET_META, rs.PACKET_END)


def jump(w: Walk, insn: Instruction) -> int:
    """A conditional jump; answers the distance to go on at (0: fall through)."""
    state = w.state
    regs = state.frames[-1].regs
    fn = insn.op.fn
    imm = insn.op.imm
    low = insn.kind == ops.JMP32
    a = w.read(insn.dst) if w.k.version >= (6, 8) else a_61(w, insn)
    operands = 0
    if imm:
        b = constant(insn.imm)
    else:
        b = w.read(insn.src)
        if w.k.version < (6, 8):
            a = w.read(insn.dst)
        if not (a.kind in _ANY_PACKET and b.kind in _ANY_PACKET) and w.leaks(b):
            raise w.refuse(f"R{insn.src} pointer comparison prohibited")
        if b.kind == rs.STACK:
            operands |= 2
    if a.kind == rs.STACK:
        operands |= 1
    if operands and w.k.stack_history:
        push_step(w, 0, -1, operands, ())
    taken = decide(w, a, b, fn, low) if not w.k.slides else slides.decide(insn, a)
    if taken >= 0:
        if a.kind == rs.SCALAR:
            mark_chain(w, insn.dst)
        if not imm and b.kind == rs.SCALAR:
            mark_chain(w, insn.src)
        if not w.bypass_v1:
            speculation.also_walk(w, insn, w.pc + 1 if taken else w.pc + insn.off + 1, w.pc)
        if not w.k.slides:
            show(w)
        return insn.off if taken else 0
    linked = _linked_regs(w, state, a, b, imm)
    if len(linked) > 1 and w.k.state_ids:
        push_step(w, 0, -1, 0, tuple(linked))
    other = push(w, w.pc + insn.off + 1, w.pc, False)
    _learn(w, insn, state, other, regs[insn.dst], b if imm else regs[insn.src], fn, low, linked)
    show(w)
    return 0


def a_61(w: Walk, insn: Instruction) -> RegState:
    """Kernels before 6.8 check the source operand first."""
    if insn.op.imm:
        return w.read(insn.dst)
    return w.state.frames[-1].regs[insn.dst] if insn.dst <= 10 else w.read(insn.dst)


def show(w: Walk) -> None:
    """The state behind a conditional jump is shown at once, before the other side is."""
    if w.log is not None:
        from bpfbench.verifier.walker import show_state

        show_state(w)


# Deciding -----------------------------------------------------------------------------------------------------------


def not_null(w: Walk, reg: RegState) -> bool:
    """Is the pointer known not to be null? (`reg_not_null`)"""
    kind = reg.kind
    if kind & rs.MAYBE_NULL:
        return False
    base = kind & rs.BASE
    if base in (rs.SOCKET, rs.TCP_SOCK, rs.MAP_VALUE, rs.MAP_KEY, rs.SOCK_COMMON):
        return True
    if base == rs.MEM:
        return w.k.version >= (6, 3) and not kind & rs.UNTRUSTED
    if base == rs.BTF_ID:
        return w.k.version >= (6, 3) and (bool(kind & rs.TRUSTED) or reg.ref != 0)
    return base in (rs.MAP_PTR, rs.XDP_SOCK, rs.BUF) and w.k.version >= (6, 12)


def decide(w: Walk, a: RegState, b: RegState, fn: int, low: bool) -> int:
    """1 taken, 0 not taken, -1 depends (`is_branch_taken`)."""
    if a.kind in _ANY_PACKET and b.kind in _ANY_PACKET and not low:
        return _decide_packet(a, b, fn)
    if a.kind != rs.SCALAR or b.kind != rs.SCALAR:
        part = U32_MAX if low else U64_MAX
        if b.kind != rs.SCALAR or b.scalar.m & part:
            fn = refine.FLIP[fn]
            a, b = b, a
        if b.kind != rs.SCALAR or b.scalar.m & part or not not_null(w, a) or b.scalar.v & part:
            return -1
        return 0 if fn == ops.JEQ else 1 if fn == ops.JNE else -1
    return refine.decide(a.scalar, b.scalar, fn, low, w.k.compare)


def _decide_packet(a: RegState, b: RegState, fn: int) -> int:
    if b.kind == rs.PACKET_END:
        pkt = a
    elif a.kind == rs.PACKET_END:
        pkt = b
        fn = refine.FLIP[fn]
    else:
        return -1
    if pkt.range >= 0:
        return -1
    if fn in (ops.JLE, ops.JGT):
        if pkt.range == rs.BEYOND_END:
            return 1 if fn == ops.JGT else 0
    elif fn in (ops.JLT, ops.JGE):
        return 1 if fn == ops.JGE else 0
    return -1


# Learning -----------------------------------------------------------------------------------------------------------


def _learn(w: Walk, insn: Instruction, state: State, other: State, a: RegState, b: RegState, fn: int, low: bool,
           linked: list[tuple[int, bool, int]]) -> None:
    regs, other_regs = state.frames[-1].regs, other.frames[-1].regs
    imm = insn.op.imm
    if a.kind == rs.SCALAR and b.kind == rs.SCALAR:
        _learn_numbers(w, insn, regs, other_regs, a, b, fn, low)
        if not imm and regs[insn.src].id:
            _sync(w, state, regs[insn.src], linked)
            _sync(w, other, other_regs[insn.src], linked)
        if regs[insn.dst].id:
            _sync(w, state, regs[insn.dst], linked)
            _sync(w, other, other_regs[insn.dst], linked)
    elif w.k.version < (6, 8) and a.kind == rs.SCALAR:
        pass
    if not imm and not low and a.kind != rs.SCALAR and b.kind != rs.SCALAR and w.k.version >= (6, 2):
        _learn_equal_pointers(w, insn, regs, other_regs, a, b, fn)
    if imm and not low and insn.imm == 0 and fn in (ops.JEQ, ops.JNE) and a.kind & rs.MAYBE_NULL:
        _settle_null(w, state, a, fn == ops.JNE)
        _settle_null(w, other, a, fn == ops.JEQ)
    elif not _learn_packet(w, insn, state, other, a, b, fn, low) and w.leaks(regs[insn.dst]):
        raise w.refuse(f"R{insn.dst} pointer comparison prohibited")


def _learn_numbers(w: Walk, insn: Instruction, regs: list[RegState], other_regs: list[RegState], a: RegState,
                   b: RegState, fn: int, low: bool) -> None:
    k = w.k
    same = not insn.op.imm and insn.src == insn.dst
    if k.compare == refine.JUST_CONST:
        from bpfbench.verifier.refine_61 import refine_61

        refine_61(w, insn, regs, other_regs, a, b, fn, low)
        return
    fa, fb = refine.refine(a.scalar, b.scalar, refine.NEGATE[fn], low, k.compare, k.deduce, same)
    ta, tb = refine.refine(a.scalar, b.scalar, fn, low, k.compare, k.deduce, same)
    src, dst = insn.src, insn.dst
    other_regs[dst] = sane(w, a.with_scalar(forgetful(w, ta)), "true_reg1")
    true_b = sane(w, b.with_scalar(forgetful(w, tb)), "true_reg2")
    regs[dst] = sane(w, a.with_scalar(forgetful(w, fa)), "false_reg1")
    false_b = sane(w, b.with_scalar(forgetful(w, fb)), "false_reg2")
    if not insn.op.imm:
        other_regs[src] = true_b
        regs[src] = false_b


def _learn_equal_pointers(w: Walk, insn: Instruction, regs: list[RegState], other_regs: list[RegState], a: RegState,
                          b: RegState, fn: int) -> None:
    """Equal to a pointer that is not null: not null either."""
    if a.kind & rs.BASE == rs.BTF_ID or b.kind & rs.BASE == rs.BTF_ID:
        return
    equal = other_regs if fn == ops.JEQ else regs if fn == ops.JNE else None
    if equal is None:
        return
    if not_null(w, a) and b.kind & rs.MAYBE_NULL:
        equal[insn.src] = settled(equal[insn.src])
    if not_null(w, b) and a.kind & rs.MAYBE_NULL:
        equal[insn.dst] = settled(equal[insn.dst])


def settled(reg: RegState) -> RegState:
    """A nullable pointer that is not null (`mark_ptr_not_null_reg`)."""
    if reg.kind & rs.BASE == rs.MAP_VALUE and reg.map is not None:
        m = reg.map
        if m.inner is not None:
            uid = reg.id if any(f[0] in ("timer", "wq") for f in m.inner.fields) else reg.map_uid
            return RegState(rs.MAP_PTR, reg.scalar, reg.off, reg.id, reg.ref, map=m.inner, map_uid=uid)
        if m.type == "xskmap":
            return reg.with_kind(rs.XDP_SOCK, reg.id)
        if m.type in ("sockmap", "sockhash"):
            return reg.with_kind(rs.SOCKET, reg.id)
        return reg.with_kind(rs.MAP_VALUE, reg.id)
    return reg.with_kind(reg.kind & ~rs.MAYBE_NULL, reg.id)


def may_hold_lock(reg: RegState) -> bool:
    return reg.kind & rs.BASE == rs.MAP_VALUE and reg.map is not None and reg.map.field("spin_lock") >= 0


def _settle_null(w: Walk, state: State, a: RegState, is_null: bool) -> None:
    """All copies of a nullable pointer are null, or none is (`mark_ptr_or_null_regs`)."""
    id = a.id
    if a.ref and a.ref == id and is_null:
        drop(state, id)
    for frame in state.frames:
        for i, reg in enumerate(frame.regs):
            if reg.id == id and reg.kind & rs.MAYBE_NULL:
                frame.regs[i] = _null_or_not(w, reg, is_null)
        for i, slot in enumerate(frame.stack):
            if slot.spilled and slot.reg.id == id and slot.reg.kind & rs.MAYBE_NULL:
                frame.stack[i] = Slot(slot.types, _null_or_not(w, slot.reg, is_null))


def _null_or_not(w: Walk, reg: RegState, is_null: bool) -> RegState:
    if is_null:
        null = RegState(rs.SCALAR, ZERO)
        return null
    fresh = settled(reg)
    return fresh if may_hold_lock(fresh) else fresh.with_id(0)


def _starts_packet(reg: RegState, kind: int) -> bool:
    """A packet pointer that still stands at the first byte."""
    return reg.kind == kind and reg.off == 0 and reg.scalar.m == 0 and reg.scalar.v == 0


def _learn_packet(w: Walk, insn: Instruction, state: State, other: State, a: RegState, b: RegState, fn: int,
                  low: bool) -> bool:
    """Comparisons of packet pointers with the end (`try_match_pkt_pointers`); False: it is not one."""
    if insn.op.imm or low or fn not in (ops.JGT, ops.JLT, ops.JGE, ops.JLE):
        return False
    first = (a.kind == rs.PACKET and b.kind == rs.PACKET_END) or (
        a.kind == rs.PACKET_META and _starts_packet(b, rs.PACKET))
    second = (a.kind == rs.PACKET_END and b.kind == rs.PACKET) or (
        _starts_packet(a, rs.PACKET) and b.kind == rs.PACKET_META)
    if not first and not second:
        return False
    reg, number = (a, insn.dst) if first else (b, insn.src)
    if second:
        fn = refine.FLIP[fn]
    # pkt > end and pkt >= end: the fall-through has the bytes; pkt < end and pkt <= end: the jump has.
    good, bad = (state, other) if fn in (ops.JGT, ops.JGE) else (other, state)
    strict = fn in (ops.JGE, ops.JLT)
    extend_range(good, reg, strict)
    edge = bad.frames[-1].regs[number]
    if edge.kind == rs.PACKET and w.k.version >= (5, 11):
        bad.frames[-1].regs[number] = edge.with_range(rs.AT_END if strict else rs.BEYOND_END)
    return True


def extend_range(state: State, reg: RegState, strict: bool) -> None:
    """Every packet pointer with the same id may access up to here (`find_good_pkt_pointers`)."""
    if reg.off < 0 or (reg.off == 0 and strict):
        return
    if reg.scalar.umax > MAX_PACKET_OFF or reg.scalar.umax + reg.off > MAX_PACKET_OFF:
        return
    proven = reg.off + 1 if strict else reg.off
    kind, id = reg.kind, reg.id
    for frame in state.frames:
        for i, r in enumerate(frame.regs):
            if r.kind == kind and r.id == id and r.range < proven:
                frame.regs[i] = r.with_range(proven)
        for i, slot in enumerate(frame.stack):
            if slot.spilled and slot.reg.kind == kind and slot.reg.id == id and slot.reg.range < proven:
                frame.stack[i] = Slot(slot.types, slot.reg.with_range(proven))


# Linked numbers -----------------------------------------------------------------------------------------------------


def _linked_regs(w: Walk, state: State, a: RegState, b: RegState, imm: bool) -> list[tuple[int, bool, int]]:
    """Registers and slots that share an id with an operand, at most six (`collect_linked_regs`)."""
    out: list[tuple[int, bool, int]] = []
    if not imm and b.kind == rs.SCALAR and b.id:
        _collect(w, state, b.id & ~rs.ADD_CONST, out)
    if a.kind == rs.SCALAR and a.id:
        _collect(w, state, a.id & ~rs.ADD_CONST, out)
    return out


def _collect(w: Walk, state: State, id: int, out: list[tuple[int, bool, int]]) -> None:
    limit = LINKED_MAX if w.k.state_ids else 1 << 30
    for number in range(len(state.frames) - 1, -1, -1):
        frame = state.frames[number]
        live = w.live[state.frame_pc(number)] if w.k.liveness == 1 else 0xFFFF
        for i in range(10):
            reg = frame.regs[i]
            if not live >> i & 1:
                continue
            if reg.kind == rs.SCALAR and reg.id & ~rs.ADD_CONST == id:
                if len(out) < limit:
                    out.append((number, True, i))
                else:
                    frame.regs[i] = reg.with_link(0, 0)
        for i, slot in enumerate(frame.stack):
            if slot.spilled_scalar and slot.reg.id & ~rs.ADD_CONST == id:
                if len(out) < limit:
                    out.append((number, False, i))
                else:
                    frame.stack[i] = Slot(slot.types, slot.reg.with_link(0, 0))


def _sync(w: Walk, state: State, known: RegState, linked: list[tuple[int, bool, int]]) -> None:
    """Refine what is linked to `known` (`sync_linked_regs`)."""
    for number, is_reg, i in linked:
        frame = state.frames[number]
        reg = frame.regs[i] if is_reg else frame.stack[i].reg
        if reg is known or reg.kind != rs.SCALAR or (reg.id ^ known.id) & ~rs.ADD_CONST:
            continue
        if not (reg.id | known.id) & rs.ADD_CONST or reg.off == known.off:
            fresh = known
        else:
            fresh = _plus(w, reg, known)
        if is_reg:
            frame.regs[i] = fresh
        else:
            frame.stack[i] = Slot(frame.stack[i].types, fresh)


def _plus(w: Walk, reg: RegState, known: RegState) -> RegState:
    """known plus the difference of the constants."""
    if w.k.link_halves:
        delta = Scalar.const(reg.off - known.off)
    else:
        delta = Scalar.const(s32(s32(reg.off) - s32(known.off)))
    s = known.scalar.copy()
    add_ranges(s, delta, w.k.arith.gen)
    s.v, s.m = tnum.add((s.v, s.m), (delta.v, delta.m))
    if w.k.link_halves:
        if (reg.id | known.id) & rs.ADD_CONST32:
            bounds.zext32(s)
        bounds.deduce(s, w.k.deduce)
    return RegState(rs.SCALAR, s, reg.off, reg.id, 0, known.precise)
