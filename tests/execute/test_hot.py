"""Compile-when-hot and trace compilation: the arithmetic of the decision, and traces that do what the loop does."""

from __future__ import annotations

import platform

import pytest

import bpfbench as bb
from bpfbench.errors import UsageError
from bpfbench.execute.hot import Price, hot_trace, policy, price

LOOP = """
    r6 = 0
    r7 = 9
 again:
    r6 += r7
    if r6 & 1 goto odd
    r6 += 2
 odd:
    r7 += -1
    if r7 != 0 goto again
    r0 = r6
    exit
"""
ON_HOST = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason="native code runs on x86-64 and AArch64 hosts"
)


def test_the_cost_of_a_threshold() -> None:
    cost = Price(interp_us=100, native_us=1, compile_us=990)
    assert cost.break_even == 10
    assert cost.cost(5, 0) == 995 and cost.cost(5, 5) == 500
    assert min(range(60), key=lambda threshold: cost.cost(50, threshold)) == 0
    assert Price(1, 1, 5).break_even == float("inf")


def test_the_trace_is_the_commonest_path_of_the_busiest_loop() -> None:
    trace = hot_trace(bb.assemble(LOOP))
    assert trace.header == 2 and trace.pcs[-1] == 6
    assert trace.entries == 9
    assert trace.guards[6] == 7                         # when r7 is 0 the loop is left


def test_a_straight_trace_leaves_at_a_guard() -> None:
    """From r6 = 0, r7 = 1 the first iteration fails a guard, which names the slot to go on at."""
    trace = hot_trace(bb.assemble(LOOP))
    straight = trace.straight()
    front = bb.assemble("r6 = 0\nr7 = 1\nexit").insns[:2]
    out = bb.run(bb.Program([*front, *straight.insns], "xdp"))
    assert out.trap is None
    assert out.r0 in trace.guards.values()


def test_a_program_without_loops_has_no_trace() -> None:
    with pytest.raises(UsageError, match="no trace"):
        hot_trace(bb.assemble("r0 = 1\nexit"))


@ON_HOST
def test_measured_prices_are_positive() -> None:
    found = price(bb.assemble(LOOP), runs=20)
    assert found.interp_us > 0 and found.native_us > 0 and found.compile_us > 0
    assert policy(bb.assemble(LOOP), runs=4, threshold=2) > 0
