"""The passes, each by itself: what it changes, when it must not, and that the card does the same as the interpreter."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.errors import ToolchainError, UsageError
from bpfbench.jit.nfp import NfpCode, compile_nfp
from bpfbench.nfp.passes import NAMES, OURS, PASSES

PACKET = bytes(range(1, 251)) * 3
WIDTHS = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
SETUP = """
    r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 4)
    r2 = r6
    r2 += 600
    if r2 > r7 goto out
    r2 = r6
"""
END = "\nout: r0 = 2\nexit"


def program(body: str) -> Any:
    return bb.assemble(SETUP + body + END, type="xdp")


def same(prog: Any, kernel: str = "bpfbench", without: tuple[str, ...] = (), packet: bytes = PACKET) -> Any:
    """Run on the card, and hold it to the interpreter."""
    card = bb.run(prog, packet, engine="nfp", kernel=kernel, without=without)
    wanted = bb.run(prog, packet)
    assert (card.r0, card.data) == (wanted.r0 & 0xFFFFFFFF, wanted.data)
    return card


def texts(code: NfpCode, start: str) -> list[str]:
    return [row.text for row in code.insns if row.text.startswith(start)]


def copies(prog: Any, kernel: str = "bpfbench") -> list[int]:
    return [s.copy.length for s in compile_nfp(prog, kernel).steps if s.copy]


# ------------------------------------------------------------------------------------------------------------- reports
def test_every_pass_can_be_left_out() -> None:
    prog = next(iter(bb.load(Path(__file__).parents[2] / "datasets" / "nfp_memcpy.o").programs.values()))
    full = len(bb.jit(prog, "nfp", "bpfbench").words)
    sizes = {name: len(bb.jit(prog, "nfp", "bpfbench", without=(name,)).words) for name in NAMES}
    assert all(size >= full for size in sizes.values())
    assert sizes["memcpy"] > full and sizes["packet cache"] > full
    assert len(bb.jit(prog, "nfp", "bpfbench", without=NAMES).words) > max(sizes.values())
    with pytest.raises(UsageError, match="target nfp has no pass 'inlining'; there are: register init"):
        bb.jit(prog, "nfp", "bpfbench", without=("inlining",))


def test_a_report_adds_up() -> None:
    prog = next(iter(bb.load(Path(__file__).parents[2] / "datasets" / "nfp_memcpy.o").programs.values()))
    for kernel in ("bpfbench", "linux-6.1"):
        found = bb.nfp.reports(prog, kernel)
        assert [p.name for p in found] == [row[0] for row in PASSES if kernel == "bpfbench" or row[2] != OURS]
        for one in found:
            assert one.saved == sum(c.saved for c in one.changes), one.name
            assert one.why and one.whose in ("driver", "ours")
        assert found.before - found.after == sum(p.saved for p in found) > 0
        assert found.after == len(bb.jit(prog, "nfp", kernel).words) - 8


def test_a_report_says_what_became_of_an_instruction() -> None:
    report = bb.nfp.reports(program("r3 = *(u8 *)(r2 + 12)\nr3 += -3\n*(u64 *)(r2 + 20) = r3"))["negate"]
    assert str(report).splitlines()[1:3] == [
        "   7: r3 += -3",
        "        immed[gprB_21, 0xfffffffd]                           alu[gprA_6, gprA_6, -, 0x3], gpr_wrboth",
    ]


# ------------------------------------------------------------------------------------------------------------- memcpy
def copy_lines(width: int, count: int, to: int, down: bool, start: int = 3) -> str:
    places = range(0, width * count, width)
    kind = WIDTHS[width]
    return "\n".join(f"r4 = *({kind} *)(r2 + {at + start})\n*({kind} *)(r2 + {at + to}) = r4"
                     for at in (reversed(places) if down else places))  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("down", [False, True], ids=["up", "down"])
def test_a_copy_of_every_length_is_one_read_and_the_register_holds_the_last_element(width: int, down: bool) -> None:
    for count in {2, 3, 5, 9, 33 // width, 39 // width, 77 // width, 128 // width} - {0, 1}:
        prog = program(copy_lines(width, count, 300, down) + "\n*(u64 *)(r2 + 200) = r4")
        assert copies(prog) == [width * count]
        assert len(texts(compile_nfp(prog, "bpfbench"), "mem[read32_swap")) == 1
        same(prog)


def test_what_exceeds_128_bytes_begins_another_copy() -> None:
    prog = program(copy_lines(8, 20, 300, False))
    assert copies(prog) == [128, 32]
    same(prog)


def test_a_tail_of_narrower_pairs_joins_in_ours_alone() -> None:
    lines = "\n".join(f"r4 = *({kind} *)(r2 + {at})\n*({kind} *)(r2 + {at + 400}) = r4"
                      for kind, at in (("u64", 0), ("u32", 8), ("u8", 12)))  # fmt: skip
    prog = program(lines + "\n*(u64 *)(r2 + 100) = r4")
    assert copies(prog) == [13] and copies(prog, "linux-6.1") == []
    same(prog)


def test_a_register_that_nobody_reads_is_not_reloaded() -> None:
    dead, live = program(copy_lines(4, 8, 300, True)), program(copy_lines(4, 8, 300, True) + "\n*(u8 *)(r2 + 200) = r4")
    assert texts(compile_nfp(live, "bpfbench"), "alu[gprA_8")
    assert not texts(compile_nfp(dead, "bpfbench"), "alu[gprA_8")
    assert texts(compile_nfp(dead, "bpfbench", without=("reload",)), "alu[gprA_8")


@pytest.mark.parametrize(
    ("lines", "lengths"),
    [
        (copy_lines(4, 4, 11, False), [8, 8]),                      # each load from the third on sees a store
        (copy_lines(4, 4, 1, False), [16]),                         # going up to lower addresses nobody does
        (copy_lines(4, 4, 1, True), []),                            # ... but going down each does
        ("r4 = *(u32 *)(r2 + 0)\n*(u32 *)(r2 + 64) = r4\nr4 = *(u32 *)(r2 + 4)\n*(u32 *)(r2 + 68) = r4\n"
         "r4 = *(u32 *)(r2 + 0)\n*(u32 *)(r2 + 64) = r4", [8]),     # the direction turns
        ("r4 = *(u32 *)(r2 + 0)\nr5 = *(u32 *)(r2 + 4)\n*(u32 *)(r2 + 64) = r4\n*(u32 *)(r2 + 68) = r5", []),
        ("r4 = *(u32 *)(r2 + 0)\n*(u32 *)(r2 + 64) = r4\nr4 = *(u32 *)(r2 + 8)\n*(u32 *)(r2 + 72) = r4", []),
        ("r4 = *(u32 *)(r2 + 0)\n*(u32 *)(r2 + 64) = r4\nif r4 > 5 goto +0\nr4 = *(u32 *)(r2 + 4)\n"
         "*(u32 *)(r2 + 68) = r4", []),                             # somebody jumps in between
    ],
)  # fmt: skip
def test_what_is_gathered_and_what_is_not(lines: str, lengths: list[int]) -> None:
    prog = program(lines)
    assert copies(prog) == lengths
    same(prog)


HERE = Path(__file__).parent / "copies"


@pytest.mark.parametrize(
    ("name", "driver", "ours"),
    [
        ("as_is", [128, 32, 24, 16, 6], [128, 32, 30, 13, 16, 7, 6]),
        ("scheduled", [128, 24, 32], [128, 30, 32, 13, 7]),
        ("in_order", [128, 32, 24, 16, 6], [128, 32, 30, 16, 13, 7, 6]),
    ],
)
def test_clang_in_order_and_scheduled(name: str, driver: list[int], ours: list[int]) -> None:
    """Slides 46, 47: -bpf-expand-memcpy-in-order brings back the copies that a scheduler takes apart."""
    prog = next(iter(bb.load(HERE / f"{name}.o").programs.values()))
    assert copies(prog, "linux-6.1") == driver and copies(prog) == ours
    same(prog, packet=PACKET * 2)
    same(prog, "linux-6.1", packet=PACKET * 2)


def test_the_objects_are_what_clang_makes_of_the_source() -> None:
    from tests.nfp.copies.build import FLAGS, built

    for name in FLAGS:
        try:
            raw = built(name)
        except ToolchainError as error:
            pytest.skip(f"needs a clang with the BPF target (apt-get install clang): {error}")
        made, kept = (next(iter(bb.load(x).programs.values())) for x in (raw, HERE / f"{name}.o"))
        if name != "as_is" and made.raw != kept.raw:
            pytest.skip("another version of clang schedules differently")
        assert len(made.insns) > 50


# ------------------------------------------------------------------------------------------------------- packet cache
def reads_of(body: str, kernel: str = "bpfbench") -> int:
    prog = program(body)
    same(prog, kernel)
    return len(texts(compile_nfp(prog, kernel), "mem[read32_swap"))


LOADS = "r3 = *(u8 *)(r2 + 12)\nr4 = *(u16 *)(r2 + 13)\nr5 = *(u64 *)(r2 + 61)\nr3 += r4\nr5 += r3\n"


def test_loads_from_one_pointer_share_a_read() -> None:
    keep = "*(u64 *)(r2 + 80) = r5"
    assert reads_of(LOADS + keep) == 1
    assert reads_of(LOADS.replace("61)", "73)") + keep) == 2                             # beyond 64 bytes
    assert reads_of(LOADS.replace("r4 =", "*(u8 *)(r2 + 99) = r3\nr4 =") + keep) == 2      # a store
    assert reads_of(LOADS.replace("r4 =", "if r3 == 9 goto +0\nr4 =") + keep) == 2         # a jump target
    assert reads_of(LOADS.replace("r4 =", "r8 = r3\ncall 7\nr2 = r6\nr3 = r8\nr4 =") + keep) == 2


def test_a_copy_of_the_pointer_shares_it_and_another_pointer_does_not() -> None:
    assert reads_of("r3 = *(u8 *)(r2 + 12)\nr8 = r2\nr4 = *(u8 *)(r8 + 13)\n*(u8 *)(r2 + 20) = r4") == 1
    assert reads_of("r3 = *(u8 *)(r2 + 12)\nr8 = r2\nr8 += 1\nr4 = *(u8 *)(r8 + 13)\n*(u8 *)(r2 + 20) = r4") == 2


# --------------------------------------------------------------------------------------------------------- peepholes
@pytest.mark.parametrize(
    ("body", "name", "saved"),
    [
        ("r3 = *(u64 *)(r2 + 8)\nr3 <<= 32\nr3 >>= 32\n*(u64 *)(r2 + 16) = r3", "extension", 3),
        ("r3 = *(u64 *)(r2 + 8)\nr3 <<= 32\nr3 >>= 37\n*(u64 *)(r2 + 16) = r3", "extension", 2),
        ("r3 = *(u64 *)(r2 + 8)\nr3 <<= 32\nr3 s>>= 32\n*(u64 *)(r2 + 16) = r3", "extension", 2),
        ("r3 = *(u64 *)(r2 + 8)\nr3 <<= 32\nr3 s>>= 45\n*(u64 *)(r2 + 16) = r3", "extension", 1),
        ("r3 = *(u32 *)(r2 + 8)\nr3 *= 64\n*(u64 *)(r2 + 16) = r3", "power of two", 5),
        ("r3 = *(u32 *)(r2 + 8)\nw3 *= 4096\n*(u64 *)(r2 + 16) = r3", "power of two", 6),
        ("r3 = *(u64 *)(r2 + 8)\nr3 -= -7\n*(u64 *)(r2 + 16) = r3", "negate", 2),
        ("r3 = *(u64 *)(r2 + 8)\nr3 += -2147483648\n*(u64 *)(r2 + 16) = r3", "negate", 0),
        ("r3 = *(u64 *)(r2 + 8)\nif r3 s> -3 goto +1\n*(u64 *)(r2 + 16) = r3", "negate", 0),
        ("r3 = *(u64 *)(r2 + 8)\nif r3 s< -3 goto +1\n*(u64 *)(r2 + 16) = r3", "negate", 2),
    ],
)
def test_a_peephole_saves_instructions_and_changes_nothing(body: str, name: str, saved: int) -> None:
    prog = program(body)
    assert bb.nfp.reports(prog)[name].saved == saved
    for packet in (PACKET, b"\xff" * 700, bytes(700), b"\x80" * 700):
        same(prog, packet=packet)
        same(prog, without=(name,), packet=packet)


def test_masks_of_whole_bytes_take_one_instruction() -> None:
    for mask in (0xFFFF, 0xFF00, 0xFFFFFF, 0x7F00FF00):
        prog = program(f"r3 = *(u64 *)(r2 + 8)\nr3 &= {mask}\n*(u64 *)(r2 + 16) = r3")
        masked = texts(compile_nfp(prog, "bpfbench"), "ld_field_w_clr[gprB_6")
        assert bool(masked) == (mask != 0x7F00FF00)
        same(prog)
        same(prog, without=("byte masks",))


def test_a_report_in_a_notebook() -> None:
    from bpfbench.notebook.formatters import VIEW_OF

    found = bb.nfp.reports(program(copy_lines(4, 8, 300, True)))
    page = VIEW_OF["Reports"](found)
    assert "part of a gathered copy" in page and "mem[read32_swap, $xfer_0, gprA_4, 0x3, 8]" in page
    assert "NfpCode" in VIEW_OF


# ------------------------------------------------------------------------------------------------------ command line
def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from bpfbench.cli import main

    file = str(Path(__file__).parents[2] / "datasets" / "xdp_firewall.o")
    words = {}
    for kernel in ("linux-6.1", "bpfbench"):
        assert main(["jit", "--target", "nfp", "--kernel", kernel, "--json", file]) == 0
        words[kernel] = json.loads(capsys.readouterr().out)["words"]
    assert len(words["bpfbench"]) < len(words["linux-6.1"])
    assert main(["jit", "--target", "nfp", "--kernel", "bpfbench", "--json", "--without", "width32", file]) == 0
    assert len(json.loads(capsys.readouterr().out)["words"]) > len(words["bpfbench"])
    assert main(["jit", "--target", "nfp", "--kernel", "bpfbench", "--passes", file]) == 0
    assert "width32           ours" in capsys.readouterr().out
    assert main(["jit", "--target", "arm", "--passes", file]) == 2
    assert "are about target nfp" in capsys.readouterr().err


def test_a_recording_as_a_batch(capsys: pytest.CaptureFixture[str], tmp_path: Path, recordings: Path) -> None:
    from bpfbench.cli import main

    with gzip.open(recordings / "kernel-jit" / "nfp-linux-6.1.jsonl.gz", "rt") as lines:
        chosen = [line for line in list(lines)[::300] if "driver_defect" not in line]
    file = tmp_path / "some.jsonl"
    file.write_text("".join(chosen))
    assert main(["jit", "--target", "nfp", "--kernel", "linux-6.1", "--batch", str(file), "--processes", "1"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for line, answer in zip(chosen, answers, strict=True):
        want = b"".join(int(word, 16).to_bytes(8, "little") for word in json.loads(line)["words"])
        assert bytes.fromhex(answer["image"]) == want, answer["name"]
