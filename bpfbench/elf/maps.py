"""Maps as an object file declares them: the `maps` section, the `.maps` section, and global data.

Three notations end in the same `MapSpec`:

* `maps` (old): one C struct of integers for each symbol;
* `.maps`: an anonymous struct whose member *types* carry the values: an integer N is `int (*)[N]`, a type T is `T *`;
* `.rodata .data .bss` (and `.rodata.str1.1` …): an array of one element that holds the whole section.

Source: tools/lib/bpf/libbpf.c (parse_btf_map_def, bpf_object__init_internal_map, bpf_object__collect_map_relos).
"""

from __future__ import annotations

import mmap
import struct
from typing import Final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import BtfType, Member
from bpfbench.elf.elf import ElfFile, Section, Symbol, printable
from bpfbench.elf.fixup import MAX_DATA
from bpfbench.errors import BtfError, ElfError, NotSupported, Where
from bpfbench.program.program import MAP_TYPES, MapSpec

RDONLY_PROG: Final = 0x80          # BPF_F_RDONLY_PROG
MMAPABLE: Final = 0x400            # BPF_F_MMAPABLE
PIN_BY_NAME: Final = 1
_INTS: Final = ("type", "max_entries", "map_flags", "numa_node", "key_size", "value_size", "pinning", "map_extra")
_DATA: Final = (".rodata", ".data", ".bss")
# kinds whose keys and values the kernel does not let BTF describe
_UNTYPED: Final = (
    "perf_event_array cgroup_array stack_trace array_of_maps hash_of_maps devmap devmap_hash cpumap xskmap sockmap "
    "sockhash queue stack arena"
).split()


def data_kind(section: Section) -> str:
    """`.rodata`, `.data` or `.bss` for a section of global data, else an empty string.

    >>> data_kind(Section(1, ".rodata.str1.1", "PROGBITS", 2, 0, 4))
    '.rodata'
    """
    for kind in _DATA:
        if section.name == kind or section.name.startswith(kind + "."):
            return kind if section.type == ("NOBITS" if kind == ".bss" else "PROGBITS") else ""
    return ""


def map_type_name(number: int, where: Where) -> str:
    if not 0 < number < len(MAP_TYPES):
        raise NotSupported(f"map type {number}", where)
    return MAP_TYPES[number]


def page_rounded(size: int) -> int:
    """A ring buffer's size as the loader makes it: a power of two of whole pages."""
    pages = max(1, -(-size // mmap.PAGESIZE))
    return mmap.PAGESIZE << (pages - 1).bit_length()


# -- the old `maps` section ------------------------------------------------------------------------------------------


def legacy_maps(elf: ElfFile, section: Section) -> dict[int, MapSpec]:
    """Maps of a `maps` section by their offset: type, key_size, value_size, max_entries, map_flags (u32 each)."""
    symbols = sorted(
        (s for s in elf.symbols if s.section == section.index and s.type in ("OBJECT", "NOTYPE") and s.name),
        key=lambda s: s.value,
    )
    if not symbols:
        return {}
    stride = section.size // len(symbols)
    if stride * len(symbols) != section.size or stride < 16:
        raise ElfError(f"{len(symbols)} map definitions do not divide {section.size} bytes", elf.at(section, 0))
    order = ">" if elf.big_endian else "<"
    maps: dict[int, MapSpec] = {}
    for symbol in symbols:
        if symbol.value % stride or symbol.value >= section.size:
            raise ElfError(f"map {symbol.name} lies between two definitions", elf.at(section, symbol.value))
        raw = section.raw[symbol.value : symbol.value + stride].ljust(20, b"\0")
        if any(raw[20:]):
            where = elf.at(section, symbol.value + 20)
            raise NotSupported(f"legacy map {symbol.name} with fields after map_flags", where)
        number, key, value, entries, flags = struct.unpack_from(order + "IIIII", raw)
        kind = map_type_name(number, elf.at(section, symbol.value))
        maps[symbol.value] = MapSpec(kind, key, value, entries, flags, symbol.name)
    return maps


# -- the `.maps` section ---------------------------------------------------------------------------------------------


def _number(btf: Btf, member: Member, name: str, where: Where) -> int:
    """An integer that a member's type carries: `int (*)[N]`, or the one value of an enum (`__ulong`)."""
    pointer = btf.type(btf.resolve(member.type))
    if pointer.kind == b.PTR:
        array = btf.type(btf.resolve(pointer.type))
        if array.kind == b.ARRAY:
            return array.nelems
    elif pointer.kind in (b.ENUM, b.ENUM64) and len(pointer.values) == 1:
        return pointer.values[0].value
    elif pointer.kind == b.ARRAY:
        return pointer.nelems
    raise BtfError(f"map {name}: member {member.name} carries no number", where)


def _typed(btf: Btf, member: Member, name: str, where: Where) -> tuple[int, int]:
    """Type id and size of what a `key` or `value` member points to."""
    pointer = btf.type(btf.resolve(member.type))
    if pointer.kind != b.PTR:
        raise BtfError(f"map {name}: member {member.name} is not a pointer", where)
    return pointer.type, btf.size_of(pointer.type)


def parse_map(btf: Btf, name: str, definition: BtfType, where: Where, inner: bool = False) -> MapSpec:
    """The MapSpec that the struct `definition` describes."""
    numbers = dict.fromkeys(_INTS, 0)
    spec = MapSpec("unspec", 0, 0, 0, name=name)
    for index, member in enumerate(definition.members):
        if member.name in ("type", "max_entries", "map_flags", "numa_node", "pinning", "map_extra"):
            numbers[member.name] = _number(btf, member, name, where)
        elif member.name in ("key_size", "value_size"):
            _agree(numbers, member.name, _number(btf, member, name, where), name, where)
        elif member.name in ("key", "value"):
            id, size = _typed(btf, member, name, where)
            _agree(numbers, member.name + "_size", size, name, where)
            if member.name == "key":
                spec.btf_key = id
            else:
                spec.btf_value = id
        elif member.name == "values":
            if inner:
                raise NotSupported(f"map {name}: inner maps of inner maps", where)
            if index != len(definition.members) - 1:
                raise BtfError(f"map {name}: `values` must be the last member", where)
            _agree(numbers, "value_size", 4, name, where)
            spec.inner = _values(btf, name, member, numbers["type"], where)
        else:
            raise NotSupported(f"map {name}: member {member.name!r}", where)
    if not numbers["type"]:
        raise BtfError(f"map {name}: no map type", where)
    if numbers["pinning"] and (inner or numbers["pinning"] != PIN_BY_NAME):
        raise BtfError(f"map {name}: pinning {numbers['pinning']} is not allowed", where)
    spec.type = map_type_name(numbers["type"], where)
    spec.key_size, spec.value_size = numbers["key_size"], numbers["value_size"]
    spec.max_entries, spec.flags = numbers["max_entries"], numbers["map_flags"]
    spec.pinning, spec.extra = numbers["pinning"], numbers["map_extra"]
    if spec.type in _UNTYPED:
        spec.btf_key = spec.btf_value = 0
    if spec.type in ("ringbuf", "user_ringbuf") and spec.max_entries:
        spec.max_entries = page_rounded(spec.max_entries)
    return spec


def _agree(numbers: dict[str, int], key: str, size: int, name: str, where: Where) -> None:
    if numbers[key] and numbers[key] != size:
        raise BtfError(f"map {name}: {key} is {numbers[key]} and {size}", where)
    numbers[key] = size


def _values(btf: Btf, name: str, member: Member, number: int, where: Where) -> MapSpec | None:
    """What a `values` member holds: the inner map of a map of maps; nothing for a program array."""
    array = btf.type(btf.resolve(member.type))
    if array.kind != b.ARRAY or array.nelems:
        raise BtfError(f"map {name}: `values` is not an array of no size", where)
    pointer = btf.type(btf.resolve(array.type))
    if pointer.kind != b.PTR:
        raise BtfError(f"map {name}: `values` does not hold pointers", where)
    kind = map_type_name(number, where) if number else ""
    if kind == "prog_array":
        return None
    if kind not in ("array_of_maps", "hash_of_maps"):
        raise BtfError(f"map {name}: `values` in a map that is neither a map of maps nor a program array", where)
    target = btf.type(btf.resolve(pointer.type))
    if target.kind != b.STRUCT:
        raise BtfError(f"map {name}: the inner map is no struct", where)
    return parse_map(btf, f"{name}.inner", target, where, inner=True)


def btf_maps(elf: ElfFile, section: Section, btf: Btf) -> dict[int, MapSpec]:
    """Maps of the `.maps` section by their offset."""
    id = btf.find(".maps", b.DATASEC)
    if id is None:
        raise BtfError("no BTF for the maps in this section", elf.at(section, 0))
    maps: dict[int, MapSpec] = {}
    for variable in btf.type(id).variables:
        var = btf.type(variable.type)
        name, where = printable(var.name), elf.at(section, variable.offset)
        if var.kind != b.VAR:
            raise BtfError(f"BTF type {variable.type} in .maps is no variable", where)
        if variable.offset + variable.size > section.size:
            raise BtfError(f"map {name} ends outside the section", where)
        definition = btf.type(btf.resolve(var.type))
        if definition.kind != b.STRUCT or var.linkage == b.VAR_EXTERN:
            raise BtfError(f"map {name} is not defined by a struct", where)
        maps[variable.offset] = parse_map(btf, name, definition, where)
    return maps


# -- global data -----------------------------------------------------------------------------------------------------


def data_map(elf: ElfFile, section: Section, btf: Btf | None) -> MapSpec:
    """The array map that holds a section of global data; read-only data is frozen."""
    kind = data_kind(section)
    if section.size > MAX_DATA:
        raise ElfError(f"data of {section.size} bytes", elf.at(section, 0))
    id = btf.find(section.name, b.DATASEC) if btf is not None else None
    flags = RDONLY_PROG if kind == ".rodata" else 0
    if id is not None and btf is not None:
        linkages = [btf.type(v.type).linkage for v in btf.type(id).variables]
        flags |= MMAPABLE if any(link != b.VAR_STATIC for link in linkages) else 0
    spec = MapSpec("array", 4, section.size, 1, flags, section.name)
    spec.contents = section.raw if kind != ".bss" else None
    spec.frozen = kind == ".rodata"
    spec.btf_value = id or 0
    return spec


# -- what a map holds from the start ---------------------------------------------------------------------------------


def initial_slots(elf: ElfFile, section: Section, btf: Btf, maps: dict[int, MapSpec]) -> dict[str, dict[int, Symbol]]:
    """Slots of `values` by map name: which map or program the relocations of `.maps` put where."""
    slots: dict[str, dict[int, Symbol]] = {}
    id = btf.find(".maps", b.DATASEC)
    variables = btf.type(id).variables if id is not None else []
    for relocation in elf.relocations.get(section.index, []):
        symbol = elf.symbols[relocation.symbol]
        where = elf.at(section, relocation.offset)
        owner = next((v for v in variables if v.offset <= relocation.offset < v.offset + v.size), None)
        if owner is None or owner.offset not in maps:
            raise ElfError(f"relocation against {symbol.name!r} hits no map", where)
        members = btf.type(btf.resolve(btf.type(owner.type).type)).members
        if not members or members[-1].name != "values":
            raise ElfError(f"relocation against {symbol.name!r} hits a map without `values`", where)
        distance = relocation.offset - owner.offset - members[-1].offset // 8
        if distance < 0 or distance % 8:
            raise ElfError(f"relocation against {symbol.name!r} hits no slot", where)
        slots.setdefault(maps[owner.offset].name, {})[distance // 8] = symbol
    return slots
