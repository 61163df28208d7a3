"""Writing object files: sections, symbols and relocations to the bytes of an ELF relocatable.

    +--------+-------------+---------+---------+-----------------+
    | header | contents …  | .symtab | .strtab | section headers |
    +--------+-------------+---------+---------+-----------------+

`Writer` takes what `ElfFile` gives (the same `Symbol` and `Relocation` values, sections by index) and lays it out;
`rewrite` takes a whole file apart and puts it together again, without the sections one does not want.  What comes out
loads to the same programs.

Source: System V ABI, chapter 4; elf(5).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, final

from bpfbench.elf.elf import ElfFile, Relocation, Section, Symbol
from bpfbench.errors import ElfError, Where

_TYPES: Final = {
    "NULL": 0, "PROGBITS": 1, "SYMTAB": 2, "STRTAB": 3, "RELA": 4, "HASH": 5, "DYNAMIC": 6, "NOTE": 7, "NOBITS": 8,
    "REL": 9,
}  # fmt: skip
_BINDS: Final = {"LOCAL": 0, "GLOBAL": 1, "WEAK": 2}
_KINDS: Final = {"NOTYPE": 0, "OBJECT": 1, "FUNC": 2, "SECTION": 3, "FILE": 4, "COMMON": 5, "TLS": 6}
_VISIBLE: Final = {"DEFAULT": 0, "INTERNAL": 1, "HIDDEN": 2, "PROTECTED": 3}
EM_BPF: Final = 247
HEADER: Final = 64
SHF_INFO_LINK: Final = 0x40


@final
class Strings:
    """A string table that grows."""

    __slots__ = ("raw", "_at")

    def __init__(self) -> None:
        self.raw = bytearray(b"\0")
        self._at: dict[str, int] = {"": 0}

    def add(self, text: str) -> int:
        if text not in self._at:
            self._at[text] = len(self.raw)
            self.raw += text.encode() + b"\0"
        return self._at[text]


@final
class Writer:
    """Collects sections, symbols and relocations; `to_bytes` writes them.

    >>> w = Writer()
    >>> text = w.section("xdp", bytes.fromhex("b700000002000000" "9500000000000000"), flags=6)
    >>> w.symbol("two", text, 0, 16, "GLOBAL", "FUNC")
    1
    >>> from bpfbench.elf import load
    >>> load(w.to_bytes(), name="two.o").programs["two"].insns
    [<r0 = 2>, <exit>]
    """

    def __init__(self, big_endian: bool = False) -> None:
        self.order = ">" if big_endian else "<"
        self.sections: list[Section] = [Section(0, "", "NULL", 0, 0, 0)]
        self.symbols: list[Symbol] = [Symbol(0, "", 0, 0, "LOCAL", "NOTYPE", "DEFAULT", 0)]
        self.relocations: dict[int, list[Relocation]] = {}

    def section(
        self, name: str, raw: bytes = b"", type: str = "PROGBITS", flags: int = 0, align: int = 8,
        size: int | None = None,
    ) -> int:  # fmt: skip
        """Append a section; returns its index.  `size` is for sections without contents (NOBITS)."""
        index = len(self.sections)
        length = len(raw) if size is None else size
        self.sections.append(Section(index, name, type, flags, 0, length, align=align, raw=raw))
        return index

    def symbol(
        self, name: str, section: int, value: int = 0, size: int = 0, bind: str = "GLOBAL", type: str = "NOTYPE",
        visibility: str = "DEFAULT",
    ) -> int:  # fmt: skip
        """Append a symbol; returns its index (section 0: an extern)."""
        index = len(self.symbols)
        self.symbols.append(Symbol(index, name, value, size, bind, type, visibility, section))
        return index

    def relocation(self, section: int, offset: int, symbol: int, type: int) -> None:
        """Ask for `offset` of `section` to be patched with the symbol's address."""
        self.relocations.setdefault(section, []).append(Relocation(offset, symbol, type))

    def to_bytes(self) -> bytes:
        locals_ = [s for s in self.symbols if s.bind == "LOCAL"]
        order = locals_ + [s for s in self.symbols if s.bind != "LOCAL"]
        renumbered = {s.index: number for number, s in enumerate(order)}
        sections = list(self.sections)
        names, strings = Strings(), Strings()
        symtab = b"".join(self._symbol(s, strings) for s in order)
        symtab_index = len(sections) + sum(1 for target in self.relocations if self.relocations[target])
        for target, relocations in sorted(self.relocations.items()):
            if relocations:
                raw = b"".join(self._relocation(r, renumbered) for r in relocations)
                name = ".rel" + self.sections[target].name
                sections.append(
                    Section(len(sections), name, "REL", SHF_INFO_LINK, 0, len(raw), symtab_index, target, 8, 16, raw)
                )
        link = symtab_index + 1
        sections.append(
            Section(len(sections), ".symtab", "SYMTAB", 0, 0, len(symtab), link, len(locals_), 8, 24, symtab)
        )
        for name in (*(s.name for s in sections), ".strtab", ".shstrtab"):
            names.add(name)
        sections.append(Section(len(sections), ".strtab", "STRTAB", 0, 0, len(strings.raw), raw=bytes(strings.raw)))
        sections.append(Section(len(sections), ".shstrtab", "STRTAB", 0, 0, len(names.raw), raw=bytes(names.raw)))
        return self._lay_out(sections, names)

    def _symbol(self, s: Symbol, strings: Strings) -> bytes:
        if s.bind not in _BINDS or s.type not in _KINDS or s.visibility not in _VISIBLE:
            raise ElfError(f"symbol {s.name!r} of kind {s.bind} {s.type} {s.visibility} cannot be written", Where())
        return struct.pack(
            self.order + "IBBHQQ", strings.add(s.name), _BINDS[s.bind] << 4 | _KINDS[s.type], _VISIBLE[s.visibility],
            s.section, s.value, s.size,
        )  # fmt: skip

    def _relocation(self, r: Relocation, renumbered: dict[int, int]) -> bytes:
        return struct.pack(self.order + "QQ", r.offset, renumbered[r.symbol] << 32 | r.type)

    def _lay_out(self, sections: list[Section], names: Strings) -> bytes:
        body = bytearray(HEADER)
        headers: list[bytes] = []
        for s in sections:
            align = max(1, s.align)
            if s.index:
                body += bytes(-len(body) % align)
            offset = len(body) if s.index else 0
            kind = _TYPES[s.type] if s.type in _TYPES else int(s.type, 0)
            headers.append(
                struct.pack(self.order + "IIQQQQIIQQ", names.add(s.name), kind, s.flags, 0, offset, s.size, s.link,
                            s.info, align if s.index else 0, s.entsize)
            )  # fmt: skip
            body += s.raw
        body += bytes(-len(body) % 8)
        ident = b"\x7fELF" + bytes([2, 2 if self.order == ">" else 1, 1]) + bytes(9)
        head = ident + struct.pack(
            self.order + "HHIQQQIHHHHHH", 1, EM_BPF, 1, 0, 0, len(body), 0, HEADER, 0, 0, 64, len(sections),
            len(sections) - 1,
        )  # fmt: skip
        body[:HEADER] = head
        return bytes(body) + b"".join(headers)


def _wanted(section: Section) -> bool:
    return not section.name.startswith((".debug", ".rel.debug", ".llvm_"))


def rewrite(elf: ElfFile, keep: Callable[[Section], bool] = _wanted) -> bytes:
    """The file again with only the sections to `keep` (by default: all but DWARF), their symbols and relocations."""
    writer = Writer(elf.big_endian)
    made: dict[int, int] = {0: 0}
    for s in elf.sections[1:]:
        if s.type not in ("SYMTAB", "STRTAB", "REL", "RELA", "NULL") and keep(s):
            made[s.index] = writer.section(s.name, s.raw, s.type, s.flags, s.align, s.size)
    symbols: dict[int, int] = {0: 0}
    for symbol in elf.symbols[1:]:
        if symbol.section in made or symbol.section >= 0xFF00:
            symbols[symbol.index] = writer.symbol(
                symbol.name, made.get(symbol.section, symbol.section), symbol.value, symbol.size, symbol.bind,
                symbol.type, symbol.visibility,
            )  # fmt: skip
    for target, relocations in elf.relocations.items():
        for r in relocations:
            if target in made and r.symbol in symbols:
                writer.relocation(made[target], r.offset, symbols[r.symbol], r.type)
    return writer.to_bytes()
