"""The ARM rows against LLVM and Capstone."""

from __future__ import annotations

from pathlib import Path

import capstone
import pytest

from bpfbench.machine.a32 import A32, modified_immediate
from bpfbench.machine.pattern import Encoding

from .roundtrip import assembled, differences, texts, words

PRELUDE = ".arch armv7-a\n.arch_extension idiv\n"
CAPSTONE_NAMES = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12"}


def fit(row: Encoding, index: int, value: int) -> int:
    """Leave out what the manual calls unpredictable: pc and sp as operands, equal halves of a long product."""
    kind = row.kinds[index]
    if kind == "c":
        return value % 15
    if kind == "r":
        value %= 13
        return {"rdhi": 8 + value % 4, "rdlo": value % 8}.get(row.names[index], value)
    if kind == "pair":
        return value % 8
    if kind == "list":
        return value & 0x5FFF | 5               # at least two, no sp, no pc
    if row.name.endswith("lsl_i"):
        return max(value, 1)                    # a shift by 0 is a plain move
    if row.name.startswith("strex"):
        return value
    return value


def distinct(row: Encoding, operands: list[int]) -> bool:
    """strex must not write its status to a register it stores or addresses."""
    if not row.name.startswith("strex"):
        return True
    _, rd, rt, rn = operands
    return rd not in (rt, rt + 1, rn)


def distance(value: int, addr: int) -> str:
    return f"#{value}"


def test_every_row_survives_llvm(tmp_path: Path) -> None:
    found = [w for w in words(A32, 8, fit) if distinct(w[0], w[1])]
    lines = texts(A32, found, {"branch": distance})
    made = assembled(lines, PRELUDE, tmp_path, "-triple=armv7a-linux-gnueabi")
    assert not differences(lines, found, made)


def test_text_is_capstones() -> None:
    reader = capstone.Cs(capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM)
    different, compared = [], 0
    for row, operands, raw in words(A32, 8, fit, seed=2):
        theirs = next(reader.disasm(raw, 0x10000), None)
        if theirs is None:
            continue
        compared += 1
        ours = plain(row.text(operands, A32.kinds, 0x10000))
        if ours != plain(f"{theirs.mnemonic} {theirs.op_str}"):
            different.append((ours, plain(f"{theirs.mnemonic} {theirs.op_str}")))
    assert not different
    assert compared > 2000


def plain(text: str) -> str:
    out = []
    for mark in "[],{}":
        text = text.replace(mark, f" {mark} ")
    for part in text.split():
        if part[0] == "#" or part[:2] == "0x":
            part = str(int(part.lstrip("#"), 0) & 0xFFFF_FFFF)
        out.append(CAPSTONE_NAMES.get(part, part))
    return " ".join(out)


@pytest.mark.parametrize(
    "value, field",
    [(0, 0), (0xFF, 0xFF), (0x100, 0xC01), (0x3FC, 0xFFF), (0xFF000000, 0x4FF), (0xF000000F, 0x2FF), (0x101, -1)],
)
def test_modified_immediates(value: int, field: int) -> None:
    assert modified_immediate(value) == field


def test_condition_1111_is_another_instruction_set() -> None:
    assert A32.decode(bytes.fromhex("020080f0")) is None
    [(_, _, text)] = A32.disassemble(bytes.fromhex("5bf07ff5"))
    assert text == "dmb ish"
