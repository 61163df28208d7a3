"""Object file to programs: what a loader does before the system call.

    file --> sections, symbols --> functions (pieces of code) --+--> one Program for each entry point
         --> .BTF, .BTF.ext    --> types, lines, CO-RE ---------+
         --> .maps, .rodata …  --> MapSpecs --------------------+
         --> externs           --> what the kernel has ---------+

The order matters: sections of data get their sizes in BTF before maps are made from them, and code is fitted to the
kernel (CO-RE) before functions are joined (`linker.py`).

Source: tools/lib/bpf/libbpf.c (bpf_object_open, bpf_object_load).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final, final

from bpfbench.elf import core, externs, fixup, maps
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_ext import BtfExt
from bpfbench.elf.elf import ElfFile, Section, Symbol
from bpfbench.elf.linker import SLOT, Linker, Piece, Tables
from bpfbench.elf.object import CodeSection, Object
from bpfbench.elf.relocs import R_BPF_64_32, R_BPF_64_64, RELOCATION_NAME
from bpfbench.errors import ElfError, NotSupported, UsageError, Where
from bpfbench.program.program import MapSpec

MAX_FILE: Final = 1 << 30
BESIDE: Final = "kernel.btf"


@final
class Loader:
    """One load: reads the tables of the file, makes maps, fits code to the kernel, then links each program."""

    def __init__(self, elf: ElfFile, target: core.Target, kconfig: Mapping[str, int | str] | None, type: str) -> None:
        self.elf = elf
        self.target = target
        self.kconfig = kconfig
        self.object = Object(_stem(elf.file), elf)
        self.tables = Tables(elf, self.object, type)

    def load(self) -> Object:
        if self.elf.machine not in ("BPF", "NONE"):
            raise ElfError(f"an object for {self.elf.machine}, not for BPF", Where(file=self.elf.file, offset=0x12))
        if self.elf.kind != "REL" or self.elf.bits != 64:
            what = f"{self.elf.bits}-bit {self.elf.kind}"
            raise ElfError(f"not a 64-bit relocatable but {what}", Where(file=self.elf.file, offset=0x10))
        self._tables()
        self._functions()
        self._maps()
        self._core()
        self._kernel_symbols()
        main = [p for p in self.tables.pieces if p.section.name != ".text" or len(self.tables.pieces) == 1]
        if self.object.btf is not None:
            raw = self.object.btf.to_bytes()
            for spec in self.tables.map_at.values():
                if self.elf.big_endian:
                    spec.btf_key = spec.btf_value = 0
        else:
            raw = b""
        for piece in main:
            self.object.programs[piece.name] = Linker(self.tables, piece, raw).program()
        for piece in self.tables.text.values():
            if piece not in main:
                self.object.subprograms[piece.name] = Linker(self.tables, piece, raw).program()
        return self.object

    # -- tables -----------------------------------------------------------------------------------------------------

    def _tables(self) -> None:
        elf, o = self.elf, self.object
        license = elf.section("license")
        if license is not None:
            o.license = license.raw.split(b"\0")[0].decode("utf-8", "replace")
        version = elf.section("version")
        if version is not None:
            if version.size < 4 or len(version.raw) < 4:
                raise ElfError("a version needs 4 bytes", elf.at(version, 0))
            o.version = struct.unpack_from(self.tables.order + "I", version.raw)[0]
        raw = elf.section(".BTF")
        if raw is not None and raw.raw:
            o.btf = Btf(raw.raw, where=Where(file=elf.file, section=".BTF"))
            o.btf.check()
            if o.btf.big_endian != elf.big_endian:
                raise ElfError("BTF and object differ in byte order", elf.at(raw, 0))
            ext = elf.section(".BTF.ext")
            if ext is not None and ext.raw:
                self.tables.ext = BtfExt(ext.raw, o.btf, Where(file=elf.file, section=".BTF.ext"))

    def _functions(self) -> None:
        for section in self.elf.sections:
            if not section.is_code or not section.size:
                continue
            if section.size % SLOT:
                where = self.elf.at(section, section.size & ~7)
                raise ElfError(f"code of {section.size} bytes is not whole instructions", where)
            found = self._pieces(section)
            self.object.code.append(CodeSection(section.name, section.raw, {p.start * SLOT: p.name for p in found}))
            self._attach(section, found)
            self.tables.pieces += found
            if section.name == ".text":
                self.tables.text.update({p.start: p for p in found})

    def _pieces(self, section: Section) -> list[Piece]:
        found: list[Piece] = []
        names = {p.name for p in self.tables.pieces}
        for symbol in self.elf.symbols:
            if symbol.section != section.index or symbol.type != "FUNC":
                continue
            where = self.elf.at(section, symbol.value)
            if symbol.bind == "LOCAL" and section.name != ".text":
                raise NotSupported(f"static program {symbol.name!r}", where)
            if symbol.value % SLOT or symbol.size % SLOT or not symbol.size:
                raise ElfError(f"function {symbol.name!r} of {symbol.size} bytes is not whole instructions", where)
            if symbol.value + symbol.size > section.size:
                raise ElfError(f"function {symbol.name!r} of {symbol.size} bytes ends outside the section", where)
            name = symbol.name
            while name in names:
                name += "_"
            names.add(name)
            found.append(Piece(name, section, symbol.value // SLOT, symbol.size // SLOT, symbol))
        found.sort(key=lambda p: p.start)
        for first, second in zip(found, found[1:]):
            if first.start + first.count > second.start:
                where = self.elf.at(section, second.start * SLOT)
                raise ElfError(f"functions {first.name!r} and {second.name!r} overlap", where)
        return found

    def _attach(self, section: Section, found: list[Piece]) -> None:
        """Hand each relocation of a code section to the function it lies in."""
        for relocation in self.elf.relocations.get(section.index, []):
            where = self.elf.at(section, relocation.offset)
            if relocation.type not in (R_BPF_64_64, R_BPF_64_32):
                name = RELOCATION_NAME.get(relocation.type, str(relocation.type))
                raise NotSupported(f"relocation type {name} of an instruction", where)
            if relocation.offset % SLOT:
                raise ElfError("relocation inside an instruction", where)
            slot = relocation.offset // SLOT
            for piece in found:
                if piece.start <= slot < piece.start + piece.count:
                    piece.relocations[slot - piece.start] = self.elf.symbols[relocation.symbol], relocation.type

    def _maps(self) -> None:
        elf, o = self.elf, self.object
        for section in elf.sections:
            declared: dict[int, MapSpec] = {}
            if section.name == "maps" and section.type == "PROGBITS":
                declared = maps.legacy_maps(elf, section)
            elif section.name == ".maps" and section.raw:
                if o.btf is None:
                    raise ElfError("maps without BTF (compile with -g)", elf.at(section, 0))
                fixup.fix_section(elf, o.btf, ".maps")
                declared = maps.btf_maps(elf, section, o.btf)
                for name, slots in maps.initial_slots(elf, section, o.btf, declared).items():
                    self._fill(name, slots, declared, elf.at(section, 0))
            elif section.name.startswith((".struct_ops", "?.struct_ops")) and section.type == "PROGBITS":
                o.notes.append(f"section {section.name}: struct_ops maps are not made")
            self.tables.map_at.update({(section.index, offset): spec for offset, spec in declared.items()})
        if o.btf is not None:
            fixup.fix_up(elf, o.btf)
        for section in elf.sections:
            if maps.data_kind(section) and section.size:
                self.tables.map_at[section.index, -1] = maps.data_map(elf, section, o.btf)
        for spec in self.tables.map_at.values():
            o.maps[spec.name] = spec

    def _fill(self, name: str, slots: dict[int, Symbol], declared: dict[int, MapSpec], where: Where) -> None:
        spec = next(s for s in declared.values() if s.name == name)
        known = {s.name for s in declared.values()} if spec.inner is not None else {p.name for p in self.tables.pieces}
        if max(slots) >= max(1, spec.max_entries):
            raise ElfError(f"map {name}: slot {max(slots)} is filled, but there are {spec.max_entries}", where)
        spec.inner_values = [""] * (max(slots) + 1)
        for slot, symbol in slots.items():
            if symbol.name not in known:
                raise ElfError(f"map {name}: slot {slot} refers to {symbol.name!r}, no map or program", where)
            spec.inner_values[slot] = symbol.name

    def _core(self) -> None:
        """Apply CO-RE relocations to the pieces."""
        if self.tables.ext is None or self.object.btf is None:
            return
        for name, relocations in self.tables.ext.relocations.items():
            section = self.elf.section(name)
            if section is None or not section.is_code:
                raise ElfError("CO-RE relocations for a section without code", Where(file=self.elf.file, section=name))
            for relocation in relocations:
                slot = relocation.offset // SLOT
                where = self.elf.at(section, relocation.offset)
                for piece in self.tables.pieces:
                    if piece.section is section and piece.start <= slot < piece.start + piece.count:
                        core.apply(piece.code, slot - piece.start, relocation, self.object.btf, self.target, where)

    def _kernel_symbols(self) -> None:
        """Find what externs of the object mean in the kernel."""
        if any(s.is_extern and s.name for s in self.elf.symbols):
            spec = externs.collect(self.elf, self.object, self.target, self.kconfig, self.tables.externs)
            if spec is not None:
                self.tables.map_at[-1, -1] = spec
                self.object.maps[spec.name] = spec


def _stem(file: str) -> str:
    return os.path.basename(file).split(".")[0] or "object"


def read_file(path: str | Path) -> bytes:
    """The bytes of a file; UsageError when it cannot be read."""
    try:
        if os.path.getsize(path) > MAX_FILE:
            raise UsageError("file is larger than 1 GiB", Where(file=str(path)))
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"cannot read: {reason}", Where(file=str(path))) from None


def load(
    source: str | Path | bytes,
    btf: Btf | str | Path | bytes | None = None,
    kconfig: Mapping[str, int | str] | None = None,
    type: str = "unspec",
    name: str = "",
) -> Object:
    """Load an object file: a path, or its bytes (then `name` is what errors call it).

    `btf` is the kernel's BTF that CO-RE relocations and kernel symbols are resolved against (a `Btf`, raw bytes, or a
    file, raw or ELF); by default that of the running kernel, or, where it shows none, the file `kernel.btf` beside the
    object.  `kconfig` gives kernel settings by name (`CONFIG_HZ`,
    `LINUX_KERNEL_VERSION`); by default those of the running kernel.  `type` is what programs are in sections whose name
    says nothing.  Raises ElfError or BtfError naming section and offset, UsageError for a file that cannot be read.

    >>> load(b"\\x7fELF")
    Traceback (most recent call last):
    bpfbench.errors.ElfError: <bytes>, offset 0x0: truncated ELF header: 4 bytes
    """
    if isinstance(source, (bytes, bytearray)):
        raw, file = bytes(source), name or "<bytes>"
    else:
        raw, file = read_file(source), name or str(source)
        beside = Path(source).with_name(BESIDE)
        if btf is None and not os.access(core.KERNEL_BTF, os.R_OK) and beside.exists():
            btf = beside
    return Loader(ElfFile(raw, file), core.Target(btf), kconfig, type).load()
