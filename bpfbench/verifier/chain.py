"""Liveness by parent chain: read marks travel up the states of a path (slides 32, 33; kernels up to 6.17)."""

from __future__ import annotations

from bpfbench.verifier.state import Frame, State
from bpfbench.verifier.walk import Walk


def mark_read(w: Walk, frame: Frame, r: int) -> None:
    pass


def mark_slot(w: Walk, frame: Frame, spi: int) -> None:
    pass


def enter_frame(caller: Frame, callee: Frame) -> None:
    pass


def leave_frame(caller: Frame, callee: Frame) -> None:
    pass


def update_loop_entry_of_parent(st: State) -> None:
    pass


def clean_finished(w: Walk, at: list[State], pc: int) -> None:
    pass


def unfinished_loop(old: State) -> bool:
    return False


def covered(w: Walk, old: State, state: State, loop: bool) -> None:
    pass


def evicted(w: Walk, old: State) -> None:
    pass


def start_marks(new: State, state: State) -> None:
    pass
