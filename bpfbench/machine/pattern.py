"""One row of an ISA manual, used both ways.

A pattern is written as the manual prints it, most significant bit first, next to the assembly syntax:

    Pattern("beq", "imm[12|10:5] rs2:5 rs1:5 000 imm[4:1|11] 1100011", "beq {rs1}, {rs2}, {imm:pc}", signed="imm")

A run of 0/1 is fixed.  `rd:5` is a whole operand.  `imm[12|10:5]` places bits 12 and 10..5 of the operand, so a split
immediate, its width and its alignment (bit 0 is absent: the value must be even) all follow from the row.  Operands
are numbered in the order in which the syntax names them.  The same row encodes, decodes, prints and knows the range of
each operand, and the round-trip tests draw from that range.

    bits     ....imm[12|10:5]....|rs2:5|rs1:5|000|..imm[4:1|11]..|1100011
    pieces   (operand, lowest bit in the operand, lowest bit in the word, width) for each field

How an operand is printed is its *kind*, written `{name:kind}`; a machine gives each kind a list of register names or
a function `(value, addr) -> text`.  Without a kind an operand is printed by the kind of its first letter (`r`
register, else a number).  `Encoding` is the face that variable-length machines (`x86.py`) share.

Sources: the idea is that of RPython's `rpython/jit/backend` tables and of the RISC-V opcodes files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, final

from bpfbench.errors import MachineError

#: How the operands of one kind are printed: names by index, or a function of (value, address of the instruction).
Kind = list[str] | Callable[[int, int], str]


@final
class Encoded:
    """An instruction without a place: the row, its operands, its bytes.  All that are alike share one."""

    __slots__ = ("row", "operands", "raw")

    def __init__(self, row: Encoding, operands: tuple[int, ...], raw: bytes) -> None:
        self.row = row
        self.operands = operands
        self.raw = raw


#: Encodings that a form remembers, so that passes over a large program encode each distinct instruction once.
CACHED: Final = 1 << 16


class Encoding:
    """One instruction form: a name, the syntax, its operands, and both directions.

    `size` is its length in bytes, or 0 when that depends on the operands (x86).
    """

    __slots__ = ("name", "syntax", "names", "kinds", "pieces_of_text", "size", "cache")

    def __init__(self, name: str, syntax: str, size: int) -> None:
        self.name = name
        self.syntax = syntax
        self.size = size
        self.names: list[str] = []
        self.kinds: list[str] = []
        self.pieces_of_text: list[str] = []
        self.cache: dict[tuple[int, ...], Encoded] = {}
        parts = syntax.split("{")
        self.pieces_of_text.append(parts[0])
        for part in parts[1:]:
            operand, literal = part.split("}")
            fields = operand.split(":")
            self.names.append(fields[0])
            self.kinds.append(fields[1] if len(fields) > 1 else fields[0][0])
            self.pieces_of_text.append(literal)

    def encode(self, operands: Sequence[int]) -> bytes:
        """The bytes of this form with these operands; MachineError names the operand that does not fit."""
        raise NotImplementedError

    def decode_at(self, code: bytes, at: int) -> list[int] | None:
        """The operands if `code[at:]` starts with this form, else None."""
        raise NotImplementedError

    def length_at(self, code: bytes, at: int) -> int:
        """Length in bytes of the instruction at `at`, once `decode_at` has accepted it."""
        return self.size

    def may_have(self, index: int, byte: int) -> bool:
        """Can byte `index` of this form have this value?  A first index for decoders; True when unsure."""
        return True

    def range(self, index: int) -> tuple[int, int, int]:
        """Smallest value, largest value and step of operand `index`."""
        raise NotImplementedError

    def encoded(self, operands: tuple[int, ...]) -> Encoded:
        """`encode` with a memory: code generators emit the same few instructions again and again."""
        found = self.cache.get(operands)
        if found is None:
            if len(self.cache) > CACHED:
                self.cache.clear()
            found = self.cache[operands] = Encoded(self, operands, self.encode(operands))
        return found

    def text(self, operands: Sequence[int], kinds: dict[str, Kind], addr: int = 0) -> str:
        """Assembly text; `addr` is where the instruction stands, for pc-relative operands."""
        out = self.pieces_of_text[0]
        for i, value in enumerate(operands):
            out += shown(kinds, self.kinds[i], value, addr) + self.pieces_of_text[i + 1]
        return out

    def misfit(self, index: int, value: int) -> MachineError:
        lo, hi, step = self.range(index)
        return MachineError(f"{self.name}: operand {self.names[index]}={value} is not in {lo}..{hi} step {step}")

    def arity(self, operands: Sequence[int]) -> None:
        if len(operands) != len(self.names):
            wanted = f"{len(self.names)} operands ({', '.join(self.names)})"
            raise MachineError(f"{self.name} takes {wanted}, got {len(operands)}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name}: {self.syntax})"


def shown(kinds: dict[str, Kind], kind: str, value: int, addr: int) -> str:
    """One operand as text; an unknown kind prints a number."""
    how = kinds.get(kind)
    if how is None:
        return number(value, addr)
    if isinstance(how, list):
        return how[value] if 0 <= value < len(how) else f"?{value}"
    return how(value, addr)


def number(value: int, addr: int = 0) -> str:
    """Disassemblers print small numbers in decimal, others in hexadecimal."""
    return str(value) if -10 < value < 10 else hex(value)


def decimal(value: int, addr: int = 0) -> str:
    return str(value)


def pc_relative(value: int, addr: int) -> str:
    return hex((addr + value) & 0xFFFF_FFFF_FFFF_FFFF)


class Pattern(Encoding):
    """A form of fixed width whose bits are written out.

    >>> add = Pattern("addi", "imm:12 rs1:5 000 rd:5 0010011", "addi {rd}, {rs1}, {imm}", signed="imm")
    >>> add.encode([10, 11, -1]).hex()
    '1385f5ff'
    >>> add.decode_at(bytes.fromhex("1385f5ff"), 0)
    [10, 11, -1]
    """

    __slots__ = ("bits", "mask", "value", "signed", "lows", "highs", "placed", "limits", "byteorder")

    def __init__(self, name: str, bits: str, syntax: str, signed: str = "", big_endian: bool = False) -> None:
        super().__init__(name, syntax, 0)
        self.bits = bits
        self.mask = 0
        self.value = 0
        self.lows: list[int] = [63] * len(self.names)
        self.highs: list[int] = [0] * len(self.names)
        self.placed: list[tuple[int, int, int, int]] = []
        self.byteorder = big_endian
        at = 0
        for token in reversed(bits.split()):
            at += self.place(token, at)
        if at % 8:
            raise MachineError(f"{name}: the pattern has {at} bits")
        self.size = at // 8
        self.signed: list[bool] = [operand in signed.split() for operand in self.names]
        self.limits: list[tuple[int, int, int]] = [self.range(i) for i in range(len(self.names))]

    def place(self, token: str, at: int) -> int:
        """Record one field whose lowest bit is bit `at` of the word; returns its width."""
        if token[0] in "01":
            self.mask |= ((1 << len(token)) - 1) << at
            self.value |= int(token, 2) << at
            return len(token)
        if "[" not in token:
            name, width = token.split(":")
            pieces = [f"{int(width) - 1}:0"]
        else:
            name, inside = token.rstrip("]").split("[")
            pieces = inside.split("|")
        if name not in self.names:
            raise MachineError(f"{self.name}: the syntax does not name operand '{name}'")
        index = self.names.index(name)
        start = at
        for piece in reversed(pieces):
            ends = piece.split(":")
            hi, lo = int(ends[0]), int(ends[-1])
            self.placed.append((index, lo, at, hi - lo + 1))
            self.lows[index] = min(self.lows[index], lo)
            self.highs[index] = max(self.highs[index], hi)
            at += hi - lo + 1
        return at - start

    def range(self, index: int) -> tuple[int, int, int]:
        bits, step = self.highs[index] + 1, 1 << self.lows[index]
        if self.signed[index]:
            return -(1 << (bits - 1)), (1 << (bits - 1)) - step, step
        return 0, (1 << bits) - step, step

    def word(self, operands: Sequence[int]) -> int:
        """The instruction as one number."""
        self.arity(operands)
        for i, value in enumerate(operands):
            lo, hi, step = self.limits[i]
            if value < lo or value > hi or value % step:
                raise self.misfit(i, value)
        word = self.value
        for index, src, dst, width in self.placed:
            word |= ((operands[index] >> src) & ((1 << width) - 1)) << dst
        return word

    def encode(self, operands: Sequence[int]) -> bytes:
        return self.word(operands).to_bytes(self.size, "big" if self.byteorder else "little")

    def decode(self, word: int) -> list[int]:
        """The operands of a word that matches."""
        operands = [0] * len(self.names)
        for index, src, dst, width in self.placed:
            operands[index] |= ((word >> dst) & ((1 << width) - 1)) << src
        for i, signed in enumerate(self.signed):
            if signed and operands[i] >> self.highs[i] & 1:
                operands[i] -= 1 << (self.highs[i] + 1)
        return operands

    def may_have(self, index: int, byte: int) -> bool:
        shift = 8 * (self.size - 1 - index if self.byteorder else index)
        return byte & (self.mask >> shift) & 0xFF == (self.value >> shift) & 0xFF

    def decode_at(self, code: bytes, at: int) -> list[int] | None:
        if at + self.size > len(code):
            return None
        word = int.from_bytes(code[at : at + self.size], "big" if self.byteorder else "little")
        if word & self.mask != self.value:
            return None
        operands = self.decode(word)
        # A field may be placed twice (mov = orr rd, rd, rd): both copies have to agree.
        return operands if self.word(operands) == word else None


@final
class LeftShift(Pattern):
    """A left shift by n that the machine knows as a bit-field move, both of whose fields follow from n.

    The syntax ends in the two fields; outside they are the one operand n: -n mod width and width - 1 - n.  Shifting by
    0 is another alias's business.  (AArch64: lsl rd, rn, #n = ubfm rd, rn, #-n mod 64, #63 - n.)
    """

    __slots__ = ("width",)

    def __init__(self, name: str, bits: str, syntax: str, width: int) -> None:
        self.width = width
        super().__init__(name, bits, syntax)

    def word(self, operands: Sequence[int]) -> int:
        shift = operands[2]
        if not 0 <= shift < self.width:
            raise MachineError(f"{self.name}: shift {shift} is not in 0..{self.width - 1}")
        return super().word([operands[0], operands[1], -shift % self.width, self.width - 1 - shift])

    def decode(self, word: int) -> list[int]:
        rd, rn, _, last = super().decode(word)
        return [rd, rn, max(self.width - 1 - last, 0)]

    def decode_at(self, code: bytes, at: int) -> list[int] | None:
        found = super().decode_at(code, at)
        return found if found is not None and found[2] else None

    def arity(self, operands: Sequence[int]) -> None:
        """Three operands outside, four fields inside."""

    def text(self, operands: Sequence[int], kinds: dict[str, Kind], addr: int = 0) -> str:
        return super().text([*operands[:3], 0], {**kinds, "none": [""]}, addr)


#: What `Machine.decode` finds: the row, its operands, the length in bytes.
Decoded = tuple[Encoding, list[int], int]


class Machine:
    """A host machine: its name, its rows (more specific forms first) and how operands are printed.

    `unit` is the smallest distance between instructions in bytes; what does not decode is shown as that many raw bytes.
    `byte` of an instruction is the decoder's first index.  `meant(row, code, at)` says whether a matching row can be
    meant there, for machines where other bits decide that (ARM's condition 1111).
    """

    __slots__ = ("name", "rows", "kinds", "unit", "by_name", "buckets", "byte", "meant")

    def __init__(
        self, name: str, rows: list[Encoding], kinds: dict[str, Kind], unit: int, byte: int = 0,
        meant: Callable[[Encoding, bytes, int], bool] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.rows = rows
        self.kinds = kinds
        self.unit = unit
        self.byte = byte
        self.meant = meant
        self.by_name: dict[str, Encoding] = {}
        for row in rows:
            if row.name in self.by_name:
                raise MachineError(f"{name}: two rows are called '{row.name}'")
            self.by_name[row.name] = row
        self.buckets: dict[int, list[Encoding]] = {}

    def row(self, name: str) -> Encoding:
        found = self.by_name.get(name)
        if found is None:
            raise MachineError(f"{self.name} has no row '{name}'")
        return found

    def candidates(self, code: bytes, at: int) -> list[Encoding]:
        """Rows that can start with the byte `byte` of this instruction (a decoder's first index)."""
        at += self.byte
        key = code[at] if at < len(code) else -1
        found = self.buckets.get(key)
        if found is None:
            found = [r for r in self.rows if key < 0 or r.may_have(self.byte, key)]
            self.buckets[key] = found
        return found

    def decode(self, code: bytes, at: int = 0) -> Decoded | None:
        """The first row that matches at `at`, its operands and its length; None if nothing does."""
        for row in self.candidates(code, at):
            operands = row.decode_at(code, at)
            if operands is not None and (self.meant is None or self.meant(row, code, at)):
                return row, operands, row.length_at(code, at)
        return None

    def disassemble(self, code: bytes, addr: int = 0) -> list[tuple[int, bytes, str]]:
        """(address, bytes, text) of each instruction; undecodable bytes appear as `.byte`."""
        out: list[tuple[int, bytes, str]] = []
        at = 0
        while at < len(code):
            found = self.decode(code, at)
            if found is None:
                raw = code[at : at + self.unit]
                out.append((addr + at, raw, ".byte " + ", ".join(f"{b:#04x}" for b in raw)))
                at += len(raw)
            else:
                row, operands, length = found
                out.append((addr + at, code[at : at + length], row.text(operands, self.kinds, addr + at)))
                at += length
        return out

    def __repr__(self) -> str:
        return f"Machine({self.name}, {len(self.rows)} rows)"
