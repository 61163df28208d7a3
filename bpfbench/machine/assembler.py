"""A buffer of native instructions that grows at one end.

Code generators run over a program several times until branch distances settle, so the buffer has two modes: a *dry*
one that only counts bytes, and a *final* one that keeps each instruction with its row and operands, which is what the
listing, the round-trip tests and the unwinder read.

    emit(row, a, b, c)  ->  size += length;   final mode:  placed += (addr, row, (a, b, c), bytes)
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

    __slots__ = ("here", "dry", "placed")

    def __init__(self) -> None:
        self.here = 0
        self.dry = False
        self.placed: list[Placed] = []

    def restart(self, dry: bool) -> None:
        """Empty the buffer for another pass."""
        self.here = 0
        self.dry = dry
        self.placed = []

    def emit(self, row: Encoding, operands: tuple[int, ...]) -> int:
        """Append one instruction; returns its address."""
        at = self.here
        if self.dry and row.size:
            self.here = at + row.size
            return at
        raw = row.encoded(operands)
        self.here = at + len(raw)
        if not self.dry:
            self.placed.append(Placed(at, row, operands, raw))
        return at

    def bytes(self) -> bytes:
        return b"".join([p.raw for p in self.placed])
