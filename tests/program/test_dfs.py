"""The depth-first walk of slides 26-28, array by array, and its verdicts beside the live kernel's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from bpfbench.program import dfs
from bpfbench.program.program import Program, from_assembly

SLIDE_26 = "r3 += 1\nif r0 < r1 goto L1\nr1 += r2\ngoto L2\nL1:\nr4 += r3\nL2:\nr0 = r4\nexit"
SLIDE_27 = "r3 += 1\nif r0 < r1 goto L1\nr1 += r2\ngoto L2\nL1:\nr4 += r3\nL2:\nif r4 < 10 goto L1\nexit"


def test_slide_26_walks_both_branches() -> None:
    walk = dfs.walk(from_assembly(SLIDE_26), loops=False)
    assert walk.accepted
    # branch not taken to the exit; then branch taken, up to what is explored already
    assert walk.paths() == [[0, 1, 2, 3, 5, 6], [1, 4, 5]]


def test_slides_27_and_28_end_at_the_back_edge() -> None:
    walk = dfs.walk(from_assembly(SLIDE_27), loops=False)
    assert walk.message == "back-edge from insn 4 to 5"
    assert walk.paths() == [[0, 1, 2, 3, 5, 6], [5, 4, 5]]


def test_the_two_arrays_step_by_step() -> None:
    walk = dfs.walk(from_assembly(SLIDE_27), loops=False)
    assert walk.table() == """\
step  action        edge        0   1   2   3   4   5   6   insn_stack
   0  start         0           D   .   .   .   .   .   .   0
   1  tree edge     0 -> 1     Df   D   .   .   .   .   .   0 1
   2  tree edge     1 -> 2     Df  Df   D   .   .   .   .   0 1 2
   3  tree edge     2 -> 3     Df  Df  Df   D   .   .   .   0 1 2 3
   4  tree edge     3 -> 5     Df  Df  Df  Df   .   D   .   0 1 2 3 5
   5  tree edge     5 -> 6     Df  Df  Df  Df   .  Df   D   0 1 2 3 5 6
   6  explored      6          Df  Df  Df  Df   .  Df   E   0 1 2 3 5
   7  tree edge     5 -> 4     Df  Df  Df  Df   D  Db   E   0 1 2 3 5 4
   8  back edge     4 -> 5     Df  Df  Df  Df  Df  Db   E   0 1 2 3 5 4"""
    assert walk.insn_stack(8) == [0, 1, 2, 3, 5, 4]
    assert walk.insn_status(8)[5] == dfs.DISCOVERED | dfs.BRANCH


def test_with_loops_allowed_everything_is_explored() -> None:
    walk = dfs.walk(from_assembly(SLIDE_27))
    assert walk.accepted and walk.back_edges == [(4, 5)]
    assert set(walk.insn_status(len(walk.steps) - 1)) == {dfs.EXPLORED}


def test_calls_are_edges_into_the_function() -> None:
    walk = dfs.walk(from_assembly("call pc+1\nexit\nr0 = 7\nexit"))
    assert walk.tree == [(0, 1), (0, 2), (2, 3)]


def test_walk_is_not_recursive() -> None:
    assert dfs.walk(from_assembly("r0 = 0\n" * 20000 + "exit")).accepted


def test_shape_errors_are_those_of_the_kernel(records: Callable[[str], Iterator[dict[str, Any]]]) -> None:
    """The walk finds the instruction for which 6.18 refuses a recorded program as unreachable; and nothing in a program
    that is accepted."""
    checked = 0
    pairs = zip(records("kernel-verifier/programs"), records("kernel-verifier/linux-6.18"), strict=True)
    for record, result in pairs:
        unreachable = (result["error"] or "").startswith("unreachable insn")
        if unreachable or result["verdict"] == "accept":
            assert dfs.walk(Program.from_json(record)).message == (result["error"] or ""), record["name"]
            checked += unreachable
    assert checked > 20
