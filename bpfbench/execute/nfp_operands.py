"""Operands of the micro-engine as functions: what a source field reads, what a destination field writes.

Decoding makes one function per field, once; executing calls it.  `Operands` also remembers which local-memory pointers
the instruction modifies: the sources are read, the result is written, and then each pointer moves once.

    10 bits   00 nn GPR · 180 transfer · 200 local memory, offset 0-15 or ++ -- · 300 constant, or no destination
     8 bits   0-1f GPR · 80, c0 transfer · 50 local memory, offset 0-7 · bit 5 constant, or no destination
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from bpfbench.errors import MachineError
from bpfbench.execute.nfp_state import Context

Source = Callable[[Context], int]
Sink = Callable[[Context, int], None]
# where a result goes, for traces: ("A" | "B" | "out", register, 0) or ("local", pointer, offset)
Place = tuple[str, int, int]
NOTHING: Final = "none"


def _constant(value: int) -> Source:
    return lambda c: value


def _bank_a(number: int) -> Source:
    return lambda c: c.a[number]


def _bank_b(number: int) -> Source:
    return lambda c: c.b[number]


def _transfer(number: int) -> Source:
    return lambda c: c.transfer_in(number)


def _local(pointer: int, offset: int) -> Source:
    return lambda c: c.local[c.word_at(pointer, offset)]


def _to_nothing(c: Context, value: int) -> None:
    return


def _to_a(number: int) -> Sink:
    def write(c: Context, value: int) -> None:
        c.a[number] = value

    return write


def _to_b(number: int) -> Sink:
    def write(c: Context, value: int) -> None:
        c.b[number] = value

    return write


def _to_both(number: int) -> Sink:
    def write(c: Context, value: int) -> None:
        c.a[number] = value
        c.b[number] = value

    return write


def _to_transfer(number: int) -> Sink:
    def write(c: Context, value: int) -> None:
        c.xout[number] = value

    return write


def _to_local(pointer: int, offset: int) -> Sink:
    def write(c: Context, value: int) -> None:
        c.local[c.word_at(pointer, offset)] = value

    return write


@final
class Operands:
    """The operands of one instruction, from the fields of its word."""

    __slots__ = ("f", "moves", "places")

    def __init__(self, fields: dict[str, int]) -> None:
        self.f = fields
        self.moves: set[tuple[int, int]] = set()        # (pointer, +4 or -4)
        self.places: list[Place] = []

    # ---------------------------------------------------------------------------------------------------- which kind
    def wide(self, value: int, bank: str, high: int) -> tuple[str, int, int]:
        """An operand of ten bits as (kind, number, offset)."""
        if value >> 8 == 3:
            return "const", value & 0xFF, 0
        if value >> 7 == 3:
            return "xfer", value & 31 | (value & 0x40) >> 1, 0
        if value >> 6 == 8:
            pointer = value >> 5 & 1 | high << 1
            if value & 0x10:
                self.moves.add((pointer, -4 if value & 1 else 4))
                return "local", pointer, 0
            return "local", pointer, value & 15
        if value < 0x20:
            return bank, value, 0
        raise MachineError(f"operand {value:#x} (absolute, indexed or a neighbour's register) is not simulated")

    def narrow(self, value: int, bank: str, high: int, i8: int = 0) -> tuple[str, int, int]:
        """An operand of eight bits as (kind, number, offset)."""
        if value & 0x20:
            return "const", value & 0x1F | value >> 1 & 0x60 | i8 << 7, 0
        if value & 0x80:
            return "xfer", value & 0x1F | (value & 0x40) >> 1, 0
        if value & 0x40:
            if value & 0x10:
                return "local", value >> 3 & 1 | high << 1, value & 7
            raise MachineError(f"operand {value:#x} (an indexed register) is not simulated")
        return bank, value & 0x1F, 0

    # ------------------------------------------------------------------------------------------------------- as source
    def source(self, kind: str, number: int, offset: int) -> Source:
        if kind == "const":
            return _constant(number)
        if kind == "xfer":
            return _transfer(number)
        if kind == "local":
            return _local(number, offset)
        return _bank_a(number) if kind == "A" else _bank_b(number)

    def pair(self, narrow: bool) -> tuple[Source, Source]:
        """The two sources in logical order: what the encoding swapped is swapped back."""
        high, i8 = self.f["src_lm"], self.f.get("i8", 0)
        if narrow:
            a, b = self.narrow(self.f["a"], "A", high, i8), self.narrow(self.f["b"], "B", high, i8)
        else:
            a, b = self.wide(self.f["a"], "A", high), self.wide(self.f["b"], "B", high)
        if self.f["sw"]:
            a, b = b, a
        return self.source(*a), self.source(*b)

    # -------------------------------------------------------------------------------------------------- as destination
    def sink(self, kind: str, number: int, offset: int) -> Sink:
        """Writes the operand; a constant pattern means that the result goes nowhere."""
        if kind == "const":
            return _to_nothing
        if kind == "xfer":
            self.places.append(("out", number, 0))
            return _to_transfer(number)
        if kind == "local":
            self.places.append(("local", number, offset))
            return _to_local(number, offset)
        if self.f.get("wr_ab"):
            self.places += [("A", number, 0), ("B", number, 0)]
            return _to_both(number)
        self.places.append((kind, number, 0))
        return _to_a(number) if kind == "A" else _to_b(number)

    def destination(self, narrow: bool) -> Sink:
        bank, high = "B" if self.f["dst_ab"] else "A", self.f["dst_lm"]
        dst = self.f["dst"]
        return self.sink(*(self.narrow(dst, bank, high) if narrow else self.wide(dst, bank, high)))

    def move_pointers(self) -> Callable[[Context], None] | None:
        """What happens after the result is written, None if nothing does."""
        if not self.moves:
            return None
        moves = sorted(self.moves)

        def move(c: Context) -> None:
            for pointer, step in moves:
                c.pointers[pointer] = c.pointer(pointer) + step & 0xFFFFFFFF

        return move
