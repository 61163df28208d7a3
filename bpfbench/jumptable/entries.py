"""Point 3 of the post: from the formula to addresses, `target = anchor + scale * entry`.

Width, sign and scale all come from the formula (the load and the final addition), never from a list of snippets.  An
8-byte entry is what the dynamic loader stores there, so in position-independent files it is read from the RELATIVE
relocation.

    G2, gcc                     anchor ---+
    .rodata  T: 0008 fff0 ...             v   (instruction after the branch)
                |     +---------> anchor + 4 * -16
                +---------------> anchor + 4 * 8
"""

from __future__ import annotations

import struct
from typing import Final

from .guess import Shape
from .image import Image

MAX_ENTRIES: Final = 1 << 16
_FORMAT: Final = {
    (1, False): "B",
    (1, True): "b",
    (2, False): "H",
    (2, True): "h",
    (4, False): "I",
    (4, True): "i",
    (8, False): "Q",
    (8, True): "q",
}
MASK64: Final = (1 << 64) - 1


def decode(image: Image, shape: Shape, count: int) -> list[int]:
    """The first `count` targets; fewer when the mapped bytes end before."""
    entry = shape.entry
    seg = image.segment(entry.table)
    if seg is None:
        return []
    count = max(0, min(count, MAX_ENTRIES, (seg.addr + seg.filesz - entry.table) // entry.size))
    if entry.size == 8:
        relative = image.relative
        if relative:
            raw8 = image.read(entry.table, 8 * count) or b""
            stored = struct.unpack(f"{image.order}{len(raw8) // 8}Q", raw8)
            values = tuple(relative.get(entry.table + 8 * k, v) for k, v in enumerate(stored))
            return [shape.anchor + shape.scale * v & MASK64 for v in values]
    raw = image.read(entry.table, count * entry.size) or b""
    numbers = struct.unpack(f"{image.order}{len(raw) // entry.size}{_FORMAT[entry.size, entry.signed]}", raw)
    if shape.relative:
        return [entry.table + entry.size * k + v & MASK64 for k, v in enumerate(numbers)]
    return [shape.anchor + shape.scale * v & MASK64 for v in numbers]
