"""Arithmetic and comparisons of abstract numbers: whatever values go in, the result allows what comes out."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from bpfbench.bits import U64_MAX
from bpfbench.isa import ops
from bpfbench.verifier import bounds, refine
from bpfbench.verifier.features import features
from bpfbench.verifier.scalar import Scalar, s32, s64
from bpfbench.verifier.transfer import fold

KERNELS = ("linux-4.18", "linux-6.1", "linux-6.12", "linux-6.18")
EDGES = (0, 1, 2, 7, 8, 255, 256, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 32, (1 << 63) - 1, 1 << 63, U64_MAX,
         U64_MAX - 1, U64_MAX - 255, 0xFFFFFFFF80000000)
ARITHMETIC = (ops.ADD, ops.SUB, ops.MUL, ops.OR, ops.AND, ops.LSH, ops.RSH, ops.XOR, ops.ARSH)


def number(rng: random.Random) -> int:
    base = rng.choice(EDGES) if rng.random() < 0.7 else rng.getrandbits(rng.choice((3, 8, 16, 31, 32, 33, 63, 64)))
    return (base + rng.choice((0, 0, 1, -1, 5, -7))) & U64_MAX


def hull(values: list[int], rng: random.Random, how: int) -> Scalar:
    """A scalar that holds the values: bits and ranges around them, some forgotten, the rest deduced."""
    s = Scalar.unknown().copy()
    if rng.random() < 0.6:
        s.umin, s.umax = min(values), max(values)
    if rng.random() < 0.6:
        s.smin, s.smax = min(map(s64, values)), max(map(s64, values))
    if rng.random() < 0.4:
        s.u32min, s.u32max = min(v & 0xFFFFFFFF for v in values), max(v & 0xFFFFFFFF for v in values)
    if rng.random() < 0.4:
        s.s32min, s.s32max = min(map(s32, values)), max(map(s32, values))
    if rng.random() < 0.6:
        every, some = U64_MAX, 0
        for v in values:
            every, some = every & v, some | v
        s.v, s.m = every, every ^ some
    return bounds.deduce(s, how)


def cases(kernel: str, count: int, seed: int) -> Iterator[tuple[random.Random, list[int], Scalar, list[int], Scalar]]:
    how = features(kernel).deduce
    rng = random.Random(seed)
    for _ in range(count):
        xs, ys = ([number(rng) for _ in range(rng.choice((1, 1, 2, 3)))] for _ in "ab")
        yield rng, xs, hull(xs, rng, how), ys, hull(ys, rng, how)


@pytest.mark.parametrize("kernel", KERNELS)
def test_deduce_keeps_the_members(kernel: str) -> None:
    for _, xs, a, ys, b in cases(kernel, 1500, 1):
        assert all(a.holds(x) for x in xs), (xs, a)
        assert all(b.holds(y) for y in ys), (ys, b)


@pytest.mark.parametrize("wide", [True, False])
@pytest.mark.parametrize("kernel", KERNELS)
def test_arithmetic(kernel: str, wide: bool) -> None:
    arith = features(kernel).arith
    for rng, xs, a, ys, b in cases(kernel, 2500, 2):
        fn = rng.choice(ARITHMETIC)
        if fn in (ops.LSH, ops.RSH, ops.ARSH):
            ys = [y & (63 if wide else 31) for y in ys]
            b = Scalar.const(ys[0])
            ys = ys[:1]
        if not wide:
            xs, ys = [x & 0xFFFFFFFF for x in xs], [y & 0xFFFFFFFF for y in ys]
            a, b = bounds.truncated(a, 4, arith.deduce), bounds.truncated(b, 4, arith.deduce)
        if not arith.models(fn, wide, b):
            continue
        got = arith.transfer(fn, wide, a, b)
        for x in xs:
            for y in ys:
                result = fold(fn, wide, x, y)
                assert got.holds(result), f"{fn:#x} wide={wide}: {x:#x} {y:#x} = {result:#x} not in {got}; {a}, {b}"


@pytest.mark.parametrize(
    ("kernel", "low"), [(k, low) for k in KERNELS for low in (False, True) if not low or k != "linux-4.18"]
)   # 4.18 has no 32-bit jumps
def test_comparisons(kernel: str, low: bool) -> None:
    """A decided comparison comes out as decided, and each side of a fork keeps the numbers that take it."""
    k = features(kernel)
    fns = (ops.JEQ, ops.JNE, ops.JGT, ops.JGE, ops.JLT, ops.JLE, ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE, ops.JSET)
    for rng, xs, a, ys, b in cases(kernel, 2500, 3):
        fn = rng.choice(fns)
        if rng.random() < 0.5:
            ys, b = ys[:1], Scalar.const(ys[0])
        decided = refine.decide(a, b, fn, low, k.compare)
        for x in xs:
            for y in ys:
                taken = holds(fn, x, y, low)
                assert decided < 0 or bool(decided) == taken, f"{fn:#x} {x:#x} {y:#x} decided {decided}; {a}, {b}"
                if decided >= 0 or k.compare == refine.JUST_CONST:
                    continue
                side = fn if taken else refine.NEGATE[fn]
                left, right = refine.refine(a, b, side, low, k.compare, k.deduce)
                assert left.holds(x) and right.holds(y), f"{side:#x} {x:#x} {y:#x}: {a}, {b} became {left}, {right}"


def holds(fn: int, x: int, y: int, low: bool) -> bool:
    if low:
        x, y = x & 0xFFFFFFFF, y & 0xFFFFFFFF
    p, q = (s32(x), s32(y)) if low else (s64(x), s64(y))
    return {
        ops.JEQ: x == y, ops.JNE: x != y, ops.JGT: x > y, ops.JGE: x >= y, ops.JLT: x < y, ops.JLE: x <= y,
        ops.JSGT: p > q, ops.JSGE: p >= q, ops.JSLT: p < q, ops.JSLE: p <= q, ops.JSET: bool(x & y),
    }[fn]


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("kernel", ["linux-6.12", "linux-6.18"])
def test_truncation_and_sign_extension(kernel: str, size: int) -> None:
    how = features(kernel).deduce
    for _, xs, a, _, _ in cases(kernel, 800, 4):
        cut = bounds.truncated(a, size, how)
        bits = 8 * size
        for x in xs:
            part = x & ((1 << bits) - 1)
            assert cut.holds(part), (x, a, cut)
            wide = bounds.sign_extended(a, size, 64)
            signed = part - (1 << bits) if part >> (bits - 1) else part
            assert wide.holds(signed), (x, a, wide)
