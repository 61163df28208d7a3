"""Linking one program: the main function and all it calls, in one run of slots.

The functions of an object are pieces of code that refer to each other, to maps and to the kernel.  For every program
(a function in a section of its own) the linker appends the functions of `.text` that it calls, depth first and each
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

import struct
from typing import Final, final

from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_ext import BtfExt
from bpfbench.elf.elf import ElfFile, Section, Symbol
from bpfbench.elf.externs import KCONFIG, POISON_KFUNC, TYPED, Extern
from bpfbench.elf.object import Object
from bpfbench.elf.sections import attach_target, section_rule
from bpfbench.errors import ElfError, NotSupported, Where
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
JUMP_TABLES: Final = ".jumptables"
INSN_ARRAY_VALUE: Final = 16         # bytes of struct bpf_insn_array_value, which user space sees; programs see 8


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
class Tables:
    """What the file's tables say, for linking: functions, maps by place, externs by symbol."""

    __slots__ = ("elf", "order", "object", "ext", "type", "pieces", "text", "map_at", "externs")

    def __init__(self, elf: ElfFile, obj: Object, type: str) -> None:
        self.elf = elf
        self.order = ">" if elf.big_endian else "<"
        self.object = obj
        self.type = type                                           # of programs whose section says nothing
        self.ext: BtfExt | None = None
        self.pieces: list[Piece] = []
        self.text: dict[int, Piece] = {}                           # functions of .text by slot
        self.map_at: dict[tuple[int, int], MapSpec] = {}           # by section and offset; data sections at -1
        self.externs: dict[int, Extern] = {}                       # by symbol


@final
class Linker:
    """Builds one program: the main piece and all it calls, in one run of slots."""

    def __init__(self, tables: Tables, main: Piece, btf: bytes) -> None:
        self.tables = tables
        self.main = main
        self.btf = btf
        self.placed: dict[int, int] = {}                           # piece (by identity) -> first slot
        self.order: list[Piece] = []
        self.code = bytearray()
        self.maps: list[MapSpec] = []
        self.jump_tables: dict[int, MapSpec] = {}                  # by offset in .jumptables

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
        return self.tables.elf.at(piece.section, (piece.start + slot) * SLOT)

    def _fields(self, piece: Piece, slot: int) -> tuple[int, int, int]:
        """Code, source register and immediate of a slot."""
        code, regs, _, imm = struct.unpack_from(self.tables.order + "BBhi", piece.code, slot * SLOT)
        return code, regs & 15 if self.tables.elf.big_endian else regs >> 4, imm

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
        callee = self.tables.text.get(at) if section.name == ".text" else None
        if callee is None and section is self.main.section and piece is self.main and at == self.main.start:
            callee = self.main
        if callee is None:
            where = self._where(piece, slot)
            raise ElfError(f"reference to {section.name}+{at * SLOT:#x}, where no function of .text begins", where)
        return callee

    def _symbol_section(self, symbol: Symbol, piece: Piece, slot: int) -> Section:
        if not 0 < symbol.section < len(self.tables.elf.sections):
            raise ElfError(f"symbol {symbol.name!r} is in no section", self._where(piece, slot))
        return self.tables.elf.sections[symbol.section]

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
        if section.name == JUMP_TABLES:
            spec = self._jump_table(piece, symbol, section, where)
            self._patch(at, src=PSEUDO_MAP_VALUE, imm=self._map(spec), imm2=0)
            return
        data = self.tables.map_at.get((section.index, -1))
        if data is not None:
            offset = imm + symbol.value
            if not 0 <= offset < 1 << 31:
                raise ElfError(f"offset {offset:#x} into {section.name}", where)
            self._patch(at, src=PSEUDO_MAP_VALUE, imm=self._map(data), imm2=offset)
            return
        found = self.tables.map_at.get((section.index, symbol.value + (imm if symbol.type == "SECTION" else 0)))
        if found is None and section.name == ".addr_space.1":
            raise NotSupported(f"arena data ({symbol.name or section.name!r})", where)
        if found is None:
            raise ElfError(f"{symbol.name or section.name!r} is no map, data or function ({section.name})", where)
        self._patch(at, src=PSEUDO_MAP_FD, imm=self._map(found), imm2=0)

    def _jump_table(self, piece: Piece, symbol: Symbol, section: Section, where: Where) -> MapSpec:
        """The instruction array that a table of `.jumptables` becomes.

        The file has offsets in bytes from the start of the code section; the map has slots of the linked program, as
        8-byte values.  Every program has its own (libbpf: create_jt_map).
        """
        known = self.jump_tables.get(symbol.value)
        if known is not None:
            return known
        if symbol.value % 8 or symbol.size % 8 or not symbol.size or symbol.value + symbol.size > len(section.raw):
            raise ElfError(f"jump table {symbol.name!r}: {symbol.size} bytes at {symbol.value:#x} of {section.name}", where)
        contents = b""
        count = symbol.size // 8
        for number, entry in enumerate(struct.unpack_from(f"{self.tables.order}{count}Q", section.raw, symbol.value)):
            slot = entry // SLOT - piece.start
            if entry % SLOT or not 0 <= slot < piece.count:
                raise ElfError(f"jump table {symbol.name!r}: entry {number} ({entry:#x}) is outside {piece.name!r}", where)
            contents += (slot + self.placed[id(piece)]).to_bytes(8, "little")
        spec = MapSpec("insn_array", 4, INSN_ARRAY_VALUE, count, name=symbol.name, contents=contents, frozen=True)
        self.jump_tables[symbol.value] = spec
        return spec

    def _relocate_extern(self, symbol: Symbol, code: int, at: int, where: Where) -> None:
        extern = self.tables.externs.get(symbol.index)
        if extern is None:
            raise ElfError(f"extern {symbol.name!r} has no BTF", where)
        if extern.kind == KCONFIG:
            if code != LDDW:
                raise ElfError(f"call of the setting {symbol.name!r}", where)
            self._patch(at, src=PSEUDO_MAP_VALUE, imm=self._map(self.tables.map_at[-1, -1]), imm2=extern.value)
        elif code == CALL:
            if extern.found:
                self._patch(at, src=PSEUDO_KFUNC, imm=extern.value)
            else:
                self._patch(at, src=0, imm=POISON_KFUNC + extern.index)
        elif extern.kind == TYPED and extern.found:
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
            self.code[place + 1] = regs & 0xF0 | src if self.tables.elf.big_endian else regs & 0x0F | src << 4
        struct.pack_into(self.tables.order + "I", self.code, place + 4, imm & 0xFFFFFFFF)
        if imm2 is not None:
            struct.pack_into(self.tables.order + "I", self.code, place + SLOT + 4, imm2 & 0xFFFFFFFF)

    # -- side tables ------------------------------------------------------------------------------------------------

    def _finish(self) -> Program:
        tables, main = self.tables, self.main
        rule = section_rule(main.section.name)
        program = Program(
            decode(bytes(self.code), tables.elf.big_endian, strict=False),
            rule.type if rule is not None else tables.type, main.name, tables.object.license, self.maps,
            rule.attach_type if rule is not None else 0, main.section.name,
        )  # fmt: skip
        program.attach_to = attach_target(main.section.name)
        program.flags = rule.flags if rule is not None else 0
        program.symbols = {p.name: self.placed[id(p)] for p in self.order}
        if tables.ext is not None and tables.object.btf is not None:
            self._lines(program, tables.ext, tables.object.btf)
            if not tables.elf.big_endian:
                program.btf = self.btf
                program.func_info = self._func_info(tables.ext)
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
                    file = btf.string(line.file).removeprefix("./")
                    program.lines[base + slot] = SourceLine(file, line.line, line.column, btf.string(line.text))
                    raw += struct.pack("<IIII", base + slot, line.file, line.text, line.line << 10 | line.column)
        program.line_info = raw if not self.tables.elf.big_endian else b""
