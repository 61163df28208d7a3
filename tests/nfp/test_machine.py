"""The micro-engine's words: the golden vectors, both ways, and the error-correcting code."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfbench.errors import MachineError, NotSupported
from bpfbench.machine import nfp
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


def test_a_flipped_bit_is_noticed() -> None:
    word = nfp.protect(0x2F0000C0800)
    for bit in range(52):
        with pytest.raises(MachineError, match="ECC"):
            nfp.check(word ^ 1 << bit)


def test_a_word_of_no_format_is_refused() -> None:
    with pytest.raises(MachineError, match="no instruction"):
        disassemble(0x1FFFFFFFFFFF)


def test_the_engine_says_that_there_is_no_simulator() -> None:
    from bpfbench.execute import nfp_sim
    from bpfbench.isa.codec import decode
    from bpfbench.program.program import Program

    prog = Program(name="two", type="xdp", insns=decode(bytes.fromhex("b7000000020000009500000000000000")))
    with pytest.raises(NotSupported, match="NFP simulator"):
        nfp_sim.run(prog, b"")
