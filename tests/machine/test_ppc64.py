"""The PPC64 rows against LLVM and Capstone."""

from __future__ import annotations

from pathlib import Path

import capstone
import pytest

from bpfbench.errors import MachineError
from bpfbench.machine.pattern import Encoding
from bpfbench.machine.ppc64 import PPC64

from .roundtrip import assembled, differences, texts, words

LLVM = ("-triple=powerpc64le-linux-gnu", "-mcpu=pwr9")
NUMBERS = [str(n) for n in range(32)]
#: Names that both disassemblers prefer for a rotation with a special mask or a branch on a special condition.
ROTATIONS = set("rotlwi clrlwi slwi srwi rotldi clrldi sldi srdi rotlwi. clrlwi. slwi. srwi.".split())


def fit(row: Encoding, index: int, value: int) -> int:
    return value


def from_here(value: int, addr: int) -> str:
    """A distance as LLVM's assembler reads it; "blt -8" would be the mnemonic "blt-"."""
    return f".{value:+d}"


def test_every_row_survives_llvm(tmp_path: Path) -> None:
    found = words(PPC64, 12, fit)
    lines = texts(PPC64, found, {"pc": from_here, "r": NUMBERS, "base": NUMBERS})
    made = assembled(lines, "", tmp_path, *LLVM)
    assert not differences(lines, found, made)


def test_text_is_capstones() -> None:
    reader = capstone.Cs(capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_LITTLE_ENDIAN)
    different, compared = [], 0
    for row, operands, raw in words(PPC64, 12, fit, seed=2):
        theirs = next(reader.disasm(raw, 0x10000), None)
        if theirs is None or theirs.mnemonic in ROTATIONS or row.name in ("bc", "eieio2"):
            continue
        compared += 1
        ours = row.text(operands, PPC64.kinds, 0x10000)
        if theirs.mnemonic == "subf":
            _, d, a, b = ours.replace(",", "").split()
            ours = f"subf {d}, {b}, {a}"
        if plain(ours) != plain(f"{theirs.mnemonic} {theirs.op_str}"):
            different.append((ours, f"{theirs.mnemonic} {theirs.op_str}"))
    assert not different
    assert compared > 600


def plain(text: str) -> str:
    """Numbers in decimal, 64-bit ones signed; r0 as the base of an address printed as 0."""
    out = []
    for part in text.replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split():
        try:
            value = int(part, 0) & 0xFFFF_FFFF_FFFF_FFFF
            part = str(value - (1 << 64) if value >> 63 else value)
        except ValueError:
            pass
        out.append("0" if part == "r0" else part)
    return " ".join(out)


def test_the_split_fields_of_a_doubleword_rotation() -> None:
    # sldi r3, r4, 40: sh = 40 has its top bit next to Rc, me = 23 its top bit (0) behind the other five
    assert PPC64.row("rldicr").word([3, 4, 40, 23]) == 0x788345C6


def test_a_doubleword_offset_is_a_multiple_of_four() -> None:
    with pytest.raises(MachineError, match="ds=6 is not in -32768..32764 step 4"):
        PPC64.row("ld").encode([3, 6, 1])
