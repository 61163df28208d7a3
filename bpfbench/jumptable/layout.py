"""Orders of blocks and functions: what a rewriting is for.

`reverse` turns a function upside down (the hardest order for branch ranges, and a good test); `profile` chains each
block to its hottest successor and sends what never ran to the end, as block-layout optimisers do; `keep` changes
nothing.  The entry stays first, since the symbol names it.
"""

from __future__ import annotations

import random
from typing import Final

from .emit import Piece

KEEP: Final = "keep"
REVERSE: Final = "reverse"
RANDOM: Final = "random"
PROFILE: Final = "profile"
MODES: Final = (KEEP, REVERSE, RANDOM, PROFILE)


def order(
    pieces: list[Piece], mode: str, counts: dict[int, int], succs: dict[int, list[int]], seed: int = 0
) -> list[Piece]:
    """The pieces of one function in their new order; `counts` and `succs` are by old block address."""
    first, rest = pieces[0], pieces[1:]
    if mode == REVERSE:
        return [first, *reversed(rest)]
    if mode == RANDOM:
        random.Random(first.label + seed).shuffle(rest)
        return [first, *rest]
    if mode == PROFILE:
        return _chains(pieces, counts, succs)
    return pieces


def _chains(pieces: list[Piece], counts: dict[int, int], succs: dict[int, list[int]]) -> list[Piece]:
    """Greedy: from the entry always on to the hottest successor not placed; then from the hottest block left."""
    by = {p.label: p for p in pieces}
    placed: dict[int, None] = {}
    heads = [pieces[0].label] + sorted((p.label for p in pieces[1:]), key=lambda a: (-counts.get(a, 0), a))
    for head in heads:
        at: int | None = head
        while at is not None and at not in placed:
            placed[at] = None
            following = [s for s in succs.get(at, []) if s in by and s not in placed]
            hot = [s for s in following if counts.get(s, 0)] or ([] if counts.get(at, 0) else following)
            at = max(hot, key=lambda s: counts.get(s, 0), default=None)
    return [by[a] for a in placed]


def function_order(starts: list[int], mode: str, counts: dict[int, int]) -> list[int]:
    """Functions hottest first for `profile`, backwards for `reverse`."""
    if mode == PROFILE:
        return sorted(starts, key=lambda a: (-counts.get(a, 0), a))
    return list(reversed(starts)) if mode == REVERSE else list(starts)
