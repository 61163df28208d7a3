"""BTF.ext: what belongs to instructions rather than to types.

The `.BTF.ext` section holds three tables, each grouped by code section, with byte offsets into that section: which
BTF function begins where, which source line an instruction came from, and which instructions depend on the layout of
a kernel type (CO-RE relocations, applied by `core.py`).

    header | func_info                  | line_info                  | core_relo
           |  rec_size                   |  rec_size                  |  rec_size
           |  section name, count        |  section name, count       |  section name, count
           |   insn_off, type_id  ...    |   insn_off, file, line,    |   insn_off, type_id,
           |  section name, count ...    |   line<<10|column  ...     |   access string, kind  ...

Kernel: Documentation/bpf/btf.rst section 4.2; include/uapi/linux/bpf.h (bpf_func_info, bpf_line_info, bpf_core_relo).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final, final

from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import MAGIC
from bpfbench.errors import BtfError, Where

#: Bytes of a record; a file may say that its own are larger.
FUNCTION_RECORD: Final = 8
LINE_RECORD: Final = 16
CORE_RECORD: Final = 16
_TABLES: Final = (("func_info", FUNCTION_RECORD), ("line_info", LINE_RECORD), ("core_relo", CORE_RECORD))
#: Bytes of a record, and the records by name of the code section.
Table = tuple[int, Mapping[str, bytes]]


@final
class LineRecord:
    """The instruction at byte `offset` came from this place; `file` and `text` are BTF string offsets."""

    __slots__ = ("offset", "file", "text", "line", "column")

    def __init__(self, offset: int, file: int, text: int, line: int, column: int) -> None:
        self.offset = offset
        self.file = file
        self.text = text
        self.line = line
        self.column = column


@final
class CoreRelocation:
    """The instruction at byte `offset` wants what `kind` (enum bpf_core_relo_kind) says of `access` in type `type`."""

    __slots__ = ("offset", "type", "access", "kind")

    def __init__(self, offset: int, type: int, access: str, kind: int) -> None:
        self.offset = offset
        self.type = type
        self.access = access
        self.kind = kind

    def __repr__(self) -> str:
        return f"<core relocation at {self.offset:#x} type {self.type} access {self.access} kind {self.kind}>"


@final
class BtfExt:
    """The three tables, by name of the code section: `functions` (offset, type id), `lines`, `relocations`."""

    __slots__ = ("functions", "lines", "relocations", "_btf", "_raw", "_where", "_order")

    def __init__(self, raw: bytes, btf: Btf, where: Where | None = None) -> None:
        self.functions: dict[str, list[tuple[int, int]]] = {}
        self.lines: dict[str, list[LineRecord]] = {}
        self.relocations: dict[str, list[CoreRelocation]] = {}
        self._btf = btf
        self._raw = raw
        self._where = where if where is not None else Where(section=".BTF.ext")
        self._order = "<"
        self._open()

    def _fail(self, message: str, offset: int) -> BtfError:
        return BtfError(message, Where(file=self._where.file, section=self._where.section, offset=offset))

    def _open(self) -> None:
        raw = self._raw
        if len(raw) < 24:
            raise self._fail(f"BTF.ext header needs 24 bytes, {len(raw)} are there", 0)
        if raw[:2] not in (b"\x9f\xeb", b"\xeb\x9f"):
            raise self._fail("bad BTF.ext magic", 0)
        self._order = ">" if raw[:2] == b"\xeb\x9f" else "<"
        version, flags, hdr_len = struct.unpack_from(self._order + "BBI", raw, 2)
        if version != 1 or flags:
            raise self._fail(f"unsupported BTF.ext version {version}, flags {flags:#x}", 2)
        if not 24 <= hdr_len <= len(raw):
            raise self._fail(f"bad BTF.ext header length {hdr_len}", 4)
        for index, (table, smallest) in enumerate(_TABLES):
            at = 8 + 8 * index
            if at + 8 > hdr_len:
                return
            offset, length = struct.unpack_from(self._order + "II", raw, at)
            if length:
                if hdr_len + offset + length > len(raw):
                    raise self._fail(f"{table} ends outside the section", at)
                self._table(table, smallest, hdr_len + offset, hdr_len + offset + length)

    def _table(self, table: str, smallest: int, pos: int, end: int) -> None:
        order, raw = self._order, self._raw
        if end - pos < 4:
            raise self._fail(f"truncated {table}", pos)
        (width,) = struct.unpack_from(order + "I", raw, pos)
        if width < smallest or width % 4:
            raise self._fail(f"{table} with records of {width} bytes", pos)
        pos += 4
        while pos < end:
            if end - pos < 8:
                raise self._fail(f"truncated {table}", pos)
            name_off, count = struct.unpack_from(order + "II", raw, pos)
            section = self._btf.string(name_off, pos)
            if not count or pos + 8 + count * width > end:
                raise self._fail(f"{table} of section {section!r} has {count} records, which is none or too many", pos)
            pos += 8
            for at in range(pos, pos + count * width, width):
                self._record(table, section, at)
            pos += count * width

    def _record(self, table: str, section: str, at: int) -> None:
        words = struct.unpack_from(self._order + ("II" if table == "func_info" else "IIII"), self._raw, at)
        offset = words[0]
        if offset % 8:
            raise self._fail(f"{table} for byte {offset:#x}, which is inside an instruction", at)
        if table == "func_info":
            self.functions.setdefault(section, []).append((offset, words[1]))
        elif table == "line_info":
            self.lines.setdefault(section, []).append(
                LineRecord(offset, words[1], words[2], words[3] >> 10, words[3] & 0x3FF)
            )
        else:
            access = self._btf.string(words[2], at)
            self.relocations.setdefault(section, []).append(CoreRelocation(offset, words[1], access, words[3]))


def to_section(btf: Btf, tables: Sequence[Table], order: str = "<") -> bytes:
    """The bytes of a `.BTF.ext` with these tables: func_info, line_info and, if there is a third, core_relo.

    Names of code sections go into the strings of `btf`, so that has to be written afterwards.  `order` as in `struct`.

    >>> btf = Btf()
    >>> raw = to_section(btf, [(FUNCTION_RECORD, {"xdp": struct.pack("<II", 0, 7)}), (LINE_RECORD, {})])
    >>> BtfExt(raw, btf).functions
    {'xdp': [(0, 7)]}
    """
    made = [_grouped(btf, width, records, order) for width, records in tables]
    header = struct.pack(order + "HBBI", MAGIC, 1, 0, 8 + 8 * len(made))
    at = 0
    for table in made:
        header += struct.pack(order + "II", at, len(table))
        at += len(table)
    return header + b"".join(made)


def _grouped(btf: Btf, width: int, records: Mapping[str, bytes], order: str) -> bytes:
    """One table; without records it is empty."""
    groups = b"".join(struct.pack(order + "II", btf.intern(name), len(raw) // width) + raw
                      for name, raw in records.items() if raw)
    return struct.pack(order + "I", width) + groups if groups else b""
