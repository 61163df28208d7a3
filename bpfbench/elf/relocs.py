"""The relocations of eBPF objects: one row each.

Relocations are REL, not RELA: the addend A is what stands in the field already.  S is the value of the symbol.

Source: LLVM `llvm/BinaryFormat/ELFRelocs/BPF.def`, Documentation/bpf/llvm_reloc.rst.
"""

from __future__ import annotations

from typing import Final

#     number  name               field                                               value
RELOCATIONS: Final[list[tuple[int, str, str, str]]] = [
    (0,  "R_BPF_NONE",       "nothing",                                          ""),
    (1,  "R_BPF_64_64",      "both immediates of a wide load (offset + 4, + 12)", "S + A"),
    (2,  "R_BPF_64_ABS64",   "8 bytes of data",                                  "S + A"),
    (3,  "R_BPF_64_ABS32",   "4 bytes of data",                                  "S + A"),
    (4,  "R_BPF_64_NODYLD32", "4 bytes of data, resolved by no loader (BTF, BTF.ext)", "S + A"),
    (10, "R_BPF_64_32",      "immediate of a call (offset + 4)",                 "(S + A) / 8 - 1"),
]  # fmt: skip

R_BPF_64_64: Final = 1
R_BPF_64_ABS64: Final = 2
R_BPF_64_ABS32: Final = 3
R_BPF_64_NODYLD32: Final = 4
R_BPF_64_32: Final = 10

RELOCATION_NAME: Final[dict[int, str]] = {row[0]: row[1] for row in RELOCATIONS}
