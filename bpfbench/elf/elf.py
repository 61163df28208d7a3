"""An ELF relocatable as plain values: sections, symbols, relocations.

pyelftools takes the container apart; this module turns what it finds into small typed records, checks that everything
lies inside the file, and turns whatever goes wrong into one `ElfError` that names section and offset.

    +-------------+   e_shoff   +-----------------+   sh_link    +--------+
    | ELF header  | ----------> | section headers | -----------> | symtab | --> strtab
    +-------------+             |  .text xdp maps |   sh_info    +--------+
                                |  .relxdp  .BTF  | -----------> the section that is relocated
                                +-----------------+

Source: System V ABI, chapter 4; LLVM `BPFAsmBackend`; tools/lib/bpf/libbpf.c (bpf_object__elf_collect).
"""

from __future__ import annotations

import io
from typing import Any, Final, final

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from bpfbench.errors import ElfError, Where

SHF_ALLOC: Final = 0x2
SHF_EXECINSTR: Final = 0x4
SHN_UNDEF: Final = 0
SHN_ABS: Final = 0xFFF1
SHN_COMMON: Final = 0xFFF2
_SPECIAL: Final = {"SHN_UNDEF": SHN_UNDEF, "SHN_ABS": SHN_ABS, "SHN_COMMON": SHN_COMMON}
MAX_SECTIONS: Final = 65536


def printable(name: str) -> str:
    """`name` with control characters escaped: names go into messages, and messages are one line.

    >>> printable("xdp\\n")
    'xdp\\\\n'
    """
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


@final
class Section:
    """A section: header fields as ELF names them (`type` without its `SHT_`), and its bytes (empty for NOBITS)."""

    __slots__ = ("index", "name", "type", "flags", "offset", "size", "link", "info", "align", "entsize", "raw")

    def __init__(
        self, index: int, name: str, type: str, flags: int, offset: int, size: int, link: int = 0, info: int = 0,
        align: int = 1, entsize: int = 0, raw: bytes = b"",
    ) -> None:  # fmt: skip
        self.index = index
        self.name = name
        self.type = type
        self.flags = flags
        self.offset = offset
        self.size = size
        self.link = link
        self.info = info
        self.align = align
        self.entsize = entsize
        self.raw = raw

    def __repr__(self) -> str:
        return f"<section {self.index} {self.name} {self.type} {self.size} bytes>"

    @property
    def is_code(self) -> bool:
        return self.type == "PROGBITS" and self.flags & SHF_EXECINSTR != 0


@final
class Symbol:
    """A symbol: `bind` LOCAL/GLOBAL/WEAK, `type` NOTYPE/OBJECT/FUNC/SECTION/FILE, `visibility` DEFAULT/HIDDEN/…"""

    __slots__ = ("index", "name", "value", "size", "bind", "type", "visibility", "section")

    def __init__(
        self, index: int, name: str, value: int, size: int, bind: str, type: str, visibility: str, section: int
    ) -> None:
        self.index = index
        self.name = name
        self.value = value
        self.size = size
        self.bind = bind
        self.type = type
        self.visibility = visibility
        self.section = section

    def __repr__(self) -> str:
        return f"<symbol {self.name or '(none)'} {self.bind} {self.type} in {self.section} at {self.value:#x}>"

    @property
    def is_extern(self) -> bool:
        return self.section == SHN_UNDEF and self.bind in ("GLOBAL", "WEAK") and self.type == "NOTYPE"


@final
class Relocation:
    """Patch `offset` of its section with the address of `symbol` (an index) as relocation type `type` says."""

    __slots__ = ("offset", "symbol", "type", "addend")

    def __init__(self, offset: int, symbol: int, type: int, addend: int | None = None) -> None:
        self.offset = offset
        self.symbol = symbol
        self.type = type
        self.addend = addend

    def __repr__(self) -> str:
        return f"<relocation at {self.offset:#x} symbol {self.symbol} type {self.type}>"


@final
class ElfFile:
    """The sections, symbols and relocations of one object file.

    >>> ElfFile(b"hello", "x.o")
    Traceback (most recent call last):
    bpfbench.errors.ElfError: x.o: not an ELF file
    """

    def __init__(self, raw: bytes, file: str = "") -> None:
        self.file = file
        self.raw = raw
        self.machine = ""
        self.kind = ""
        self.big_endian = False
        self.bits = 64
        self.sections: list[Section] = []
        self.symbols: list[Symbol] = []
        self.relocations: dict[int, list[Relocation]] = {}      # by the section they patch
        if raw[:4] != b"\x7fELF":
            raise ElfError("not an ELF file", Where(file=file))
        if len(raw) < 64:
            raise ElfError(f"truncated ELF header: {len(raw)} bytes", Where(file=file, offset=0))
        elf = self._guard("ELF header", 0, lambda: ELFFile(io.BytesIO(raw)))
        self._headers(elf)
        self._sections(elf)
        self._tables(elf)

    def _guard(self, what: str, offset: int, read: Any) -> Any:
        """Call into pyelftools; it raises many kinds of exceptions on malformed input, this raises one."""
        try:
            return read()
        except ElfError:
            raise
        except Exception as error:
            name = what.removeprefix("section ")
            where = Where(file=self.file, section=name if name != what else "", offset=offset)
            reason = str(error) or type(error).__name__
            raise ElfError(f"malformed {what}: {reason.splitlines()[0][:120]}", where) from None

    def _headers(self, elf: Any) -> None:
        self.machine = str(elf["e_machine"]).removeprefix("EM_")
        self.kind = str(elf["e_type"]).removeprefix("ET_")
        self.big_endian = not elf.little_endian
        self.bits = int(elf.elfclass)
        count = self._guard("section header table", 0x28, elf.num_sections)
        table, entry = int(elf["e_shoff"]), int(elf["e_shentsize"])
        if count > MAX_SECTIONS or table + count * entry > len(self.raw):
            raise ElfError(
                f"section header table ({count} of {entry} bytes at {table:#x}) ends outside the file",
                Where(file=self.file, offset=0x28 if self.bits == 64 else 0x20),
            )
        if count and entry < (64 if self.bits == 64 else 40):
            raise ElfError(f"section headers of {entry} bytes are too small", Where(file=self.file, offset=0x3A))

    def _sections(self, elf: Any) -> None:
        table, entry = int(elf["e_shoff"]), int(elf["e_shentsize"])
        for index in range(elf.num_sections()):
            at = table + index * entry
            header = self._guard(f"section header {index}", at, lambda index=index: elf._get_section_header(index))
            name = self._guard(f"section header {index}", at, lambda header=header: str(elf._get_section_name(header)))
            name = printable(name)
            kind = str(header["sh_type"]).removeprefix("SHT_")
            offset, size = int(header["sh_offset"]), int(header["sh_size"])
            raw = b""
            if kind not in ("NOBITS", "NULL"):
                if offset + size > len(self.raw):
                    raise ElfError(
                        f"section of {size} bytes at {offset:#x} ends outside the file of {len(self.raw)} bytes",
                        Where(file=self.file, section=name, offset=at),
                    )
                raw = self.raw[offset : offset + size]
            self.sections.append(
                Section(index, name, kind, int(header["sh_flags"]), offset, size, int(header["sh_link"]),
                        int(header["sh_info"]), int(header["sh_addralign"]), int(header["sh_entsize"]), raw)
            )  # fmt: skip

    def _tables(self, elf: Any) -> None:
        for section in self.sections:
            if section.type == "SYMTAB":
                if self.symbols:
                    raise ElfError("a second symbol table", self.at(section, 0))
                self._symbols(elf, section)
        for section in self.sections:
            if section.type in ("REL", "RELA") and not self._is_debug(section):
                self._relocations(elf, section)

    def _is_debug(self, section: Section) -> bool:
        return ".debug" in section.name

    def _symbols(self, elf: Any, section: Section) -> None:
        width = 24 if self.bits == 64 else 16
        if section.entsize != width or section.size % width:
            raise ElfError(f"{section.size} bytes of symbols in entries of {section.entsize}", self.at(section, 0))
        if not 0 < section.link < len(self.sections) or self.sections[section.link].type != "STRTAB":
            raise ElfError(f"symbol names are in section {section.link}, which is no string table", self.at(section, 0))
        strings = self.sections[section.link].raw
        table: SymbolTableSection = self._guard(f"section {section.name}", 0, lambda: elf.get_section(section.index))
        for index in range(section.size // width):
            entry = self._guard(
                f"section {section.name}", index * width, lambda index=index: table.get_symbol(index).entry
            )
            name_off, shndx = int(entry["st_name"]), entry["st_shndx"]
            if name_off and name_off >= len(strings):
                raise ElfError(f"name of symbol {index} lies outside the strings", self.at(section, index * width))
            text = strings[name_off : strings.find(b"\0", name_off)].decode("utf-8", "replace") if name_off else ""
            self.symbols.append(
                Symbol(index, printable(text), int(entry["st_value"]), int(entry["st_size"]),
                       str(entry["st_info"]["bind"]).removeprefix("STB_"),
                       str(entry["st_info"]["type"]).removeprefix("STT_"),
                       str(entry["st_other"]["visibility"]).removeprefix("STV_"),
                       _SPECIAL[shndx] if shndx in _SPECIAL else int(shndx) if isinstance(shndx, int) else SHN_ABS)
            )  # fmt: skip

    def _relocations(self, elf: Any, section: Section) -> None:
        rela = section.type == "RELA"
        width = (24 if rela else 16) if self.bits == 64 else (12 if rela else 8)
        if section.entsize != width or section.size % width:
            raise ElfError(f"{section.size} bytes of relocations in entries of {section.entsize}", self.at(section, 0))
        if section.info >= len(self.sections):
            raise ElfError(f"relocations for section {section.info}, which does not exist", self.at(section, 0))
        target = self.sections[section.info]
        table: RelocationSection = self._guard(f"section {section.name}", 0, lambda: elf.get_section(section.index))
        out = self.relocations.setdefault(section.info, [])
        for index in range(section.size // width):
            entry = self._guard(
                f"section {section.name}", index * width, lambda index=index: table.get_relocation(index).entry
            )
            offset, symbol = int(entry["r_offset"]), int(entry["r_info_sym"])
            where = self.at(section, index * width)
            if symbol >= max(1, len(self.symbols)):
                raise ElfError(f"relocation names symbol {symbol}, which does not exist", where)
            if offset >= target.size:
                raise ElfError(f"relocation of offset {offset:#x} outside {target.name}", where)
            out.append(Relocation(offset, symbol, int(entry["r_info_type"]), int(entry["r_addend"]) if rela else None))

    def at(self, section: Section, offset: int) -> Where:
        """The place `offset` in `section`, for errors."""
        return Where(file=self.file, section=section.name, offset=offset)

    def section(self, name: str) -> Section | None:
        """The first section of this name, or None."""
        for section in self.sections:
            if section.name == name:
                return section
        return None
