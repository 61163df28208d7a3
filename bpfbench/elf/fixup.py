"""What a loader changes in an object's BTF before a kernel sees it.

Compilers leave gaps that only a loader can fill: the size of each data section and the offset of each variable in it
(known to the symbol table alone), variables that live in the kernel, and hidden functions, which the verifier should
treat as static.

Source: tools/lib/bpf/libbpf.c (btf_fixup_datasec, bpf_object__collect_externs, bpf_object__load's handling of
STV_HIDDEN); kernel/bpf/btf.c (btf_datasec_check_meta) for what the kernel then checks.
"""

from __future__ import annotations

from typing import Final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.elf import ElfFile, Symbol
from bpfbench.errors import ElfError

MAX_DATA: Final = (1 << 31) - 1         # what a map value can hold, and a relocation reach
_EXTERN_SECTIONS = (".kconfig", ".ksyms")
_RESTRICTED = ("HIDDEN", "INTERNAL")


def _named(elf: ElfFile) -> dict[str, Symbol]:
    return {s.name: s for s in elf.symbols if s.name and s.type in ("OBJECT", "FUNC", "NOTYPE", "TLS")}


def fix_section(elf: ElfFile, btf: Btf, name: str) -> None:
    """Give one DATASEC its size, its variables their offsets, and hidden variables static linkage."""
    id = btf.find(name, b.DATASEC)
    section = elf.section(name)
    if id is None or section is None or name in _EXTERN_SECTIONS:
        return
    if section.size > MAX_DATA:
        raise ElfError(f"data of {section.size} bytes", elf.at(section, 0))
    datasec, symbols = btf.type(id), _named(elf)
    unset = datasec.size == 0
    datasec.size = datasec.size or section.size
    for variable in datasec.variables:
        var = btf.type(variable.type)
        symbol = symbols.get(var.name)
        if var.kind != b.VAR or symbol is None or symbol.section != section.index:
            continue
        if symbol.value > section.size:
            raise ElfError(f"variable {var.name} lies outside its section", elf.at(section, symbol.value))
        if unset:
            variable.offset = symbol.value
        if symbol.visibility in _RESTRICTED and var.linkage == b.VAR_GLOBAL:
            var.linkage = b.VAR_STATIC
    datasec.variables.sort(key=lambda v: v.offset)


def fix_up(elf: ElfFile, btf: Btf) -> None:
    """Fix every DATASEC and the linkage of hidden functions."""
    hidden = {s.name for s in elf.symbols if s.type == "FUNC" and s.visibility in _RESTRICTED and s.bind != "LOCAL"}
    for id in btf:
        t = btf.type(id)
        if t.kind == b.DATASEC:
            fix_section(elf, btf, t.name)
        elif t.kind == b.FUNC and t.linkage == 1 and t.name in hidden:
            t.linkage = 0


def settle_externs(btf: Btf, offsets: dict[str, int], size: int) -> None:
    """Turn variables of the kernel into allocated ones: `.kconfig` at `offsets`, `.ksyms` as made-up integers."""
    id = btf.find(".kconfig", b.DATASEC)
    if id is not None:
        datasec = btf.type(id)
        datasec.size = size
        for variable in datasec.variables:
            var = btf.type(variable.type)
            var.linkage = b.VAR_GLOBAL
            variable.offset = offsets.get(var.name, variable.offset)
        datasec.variables.sort(key=lambda v: v.offset)
    id = btf.find(".ksyms", b.DATASEC)
    if id is not None:
        _settle_symbols(btf, id)


def _settle_symbols(btf: Btf, id: int) -> None:
    integer, dummy = _integer(btf), 0
    for index, variable in enumerate(btf.type(id).variables):
        t = btf.type(variable.type)
        if t.kind == b.FUNC:
            dummy = dummy or _dummy(btf, integer)
            for param in btf.type(t.type).params:
                if param.type and not param.name:
                    param.name, param.name_off = "dummy_ksym", -1
            t.linkage = 1
            variable.type = dummy
        elif t.kind == b.VAR:
            t.linkage, t.type = b.VAR_GLOBAL, integer
        variable.offset, variable.size = 4 * index, 4
    btf.type(id).size = 4 * len(btf.type(id).variables)


def _integer(btf: Btf) -> int:
    for id in btf:
        t = btf.type(id)
        if t.kind == b.INT and t.size == 4 and t.bits == 32:
            return id
    integer = b.BtfType(b.INT, "int", size=4)
    integer.bits, integer.encoding = 32, b.INT_SIGNED
    return btf.add(integer)


def _dummy(btf: Btf, integer: int) -> int:
    var = b.BtfType(b.VAR, "dummy_ksym", integer)
    var.linkage = b.VAR_GLOBAL
    return btf.add(var)
