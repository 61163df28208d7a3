"""Objects: ELF files with BPF programs, through pyelftools, and the type information in them.

| module | |
|---|---|
| `elf` | sections, symbols, relocations as values |
| `sections`, `relocs` | tables: what section names and relocation types mean |
| `btf`, `btf_ext`, `btf_c` | types, instruction tables, and types as C text |
| `maps`, `externs`, `core`, `fixup` | the parts of loading |
| `loader` | `load`: file to `Object` |
| `writer` | values to ELF file |
"""

from __future__ import annotations

from bpfbench.elf.btf import Btf, read_btf
from bpfbench.elf.elf import ElfFile
from bpfbench.elf.loader import load
from bpfbench.elf.object import CodeSection, Object

__all__ = ["Btf", "CodeSection", "ElfFile", "Object", "load", "read_btf"]
