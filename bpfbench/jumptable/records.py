"""Writing records into a finished ELF: `attach(path, out)` adds what the author wishes compilers would.

A `.note.jumptables` section and one local OBJECT symbol per table, `function.jumpN`, are put at the end of the file; no
byte that is loaded changes.  `note` has the format, `guess.hints` and `note.read` the readers.
"""

from __future__ import annotations

import struct
from pathlib import Path

from bpfbench.errors import JumptableError, NotSupported, Where

from . import note
from .image import Image
from .recover import recover
from .tables import JumpTable


def attach(path: str | Path, out: str | Path) -> list[JumpTable]:
    """Recovers the tables of `path` and writes a copy with records to `out`; returns the tables recorded."""
    image = Image.open(path)
    tables = recover(image).tables
    data = bytearray(image.data)
    head = struct.unpack_from(image.order + "16sHHIQQQIHHHHHH", data)
    shoff, shentsize, shnum, shstrndx = head[6], head[11], head[12], head[13]
    if not shnum:
        raise NotSupported("files without section headers", Where(file=image.name))
    headers = bytearray(data[shoff : shoff + shnum * shentsize])
    names = _contents(image, headers, shstrndx * shentsize)
    symtab = next((s for s in image.sections if s.kind == 2), None)
    symbols, strings = _symbols(image, symtab.index if symtab else -1, headers, shentsize, tables)
    note_bytes = note.build(tables, 0, image.order)
    added: list[tuple[str, int, bytes, int, int, int]] = [(note.NAME, 7, note_bytes, 0, 0, 0)]
    if symtab is None:
        added += [(".symtab", 2, symbols[0], shnum + 2, symbols[1], 24), (".strtab", 3, strings, 0, 0, 0)]
    else:
        _replace(image, data, headers, symtab.index * shentsize, symbols[0], symbols[1])
        _replace(image, data, headers, symtab.link * shentsize, strings, None)
    for name, kind, raw, link, first, entsize in added:
        data += b"\0" * (-len(data) % 8)
        headers += struct.pack(
            image.order + "IIQQQQIIQQ", len(names), kind, 0, 0, len(data), len(raw), link, first, 8, entsize
        )
        names += name.encode() + b"\0"
        data += raw
    _replace(image, data, headers, shstrndx * shentsize, bytes(names), None)
    data += b"\0" * (-len(data) % 8)
    struct.pack_into(image.order + "Q", data, 40, len(data))
    struct.pack_into(image.order + "H", data, 60, shnum + len(added))
    data += headers
    try:
        Path(out).write_bytes(bytes(data))
        Path(out).chmod(0o755)
    except OSError as why:
        raise JumptableError(f"cannot write: {why.strerror}", Where(file=str(out))) from None
    return tables


def _contents(image: Image, headers: bytearray, at: int) -> bytearray:
    offset, size = struct.unpack_from(image.order + "QQ", headers, at + 24)
    return bytearray(image.data[offset : offset + size])


def _replace(image: Image, data: bytearray, headers: bytearray, at: int, raw: bytes, info: int | None) -> None:
    """Moves a section that is not loaded to the end of the file, with new contents."""
    data += b"\0" * (-len(data) % 8)
    struct.pack_into(image.order + "QQ", headers, at + 24, len(data), len(raw))
    if info is not None:
        struct.pack_into(image.order + "I", headers, at + 44, info)
    data += raw


def _symbols(
    image: Image, symtab: int, headers: bytearray, shentsize: int, tables: list[JumpTable]
) -> tuple[tuple[bytes, int], bytes]:
    """The new symbol table (bytes, number of local symbols) and its strings."""
    old, strings, locals_ = b"\0" * 24, bytearray(b"\0"), 1
    if symtab >= 0:
        old = bytes(_contents(image, headers, symtab * shentsize))
        link, locals_ = struct.unpack_from(image.order + "II", headers, symtab * shentsize + 40)
        strings = _contents(image, headers, link * shentsize)
    rows, counts, done = b"", dict[str, int](), set[int]()
    for t in tables:
        if t.address in done:
            continue
        done.add(t.address)
        k = counts.get(t.function.name, 0)
        counts[t.function.name] = k + 1
        sec = image.section(t.address)
        rows += struct.pack(
            image.order + "IBBHQQ", len(strings), 1, 0, sec.index if sec else 0xFFF1, t.address, t.end - t.address
        )
        strings += f"{t.function.name}.jump{k}".encode() + b"\0"
    split = 24 * locals_
    return (old[:split] + rows + old[split:], locals_ + len(rows) // 24), bytes(strings)
