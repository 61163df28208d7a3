"""Stepping through a run in both directions."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.debug.stepper import Stepper, record
from bpfbench.errors import DebugError
from bpfbench.program.program import Program, SourceLine

TEXT = """
    r6 = 2
A:  r1 = r6
    call pc+5
    *(u64 *)(r10 - 8) = r0
    r6 += -1
    if r6 != 0 goto A
    r0 = *(u64 *)(r10 - 8)
    exit
    r0 = r1
    r0 *= 10
    exit
"""


def program() -> Program:
    prog = bb.assemble(TEXT)
    prog.lines = {0: SourceLine("a.c", 1), 1: SourceLine("a.c", 2), 4: SourceLine("a.c", 3), 6: SourceLine("a.c", 4),
                  8: SourceLine("a.c", 9)}  # fmt: skip
    return prog


@pytest.fixture
def run() -> Stepper:
    prog = program()
    return record(prog, code=bb.jit(prog), verification=bb.verify(prog, trace=True))


def test_every_step_can_be_visited_in_any_order(run: Stepper) -> None:
    assert len(run) == 1 + 2 * 8 + 2 and run.r0 == 10 and run.trap is None
    last = run.to_end()
    assert (last.text, last.registers[0]) == ("exit", 10)
    assert run.back(2).text == "if r6 != 0x0 goto pc-5"
    assert run.to_start().step == 0 and run.forward(3).depth == 1


def test_breakpoints_work_in_both_directions(run: Stepper) -> None:
    first, second = run.run_to(3), run.run_to(3)
    assert first is not None and second is not None and [m.registers[0] for m in (first, second)] == [20, 10]
    assert run.run_to(3) is None and run.now.step == second.step
    assert run.back_to(3) is not None and run.now.step == first.step


def test_who_set_a_register(run: Stepper) -> None:
    run.to_end()
    assert run.who_set(6) is not None and run.now.pc == 4


def test_memory_is_as_it_was(run: Stepper) -> None:
    assert run.memory("stack", -8, 8) == [None] * 8
    run.run_to(4)
    assert run.memory("stack", -8, 8) == [20, 0, 0, 0, 0, 0, 0, 0]
    run.to_end()
    assert run.memory("stack", -8, 2) == [10, 0]


def test_lines_step_over_calls(run: Stepper) -> None:
    lines = []
    while (moment := run.next_line()) is not None:
        lines.append(moment.line.line if moment.line is not None else 0)
    assert lines == [2, 3, 2, 3, 4]
    assert run.previous_line() is not None and run.now.line is not None and run.now.line.line == 3


def test_a_moment_shows_native_code_and_abstract_states(run: Stepper) -> None:
    moment = run.run_to(9)
    assert moment is not None and moment.native and "imul" in moment.native[0].text
    assert moment.covered >= 1 and len(moment.abstract) >= moment.covered
    assert all(run.at(step).covered for step in range(len(run)))  # the verifier's states cover every concrete one


def test_a_trap_is_where_the_tape_ends() -> None:
    run = record(bb.assemble("r1 = 0\nr0 = *(u8 *)(r1 + 0)\nexit"))
    assert run.trap is not None and run.to_end().pc == 1
    with pytest.raises(DebugError, match="steps 0 to 1, not 7"):
        run.at(7)
