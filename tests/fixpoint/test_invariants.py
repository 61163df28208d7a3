"""What the analysis says about blocks: ranges behind loops, relations, failure slices, statistics."""

from __future__ import annotations

import bpfbench as bb
from bpfbench.fixpoint import values as vs
from bpfbench.verdicts import side_by_side

LOOP = "r1 = 0\nr2 = 0\nA: r2 += 1\nr1 += 4\nif r1 < 400000 goto A\nr0 = r1\nexit"


def test_a_loop_too_long_to_unroll_is_widened_and_narrowed() -> None:
    v = bb.verify_static(bb.assemble(LOOP))
    assert v.accepted and v.stats.widenings > 0
    head = v.at(2)
    assert vs.text(head.reg(1)) == "0..399996 step 4"
    assert vs.text(v.at(5).reg(1)) == "400000"
    assert v.stats.steps < 3000             # 100,000 rounds are not walked


def test_invariants_are_one_state_per_way_there() -> None:
    v = bb.verify_static(bb.assemble("r0 = 1\nif r1 == 0 goto +1\nr0 = 3\nexit"))
    assert [vs.text(x) for x in v.invariant(2).regs(0)] in (["1", "3"], ["3"])
    assert "r0=3" in str(v.invariant(2)) and v.invariant(2).reachable
    assert set(v.invariants) == {b.index for b in v.cfg.blocks}


def test_the_failure_slice_has_what_matters_and_no_more() -> None:
    text = """.map m hash 8 16 4
        *(u64 *)(r10 -8) = 0
        r6 = 7
        r2 = r10
        r2 += -8
        r1 = map[m]
        call map_lookup_elem
        if r0 == 0 goto out
        r6 += 1
        r1 = *(u64 *)(r0 +0)
        r1 &= 15
        r7 = r6
        r0 += r1
        r3 = *(u16 *)(r0 +0)
    out: r0 = 0
        exit"""
    v = bb.verify_static(bb.assemble(text))
    assert v.rejection is not None and v.rejection.rule == "out-of-bounds"
    assert v.rejection.pc == 13
    relevant = v.rejection.relevant
    assert {6, 7, 9, 10, 12, 13} <= set(relevant)           # lookup, null check, load, mask, sum, access
    assert not {1, 8, 11} & set(relevant)                   # r6 and r7 have nothing to do with it
    assert "instructions that matter" in v.explain()


def test_sizes_and_times_are_told() -> None:
    stats = bb.verify_static(bb.assemble(LOOP)).stats
    assert stats.blocks == 3 and stats.visits >= 3 and stats.joins > 0 and stats.seconds > 0
    assert "3 blocks" in repr(stats)


def test_side_by_side_names_the_first_difference() -> None:
    """Forks whose outcome stays alive, and is used as an index or not."""
    body = "\n".join(f"if r8 & {1 << i} goto A{i}\nr7 += {1 << i}\nA{i}:" for i in range(10))
    use = "r2 = r10\nr2 += -512\nif r7 > 500 goto +2\nr2 += r7\n*(u8 *)(r2 +0) = 0\nr0 = 0\nexit"
    both = side_by_side(bb.assemble(f"call get_prandom_u32\nr8 = r0\nr7 = 0\n{body}\n{use}"))
    assert both.walk.insns_processed > 2 * both.static.stats.steps and not both.differences
    both = side_by_side(bb.assemble(f"call get_prandom_u32\nr8 = r0\nr7 = 0\n{body}\nr0 = r7\nexit"))
    assert both.same_verdict and both.first is not None      # here the walk has pruned, r7 did not matter to it
    assert both.first.reg == 7 and both.counts["same"] > 3
    assert "first difference: insn" in str(both) and both.to_json()["name"] == "prog"


def test_side_by_side_of_different_verdicts() -> None:
    forever = bb.assemble("A: call get_prandom_u32\nif r0 != 5 goto A\nexit")
    both = side_by_side(forever)
    assert both.same_verdict and not both.static.accepted
    safe = bb.assemble("r1 = 100\nr1 /= 10\nr2 = r10\nr2 += -16\nr2 += r1\n*(u8 *)(r2 +0) = 0\nr0 = 0\nexit")
    both = side_by_side(safe, beyond=("division",))
    assert not both.same_verdict and both.static.accepted and "path walk: " in str(both)
