"""The stack as cells: pieces of the frame whose content is known.

A frame has 512 bytes below r10, addressed -512 … -1.  A *cell* is a run of 1, 2, 4 or 8 of them that one store wrote;
bytes in no cell hold some data, which a privileged program may read as an unknown number.  Cells never overlap: a store
takes away what it hits.

      -16        -12         -8                  0
       | 4: 0..7  |   (data)  | 8: map_value+0   |       r1 = *(u32 *)(r10 -16)   the number 0..7
                                                         r1 = *(u32 *)(r10 -12)   some number
                                                         r1 = *(u32 *)(r10 -8)    refused: half a pointer

A part of a number's cell is computed from the number (shift and cut), several cells that hold constants are put
together; all else that is read across cells is some number.

Slides 18, 19; what Linux keeps per 8-byte slot, `check_stack_read_fixed_off` in kernel/bpf/verifier.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.arithmetic import cut, shifted_down
from bpfbench.fixpoint.values import ANY_NUMBER, NUMBER, Value, constant

DEPTH: Final = 512
Cells = dict[int, tuple[int, Value]]


def overlapping(cells: Cells, low: int, high: int) -> list[int]:
    """Offsets of the cells that have a byte in low … high - 1."""
    if high - low <= 16:
        return [at for at in range(low - 15, high) if at in cells and at + cells[at][0] > low]
    return [at for at, (size, _) in cells.items() if at < high and at + size > low]


def write(cells: Cells, at: int, size: int, value: Value, split: bool = False) -> None:
    """A store of known place; with `split`, what it cuts keeps its untouched constant bytes (zeros: always)."""
    forget(cells, at, at + size, split)
    cells[at] = (size, value if size == 8 or value.kind != NUMBER else _stored(value, size))


def _stored(value: Value, size: int) -> Value:
    """The low bytes; the same number where it fits."""
    if value.scalar.umax < 1 << 8 * size:
        return value
    return cut(value, size)


def forget(cells: Cells, low: int, high: int, split: bool = False) -> None:
    """Some store may have hit low … high - 1."""
    for at in overlapping(cells, low, high):
        length, old = cells.pop(at)
        if old.kind == NUMBER and old.scalar.m == 0 and (split or (old.scalar.v == 0 and at % 8)):
            for byte in range(at, at + length):
                if not low <= byte < high:
                    cells[byte] = (1, constant(old.scalar.v >> 8 * (byte - at) & 0xFF))


def read(cells: Cells, at: int, size: int, split: bool = True) -> Value | None:
    """What a load of known place gives, zero-extended; None: part of a pointer.

    Without `split` only the low bytes of a cell are known, and zeros.
    """
    exact = cells.get(at)
    if exact is not None and exact[0] == size:
        return exact[1]
    hit = overlapping(cells, at, at + size)
    if not hit:
        return ANY_NUMBER if size == 8 else cut(ANY_NUMBER, size)
    if any(cells[c][1].kind > NUMBER for c in hit):
        return None
    if len(hit) == 1:
        start = hit[0]
        length, value = cells[start]
        if start <= at and at + size <= start + length and (split or start == at or value.is_zero):
            return cut(shifted_down(value, 8 * (at - start)), size)
    known = _bytes(cells, hit, at, size)
    if known is not None and (split or not known and all(cells[c][1].is_zero for c in hit)):
        return constant(known)
    return ANY_NUMBER if size == 8 else cut(ANY_NUMBER, size)


def _bytes(cells: Cells, hit: list[int], at: int, size: int) -> int | None:
    """The number that constant cells make up together."""
    total, covered = 0, 0
    for start in hit:
        length, value = cells[start]
        if value.kind != NUMBER or value.scalar.m:
            return None
        for byte in range(max(start, at), min(start + length, at + size)):
            total |= (value.scalar.v >> 8 * (byte - start) & 0xFF) << 8 * (byte - at)
            covered += 1
    return total if covered == size else None


def join_cells(a: Cells, b: Cells, join: Callable[[Value, Value], Value]) -> Cells:
    """Cells of the same place and size; where only one side has whole cells of constants, its bytes."""
    out: Cells = {}
    for at, (size, value) in a.items():
        other = b.get(at)
        if other is not None and other[0] == size:
            joined = join(value, other[1])
            if joined.kind != vs.NOTHING:
                out[at] = (size, joined)
            continue
        if value.kind == NUMBER:
            found = read(b, at, size)
            if found is not None and found.kind == NUMBER and found is not ANY_NUMBER:
                joined = join(value, found)
                if joined.kind == NUMBER:
                    out[at] = (size, joined)
    return out
