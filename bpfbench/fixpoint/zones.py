"""Differences: what is known of `x - y` for pairs of symbols, besides the range of each.

A zone is a set of constraints  x - y <= c  over integers, kept as edges x -> y of weight c.  What follows from two of
them is the sum of their weights, so the best known bound of a difference is the shortest path:

      if pkt + s + 14 > pkt_end goto …      fall-through:  s - LENGTH <= -14
      if i < n                              taken:         i - n <= -1
      n <= LENGTH - 14                                     so   i - LENGTH <= -15 : the byte at pkt + i + 14 exists

Only what comparisons and additions state is kept, for the symbols that something still holds: packet offsets, sizes,
counters.  Symbols are unsigned 64-bit numbers read as integers; who adds a constraint makes sure that nothing wrapped.

A. Miné, "A New Numerical Abstract Domain Based on Difference-Bound Matrices" (2001).

>>> z = Zones(); z.add(5, 6, 3); z.add(6, LENGTH, -20); z.bound(5, LENGTH)
-17
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.fixpoint.values import LENGTH, META_LENGTH, ZERO

MOST: Final = 48            # edges; beyond it new facts about ordinary numbers are not noted


@final
class Zones:
    """Constraints; `edges[x][y]` = c stands for x - y <= c."""

    __slots__ = ("edges", "count")

    def __init__(self) -> None:
        self.edges: dict[int, dict[int, int]] = {}
        self.count = 0

    def copy(self) -> Zones:
        other = Zones()
        if self.count:
            other.edges = {x: dict(row) for x, row in self.edges.items()}
            other.count = self.count
        return other

    def add(self, x: int, y: int, c: int) -> None:
        """Note x - y <= c."""
        if x == y:
            return
        row = self.edges.get(x)
        if row is None:
            row = self.edges[x] = {}
        known = row.get(y)
        if known is None:
            if self.count >= MOST and x > ZERO and y > ZERO:
                return
            self.count += 1
            row[y] = c
        elif c < known:
            row[y] = c

    def bound(self, x: int, y: int) -> int | None:
        """The least c with x - y <= c that follows, None where nothing does."""
        if x == y:
            return 0
        if not self.count or x not in self.edges:
            return None
        best = {x: 0}
        todo = [x]
        rounds = 4 * self.count + 8
        while todo and rounds:
            rounds -= 1
            at = todo.pop()
            far = best[at]
            for to, c in self.edges.get(at, {}).items():
                reached = best.get(to)
                if reached is None or far + c < reached:
                    best[to] = far + c
                    if to != y:
                        todo.append(to)
        return best.get(y)

    def pairs(self) -> list[tuple[int, int, int]]:
        """All constraints (x, y, c)."""
        return [(x, y, c) for x, row in self.edges.items() for y, c in row.items()]

    def keep(self, alive: set[int]) -> None:
        """Drop the symbols that nothing holds any more; what they connected stays connected."""
        if not self.count:
            return
        dead = {s for x, row in self.edges.items() for s in (x, *row) if s > ZERO and s not in alive}
        for s in dead:
            out = self.edges.pop(s, {})
            self.count -= len(out)
            for x in list(self.edges):
                row = self.edges[x]
                into = row.pop(s, None)
                if into is None:
                    continue
                self.count -= 1
                for y, c in out.items():
                    if y not in dead:
                        self.add(x, y, into + c)

    def forget(self, s: int) -> None:
        """Nothing is known about the symbol any more (the packet has changed)."""
        self.count -= len(self.edges.pop(s, {}))
        for row in self.edges.values():
            if row.pop(s, None) is not None:
                self.count -= 1

    def __repr__(self) -> str:
        names = {ZERO: "0", LENGTH: "length", META_LENGTH: "meta"}
        return "{" + ", ".join(f"{names.get(x, f's{x}')} - {names.get(y, f's{y}')} <= {c}" for x, y, c in self.pairs()) + "}"
