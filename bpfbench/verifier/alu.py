"""Arithmetic: numbers with numbers, and pointers with numbers.

Numbers are `transfer.py`'s business.  Here is what a pointer may do: be moved by a number, within limits, so that its
offset stays a fixed part `off` and a variable part with known ranges.

      r1 += 8          off += 8
      r1 += r2         scalar += what is known of r2; the packet range of r1 is forgotten, it gets a new id
      r1 -= r1'        two pointers: an unknown number, for those who may know addresses

Sources: kernel/bpf/verifier.c `check_alu_op`, `adjust_ptr_min_max_vals`, `adjust_reg_min_max_vals`; slides 18-20.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import bounds, slides, speculation, tnum
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.paths import push
from bpfbench.verifier.precision import mark_chain
from bpfbench.verifier.regstate import RegState, constant
from bpfbench.verifier.scalar import S32_MAX, S32_MIN, S64_MAX, S64_MIN, U32_MAX, U64_MAX, UNKNOWN, Scalar, s32, s64
from bpfbench.verifier.stack import linked_copy, width
from bpfbench.verifier.transfer import add_ranges
from bpfbench.verifier.walk import EINVAL, Walk

MAX_VAR_OFF: Final = 1 << 29
SYMBOLS: Final[dict[int, str]] = {     # bpf_alu_string
    ops.ADD: "+=", ops.SUB: "-=", ops.MUL: "*=", ops.DIV: "/=", ops.OR: "|=", ops.AND: "&=", ops.LSH: "<<=",
    ops.RSH: ">>=", ops.NEG: "neg", ops.MOD: "%=", ops.XOR: "^=", ops.MOV: "=", ops.ARSH: "s>>=", ops.SDIV: "/=",
    ops.SMOD: "%=",
}  # fmt: skip
_MOVABLE: Final = frozenset((rs.CTX, rs.MAP_VALUE, rs.MAP_KEY, rs.STACK, rs.PACKET_META, rs.PACKET, rs.TP_BUFFER,
                             rs.BTF_ID, rs.MEM, rs.BUF, rs.FUNC, rs.DYNPTR, rs.INSN))


def alu(w: Walk, insn: Instruction) -> None:
    """An ALU instruction of either width."""
    op = insn.op
    fn = op.fn
    wide = insn.kind == ops.ALU64
    if fn == ops.MOV:
        _move(w, insn, wide)
    elif fn == ops.NEG:
        _negate(w, insn, wide)
    else:
        if not op.imm:
            w.read(insn.src)
        w.read(insn.dst)
        if op.imm:
            if fn in (ops.DIV, ops.MOD, ops.SDIV, ops.SMOD) and insn.imm == 0:
                raise w.refuse("div by zero", EINVAL)
            if fn in (ops.LSH, ops.RSH, ops.ARSH) and not 0 <= insn.imm < (64 if wide else 32):
                raise w.refuse(f"invalid shift {insn.imm}", EINVAL)
        w.writable(insn.dst)
        _compute(w, insn, wide)
    check_sane(w, insn.dst, "alu")


def check_sane(w: Walk, r: int, what: str) -> None:
    """Contradictory ranges are forgotten, with a note (`reg_bounds_sanity_check`)."""
    regs = w.state.frames[-1].regs
    reg = regs[r]
    fresh = sane(w, reg, what)
    if fresh is not reg:
        regs[r] = fresh


def sane(w: Walk, reg: RegState, what: str) -> RegState:
    s = reg.scalar
    if (s.umin <= s.umax and s.smin <= s.smax and s.u32min <= s.u32max and s.s32min <= s.s32max and s.m) or \
            w.k.deduce == bounds.DEDUCE_61:
        if s.m & U32_MAX or w.k.deduce == bounds.DEDUCE_61:
            return reg
    problem = bounds.broken(s)
    if not problem:
        return reg
    w.say(f"{'REG' if w.k.version < (6, 16) else 'REG'} INVARIANTS VIOLATION ({what}): {problem} "
          f"u64=[{_x(s.umin)}, {_x(s.umax)}] s64=[{_x(s.smin)}, {_x(s.smax)}] u32=[{_x(s.u32min)}, {_x(s.u32max)}] "
          f"s32=[{_x(s.s32min & U32_MAX)}, {_x(s.s32max & U32_MAX)}] var_off=({_x(s.v)}, {_x(s.m)})")
    return reg.with_scalar(bounds.without_ranges(s))


def _x(n: int) -> str:
    n &= U64_MAX
    return f"{n:#x}" if n else "0x0"


# Moves --------------------------------------------------------------------------------------------------------------


def _move(w: Walk, insn: Instruction, wide: bool) -> None:
    frame = w.state.frames[-1]
    if insn.op.imm:
        w.writable(insn.dst)
        fresh = constant(insn.imm if wide or w.k.mov32_sign else insn.imm & U32_MAX)
        frame.regs[insn.dst] = fresh.with_precise(True) if w.unknown_reg.precise else fresh
        return
    reg = w.read(insn.src)
    w.writable(insn.dst)
    if wide:
        if reg.kind == rs.SCALAR:
            reg = linked_copy(w, frame, insn.src)
        frame.regs[insn.dst] = reg
        return
    if w.leaks(reg):
        raise w.refuse(f"R{insn.src} partial copy of pointer")
    if reg.kind != rs.SCALAR:
        s = UNKNOWN.copy()
        reg = w.unknown_reg
    else:
        if width(reg) <= 32 and w.k.state_ids:
            reg = linked_copy(w, frame, insn.src)
        else:
            reg = reg.with_link(0, 0)
        if reg.scalar.m == 0 and reg.scalar.v <= U32_MAX:
            frame.regs[insn.dst] = reg
            return
        s = reg.scalar.copy()
    bounds.zext32(s)
    bounds.deduce(s, w.k.deduce)
    frame.regs[insn.dst] = reg.with_scalar(s)


def move_sign_extended(w: Walk, insn: Instruction) -> None:
    """dst = (s8/s16/s32)src"""
    frame = w.state.frames[-1]
    reg = w.read(insn.src)
    w.writable(insn.dst)
    wide = insn.op.fn == 64
    if w.leaks(reg):
        raise w.refuse(f"R{insn.src} sign-extension part of pointer" if wide
                       else f"R{insn.src} partial copy of pointer")
    if reg.kind != rs.SCALAR:
        if wide:
            frame.regs[insn.dst] = w.unknown_reg
        else:
            s = UNKNOWN.copy()
            bounds.zext32(s)
            frame.regs[insn.dst] = w.unknown_reg.with_scalar(bounds.deduce(s, w.k.deduce))
        check_sane(w, insn.dst, "alu")
        return
    if reg.scalar.umax < 1 << (insn.op.size - 1):
        reg = linked_copy(w, frame, insn.src)
    else:
        reg = reg.with_link(0, 0)
    s = bounds.sign_extended(reg.scalar, insn.op.size // 8, 64 if wide else 32)
    if not wide:
        s = s.copy()
        bounds.zext32(s)
        bounds.deduce(s, w.k.deduce)
    frame.regs[insn.dst] = reg.with_scalar(s)
    check_sane(w, insn.dst, "alu")


def byte_order(w: Walk, insn: Instruction) -> None:
    """Byte swaps and truncations: bits move, ranges follow from them; unknown in older kernels."""
    reg = w.read(insn.dst)
    if w.leaks(reg):
        raise w.refuse(f"R{insn.dst} pointer arithmetic prohibited")
    if not w.k.swaps or reg.kind != rs.SCALAR:
        w.overwrite(insn.dst)
        return
    w.writable(insn.dst)
    size = insn.op.size
    s = reg.scalar
    if insn.op.fn != ops.LE:
        v, m = tnum.swap((s.v, s.m), size)
        s = Scalar(v, m, 0, U64_MAX, S64_MIN, S64_MAX, 0, U32_MAX, S32_MIN, S32_MAX)
    if size < 64:
        s = bounds.truncated(s, size // 8, w.k.deduce)
    s = bounds.deduce(s.copy(), w.k.deduce)
    kept = size == 64 and insn.op.fn == ops.LE
    w.state.frames[-1].regs[insn.dst] = RegState(rs.SCALAR, forgetful(w, s), reg.off if kept else 0,
                                                 reg.id if kept else 0, precise=reg.precise)
    check_sane(w, insn.dst, "alu")


def _negate(w: Walk, insn: Instruction, wide: bool) -> None:
    reg = w.read(insn.dst)
    if w.leaks(reg):
        raise w.refuse(f"R{insn.dst} pointer arithmetic prohibited")
    if not w.k.arith.neg or reg.kind != rs.SCALAR:
        w.overwrite(insn.dst)
        return
    w.writable(insn.dst)
    fresh = w.k.arith.transfer(ops.NEG, wide, reg.scalar, reg.scalar) if reg.scalar.m else \
        Scalar.const(-reg.scalar.v if wide else -reg.scalar.v & U32_MAX)
    w.state.frames[-1].regs[insn.dst] = RegState(rs.SCALAR, forgetful(w, fresh), precise=reg.precise)


def forgetful(w: Walk, s: Scalar) -> Scalar:
    """Experiments: forget bits, or low halves."""
    if s.m == 0 or (w.k.bits and w.k.halves):
        return s
    s = s.copy()
    if not w.k.bits:
        s.v, s.m = 0, U64_MAX
    if not w.k.halves:
        bounds.forget32(s)
    return s


# Computing ----------------------------------------------------------------------------------------------------------


def _compute(w: Walk, insn: Instruction, wide: bool) -> None:
    regs = w.state.frames[-1].regs
    dst, src = insn.dst, insn.src
    a = regs[dst]
    imm = insn.op.imm
    b = constant(insn.imm) if imm else regs[src]
    if a.kind == rs.ARENA or b.kind == rs.ARENA:
        if a.kind != rs.ARENA:
            regs[dst] = b
        return
    if b.kind != rs.SCALAR:
        if a.kind != rs.SCALAR:
            if insn.op.fn == ops.SUB and w.allow_ptr_leaks:
                regs[dst] = w.unknown_reg
                return
            raise w.refuse(f"R{dst} pointer {SYMBOLS[insn.op.fn]} pointer prohibited")
        mark_chain(w, dst)
        move_pointer(w, insn, b, regs[dst], False)
        return
    if a.kind != rs.SCALAR:
        if not imm:
            mark_chain(w, src)
        move_pointer(w, insn, a, b, True)
        return
    if not imm and a.precise and w.k.version >= (5, 3):
        mark_chain(w, src)
    _numbers(w, insn, wide, regs, a, b)


def _numbers(w: Walk, insn: Instruction, wide: bool, regs: list[RegState], a: RegState, b: RegState) -> None:
    fn, dst = insn.op.fn, insn.dst
    if not w.k.arith.models(fn, wide, b.scalar):
        regs[dst] = w.unknown_reg
        if not wide and w.k.arith.gen == 0 and not b.scalar.m & U32_MAX:
            s = UNKNOWN.copy()
            bounds.zext32(s)
            regs[dst] = w.unknown_reg.with_scalar(bounds.deduce(s, w.k.deduce))
        return
    if fn in (ops.ADD, ops.SUB):
        speculation.number_alu(w, insn)
    if w.k.fork_ranges and fn in (ops.AND, ops.OR) and b.scalar.m == 0:
        a = _fork_minus_one_or_zero(w, insn, a)
    s = forgetful(w, w.k.arith.transfer(fn, wide, a.scalar, b.scalar))
    id, off = _linked_sum(w, insn, wide, a, b.scalar) if a.id and w.k.link_offsets else (0, 0)
    regs[dst] = RegState(rs.SCALAR, s, off, id, 0, a.precise)


def _linked_sum(w: Walk, insn: Instruction, wide: bool, a: RegState, b: Scalar) -> tuple[int, int]:
    """r2 = r1; r2 += 8: still linked, at a constant distance. The new id and offset, (0, 0) where the link breaks."""
    fn = insn.op.fn
    if not w.bpf_capable or (not insn.op.imm and insn.src == insn.dst) or a.id & rs.ADD_CONST:
        return 0, 0
    if not w.k.link_halves:
        ok = fn == ops.ADD and wide and b.m == 0 and b.v <= S32_MAX
        return (a.id | rs.ADD_CONST64, b.v) if ok else (0, 0)
    if fn not in (ops.ADD, ops.SUB) or (b.m if wide else b.m & U32_MAX):
        return 0, 0
    if wide and s64(b.v) != s32(b.v) or not wide and a.scalar.umax > U32_MAX:
        return 0, 0
    off = s32(b.v)
    if fn == ops.SUB:
        if off == S32_MIN:
            return 0, 0
        off = -off
    return a.id | (rs.ADD_CONST64 if wide else rs.ADD_CONST32), off


def _fork_minus_one_or_zero(w: Walk, insn: Instruction, a: RegState) -> RegState:
    """A value that is -1 or 0 (an arithmetic shift of a sign) is walked as both (`maybe_fork_scalars`)."""
    s = a.scalar
    if s.smin == -1 and s.smax == 0:
        low = False
    elif s.s32min == -1 and s.s32max == 0:
        low = True
    else:
        return a
    branch = push(w, w.pc, w.pc, False)
    if low:
        zero, ones = s.copy(), s.copy()
        bounds.set_known32(zero, 0)
        bounds.set_known32(ones, -1)
        branch.frames[-1].regs[insn.dst] = a.with_scalar(zero)
        return a.with_scalar(ones)
    branch.frames[-1].regs[insn.dst] = RegState(rs.SCALAR, Scalar.const(0), precise=a.precise)
    return RegState(rs.SCALAR, Scalar.const(-1), precise=a.precise)


# Pointers -----------------------------------------------------------------------------------------------------------


def _sane_offset(w: Walk, s: Scalar, off: int, kind: int) -> None:
    """Offsets beyond 512 MB, or unbounded below, are no offsets (`check_reg_sane_offset`)."""
    name = w.named(kind)
    if s.m == 0 and not -MAX_VAR_OFF < s64(s.v) < MAX_VAR_OFF:
        raise w.refuse(f"math between {name} pointer and {s64(s.v)} is not allowed", EINVAL)
    if not -MAX_VAR_OFF < off < MAX_VAR_OFF:
        raise w.refuse(f"{name} pointer offset {off} is not allowed", EINVAL)
    if s.smin == S64_MIN:
        raise w.refuse(f"math between {name} pointer and register with unbounded min value is not allowed", EINVAL)
    if not -MAX_VAR_OFF < s.smin < MAX_VAR_OFF:
        raise w.refuse(f"value {s.smin} makes {name} pointer be out of bounds", EINVAL)


def move_pointer(w: Walk, insn: Instruction, ptr: RegState, by: RegState, ptr_is_dst: bool) -> None:
    """dst = ptr +- by (`adjust_ptr_min_max_vals`)."""
    regs = w.state.frames[-1].regs
    fn, dst = insn.op.fn, insn.dst
    b = by.scalar
    known = b.m == 0
    if (known and (b.smin != b.smax or b.umin != b.umax)) or b.smin > b.smax or b.umin > b.umax:
        regs[dst] = w.unknown_reg
        return
    if insn.kind != ops.ALU64:
        if fn == ops.SUB and w.allow_ptr_leaks:
            regs[dst] = w.unknown_reg
            return
        raise w.refuse(f"R{dst} 32-bit pointer arithmetic prohibited")
    _may_move(w, fn, dst, ptr, b, known)
    _sane_offset(w, b, by.off, ptr.kind)        # a linked number has an offset, too
    _sane_offset(w, ptr.scalar, ptr.off, ptr.kind)
    limit = speculation.NONE
    if fn in (ops.ADD, ops.SUB):
        limit = speculation.pointer_alu(w, insn, ptr, by, ptr_is_dst)
    moved = _moved(w, fn, dst, ptr, b, known, ptr_is_dst)
    _sane_offset(w, moved.scalar, moved.off, ptr.kind)
    regs[dst] = moved.with_scalar(bounds.deduce(moved.scalar, w.k.deduce)) if moved.scalar.m else moved
    speculation.check_pointer(w, dst)
    if fn in (ops.ADD, ops.SUB):
        speculation.commit(w, insn, limit, regs[dst], by, ptr_is_dst)


def _may_move(w: Walk, fn: int, dst: int, ptr: RegState, b: Scalar, known: bool) -> None:
    kind = ptr.kind
    if kind & rs.MAYBE_NULL and not (w.k.nullable_moves and kind & rs.BASE == rs.MEM):
        raise w.refuse(f"R{dst} pointer arithmetic on {_called(w, kind)} prohibited, null-check it first")
    if kind & rs.BASE in _MOVABLE:
        return
    if kind & rs.BASE == rs.FLOW_KEYS and known and w.k.version >= (6, 8):
        return
    if kind & rs.BASE in (rs.FLOW_KEYS, rs.MAP_PTR) and known and b.smin == 0 and fn == ops.ADD:
        return
    raise w.refuse(f"R{dst} pointer arithmetic on {_called(w, kind)} prohibited")


def _called(w: Walk, kind: int) -> str:
    return slides.NAMES.get(kind, w.named(kind)) if w.k.slides else w.named(kind)


def _moved(w: Walk, fn: int, dst: int, ptr: RegState, b: Scalar, known: bool, ptr_is_dst: bool) -> RegState:
    p = ptr.scalar
    packet = ptr.kind in rs.PACKET_KINDS
    if fn == ops.ADD:
        if known and s32(ptr.off + b.smin) == ptr.off + b.smin:
            return ptr.moved(ptr.off + b.smin, _no_halves(w, p), ptr.id, ptr.range)
        s = _no_halves(w, p).copy()
        add_ranges(s, b, 0)
        bounds.forget32(s)
        s.v, s.m = tnum.add((p.v, p.m), (b.v, b.m))
        return ptr.moved(ptr.off, s, w.new_id() if packet else ptr.id, 0 if packet else ptr.range)
    if fn == ops.SUB:
        if not ptr_is_dst:
            raise w.refuse(f"R{dst} tried to subtract pointer from scalar")
        if ptr.kind == rs.STACK:
            raise w.refuse(f"R{dst} subtraction from stack pointer prohibited")
        if known and s32(ptr.off - b.smin) == ptr.off - b.smin:
            return ptr.moved(ptr.off - b.smin, _no_halves(w, p), ptr.id, ptr.range)
        s = p.copy()
        bounds.forget32(s)
        low, high = p.smin - b.smax, p.smax - b.smin
        s.smin, s.smax = (low, high) if low >= S64_MIN and high <= S64_MAX else (S64_MIN, S64_MAX)
        s.umin, s.umax = (0, U64_MAX) if p.umin < b.umax else (p.umin - b.umax, (p.umax - b.umin) & U64_MAX)
        s.v, s.m = tnum.sub((p.v, p.m), (b.v, b.m))
        return ptr.moved(ptr.off, s, w.new_id() if packet else ptr.id, 0 if packet and b.smin < 0 else ptr.range)
    if fn in (ops.AND, ops.OR, ops.XOR):
        raise w.refuse(f"R{dst} bitwise operator {SYMBOLS[fn]} on pointer prohibited")
    raise w.refuse(f"R{dst} pointer arithmetic with {SYMBOLS[fn]} operator prohibited")


def _no_halves(w: Walk, p: Scalar) -> Scalar:
    """The low half of a pointer's offset is recomputed from the whole."""
    if p.m == 0:
        return p
    s = p.copy()
    bounds.forget32(s)
    return s

