"""Assembly: labels, directives, comments, listings pasted from other tools, errors with a caret, hostile text."""

from __future__ import annotations

import random

import pytest

from bpfbench.errors import DecodeError, ParseError
from bpfbench.isa.assembler import assemble_text
from bpfbench.isa.builder import Builder, R
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.text import NOTATIONS, disassemble
from bpfbench.program.program import from_assembly

SLIDE_14 = """
   35:  57 02 00 00 3f ff 00 00   r2 &= 65343
   36:  55 02 c9 02 00 00 00 00   if r2 != 0 goto +713
   37:  71 82 17 00 00 00 00 00   r2 = *(u8 *)(r8 + 23)
   38:  7b 3a a8 ff 00 00 00 00   *(u64 *)(r10 - 88) = r3
"""


def test_slide_14_reads_as_it_stands() -> None:
    raw = "570200003fff0000" "5502c90200000000" "7182170000000000" "7b3aa8ff00000000"
    assert encode(assemble_text(SLIDE_14).insns).hex() == raw


def test_labels_maps_functions_and_expectations() -> None:
    prog = from_assembly("""
        .type sched_cls
        .map counts hash 4 8 16
            r1 = map[counts]
            call map_lookup_elem           # a helper by its short name
            if r0 == 0 goto out
            call twice                     ; r0=scalar()
        out:
            exit                           // reject: R0 !read_ok
        .func twice
            r0 = r1
            r0 += r1
            exit
    """)
    assert (prog.type, prog.maps[0].type, prog.symbols) == ("sched_cls", "hash", {"twice": 6})
    assert [str(i) for i in prog.insns[:3]] == ["<r1 = map[0]>", "None", "<call bpf_map_lookup_elem#1>"]
    assert str(prog.insns[4]) == "<call pc+1>" and str(prog.insns[3]) == "<if r0 == 0x0 goto pc+1>"


def test_kernel_log_lines_assemble() -> None:
    insns = assemble_text("0: (18) r1 = 0x5\n2: (85) call bpf_map_lookup_elem#1\n3: (95) exit").insns
    assert [str(i) for i in insns] == ["<r1 = 0x5>", "None", "<call bpf_map_lookup_elem#1>", "<exit>"]
    assert insns[0] is not None and insns[0].op.name == "LDDW"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r1 = ", "<t>:1:1: not an instruction of eBPF"),
        ("r0 = 1\n  goto nowhere", "<t>:2:3: unknown label or helper 'nowhere'"),
        ("r11 = 0", "<t>:1:1: there is no register r11"),
        ("r1 += 0x1ffffffff", "<t>:1:1: immediate 0x1ffffffff does not fit 32 bits"),
        ("a: r0 = 0\na: exit", "<t>:2:1: label 'a' is defined twice"),
        ("r1 = map[m]", "<t>:1:1: unknown map 'm'; declare it with .map"),
        (".insn 12", "<t>:1:1: .insn wants the bytes of whole instructions as hex"),
        ("r1 = *(u8 *)(r2 ? 1)", "<t>:1:17: not an instruction: unexpected character"),
    ],
)
def test_errors_name_line_and_column(text: str, message: str) -> None:
    with pytest.raises(ParseError) as error:
        assemble_text(text, "<t>")
    assert str(error.value).splitlines()[0] == message


def test_builder_writes_what_assembly_says() -> None:
    b = Builder().mov(1, 5).label("top").alu("-=", 1, 1).jump("s>", 1, 0, "top", 32).store(8, 10, -8, R(1))
    b = b.atomic("FETCH_ADD", 8, 10, -8, 2).call("get_prandom_u32").exit()
    text = "r1 = 5\ntop: r1 -= 1\nif w1 s> 0 goto top\n*(u64 *)(r10 -8) = r1\n"
    text += "r2 = atomic_fetch_add((u64 *)(r10 - 8), r2)\ncall get_prandom_u32\nexit"
    assert b.insns() == assemble_text(text).insns


def test_any_bytes_survive_decode_and_text() -> None:
    """Hostile slots: lenient decoding keeps every bit, and the disassembly assembles to the same bytes."""
    rng = random.Random(4)
    codes = [code for code in range(256)]
    for _ in range(600):
        raw = bytearray(rng.randbytes(8 * rng.randint(1, 6)))
        for at in range(0, len(raw), 8):
            raw[at] = rng.choice(codes)
            raw[at + 1] &= 0x77
            if rng.random() < 0.5:
                raw[at + 2 : at + 8] = bytes(6)
        insns = decode(bytes(raw), strict=False)
        assert encode(insns) == raw
        for notation in NOTATIONS:
            assert encode(assemble_text(disassemble(insns, notation)).insns) == raw
        try:
            decode(bytes(raw))
        except DecodeError as error:
            assert error.where.pc >= 0


def test_mutated_text_gives_typed_errors_only() -> None:
    rng = random.Random(5)
    base = ".map m hash 4 8 1\ns: r1 = map[m] ; x\nif r1 s> -7 goto s\nlock *(u32 *)(r1 + 0x4) += w2\n"
    base += "call bpf_map_lookup_elem#1\nr0 = cmpxchg_64(r1 + 0, r0, r2)\nr3 = 0x1ffffffff ll\nexit"
    letters = "r0123wxs()*+-=<>&|.:;#/ \n\tgotocallifmap[]é\x00"
    accepted = 0
    for _ in range(3000):
        chars = list(base)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(chars))
            chars[at : at + rng.randint(0, 2)] = rng.choices(letters, k=rng.randint(0, 3))
        try:
            assemble_text("".join(chars))
            accepted += 1
        except ParseError as error:
            assert str(error)
    assert 0 < accepted < 3000


def test_recorded_programs_survive_both_notations(records) -> None:  # type: ignore[no-untyped-def]
    """Every program of the verifier recordings: assemble(disassemble(p)) == p, byte for byte."""
    for record in records("kernel-verifier/programs"):
        raw = bytes.fromhex(record["insns"])
        insns = decode(raw, strict=False)
        for notation in NOTATIONS:
            assert encode(assemble_text(disassemble(insns, notation)).insns) == raw, record["name"]
