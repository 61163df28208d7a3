"""The depth-first walk, and who is on every way to an instruction (stages 05, 15)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if, inside
from bpfbench.course.exercises.support import marked_listing, numbers, program, verified
from bpfbench.program import dfs, dominators
from bpfbench.program.cfg import build
from bpfbench.verifier.walk import EINVAL

# The depth-first walk ------------------------------------------------------------------------------------------------

KINDS: Final = {"tree": dfs.TREE, "back": dfs.BACK, "cross": dfs.CROSS}


def edges_of(text: str) -> list[list[int]]:
    """For each slot where control may go next, in the order the kernel follows the edges."""
    prog = program(text)
    return [[target for _, target in dfs.edges_of(prog, pc)] for pc in range(len(prog.insns))]


def _classified(answer: Any, edges: list[list[int]]) -> list[list[Any]]:
    found = answer([list(targets) for targets in edges])
    try:
        rows = [[str(kind), int(source), int(target)] for kind, source, target in found]
    except (TypeError, ValueError):
        raise Failed("depth_first returns a list of (kind, from, to)") from None
    if any(row[0] not in KINDS for row in rows):
        raise Failed('a kind is "tree", "cross" or "back"')
    return rows


def _engine_walk(text: str) -> list[list[Any]]:
    names = {action: kind for kind, action in KINDS.items()}
    return [[names[step.action], step.pc, step.target] for step in dfs.walk(program(text)).steps if step.action in names]


def _walk_attempt(answer: Any, case: Any) -> Plain:
    if "program" not in case:
        return _classified(answer, edges_of(case["assembly"]))
    stepped: list[Any] = []

    def step(w: Any, code: Any) -> None:
        edges = edges_of(case["program"])
        rows = _classified(answer, edges)
        stepped.append(rows)
        back = [row for row in rows if row[0] == "back"]
        if back and not w.k.loops:
            raise w.refuse(f"back-edge from insn {back[0][1]} to {back[0][2]}", EINVAL)
        reached = {0, *(row[2] for row in rows)}
        dead = [pc for pc in range(len(code)) if pc not in reached]
        if dead:
            raise w.refuse(f"unreachable insn {dead[0]}", EINVAL)

    return inside("bpfbench.verifier.checks.walk_cfg", step, lambda: _verdict(case))


def _verdict(case: Any) -> Plain:
    v = verified(case["program"], kernel=case["kernel"])
    return [v.accepted, v.message]


def _walk_expected(case: Any) -> Plain:
    return _verdict(case) if "program" in case else _engine_walk(case["assembly"])


def _depth_first(order: int = 1, forget_explored: bool = False, only_tree: bool = False) -> Any:
    """depth_first with one thing wrong."""

    def mistaken(edges: list[list[int]]) -> list[Any]:
        rows: list[Any] = []
        seen, path, todo = {0}, [0], {0: list(edges[0])[::order]}
        while path:
            at = path[-1]
            if not todo[at]:
                path.pop()
                continue
            target = todo[at].pop(0)
            if target not in seen:
                rows.append(("tree", at, target))
                seen.add(target)
                path.append(target)
                todo[target] = list(edges[target])[::order]
            elif target in path or forget_explored:
                rows.append(("back", at, target))
            elif not only_tree:
                rows.append(("cross", at, target))
        return rows

    return mistaken


def branching(random: Random, size: int, backward: bool = True) -> str:
    """A program of branches, all of whose instructions are reached; exits only at the end."""
    lines = ["r0 = 0", "r2 = *(u32 *)(r1 +16)"]
    for pc in range(2, size):
        target = random.randrange(pc + 1, size + 1)
        if backward and random.random() < 0.2:
            target = random.randrange(2, pc + 1)
        lines.append(random.choice([f"if r2 == {pc} goto {target - pc - 1:+d}", "r0 += 1", "r2 >>= 1"]))
    return "\n".join([*lines, "exit"])


def walk_cases(random: Random) -> list[Any]:
    made: list[Any] = [{"assembly": branching(random, size)} for size in (5, 7, 9, 12, 14, 16)]
    plain_ones: list[Any] = [{"program": branching(random, size, size % 2 == 0), "kernel": "linux-4.18"}
                             for size in (6, 7, 9, 10)]
    return made + plain_ones


def draw_walk(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return f"  expected {wanted}\n  got      {got}"
    for i, row in enumerate(wanted):
        if i >= len(got) or got[i] != row:
            notes = {row[1]: f"<- edge {i + 1} leaves here, to {row[2]}: {row[0]}" +
                     (f", you: {got[i][0]} {got[i][1]} -> {got[i][2]}" if i < len(got) else ", you: nothing")}
            return marked_listing(case["assembly"], notes)
    return f"  {len(got) - len(wanted)} edges too many"


# Dominators ----------------------------------------------------------------------------------------------------------


def _tree(answer: Any, successors: list[list[int]]) -> list[int]:
    predecessors: list[list[int]] = [[] for _ in successors]
    for node, targets in enumerate(successors):
        for target in targets:
            predecessors[target].append(node)
    return numbers(answer(0, successors, predecessors), "what immediate_dominators returns")


def _tree_direct(answer: Any, case: Any) -> Plain:
    return _tree(answer, case["successors"])


def _loops_of(text: str) -> Plain:
    graph = build(program(text))
    return [graph.idom, [str(loop) for loop in graph.loops], [[e.source, e.target] for e in graph.back_edges]]


def _tree_attempt(answer: Any, case: Any) -> Plain:
    if "program" not in case:
        return _tree_direct(answer, case)
    return inside("bpfbench.program.dominators.immediate_dominators", answer, lambda: _loops_of(case["program"]))


def _tree_expected(case: Any) -> Plain:
    if "program" in case:
        return _loops_of(case["program"])
    return _tree_direct(dominators.immediate_dominators, case)


def _first_predecessor(entry: int, successors: Any, predecessors: Any) -> list[int]:
    reached = set(dominators.reverse_postorder(entry, successors))
    return [next((p for p in predecessors[n] if p in reached), -1) if n != entry and n in reached else -1
            for n in range(len(successors))]


def _strict_dominators(entry: int, successors: Any, predecessors: Any) -> dict[int, set[int]]:
    reached = dominators.reverse_postorder(entry, successors)
    over = {node: set(reached) for node in reached}
    over[entry] = {entry}
    changed = True
    while changed:
        changed = False
        for node in reached[1:]:
            new = {node} | set.intersection(*[over[p] for p in predecessors[node] if p in over])
            changed |= new != over[node]
            over[node] = new
    return over


def _from_sets(choose: Any, itself: bool = False, lost: int = -1) -> Any:
    def mistaken(entry: int, successors: Any, predecessors: Any) -> list[int]:
        over = _strict_dominators(entry, successors, predecessors)
        found = []
        for node in range(len(successors)):
            above = sorted(over.get(node, set()) - {node}, key=lambda a: len(over[a]))
            found.append(choose(above) if above else entry if itself and node == entry else lost if node not in over else -1)
        return found

    return mistaken


def random_graph(random: Random, size: int) -> list[list[int]]:
    """Node 0 reaches most others; some edges go back."""
    graph: list[list[int]] = [[] for _ in range(size)]
    for node in range(1, size):
        if random.random() < 0.9:
            graph[random.randrange(max(0, node - 3), node)].append(node)
    for _ in range(size // 2):
        source, target = random.randrange(size), random.randrange(1, size)
        if target not in graph[source]:
            graph[source].append(target)
    return graph


def tree_cases(random: Random) -> list[Any]:
    made: list[Any] = [{"successors": random_graph(random, size)} for size in (4, 5, 6, 8, 10, 14)]
    return made + [{"program": branching(random, size)} for size in (8, 12, 20)]


def draw_tree(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return f"  expected {wanted}\n  got      {got}"
    rows = [f"  {node:3} -> {', '.join(map(str, targets)) or 'nothing':16} expected {wanted[node]:3}" +
            (f"   got {got[node]}" if node < len(got) and got[node] != wanted[node] else "")
            for node, targets in enumerate(case["successors"])]
    return "\n".join(["  node -> successors", *rows])


_SEALED: Final = tuple(f"bpfbench.course.exercises.graphs.{n}" for n in (
    "_engine_walk", "_depth_first", "_from_sets", "_strict_dominators", "_first_predecessor",
    "_tree_expected"))  # fmt: skip

EXERCISES: Final = [
    Exercise("depth-first", "depth_first", "The depth-first walk and its back edges", 3, 6, "05 control-flow checks",
             "26-28", public=walk_cases(Random(7)), more=walk_cases, attempt=_walk_attempt, expected=_walk_expected,
             draw=draw_walk,
             mistakes=(("an edge to an instruction that is explored already is a cross edge; only one to the path itself "
                        "is a back edge", as_if(_walk_attempt, _depth_first(forget_explored=True))),
                       ("the kernel follows the edges in the order given: falling through first",
                        as_if(_walk_attempt, _depth_first(order=-1))),
                       ("cross edges are missing", as_if(_walk_attempt, _depth_first(only_tree=True)))),
             seals=("bpfbench.program.dfs.walk", "bpfbench.verifier.checks.CfgWalk.push", *_SEALED)),
    Exercise("dominators", "immediate_dominators", "Who is on every way", 3, 6, "15 loops", "28",
             public=[{"successors": [[1, 2], [3], [3], []]}, {"successors": [[1], [2, 3], [1], []]},
                     *tree_cases(Random(8))],
             more=tree_cases, attempt=_tree_attempt, expected=_tree_expected, draw=draw_tree,
             mistakes=(("a predecessor need not dominate: where ways meet, go up to what they have in common",
                        as_if(_tree_direct, _first_predecessor)),
                       ("the immediate dominator is the closest one, not the entry",
                        as_if(_tree_direct, _from_sets(lambda above: above[0]))),
                       ("the entry has no immediate dominator: -1",
                        as_if(_tree_direct, _from_sets(lambda above: above[-1], itself=True)))),
             seals=("bpfbench.program.dominators.immediate_dominators", *_SEALED)),
]  # fmt: skip
