"""What a processor may do before it knows better: rules for programs without CAP_PERFMON.

A mispredicted branch makes the processor run instructions that the program never would, with registers the verifier
never allowed there.  For such programs the walker (1) also walks the side of a decided branch that cannot be taken,
as a *speculative* path, (2) computes for pointer arithmetic with an unknown number a limit that the number is masked
to, and since 6.17 (3) puts a barrier (`nospec`) where a speculative path does something it must not, instead of
refusing.

Source: kernel/bpf/verifier.c `sanitize_ptr_alu`, `sanitize_speculative_path`, `do_check`; slide 20.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import regions
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.log import tnum_text
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import U32_MAX, s64
from bpfbench.verifier.walk import EACCES, Refuse, Walk

NEGATIVE: Final = 1 << 2        # states of an instruction whose operand is masked
MASK_SRC: Final = 1 << 0
MASK_DST: Final = 1 << 1
NUMBERS: Final = 1 << 3
IMMEDIATE: Final = 1 << 4

BOUNDS: Final = -1              # reasons not to mask
TYPE: Final = -2
PATHS: Final = -3
LIMIT: Final = -4
_PROHIBITED: Final = "pointer arithmetic with it prohibited for !root"


@final
class Window:
    """The limit computed before the arithmetic, compared with that after it."""

    __slots__ = ("state", "limit", "left")

    def __init__(self, state: int, limit: int, left: bool) -> None:
        self.state = state
        self.limit = limit
        self.left = left


NONE: Final = Window(0, 0, False)


def _skip(w: Walk, insn: Instruction) -> bool:
    return w.bypass_v1 or insn.op.imm or (w.k.nospec and w.aux[w.pc].nospec)


def _refused(w: Walk, insn: Instruction, reason: int, off_is_dst: bool) -> Refuse:
    dst, src = insn.dst, insn.src
    verb = "add" if insn.op.fn == ops.ADD else "sub"
    if reason == BOUNDS:
        text = f"R{dst if off_is_dst else src} has unknown scalar with mixed signed bounds, {_PROHIBITED}"
    elif reason == TYPE:
        text = f"R{src if off_is_dst else dst} has pointer with unsupported alu operation, {_PROHIBITED}"
    elif reason == PATHS:
        text = f"R{dst} tried to {verb} from different maps, paths or scalars, {_PROHIBITED}"
    else:
        text = f"R{dst} tried to {verb} beyond pointer bounds, {_PROHIBITED}"
    return w.refuse(text)


def _agree(w: Walk, state: int, limit: int) -> bool:
    """All paths must need the same mask at an instruction."""
    aux = w.note(w.pc)
    if aux.alu_state and (aux.alu_state != state or aux.alu_limit != limit):
        return False
    aux.alu_state = state
    aux.alu_limit = limit
    return True


def number_alu(w: Walk, insn: Instruction) -> None:
    """Addition of numbers: no path may need a mask here."""
    if not _skip(w, insn) and not _agree(w, NUMBERS, 0):
        raise _refused(w, insn, PATHS, False)


def _limit(ptr: RegState, left: bool) -> int:
    """How far the pointer may move in that direction, or a reason."""
    if ptr.kind == rs.STACK:
        most = 512 + (1 if left else 0)
        limit = -(ptr.scalar.v + ptr.off)
    elif ptr.kind == rs.MAP_VALUE:
        assert ptr.map is not None
        most = ptr.map.value_size
        limit = (ptr.scalar.smin if left else ptr.scalar.umax) + ptr.off
    else:
        return TYPE
    limit &= U32_MAX
    return LIMIT if limit >= most else limit


def pointer_alu(w: Walk, insn: Instruction, ptr: RegState, by: RegState, ptr_is_dst: bool) -> Window:
    """Before the arithmetic."""
    if _skip(w, insn):
        return NONE
    b = by.scalar
    window = NONE
    if not w.state.speculative:
        if b.m and (b.smin < 0) != (b.smax < 0):
            raise _refused(w, insn, BOUNDS, not ptr_is_dst)
        left = (insn.op.fn == ops.ADD) == (b.smin < 0)
        limit = _limit(ptr, left)
        if limit < 0:
            raise _refused(w, insn, limit, not ptr_is_dst)
        state = (NEGATIVE if b.smin < 0 else 0) | (IMMEDIATE if not b.m else 0) | (MASK_SRC if ptr_is_dst else MASK_DST)
        if b.m:
            w.explore_alu_limits = True
        window = Window(state, limit, left)
    if not b.m:
        return window
    regs = w.state.frames[-1].regs
    saved = regs[insn.dst]
    if not ptr_is_dst:
        regs[insn.dst] = ptr
    also_walk(w, None, w.pc + 1, w.pc)
    regs[insn.dst] = saved
    return window


def commit(w: Walk, insn: Instruction, window: Window, moved: RegState, by: RegState, ptr_is_dst: bool) -> None:
    """After the arithmetic: the distance moved is the mask, and must be the same on every path."""
    if _skip(w, insn) or w.state.speculative:
        return
    limit = _limit(moved, window.left)
    if limit < 0:
        raise _refused(w, insn, limit, not ptr_is_dst)
    if not _agree(w, window.state, abs(window.limit - limit)):
        raise _refused(w, insn, PATHS, not ptr_is_dst)


def check_pointer(w: Walk, r: int) -> None:
    """Where an unprivileged pointer may point (`sanitize_check_bounds`)."""
    if w.bypass_v1:
        return
    reg = w.state.frames[-1].regs[r]
    s = reg.scalar
    if reg.kind == rs.STACK:
        off = reg.off + s64(s.v)
        if s.m:
            raise w.refuse(f"R{r} variable stack access prohibited for !root, "
                           f"var_off={tnum_text(s.v, s.m, w.k.log_gen)} off={off}")
        if off >= 0 or off < -512:
            raise w.refuse(f"R{r} stack pointer arithmetic goes out of range, prohibited for !root; off={off}")
    elif reg.kind == rs.MAP_VALUE:
        try:
            regions.map_value(w, r, reg.off, 1, False, True)
        except Refuse:
            raise w.refuse(f"R{r} pointer arithmetic of map value goes out of range, prohibited for !root",
                           EACCES) from None


def also_walk(w: Walk, insn: Instruction | None, pc: int, prev: int) -> None:
    """The side of a decided branch that only a misprediction takes (`sanitize_speculative_path`)."""
    from bpfbench.verifier.paths import push

    branch = push(w, pc, prev, True)
    if insn is not None:
        regs = branch.frames[-1].regs
        regs[insn.dst] = w.unknown_reg
        if not insn.op.imm:
            regs[insn.src] = w.unknown_reg
