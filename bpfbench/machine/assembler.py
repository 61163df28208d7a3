"""A buffer of native instructions that grows at one end.

Code generators run over a program several times until branch distances settle, so the buffer has two modes: a *dry*
one that only counts bytes, and a *final* one that keeps each instruction with its row and operands, which is what the
listing, the round-trip tests and the unwinder read.  Those that are alike are one object; their places are for who asks.

    emit(row, a, b, c)  ->  here += length;   final mode:  insns += Encoded(row, (a, b, c), bytes)
    placed(start)       ->  [Placed(addr, row, operands, raw), ...]
"""

from __future__ import annotations

from typing import final

from bpfbench.machine.pattern import Encoded, Encoding


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

    __slots__ = ("here", "dry", "insns")

    def __init__(self) -> None:
        self.here = 0
        self.dry = False
        self.insns: list[Encoded] = []

    def restart(self, dry: bool) -> None:
        """Empty the buffer for another pass."""
        self.here = 0
        self.dry = dry
        self.insns = []

    def emit(self, row: Encoding, operands: tuple[int, ...]) -> None:
        """Append one instruction."""
        if self.dry:
            self.here += row.size or len(row.encoded(operands).raw)
            return
        insn = row.encoded(operands)
        self.here += len(insn.raw)
        self.insns.append(insn)

    def placed(self, start: int = 0) -> list[Placed]:
        """What was emitted, each instruction with its address in an image where this buffer begins at `start`."""
        out: list[Placed] = []
        for insn in self.insns:
            out.append(Placed(start, insn.row, insn.operands, insn.raw))
            start += len(insn.raw)
        return out

    def bytes(self) -> bytes:
        return b"".join([insn.raw for insn in self.insns])
