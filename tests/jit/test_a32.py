"""What the ARM target emits: rules one by one, then all recorded programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bpfbench.errors import JitError
from bpfbench.jit.link import link

from .rules import compiled, disagreements, native, unequal

KERNEL = "linux-6.1"
Records = Callable[[str], Iterator[dict[str, Any]]]

RULES = [
    # r0, r1 and r6 are register pairs, low word first and the carry into the high one
    ("r0 += r1", ["adds r0, r0, r2", "adc r1, r1, r3"]),
    ("r6 -= r0", ["subs r4, r4, r0", "sbc r5, r5, r1"]),
    # the others live in the frame and come through r7:r6 and r9:r8
    ("r2 ^= r3", ["ldrd r6, r7, [r11, #-8]", "ldrd r8, r9, [r11, #-16]", "eor r6, r6, r8", "eor r7, r7, r9",
                  "strd r6, r7, [r11, #-8]"]),
    ("r7 = r8", ["ldrd r6, r7, [r11, #-48]", "strd r6, r7, [r11, #-40]"]),
    # a constant is a modified immediate if it can be, else movw and movt
    ("r0 = 0xff0", ["mov r0, #4080", "mov r1, #0"]),
    ("r0 = -2", ["movw r0, #65534", "movt r0, #65535", "movw r1, #65535", "movt r1, #65535"]),
    ("w0 = w1", ["mov r0, r2"]),
    # 64-bit shifts: by a constant below 32, by 32, by a register
    ("r0 <<= 7", ["lsl r9, r1, #7", "orr r1, r9, r0, lsr #25", "lsl r0, r0, #7"]),
    ("r0 >>= 32", ["mov r0, r1", "mov r1, #0"]),
    ("r0 s>>= 40", ["asr r0, r1, #8", "asr r1, r1, #31"]),
    ("r0 <<= 0", ["mov r9, r1", "orr r1, r9, r0, lsr #32", "mov r0, r0"]),
    ("r0 >>= r6", ["rsb r12, r4, #32", "subs r9, r4, #32", "lsr lr, r0, r4", "orr lr, lr, r1, lsl r12",
                   "orr lr, lr, r1, lsr r9", "lsr r12, r1, r4", "mov r0, lr", "mov r1, r12"]),
    ("r0 *= r1", ["mul r12, r3, r0", "mul lr, r2, r1", "add lr, r12, lr", "umull r12, r1, r0, r2", "add r1, lr, r1",
                  "mov r0, r12"]),
    ("w0 %= w1", ["udiv r12, r0, r2", "mls r0, r2, r12, r0"]),
    ("r0 = -r0", ["rsbs r0, r0, #0", "rsc r1, r1, #0"]),
    ("r0 = be64 r0", ["rev lr, r0", "rev r0, r1", "mov r1, lr"]),
    # offsets reach 4095 for words, 255 for halfwords, and an eight-byte access is two
    ("r0 = *(u16 *)(r1 - 255)", ["ldrh r0, [r2, #-255]"]),
    ("r0 = *(u16 *)(r1 + 256)", ["mov r7, #256", "add r7, r7, r2", "ldrh r0, [r7]"]),
    ("r1 = *(u64 *)(r1 + 8)", ["mov r7, r2", "ldr r2, [r7, #8]", "ldr r3, [r7, #12]"]),
    ("*(u64 *)(r1 + 0) = -1", ["movw r8, #65535", "movt r8, #65535", "movw r9, #65535", "movt r9, #65535",
                               "str r8, [r2]", "str r9, [r2, #4]"]),
]  # fmt: skip


#: Instructions of version 4, which the generator of 6.12 has
NEWER = [
    ("r0 = (s8)r1", ["lsl r0, r2, #24", "asr r0, r0, #24", "asr r1, r0, #31"]),
    ("r0 = (s32)r1", ["mov r0, r2", "asr r1, r2, #31"]),
    ("r7 = (s16)r7", ["ldr r6, [r11, #-40]", "lsl r6, r6, #16", "asr r6, r6, #16", "str r6, [r11, #-40]",
                      "asr r7, r6, #31", "str r7, [r11, #-36]"]),
    ("r0 = *(s16 *)(r1 + 4)", ["ldrsh r0, [r2, #4]", "asr r1, r0, #31"]),
    ("r0 = *(s16 *)(r1 + 256)", ["add r7, r2, #256", "ldrsh r0, [r7]", "asr r1, r0, #31"]),
    ("w0 s%= w1", ["sdiv r12, r0, r2", "mls r0, r2, r12, r0"]),
    ("r0 = bswap64 r0", ["rev lr, r0", "rev r0, r1", "mov r1, lr"]),
]  # fmt: skip


@pytest.mark.parametrize("bpf, expected", RULES, ids=[bpf for bpf, _ in RULES])
def test_rule(bpf: str, expected: list[str]) -> None:
    assert native(bpf, "arm", KERNEL) == expected


@pytest.mark.parametrize("bpf, expected", NEWER, ids=[bpf for bpf, _ in NEWER])
def test_newer_rule(bpf: str, expected: list[str]) -> None:
    assert native(bpf, "arm", "linux-6.12") == expected


def test_comparisons_are_high_word_first_and_signed_ones_swap() -> None:
    assert native("if r0 > r1 goto +1\nr0 = 0", "arm", KERNEL)[:2] == ["cmp r1, r3", "cmpeq r0, r2"]
    assert native("if r0 s> r1 goto +1\nr0 = 0", "arm", KERNEL) == ["cmp r2, r0", "sbcs r12, r3, r1", "blt 0x38"]
    assert native("if w0 s>= w1 goto +1\nr0 = 0", "arm", KERNEL)[:1] == ["cmp r0, r2"]


def test_a_32_bit_result_is_cleared_above_unless_the_verifier_has_done_it() -> None:
    assert native("w0 += w1", "arm", KERNEL) == ["adds r0, r0, r2"]
    assert native("w0 += w1", "arm", KERNEL, zext_inserted=False) == ["adds r0, r0, r2", "mov r1, #0"]


def test_a_call_passes_two_pairs_in_registers_and_three_on_the_stack() -> None:
    code = compiled("call 5", "arm", KERNEL)
    assert [row.text for row in code.insns if row.owner == 0][-5:] == [
        "push {r8, r9}", "movw r6, #0", "movt r6, #0", "blx r6", "add sp, sp, #24",
    ]  # fmt: skip
    linked = link(code, 0x1000, lambda kind, symbol: 0xC0DE1234)
    assert bytes.fromhex("346201e3" "de604ce3") in linked.bytes      # movw r6, #0x1234; movt r6, #0xc0de


def test_an_address_beyond_32_bits_is_refused() -> None:
    with pytest.raises(JitError, match="more than 32 bits"):
        link(compiled("call 5", "arm", KERNEL), 0x1000, lambda kind, symbol: 1 << 32)


def test_64_bit_division_is_the_kernels_routine_where_it_has_one_else_ours() -> None:
    newer = compiled("r0 /= r1", "arm", "linux-6.12")
    assert [r.symbol for r in newer.relocations] == ["jit_udiv64"] * 2
    older = compiled("r0 /= r1", "arm", "linux-6.1")
    assert older.relocations == []
    assert "bl" in [row.text.split()[0] for row in older.insns]


def test_without_idiv_a_routine_divides() -> None:
    code = compiled("w0 /= w1", "arm", KERNEL, features={"idiv": False})
    assert [r.symbol for r in code.relocations] == ["jit_udiv32"] * 2


def test_recorded_programs(records: Records) -> None:
    count, different = unequal(records("kernel-jit/arm-linux-6.1"), "arm", KERNEL)
    assert count and not different


def test_random_programs_agree_with_the_interpreter() -> None:
    assert disagreements("arm", range(120)) == []
