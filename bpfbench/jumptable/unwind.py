"""Unwind tables for moved code: .eh_frame rows follow their instructions to the new layout.

Call frame information says, per address, how to find the caller's frame.  When blocks change order the rows change
order with them, so the old program is *run* to get the row of every instruction, and a new one is written that goes
from row to row in the new order.  The inserted sequences push a pair of registers; while sp differs, a row based on sp
says so too.  `.eh_frame_hdr`, the sorted index that unwinders search, is written anew over old and new entries.

Facts: LSB 5 "Exception Frames", DWARF 5 section 6.4, AAPCS64 DWARF register numbers.
"""

from __future__ import annotations

import struct
from typing import Final, final

from .functions import _encoded, _uleb, frame_section
from .image import Image


class Unsupported(Exception):
    """An unwind program that is not understood; the text says which operation.  Never leaves the package."""


@final
class Row:
    """One row: the CFA is `reg + offset`; `saved` maps registers to offsets from it; `signed` is the RA-sign state."""

    __slots__ = ("reg", "offset", "saved", "signed")

    def __init__(self, reg: int, offset: int, saved: dict[int, int], signed: bool) -> None:
        self.reg = reg
        self.offset = offset
        self.saved = saved
        self.signed = signed

    def copy(self) -> Row:
        return Row(self.reg, self.offset, dict(self.saved), self.signed)


@final
class Frame:
    """A frame description entry: code range, its CIE's address and factors, the rows by first address, the LSDA."""

    __slots__ = ("start", "end", "cie", "rows", "lsda", "undefined", "personality")

    def __init__(
        self,
        start: int,
        end: int,
        cie: int,
        rows: list[tuple[int, Row]],
        lsda: int,
        undefined: bool,
        personality: tuple[int, int],
    ) -> None:
        self.start = start
        self.end = end
        self.cie = cie
        self.rows = rows
        self.lsda = lsda
        self.undefined = undefined
        self.personality = personality  # encoding and address of the pointer (or function)


def _sleb(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    byte = 0
    while at < len(raw) and shift < 70:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return (value - (1 << shift) if byte & 64 else value), at


@final
class Frames:
    """All entries of an image's .eh_frame, parsed on demand: `at(start)` is the Frame of a function or None."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self.order = "little" if image.order == "<" else "big"
        found = frame_section(image)
        self.base, self.raw = found if found is not None else (0, b"")
        self.where: dict[int, tuple[int, int]] = {}  # function start -> (offset of its entry, of its CIE)
        self._index()

    def _u32(self, at: int) -> int:
        return int.from_bytes(self.raw[at : at + 4], "little" if self.order == "little" else "big")

    def _index(self) -> None:
        at = 0
        while at + 8 <= len(self.raw):
            length = self._u32(at)
            if length == 0 or length >= 0xFFFFFFF0 or at + 4 + length > len(self.raw):
                break
            ident = self._u32(at + 4)
            if ident:
                cie = at + 4 - ident
                if 0 <= cie < at:
                    start = _encoded(self.image, self.raw, at + 8, self._cie(cie)[3], self.base)
                    if start is not None:
                        self.where[start[0]] = (at, cie)
            at += 4 + length

    def _cie(self, at: int) -> tuple[int, int, int, int, int, int, tuple[int, int]]:
        """Code factor, data factor, start of the initial program, pointer encoding, LSDA encoding, end, personality."""
        raw, end = self.raw, at + 4 + self._u32(at)
        zero = raw.find(b"\0", at + 9)
        text = raw[at + 9 : zero]
        p = zero + 1
        code, p = _uleb(raw, p)
        data, p = _sleb(raw, p)
        _, p = _uleb(raw, p)
        pointer, lsda, personality = 0, 0xFF, (0xFF, 0)
        if text.startswith(b"z"):
            length, p = _uleb(raw, p)
            q = p
            for letter in text[1:].decode("latin-1"):
                if letter == "R":
                    pointer, q = raw[q], q + 1
                elif letter == "L":
                    lsda, q = raw[q], q + 1
                elif letter == "P":
                    found = _encoded(self.image, raw, q + 1, raw[q] & 0x7F, self.base)
                    personality = (raw[q], found[0] if found else 0)
                    q = found[1] if found else q + 9
            p += length
        return code, data, p, pointer, lsda, end, personality

    def at(self, start: int) -> Frame | None:
        """The decoded entry of the function that begins at `start`; raises Unsupported."""
        found = self.where.get(start)
        if found is None:
            return None
        at, cie = found
        code, data, program, pointer, lsda_enc, cie_end, personality = self._cie(cie)
        p = _encoded(self.image, self.raw, at + 8, pointer, self.base)
        size = _encoded(self.image, self.raw, p[1], pointer & 15, self.base) if p else None
        if p is None or size is None:
            return None
        body, lsda = size[1], 0
        if self.raw[cie + 9 : cie + 10] == b"z":
            length, body = _uleb(self.raw, body)
            if lsda_enc != 0xFF:
                where = _encoded(self.image, self.raw, body, lsda_enc, self.base)
                lsda = where[0] if where else 0
            body += length
        row, undefined = Row(31, 0, {}, False), [False]
        self._run(self.raw[program:cie_end], 0, row, None, code, data, undefined)
        rows: list[tuple[int, Row]] = []
        self._run(self.raw[body : at + 4 + self._u32(at)], start, row, rows, code, data, undefined)
        return Frame(start, start + size[0], cie, rows, lsda, undefined[0], personality)

    def _run(
        self,
        program: bytes,
        pc: int,
        row: Row,
        rows: list[tuple[int, Row]] | None,
        code: int,
        data: int,
        undefined: list[bool],
    ) -> None:
        initial, stack, p = row.copy(), list[Row](), 0
        begun = pc
        while p < len(program):
            op = program[p]
            p += 1
            step = 0
            if op >> 6 == 1:
                step = op & 63
            elif op >> 6 == 2:
                n, p = _uleb(program, p)
                row.saved[op & 63] = n * data
            elif op >> 6 == 3:
                row.saved.pop(op & 63, None)
            elif op in (2, 3, 4):
                width = 1 << (op - 2)
                step = int.from_bytes(program[p : p + width], "little" if self.order == "little" else "big")
                p += width
            elif op == 0x0C:
                row.reg, p = _uleb(program, p)
                row.offset, p = _uleb(program, p)
            elif op == 0x0D:
                row.reg, p = _uleb(program, p)
            elif op == 0x0E:
                row.offset, p = _uleb(program, p)
            elif op == 0x05:
                reg, p = _uleb(program, p)
                n, p = _uleb(program, p)
                row.saved[reg] = n * data
            elif op in (0x06, 0x08):
                reg, p = _uleb(program, p)
                row.saved.pop(reg, None)
            elif op == 0x07:
                reg, p = _uleb(program, p)
                undefined[0] = undefined[0] or reg == 30
            elif op == 0x0A:
                stack.append(row.copy())
            elif op == 0x0B and stack:
                old = stack.pop()
                row.reg, row.offset, row.saved, row.signed = old.reg, old.offset, old.saved, old.signed
            elif op == 0x2D:
                row.signed = not row.signed
            elif op == 0x2E:
                _, p = _uleb(program, p)
            elif op == 0:
                continue
            else:
                raise Unsupported(f"call frame operation {op:#x}")
            if step and rows is not None:
                rows.append((begun, row.copy()))
                begun += step * code
        del initial
        if rows is not None:
            rows.append((begun, row.copy()))


def _u(value: int) -> bytes:
    out = b""
    while True:
        byte, value = value & 127, value >> 7
        out += bytes([byte | (128 if value else 0)])
        if not value:
            return out


def _between(a: Row, b: Row) -> bytes:
    """Operations that turn row `a` into row `b`."""
    out = b""
    if (a.reg, a.offset) != (b.reg, b.offset):
        out += b"\x0c" + _u(b.reg) + _u(b.offset)
    for reg in sorted(set(a.saved) | set(b.saved)):
        if a.saved.get(reg) != b.saved.get(reg):
            if reg in b.saved:
                n = -b.saved[reg] // 8
                out += bytes([0x80 | reg]) + _u(n) if reg < 64 else b"\x05" + _u(reg) + _u(n)
            else:
                out += bytes([0xC0 | reg]) if reg < 64 else b"\x06" + _u(reg)
    if a.signed != b.signed:
        out += b"\x2d"
    return out


_CIE_TAIL: Final = b"\x1b\x0c\x1f\0"  # pc-relative sdata4; DW_CFA_def_cfa sp, 0


@final
class Writer:
    """Collects new entries for `.eh_frame` at address `base`, behind common entries of their own."""

    def __init__(self, base: int, order: str) -> None:
        self.base = base
        self.order = order
        self.raw = b""
        self.index: list[tuple[int, int]] = []  # (function start, address of its entry)
        self._cies: dict[tuple[int, int], int] = {}

    def _cie(self, personality: tuple[int, int]) -> int:
        """The offset of the common entry with this personality routine ((255, 0): none)."""
        found = self._cies.get(personality)
        if found is not None:
            return found
        at = len(self.raw)
        if personality[0] == 0xFF:
            body = b"\0\0\0\0\x01zR\0\x04\x78\x1e\x01" + _CIE_TAIL
        else:
            head = b"\0\0\0\0\x01zPLR\0\x04\x78\x1e\x07" + bytes([0x1B | personality[0] & 0x80])
            place = self.base + at + 4 + len(head)
            body = head + struct.pack(self.order + "i", personality[1] - place) + b"\x1b" + _CIE_TAIL
        body += b"\0" * (-(len(body) + 4) % 8)
        self.raw += struct.pack(self.order + "I", len(body)) + body
        self._cies[personality] = at
        return at

    def add(self, frame: Frame, start: int, end: int, mapping: list[tuple[int, int, int, int]], lsda: int = 0) -> None:
        """An entry for new code `start..end`; `mapping` as in `Emitted.map`, `lsda` the address of its new LSDA."""
        cie = self._cie(frame.personality if lsda else (0xFF, 0))
        starts = [a for a, _ in frame.rows]
        row, at, program = Row(31, 0, {}, False), start, b""
        if frame.undefined:
            program += b"\x07\x1e"
        last = frame.start
        for new, old, words, pushed in mapping:
            # a branch added behind a block has the row that its successor would have
            current = _row_at(frame, starts, old or last + 4)
            last = old or last
            for pc, want in _steps(new, words, pushed, current):
                ops = _between(row, want)
                if ops:
                    program += _advance(self.order, pc - at) + ops
                    at, row = pc, want
        head = struct.pack(self.order + "I", len(self.raw) + 4 - cie)
        place = self.base + len(self.raw) + 8
        body = head + struct.pack(self.order + "iI", start - place, end - start)
        body += b"\x04" + struct.pack(self.order + "i", lsda - place - 9) if lsda else b"\0"
        body += program
        body += b"\0" * (-(len(body) + 4) % 8)
        self.index.append((start, self.base + len(self.raw)))
        self.raw += struct.pack(self.order + "I", len(body)) + body

    def finish(self) -> bytes:
        return self.raw + b"\0\0\0\0"


def _steps(new: int, words: int, pushed: int, row: Row) -> list[tuple[int, Row]]:
    """The rows of one item: within a sequence that pushes, sp-based rows shift after its first word."""
    if not pushed or row.reg != 31 or words < 2:
        return [(new, row)]
    shifted = row.copy()
    shifted.offset += pushed
    return [(new, row), (new + 4, shifted), (new + 4 * words, row)]


def _row_at(frame: Frame, starts: list[int], old: int) -> Row:
    from bisect import bisect_right

    k = bisect_right(starts, old) - 1
    return frame.rows[max(0, k)][1]


def _advance(order: str, delta: int) -> bytes:
    n = delta // 4
    if n == 0:
        return b""
    if n < 64:
        return bytes([0x40 | n])
    if n < 256:
        return b"\x02" + bytes([n])
    if n < 65536:
        return b"\x03" + struct.pack(order + "H", n)
    return b"\x04" + struct.pack(order + "I", n)


def header(base: int, order: str, eh_frame: int, index: list[tuple[int, int]]) -> bytes:
    """`.eh_frame_hdr` at `base`: version 1, pcrel sdata4 pointer, udata4 count, datarel sdata4 table."""
    rows = sorted(index)
    out = struct.pack(order + "BBBBiI", 1, 0x1B, 0x03, 0x3B, eh_frame - base - 4, len(rows))
    return out + b"".join(struct.pack(order + "ii", start - base, entry - base) for start, entry in rows)
