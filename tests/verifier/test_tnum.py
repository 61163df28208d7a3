"""Tristate numbers: sound and, where the kernel's are, exact; all pairs at 4 bits, proofs at 8 and 64 bits."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bpfbench.verifier import tnum
from bpfbench.verifier.tnum import Tnum

BITS = 4
WHOLE = (1 << BITS) - 1


def from_source(module: ModuleType) -> Any:
    """The module as Python, also where it is compiled: only Python computes with Z3's terms."""
    path = Path(module.__file__ or "").parent / f"{module.__name__.rpartition('.')[2]}.py"
    spec = importlib.util.spec_from_file_location(f"{module.__name__}_symbolic", path)
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def all_tnums() -> list[Tnum]:
    return [(v, m) for m in range(1 << BITS) for v in range(1 << BITS) if not v & m]


def members(a: Tnum) -> Iterator[int]:
    part = a[1]
    while True:
        yield a[0] | part
        if not part:
            return
        part = (part - 1) & a[1]


def best(values: set[int]) -> Tnum:
    """The smallest tristate number that holds all values."""
    every, some = reduce(int.__and__, values), reduce(int.__or__, values)
    return (every, every ^ some)


def signed(value: int) -> int:
    return value - (1 << BITS) if value >> (BITS - 1) else value


BINARY: dict[str, tuple[Callable[[Tnum, Tnum], Tnum], Callable[[int, int], int], bool]] = {
    "add": (lambda a, b: tnum.add(a, b, BITS), lambda x, y: x + y, True),
    "sub": (lambda a, b: tnum.sub(a, b, BITS), lambda x, y: x - y, True),
    "and": (tnum.and_, lambda x, y: x & y, True),
    "or": (tnum.or_, lambda x, y: x | y, True),
    "xor": (tnum.xor, lambda x, y: x ^ y, True),
    "mul 6.18": (lambda a, b: tnum.mul(a, b, tnum.MUL_UNION, BITS), lambda x, y: x * y, False),
    "mul 5.14": (lambda a, b: tnum.mul(a, b, tnum.MUL_PARTIAL, BITS), lambda x, y: x * y, False),
    "mul 4.14": (lambda a, b: tnum.mul(a, b, tnum.MUL_HALF_ADD, BITS), lambda x, y: x * y, False),
}


@pytest.mark.parametrize("name", BINARY)
def test_operation_holds_every_result(name: str) -> None:
    abstract, concrete, exact = BINARY[name]
    tnums = all_tnums()
    values = {a: list(members(a)) for a in tnums}
    for a in tnums:
        for b in tnums:
            got = abstract(a, b)
            assert not got[0] & got[1] and (got[0] | got[1]) <= WHOLE
            results = {concrete(x, y) & WHOLE for x in values[a] for y in values[b]}
            assert all(r & ~got[1] == got[0] for r in results), (a, b, got)
            if exact:
                assert got == best(results), (a, b, got)


@pytest.mark.parametrize("shift", range(BITS))
def test_shifts(shift: int) -> None:
    for a in all_tnums():
        xs = list(members(a))
        assert tnum.lsh(a, shift, BITS) == best({x << shift & WHOLE for x in xs})
        assert tnum.rsh(a, shift) == best({x >> shift for x in xs})
        assert tnum.arsh(a, shift, BITS) == best({signed(x) >> shift & WHOLE for x in xs})


def test_neg_union_intersect_contains() -> None:
    tnums = all_tnums()
    for a in tnums:
        xs = set(members(a))
        assert {-x & WHOLE for x in xs} <= set(members(tnum.neg(a, BITS)))
        for b in tnums:
            ys = set(members(b))
            assert tnum.union(a, b) == best(xs | ys)
            assert tnum.overlap(a, b) == bool(xs & ys)
            assert tnum.contains(a, b) == (ys <= xs)
            if xs & ys:
                assert xs & ys <= set(members(tnum.intersect(a, b)))


def test_span_is_smallest() -> None:
    for low in range(1 << BITS):
        for high in range(low, 1 << BITS):
            got = tnum.span(low, high, BITS)
            assert all(tnum.contains(got, (x, 0)) for x in range(low, high + 1))
            bits = (low ^ high).bit_length()
            assert got == ((0, WHOLE) if bits > BITS - 1 else (low >> bits << bits, (1 << bits) - 1))


@pytest.mark.parametrize("name", ["add", "sub", "and", "or", "xor"])
def test_proof_at_64_bits(name: str) -> None:
    """x in a and y in b imply x op y in a op b, for all 64-bit numbers (Z3)."""
    z3 = pytest.importorskip("z3")
    av, am, bv, bm, x, y = z3.BitVecs("av am bv bm x y", 64)
    symbolic = from_source(tnum)
    operation = {"add": symbolic.add, "sub": symbolic.sub, "and": symbolic.and_, "or": symbolic.or_,
                 "xor": symbolic.xor}[name]  # fmt: skip
    result = {"add": x + y, "sub": x - y, "and": x & y, "or": x | y, "xor": x ^ y}[name]
    value, mask = operation((av, am), (bv, bm))
    solver = z3.Solver()
    solver.set("timeout", 20_000)
    solver.add(av & am == 0, bv & bm == 0, x & ~am == av, y & ~bm == bv)
    solver.add(z3.Or(value & mask != 0, result & ~mask != value))
    assert solver.check() == z3.unsat
