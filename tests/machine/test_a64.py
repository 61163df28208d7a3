"""The AArch64 rows against LLVM and Capstone, and logical immediates exhaustively."""

from __future__ import annotations

from pathlib import Path

import capstone
import pytest

from bpfbench.errors import MachineError
from bpfbench.machine.a64 import A64, R, bitmask, bitmask_value
from bpfbench.machine.pattern import Encoding

from .llvm_text import plain
from .roundtrip import assembled, differences, texts, words

LLVM = ("-triple=aarch64-linux-gnu", "-mattr=+v8.5a,+lse")


def fit(row: Encoding, index: int, value: int) -> int:
    """A logical immediate must be a bit pattern, a shift in 32 bits is below 32."""
    name, wide = row.names[index], row.name.endswith("64")
    if name == "mask":
        return bitmask(0xFF << value % 20, 64 if wide else 32)
    if name == "imm" and row.name in ("lsr_i32", "asr_i32"):
        return value % 32
    if name == "immr" and row.name == "lsl_i32":
        return value % 31 + 1
    if name == "immr":
        return value % 63 + 1
    if name == "cond":
        return value % 14
    return value


def from_here(value: int, addr: int) -> str:
    return f".{value:+d}"


def drawn(each: int, seed: int) -> list[tuple[Encoding, list[int], bytes]]:
    """Words of all rows but the left shifts, which have an operand of their own, and the unpredictable ones."""
    rows = [row for row in A64.rows if not row.name.startswith("lsl_i")]
    subset = type(A64)("aarch64", rows, A64.kinds, 4, byte=3)
    found = words(subset, each, fit, seed)
    return [w for w in found if not unpredictable(w[0].names, w[1])]


def unpredictable(names: list[str], operands: list[int]) -> bool:
    """Writeback to a register that is also moved, or a status register that is also a source."""
    by_name = dict(zip(names, operands))
    if "rt2" in by_name:
        return by_name["rn"] in (by_name["rt"], by_name["rt2"]) or by_name["rt"] == by_name["rt2"]
    return "rs" in by_name and "rt" in by_name and by_name["rs"] in (by_name["rt"], by_name["rn"])


def test_every_row_survives_llvm(tmp_path: Path) -> None:
    found = [w for w in drawn(10, 1) if w[0].name not in PREFERRED]
    lines = texts(A64, found, {"t": from_here})
    made = assembled(lines, "", tmp_path, *LLVM)
    assert not differences(lines, found, made)


#: Rows whose text an assembler encodes as another, equal instruction.
PREFERRED = {"movzs32", "movzs64", "movns32", "movns64", "movz32", "movz64", "movn32", "movn64"}
#: Capstone's names where they differ from LLVM's for the same word.
RESPELT = {"movz", "movn", "mov", "ubfx", "lsr", "negs", "mneg"}


def test_text_is_capstones() -> None:
    reader = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    different, compared = [], 0
    for row, operands, raw in drawn(10, 2):
        theirs = next(reader.disasm(raw, 0x100000), None)
        if theirs is None or theirs.mnemonic in RESPELT:
            continue
        compared += 1
        ours = row.text(operands, A64.kinds, 0x100000)
        text = f"{theirs.mnemonic} {theirs.op_str}".strip()
        if plain(ours.replace("#", "")) != plain(text.replace("#", "")):
            different.append((ours, text))
    assert not different
    assert compared > 900


@pytest.mark.parametrize("bits", [32, 64])
def test_shifts_left(bits: int) -> None:
    row = R[f"lsl_i{bits}"]
    for shift in range(1, bits):
        raw = row.encode([1, 2, shift])
        found = A64.decode(raw)
        assert found is not None and found[0] is row and found[1] == [1, 2, shift]
    with pytest.raises(MachineError):
        row.encode([1, 2, bits])


@pytest.mark.parametrize("bits", [32, 64])
def test_logical_immediates_are_exactly_the_fields_that_decode(bits: int) -> None:
    """Every field N:immr:imms either is reserved or names a value that is found again; no two values share a field."""
    seen = {}
    for field in range(1 << 13 if bits == 64 else 1 << 12):
        value = bitmask_value(field, bits)
        if value >= 0:
            seen.setdefault(value, []).append(field)
    assert len(seen) == {32: 1302, 64: 5334}[bits]
    for value, fields in seen.items():
        assert bitmask(value, bits) in fields
