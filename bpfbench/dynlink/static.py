"""Static linking: several objects become one, which loads like one that was compiled in a piece.

Sections of one name follow each other; everything that pointed into them moves along.  A name that one object leaves
open and another defines is resolved:

    | one          | other        | result                                                    |
    |--------------|--------------|-----------------------------------------------------------|
    | undefined    | defined      | the definition; prototypes and map definitions must agree |
    | weak         | strong       | the strong one; the weak one's bytes stay, unused         |
    | weak         | weak         | the first; two maps must be declared alike                |
    | strong       | strong       | an error that names both objects                          |

Local names stay apart.  Types are merged (merge_btf.py), tables of functions, lines and CO-RE relocations move with their
instructions, `license` and `version` must agree.

      a.o  xdp  .text        .maps              xdp | .text a, .text b | .maps a, .maps b
      b.o       .text .data  .maps       ==>        | .data | .BTF | .BTF.ext

Source: tools/lib/bpf/linker.c, whose rules these are; Documentation/bpf/llvm_reloc.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, final

from bpfbench.dynlink.merge_btf import append, deduplicate
from bpfbench.dynlink.prototype import prototype_text, same_type
from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_ext import CORE_RECORD, FUNCTION_RECORD, LINE_RECORD, BtfExt, to_section
from bpfbench.elf.elf import ElfFile, Section, Symbol
from bpfbench.elf.loader import read_file
from bpfbench.elf.relocs import R_BPF_64_32, R_BPF_64_64, R_BPF_64_ABS32, R_BPF_64_ABS64
from bpfbench.elf.writer import Writer
from bpfbench.errors import DynlinkError, Where

ONCE: Final = ("license", "version")                            # sections that an object has once
TABLES: Final = ("SYMTAB", "STRTAB", "REL", "RELA", "NULL")
DROPPED: Final = (".debug", ".rel", ".BTF", ".llvm_", ".comment", ".eh_frame")
EXTERN_SECTIONS: Final = (".ksyms", ".kconfig")
JUMP_TABLES: Final = ".jumptables"                              # of LLVM 21 and later; not allocated
NUMBERED: Final = 0xFF00                                        # section numbers above name no section
CALL: Final = 0x85
MAX_SECTION: Final = 1 << 28
MAX_ALIGN: Final = 1 << 12


@final
class Joined:
    """A section that grows: the bytes so far, and the strictest alignment."""

    __slots__ = ("name", "type", "flags", "align", "raw", "size", "symbol")

    def __init__(self, section: Section) -> None:
        self.name = section.name
        self.type = section.type
        self.flags = section.flags
        self.align = 1
        self.raw = bytearray()
        self.size = 0
        self.symbol: Entry | None = None                        # its own symbol, when something refers to it

    def add(self, section: Section) -> int:
        """Append a section's bytes; returns where they begin."""
        align = max(1, section.align)
        self.align = max(self.align, align)
        start = self.size + -self.size % align
        self.size = start + section.size
        if section.type == "PROGBITS" and self.type == "NOBITS":
            self.type = "PROGBITS"
        if self.type != "NOBITS":
            self.raw += bytes(start - len(self.raw)) + section.raw.ljust(section.size, b"\0")
        return start


@final
class Entry:
    """A symbol of the result; `section` is None while nobody defines it. `file` defines or needs it."""

    __slots__ = ("name", "bind", "type", "visibility", "section", "value", "size", "file")

    def __init__(self, symbol: Symbol, section: Joined | None, shift: int, file: str) -> None:
        self.name = symbol.name
        self.bind = symbol.bind
        self.type = symbol.type
        self.visibility = symbol.visibility
        self.section = section
        self.value = symbol.value + shift
        self.size = symbol.size
        self.file = file

    def take(self, other: Entry) -> None:
        """Become what `other` is."""
        self.bind, self.type, self.visibility = other.bind, other.type, other.visibility
        self.section, self.value, self.size, self.file = other.section, other.value, other.size, other.file


@final
class StaticLinker:
    """Takes one object after the other; `finish` writes the result."""

    def __init__(self) -> None:
        self.sections: dict[str, Joined] = {}
        self.entries: list[Entry] = []
        self.named: dict[str, Entry] = {}
        self.relocations: list[tuple[Joined, int, Entry, int]] = []
        self.btf = Btf()
        self.typed = False
        self.functions: dict[str, list[tuple[int, int]]] = {}
        self.lines: dict[str, list[tuple[int, str, str, int]]] = {}
        self.core: dict[str, list[tuple[int, int, str, int]]] = {}
        self.things: dict[str, list[tuple[int, str]]] = {}      # global FUNC or VAR -> its types and their files
        self.losers: set[tuple[str, str]] = set()               # (name, file) of definitions that another replaced
        self.variables: dict[str, list[tuple[int, int, int]]] = {}     # section -> type, offset, size
        self.order: bool | None = None

    # -- one object -----------------------------------------------------------------------------------------------------

    def add(self, elf: ElfFile) -> None:
        if elf.machine not in ("BPF", "NONE") or elf.kind != "REL" or elf.bits != 64:
            raise DynlinkError(f"a {elf.bits}-bit {elf.kind} for {elf.machine}, not a BPF object", Where(file=elf.file))
        if self.order not in (None, elf.big_endian):
            raise DynlinkError("objects of both byte orders", Where(file=elf.file))
        self.order = elf.big_endian
        placed = self._sections(elf)
        symbols = self._symbols(elf, placed)
        self._relocations(elf, placed, symbols)
        self._types(elf, placed)

    def _sections(self, elf: ElfFile) -> dict[int, tuple[Joined, int]]:
        placed: dict[int, tuple[Joined, int]] = {}
        for s in elf.sections:
            if s.type in TABLES or s.name.startswith(DROPPED) or not s.flags & 2 and s.name not in (*ONCE, JUMP_TABLES):
                continue
            known = self.sections.get(s.name)
            if known is not None and s.name in ONCE:
                if bytes(known.raw) != s.raw:
                    raise DynlinkError(f"{s.name} {_text(s.raw)} here, but {_text(bytes(known.raw))} in another object",
                                       elf.at(s, 0))
                placed[s.index] = known, 0
                continue
            if s.type not in ("PROGBITS", "NOBITS"):
                raise DynlinkError(f"section of type {s.type}", elf.at(s, 0))
            if s.align & (s.align - 1) or s.align > MAX_ALIGN:
                raise DynlinkError(f"section with alignment {s.align}", elf.at(s, 0))
            if s.size + (known.size if known is not None else 0) > MAX_SECTION:
                raise DynlinkError(f"{s.size} bytes more than linking takes", elf.at(s, 0))
            if known is None:
                known = self.sections[s.name] = Joined(s)
            elif (known.flags ^ s.flags) & 4:
                raise DynlinkError(f"section {s.name} is code in one object and data in another", elf.at(s, 0))
            known.flags |= s.flags
            placed[s.index] = known, known.add(s)
        return placed

    def _symbols(self, elf: ElfFile, placed: dict[int, tuple[Joined, int]]) -> dict[int, Entry]:
        found: dict[int, Entry] = {}
        for symbol in elf.symbols[1:]:
            if symbol.type == "FILE" or symbol.section and symbol.section not in placed and symbol.section < NUMBERED:
                continue
            section, shift = placed.get(symbol.section, (None, 0))
            entry = Entry(symbol, section, shift, elf.file)
            if symbol.type == "SECTION" and section is not None:
                if section.symbol is None:
                    entry.value = 0
                    section.symbol = entry
                    self.entries.append(entry)
                entry = section.symbol
            elif symbol.bind == "LOCAL":
                self.entries.append(entry)
            else:
                entry = self._resolve(entry)
            found[symbol.index] = entry
        return found

    def _resolve(self, new: Entry) -> Entry:
        """A global name: what it was, what it is, or what both are."""
        old = self.named.get(new.name)
        if old is None:
            self.named[new.name] = new
            self.entries.append(new)
            return new
        if old.section is not None and new.section is not None:
            if old.section is new.section and new.section.name in ONCE:
                return old
            if (old.type, old.section.name == ".maps") != (new.type, new.section.name == ".maps"):
                raise DynlinkError(f"'{new.name}' is a {_kind(old)} in {old.file} and a {_kind(new)} in {new.file}",
                                   Where(file=new.file))
            if old.bind == new.bind == "GLOBAL":
                raise DynlinkError(f"'{new.name}' is defined twice: in {old.file} and in {new.file}", Where(file=new.file))
            self.losers.add((new.name, new.file if old.bind == "GLOBAL" or new.bind == "WEAK" else old.file))
            if new.bind == "GLOBAL":
                old.take(new)
        elif new.section is not None:
            old.take(new)
        elif old.section is None and new.bind == "GLOBAL":
            old.bind = "GLOBAL"
        return old

    def _relocations(self, elf: ElfFile, placed: dict[int, tuple[Joined, int]], symbols: dict[int, Entry]) -> None:
        order = ">" if elf.big_endian else "<"
        tables: set[int] = set()
        for index, relocations in elf.relocations.items():
            if index not in placed:
                continue
            target, shift = placed[index]
            for r in relocations:
                symbol, at = elf.symbols[r.symbol], r.offset + shift
                entry = symbols.get(r.symbol)
                if entry is None:
                    raise DynlinkError(f"relocation against {symbol.name or 'a symbol'!r}, whose section is not linked",
                                       elf.at(elf.sections[index], r.offset))
                if entry.section is not None and entry.section.name == JUMP_TABLES and r.symbol not in tables:
                    tables.add(r.symbol)
                    self._jump_table(entry, shift, order, elf.at(elf.sections[index], r.offset))
                if symbol.type == "SECTION":
                    moved = placed[symbol.section][1]
                    _shift(target.raw, at, r.type, moved, order)
                self.relocations.append((target, at, entry, r.type))

    def _jump_table(self, table: Entry, shift: int, order: str, where: Where) -> None:
        """The entries of a jump table are offsets into the section of the code that uses it."""
        assert table.section is not None
        if table.size % 8 or table.value + table.size > len(table.section.raw):
            raise DynlinkError(f"jump table {table.name!r} of {table.size} bytes lies outside {JUMP_TABLES}", where)
        for at in range(table.value, table.value + table.size, 8):
            _add(table.section.raw, at, order + "q", shift)

    # -- types ------------------------------------------------------------------------------------------------------------

    def _types(self, elf: ElfFile, placed: dict[int, tuple[Joined, int]]) -> None:
        section = elf.section(".BTF")
        if section is None or not section.raw:
            return
        self.typed = True
        part = Btf(section.raw, where=Where(file=elf.file, section=".BTF"))
        part.check()
        moved = append(self.btf, part)
        names = {s.name: s for s in elf.symbols if s.name and s.section in placed}
        for id in part:
            t = part.type(id)
            if t.kind == b.FUNC and t.linkage != 0 or t.kind == b.VAR and t.linkage != b.VAR_STATIC:
                self.things.setdefault(t.name, []).append((moved[id], elf.file))
            if t.kind == b.DATASEC:
                home = elf.section(t.name)
                base = placed[home.index][1] if home is not None and home.index in placed else 0
                for v in t.variables:
                    symbol = names.get(part.type(v.type).name)
                    inside = symbol is not None and home is not None and symbol.section == home.index
                    offset = symbol.value if inside and symbol is not None else v.offset
                    if base + offset >= 1 << 32:
                        raise DynlinkError(f"'{part.type(v.type).name}' at {offset:#x} lies outside its section",
                                           Where(file=elf.file, section=t.name))
                    self.variables.setdefault(t.name, []).append((moved[v.type], base + offset, v.size))
        ext = elf.section(".BTF.ext")
        if ext is not None and ext.raw:
            self._tables(BtfExt(ext.raw, part, Where(file=elf.file, section=".BTF.ext")), part, moved, elf, placed)

    def _tables(self, ext: BtfExt, part: Btf, moved: dict[int, int], elf: ElfFile,
                placed: dict[int, tuple[Joined, int]]) -> None:
        starts = {elf.sections[i].name: shift for i, (_, shift) in placed.items()}
        where = Where(file=elf.file, section=".BTF.ext")
        about = [(name, at, id) for name, rows in ext.functions.items() for at, id in rows]
        about += [(name, line.offset, 0) for name, rows in ext.lines.items() for line in rows]
        about += [(name, r.offset, r.type) for name, rows in ext.relocations.items() for r in rows]
        for name, offset, id in about:
            home = elf.section(name)
            if name not in starts or home is None or not home.is_code:
                raise DynlinkError(f"a table about section {name!r}, which is no code", where)
            if offset >= home.size or id not in moved:
                raise DynlinkError(f"an entry for byte {offset:#x} of {name} and type {id}: out of range", where)
        for name, functions in ext.functions.items():
            self.functions.setdefault(name, []).extend((at + starts[name], moved[id]) for at, id in functions)
        for name, lines in ext.lines.items():
            self.lines.setdefault(name, []).extend(
                (at.offset + starts[name], part.string(at.file), part.string(at.text), at.line << 10 | at.column)
                for at in lines)
        for name, core in ext.relocations.items():
            self.core.setdefault(name, []).extend(
                (r.offset + starts[name], moved[r.type], r.access, r.kind) for r in core)

    def _unite(self) -> dict[int, int]:
        """Which of several types of one global name stands for all; DynlinkError where they do not agree."""
        alias: dict[int, int] = {}
        for name, found in self.things.items():
            defined = [(id, file) for id, file in found if not _is_extern(self.btf, id)]
            kept = [one for one in defined if (name, one[1]) not in self.losers] or defined or found
            winner, home = kept[0]
            for id, file in found:
                if id == winner:
                    continue
                if not same_type(self.btf, self.btf.type(id).type, self.btf, self.btf.type(winner).type):
                    if self.btf.type(id).kind == b.VAR:
                        raise DynlinkError(f"'{name}' is declared differently in {file} and in {home}", Where(file=file))
                    raise DynlinkError(f"wrong prototype of '{name}': {file} has '{prototype_text(self.btf, id)}', "
                                       f"{home} has '{prototype_text(self.btf, winner)}'", Where(file=file))
                alias[id] = winner
        return alias

    # -- the result --------------------------------------------------------------------------------------------------------

    @property
    def undefined(self) -> list[Entry]:
        """Global names that nobody has defined, those of the kernel left out."""
        kernel = {self.btf.type(id).name for name in EXTERN_SECTIONS for id, _, _ in self.variables.get(name, [])}
        return [e for e in self.entries if e.section is None and e.bind != "LOCAL" and e.name not in kernel]

    def finish(self) -> bytes:
        """The linked object as the bytes of a file."""
        writer = Writer(bool(self.order))
        numbers = {s.name: writer.section(s.name, bytes(s.raw), s.type, s.flags, s.align, s.size)
                   for s in self.sections.values()}
        symbols = {
            id(e): writer.symbol(e.name if e.type != "SECTION" else "", numbers[e.section.name] if e.section else 0,
                                 e.value, e.size, e.bind, e.type, e.visibility)
            for e in self.entries
        }  # fmt: skip
        for section, at, entry, kind in self.relocations:
            writer.relocation(numbers[section.name], at, symbols[id(entry)], kind)
        if self.typed:
            btf, moved = self._merged()
            ext = self._ext(btf, moved)
            writer.section(".BTF", btf.to_bytes(), align=4)
            writer.section(".BTF.ext", ext, align=4)
        return writer.to_bytes()

    def _merged(self) -> tuple[Btf, dict[int, int]]:
        alias = self._unite()
        sections: dict[str, int] = {}
        for id in self.btf:
            t = self.btf.type(id)
            if t.kind == b.DATASEC:
                t.variables = []
                if sections.setdefault(t.name, id) != id:
                    alias[id] = sections[t.name]
        btf, moved = deduplicate(self.btf, alias)
        btf.big_endian = bool(self.order)
        for name, id in sections.items():
            t = btf.type(moved[id])
            seen: set[int] = set()
            for variable, offset, size in sorted(self.variables.get(name, []), key=lambda v: v[1]):
                if moved[variable] not in seen and variable not in alias:
                    seen.add(moved[variable])
                    t.variables.append(b.SecVar(moved[variable], offset, size))
            t.size = self.sections[name].size if name in self.sections else 0
        for names in self.things.values():
            one = btf.type(moved[names[0][0]])
            entry = self.named.get(one.name)
            if one.kind == b.FUNC and entry is not None and entry.section is not None:
                one.linkage = 1
        return btf, moved

    def _ext(self, btf: Btf, moved: dict[int, int]) -> bytes:
        order = ">" if self.order else "<"
        functions = {n: b"".join(struct.pack(order + "II", at, moved[id]) for at, id in sorted(rows))
                     for n, rows in self.functions.items()}
        lines = {n: b"".join(struct.pack(order + "IIII", at, btf.intern(file), btf.intern(text), place)
                             for at, file, text, place in sorted(rows)) for n, rows in self.lines.items()}
        core = {n: b"".join(struct.pack(order + "IIII", at, moved[id], btf.intern(access), kind)
                            for at, id, access, kind in sorted(rows)) for n, rows in self.core.items()}
        return to_section(btf, [(FUNCTION_RECORD, functions), (LINE_RECORD, lines), (CORE_RECORD, core)], order)


def _shift(raw: bytearray, at: int, kind: int, moved: int, order: str) -> None:
    """What a relocation against a section holds is an offset into it, which has moved."""
    if kind == R_BPF_64_32 and raw[at] == CALL:
        _add(raw, at + 4, order + "i", moved // 8)
    elif kind == R_BPF_64_64:
        _add(raw, at + 4, order + "i", moved)
    elif kind == R_BPF_64_ABS64:
        _add(raw, at, order + "q", moved)
    elif kind in (R_BPF_64_ABS32, R_BPF_64_32):
        _add(raw, at, order + "i", moved)


def _add(raw: bytearray, at: int, form: str, moved: int) -> None:
    struct.pack_into(form, raw, at, struct.unpack_from(form, raw, at)[0] + moved)


def _is_extern(btf: Btf, id: int) -> bool:
    t = btf.type(id)
    return t.linkage == (2 if t.kind == b.FUNC else b.VAR_EXTERN)


def _kind(entry: Entry) -> str:
    in_maps = entry.section is not None and entry.section.name == ".maps"
    return "map" if in_maps else "function" if entry.type == "FUNC" else "variable"


def _text(raw: bytes) -> str:
    return repr(raw.rstrip(b"\0").decode("utf-8", "replace"))


def link_static(objects: Sequence[str | Path | bytes], partial: bool = False, names: Sequence[str] = ()) -> bytes:
    """Link object files (paths, or their bytes with `names` for messages) to one; returns its bytes.

    `partial`  leave names undefined that no object defines; otherwise DynlinkError lists them
    Raises DynlinkError and ElfError naming the object.
    """
    if not objects:
        raise DynlinkError("nothing to link", Where())
    linker = StaticLinker()
    for number, given in enumerate(objects):
        if isinstance(given, bytes):
            name = names[number] if number < len(names) else f"object {number + 1}"
            linker.add(ElfFile(given, name))
        else:
            linker.add(ElfFile(read_file(given), Path(given).name))
    missing = linker.undefined
    if missing and not partial:
        listed = ", ".join(f"'{e.name}' (needed by {e.file})" for e in missing)
        raise DynlinkError(f"undefined: {listed}", Where())
    return linker.finish()
