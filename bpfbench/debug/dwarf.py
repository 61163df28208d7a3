"""DWARF for code that a JIT made: line table, functions, eBPF registers as variables, call frames.

All of it is known when the code is: which bytes came from which eBPF instruction (`Code.spans`), which C line that is
(`Program.lines`), and what each prologue instruction did to the frame (`Layout.steps`).

    .debug_info     compile unit
                      base types
                      subprogram per BPF function     low_pc high_pc, frame base = CFA
                        variable r0 … r10             in the machine register that holds it
                        C variables and parameters    where they are, range by range (.debug_loc)
    .debug_line     address -> file, line, column     a row where an eBPF instruction begins
    .debug_frame    per function the steps of its prologue

DWARF version 4, 32-bit format.  Sections 2.6 (locations), 6.2 (line table), 6.4 (frames), 7.5 (encoding) of the
standard.
"""

from __future__ import annotations

import struct
from typing import Final, final

from bpfbench.debug.targets import DebugTarget, Place
from bpfbench.jit.layout import Step

VERSION: Final = 4
PRODUCER: Final = "bpfbench"

# tags, attributes, forms, operations that are used (DWARF 4, chapter 7)
TAG_BASE_TYPE, TAG_COMPILE_UNIT, TAG_SUBPROGRAM, TAG_VARIABLE = 0x24, 0x11, 0x2E, 0x34
TAG_PARAMETER, TAG_POINTER = 0x05, 0x0F
AT_LOCATION, AT_NAME, AT_BYTE_SIZE, AT_STMT_LIST, AT_LOW_PC, AT_HIGH_PC, AT_LANGUAGE = 2, 3, 11, 0x10, 0x11, 0x12, 0x13
AT_COMP_DIR, AT_PRODUCER, AT_DECL_FILE, AT_DECL_LINE, AT_ENCODING, AT_EXTERNAL = 0x1B, 0x25, 0x3A, 0x3B, 0x3E, 0x3F
AT_FRAME_BASE, AT_TYPE = 0x40, 0x49
FORM_ADDR, FORM_DATA8, FORM_STRING, FORM_DATA1, FORM_UDATA, FORM_REF4 = 1, 7, 8, 0x0B, 0x0F, 0x13
FORM_SEC_OFFSET, FORM_EXPRLOC, FORM_FLAG_PRESENT = 0x17, 0x18, 0x19
LANG_C99: Final = 0x0C
OP_REG0, OP_BREG0, OP_REGX, OP_BREGX, OP_PIECE, OP_CALL_FRAME_CFA = 0x50, 0x70, 0x90, 0x92, 0x93, 0x9C

#                          tag               children  attribute, form …
ABBREVIATIONS: Final = {
    1: (TAG_COMPILE_UNIT, 1, [(AT_PRODUCER, FORM_STRING), (AT_LANGUAGE, FORM_DATA1), (AT_NAME, FORM_STRING),
        (AT_COMP_DIR, FORM_STRING), (AT_LOW_PC, FORM_ADDR), (AT_HIGH_PC, FORM_DATA8), (AT_STMT_LIST, FORM_SEC_OFFSET)]),
    2: (TAG_BASE_TYPE, 0, [(AT_NAME, FORM_STRING), (AT_ENCODING, FORM_DATA1), (AT_BYTE_SIZE, FORM_DATA1)]),
    3: (TAG_SUBPROGRAM, 1, [(AT_NAME, FORM_STRING), (AT_DECL_FILE, FORM_UDATA), (AT_DECL_LINE, FORM_UDATA),
        (AT_LOW_PC, FORM_ADDR), (AT_HIGH_PC, FORM_DATA8), (AT_FRAME_BASE, FORM_EXPRLOC), (AT_TYPE, FORM_REF4),
        (AT_EXTERNAL, FORM_FLAG_PRESENT)]),
    4: (TAG_VARIABLE, 0, [(AT_NAME, FORM_STRING), (AT_TYPE, FORM_REF4), (AT_LOCATION, FORM_EXPRLOC)]),
    5: (TAG_VARIABLE, 0, [(AT_NAME, FORM_STRING), (AT_TYPE, FORM_REF4), (AT_LOCATION, FORM_SEC_OFFSET)]),
    6: (TAG_PARAMETER, 0, [(AT_NAME, FORM_STRING), (AT_TYPE, FORM_REF4), (AT_LOCATION, FORM_SEC_OFFSET)]),
    7: (TAG_POINTER, 0, [(AT_BYTE_SIZE, FORM_DATA1)]),
}  # fmt: skip


@final
class LineRow:
    """From `address` on the code belongs to `file`, `line`, `column`; `body` marks the end of a function's prologue."""

    __slots__ = ("address", "file", "line", "column", "body")

    def __init__(self, address: int, file: str, line: int, column: int, body: bool = False) -> None:
        self.address = address
        self.file = file
        self.line = line
        self.column = column
        self.body = body


@final
class Variable:
    """A C variable: its type as (name, encoding, bytes; encoding 0 for a pointer), and (start, end, expression) of each
    range of addresses in which it is somewhere."""

    __slots__ = ("name", "parameter", "type", "ranges")

    def __init__(
        self, name: str, parameter: bool, type: tuple[str, int, int], ranges: list[tuple[int, int, bytes]]
    ) -> None:
        self.name = name
        self.parameter = parameter
        self.type = type
        self.ranges = ranges


@final
class DebugFunction:
    """One function: where it is, where its source begins, the steps of its frame (addresses from its start)."""

    __slots__ = ("name", "address", "length", "file", "line", "steps", "variables")

    def __init__(self, name: str, address: int, length: int, file: str, line: int, steps: list[Step]) -> None:
        self.variables: list[Variable] = []
        self.name = name
        self.address = address
        self.length = length
        self.file = file
        self.line = line
        self.steps = steps


def uleb(value: int) -> bytes:
    """Unsigned LEB128.

    >>> uleb(624485).hex()
    'e58e26'
    """
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        out.append(byte | (0x80 if value else 0))
        if not value:
            return bytes(out)


def sleb(value: int) -> bytes:
    """Signed LEB128.

    >>> sleb(-123456).hex()
    'c0bb78'
    """
    out = bytearray()
    while True:
        byte = value & 0x7F
        value >>= 7
        if (value == 0 and not byte & 0x40) or (value == -1 and byte & 0x40):
            return bytes([*out, byte])
        out.append(byte | 0x80)


@final
class Dwarf:
    """Builds the four sections for one piece of code on one machine."""

    __slots__ = ("target", "functions", "rows", "name", "folder", "files", "order", "address_form")

    def __init__(
        self, target: DebugTarget, functions: list[DebugFunction], rows: list[LineRow], name: str, folder: str
    ) -> None:
        self.target = target
        self.functions = functions
        self.rows = rows
        self.name = name
        self.folder = folder
        self.files: list[str] = []
        for file in [*(f.file for f in functions), *(row.file for row in rows)]:
            if file not in self.files:
                self.files.append(file)
        self.order = ">" if target.big_endian else "<"
        self.address_form = "Q" if target.bits == 64 else "I"

    def address(self, value: int) -> bytes:
        return struct.pack(self.order + self.address_form, value)

    def word(self, value: int) -> bytes:
        return struct.pack(self.order + "I", value)

    def sections(self) -> dict[str, bytes]:
        """Section name -> contents."""
        locations = bytearray()
        found = {".debug_abbrev": self.abbrev(), ".debug_info": self.info(locations), ".debug_line": self.line(),
                 ".debug_frame": self.frame()}  # fmt: skip
        return {**found, ".debug_loc": bytes(locations)} if locations else found

    def abbrev(self) -> bytes:
        out = b""
        for code, (tag, children, attributes) in ABBREVIATIONS.items():
            out += uleb(code) + uleb(tag) + bytes([children])
            out += b"".join(uleb(attribute) + uleb(form) for attribute, form in attributes) + b"\0\0"
        return out + b"\0"

    def info(self, locations: bytearray) -> bytes:
        """.debug_info; the location lists it refers to are appended to `locations`."""
        low = min((f.address for f in self.functions), default=0)
        high = max((f.address + f.length for f in self.functions), default=0)
        head = struct.pack(self.order + "HIB", VERSION, 0, self.target.bits // 8)
        body = uleb(1) + _text(PRODUCER) + bytes([LANG_C99]) + _text(self.name) + _text(self.folder)
        body += self.address(low) + struct.pack(self.order + "Q", high - low) + self.word(0)
        types: dict[tuple[str, int, int], int] = {}  # offset of each type's entry from the start of the unit
        for kind in [("u64", 7, 8), *(v.type for f in self.functions for v in f.variables)]:
            if kind not in types:
                types[kind] = 4 + len(head) + len(body)
                body += self._type(kind)
        u64 = types["u64", 7, 8]
        for function in self.functions:
            body += uleb(3) + _text(function.name) + uleb(self.files.index(function.file) + 1) + uleb(function.line)
            body += self.address(function.address) + struct.pack(self.order + "Q", function.length)
            body += uleb(1) + bytes([OP_CALL_FRAME_CFA]) + self.word(u64)
            for variable in function.variables:
                body += uleb(6 if variable.parameter else 5) + _text(variable.name) + self.word(types[variable.type])
                body += self.word(len(locations))
                locations += self._locations(variable, low)
            for number, place in enumerate(self.target.bpf):
                where = location(place)
                body += uleb(4) + _text(f"r{number}") + self.word(u64) + uleb(len(where)) + where
            body += b"\0"
        body += b"\0"
        return self.word(len(head) + len(body)) + head + body

    def _type(self, kind: tuple[str, int, int]) -> bytes:
        name, encoding, size = kind
        return uleb(2) + _text(name) + bytes([encoding, size]) if encoding else uleb(7) + bytes([size])

    def _locations(self, variable: Variable, base: int) -> bytes:
        """A location list; addresses count from the start of the compile unit."""
        out = b""
        for start, end, expression in variable.ranges:
            length = struct.pack(self.order + "H", len(expression))
            out += self.address(start - base) + self.address(end - base) + length + expression
        return out + self.address(0) + self.address(0)

    def line(self) -> bytes:
        names = b"".join(_text(file) + b"\0\0\0" for file in self.files) + b"\0"
        lengths = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])
        head = bytes([self.target.unit, 1, 1, 0xFB, 14, 13]) + lengths + b"\0" + names
        program = b""
        for function in self.functions:
            end = function.address + function.length
            program += self._sequence([r for r in self.rows if function.address <= r.address < end], end)
        version = struct.pack(self.order + "H", VERSION)
        return self.word(2 + 4 + len(head) + len(program)) + version + self.word(len(head)) + head + program

    def _sequence(self, rows: list[LineRow], end: int) -> bytes:
        """Line-number opcodes for one function."""
        if not rows:
            return b""
        out = b"\0" + uleb(1 + self.target.bits // 8) + b"\x02" + self.address(rows[0].address)
        address, file, line, column = rows[0].address, 1, 1, 0
        for row in rows:
            if row.address != address:
                out += b"\x02" + uleb((row.address - address) // self.target.unit)
            number = self.files.index(row.file) + 1
            out += b"\x04" + uleb(number) if number != file else b""
            out += b"\x03" + sleb(row.line - line) if row.line != line else b""
            out += b"\x05" + uleb(row.column) if row.column != column else b""
            out += b"\x0a" if row.body else b""
            out += b"\x01"
            address, file, line, column = row.address, number, row.line, row.column
        return out + b"\x02" + uleb((end - address) // self.target.unit) + b"\0\x01\x01"

    def frame(self) -> bytes:
        t = self.target
        size = t.bits // 8
        entry = b"\x0c" + uleb(t.number(t.stack)) + uleb(t.entry)  # DW_CFA_def_cfa
        if t.name == "x86_64":
            entry += bytes([0x80 | t.return_column]) + uleb(2)  # the return address is at CFA - 8
        for kind, number, _ in t.bpf[:6]:  # a call loses r0-r5
            entry += b"\x07" + uleb(number) if kind == "reg" else b""  # DW_CFA_undefined
        head = self.word(0xFFFFFFFF) + b"\x04\0" + bytes([size, 0]) + uleb(1) + sleb(-4) + uleb(t.return_column)
        out = self._padded(head + entry)
        for function in self.functions:
            body = self.word(0) + self.address(function.address) + self.address(function.length)
            out += self._padded(body + self._steps(function.steps))
        return out

    def _padded(self, entry: bytes) -> bytes:
        entry += bytes(-(len(entry) + 4) % (self.target.bits // 8))  # DW_CFA_nop
        return self.word(len(entry)) + entry

    def _steps(self, steps: list[Step]) -> bytes:
        """Call frame instructions; a step at address 0 that repeats the entry state is left out by nobody: it is
        harmless.
        """
        out = b""
        at = 0
        for step in steps:
            if step.addr != at:
                out += b"\x04" + self.word(step.addr - at)  # DW_CFA_advance_loc4
                at = step.addr
            if step.what == "remember":
                out += b"\x0a"
            elif step.what == "restore":
                out += b"\x0b"
            else:
                out += self._step(step)
        return out

    def _step(self, step: Step) -> bytes:
        number = self.target.number(step.register)
        if step.what == "cfa":
            if step.offset < 0:
                return b"\x12" + uleb(number) + sleb(step.offset // -4)  # DW_CFA_def_cfa_sf
            return b"\x0c" + uleb(number) + uleb(step.offset)
        if step.what == "restored":
            return b"\x06" + uleb(number)  # DW_CFA_restore_extended
        if step.offset <= 0:
            return b"\x05" + uleb(number) + uleb(-step.offset // 4)  # DW_CFA_offset_extended
        return b"\x11" + uleb(number) + sleb(-(step.offset // 4))  # DW_CFA_offset_extended_sf


def location(place: Place) -> bytes:
    """A location expression for an eBPF register.

    >>> location(("reg", 3, 0)).hex(), location(("memory", 11, -8)).hex()
    ('53', '7b78')
    """
    kind, first, second = place
    if kind == "memory":
        return (bytes([OP_BREG0 + first]) if first < 32 else bytes([OP_BREGX]) + uleb(first)) + sleb(second)
    if kind == "pair":  # the low half first
        return _register(second) + bytes([OP_PIECE]) + uleb(4) + _register(first) + bytes([OP_PIECE]) + uleb(4)
    return _register(first)


def _register(number: int) -> bytes:
    return bytes([OP_REG0 + number]) if number < 32 else bytes([OP_REGX]) + uleb(number)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "replace").replace(b"\0", b"?") + b"\0"
