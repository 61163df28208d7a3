"""Objects: ELF files with BPF programs, through pyelftools, and the type information in them.

| module | |
|---|---|
| `elf` | sections, symbols, relocations as values |
| `sections`, `relocs` | tables: what section names and relocation types mean |
| `btf`, `btf_types`, `btf_ext` | types, and tables that belong to instructions |
| `btf_c`, `btf_subset` | types as C text; a part of a large BTF |
| `maps`, `externs`, `core`, `core_match`, `fixup` | the parts of loading |
| `linker`, `loader` | functions to one program; `load`: file to `Object` |
| `emit`, `writer` | `to_object`: programs to object file; sections and symbols to ELF file |
| `listing` | code sections as llvm-objdump prints them |
"""

from __future__ import annotations

from bpfbench.elf.btf import Btf, read_btf
from bpfbench.elf.elf import ElfFile
from bpfbench.elf.emit import to_object
from bpfbench.elf.loader import load
from bpfbench.elf.object import CodeSection, Object

__all__ = ["Btf", "CodeSection", "ElfFile", "Object", "load", "read_btf", "to_object"]
