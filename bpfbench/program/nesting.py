"""Loops and how they nest, also where a loop has more than one way in.

A loop is a strongly connected set of blocks.  Its entries are the blocks that are reached from outside: with one entry
(the header, which then dominates the loop) it is a natural loop, with several it is irreducible.  Taking the entries
away breaks the loop open; what is still strongly connected inside it are the loops nested in it.

          +-> H --> B ---+        {H, B, C} is a loop with header H;
    entry |   ^     | ^  |        without H, {B} is strongly connected through its self-edge: an inner loop;
          |   +- C <+ +--+        the latches are the sources of edges back to an entry.

For natural loops this is the classical nesting by dominators (back edges to the same header make one loop).
F. Bourdoncle, "Efficient chaotic iteration strategies with widenings" (1993) orders a fixed point by the same nesting.
"""

from __future__ import annotations

from typing import final


@final
class Loop:
    """One loop.

    `header` the entry that comes first in reverse postorder · `entries` all of them · `blocks` its body, headers
    included · `latches` sources of edges back to an entry · `exits` edges (block inside, block outside) · `parent`
    index of the enclosing loop or -1 · `depth` 1 for an outermost loop · `reducible` one entry only.
    """

    __slots__ = ("index", "header", "entries", "blocks", "latches", "exits", "parent", "depth", "children")

    def __init__(
        self, index: int, header: int, entries: list[int], blocks: frozenset[int], latches: list[int],
        exits: list[tuple[int, int]], parent: int, depth: int,
    ) -> None:  # fmt: skip
        self.index = index
        self.header = header
        self.entries = entries
        self.blocks = blocks
        self.latches = latches
        self.exits = exits
        self.parent = parent
        self.depth = depth
        self.children: list[int] = []

    @property
    def reducible(self) -> bool:
        return len(self.entries) == 1

    def __repr__(self) -> str:
        kind = "" if self.reducible else f", irreducible: entries {self.entries}"
        return f"Loop({self.index}: header block {self.header}, {len(self.blocks)} blocks, depth {self.depth}{kind})"


def components(nodes: list[int], successors: list[list[int]], allowed: frozenset[int]) -> list[list[int]]:
    """Strongly connected components of the graph restricted to `allowed` (Tarjan's algorithm, without recursion).

    >>> components([0, 1, 2], [[1], [2], [1]], frozenset({0, 1, 2}))
    [[2, 1], [0]]
    """
    number: dict[int, int] = {}
    low: dict[int, int] = {}
    waiting: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for root in nodes:
        if root in number:
            continue
        work = [(root, 0)]
        while work:
            node, at = work.pop()
            if at == 0:
                number[node] = low[node] = len(number)
                waiting.append(node)
                on_stack.add(node)
            elif (child := successors[node][at - 1]) in on_stack:
                low[node] = min(low[node], low[child])
            following = successors[node]
            while at < len(following):
                child = following[at]
                at += 1
                if child not in allowed:
                    continue
                if child not in number:
                    work.append((node, at))
                    work.append((child, 0))
                    break
                if child in on_stack:
                    low[node] = min(low[node], number[child])
            else:
                if low[node] == number[node]:
                    component: list[int] = []
                    while not component or component[-1] != node:
                        component.append(waiting.pop())
                        on_stack.discard(component[-1])
                    found.append(component)
    return found


def nest(order: list[int], successors: list[list[int]], predecessors: list[list[int]]) -> list[Loop]:
    """All loops among the blocks of `order` (reverse postorder of the reachable ones), outer loops before inner
    ones.
    """
    position = {block: at for at, block in enumerate(order)}
    reachable = frozenset(order)
    loops: list[Loop] = []
    work: list[tuple[list[int], frozenset[int], int, int]] = [(order, reachable, -1, 1)]
    while work:
        nodes, allowed, parent, depth = work.pop()
        for component in components(nodes, successors, allowed):
            if len(component) == 1 and component[0] not in successors[component[0]]:
                continue
            body = frozenset(component)
            entries = _entries(body, order[0], predecessors, reachable, position)
            latches = sorted({b for e in entries for b in predecessors[e] if b in body}, key=position.__getitem__)
            exits = [(b, s) for b in sorted(body, key=position.__getitem__) for s in successors[b] if s not in body]
            loop = Loop(len(loops), entries[0], entries, body, latches, exits, parent, depth)
            loops.append(loop)
            if parent >= 0:
                loops[parent].children.append(loop.index)
            inner = body - frozenset(entries)
            if inner:
                work.append((sorted(inner, key=position.__getitem__), inner, loop.index, depth + 1))
    return loops


def _entries(
    body: frozenset[int], root: int, predecessors: list[list[int]], reachable: frozenset[int], position: dict[int, int]
) -> list[int]:
    found = [b for b in body if b == root or any(p in reachable and p not in body for p in predecessors[b])]
    return sorted(found, key=position.__getitem__)
