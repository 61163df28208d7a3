"""What the PPC64 target emits: rules one by one, frames, then all recorded programs."""

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
    ("r0 += r1", ["add r8, r8, r3"]),
    ("r0 -= -5", ["addi r8, r8, 5"]),
    ("r0 += 0", []),
    ("r0 += 0x10000", ["lis r9, 1", "add r8, r8, r9"]),
    ("r0 &= 0xffff", ["andi. r8, r8, 65535"]),
    ("r0 |= 0x12345678", ["ori r8, r8, 22136", "oris r8, r8, 4660"]),
    ("r0 |= -2", ["li r9, -2", "or r8, r8, r9"]),
    ("w0 |= -2", ["ori r8, r8, 65534", "oris r8, r8, 65535"]),
    ("r0 /= 1", []),
    ("r0 %= 1", ["li r8, 0"]),
    ("r0 %= r1", ["divdu r9, r8, r3", "mulld r9, r3, r9", "sub r8, r8, r9"]),
    ("w0 <<= 0", ["rlwinm r8, r8, 0, 0, 31"]),
    ("r0 <<= 40", ["rldicr r8, r8, 40, 23"]),
    ("r0 >>= 1", ["rldicl r8, r8, 63, 1"]),
    ("r0 = be16 r0", ["rlwinm r9, r8, 8, 16, 23", "rlwimi r9, r8, 24, 24, 31", "mr r8, r9"]),
    # without a frame the doubleword goes to the protected zone
    ("r0 = be64 r0", ["std r8, -64(r1)", "addi r9, r1, -64", "ldbrx r8, 0, r9"]),
    # a doubleword at an odd offset needs the indexed form
    ("r0 = *(u64 *)(r1 + 8)", ["ld r8, 8(r3)"]),
    ("r0 = *(u64 *)(r1 + 6)", ["li r9, 6", "ldx r8, r3, r9"]),
    ("*(u16 *)(r1 + 0) = 0xffff", ["li r9, -1", "sth r9, 0(r3)"]),
    # a wide constant always takes five words
    ("r0 = 7 ll", ["li r8, 7", "nop", "nop", "nop", "nop"]),
    ("r0 = 0xc000000000012345 ll", ["lis r8, -16384", "rldicr r8, r8, 32, 31", "oris r8, r8, 1", "ori r8, r8, 9029",
                                    "nop"]),
]  # fmt: skip


#: Instructions of version 4, and what changed with them in 6.12
NEWER = [
    ("r0 = r0", []),
    ("r0 = (s8)r1", ["extsb r8, r3"]),
    ("r0 s/= r1", ["divd r8, r8, r3"]),
    ("w0 s%= 3", ["li r9, 3", "divw r10, r8, r9", "mullw r9, r9, r10", "sub r8, r8, r9"]),
    ("r0 = *(s8 *)(r1 + 1)", ["lbz r8, 1(r3)", "extsb r8, r8"]),
    ("r0 = *(s16 *)(r1 + 2)", ["lha r8, 2(r3)"]),
    ("r0 = *(s32 *)(r1 + 4)", ["lwa r8, 4(r3)"]),
    ("r0 = bswap16 r0", ["rlwinm r9, r8, 8, 16, 23", "rlwimi r9, r8, 24, 24, 31", "mr r8, r9"]),
]  # fmt: skip


@pytest.mark.parametrize("bpf, expected", RULES, ids=[bpf for bpf, _ in RULES])
def test_rule(bpf: str, expected: list[str]) -> None:
    assert native(bpf, "ppc64", KERNEL) == expected


@pytest.mark.parametrize("bpf, expected", NEWER, ids=[bpf for bpf, _ in NEWER])
def test_newer_rule(bpf: str, expected: list[str]) -> None:
    assert native(bpf, "ppc64", "linux-6.12") == expected


def test_a_frame_is_made_for_calls_and_for_the_stack_only() -> None:
    def words(text: str) -> list[str]:
        return [row.text for row in compiled(text, "ppc64", KERNEL).insns]

    assert words("r0 = r6")[3] == "std r27, -40(r1)"                # saved below the stack pointer
    assert words("*(u64 *)(r10 - 8) = 0")[3] == "stdu r1, -112(r1)"
    assert words("call 5")[3:6] == ["mflr r0", "std r0, 16(r1)", "stdu r1, -96(r1)"]


def test_a_branch_takes_two_words_near_and_far() -> None:
    assert native("if r0 == 5 goto +1\nr0 = 0", "ppc64", KERNEL) == ["cmpldi r8, 5", "beq 0x1c", "nop"]
    far = "if r0 == 5 goto out\n" + "r0 += r1\n" * 8192 + "out:"
    assert [t.split()[0] for t in native(far, "ppc64", KERNEL)] == ["cmpldi", "bne", "b"]


def test_a_zero_extension_after_what_has_no_upper_half_is_left_out() -> None:
    # the extension is written as the kernel inserts it: w1 = w1 with imm 1
    record = {"name": "", "prog_type": "socket_filter", "license": "GPL", "insns": "", "maps": []}
    for xlated, expected in (("6111000000000000" "bc11000001000000", 1), ("0401000005000000" "bc11000001000000", 2)):
        record["insns"] = record["xlated"] = xlated + "b700000000000000" + "9500000000000000"
        code = jit_record(record, "ppc64", KERNEL)
        assert len([row for row in code.insns if row.owner in (0, 1)]) == expected


def test_helpers_are_reached_from_the_toc() -> None:
    code = compiled("call 5", "ppc64", KERNEL)
    linked = link(code, 0x10000, lambda kind, symbol: 0x10000 + 0x18000)
    assert bytes.fromhex("0200823d" "00808c39") in linked.bytes     # addis r12, r2, 2; addi r12, r12, -32768


def test_a_helper_beyond_the_reach_of_the_toc_gets_a_veneer() -> None:
    linked = link(compiled("call 5", "ppc64", KERNEL), 0x10000, lambda kind, symbol: 1 << 40)
    assert len(linked.veneers) == 1


def test_newer_kernels_pad_wide_constants_only_while_measuring() -> None:
    code = compiled("r0 = 7 ll", "ppc64", "linux-6.12")
    assert [row.text for row in code.insns][-5:] == ["blr", "trap", "trap", "trap", "trap"]


def test_recorded_programs(records: Records) -> None:
    count, different = unequal(records("kernel-jit/powerpc64le-linux-6.1"), "ppc64", KERNEL)
    assert count and not different


def test_random_programs_agree_with_the_interpreter() -> None:
    assert disagreements("ppc64", range(120)) == []
