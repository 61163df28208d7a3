"""The parts by themselves: weak topological order, differences, joins and widening, against brute force."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import random

import bpfbench.fixpoint
from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.cells import Cells, read, write
from bpfbench.fixpoint.covers import covers
from bpfbench.fixpoint.joins import join_states
from bpfbench.fixpoint.state import Frame, Names, State
from bpfbench.fixpoint.values import Value, constant, pointer
from bpfbench.fixpoint.widening import Thresholds, join
from bpfbench.fixpoint.wto import Component, Order, weak_topological_order
from bpfbench.fixpoint.zones import Zones
from bpfbench.verifier import bounds
from bpfbench.verifier.scalar import UNKNOWN, Scalar


def flat(order: Order) -> list[int]:
    return [b for e in order for b in (flat([e.head, *e.body]) if isinstance(e, Component) else [e])]


def heads(order: Order) -> set[int]:
    found: set[int] = set()
    for e in order:
        if isinstance(e, Component):
            found |= {e.head} | heads(e.body)
    return found


def test_the_examples_in_the_docstrings_run() -> None:
    names = [f"bpfbench.fixpoint.{m.name}" for m in pkgutil.iter_modules(bpfbench.fixpoint.__path__)]
    results = [doctest.testmod(importlib.import_module(name)) for name in [*names, "bpfbench.verdicts"]]
    assert not sum(r.failed for r in results) and sum(r.attempted for r in results) > 8


def test_every_cycle_has_a_head_and_other_edges_go_forward() -> None:
    rng = random.Random(1)
    for _ in range(300):
        n = rng.randrange(2, 12)
        successors = [rng.sample(range(n), rng.randrange(min(3, n))) for _ in range(n)]
        order = weak_topological_order(0, successors)
        place = {b: i for i, b in enumerate(flat(order))}
        assert len(place) == len(flat(order))
        for b in place:
            for s in successors[b]:
                assert place[b] < place[s] or s in heads(order)      # an edge back ends at a head


def test_differences_follow_from_what_was_said() -> None:
    """The bound is the best one: shortest paths, by trying all values of small symbols."""
    rng = random.Random(2)
    for _ in range(60):
        zones = Zones()
        said = []
        for _ in range(rng.randrange(1, 5)):
            x, y, c = rng.sample((2, 3, 4), 2) + [rng.randrange(-2, 4)]
            zones.add(x, y, c)
            said.append((x, y, c))
        found = [(a, b, c) for a in range(8) for b in range(8) for c in range(8)
                 if all({2: a, 3: b, 4: c}[x] - {2: a, 3: b, 4: c}[y] <= k for x, y, k in said)]
        for x, y in ((2, 3), (3, 4), (4, 2)):
            known = zones.bound(x, y)
            if known is not None:
                assert all(p[x - 2] - p[y - 2] <= known for p in found)


def test_what_connects_survives_the_loss_of_a_symbol() -> None:
    zones = Zones()
    zones.add(2, 3, 1)
    zones.add(3, vs.LENGTH, -20)
    zones.keep({2})
    assert zones.pairs() == [(2, vs.LENGTH, -19)]


def scalar(rng: random.Random) -> Scalar:
    if rng.random() < 0.3:
        return Scalar.const(rng.choice((0, 1, 7, 255, -1, 1 << 63, rng.getrandbits(64))))
    s = UNKNOWN.copy()
    low = rng.choice((0, 1, 8, rng.getrandbits(rng.randrange(1, 64))))
    s.umin, s.umax = low, min(low + rng.getrandbits(rng.randrange(1, 64)), (1 << 64) - 1)
    return bounds.deduce(s, bounds.DEDUCE_618)


def member(s: Scalar, rng: random.Random) -> int | None:
    for _ in range(20):
        n = s.v | (rng.getrandbits(64) & s.m)
        if s.holds(n):
            return n
    return s.umin if s.holds(s.umin) else None


def test_joins_and_widening_hold_both_sides_and_end() -> None:
    rng = random.Random(3)
    ends = Thresholds(None)
    for _ in range(400):
        a, b = scalar(rng), scalar(rng)
        for out in (join(a, b), ends.widen(a, b)):
            for s in (a, b):
                n = member(s, rng)
                assert n is None or out.holds(n)
    for _ in range(60):
        a = scalar(rng)
        grown = 0
        for _ in range(300):
            fresh = ends.widen(a, scalar(rng))
            grown += not fresh.same(a)
            a = fresh
        assert grown < 60


def state(rng: random.Random, names: Names) -> State:
    out = State()
    frame = Frame(0, -1, 0)
    pool = [names.fresh() for _ in range(3)]
    for r in range(6):
        kind = rng.randrange(5)
        if kind == 0:
            frame.regs[r] = constant(rng.choice((0, 1, 2, 8)))
        elif kind == 1:
            frame.regs[r] = Value(vs.NUMBER, scalar(rng), rng.choice((vs.ANON, *pool)), rng.choice((0, 0, 1, 8)))
        elif kind == 2:
            frame.regs[r] = pointer(vs.STACK, -8 * rng.randrange(1, 4))
        elif kind == 3:
            frame.regs[r] = Value(vs.MEM, vs.ZERO_SCALAR, nullable=rng.random() < 0.5, ident=rng.choice(pool), size=16)
    for at in (-8, -16):
        if rng.random() < 0.5:
            frame.cells[at] = (8, constant(rng.choice((0, 5))))
    out.frames.append(frame)
    for x in pool:
        if rng.random() < 0.4:
            out.zones.add(x, vs.LENGTH, -rng.randrange(20))
    return out


def test_a_join_covers_both_states_and_is_stable() -> None:
    rng = random.Random(4)
    names = Names()
    ends = Thresholds(None)
    for _ in range(400):
        a, b = state(rng, names), state(rng, names)
        for widen in (None, ends):
            out = join_states(a, b, names, widen)
            assert covers(out, a) and covers(out, b)
        assert covers(a, a) and covers(a, a.copy())


def test_a_chain_of_joins_ends() -> None:
    """Whatever arrives at a loop head, widening stops growing after a bounded number of turns."""
    rng = random.Random(5)
    names = Names()
    ends = Thresholds(None)
    for _ in range(20):
        head = state(rng, names)
        grown = 0
        for _ in range(300):
            fresh = state(rng, names)
            if not covers(head, fresh):
                head = join_states(head, fresh, names, ends)
                grown += 1
        assert grown < 90


def test_cells_read_back_what_was_written() -> None:
    """Constants of any size and place, against a plain array of bytes."""
    rng = random.Random(6)
    for _ in range(200):
        cells: Cells = {}
        memory: dict[int, int] = {}
        for _ in range(12):
            size = rng.choice((1, 2, 4, 8))
            at = -size * rng.randrange(1, 32 // size + 1)
            number = rng.getrandbits(8 * size)
            write(cells, at, size, constant(number), True)
            memory.update({at + i: number >> 8 * i & 0xFF for i in range(size)})
            size = rng.choice((1, 2, 4, 8))
            at = -size * rng.randrange(1, 32 // size + 1)
            found = read(cells, at, size)
            known = all(at + i in memory for i in range(size))
            if known:
                assert found is not None and found.scalar.holds(sum(memory[at + i] << 8 * i for i in range(size)))
            else:
                assert found is not None and found.scalar.m
