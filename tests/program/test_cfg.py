"""Functions, blocks, dominators and loops; networkx as a second opinion."""

from __future__ import annotations

import random

import networkx as nx
import pytest

from bpfbench.program.cfg import build
from bpfbench.program.dominators import immediate_dominators
from bpfbench.program.functions import partition
from bpfbench.program.nesting import nest
from bpfbench.program.program import Program, from_assembly


def test_partition_of_slide_25() -> None:
    """call destination = insn_index + imm + 1: functions start at 0, 2 + 5 + 1 = 8 and 9 + 3 + 1 = 13."""
    parts = partition(from_assembly("""
        r3 += 1
        if r0 < r1 goto +1
        call pc+5
        goto L2
        r4 += 2
        r4 += r3
    L2: r0 = r4
        exit
        r2 += r3
        call pc+3
        r4 += 2
        r4 += r3
        exit
        r0 += 1
        exit
    """))
    assert [(f.start, f.end) for f in parts.functions] == [(0, 8), (8, 13), (13, 15)]
    assert [(c.pc, c.caller, c.callee) for c in parts.calls] == [(2, 0, 1), (9, 1, 2)]


def test_diamond_of_slide_26() -> None:
    cfg = build(from_assembly("r3 += 1\nif r0 < r1 goto L1\nr1 += r2\ngoto L2\nL1:\nr4 += r3\nL2:\nr0 = r4\nexit"))
    assert [(b.start, b.end) for b in cfg.blocks] == [(0, 2), (2, 4), (4, 5), (5, 7)]
    assert [(e.source, e.target, e.kind) for e in cfg.edges] == [
        (0, 1, "fall"), (0, 2, "taken"), (1, 3, "goto"), (2, 3, "fall")]  # fmt: skip
    assert cfg.idom == [-1, 0, 0, 0]
    assert [b.ipdom for b in cfg.blocks] == [3, 3, 3, -1]
    assert not cfg.loops and not cfg.flaws


def test_loop_of_slide_28_is_irreducible() -> None:
    cfg = build(from_assembly(
        "r3 += 1\nif r0 < r1 goto L1\nr1 += r2\ngoto L2\nL1:\nr4 += r3\nL2:\nif r4 < 10 goto L1\nexit"))  # fmt: skip
    (loop,) = cfg.loops
    assert not loop.reducible and sorted(loop.entries) == [2, 3]
    assert [(e.source, e.target) for e in cfg.back_edges] == [(2, 3)]


def test_nested_loops() -> None:
    cfg = build(from_assembly("""
        r6 = 3
    A:  r7 = 3
    B:  r7 += -1
        if r7 != 0 goto B
        r6 += -1
        if r6 != 0 goto A
        r0 = 0
        exit
    """))
    outer, inner = cfg.loops
    assert (outer.depth, inner.depth, inner.parent) == (1, 2, outer.index)
    assert outer.blocks == {1, 2, 3} and inner.blocks == {2}
    assert outer.exits == [(3, 4)] and inner.latches == [2]
    assert [b.loop for b in cfg.blocks] == [-1, 0, 1, 0, -1]


def test_wide_load_fills_two_slots_of_its_block() -> None:
    cfg = build(from_assembly("r1 = 0x1122334455667788 ll\nif r1 == 0 goto +0\nr0 = 0\nexit"))
    assert [(b.start, b.end, b.last) for b in cfg.blocks] == [(0, 3, 2), (3, 5, 4)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("goto +5\nexit", "jump out of range from insn 0 to 6"),
        ("r0 = 0", "last insn is not an exit or jmp"),
        ("if r1 == 0 goto +1\nr0 = 1 ll\nexit", "jump into the middle of ldimm64 insn 1"),
        ("call pc+7\nexit", "call to invalid destination"),
        ("call pc+1\nexit\nr0 = 0\ngoto -3", "jump out of range from insn 3 to 1"),
    ],
)
def test_shapes_that_kernels_refuse_are_flaws(text: str, message: str) -> None:
    assert [flaw.message for flaw in build(from_assembly(text)).flaws] == [message]


def test_unreachable_code_is_marked() -> None:
    cfg = build(from_assembly("r0 = 0\nexit\nr0 = 1\nexit"))
    assert cfg.unreachable() == [2, 3]


def test_empty_program_has_an_empty_graph() -> None:
    assert build(Program([])).blocks == []


def test_networkx_carries_attributes() -> None:
    graph = build(from_assembly("A: r1 += -1\nif r1 != 0 goto A\nr0 = 0\nexit", name="count")).to_networkx()
    assert graph.graph["name"] == "count"
    assert graph.nodes[0]["text"] == ["0: r1 += -1", "1: if r1 != 0x0 goto pc-2"]
    assert graph.edges[0, 0] == {"kind": "taken", "pc": 1, "back": True}


def test_dot_is_text_that_graphviz_can_read() -> None:
    pygraphviz = pytest.importorskip("pygraphviz", reason="pip install pygraphviz")
    prog = from_assembly("A: r1 += -1\nif r1 != 0 goto A\nr0 = 0\nexit", name='odd "name"\\')
    assert len(pygraphviz.AGraph(build(prog).to_dot()).nodes()) == 2


def random_graph(rng: random.Random) -> tuple[list[list[int]], list[list[int]]]:
    count = rng.randint(1, 12)
    successors = [sorted({rng.randrange(count) for _ in range(rng.choice((0, 1, 2, 2)))}) for _ in range(count)]
    return successors, [[p for p in range(count) if b in successors[p]] for b in range(count)]


def test_dominators_and_loops_agree_with_networkx() -> None:
    rng = random.Random(26)
    for _ in range(400):
        successors, predecessors = random_graph(rng)
        graph = nx.DiGraph([(a, b) for a, following in enumerate(successors) for b in following])
        graph.add_nodes_from(range(len(successors)))
        expected = {b: p for b, p in nx.immediate_dominators(graph, 0).items() if b != 0}
        idom = immediate_dominators(0, successors, predecessors)
        assert {b: p for b, p in enumerate(idom) if p >= 0} == expected
        order = list(nx.dfs_preorder_nodes(graph, 0))
        outermost = [loop.blocks for loop in nest(order, successors, predecessors) if loop.parent < 0]
        cyclic = [c for c in nx.strongly_connected_components(graph.subgraph(order)) if len(c) > 1 or
                  graph.has_edge(*2 * tuple(c))]  # fmt: skip
        assert sorted(map(sorted, outermost)) == sorted(map(sorted, cyclic))


def test_reducible_loops_are_those_whose_header_dominates() -> None:
    rng = random.Random(27)
    for _ in range(400):
        successors, predecessors = random_graph(rng)
        idom = immediate_dominators(0, successors, predecessors)
        graph = nx.DiGraph([(a, b) for a, following in enumerate(successors) for b in following])
        graph.add_node(0)
        for loop in nest(list(nx.dfs_preorder_nodes(graph, 0)), successors, predecessors):
            dominated = all(loop.header in ancestors(block, idom) for block in loop.blocks)
            assert dominated == loop.reducible


def test_dominance_is_the_way_up_the_tree() -> None:
    rng = random.Random(28)
    for _ in range(60):
        lines = [f"L{i}: if r1 > {i} goto L{rng.randrange(20)}" for i in range(19)]
        cfg = build(from_assembly("\n".join([*lines, "L19: exit"])))
        for a in cfg.blocks:
            for b in cfg.blocks:
                if a.reachable and b.reachable:
                    assert cfg.dominates(a.index, b.index) == (a.index in ancestors(b.index, cfg.idom))


def ancestors(block: int, idom: list[int]) -> set[int]:
    found = {block}
    while (block := idom[block]) >= 0:
        found.add(block)
    return found
