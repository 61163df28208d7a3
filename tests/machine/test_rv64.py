"""The RISC-V rows against LLVM (both directions) and Capstone."""

from __future__ import annotations

import capstone
import pytest

from bpfbench.errors import MachineError
from bpfbench.machine.pattern import Encoding
from bpfbench.machine.rv64 import RV64, R

from .llvm_text import disassembled, plain
from .roundtrip import words

LLVM = ("-triple=riscv64", "-mattr=+m,+a,+c,+zba,+zbb", "-M", "no-aliases")
#: Fields in which the C extension has no zero register or no zero immediate: those encodings mean something else.
NOT_ZERO = {"c.addi": "rd imm", "c.addiw": "rd", "c.li": "rd", "c.lui": "rd imm", "c.slli": "rd imm", "c.srli": "imm",
            "c.srai": "imm", "c.addi16sp": "imm", "c.addi4spn": "imm", "c.lwsp": "rd", "c.ldsp": "rd", "c.jr": "rs1",
            "c.jalr": "rs1", "c.mv": "rd rs2", "c.add": "rd rs2", "fence": "pred succ", "add.uw": "rs2"}  # fmt: skip


def fit(row: Encoding, index: int, value: int) -> int:
    name = row.names[index]
    if value == 0 and name in NOT_ZERO.get(row.name, "").split():
        return {"c.addi16sp": 16, "c.addi4spn": 4}.get(row.name, 1)
    if row.name == "c.lui" and name == "rd" and value == 2:
        return 3                                # lui into sp is addi16sp
    return value


def test_llvm_reads_what_we_write() -> None:
    found = words(RV64, 12, fit)
    theirs = disassembled([raw for _, _, raw in found], *LLVM)
    different = []
    for (row, operands, _), text in zip(found, theirs):
        ours = row.text(operands, RV64.kinds, 0)
        if canonical(ours) != canonical(text):
            different.append((ours, text))
    assert not different


def canonical(text: str) -> str:
    """LLVM's names for the two aliases we prefer, and its order of an immediate in parentheses."""
    text = text.replace("zext.w", "add.uw").replace("nop", "addi zero, zero, 0") if "ebreak" not in text else text
    if text.startswith("add.uw") and text.count(",") == 1:
        text += ", zero"
    return plain(text.replace("(", " ( ").replace(")", " ) "))


def test_text_is_capstones() -> None:
    """Capstone (5) prints aliases and does not know Zba and Zbb; what it prints in full is compared."""
    reader = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)
    compared, different = 0, []
    for row, operands, raw in words(RV64, 8, fit, seed=2):
        theirs = next(reader.disasm(raw, 0), None)
        if theirs is None or theirs.mnemonic != row.name:
            continue
        ours = plain(row.text(operands, RV64.kinds, 0))
        text = plain(f"{theirs.mnemonic} {theirs.op_str}")
        if text.count(",") != ours.count(","):
            continue                            # an alias that drops an operand
        compared += 1
        if ours != text and row.name not in ("c.lui", "fence"):
            different.append((ours, text))
    assert not different
    assert compared > 300


def test_the_compressed_rows_name_eight_registers() -> None:
    assert R["c.and"].encode([0, 7]).hex() == "7d8c"
    assert RV64.disassemble(R["c.and"].encode([0, 7]))[0][2] == "c.and s0, a5"
    with pytest.raises(MachineError, match="c.and"):
        R["c.and"].encode([8, 0])
