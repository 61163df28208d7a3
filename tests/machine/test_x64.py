"""The x86-64 rows against Capstone and LLVM.

x86 has several encodings for one text, so the direction compared is bytes -> text; bytes -> row -> the same bytes is
checked for every word drawn.
"""

from __future__ import annotations

import capstone
import pytest

from bpfbench.errors import MachineError
from bpfbench.machine.pattern import Encoding
from bpfbench.machine.x64 import RAX, RBP, RDI, X64, R
from bpfbench.machine.x86 import Form

from .llvm_text import disassembled, plain
from .roundtrip import words


def fit(row: Encoding, index: int, value: int) -> int:
    """rsp cannot be an index; rbp and r13 cannot stand without a displacement."""
    name = row.names[index]
    if name == "index" and value == 4:
        return 3
    if name == "base" and isinstance(row, Form) and row.displacement == "disp0" and value & 7 == 5:
        return 6
    return value


def normal(text: str) -> str:
    """One spelling for what the two disassemblers and we write differently."""
    text = plain(text).replace("movabs", "mov").replace("ptr gs: [", "ptr gs:[").replace(" ptr", "")
    return text.replace("nop dword [ rax + rax ]", "nop dword [ rax ]").replace("*1", "")


@pytest.mark.parametrize("seed", [1, 2])
def test_text_is_capstones(seed: int) -> None:
    reader = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    different, compared = [], 0
    for row, operands, raw in words(X64, 12, fit, seed):
        theirs = next(reader.disasm(raw, 0x100000), None)
        assert theirs is not None and len(theirs.bytes) == len(raw), f"Capstone does not read {row}"
        compared += 1
        ours = row.text(operands, X64.kinds, 0x100000)
        text = f"{theirs.mnemonic} {theirs.op_str}"
        if widened(normal(ours)) != widened(normal(text)):
            different.append((ours, text))
    assert not different
    assert compared > 1500


def widened(text: str) -> str:
    """An immediate of a 32-bit operation is printed with or without its sign; both mean the same bits."""
    return " ".join(str(int(t) & 0xFFFF_FFFF) if t.lstrip("-").isdigit() else t for t in text.split())


def test_llvm_reads_what_we_write() -> None:
    """But for a lock prefix, which LLVM prints on a line of its own, long nops and REX bytes that say nothing."""
    found = [w for w in words(X64, 8, fit, seed=3) if "rel" not in w[0].names and not own_way(w[0].name)]
    texts = disassembled([raw for _, _, raw in found], "-triple=x86_64", "--output-asm-variant=1", "-mattr=+bmi2")
    different = []
    for (row, operands, _), theirs in zip(found, texts):
        ours = row.text(operands, X64.kinds, 0)
        if row.name == "storei1" and operands[-1] > 127:
            ours = ours[: ours.rindex(",")] + f", {operands[-1] - 256}"
        if widened(spelled(normal(ours))) != widened(spelled(normal(theirs))):
            different.append((ours, theirs))
    assert not different
    assert len(found) > 700


def own_way(name: str) -> bool:
    return name.startswith(("lock_", "nop")) or name.endswith("_x") or name == "movsx_32_8"


def spelled(text: str) -> str:
    """LLVM leaves out the count of a shift by one and writes a scale first."""
    text = text.removesuffix(" , 1").replace("8*", "").replace("*8", "")
    return text.replace("gs:[", "gs: [").replace("gs: [ ", "gs: [")


def test_the_short_forms_are_chosen_by_the_row_alone() -> None:
    assert R["add_rb64"].encode([RDI, -1]).hex() == "4883c7ff"
    assert R["add_ri64"].encode([RDI, -1]).hex() == "4881c7ffffffff"
    assert R["load8"].encode([RAX, RBP, 0]).hex() == "488b4500"
    assert R["load8"].encode([RAX, RBP, 128]).hex() == "488b8580000000"


@pytest.mark.parametrize(
    "name,operands", [("add_rb64", [0, 128]), ("mov_rr64", [16, 0]), ("jmp8", [200]), ("ret", [1])]
)
def test_an_operand_that_does_not_fit_is_named(name: str, operands: list[int]) -> None:
    with pytest.raises(MachineError, match=name):
        R[name].encode(operands)
