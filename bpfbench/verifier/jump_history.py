"""The trail of a path since its last checkpoint: what precision tracking needs to walk back.

Going backwards from an instruction leads to the one before it, except where a jump or call came from elsewhere; those
are recorded.  So are stack accesses (which slot a value was saved to or filled from, decided by registers that are
long overwritten) and comparisons that refined several linked registers at once.

Source: kernel/bpf/verifier.c `push_jmp_history`, `get_prev_insn_idx`; slides 32, 33.
"""

from __future__ import annotations

from bpfbench.verifier.state import State, Step
from bpfbench.verifier.walk import Walk


def push_step(w: Walk, frame: int, slot: int, stack_operands: int, linked: tuple[tuple[int, bool, int], ...]) -> None:
    """Record the current instruction; several records of one instruction become one."""
    history = w.state.history
    if w.hist_open:
        last = history[-1]
        if slot < 0:
            frame, slot = last.frame, last.slot
        history[-1] = Step(last.pc, last.prev, frame, slot, last.stack_operands | stack_operands, linked)
        return
    history.append(Step(w.pc, w.prev, frame, slot, stack_operands, linked))
    w.hist_open = True


def step_at(state: State, end: int, pc: int) -> Step | None:
    """The record of instruction `pc`, if it is the last of the first `end`."""
    if end > 0 and state.history[end - 1].pc == pc:
        return state.history[end - 1]
    return None


def previous(state: State, pc: int, end: int) -> tuple[int, int]:
    """The instruction executed before `pc`, or -1 at the start of the stretch, and how much history is left."""
    history = state.history
    if pc == state.first and (end == 0 or (end == 1 and history[0].pc == pc)):
        return -1, end
    if end and history[end - 1].pc == pc:
        return history[end - 1].prev, end - 1
    return pc - 1, end
