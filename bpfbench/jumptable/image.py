"""The binary as recovery sees it: mapped bytes, sections, symbols and the few relocations that matter.

`Image` is a read-only view of a linked AArch64 ELF file.  Addresses are link-time virtual addresses; a position
independent file is looked at as if loaded at 0.  Three things are asked of it over and over: the bytes at an address,
whether an address is code, read-only or writable, and what pointer the dynamic loader will have stored there
(`R_AARCH64_RELATIVE`, the only relocation that ever covers a table of absolute addresses).

Headers come through pyelftools; every failure to make sense of them is one `JumptableError` naming the file.
Facts: ELF for the Arm 64-bit Architecture (AAELF64), sections "Relocation" and "Program property".
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from io import BytesIO
from pathlib import Path
from typing import Final, final

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from bpfbench.errors import JumptableError, NotSupported, Where

R_ABS64: Final = 257
R_GLOB_DAT: Final = 1025
R_JUMP_SLOT: Final = 1026
R_RELATIVE: Final = 1027

SHF_WRITE: Final = 1
SHF_ALLOC: Final = 2
SHF_EXECINSTR: Final = 4
PF_X: Final = 1
PF_W: Final = 2

STT_NAMES: Final[tuple[str, ...]] = ("NOTYPE", "OBJECT", "FUNC", "SECTION", "FILE", "COMMON", "TLS")
MAX_FILE: Final = 1 << 31


@final
class Section:
    """One section header: `addr` and `size` in bytes, `flags` as in the file, `kind` the sh_type number."""

    __slots__ = ("name", "addr", "size", "offset", "flags", "kind", "index", "link", "entsize")

    def __init__(
        self, name: str, addr: int, size: int, offset: int, flags: int, kind: int, index: int, link: int, entsize: int
    ) -> None:
        self.name = name
        self.addr = addr
        self.size = size
        self.offset = offset
        self.flags = flags
        self.kind = kind
        self.index = index
        self.link = link
        self.entsize = entsize

    @property
    def end(self) -> int:
        return self.addr + self.size

    def __repr__(self) -> str:
        return f"Section({self.name!r}, {self.addr:#x}..{self.end:#x})"


@final
class Segment:
    """One PT_LOAD: `addr`, `size` in memory, `filesz` backed by the file at `offset`."""

    __slots__ = ("addr", "size", "filesz", "offset", "flags")

    def __init__(self, addr: int, size: int, filesz: int, offset: int, flags: int) -> None:
        self.addr = addr
        self.size = size
        self.filesz = filesz
        self.offset = offset
        self.flags = flags


@final
class Symbol:
    """One symbol table entry; `kind` is a name of STT_NAMES."""

    __slots__ = ("name", "addr", "size", "kind", "section", "local")

    def __init__(self, name: str, addr: int, size: int, kind: str, section: int, local: bool) -> None:
        self.name = name
        self.addr = addr
        self.size = size
        self.kind = kind
        self.section = section
        self.local = local

    def __repr__(self) -> str:
        return f"Symbol({self.name!r}, {self.addr:#x}, {self.size}, {self.kind})"


@final
class Image:
    """A linked AArch64 ELF file, opened by `Image.open(path)` or from bytes.

    Raises JumptableError for anything that is not one, NotSupported for relocatable objects and 32-bit files.
    """

    def __init__(self, data: bytes, name: str = "<bytes>") -> None:
        self.data = data
        self.name = name
        self.segments: list[Segment] = []
        self.sections: list[Section] = []
        self.symbols: list[Symbol] = []
        self.dynamic_symbols: list[Symbol] = []
        self.relative: dict[int, int] = {}  # address -> value stored there by the loader
        self.imports: dict[int, str] = {}  # address of a GOT slot -> symbol name
        self.entry = 0
        self.pie = False
        self.bti = False
        try:
            self._read_headers()
            self._read_symbols()
            self._read_relocations()
        except JumptableError:
            raise
        except NotSupported:
            raise
        except (
            ELFError,
            struct.error,
            ValueError,
            KeyError,
            IndexError,
            TypeError,
            AttributeError,
            OverflowError,
            AssertionError,
            MemoryError,
            UnicodeError,
            OSError,
            RecursionError,
            ArithmeticError,
        ) as why:
            raise JumptableError(f"not a readable ELF file ({type(why).__name__}: {why})", Where(file=name)) from None
        except Exception as why:  # pyelftools' construct layer has its own unrelated exceptions
            raise JumptableError(f"not a readable ELF file ({type(why).__name__}: {why})", Where(file=name)) from None
        self._starts = [s.addr for s in self.segments]
        self._section_starts = [s.addr for s in self._mapped]

    @classmethod
    def open(cls, path: str | Path) -> Image:
        """Reads `path`; JumptableError when it cannot be read."""
        try:
            if Path(path).stat().st_size > MAX_FILE:
                raise JumptableError("file larger than 2 GiB", Where(file=str(path)))
            return cls(Path(path).read_bytes(), str(path))
        except (OSError, ValueError) as why:
            text = why.strerror if isinstance(why, OSError) and why.strerror else str(why)
            raise JumptableError(f"cannot read: {text}", Where(file=str(path))) from None

    # -- reading the file ----------------------------------------------------------------------------------------

    def _read_headers(self) -> None:
        elf = ELFFile(BytesIO(self.data))
        header = elf.header
        where = Where(file=self.name)
        if header["e_machine"] != "EM_AARCH64":
            raise JumptableError(f"machine is {header['e_machine']}, not EM_AARCH64", where)
        if elf.elfclass != 64:
            raise NotSupported("32-bit (ILP32) AArch64 files", where)
        if header["e_type"] not in ("ET_EXEC", "ET_DYN"):
            raise NotSupported(f"{header['e_type']} files; link it first", where)
        self.order = "<" if elf.little_endian else ">"
        self.entry = header["e_entry"]
        self.pie = header["e_type"] == "ET_DYN"
        self.dynamic: tuple[int, int] | None = None
        self.eh_frame_hdr: int | None = None
        size = len(self.data)
        if header["e_shoff"] and header["e_shoff"] + header["e_shnum"] * header["e_shentsize"] > size:
            raise JumptableError(
                f"truncated: section headers at {header['e_shoff']:#x} in a file of {size} bytes", where
            )
        for seg in elf.iter_segments():
            kind, offset, filesz = seg["p_type"], seg["p_offset"], seg["p_filesz"]
            if kind == "PT_LOAD":
                if offset + filesz > size:
                    raise JumptableError(
                        f"truncated: a segment of {filesz} bytes at {offset:#x} in a file of {size} bytes", where
                    )
                self.segments.append(Segment(seg["p_vaddr"], seg["p_memsz"], filesz, offset, seg["p_flags"]))
            elif kind == "PT_DYNAMIC":
                self.dynamic = (offset, filesz)
            elif kind == "PT_GNU_EH_FRAME":
                self.eh_frame_hdr = seg["p_vaddr"]
            elif kind == "PT_GNU_PROPERTY":
                self.bti = self._has_bti(self.data[offset : offset + filesz])
        self.segments.sort(key=lambda s: s.addr)
        if not self.segments:
            raise JumptableError("no loadable segment", where)
        for index in range(elf.num_sections()):
            try:
                sec = elf.get_section(index)
                name = sec.name
            except (ELFError, UnicodeError, AttributeError):
                continue
            h = sec.header
            kind = h["sh_type"]
            number = (
                kind
                if isinstance(kind, int)
                else {
                    "SHT_PROGBITS": 1,
                    "SHT_SYMTAB": 2,
                    "SHT_STRTAB": 3,
                    "SHT_RELA": 4,
                    "SHT_NOTE": 7,
                    "SHT_NOBITS": 8,
                    "SHT_DYNSYM": 11,
                }.get(kind, 0)
            )
            self.sections.append(
                Section(
                    name,
                    h["sh_addr"],
                    h["sh_size"],
                    h["sh_offset"],
                    h["sh_flags"],
                    number,
                    index,
                    h["sh_link"],
                    h["sh_entsize"],
                )
            )
        self._mapped = sorted(
            (s for s in self.sections if s.flags & SHF_ALLOC and s.size and s.kind != 8 and s.size <= size),
            key=lambda s: s.addr,
        )

    def _has_bti(self, note: bytes) -> bool:
        at = note.find(b"GNU\0")
        body = note[at + 4 :] if at >= 0 else b""
        while len(body) >= 12:
            kind, length, value = struct.unpack_from(self.order + "III", body)
            if kind == 0xC0000000:
                return bool(value & 1)
            body = body[8 + (length + 7 & ~7) :]
        return False

    def _string(self, table: bytes, at: int) -> str:
        end = table.find(b"\0", at)
        return table[at : end if end >= 0 else len(table)].decode("utf-8", "replace")

    def _read_symbols(self) -> None:
        for sec in self.sections:
            if sec.kind not in (2, 11):
                continue
            names = next((s for s in self.sections if s.index == sec.link), None)
            if names is None:
                continue
            self._symbol_table(sec.offset, sec.size, names.offset, names.size, dynamic=sec.kind == 11)
        if not self.dynamic_symbols and self.dynamic is not None:
            tags = self._dynamic_tags()
            sym, text = self._file_offset(tags.get(6, -1)), self._file_offset(tags.get(5, -1))
            if sym is not None and text is not None and text > sym:  # no count in the file: the strings follow
                self._symbol_table(sym, text - sym, text, tags.get(10, 0), dynamic=True)

    def _symbol_table(self, offset: int, size: int, str_offset: int, str_size: int, dynamic: bool) -> None:
        raw = self.data[offset : offset + size]
        names = self.data[str_offset : str_offset + str_size]
        raw = raw[: len(raw) // 24 * 24]
        out = self.dynamic_symbols if dynamic else self.symbols
        for name, info, _other, shndx, value, length in struct.iter_unpack(self.order + "IBBHQQ", raw):
            kind = STT_NAMES[info & 15] if info & 15 < 7 else "OTHER"
            out.append(
                Symbol(
                    self._string(names, name) if name < len(names) else "", value, length, kind, shndx, info >> 4 == 0
                )
            )

    def _dynamic_tags(self) -> dict[int, int]:
        assert self.dynamic is not None
        offset, size = self.dynamic
        raw = self.data[offset : offset + size]
        return dict(struct.iter_unpack(self.order + "QQ", raw[: len(raw) // 16 * 16]))

    def _file_offset(self, addr: int) -> int | None:
        for s in self.segments:
            if s.addr <= addr < s.addr + s.filesz:
                return s.offset + addr - s.addr
        return None

    def _read_relocations(self) -> None:
        """RELATIVE, ABS64 and the named slots, from DT_RELA, DT_JMPREL and DT_RELR."""
        if self.dynamic is None:
            return
        tags = self._dynamic_tags()
        for table, length in ((7, 8), (23, 2)):
            offset = self._file_offset(tags.get(table, -1))
            if offset is not None:
                self._rela(self.data[offset : offset + tags.get(length, 0)])
        offset = self._file_offset(tags.get(36, -1))
        if offset is not None:
            self._relr(self.data[offset : offset + tags.get(35, 0)])

    def _rela(self, raw: bytes) -> None:
        symbols = self.dynamic_symbols
        for where, info, addend in struct.iter_unpack(self.order + "QQq", raw[: len(raw) // 24 * 24]):
            kind, sym = info & 0xFFFFFFFF, info >> 32
            if kind == R_RELATIVE:
                self.relative[where] = addend & 0xFFFFFFFFFFFFFFFF
            elif kind in (R_GLOB_DAT, R_JUMP_SLOT, R_ABS64) and sym < len(symbols):
                if symbols[sym].addr and kind == R_ABS64:
                    self.relative[where] = symbols[sym].addr + addend & 0xFFFFFFFFFFFFFFFF
                if kind != R_ABS64:
                    self.imports[where] = symbols[sym].name

    def _relr(self, raw: bytes) -> None:
        at = 0
        for (entry,) in struct.iter_unpack(self.order + "Q", raw[: len(raw) // 8 * 8]):
            if not entry & 1:
                slots, at = [entry], entry + 8
            else:
                slots = [at + 8 * k for k in range(63) if entry >> (k + 1) & 1]
                at += 63 * 8
            for slot in slots:
                offset = self._file_offset(slot)
                if offset is not None and offset + 8 <= len(self.data):
                    self.relative[slot] = int(struct.unpack_from(self.order + "Q", self.data, offset)[0])

    # -- asking about addresses -----------------------------------------------------------------------------------

    def segment(self, addr: int) -> Segment | None:
        """The PT_LOAD that maps `addr`, or None."""
        at = bisect_right(self._starts, addr) - 1
        if at >= 0:
            seg = self.segments[at]
            if addr < seg.addr + seg.size:
                return seg
        return None

    def section(self, addr: int) -> Section | None:
        """The allocated section with contents at `addr`, or None."""
        at = bisect_right(self._section_starts, addr) - 1
        if at >= 0 and addr < self._mapped[at].end:
            return self._mapped[at]
        return None

    def read(self, addr: int, size: int) -> bytes | None:
        """`size` bytes of the file at `addr`; None when they are not all there."""
        seg = self.segment(addr)
        if seg is None or size < 0 or addr + size > seg.addr + seg.filesz:
            return None
        start = seg.offset + addr - seg.addr
        return self.data[start : start + size]

    def word(self, addr: int) -> int | None:
        """The instruction word at `addr` (always little-endian), or None outside executable memory."""
        if not self.executable(addr):
            return None
        raw = self.read(addr, 4)
        return None if raw is None else int.from_bytes(raw, "little")

    def words(self, addr: int, count: int) -> list[int]:
        """At most `count` instruction words from `addr` on."""
        seg = self.segment(addr)
        if seg is None:
            return []
        count = max(0, min(count, (seg.addr + seg.filesz - addr) // 4))
        start = seg.offset + addr - seg.addr
        return list(struct.unpack_from(f"<{count}I", self.data, start)) if start + 4 * count <= len(self.data) else []

    def executable(self, addr: int) -> bool:
        seg = self.segment(addr)
        return seg is not None and bool(seg.flags & PF_X)

    def constant(self, addr: int) -> bool:
        """Is memory at `addr` never written by the program: a read-only segment, or relocated read-only data?"""
        sec = self.section(addr)
        if sec is not None:
            return not sec.flags & SHF_WRITE or sec.name.startswith(".data.rel.ro") or sec.name.startswith(".go.")
        seg = self.segment(addr)
        return seg is not None and not seg.flags & PF_W

    def pointer(self, addr: int) -> int | None:
        """The 8-byte value the program reads at `addr`, relocation applied; None when unknown."""
        if addr in self.relative:
            return self.relative[addr]
        raw = self.read(addr, 8)
        return None if raw is None else int(struct.unpack(self.order + "Q", raw)[0])

    def code_ranges(self) -> list[tuple[int, int, str]]:
        """Executable pieces `(start, end, section name)` with contents, in address order."""
        out = [(s.addr, s.end, s.name) for s in self._mapped if s.flags & SHF_EXECINSTR and self.executable(s.addr)]
        if not out:
            out = [(s.addr, s.addr + s.filesz, "") for s in self.segments if s.flags & PF_X and s.filesz]
        clipped = []
        for start, end, name in out:
            seg = self.segment(start)
            if seg is not None:
                clipped.append((start, min(end, seg.addr + seg.filesz), name))
        return [(a, b, n) for a, b, n in clipped if b > a]

    def __repr__(self) -> str:
        size = sum(b - a for a, b, _ in self.code_ranges())
        return f"Image({self.name!r}, {'PIE' if self.pie else 'EXEC'}, {size} bytes of code)"
