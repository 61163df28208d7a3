"""Dominators, by intersection of paths up the tree.

A dominates B when every path from the entry to B goes through A; the closest such A is B's immediate dominator.  With
the nodes numbered in reverse postorder, the common dominator of two nodes is found by walking the one with the larger
number up until both meet; repeating this over all edges until nothing changes gives the tree (one round if the graph
has no retreating edges, two for most others).

K. D. Cooper, T. J. Harvey, K. Kennedy, "A Simple, Fast Dominance Algorithm" (2001).
"""

from __future__ import annotations

NONE = -1


def reverse_postorder(entry: int, successors: list[list[int]]) -> list[int]:
    """The nodes reachable from `entry`, each before its successors except along retreating edges.

    >>> reverse_postorder(0, [[1, 2], [3], [3], []])
    [0, 2, 1, 3]
    """
    order: list[int] = []
    seen = {entry}
    stack = [(entry, 0)]
    while stack:
        node, at = stack.pop()
        following = successors[node]
        while at < len(following) and following[at] in seen:
            at += 1
        if at == len(following):
            order.append(node)
            continue
        stack.append((node, at + 1))
        seen.add(following[at])
        stack.append((following[at], 0))
    order.reverse()
    return order


def immediate_dominators(entry: int, successors: list[list[int]], predecessors: list[list[int]]) -> list[int]:
    """idom per node; NONE for the entry and for nodes it does not reach.

    >>> immediate_dominators(0, [[1, 2], [3], [3], []], [[], [0], [0], [1, 2]])
    [-1, 0, 0, 0]
    """
    order = reverse_postorder(entry, successors)
    number = [NONE] * len(successors)
    for position, node in enumerate(order):
        number[node] = position
    # latest first: then the walks up from a block with thousands of predecessors add up to one walk
    joined = {node: sorted(predecessors[node], key=number.__getitem__, reverse=True) for node in order[1:]}
    idom = [NONE] * len(successors)
    idom[entry] = entry
    changed = True
    while changed:
        changed = False
        for node in order[1:]:
            best = NONE
            for previous in joined[node]:
                if number[previous] == NONE or idom[previous] == NONE:
                    continue
                best = previous if best == NONE else _meet(best, previous, idom, number)
            if idom[node] != best:
                idom[node] = best
                changed = True
    idom[entry] = NONE
    return idom


def _meet(a: int, b: int, idom: list[int], number: list[int]) -> int:
    while a != b:
        while number[a] > number[b]:
            a = idom[a]
        while number[b] > number[a]:
            b = idom[b]
    return a


def dominates(a: int, b: int, idom: list[int]) -> bool:
    """Is `a` on the way from `b` up to the root (every node dominates itself)?"""
    while b != NONE:
        if a == b:
            return True
        b = idom[b]
    return False
