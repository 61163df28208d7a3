"""Liveness as the slides have it: read marks travel up the chain of parent states (slides 32, 33; kernels up to 6.17).

A checkpoint does not know what will be read after it until the path has gone on.  So every register and stack slot of
a state has a link to the same one in the state's parent, and a read walks up these links, marking, until a state in
between had written the value itself:

      checkpoint A   r6 ◄─ read        r7
           ▲          ▲                 ▲  x  written here: the read below is not A's concern
      checkpoint B   r6 ◄─ read        r7 written
           ▲          ▲                 ▲
      current        r0 = r6; r0 += r7

What was not read when all paths behind a checkpoint are done does not matter there, and is forgotten
(`clean_finished`). Marks are bits of `Frame.live` and `stack_live`: 1 low half read, 2 read, 4 written since the
checkpoint, 8 final.

For loops through iterators and callbacks (6.7 to 6.16), `loop_entry` says which unfinished state a finished one leads
back to; marks of such states are not final.

Sources: kernel/bpf/verifier.c (6.12) `mark_reg_read`, `propagate_liveness`, `clean_live_states`, `get_loop_entry`.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import UNINIT
from bpfbench.verifier.state import EMPTY, Frame, State
from bpfbench.verifier.walk import Walk

READ32: Final = 1
READ64: Final = 2
READ: Final = 3
WRITTEN: Final = 4
DONE: Final = 8


def _climb(w: Walk, live: list[int], i: int, parent: Frame | None, at: int, flag: int, slots: bool, first: bool) -> None:
    """Mark the parents of register (or slot) i until a write screens the read (`mark_reg_read`)."""
    screened = first
    count = 0
    while parent is not None:
        if screened and live[i] & WRITTEN:
            break
        marks = parent.stack_live if slots else parent.live
        mark = marks[at]
        if mark & READ == flag or mark & READ64:
            break
        mark |= flag
        if flag == READ64:
            mark &= ~READ32
        marks[at] = mark
        live, i = marks, at
        if slots:
            parent = parent.stack_parents[at]
        else:
            link = parent.parents[at]
            parent, at = link if link is not None else (None, at)
        screened = True
        count += 1
    if count > w.longest_mark_read:
        w.longest_mark_read = count


def mark_read(w: Walk, frame: Frame, r: int) -> None:
    """An instruction reads register r."""
    link = frame.parents[r]
    if link is not None:
        flag = READ64 if reads_whole(w, frame, r) else READ32
        _climb(w, frame.live, r, link[0], link[1], flag, False, True)


def mark_slot(w: Walk, frame: Frame, spi: int) -> None:
    _climb(w, frame.stack_live, spi, frame.stack_parents[spi], spi, READ64, True, True)


def reads_whole(w: Walk, frame: Frame, r: int) -> bool:
    """Does the current instruction read all 64 bits of the register? (`is_reg64`)"""
    insn = w.insns[w.pc] if w.pc < len(w.insns) else None
    if insn is None:
        return True
    kind = insn.kind
    if kind == ops.END:
        return insn.op.size == 64
    if kind in (ops.ALU32, ops.JMP32):
        return False
    if kind == ops.MOVSX:
        return insn.op.fn == 64
    if kind in (ops.STX, ops.ATOMIC, ops.STORE_REL):
        return frame.regs[r].kind != rs.SCALAR or insn.op.size == 8
    return kind != ops.CALL_LOCAL


def enter_frame(caller: Frame, callee: Frame) -> None:
    """The callee's r1-r5 are the caller's, links and all."""
    callee.parents[1:6] = caller.parents[1:6]
    callee.live[1:6] = caller.live[1:6]


SOURCES: Final[dict[str, dict[int, int]]] = {     # callback argument -> the caller's register it is a copy of
    "loop": {2: 3}, "map": {1: 1, 4: 3}, "vma": {1: 1, 3: 4}, "user_ringbuf": {2: 3}, "timer": {},
}  # fmt: skip


def enter_callback(kind: str, caller: Frame, callee: Frame) -> None:
    for to, origin in SOURCES[kind].items():
        callee.parents[to] = caller.parents[origin]
        callee.live[to] = caller.live[origin]


def leave_frame(caller: Frame, callee: Frame) -> None:
    caller.parents[0] = callee.parents[0]
    caller.live[0] = callee.live[0]


def start_marks(new: State, state: State) -> None:
    """A checkpoint was made: the state's marks start afresh, linked to it."""
    last = len(state.frames) - 1
    for number, frame in enumerate(state.frames):
        origin = new.frames[number]
        for i in range(6 if number < last else 0, 10):
            frame.parents[i] = (origin, i)
        frame.live = [0] * 10 + frame.live[10:]
        frame.stack_live = [0] * len(frame.stack)
        frame.stack_parents = [origin] * len(frame.stack)


def covered(w: Walk, old: State, state: State, loop: bool) -> None:
    """The path ends at a checkpoint: what is read behind it, the path reads (`propagate_liveness`)."""
    if loop:
        update_loop_entry(state, (get_loop_entry(old) or old) if not old.branches else old)
    last = len(old.frames) - 1
    for number, source in enumerate(old.frames):
        target = state.frames[number]
        for i in range(6 if number < last else 0, 10):
            _inherit(w, source.live, target, i, False)
        for i in range(min(len(source.stack), len(target.stack))):
            _inherit(w, source.stack_live, target, i, True)


def _inherit(w: Walk, source: list[int], target: Frame, i: int, slots: bool) -> None:
    flag = source[i] & READ
    have = (target.stack_live if slots else target.live)[i] & READ
    if have == READ64 or not flag or have == flag:
        return
    _climb(w, source, i, target, i, flag, slots, False)


# Cleaning -----------------------------------------------------------------------------------------------------------


def clean_finished(w: Walk, at: list[State], pc: int) -> None:
    """Marks of finished checkpoints are final: forget what was not read (`clean_live_states`)."""
    for st in at:
        if st.branches:
            continue
        entry = get_loop_entry(st)
        if entry is not None and entry.branches:
            continue
        if st.pc != pc or not st.same_callsites(w.state) or st.frames[0].live[0] & DONE:
            continue
        st.cleaned = True
        for frame in st.frames:
            for i in range(10):
                if not frame.live[i] & READ:
                    frame.regs[i] = UNINIT
                frame.live[i] |= DONE
            for i in range(len(frame.stack)):
                if not frame.stack_live[i] & READ:
                    frame.stack[i] = EMPTY
                frame.stack_live[i] |= DONE


def evicted(w: Walk, old: State) -> None:
    if old.frames[0].live[0] & DONE and not old.used_as_loop_entry:
        w.peak_states -= 1


# Loop entries (6.7 to 6.16) -----------------------------------------------------------------------------------------


def get_loop_entry(st: State) -> State | None:
    topmost = st.loop_entry
    while topmost is not None and topmost.loop_entry is not None and topmost is not topmost.loop_entry:
        topmost = topmost.loop_entry
    at: State | None = st
    while at is not None and at.loop_entry is not topmost:
        following = at.loop_entry
        at.loop_entry = topmost
        at = following
    return topmost


def update_loop_entry(st: State, header: State) -> None:
    mine = get_loop_entry(st) or st
    theirs = get_loop_entry(header) or header
    if theirs.branches and theirs.depth <= mine.depth:
        st.loop_entry = header
        header.used_as_loop_entry = True


def update_loop_entry_of_parent(st: State) -> None:
    if st.loop_entry is not None and st.parent is not None:
        update_loop_entry(st.parent, st.loop_entry)


def unfinished_loop(old: State) -> bool:
    entry = get_loop_entry(old)
    return entry is not None and entry.branches > 0
