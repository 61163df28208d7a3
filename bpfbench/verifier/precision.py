"""Which numbers matter exactly: walking back to where a value came from.

States are compared loosely: a number that nobody depended on may be any number.  Only when a check depended on one
(an offset added to a pointer, a size, a decided branch) does it become *precise*, and with it everything it was
computed from.  The walk back starts at the instruction that needed it and follows registers and stack slots,
instruction by instruction, to where the value was made; every checkpoint passed on the way is told that it depends on
them:

      r6 = 15                     ◄─ made here, done
      r7 = r6            r7 ──► r6
      r9 += r7           needs r7 exactly

`Wanted` is the set still being followed: per frame, a mask of registers and one of stack slots.

Source: kernel/bpf/verifier.c `__mark_chain_precision`, `backtrack_insn`; slides 32, 33.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.jump_history import previous, step_at
from bpfbench.verifier.log import state_text
from bpfbench.verifier.state import MAIN, Slot, State, Step
from bpfbench.verifier.walk import EFAULT, Walk

ARGS: Final = 0b111110
GIVE_UP: Final = 1              # cannot be followed: every number becomes precise


@final
class Wanted:
    """Registers and stack slots being followed, as masks per frame; `frame` is the current one."""

    __slots__ = ("frame", "regs", "slots")

    def __init__(self, frame: int) -> None:
        self.frame = frame
        self.regs = [0] * 8
        self.slots = [0] * 8

    @property
    def empty(self) -> bool:
        return not any(self.regs[:self.frame + 1]) and not any(self.slots[:self.frame + 1])


def mark_chain(w: Walk, reg: int) -> None:
    """The register's value matters exactly (`mark_chain_precision`)."""
    if not w.k.subprog_history:
        from bpfbench.verifier.precision_61 import mark_chain_61

        mark_chain_61(w, len(w.state.frames) - 1, reg, -1)
        return
    wanted = Wanted(len(w.state.frames) - 1)
    wanted.regs[wanted.frame] = 1 << reg
    walk_back(w, w.state, wanted, True)


def walk_back(w: Walk, start: State, wanted: Wanted, skip_first: bool) -> bool:
    """Follow `wanted` from `start` to its sources; answers whether any mark is new."""
    if not w.bpf_capable or not w.k.precision or wanted.empty:
        return False
    state: State = start
    first, last, later = state.first, w.pc, -1
    if state is not w.state:
        last = state.pc
    changed = False
    verbose = w.log is not None and w.log.level >= 2
    while True:
        end = len(state.history)
        if verbose:
            _log(w, f"mark_precise: frame{wanted.frame}: last_idx {last} first_idx {first} subseq_idx {later} ")
        if last < 0:
            _function_entry(w, state, wanted)
            return changed
        pc = last
        while True:
            if skip_first:
                skip_first = False
            elif _back(w, pc, later, step_at(state, end, pc), wanted, verbose) == GIVE_UP:
                all_precise(w, start, verbose)
                return True
            if wanted.empty:
                return changed
            later = pc
            pc, end = previous(state, pc, end)
            if pc < 0:
                break
            if pc >= len(w.insns):
                raise w.refuse(f"verifier bug: backtracking idx {pc}", EFAULT)
        parent = state.parent
        if parent is None:
            break
        state = parent
        changed |= _mark(w, state, wanted, verbose)
        if wanted.empty:
            return changed
        later = first
        last = state.last
        first = state.first
    if not wanted.empty:
        all_precise(w, start, verbose)
        changed = True
    return changed


def _log(w: Walk, text: str) -> None:
    if w.log is not None:
        w.log.line(text)


def _function_entry(w: Walk, state: State, wanted: Wanted) -> None:
    """A global function is verified by itself: its arguments are where values come from."""
    frame = state.frames[0]
    if len(state.frames) == 1 and frame.subprog > 0 and frame.callsite == MAIN and not wanted.slots[wanted.frame] \
            and not wanted.regs[wanted.frame] & ~ARGS:
        for i in range(1, 6):
            if wanted.regs[wanted.frame] >> i & 1 and frame.regs[i].kind == rs.SCALAR:
                frame.regs[i] = frame.regs[i].with_precise(True)
        return
    raise w.refuse(f"verifier bug: backtracking func entry subprog {frame.subprog} reg_mask "
                   f"{wanted.regs[wanted.frame]:x} stack_mask {wanted.slots[wanted.frame]:x}", EFAULT)


def _mark(w: Walk, state: State, wanted: Wanted, verbose: bool) -> bool:
    """Tell a checkpoint what it depends on, and stop following what it was already told."""
    changed = False
    for number in range(wanted.frame, -1, -1):
        frame = state.frames[number]
        mask = wanted.regs[number]
        for i in _bits(mask):
            reg = frame.regs[i]
            if reg.kind != rs.SCALAR or reg.precise:
                mask &= ~(1 << i)
            else:
                frame.regs[i] = reg.with_precise(True)
                changed = True
                if w.observer is not None:
                    w.observer.precise(w.processed, w.pc, number, i, -1, state)
        wanted.regs[number] = mask
        mask = wanted.slots[number]
        for i in _bits(mask):
            if i >= len(frame.stack):
                raise w.refuse(f"verifier bug: backtracking stack slot {i}, total slots {len(frame.stack)}", EFAULT)
            slot = frame.stack[i]
            if not slot.spilled_scalar or slot.reg.precise:
                mask &= ~(1 << i)
            else:
                frame.stack[i] = Slot(slot.types, slot.reg.with_precise(True))
                changed = True
                if w.observer is not None:
                    w.observer.precise(w.processed, w.pc, number, -1, i, state)
        wanted.slots[number] = mask
        if verbose:
            shown = state_text(state, number, w.k.log_gen, True, 0, 0)
            _log(w, f"mark_precise: frame{number}: parent state regs={regs_text(wanted.regs[number])} "
                    f"stack={slots_text(wanted.slots[number])}: {shown}")
    return changed


def _bits(mask: int) -> list[int]:
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def regs_text(mask: int) -> str:
    return ",".join(f"r{i}" for i in _bits(mask))


def slots_text(mask: int) -> str:
    return ",".join(f"-{(i + 1) * 8}" for i in _bits(mask))


def all_precise(w: Walk, start: State, verbose: bool) -> None:
    """Where a value cannot be followed, every number of every checkpoint on the path matters."""
    if verbose:
        _log(w, f"mark_precise: frame{len(start.frames) - 1}: falling back to forcing all scalars precise")
    state = start.parent
    while state is not None:
        for number, frame in enumerate(state.frames):
            for i in range(10):
                reg = frame.regs[i]
                if reg.kind == rs.SCALAR and not reg.precise:
                    frame.regs[i] = reg.with_precise(True)
                    if verbose:
                        _log(w, f"force_precise: frame{number}: forcing r{i} to be precise")
            for i, slot in enumerate(frame.stack):
                if slot.spilled_scalar and not slot.reg.precise:
                    frame.stack[i] = Slot(slot.types, slot.reg.with_precise(True))
                    if verbose:
                        _log(w, f"force_precise: frame{number}: forcing fp-{(i + 1) * 8} to be precise")
        state = state.parent


def all_imprecise(state: State) -> None:
    """A fresh checkpoint depends on nothing yet."""
    for frame in state.frames:
        regs = frame.regs
        for i in range(10):
            if regs[i].precise:
                regs[i] = regs[i].with_precise(False)
        for i, slot in enumerate(frame.stack):
            if slot.reg.precise and slot.spilled_scalar:
                frame.stack[i] = Slot(slot.types, slot.reg.with_precise(False))


def _linked(step: Step | None, wanted: Wanted) -> None:
    """Registers refined together are wanted together (`bt_sync_linked_regs`)."""
    if step is None or not step.linked:
        return
    some = False
    for frame, is_reg, number in step.linked:
        mask = wanted.regs[frame] if is_reg else wanted.slots[frame]
        if mask >> number & 1:
            some = True
            break
    if not some:
        return
    for frame, is_reg, number in step.linked:
        if is_reg:
            wanted.regs[frame] |= 1 << number
        else:
            wanted.slots[frame] |= 1 << number


def _back(w: Walk, pc: int, later: int, step: Step | None, wanted: Wanted, verbose: bool) -> int:
    """Undo one instruction: what had to be known before it (`backtrack_insn`)."""
    insn = w.insns[pc]
    if insn is None:
        return 0
    f = wanted.frame
    if verbose:
        _log(w, f"mark_precise: frame{f}: regs={regs_text(wanted.regs[f])} stack={slots_text(wanted.slots[f])} "
                f"before {pc}: {w.insn_text[pc]}")
    _linked(step, wanted)
    kind = insn.kind
    dst, src = 1 << insn.dst, 1 << insn.src
    mask = wanted.regs[f]
    if kind <= ops.ZEXT32:
        if not mask & dst:
            return 0
        if kind in (ops.ALU64, ops.ALU32):
            if insn.op.fn == ops.MOV:
                mask &= ~dst
                if not insn.op.imm and insn.src != 10:
                    mask |= src
            elif not insn.op.imm and insn.op.fn != ops.NEG and insn.src != 10:
                mask |= src
        elif kind in (ops.MOVSX, ops.ADDR_CAST):
            mask &= ~dst
            if insn.src != 10:
                mask |= src
        wanted.regs[f] = mask
    elif kind in (ops.LDX, ops.LDXS, ops.LOAD_ACQ) or (kind == ops.ATOMIC and insn.op.fn & 1 and w.k.fetch_back):
        if kind == ops.ATOMIC:
            dst = 1 if insn.op.fn == ops.CMPXCHG else src
        if not mask & dst:
            return 0
        wanted.regs[f] = mask & ~dst
        if step is None or step.slot < 0:
            return 0
        wanted.slots[step.frame] |= 1 << step.slot
    elif kind in (ops.STX, ops.ST, ops.ATOMIC, ops.STORE_REL):
        if mask & dst:
            return GIVE_UP
        if step is None or step.slot < 0 or not wanted.slots[step.frame] >> step.slot & 1:
            return 0
        wanted.slots[step.frame] &= ~(1 << step.slot)
        if kind != ops.ST:
            wanted.regs[f] |= src
    elif kind in (ops.JMP, ops.JMP32):
        if insn.op.imm:
            pass
        elif not mask & (dst | src):
            return 0
        elif w.k.jump_chain:
            if step is None or not step.stack_operands & 2:
                wanted.regs[f] |= src
            if step is None or not step.stack_operands & 1:
                wanted.regs[f] |= dst
    elif kind in (ops.CALL, ops.CALL_LOCAL, ops.CALL_KFUNC, ops.EXIT):
        return _back_call(w, pc, later, wanted, kind)
    elif kind == ops.LDDW:
        wanted.regs[f] = mask & ~dst
        return 0
    elif kind in (ops.LD_ABS, ops.LD_IND):
        if mask & 1:
            return GIVE_UP
        if later != pc + 1 and w.k.tail_exits:
            _enter(w, wanted)
        return 0
    _linked(step, wanted)
    return 0


def _bug(w: Walk, wanted: Wanted, what: str) -> None:
    raise w.refuse(f"verifier bug: {what} {wanted.regs[wanted.frame]:x}", EFAULT)


def _enter(w: Walk, wanted: Wanted) -> None:
    if wanted.frame == 7:
        _bug(w, wanted, "subprog enter")
    wanted.frame += 1


def _back_call(w: Walk, pc: int, later: int, wanted: Wanted, kind: int) -> int:
    f = wanted.frame
    aux = w.aux[pc]
    insn = w.insns[pc]
    assert insn is not None
    if kind == ops.CALL_LOCAL:
        if w.subprogs[w.subprog_starting(pc + insn.imm + 1)].is_global:
            if wanted.regs[f] & ARGS:
                _bug(w, wanted, "global subprog unexpected regs")
            wanted.regs[f] &= ~1
            return 0
        # The start of a function: arguments are wanted from the caller.
        if wanted.regs[f] & ~ARGS or wanted.slots[f]:
            _bug(w, wanted, "static subprog unexpected regs")
        wanted.regs[f - 1] |= wanted.regs[f] & ARGS
        wanted.regs[f] = 0
        wanted.frame -= 1
        return 0
    if kind == ops.EXIT:
        if later >= 0 and w.aux[later].calls_callback:
            wanted.regs[f] &= ~ARGS             # the helper sets them for the next round
        from_call = later - 1 >= 0 and _calls_local(w, later - 1)
        r0 = from_call and wanted.regs[f] & 1
        if from_call and wanted.regs[f] & ARGS:
            _bug(w, wanted, "backtracking exit unexpected regs")
        wanted.regs[f] &= ~1
        _enter(w, wanted)
        if r0:
            wanted.regs[wanted.frame] |= 1
        return 0
    if aux.calls_callback and pc != later - 1:
        if wanted.regs[f] & ~ARGS or wanted.slots[f]:
            _bug(w, wanted, "callback unexpected regs")
        wanted.regs[f] = 0
        wanted.frame -= 1
        return 0
    if kind == ops.CALL_KFUNC and insn.imm == 0:
        return GIVE_UP
    wanted.regs[f] &= ~1
    if wanted.regs[f] & ARGS:
        _bug(w, wanted, "backtracking call unexpected regs")
    return 0


def _calls_local(w: Walk, pc: int) -> bool:
    insn = w.insns[pc]
    return insn is not None and insn.kind == ops.CALL_LOCAL
