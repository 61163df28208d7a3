"""Weak topological order: in which order to visit the blocks of a function so that loops are finished inside out.

A depth-first order with parentheses: every cycle of the graph goes through the head of a component, so it is enough to
widen at heads; a component is repeated until it is stable before what comes after it is looked at.

      0 -> 1 -> 2 -> 3 -> 1,  2 -> 2,  3 -> 4          order   0 (1 (2) 3) 4         heads 1 and 2

F. Bourdoncle, "Efficient chaotic iteration strategies with widenings" (1993), figure 4.
"""

from __future__ import annotations

from typing import final


@final
class Component:
    """A loop: its `head`, and what else is in it, in order (blocks and inner components)."""

    __slots__ = ("head", "body", "blocks")

    def __init__(self, head: int, body: list[int | Component]) -> None:
        self.head = head
        self.body = body
        self.blocks: frozenset[int] = frozenset(
            [head, *(b for b in body if isinstance(b, int))]
        ).union(*(c.blocks for c in body if isinstance(c, Component)))

    def __repr__(self) -> str:
        return f"({' '.join([str(self.head), *(str(b) if isinstance(b, int) else repr(b) for b in self.body)])})"


Order = list[int | Component]


def weak_topological_order(entry: int, successors: list[list[int]]) -> Order:
    """The order of everything that `entry` reaches.

    >>> weak_topological_order(0, [[1], [2], [3, 2], [1, 4], []])
    [0, (1 (2) 3), 4]
    """
    return _Wto(successors).partition(entry)


@final
class _Wto:
    """Bourdoncle's two mutually recursive procedures, `visit` without recursion (a program may be a long chain)."""

    __slots__ = ("successors", "number", "stack", "last")

    def __init__(self, successors: list[list[int]]) -> None:
        self.successors = successors
        self.number: dict[int, float] = {}
        self.stack: list[int] = []
        self.last = 0

    def partition(self, entry: int) -> Order:
        out: Order = []
        self.visit(entry, out)
        out.reverse()
        return out

    def component(self, head: int) -> Component:
        body: Order = []
        for follower in self.successors[head]:
            if not self.number.get(follower):
                self.visit(follower, body)
        body.reverse()
        return Component(head, body)

    def visit(self, root: int, out: Order) -> None:
        # One entry per block being visited: [block, next successor, least number seen, is there a loop]
        work: list[list[float | int]] = [self._open(root)]
        while work:
            entry = work[-1]
            v = int(entry[0])
            following = self.successors[v]
            if entry[1] < len(following):
                follower = following[int(entry[1])]
                entry[1] += 1
                known = self.number.get(follower, 0)
                if not known:
                    work.append(self._open(follower))
                    continue
                if known <= entry[2]:
                    entry[2] = known
                    entry[3] = 1
                continue
            work.pop()
            least, loop = entry[2], entry[3]
            if least == self.number[v]:
                self.number[v] = float("inf")
                element = self.stack.pop()
                if loop:
                    while element != v:
                        self.number[element] = 0
                        element = self.stack.pop()
                    out.append(self.component(v))
                else:
                    out.append(v)
            if work and least <= work[-1][2]:
                work[-1][2] = least
                work[-1][3] = 1

    def _open(self, v: int) -> list[float | int]:
        self.stack.append(v)
        self.last += 1
        self.number[v] = self.last
        return [v, 0, self.last, 0]
