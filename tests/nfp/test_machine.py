"""The micro-engine's words: the golden vectors, both ways, and the error-correcting code."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from bpfbench.errors import MachineError
from bpfbench.machine import nfp
from bpfbench.machine.nfp_assembler import assemble
from bpfbench.machine.nfp_text import disassemble

VECTORS = [
    line.split(None, 2)
    for line in (Path(__file__).parent / "vectors.txt").read_text().splitlines()
    if not line.startswith("#")
]


def test_there_are_128_vectors() -> None:
    assert len(VECTORS) == 128


@pytest.mark.parametrize("payload, word, text", VECTORS)
def test_a_golden_word_has_its_text_and_its_ecc(payload: str, word: str, text: str) -> None:
    assert disassemble(int(payload, 16)) == text
    if word != "-":
        assert nfp.protect(int(payload, 16)) == int(word, 16)
        assert nfp.check(int(word, 16)) == int(payload, 16)


@pytest.mark.parametrize("payload", [v[0] for v in VECTORS])
def test_unpacking_and_packing_a_word_gives_it_back(payload: str) -> None:
    row = nfp.format_of(int(payload, 16))
    assert row.pack(**row.unpack(int(payload, 16))) == int(payload, 16)


@pytest.mark.parametrize("payload, word, text", VECTORS)
def test_a_golden_text_assembles_to_its_word(payload: str, word: str, text: str) -> None:
    assert assemble(text) == int(payload, 16)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("alu[gprA_0, gprA_2, +, gprA_4]", "same kind"),
        ("alu[0x5, gprA_2, +, gprB_4]", "cannot be written"),
        ("alu[gprA_0, gprA_2, +, 0x100]", "out of range"),
        ("alu[gprA_0, *l$index0, +, *l$index2]", "same kind"),
        ("alu_shf[gprA_0, --, B, *l$index0[9], <<3]", "0..7"),
        ("alu_shf[gprA_0, --, B, gprB_0, >>0]", "indirect"),
        ("mem[read32_swap, $xfer_0, gprB_2, 0x0, 1], ctx_swap[sig1]", "cannot swap"),
        ("immed[gprA_0, 0x12345]", "16-bit"),
        ("immed[gprA_0, 0x1, <<40]", "moved by 40"),
        ("immed_w2[gprA_0, 0x1]", "moved by 32"),
        ("immed_b0[gprA_0, 0x100]", "does not fit"),
        ("ld_field[gprA_0, 0001, n$reg_3]", "eight bits"),
        ("alu_shf[gprA_0, --, B, @gprB_2, <<3]", "eight bits"),
        ("alu[gprA_0, @$xfer_1, +, gprB_4]", "is not one of"),
        ("mem[add, $xfer_0, gprA_2, <<8, *l$index2, 1], ctx_swap[sig1]", "pointers 0 and 1"),
        ("br_bset[gprA_0, 32, .5]", "out of range"),
        ("alu[gprA_0]", "wrong operands"),
        ("frob[gprA_0]", "cannot be assembled"),
        ("alu[", "form"),
    ],
)
def test_a_wrong_operand_is_named(text: str, complaint: str) -> None:
    with pytest.raises(MachineError, match=complaint):
        assemble(text)


def test_every_recorded_word_has_its_text_both_ways(recordings: Path) -> None:
    texts: dict[int, str] = {}
    with gzip.open(recordings / "kernel-jit" / "nfp-linux-6.1.jsonl.gz", "rt") as lines:
        for record in map(json.loads, lines):
            texts |= {int(word, 16): text for word, text in zip(record["image"], record["text"], strict=True)}
    assert texts
    for word, text in texts.items():
        assert (disassemble(word), assemble(text)) == (text, nfp.check(word))


def test_a_flipped_bit_is_noticed() -> None:
    word = nfp.protect(0x2F0000C0800)
    for bit in range(52):
        with pytest.raises(MachineError, match="ECC"):
            nfp.check(word ^ 1 << bit)


def test_a_word_of_no_format_is_refused() -> None:
    with pytest.raises(MachineError, match="no instruction"):
        disassemble(0x1FFFFFFFFFFF)
