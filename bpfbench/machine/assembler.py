"""A buffer of native instructions that grows at one end.

Code generators run over a program several times until branch distances settle, so the buffer has two modes: a *dry*
one that only counts bytes, and a *final* one that keeps each instruction with its row and operands, which is what the
listing, the round-trip tests and the unwinder read.  It keeps them as columns; an object for each is made for who asks.

    emit(row, a, b, c)  ->  here += length;   final mode:  rows += row, operands += (a, b, c), raws += bytes
    placed(start)       ->  [Placed(addr, row, operands, raw), ...]
"""

from __future__ import annotations

from typing import final

from bpfbench.machine.pattern import Encoding


@final
class Placed:
    """One emitted instruction: byte address in the image, its row, the operands and the bytes."""

    __slots__ = ("addr", "row", "operands", "raw")

    def __init__(self, addr: int, row: Encoding, operands: tuple[int, ...], raw: bytes) -> None:
        self.addr = addr
        self.row = row
        self.operands = operands
        self.raw = raw

    def __repr__(self) -> str:
        return f"Placed({self.addr:#x}, {self.row.name}, {self.operands})"


@final
class Assembler:
    """`here` is the address of the next instruction, in bytes from the start of the buffer."""

    __slots__ = ("here", "dry", "rows", "operands", "raws")

    def __init__(self) -> None:
        self.here = 0
        self.dry = False
        self.rows: list[Encoding] = []
        self.operands: list[tuple[int, ...]] = []
        self.raws: list[bytes] = []

    def restart(self, dry: bool) -> None:
        """Empty the buffer for another pass."""
        self.here = 0
        self.dry = dry
        self.rows = []
        self.operands = []
        self.raws = []

    def emit(self, row: Encoding, operands: tuple[int, ...]) -> None:
        """Append one instruction."""
        if self.dry:
            self.here += row.size or len(row.encoded(operands))
            return
        raw = row.encoded(operands)
        self.here += len(raw)
        self.rows.append(row)
        self.operands.append(operands)
        self.raws.append(raw)

    def placed(self, start: int = 0) -> list[Placed]:
        """What was emitted, each instruction with its address in an image where this buffer begins at `start`."""
        out: list[Placed] = []
        for row, operands, raw in zip(self.rows, self.operands, self.raws):
            out.append(Placed(start, row, operands, raw))
            start += len(raw)
        return out

    def bytes(self) -> bytes:
        return b"".join(self.raws)
