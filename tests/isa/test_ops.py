"""The op table itself: what must be true of every row."""

from __future__ import annotations

import random
import shutil
import subprocess

import pytest

from bpfbench.isa import ops
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP, OP_BY_CODE, OPS, Op
from bpfbench.isa.reference import manual, page
from bpfbench.isa.text import NOTATIONS, exact_text, format_insn, parse_insn


def instance(op: Op, rng: random.Random) -> Instruction:
    """Random operands in exactly the fields the row uses."""
    imm = rng.choice([rng.randint(-(1 << 31), (1 << 31) - 1), rng.randint(-9, 9)])
    if op.name == "LDDW":
        imm = rng.getrandbits(64)
    value = {"dst": rng.randint(0, 10), "src": rng.randint(0, 10), "off": rng.randint(-(1 << 15), (1 << 15) - 1),
             "imm": imm, "imm2": rng.randint(0, 4096)}  # fmt: skip
    use = {f: value[f] for f in op.uses}
    return Instruction(op, *(use.get(f, 0) for f in ("dst", "src", "off", "imm", "imm2")))


def test_names_are_unique_and_selectors_tell_rows_apart() -> None:
    assert len(OP) == len(OPS)
    for rows in OP_BY_CODE:
        assert len({row.selector for row in rows}) == len(rows), rows


@pytest.mark.parametrize("big_endian", [False, True])
def test_decode_inverts_encode(big_endian: bool) -> None:
    rng = random.Random(1)
    for op in OPS:
        for _ in range(20):
            insn = instance(op, rng)
            if op.name == "MOV32_X":
                insn = Instruction(op, insn.dst, insn.src)
            assert decode(encode([insn], big_endian), big_endian, internal=True)[0] == insn, op


@pytest.mark.parametrize("notation", NOTATIONS)
def test_text_parses_back(notation: str) -> None:
    rng = random.Random(2)
    for op in OPS:
        if op.internal:
            continue
        for _ in range(20):
            insn = instance(op, rng)
            text = exact_text(insn, notation)
            assert not text.startswith(".insn"), op
            assert parse_insn(text) == (insn, None), text


def test_every_reserved_field_is_refused() -> None:
    """A field that a row neither uses nor selects with must be zero: one flaw per such field."""
    for op in OPS:
        if op.internal:
            continue
        good = encode([Instruction(op)])
        for field, at, bit in (("dst", 1, 0x01), ("src", 1, 0x10), ("off", 2, 0x40), ("imm", 4, 0x40)):
            if field in op.uses or field == op.selector[0]:
                continue
            bad = bytearray(good)
            bad[at] |= bit
            insn = decode(bytes(bad), strict=False)[0]
            assert insn is not None and insn.flaw, (op, field)


def test_llvm_prints_the_same_text() -> None:
    """20 random instances of each operation, disassembled by llvm-mc."""
    mc = next((m for m in ("llvm-mc-19", "llvm-mc-20", "llvm-mc-18") if shutil.which(m)), None)
    if mc is None:
        pytest.skip("llvm-mc 18 or newer is missing (Debian package llvm-19)")
    newer = (ops.GOTOX, ops.LOAD_ACQ, ops.STORE_REL)       # LLVM 19 has them not yet
    rng = random.Random(3)
    insns = [instance(op, rng) for op in OPS if not op.internal and op.kind not in newer for _ in range(20)]
    raw = "\n".join(" ".join(f"{b:#04x}" for b in encode([i])) for i in insns)
    call = [mc, "-disassemble", "-triple=bpfel", "-mattr=+alu32", "-mcpu=v4", "--print-imm-hex"]
    out = subprocess.run(call, input=raw, capture_output=True, text=True, check=True).stdout
    theirs = [line.strip().replace("\t", " ") for line in out.splitlines() if line.strip() not in ("", ".text")]
    ours = [format_insn(i, "llvm") for i in insns]
    assert ours == theirs


def test_manual_has_a_page_for_every_operation() -> None:
    text = manual()
    for op in OPS:
        assert f"### {op.name}\n" in text and op.meaning in page(op.name)
