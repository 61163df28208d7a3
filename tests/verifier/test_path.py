"""`Rejection.path`: the decisions that lead to the refused instruction."""

from __future__ import annotations

import bpfbench as bb


def path(text: str, **options: object) -> list[tuple[int, bool | None, int]]:
    verdict = bb.verify(bb.assemble(text, type="xdp"), **options)  # type: ignore[arg-type]
    assert verdict.rejection is not None
    return [(d.pc, d.taken, d.depth) for d in verdict.rejection.path]


def test_the_refused_side_of_a_fork_is_the_one_told() -> None:
    text = "r0 = 0\nr2 = *(u32 *)(r1 +0)\nif r2 > 3 goto +2\nif r2 == 9 goto +2\nexit\nr0 = r9\nexit"
    assert path(text) == [(2, True, 0), (5, None, 0)]
    assert path(text, trace=True) == path(text)


def test_calls_and_returns_are_on_the_path() -> None:
    text = "call f\nif r0 == 0 goto +1\nr0 = r9\nexit\nf: r0 = *(u32 *)(r1 +0)\nexit"
    assert path(text) == [(0, None, 0), (5, None, 1), (1, False, 0), (2, None, 0)]


def test_every_round_of_a_loop_is_a_decision() -> None:
    text = "r6 = 0\nr6 += 1\nif r6 < 3 goto -2\nr0 = r9\nexit"
    assert path(text) == [(2, True, 0), (2, True, 0), (2, False, 0), (3, None, 0)]


def test_a_refusal_before_the_walk_has_no_path() -> None:
    assert path("r0 = 0\ngoto +5\nexit") == []
