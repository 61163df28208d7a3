"""Object file to programs: what a loader does before the system call.

The functions of an object are pieces of code that refer to each other, to maps and to the kernel.  For every program
(a function in a section of its own) the loader appends the functions of `.text` that it calls, depth first and each
once, makes the calls relative again, and puts map indices, data offsets and kernel ids where relocations ask for them:

    section "xdp"        main                        main
                          call +0  --reloc--+         call  --+
    section ".text"      helper <-----------+   ==>  helper <-+      one slot-indexed Program, with BTF func_info
                          lddw   --reloc--> map       lddw map[0]    and line_info moved along
                         unused

Source: tools/lib/bpf/libbpf.c (bpf_object__relocate_calls, bpf_object__reloc_code, bpf_object__relocate_data,
adjust_prog_btf_ext_info).
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
from bpfbench.elf.object import CodeSection, Object
from bpfbench.elf.relocs import R_BPF_64_32, R_BPF_64_64, RELOCATION_NAME
from bpfbench.elf.sections import attach_target, section_rule
from bpfbench.errors import ElfError, NotSupported, UsageError, Where
from bpfbench.isa.codec import decode
from bpfbench.program.program import MapSpec, Program, SourceLine

SLOT: Final = 8
CALL: Final = 0x85
LDDW: Final = 0x18
PSEUDO_CALL: Final = 1
PSEUDO_MAP_FD: Final = 1
PSEUDO_MAP_VALUE: Final = 2
PSEUDO_BTF_ID: Final = 3
PSEUDO_FUNC: Final = 4
PSEUDO_KFUNC: Final = 2
MAX_FILE: Final = 1 << 30


@final
class Piece:
    """A function as the file has it: `count` slots from slot `start` of `section`; `code` is a copy to be patched."""

    __slots__ = ("name", "section", "start", "count", "symbol", "code", "relocations")

    def __init__(self, name: str, section: Section, start: int, count: int, symbol: Symbol) -> None:
        self.name = name
        self.section = section
        self.start = start
        self.count = count
        self.symbol = symbol
        self.code = bytearray(section.raw[start * SLOT : (start + count) * SLOT])
        self.relocations: dict[int, tuple[Symbol, int]] = {}       # slot in the piece -> symbol, relocation type


@final
class Loader:
    """One load: reads the tables of the file, then links each program."""

    def __init__(self, elf: ElfFile, target: core.Target, kconfig: Mapping[str, int | str] | None, type: str) -> None:
        self.elf = elf
        self.target = target
        self.kconfig = kconfig
        self.type = type
        self.object = Object(_stem(elf.file), elf)
        self.order = ">" if elf.big_endian else "<"
        self.ext: BtfExt | None = None
        self.pieces: list[Piece] = []
        self.text: dict[int, Piece] = {}                           # functions of .text by slot
        self.map_at: dict[tuple[int, int], MapSpec] = {}           # by section and offset; data sections at -1
        self.externs: dict[int, externs.Extern] = {}               # by symbol

    def load(self) -> Object:
        if self.elf.machine not in ("BPF", "NONE"):
            raise ElfError(f"an object for {self.elf.machine}, not for BPF", Where(file=self.elf.file, offset=0x12))
        if self.elf.kind != "REL" or self.elf.bits != 64:
            raise ElfError(f"not a 64-bit relocatable but {self.elf.bits}-bit {self.elf.kind}", Where(file=self.elf.file, offset=0x10))
        self._tables()
        self._functions()
        self._maps()
        self._core()
        self._kernel_symbols()
        main = [p for p in self.pieces if p.section.name != ".text" or len(self.pieces) == 1]
        if self.object.btf is not None:
            raw = self.object.btf.to_bytes()
            for spec in self.map_at.values():
                if self.elf.big_endian:
                    spec.btf_key = spec.btf_value = 0
        else:
            raw = b""
        for piece in main:
            self.object.programs[piece.name] = Linker(self, piece, raw).program()
        for piece in self.text.values():
            if piece not in main:
                self.object.subprograms[piece.name] = Linker(self, piece, raw).program()
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
            o.version = struct.unpack_from(self.order + "I", version.raw)[0]
        raw = elf.section(".BTF")
        if raw is not None and raw.raw:
            o.btf = Btf(raw.raw, where=Where(file=elf.file, section=".BTF"))
            o.btf.check()
            if o.btf.big_endian != elf.big_endian:
                raise ElfError("BTF and object differ in byte order", elf.at(raw, 0))
            ext = elf.section(".BTF.ext")
            if ext is not None and ext.raw:
                self.ext = BtfExt(ext.raw, o.btf, Where(file=elf.file, section=".BTF.ext"))

    def _functions(self) -> None:
        for section in self.elf.sections:
            if not section.is_code or not section.size:
                continue
            if section.size % SLOT:
                raise ElfError(f"code of {section.size} bytes is not whole instructions", self.elf.at(section, section.size & ~7))
            found = self._pieces(section)
            self.object.code.append(CodeSection(section.name, section.raw, {p.start * SLOT: p.name for p in found}))
            self._attach(section, found)
            self.pieces += found
            if section.name == ".text":
                self.text.update({p.start: p for p in found})

    def _pieces(self, section: Section) -> list[Piece]:
        found: list[Piece] = []
        names = {p.name for p in self.pieces}
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
                raise ElfError(f"functions {first.name!r} and {second.name!r} overlap", self.elf.at(section, second.start * SLOT))
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
            elif section.name == ".maps" and section.size:
                if o.btf is None:
                    raise ElfError("maps without BTF (compile with -g)", elf.at(section, 0))
                fixup.fix_section(elf, o.btf, ".maps")
                declared = maps.btf_maps(elf, section, o.btf)
                for name, slots in maps.initial_slots(elf, section, o.btf, declared).items():
                    self._fill(name, slots, declared, elf.at(section, 0))
            elif section.name.startswith((".struct_ops", "?.struct_ops")) and section.type == "PROGBITS":
                o.notes.append(f"section {section.name}: struct_ops maps are not made")
            self.map_at.update({(section.index, offset): spec for offset, spec in declared.items()})
        if o.btf is not None:
            fixup.fix_up(elf, o.btf)
        for section in elf.sections:
            if maps.data_kind(section) and section.size:
                self.map_at[section.index, -1] = maps.data_map(elf, section, o.btf)
        for spec in self.map_at.values():
            o.maps[spec.name] = spec

    def _fill(self, name: str, slots: dict[int, Symbol], declared: dict[int, MapSpec], where: Where) -> None:
        spec = next(s for s in declared.values() if s.name == name)
        known = {s.name for s in declared.values()} if spec.inner is not None else {p.name for p in self.pieces}
        if max(slots) >= max(1, spec.max_entries):
            raise ElfError(f"map {name}: slot {max(slots)} is filled, but there are {spec.max_entries}", where)
        spec.inner_values = [""] * (max(slots) + 1)
        for slot, symbol in slots.items():
            if symbol.name not in known:
                raise ElfError(f"map {name}: slot {slot} refers to {symbol.name!r}, which is neither map nor program", where)
            spec.inner_values[slot] = symbol.name

    def _core(self) -> None:
        """Apply CO-RE relocations to the pieces."""
        if self.ext is None or self.object.btf is None:
            return
        for name, relocations in self.ext.relocations.items():
            section = self.elf.section(name)
            if section is None or not section.is_code:
                raise ElfError("CO-RE relocations for a section without code", Where(file=self.elf.file, section=name))
            for relocation in relocations:
                slot = relocation.offset // SLOT
                where = self.elf.at(section, relocation.offset)
                for piece in self.pieces:
                    if piece.section is section and piece.start <= slot < piece.start + piece.count:
                        core.apply(piece.code, slot - piece.start, relocation, self.object.btf, self.target, where)

    def _kernel_symbols(self) -> None:
        """Find what externs of the object mean in the kernel."""
        if any(s.is_extern and s.name for s in self.elf.symbols):
            spec = externs.collect(self.elf, self.object, self.target, self.kconfig, self.externs)
            if spec is not None:
                self.map_at[-1, -1] = spec
                self.object.maps[spec.name] = spec


@final
class Linker:
    """Builds one program: the main piece and all it calls, in one run of slots."""

    def __init__(self, loader: Loader, main: Piece, btf: bytes) -> None:
        self.loader = loader
        self.main = main
        self.btf = btf
        self.placed: dict[int, int] = {}                           # piece (by identity) -> first slot
        self.order: list[Piece] = []
        self.code = bytearray()
        self.maps: list[MapSpec] = []

    def program(self) -> Program:
        pending = [iter(self._place(self.main))]
        while pending:
            callee = next(pending[-1], None)
            if callee is None:
                pending.pop()
            elif id(callee) not in self.placed:
                pending.append(iter(self._place(callee)))
        for piece in self.order:
            self._relocate(piece)
        return self._finish()

    def _place(self, piece: Piece) -> list[Piece]:
        """Append `piece`; returns the pieces it refers to, in order."""
        self.placed[id(piece)] = len(self.code) // SLOT
        self.order.append(piece)
        self.code += piece.code
        return [callee for slot in range(piece.count) if (callee := self._callee(piece, slot)) is not None]

    def _where(self, piece: Piece, slot: int) -> Where:
        return self.loader.elf.at(piece.section, (piece.start + slot) * SLOT)

    def _fields(self, piece: Piece, slot: int) -> tuple[int, int, int]:
        """Code, source register and immediate of a slot."""
        code, regs, _, imm = struct.unpack_from(self.loader.order + "BBhi", piece.code, slot * SLOT)
        return code, regs & 15 if self.loader.elf.big_endian else regs >> 4, imm

    def _callee(self, piece: Piece, slot: int) -> Piece | None:
        """The function that the instruction calls or takes the address of, if it does."""
        code, src, imm = self._fields(piece, slot)
        symbol = piece.relocations[slot][0] if slot in piece.relocations else None
        if symbol is not None and symbol.is_extern:
            return None
        if code == CALL and src == PSEUDO_CALL:
            if symbol is None:
                section, at = piece.section, piece.start + slot + imm + 1
            else:
                section, at = self._symbol_section(symbol, piece, slot), symbol.value // SLOT + imm + 1
        elif code == LDDW and symbol is not None and self._symbol_section(symbol, piece, slot).name == ".text":
            section, at = self._symbol_section(symbol, piece, slot), (symbol.value + imm) // SLOT
        else:
            return None
        callee = self.loader.text.get(at) if section.name == ".text" else None
        if callee is None and section is self.main.section and piece is self.main and at == self.main.start:
            callee = self.main
        if callee is None:
            raise ElfError(f"reference to {section.name}+{at * SLOT:#x}, where no function of .text begins", self._where(piece, slot))
        return callee

    def _symbol_section(self, symbol: Symbol, piece: Piece, slot: int) -> Section:
        if not 0 < symbol.section < len(self.loader.elf.sections):
            raise ElfError(f"symbol {symbol.name!r} is in no section", self._where(piece, slot))
        return self.loader.elf.sections[symbol.section]

    # -- relocations ------------------------------------------------------------------------------------------------

    def _relocate(self, piece: Piece) -> None:
        base = self.placed[id(piece)]
        for slot in range(piece.count):
            callee = self._callee(piece, slot)
            if callee is not None:
                src = PSEUDO_FUNC if self._fields(piece, slot)[0] == LDDW else PSEUDO_CALL
                self._patch(base + slot, self.placed[id(callee)] - (base + slot) - 1, src)
            elif slot in piece.relocations:
                self._relocate_symbol(piece, slot, base + slot)

    def _relocate_symbol(self, piece: Piece, slot: int, at: int) -> None:
        symbol = piece.relocations[slot][0]
        code, _, imm = self._fields(piece, slot)
        where = self._where(piece, slot)
        if code not in (CALL, LDDW):
            raise ElfError(f"relocation against {symbol.name!r} of an instruction with code {code:#04x}", where)
        if code == LDDW and (slot + 1 >= piece.count or self._fields(piece, slot + 1)[0]):
            raise ElfError("relocation of a wide load without its second half", where)
        if symbol.is_extern:
            self._relocate_extern(symbol, code, at, where)
            return
        if code == CALL:
            raise ElfError(f"call of {symbol.name!r} is not a bpf-to-bpf call", where)
        section = self._symbol_section(symbol, piece, slot)
        data = self.loader.map_at.get((section.index, -1))
        if data is not None:
            offset = imm + symbol.value
            if not 0 <= offset < 1 << 31:
                raise ElfError(f"offset {offset:#x} into {section.name}", where)
            self._patch(at, src=PSEUDO_MAP_VALUE, imm=self._map(data), imm2=offset)
            return
        spec = self.loader.map_at.get((section.index, symbol.value + (imm if symbol.type == "SECTION" else 0)))
        if spec is None:
            raise ElfError(f"{symbol.name or section.name!r} is no map, data or function ({section.name})", where)
        self._patch(at, src=PSEUDO_MAP_FD, imm=self._map(spec), imm2=0)

    def _relocate_extern(self, symbol: Symbol, code: int, at: int, where: Where) -> None:
        extern = self.loader.externs.get(symbol.index)
        if extern is None:
            raise ElfError(f"extern {symbol.name!r} has no BTF", where)
        if extern.kind == externs.KCONFIG:
            if code != LDDW:
                raise ElfError(f"call of the setting {symbol.name!r}", where)
            self._patch(at, src=PSEUDO_MAP_VALUE, imm=self._map(self.loader.map_at[-1, -1]), imm2=extern.value)
        elif code == CALL:
            if extern.found:
                self._patch(at, src=PSEUDO_KFUNC, imm=extern.value)
            else:
                self._patch(at, src=0, imm=externs.POISON_KFUNC + extern.index)
        elif extern.kind == externs.TYPED and extern.found:
            self._patch(at, src=PSEUDO_BTF_ID, imm=extern.value, imm2=0)
        else:
            self._patch(at, src=0, imm=extern.value & 0xFFFFFFFF, imm2=extern.value >> 32)

    def _map(self, spec: MapSpec) -> int:
        for index, known in enumerate(self.maps):
            if known is spec:
                return index
        self.maps.append(spec)
        return len(self.maps) - 1

    def _patch(self, at: int, imm: int, src: int | None = None, imm2: int | None = None) -> None:
        """Set the immediate (and source register, and second immediate) of slot `at`."""
        place = at * SLOT
        if src is not None:
            regs = self.code[place + 1]
            self.code[place + 1] = regs & 0xF0 | src if self.loader.elf.big_endian else regs & 0x0F | src << 4
        struct.pack_into(self.loader.order + "I", self.code, place + 4, imm & 0xFFFFFFFF)
        if imm2 is not None:
            struct.pack_into(self.loader.order + "I", self.code, place + SLOT + 4, imm2 & 0xFFFFFFFF)

    # -- side tables ------------------------------------------------------------------------------------------------

    def _finish(self) -> Program:
        loader, main = self.loader, self.main
        rule = section_rule(main.section.name)
        program = Program(
            decode(bytes(self.code), loader.elf.big_endian, strict=False),
            rule.type if rule is not None else loader.type, main.name, loader.object.license, self.maps,
            rule.attach_type if rule is not None else 0, main.section.name,
        )  # fmt: skip
        program.attach_to = attach_target(main.section.name)
        program.flags = rule.flags if rule is not None else 0
        program.symbols = {p.name: self.placed[id(p)] for p in self.order}
        if loader.ext is not None and loader.object.btf is not None:
            self._lines(program, loader.ext, loader.object.btf)
            if not loader.elf.big_endian:
                program.btf = self.btf
                program.func_info = self._func_info(loader.ext)
        return program

    def _func_info(self, ext: BtfExt) -> bytes:
        """One record per function; nothing at all when one of them has none, as a kernel wants all or none."""
        out = b""
        for piece in self.order:
            start = piece.start * SLOT
            types = [t for offset, t in ext.functions.get(piece.section.name, []) if offset == start]
            if not types:
                return b""
            out += struct.pack("<II", self.placed[id(piece)], types[0])
        return out

    def _lines(self, program: Program, ext: BtfExt, btf: Btf) -> None:
        raw = b""
        for piece in self.order:
            base = self.placed[id(piece)]
            for line in ext.lines.get(piece.section.name, []):
                slot = line.offset // SLOT - piece.start
                if 0 <= slot < piece.count:
                    text = btf.string(line.text)
                    program.lines[base + slot] = SourceLine(btf.string(line.file).removeprefix("./"), line.line, line.column, text)
                    raw += struct.pack("<IIII", base + slot, line.file, line.text, line.line << 10 | line.column)
        program.line_info = raw if not self.loader.elf.big_endian else b""


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
    file, raw or ELF); by default that of the running kernel.  `kconfig` gives kernel settings by name (`CONFIG_HZ`,
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
    return Loader(ElfFile(raw, file), core.Target(btf), kconfig, type).load()
