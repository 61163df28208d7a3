"""Each rewriting pass on the smallest program that shows it: before, and after."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.errors import NotSupported, VerifierError
from bpfbench.isa.text import format_insn
from bpfbench.verifier.rewrite import Rewritten, rewrite
from bpfbench.verifier.rewrite.kernel_layout import layout_of


def after(text: str, kernel: str = "linux-6.18", machine: str = "x86_64", **kinds: str) -> list[str]:
    done = rewrite(bb.assemble(text, **kinds), kernel, machine)
    return [
        format_insn(insn) + (f" ; {done.symbols[at]}" if at in done.symbols else "")
        for at, insn in enumerate(done.insns)
        if insn is not None
    ]


def test_a_branch_with_one_dead_side_goes_and_takes_its_dead_code_along() -> None:
    assert after("r0 = 1\nif r0 == 2 goto dead\nexit\ndead: r0 = 3\nexit") == ["r0 = 1", "exit"]


def test_a_jump_over_dead_code_goes_too() -> None:
    assert after("r0 = 1\ngoto x\nx: exit") == ["r0 = 1", "exit"]


def test_xdp_context_goes_through_the_receive_queue() -> None:
    assert after("r0 = *(u32 *)(r1 +12)\nexit", type="xdp") == [
        "r0 = *(u64 *)(r1 +32)",
        "r0 = *(u64 *)(r0 +0)",
        "r0 = *(u32 *)(r0 +224)",
        "exit",
    ]


def test_part_of_a_field_is_cut_out_of_the_whole() -> None:
    mark, _ = layout_of("linux-6.18").member("sk_buff.mark")
    assert after("r0 = *(u8 *)(r1 +9)\nexit", type="socket_filter") == [
        f"r0 = *(u32 *)(r1 +{mark})",
        "w0 >>= 8",
        "w0 &= 255",
        "exit",
    ]


def test_writing_to_a_packet_adds_a_prologue() -> None:
    lines = after(
        "r2 = *(u32 *)(r1 +76)\nr3 = *(u32 *)(r1 +80)\nr4 = r2\nr4 += 1\nif r4 > r3 goto out\n"
        "*(u8 *)(r2 +0) = 0\nout: r0 = 0\nexit",
        type="sched_cls",
    )
    assert lines[1:6] == [
        "w6 &= 1",
        "if r6 == 0x0 goto pc+7",
        "r6 = r1",
        "r2 ^= r2",
        "call unknown#0 ; bpf_skb_pull_data",
    ]
    assert lines[9] == "r1 = r6"


@pytest.mark.parametrize(
    ("division", "guarded"),
    [
        ("r0 /= r2", ["if r2 != 0x0 goto pc+2", "w0 ^= w0", "goto pc+1", "r0 /= r2"]),
        ("w0 %= w2", ["if w2 == 0x0 goto pc+2", "w0 %= w2", "goto pc+1", "w0 = w0"]),
        ("r0 s/= -1", ["r0 = -r0"]),
        ("r0 s%= -1", ["w0 = 0"]),
        ("r0 /= 3", ["r0 /= 3"]),
    ],
)
def test_no_division_can_trap(division: str, guarded: list[str]) -> None:
    head = ["r0 = *(u32 *)(r1 +0)", "r2 = r0"]
    assert after("\n".join([*head, division, "exit"]), type="kprobe") == [*head, *guarded, "exit"]


def test_signed_division_finds_both_bad_divisors_with_one_comparison() -> None:
    lines = after("r0 = *(u32 *)(r1 +0)\nr2 = r0\nr0 s/= r2\nexit", type="kprobe")
    assert lines[2:5] == ["r11 = r2", "r11 += 1", "if r11 > 0x1 goto pc+4"]


def test_packet_loads_become_calls() -> None:
    lines = after("r6 = r1\nr0 = *(u8 *)skb[7]\nexit", type="socket_filter")
    assert lines == [
        "r6 = r1",
        "r2 = 7",
        "r1 = r6",
        "call unknown#0 ; bpf_skb_load_helper_8_no_cache",
        "if r0 s>= 0x0 goto pc+2",
        "w0 ^= w0",
        "exit",
        "exit",
    ]


_LOOKUP = ".map m {} 4 8 {}\n*(u32 *)(r10 -4) = 9\nr2 = r10\nr2 += -4\nr1 = map[m]\ncall map_lookup_elem\nr0 = 0\nexit"


def test_array_lookup_is_written_out() -> None:
    lines = after(_LOOKUP.format("array", 1024))
    assert lines[5:12] == [
        "r0 = *(u32 *)(r2 +0)",
        "if r0 >= 0x400 goto pc+3",
        "r0 <<= 3",
        "r0 += r1",
        "goto pc+1",
        "r0 = 0",
        "r0 = 0",
    ]


def test_hash_lookup_calls_the_search_itself() -> None:
    lines = after(_LOOKUP.format("hash", 16))
    assert lines[4:6] == ["call unknown#0 ; __htab_map_lookup_elem", "if r0 == 0x0 goto pc+1"]


def test_unknown_addresses_are_named() -> None:
    assert after("call ktime_get_ns\nr0 = 0\nexit")[0] == "call unknown#0 ; bpf_ktime_get_ns"
    assert after("call jiffies64\nr0 = 0\nexit")[0].endswith("; &jiffies")


def test_tail_call_with_constant_map_and_index_is_noted_for_patching() -> None:
    done = rewrite(bb.assemble(".map p prog_array 4 4 4\nr2 = map[p]\nr3 = 2\ncall tail_call\nr0 = 0\nexit"))
    assert done.pokes == ["map 0 index 2"]


def test_zero_extension_only_where_the_upper_half_is_read() -> None:
    text = "w0 = 1\nw2 = 2\nr0 += 1\nif w2 > 1 goto x\nx: exit"
    assert "w0 = w0" in after(text, "linux-6.12", "riscv64") and "w0 = w0" not in after(text, "linux-6.12", "aarch64")
    assert "w2 = w2" not in after(text, "linux-6.12", "riscv64")


def test_passes_show_before_and_after() -> None:
    done = rewrite(bb.assemble("r0 = 1\nif r0 == 2 goto dead\nexit\ndead: r0 = 3\nexit"))
    assert [p.name for p in done.passes] == ["branches", "dead code", "no-ops"]
    assert "|    1 goto pc+0" in done.passes[0].text()
    assert done.passes[2].notes == "jumps to the next instruction go"
    assert len(done.as_program()) == 2


def test_every_slot_knows_where_it_came_from() -> None:
    done: Rewritten = rewrite(bb.assemble("r0 = *(u32 *)(r1 +12)\nexit", type="xdp"))
    assert done.origin == {0: -1, 1: -1, 2: -1, 3: 1}


def test_refused_programs_are_not_rewritten() -> None:
    with pytest.raises(VerifierError, match="not accepted"):
        rewrite(bb.assemble("exit"))


def test_an_unknown_layout_says_so() -> None:
    with pytest.raises(NotSupported, match="give a BTF"):
        rewrite(bb.assemble("r0 = *(u32 *)(r1 +12)\nexit", type="xdp"), "linux-6.1")


def test_unprivileged_programs_mask_their_offsets() -> None:
    text = ".map m hash 8 48 1\n*(u64 *)(r10 -8) = 0\nr2 = r10\nr2 += -8\nr1 = map[m]\ncall map_lookup_elem\n"
    text += "if r0 == 0 goto out\nr1 = *(u64 *)(r0 +0)\nr1 &= 7\nr0 += r1\nr0 = *(u8 *)(r0 +0)\nout: r0 = 0\nexit"
    done = rewrite(bb.verify(bb.assemble(text), privileged=False))
    lines = [format_insn(insn) for insn in done.insns if insn is not None]
    at = lines.index("r11 -= r1")
    assert lines[at + 1 : at + 6] == ["r11 |= r1", "r11 = -r11", "r11 s>>= 63", "r11 &= r1", "r0 += r11"]
