"""What the MIPS64 target emits: rules one by one, converted branches, then all recorded programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bpfbench.jit import jit_record
from bpfbench.jit.link import link

from .rules import compiled, disagreements, native, unequal

KERNEL = "linux-6.1"
Records = Callable[[str], Iterator[dict[str, Any]]]

RULES = [
    ("r0 += r1", ["daddu $2, $2, $4"]),
    # 32-bit operations need sign-extended operands, logical ones and left shifts do not
    ("w0 += w1", ["sll $2, $2, 0", "sll $12, $4, 0", "addu $2, $2, $12"]),
    ("w0 &= w1", ["and $2, $2, $4"]),
    ("w0 <<= w1", ["sllv $2, $2, $4"]),
    # constants: 16 bits signed, 16 bits unsigned, or through t4
    ("r0 += -32768", ["daddiu $2, $2, -32768"]),
    ("r0 -= 32768", ["daddiu $2, $2, -32768"]),
    ("r0 += 32768", ["lui $12, 0", "ori $12, $12, 32768", "daddu $2, $2, $12"]),
    ("r0 |= 65535", ["ori $2, $2, 65535"]),
    ("r0 &= -1", ["addiu $12, $zero, -1", "and $2, $2, $12"]),
    # multiplication and division by a power of two
    ("r0 *= 16", ["dsll $2, $2, 4"]),
    ("r0 *= 0", ["andi $2, $2, 0"]),
    ("r0 /= 65536", ["dsrl $2, $2, 16"]),
    ("r0 %= 65536", ["andi $2, $2, 65535"]),
    ("r0 *= 1", []),
    ("r0 /= 3", ["addiu $12, $zero, 3", "ddivu $zero, $2, $12", "mflo $2"]),
    ("r0 <<= 40", ["dsll32 $2, $2, 8"]),
    ("r0 <<= 0", []),
    ("r0 = be64 r0", ["dsbh $2, $2", "dshd $2, $2"]),
    ("r0 = be32 r0", ["sll $2, $2, 0", "wsbh $2, $2", "rotr $2, $2, 16", "dinsu $2, $zero, 32, 32"]),
    # a 64-bit constant skips zero halves
    ("r0 = 0x1200000034 ll", ["ori $2, $zero, 18", "dsll32 $2, $2, 0", "ori $2, $2, 52"]),
    ("r0 = 0x8000000000000000 ll", ["ori $2, $zero, 32768", "dsll32 $2, $2, 16"]),
]  # fmt: skip


@pytest.mark.parametrize("bpf, expected", RULES, ids=[bpf for bpf, _ in RULES])
def test_rule(bpf: str, expected: list[str]) -> None:
    assert native(bpf, "mips64", KERNEL) == expected


def test_only_what_is_written_is_saved() -> None:
    assert [row.text for row in compiled("r0 = r6", "mips64", KERNEL).insns][1] == "ori $2, $16, 0"
    assert "sd $16, 8($sp)" not in str(compiled("r7 = 1", "mips64", KERNEL).listing())
    assert "sd $17, 0($sp)" in str(compiled("r7 = 1", "mips64", KERNEL).listing())


def test_a_branch_has_a_delay_slot() -> None:
    assert native("if r0 s> 5 goto +1\nr0 = 0", "mips64", KERNEL) == ["slti $25, $2, 6", "beq $25, $zero, 0x14", "nop"]


def test_a_comparison_decided_by_its_constant_is_no_comparison() -> None:
    assert native("if r0 < 0 goto +1\nr0 = 0", "mips64", KERNEL) == []
    assert [t.split()[0] for t in native("if r0 >= 0 goto +1\nr0 = 0", "mips64", KERNEL)] == ["j", "nop"]
    assert native("if w0 s> 0x7fffffff goto +1\nr0 = 0", "mips64", KERNEL) == ["sll $12, $2, 0"]


def test_a_branch_out_of_reach_is_inverted_over_a_jump() -> None:
    # 32767 words are the farthest a branch reaches; each addition takes one word
    near = "if r0 == r1 goto out\n" + "r0 += r2\n" * 32766 + "out:"
    far = "if r0 == r1 goto out\n" + "r0 += r2\n" * 32767 + "out:"
    assert [t.split()[0] for t in native(near, "mips64", KERNEL)] == ["beq", "nop"]
    assert [t.split()[0] for t in native(far, "mips64", KERNEL)] == ["bne", "nop", "j", "nop"]


def test_jumps_are_relocated_to_where_the_image_stands(records: Records) -> None:
    """Linked at the recorded address, images without calls are equal in every byte."""
    compared = 0
    for record in records("kernel-jit/mips64el-linux-6.1"):
        if record["name"].startswith(("ja", "jge")):
            code = jit_record(record, "mips64", KERNEL)
            assert link(code, record["functions"][0][1], lambda kind, symbol: None).bytes.hex() == record["image"]
            compared += any(r.form == "jump26" for r in code.relocations)
    assert compared > 50


def test_recorded_programs(records: Records) -> None:
    count, different = unequal(records("kernel-jit/mips64el-linux-6.1"), "mips64", KERNEL)
    assert count and not different


def test_random_programs_agree_with_the_interpreter() -> None:
    assert disagreements("mips64", range(120)) == []
