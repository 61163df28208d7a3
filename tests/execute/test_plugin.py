"""The conformance plugin: program and memory as hex, r0 as hex, and refusals with a reason."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench import plugin
from bpfbench.isa.codec import encode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OPS

MEMORY = bytes(range(1, 21))


def hexed(text: str) -> str:
    return bb.assemble(text).raw.hex(" ")


@pytest.mark.parametrize("engine", ["interp", "native", "emulate:x86_64", "emulate:riscv64"])
@pytest.mark.parametrize(
    ("text", "memory", "printed"),
    [
        ("r0 = 2\nexit", "", "2"),
        ("r0 = -1\nexit", "", "ffffffffffffffff"),
        ("r0 = *(u32 *)(r1 + 1)\nexit", MEMORY.hex(" "), "5040302"),
        ("r0 = r2\nexit", MEMORY.hex(), "14"),
        ("*(u8 *)(r1 + 3) = 9\nr0 = *(u32 *)(r1 + 0)\nexit", MEMORY.hex(), "9030201"),
    ],
)  # fmt: skip
def test_answers(capsys: pytest.CaptureFixture[str], engine: str, text: str, memory: str, printed: str) -> None:
    status = plugin.run(memory, hexed(text) + "\n", engine)
    captured = capsys.readouterr()
    assert (status, captured.out, captured.err) == (0, printed + "\n", "")


PROLOGUE = """
    r0 = -1
    r6 = r1
    r1 = *(u32 *)(r6 + 0)
    r2 = *(u32 *)(r6 + 4)
    r3 = r1
    r3 += 20
    if r3 <= r2 goto run
    exit
run:
    r2 = 20
"""


@pytest.mark.parametrize("engine", ["interp", "native", "emulate:arm"])
def test_the_suites_own_prologue(capsys: pytest.CaptureFixture[str], engine: str) -> None:
    assert plugin.run(MEMORY.hex(), hexed(PROLOGUE + "r0 = *(u16 *)(r1 + 2)\nexit"), engine) == 0
    assert capsys.readouterr().out == "403\n"


def test_a_failing_program_prints_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert plugin.run("", hexed("r0 = *(u64 *)(r10 - 520)\nexit")) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "read of 8 bytes at stack-520" in captured.err


@pytest.mark.parametrize(
    ("program", "memory", "message"),
    [("zz", "", "the program is not hex digits"), ("", "", "there is no program"), ("b700", "", "not a whole number"),
     ("b7000000000000009500000000000000", "0x1", "the memory is not hex digits")],
)  # fmt: skip
def test_bad_input(capsys: pytest.CaptureFixture[str], program: str, memory: str, message: str) -> None:
    assert plugin.run(memory, program) == 2
    assert message in capsys.readouterr().err


def reserved() -> list[tuple[str, bytes]]:
    """Each operation of RFC 9669 with each field set that it does not use."""
    found = []
    for op in OPS:
        if op.group in ("linux", "internal", "packet") or op.wide:
            continue
        raw = bytearray(encode([Instruction(op, imm=1 if "imm" in op.uses else 0)]))
        free = [f for f in ("dst", "src", "off", "imm") if f not in op.uses and f != op.selector[0]]
        for field in free:
            flawed = bytearray(raw)
            at, bit = {"dst": (1, 1), "src": (1, 0x40), "off": (3, 0x40), "imm": (6, 0x40)}[field]
            flawed[at] |= bit
            found.append((f"{op.name} {field}", bytes(flawed) + bytes.fromhex("9500000000000000")))
    return found


def test_reserved_fields_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    cases = reserved()
    accepted = [name for name, raw in cases if plugin.run("", raw.hex()) == 0]
    assert len(cases) > 150 and accepted == []
