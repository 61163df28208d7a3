"""Rows of text: what objdump is to a terminal.

A `Listing` is the common form in which decoded, generated or recovered code is shown.  It is text only; the notebook
layer turns it into HTML.

>>> print(Listing("f", [Row(0, bytes.fromhex("b700000000000000"), "r0 = 0", 0)]))
f:
   0:  b7 00 00 00 00 00 00 00  r0 = 0
"""

from __future__ import annotations

from typing import final


@final
class Row:
    """One line: `addr` (bytes, or slots for eBPF), its `bytes` and `text`, the `owner` (a pc, or -1), a `note`."""

    __slots__ = ("addr", "bytes", "text", "owner", "note")

    def __init__(self, addr: int, code: bytes, text: str, owner: int = -1, note: str = "") -> None:
        self.addr = addr
        self.bytes = code
        self.text = text
        self.owner = owner
        self.note = note

    def __repr__(self) -> str:
        return f"Row({self.addr:#x}, {self.text!r})"

    def to_json(self) -> dict[str, object]:
        return {"addr": self.addr, "bytes": self.bytes.hex(), "text": self.text, "owner": self.owner, "note": self.note}


@final
class Listing:
    """A titled list of rows; `str()` lines them up."""

    __slots__ = ("title", "rows")

    def __init__(self, title: str, rows: list[Row]) -> None:
        self.title = title
        self.rows = rows

    def __repr__(self) -> str:
        return f"Listing({self.title!r}, {len(self.rows)} rows)"

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        width = max((len(r.bytes) for r in self.rows), default=0) * 3 - 1
        lines = [f"{self.title}:"] if self.title else []
        for r in self.rows:
            line = f"{r.addr:4x}:  {r.bytes.hex(' '):{max(width, 0)}}  {r.text}"
            lines.append((line + (f"    ; {r.note}" if r.note else "")).rstrip())
        return "\n".join(lines)

    def to_json(self) -> dict[str, object]:
        return {"title": self.title, "rows": [r.to_json() for r in self.rows]}
