"""Arithmetic and comparisons of all small ranges and bit patterns around the places where numbers wrap.

A range has no width of its own to make small, so all ranges of four neighbours and all patterns of three low bits are
taken at each seam: 0 (where -1 meets 0), 2^31, 2^32 and 2^63.
"""

from __future__ import annotations

from functools import cache

import pytest

from bpfbench.bits import U64_MAX
from bpfbench.isa import ops
from bpfbench.verifier import bounds, refine
from bpfbench.verifier.features import features
from bpfbench.verifier.scalar import Scalar, s64
from bpfbench.verifier.transfer import fold

from .test_ranges import holds

SEAMS = (0, 1 << 31, 1 << 32, 1 << 63)
PAIRS = [(a, b) for a in SEAMS for b in SEAMS if a == b or b == 0 or a == 0]
NEIGHBOURS = range(-2, 2)
SHIFTS = (ops.LSH, ops.RSH, ops.ARSH)
ARITHMETIC = (ops.ADD, ops.SUB, ops.MUL, ops.OR, ops.AND, ops.XOR)
COMPARISONS = (ops.JEQ, ops.JNE, ops.JGT, ops.JGE, ops.JLT, ops.JLE, ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE, ops.JSET)
Known = tuple[Scalar, tuple[int, ...]]


@cache
def known(seam: int, how: int) -> tuple[Known, ...]:
    """Every range and every pattern at a seam, with its members."""
    found: list[Known] = []
    for low in NEIGHBOURS:
        for high in range(low, max(NEIGHBOURS) + 1):
            members = tuple((seam + n) & U64_MAX for n in range(low, high + 1))
            s = Scalar.unknown().copy()
            if members[0] <= members[-1]:
                s.umin, s.umax = members[0], members[-1]
            if s64(members[0]) <= s64(members[-1]):
                s.smin, s.smax = s64(members[0]), s64(members[-1])
            found.append((bounds.deduce(s, how), members))
    for mask in range(8):
        for value in range(8):
            if not value & mask:
                s = Scalar.unknown().copy()
                s.v, s.m = seam | value, mask
                found.append((bounds.deduce(s, how), tuple(seam | value | n for n in range(8) if not n & ~mask)))
    return tuple(found)


def lower(all_known: tuple[Known, ...], how: int) -> list[Known]:
    """The low halves."""
    return [(bounds.truncated(s, 4, how), tuple(n & 0xFFFFFFFF for n in members)) for s, members in all_known]


@pytest.mark.parametrize("kernel", ["linux-6.18", "linux-6.1"])
@pytest.mark.parametrize("fn", ARITHMETIC)
def test_arithmetic(kernel: str, fn: int) -> None:
    arith = features(kernel).arith
    for left, right in PAIRS:
        for a, xs in known(left, arith.deduce):
            for b, ys in known(right, arith.deduce):
                got = arith.transfer(fn, True, a, b)
                for x in xs:
                    for y in ys:
                        assert got.holds(fold(fn, True, x, y)), f"{fn:#x}: {x:#x} {y:#x} is not in {got}; {a}, {b}"


@pytest.mark.parametrize("kernel", ["linux-6.18", "linux-6.1"])
@pytest.mark.parametrize("wide", [True, False])
def test_low_halves_and_shifts(kernel: str, wide: bool) -> None:
    arith = features(kernel).arith
    amounts = [(Scalar.const(n), (n,)) for n in (0, 1, 31, *((32, 63) if wide else ()))]
    for fn in (*SHIFTS, *(() if wide else ARITHMETIC)):
        for left in SEAMS:
            lefts = known(left, arith.deduce)
            for a, xs in lefts if wide else lower(lefts, arith.deduce):
                for b, ys in amounts if fn in SHIFTS else lower(known(0, arith.deduce), arith.deduce):
                    if arith.models(fn, wide, b):
                        got = arith.transfer(fn, wide, a, b)
                        assert all(got.holds(fold(fn, wide, x, y)) for x in xs for y in ys), (fn, a, b, got)


@pytest.mark.parametrize("low", [False, True])
@pytest.mark.parametrize("fn", COMPARISONS)
def test_comparisons(fn: int, low: bool) -> None:
    k = features("linux-6.18")
    for left, right in PAIRS:
        for a, xs in known(left, k.deduce):
            for b, ys in known(right, k.deduce):
                outcomes = {holds(fn, x, y, low) for x in xs for y in ys}
                decided = refine.decide(a, b, fn, low, k.compare)
                assert decided < 0 or outcomes == {bool(decided)}, f"{fn:#x} decided {decided}: {a}, {b}"
                for taken in outcomes if decided < 0 else ():
                    side = fn if taken else refine.NEGATE[fn]
                    p, q = refine.refine(a, b, side, low, k.compare, k.deduce)
                    for x in xs:
                        for y in ys:
                            if holds(fn, x, y, low) == taken:
                                assert p.holds(x) and q.holds(y), f"{side:#x} {x:#x} {y:#x}: {a}, {b} became {p}, {q}"
