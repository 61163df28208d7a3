"""The MIPS64 rows against LLVM and Capstone."""

from __future__ import annotations

from pathlib import Path

import capstone
import pytest

from bpfbench.errors import MachineError
from bpfbench.machine.mips64 import MIPS64, REGS
from bpfbench.machine.pattern import Encoding, decimal

from .roundtrip import assembled, differences, texts, words

O32_NAMES = "zero at v0 v1 a0 a1 a2 a3 t0 t1 t2 t3 t4 t5 t6 t7 s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 gp sp fp ra".split()
#: Capstone's spelling -> ours.  It prefers these aliases.
ALIASES = {
    "move": {"addu", "daddu", "or"}, "dsubu": {"dnegu"}, "dins": {"dinsu"}, "jr": {"jalr"}, "bnez": {"bne"},
    "beqz": {"beq"}, "b": {"beq"},
}  # fmt: skip
SHORTER = {"sync": "sync 0"}


def fit(row: Encoding, index: int, value: int) -> int:
    return value


def release6(row: Encoding) -> bool:
    return row.name.endswith("_r6")


@pytest.mark.parametrize("cpu", ["mips64r2", "mips64r6"])
def test_every_row_survives_llvm(cpu: str, tmp_path: Path) -> None:
    found = [w for w in words(MIPS64, 12, fit) if release6(w[0]) == (cpu == "mips64r6")]
    lines = texts(MIPS64, found, {"branch": decimal, "jump": decimal})
    prelude = ".set noreorder\n.set noat\n"
    made = assembled(lines, prelude, tmp_path, "-triple=mips64el-linux-gnu", f"-mcpu={cpu}")
    assert not differences(lines, found, made)


def test_text_is_capstones() -> None:
    reader = capstone.Cs(capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS64 | capstone.CS_MODE_LITTLE_ENDIAN)
    different = []
    for row, operands, raw in words(MIPS64, 12, fit, seed=2):
        theirs = next(reader.disasm(raw, 0x100000), None)
        if theirs is None or release6(row):
            continue
        ours = row.text(operands, MIPS64.kinds, 0x100000)
        if theirs.mnemonic != ours.split()[0]:
            if ours.split()[0] not in ALIASES.get(theirs.mnemonic, ()):
                different.append((ours, theirs.mnemonic, theirs.op_str))
        elif numbers(theirs.op_str) != numbers(ours[len(theirs.mnemonic) :]) and ours != SHORTER.get(theirs.mnemonic):
            # Capstone leaves out a second break code of 0 and ra, and prints the position of dinsu without the 32
            if theirs.mnemonic not in ("break", "dinsu", "jalr"):
                different.append((ours, theirs.mnemonic, theirs.op_str))
    assert not different


def numbers(text: str) -> list[str]:
    """Operands with registers as their numbers and numbers in decimal."""
    out = []
    for part in text.replace("(", ",").replace(")", "").split(","):
        part = part.strip()
        if part in REGS:
            out.append(f"${REGS.index(part)}")
        elif part.startswith("$"):
            out.append(f"${O32_NAMES.index(part[1:])}")
        elif part:
            out.append(str(int(part, 0)))
    return out


def test_branches_count_from_the_delay_slot() -> None:
    [(_, _, text)] = MIPS64.disassemble(bytes.fromhex("feff0010"), 0x100)
    assert text == "beq $zero, $zero, 0xfc"


def test_a_distance_out_of_reach_is_refused() -> None:
    with pytest.raises(MachineError, match="off=131072 is not in -131072..131068 step 4"):
        MIPS64.row("beq").encode([0, 0, 0x20000])
