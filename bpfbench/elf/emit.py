"""Programs as an object file: the way back from `load`.

What a loader resolved is taken apart again: functions behind the first go to `.text`, calls and addresses of functions
become relocations, map indices become relocations against symbols of `.maps`, offsets into data become relocations
against the data section.  Maps are declared as a compiler would, by types.  So a program written as text, or read from
JSON, becomes an object that libbpf, llvm-objdump and `load` take.  Loading orders functions by their first call, so a
program whose functions stand in another order comes back reordered.

Source: the inverse of `linker.py` and `maps.py`; tools/lib/bpf/linker.c for what a linker has to keep.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_ext import FUNCTION_RECORD, LINE_RECORD, to_section
from bpfbench.elf.btf_types import BtfType, Member, SecVar
from bpfbench.elf.relocs import R_BPF_64_32, R_BPF_64_64, R_BPF_64_ABS64
from bpfbench.elf.sections import SECTION_RULES
from bpfbench.elf.writer import Writer
from bpfbench.errors import ElfError, NotSupported, Where
from bpfbench.program.program import MAP_TYPE_IDS, MapSpec, Program

SLOT: Final = 8
CODE_FLAGS: Final = 0x6              # allocated, executable
DATA_FLAGS: Final = 0x3              # allocated, writable
READ_FLAGS: Final = 0x2
DATA: Final = (".rodata", ".data", ".bss", ".kconfig")


def to_object(programs: Sequence[Program], maps: Sequence[MapSpec] = ()) -> bytes:
    """An object file with these programs, their maps, and further `maps` (which fill slots of others).

    NotSupported names what an object file has no words for.

    >>> from bpfbench.program.program import from_assembly
    >>> from bpfbench.elf import load
    >>> load(to_object([from_assembly("r0 = 2\\nexit", name="two")]), name="two.o")
    Object(two: programs two; maps none)
    """
    if not programs:
        raise ElfError("an object without programs", Where())
    emitter = _Emitter(programs)
    emitter.maps(maps)
    for program in programs:
        emitter.program(program)
    return emitter.finish()


def section_name(program: Program) -> str:
    """The section that says this program's type and attach type: its own, or the first rule that does."""
    if program.section:
        return program.section
    for rule in SECTION_RULES:
        if rule.type == program.type and rule.attach_type == program.attach_type:
            return rule.rule.rstrip("+") + (f"/{program.attach_to}" if program.attach_to else "")
    for rule in SECTION_RULES:
        if rule.type == program.type:
            return rule.rule.rstrip("+")
    raise NotSupported(f"a section for programs of type {program.type}")


@final
class _Code:
    """A section of instructions that grows, with what belongs to its slots."""

    __slots__ = ("raw", "relocations", "symbols", "functions", "lines")

    def __init__(self) -> None:
        self.raw = bytearray()
        self.relocations: list[tuple[int, str, int]] = []        # offset, symbol, type
        self.symbols: list[tuple[str, int, int, bool]] = []      # name, offset, size, global
        self.functions = b""
        self.lines = b""


@final
class _Emitter:
    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = programs
        same = all(p.btf == programs[0].btf for p in programs)
        self.typed = bool(programs[0].btf) and same
        self.btf = Btf(programs[0].btf) if self.typed else Btf()
        self.code: dict[str, _Code] = {}
        self.names: dict[int, str] = {}                          # map (by identity) -> symbol or section
        self.specs: list[MapSpec] = []
        self.data: dict[str, MapSpec] = {}
        self.taken: set[str] = set()
        self.slots: list[tuple[int, str]] = []                   # offset in .maps -> symbol that fills it
        self.maps_size = 0

    def unique(self, name: str) -> str:
        chosen, number = name, 1
        while chosen in self.taken:
            number += 1
            chosen = f"{name}_{number}"
        self.taken.add(chosen)
        return chosen

    # -- maps -------------------------------------------------------------------------------------------------------

    def maps(self, further: Sequence[MapSpec]) -> None:
        for spec in [*(spec for program in self.programs for spec in program.maps), *further]:
            if id(spec) in self.names:
                continue
            if spec.name.startswith(DATA):
                name = ".rodata.kconfig" if spec.name == ".kconfig" else spec.name
                if self.data.setdefault(name, spec) is not spec:
                    raise NotSupported(f"two different data sections {name}")
                self.names[id(spec)] = name
            else:
                self.names[id(spec)] = self.unique(spec.name or f"map_{len(self.specs)}")
                self.specs.append(spec)
        variables: list[SecVar] = []
        for spec in self.specs:
            variables.append(self._declare(spec))
        if variables:
            found = self.btf.find(".maps", b.DATASEC)
            section = self.btf.type(found) if found is not None else BtfType(b.DATASEC, ".maps")
            section.variables, section.size = variables, self.maps_size
            if found is None:
                self.btf.add(section)

    def _declare(self, spec: MapSpec) -> SecVar:
        struct_id, size = self._definition(spec)
        filled = len(spec.inner_values)
        variable = BtfType(b.VAR, self.names[id(spec)], struct_id)
        variable.linkage = b.VAR_GLOBAL
        at = self.maps_size
        self.slots += [(at + size + 8 * i, name) for i, name in enumerate(spec.inner_values) if name]
        self.maps_size += size + 8 * filled
        return SecVar(self.btf.add(variable), at, size + 8 * filled)

    def _definition(self, spec: MapSpec) -> tuple[int, int]:
        """The struct that declares a map (type id), and the size of its members before `values`."""
        members: list[Member] = []

        def member(name: str, type: int) -> None:
            members.append(Member(name, type, 64 * len(members)))

        for name, number in (
            ("type", MAP_TYPE_IDS[spec.type]), ("max_entries", spec.max_entries), ("map_flags", spec.flags),
            ("pinning", spec.pinning), ("map_extra", spec.extra),
        ):  # fmt: skip
            if number > 0xFFFFFFFF:
                raise NotSupported(f"map {spec.name}: {name} {number:#x}")
            if number:
                member(name, self._number(number))
        for name, type, size in (("key", spec.btf_key, spec.key_size), ("value", spec.btf_value, spec.value_size)):
            if type and self.typed:
                member(name, self.btf.add(BtfType(b.PTR, type=type)))
            elif size:
                member(f"{name}_size", self._number(size))
        size = 8 * len(members)
        if spec.inner is not None or (spec.type == "prog_array" and spec.inner_values):
            member("values", self._values(spec))
        definition = BtfType(b.STRUCT, size=size)
        definition.members = members
        return self.btf.add(definition), size

    def _values(self, spec: MapSpec) -> int:
        if spec.inner is not None:
            held = self._definition(spec.inner)[0]
        else:
            held = self.btf.add(BtfType(b.FUNC_PROTO, type=self._int()))
        return self._array(self.btf.add(BtfType(b.PTR, type=held)), 0)

    def _int(self) -> int:
        found = self.btf.find("int", b.INT)
        if found is not None:
            return found
        integer = BtfType(b.INT, "int", size=4)
        integer.bits, integer.encoding = 32, b.INT_SIGNED
        return self.btf.add(integer)

    def _array(self, of: int, count: int) -> int:
        array = BtfType(b.ARRAY, type=of)
        array.index_type, array.nelems = self._int(), count
        return self.btf.add(array)

    def _number(self, value: int) -> int:
        return self.btf.add(BtfType(b.PTR, type=self._array(self._int(), value)))

    # -- code -------------------------------------------------------------------------------------------------------

    def program(self, program: Program) -> None:
        """Cut a program into functions; each goes to its section with its relocations."""
        starts = self._starts(program)
        names = {pc: self.unique(name) for pc, name in starts.items()}
        ends = [*list(starts)[1:], len(program)]
        types = dict(struct.iter_unpack("<II", program.func_info)) if self.typed else {}
        for pc, end in zip(starts, ends):
            section = section_name(program) if pc == 0 else ".text"
            code = self.code.setdefault(section, _Code())
            base = len(code.raw)
            code.symbols.append((names[pc], base, (end - pc) * SLOT, True))
            raw = bytearray(program.raw[pc * SLOT : end * SLOT])
            for slot in range(end - pc):
                self._unlink(program, raw, slot, pc, names, code, base)
            code.raw += raw
            if pc in types:
                code.functions += struct.pack("<II", base, types[pc])
            for record in struct.iter_unpack("<IIII", program.line_info if self.typed else b""):
                if pc <= record[0] < end:
                    code.lines += struct.pack("<IIII", base + (record[0] - pc) * SLOT, *record[1:])

    def _starts(self, program: Program) -> dict[int, str]:
        """First slot of each function -> its name, in order."""
        starts = {pc: name for name, pc in program.symbols.items()}
        starts[0] = program.name
        for pc, insn in enumerate(program.insns):
            if insn is not None and not insn.flaw and insn.op.name in ("CALL_LOCAL", "LDDW_FUNC"):
                starts.setdefault(pc + 1 + insn.imm, f"{program.name}_{pc + 1 + insn.imm}")
        if any(not 0 <= pc < len(program) for pc in starts):
            raise ElfError(f"program {program.name!r} calls outside itself", Where())
        return dict(sorted(starts.items()))

    def _unlink(
        self, program: Program, raw: bytearray, slot: int, pc: int, names: dict[int, str], code: _Code, base: int
    ) -> None:
        insn, at = program.insns[pc + slot], slot * SLOT
        if insn is None or insn.flaw:
            return
        kind = insn.op.name
        if kind in ("CALL_LOCAL", "LDDW_FUNC"):
            target = names[pc + slot + 1 + insn.imm]
            call = kind == "CALL_LOCAL"
            struct.pack_into("<i", raw, at + 4, -1 if call else 0)
            code.relocations.append((base + at, target, R_BPF_64_32 if call else R_BPF_64_64))
            raw[at + 1] &= 0xFF if call else 0x0F
        elif kind in ("LDDW_MAP_FD", "LDDW_MAP_VALUE"):
            if not 0 <= insn.imm < len(program.maps):
                raise ElfError(f"map {insn.imm} does not exist", Where(section=program.name, pc=pc + slot))
            name = self.names[id(program.maps[insn.imm])]
            if (kind == "LDDW_MAP_VALUE") != (name in self.data):
                raise NotSupported(f"{kind} of map {name}", Where(section=program.name, pc=pc + slot))
            raw[at + 1] &= 0x0F
            struct.pack_into("<i", raw, at + 4, insn.imm2)
            struct.pack_into("<i", raw, at + 12, 0)
            code.relocations.append((base + at, name, R_BPF_64_64))

    # -- the file ---------------------------------------------------------------------------------------------------

    def finish(self) -> bytes:
        writer, at = Writer(), dict[str, int]()
        for name in sorted(self.code, key=lambda n: n != ".text"):
            code = self.code[name]
            index = writer.section(name, bytes(code.raw), flags=CODE_FLAGS)
            at[name] = index
            for symbol, offset, size, visible in code.symbols:
                at[symbol] = writer.symbol(symbol, index, offset, size, "GLOBAL" if visible else "LOCAL", "FUNC")
        symbols = dict(at)
        for name, spec in self.data.items():
            bss = name.startswith(".bss")
            raw = b"" if bss else (spec.contents or b"").ljust(spec.value_size, b"\0")
            flags = READ_FLAGS if name.startswith(".rodata") else DATA_FLAGS
            index = writer.section(name, raw, "NOBITS" if bss else "PROGBITS", flags, size=spec.value_size)
            symbols[name] = writer.symbol("", index, 0, 0, "LOCAL", "SECTION")
        if self.specs:
            index = writer.section(".maps", bytes(self.maps_size), flags=DATA_FLAGS)
            for spec, variable in zip(self.specs, self.btf.type(self.btf.find(".maps", b.DATASEC) or 0).variables):
                name = self.names[id(spec)]
                symbols[name] = writer.symbol(name, index, variable.offset, variable.size, "GLOBAL", "OBJECT")
            for offset, filler in self.slots:
                if filler not in symbols:
                    raise NotSupported(f"a map filled with {filler!r}, which is not in this object")
                writer.relocation(index, offset, symbols[filler], R_BPF_64_ABS64)
        for name, code in self.code.items():
            for offset, target, kind in code.relocations:
                writer.relocation(at[name], offset, symbols[target], kind)
        licenses = {p.license for p in self.programs}
        if len(licenses) > 1:
            raise NotSupported(f"programs under different licenses: {', '.join(sorted(licenses))}")
        writer.section("license", licenses.pop().encode() + b"\0", flags=DATA_FLAGS, align=1)
        if self.typed or self.specs:
            ext = self._ext()
            writer.section(".BTF", self.btf.to_bytes(), align=4)
            writer.section(".BTF.ext", ext, align=4)
        return writer.to_bytes()

    def _ext(self) -> bytes:
        """`.BTF.ext`: function and line records by section."""
        return to_section(self.btf, [(FUNCTION_RECORD, {name: code.functions for name, code in self.code.items()}),
                                     (LINE_RECORD, {name: code.lines for name, code in self.code.items()})])
