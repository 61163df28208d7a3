"""Precision tracking before 6.5: within one function, along [fp-8] addresses only.

The walk back knows a stack slot only when the instruction names it as an offset from r10, and gives up (every number
becomes precise) at a call of a function, at a callback and at an exit.

Source: kernel/bpf/verifier.c (6.1) `__mark_chain_precision`, `backtrack_insn`.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import helper_protos as hp
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.jump_history import previous
from bpfbench.verifier.log import state_text
from bpfbench.verifier.state import MAIN, Slot, State
from bpfbench.verifier.walk import EFAULT, Walk

ARGS = 0b111110
_HAD = {True: "didn't have", False: "already had"}


def mark_chain_61(w: Walk, frame: int, reg: int, spi: int) -> None:
    """A register or stack slot of a frame matters exactly."""
    if not w.bpf_capable or not w.k.precision:
        return
    state: State = w.state
    regs = 1 << reg if reg >= 0 else 0
    slots = 1 << spi if spi >= 0 else 0
    if spi >= 0 and not (spi < len(state.frames[frame].stack) and state.frames[frame].stack[spi].spilled_scalar):
        slots = 0
    if not regs and not slots:
        return
    verbose = w.log is not None and w.log.level >= 2
    first, last = state.first, w.pc
    skip = True
    while True:
        end = len(state.history)
        if verbose and w.log is not None:
            w.log.line(f"last_idx {last} first_idx {first}")
        if last < 0:
            _entry(w, state, regs, slots)
            return
        pc = last
        while True:
            if skip:
                skip = False
            else:
                insn = w.insns[pc]
                if insn is not None:
                    if verbose and w.log is not None:
                        w.log.line(f"regs={regs:x} stack={slots:x} before {pc}: {w.insn_text[pc]}")
                    done, regs, slots = _back(w, insn, regs, slots)
                    if not done:
                        _all_precise(state)
                        return
            if not regs and not slots:
                return
            pc, end = previous(state, pc, end)
            if pc < 0:
                break
        parent = state.parent
        if parent is None:
            return
        state = parent
        fresh, regs, slots, lost = _mark(w, state, frame, regs, slots)
        if lost:
            _all_precise(state)
            return
        if verbose and w.log is not None:
            w.log.line(f"parent {_HAD[fresh]} "
                       f"regs={regs:x} stack={slots:x} marks:{state_text(state, frame, 0, True, 0, 0)}")
        if (not regs and not slots) or not fresh:
            return
        last, first = state.last, state.first


def _entry(w: Walk, state: State, regs: int, slots: int) -> None:
    frame = state.frames[0]
    if len(state.frames) == 1 and frame.subprog > 0 and frame.callsite == MAIN and not slots and not regs & ~ARGS:
        for i in range(1, 6):
            if regs >> i & 1 and frame.regs[i].kind == rs.SCALAR:
                frame.regs[i] = frame.regs[i].with_precise(True)
        return
    raise w.refuse(f"BUG backtracing func entry subprog {frame.subprog} reg_mask {regs:x} stack_mask {slots:x}", EFAULT)


def _mark(w: Walk, state: State, number: int, regs: int, slots: int) -> tuple[bool, int, int, bool]:
    fresh = False
    frame = state.frames[number]
    for i in range(11):
        if regs >> i & 1:
            reg = frame.regs[i]
            if reg.kind != rs.SCALAR:
                regs &= ~(1 << i)
                continue
            if not reg.precise:
                fresh = True
                frame.regs[i] = reg.with_precise(True)
    for i in range(slots.bit_length()):
        if slots >> i & 1:
            if i >= len(frame.stack):
                return fresh, regs, slots, True
            slot = frame.stack[i]
            if not slot.spilled_scalar:
                slots &= ~(1 << i)
                continue
            if not slot.reg.precise:
                fresh = True
                frame.stack[i] = Slot(slot.types, slot.reg.with_precise(True))
    return fresh, regs, slots, False


def _all_precise(start: State) -> None:
    state = start.parent
    while state is not None:
        for frame in state.frames:
            for i in range(10):
                if frame.regs[i].kind == rs.SCALAR:
                    frame.regs[i] = frame.regs[i].with_precise(True)
            for i, slot in enumerate(frame.stack):
                if slot.spilled_scalar:
                    frame.stack[i] = Slot(slot.types, slot.reg.with_precise(True))
        state = state.parent


def _back(w: Walk, insn: Instruction, regs: int, slots: int) -> tuple[bool, int, int]:
    """Undo one instruction; False: give up."""
    kind = insn.kind
    dst, src = 1 << insn.dst, 1 << insn.src
    if kind <= ops.ZEXT32:
        if regs & dst and kind in (ops.ALU64, ops.ALU32):
            if insn.op.fn == ops.MOV:
                regs &= ~dst
                if not insn.op.imm:
                    regs |= src
            elif not insn.op.imm and insn.op.fn != ops.NEG:
                regs |= src
    elif kind == ops.LDX or (kind == ops.ATOMIC and insn.op.fn & 1):
        base = insn.src
        if kind == ops.ATOMIC:
            dst = 1 if insn.op.fn == ops.CMPXCHG else src
            base = insn.dst
        if regs & dst:
            regs &= ~dst
            if base == 10:
                slots |= 1 << ((-insn.off - 1) >> 3)
    elif kind in (ops.STX, ops.ST, ops.ATOMIC):
        if regs & dst:
            return False, regs, slots
        bit = 1 << ((-insn.off - 1) >> 3) if insn.dst == 10 else 0
        if slots & bit:
            slots &= ~bit
            if kind != ops.ST:
                regs |= src
    elif kind in (ops.JMP, ops.JMP32):
        if not insn.op.imm and regs & (dst | src) and w.k.jump_chain:
            regs |= dst | src
    elif kind in (ops.CALL_LOCAL, ops.EXIT):
        return False, regs, slots
    elif kind in (ops.CALL, ops.CALL_KFUNC):
        if (kind == ops.CALL_KFUNC and insn.imm == 0) or (kind == ops.CALL and insn.imm in hp.CALLS_BACK):
            return False, regs, slots
        regs &= ~1
        if regs & 0x3F:
            raise w.refuse(f"BUG regs {regs:x}", EFAULT)
    elif kind == ops.LDDW:
        regs &= ~dst
    elif kind in (ops.LD_ABS, ops.LD_IND):
        if regs & 1:
            return False, regs & ~1, slots
    return True, regs, slots
