"""Writing ELF: sections, symbols and, for a shared object, segments.  Only what debug files need.

    +--------+-----------------+----------+----------+-----------+-----------------+
    | header | program headers | contents of the sections in order | section headers |
    +--------+-----------------+----------+----------+-----------+-----------------+

Source: System V gABI, chapters 4 and 5; `elf.h`.
"""

from __future__ import annotations

import struct
from typing import Final, final

from bpfbench.debug.targets import DebugTarget

ET_EXEC: Final = 2
ET_DYN: Final = 3
SHT_PROGBITS, SHT_SYMTAB, SHT_STRTAB, SHT_HASH, SHT_DYNAMIC, SHT_NOTE, SHT_NOBITS, SHT_DYNSYM = 1, 2, 3, 5, 6, 7, 8, 11
SHF_WRITE, SHF_ALLOC, SHF_EXEC = 1, 2, 4
STT_OBJECT, STT_FUNC, STT_FILE = 1, 2, 4
PAGE: Final = 0x1000


@final
class Section:
    """One section; `link` and `info` name other sections or count local symbols; `size` is for sections without
    bytes.
    """

    __slots__ = ("name", "kind", "flags", "address", "content", "size", "link", "info", "align", "entry")

    def __init__(
        self, name: str, kind: int, content: bytes, flags: int = 0, address: int = 0, size: int = -1, link: str = "",
        info: int = 0, align: int = 1, entry: int = 0,
    ) -> None:  # fmt: skip
        self.name = name
        self.kind = kind
        self.content = content
        self.flags = flags
        self.address = address
        self.size = size if size >= 0 else len(content)
        self.link = link
        self.info = info
        self.align = align
        self.entry = entry


@final
class Symbol:
    """A global symbol: `section` names where it is, `value` is its address."""

    __slots__ = ("name", "kind", "section", "value", "size")

    def __init__(self, name: str, kind: int, section: str, value: int, size: int) -> None:
        self.name = name
        self.kind = kind
        self.section = section
        self.value = value
        self.size = size


@final
class Strings:
    """A string table under construction; `at(text)` is the text's offset in it.

    >>> s = Strings(); s.at("a"), s.at("bc"), s.at("a"), s.content
    (1, 3, 1, b'\\x00a\\x00bc\\x00')
    """

    __slots__ = ("content", "known")

    def __init__(self) -> None:
        self.content = b"\0"
        self.known: dict[str, int] = {"": 0}

    def at(self, text: str) -> int:
        if text not in self.known:
            self.known[text] = len(self.content)
            self.content += text.encode("utf-8", "replace") + b"\0"
        return self.known[text]


def order(target: DebugTarget) -> str:
    return ">" if target.big_endian else "<"


def symbol_table(target: DebugTarget, symbols: list[Symbol], sections: list[Section], strings: Strings) -> bytes:
    """Contents of .symtab or .dynsym: the null symbol, then the given ones, all global."""
    index = {section.name: at + 1 for at, section in enumerate(sections)}
    out = bytes(24 if target.bits == 64 else 16)
    for s in symbols:
        info = 1 << 4 | s.kind
        if target.bits == 64:
            out += struct.pack(order(target) + "IBBHQQ", strings.at(s.name), info, 0, index[s.section], s.value, s.size)
        else:
            out += struct.pack(order(target) + "IIIBBH", strings.at(s.name), s.value, s.size, info, 0, index[s.section])
    return out


def write_elf(target: DebugTarget, kind: int, sections: list[Section], segments: list[tuple[int, int, str]]) -> bytes:
    """The file.  `segments` are (p_type, p_flags, section name); each covers one section, whose file offset is then
    congruent to its address."""
    wide = target.bits == 64
    o = order(target)
    names = Strings()
    listed = [*sections, Section(".shstrtab", SHT_STRTAB, b"")]
    for section in listed:
        names.at(section.name)
    listed[-1].content, listed[-1].size = names.content, len(names.content)
    index = {section.name: at + 1 for at, section in enumerate(listed)}
    header_size, segment_size, entry_size = (64, 56, 64) if wide else (52, 32, 40)
    loaded = {name for p_type, _, name in segments if p_type == 1}
    body = bytearray(header_size + segment_size * len(segments))
    offsets: dict[str, int] = {}
    for section in listed:
        align = PAGE if section.name in loaded else max(section.align, 1)
        gap = (section.address - len(body)) % PAGE if section.name in loaded else -len(body) % align
        at = len(body) + gap
        body += bytes(gap)
        offsets[section.name] = at
        body += section.content
    body += bytes(-len(body) % 8)
    headers_at = len(body)
    table = bytes(entry_size)
    form = o + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")
    for s in listed:
        table += struct.pack(form, names.at(s.name), s.kind, s.flags, s.address, offsets[s.name], s.size,
                             index.get(s.link, 0), s.info, s.align, s.entry)  # fmt: skip
    identity = b"\x7fELF" + bytes([2 if wide else 1, 2 if target.big_endian else 1, 1]) + bytes(9)
    address = "Q" if wide else "I"
    body[:header_size] = identity + struct.pack(
        o + "HHI" + 3 * address + "IHHHHHH", kind, target.elf_machine, 1, 0, header_size if segments else 0, headers_at,
        target.elf_flags, header_size, segment_size, len(segments), entry_size, len(listed) + 1, index[".shstrtab"],
    )  # fmt: skip
    by_name = {section.name: section for section in listed}
    for at, (p_type, flags, name) in enumerate(segments):
        s = by_name[name]
        align = PAGE if p_type == 1 else s.align
        stored = len(s.content)
        fields = ((p_type, flags, offsets[name], s.address, s.address, stored, s.size, align) if wide else
                  (p_type, offsets[name], s.address, s.address, stored, s.size, flags, align))  # fmt: skip
        start = header_size + segment_size * at
        body[start : start + segment_size] = struct.pack(o + ("IIQQQQQQ" if wide else "IIIIIIII"), *fields)
    return bytes(body) + table
