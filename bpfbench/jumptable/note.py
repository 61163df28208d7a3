"""The author's proposal: a record per jump table, so that nothing has to be guessed.

Two carriers, both ignored by loaders:

* a local OBJECT symbol `function.jumpN` whose value and size are those of the array (what Go 1.19 to 1.21 has);
* a note section `.note.jumptables` for what a symbol cannot say: which branch, from which anchor, how wide, signed
  and scaled.  One note, owner "JUMPTAB", type 1, whose descriptor is an array of rows:

      0        8        16       24     28    29     30     31       32
      +--------+--------+--------+------+-----+------+------+--------+
      | branch | table  | anchor | count| size| flags| shift| version|   flags: 1 signed, 2 absolute
      +--------+--------+--------+------+-----+------+------+--------+   4 entry-relative, 8 subtracted

  The three addresses are relative to the start of their own field, so the note needs no relocation.

The kernel-list objection against a plain (branch, table) pair was that AArch64 offsets may be scaled and based
elsewhere; these seven fields are the answer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, final

from .image import Image

if TYPE_CHECKING:
    from .tables import JumpTable

NAME: Final = ".note.jumptables"
OWNER: Final = b"JUMPTAB\0"
ROW: Final = 32
SIGNED, ABSOLUTE, ENTRY_RELATIVE, SUBTRACTED = 1, 2, 4, 8


@final
class Record:
    """One row of the note."""

    __slots__ = ("branch", "table", "anchor", "count", "size", "flags", "shift")

    def __init__(self, branch: int, table: int, anchor: int, count: int, size: int, flags: int, shift: int) -> None:
        self.branch = branch
        self.table = table
        self.anchor = anchor
        self.count = count
        self.size = size
        self.flags = flags
        self.shift = shift

    def __repr__(self) -> str:
        return f"Record(br {self.branch:#x}, {self.count} x {self.size} at {self.table:#x})"


def read(image: Image) -> list[Record]:
    """The rows of `.note.jumptables`; [] when there is no such section or it is not ours."""
    out: list[Record] = []
    for sec in image.sections:
        if sec.name != NAME:
            continue
        raw, at = image.data[sec.offset : sec.offset + sec.size], 0
        while at + 20 <= len(raw) and raw[at + 12 : at + 20] == OWNER:  # one note per object file, concatenated
            length = struct.unpack_from(image.order + "I", raw, at + 4)[0]
            end = min(len(raw), at + 20 + length)
            out += [_row(image.order, raw, row, sec.addr) for row in range(at + 20, end - ROW + 1, ROW)]
            at += 20 + (length + 3 & ~3)
    return out


def _row(order: str, raw: bytes, at: int, base: int) -> Record:
    branch, table, anchor, count, size, flags, shift, _ = struct.unpack_from(order + "qqqIBBBB", raw, at)
    here = base + at
    return Record(branch + here, table + here + 8, anchor + here + 16, count, size, flags, shift)


def build(tables: list[JumpTable], base: int, order: str = "<") -> bytes:
    """The note for `tables`, to be placed at address `base`."""
    rows = b""
    for t in tables:
        here = base + 20 + len(rows)
        anchor = t.anchor
        flags = (SIGNED if t.signed else 0) | (SUBTRACTED if t.shape.scale < 0 else 0)
        flags |= ENTRY_RELATIVE if t.shape.relative else ABSOLUTE if anchor is None else 0
        rows += struct.pack(
            order + "qqqIBBBB",
            t.branch - here,
            t.address - here - 8,
            (anchor or 0) - here - 16,
            t.count,
            t.size,
            flags,
            t.shift,
            1,
        )
    return struct.pack(order + "III", len(OWNER), len(rows), 1) + OWNER + rows
