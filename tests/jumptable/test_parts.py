"""The parts by themselves: words, ranges, layout, records, errors."""

# ruff: noqa: E501  (assembly)
from __future__ import annotations

import doctest
import importlib
import itertools
import random
import struct
from pathlib import Path

import pytest

from bpfbench.errors import BpfbenchError, JumptableError, UsageError
from bpfbench.jumptable import a64, emit, note, recover
from bpfbench.jumptable.annotate import annotate, tables_in
from bpfbench.jumptable.image import Image
from bpfbench.jumptable.ranges import EQ, GE, GT, HI, HS, LE, LO, LS, LT, NE, Range, holds, narrow
from bpfbench.jumptable.records import attach
from bpfbench.jumptable.rewrite import rewrite

from .support import elf, stripped


@pytest.mark.parametrize("module", ["a64", "annotate", "ranges"])
def test_docstrings(module: str) -> None:
    assert doctest.testmod(importlib.import_module(f"bpfbench.jumptable.{module}")).failed == 0


def test_what_words_write_agrees_with_capstone() -> None:
    """On words that occur in programs and on random ones; Capstone leaves out that compares write the zero register."""
    capstone = pytest.importorskip("capstone")
    md = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    md.detail = True
    image = Image(elf("gcc-12-O2"), "gcc")
    words = {w for a, b, _ in image.code_ranges() for w in image.words(a, (b - a) // 4)}
    checked = 0
    for w in sorted(words):
        i = next(md.disasm(struct.pack("<I", w), 0), None)
        if i is None or i.mnemonic in ("bl", "blr", "svc", "cmp", "cmn", "tst"):
            continue
        names = {i.reg_name(r) for r in i.regs_access()[1]}
        want = {int(n[1:]) for n in names if n[0] in "xw" and n[1:].isdigit()} | {
            31 for n in names if n in ("sp", "wsp")
        }
        want |= {30 for n in names if n == "lr"} | {29 for n in names if n == "fp"}
        assert {k for k in range(32) if a64.decode(w).writes >> k & 1} == want, (hex(w), i.mnemonic, i.op_str)
        checked += 1
    assert checked > 1000


@pytest.mark.parametrize("cond", [EQ, NE, HS, LO, HI, LS, GE, LT, GT, LE])
def test_narrowing_keeps_every_value_that_satisfies_the_condition(cond: int) -> None:
    """Exhaustive at small values of 32-bit registers, which includes values that are negative when signed."""

    def signed(v: int) -> int:
        return v - (1 << 32) if v >> 31 else v

    test = {
        EQ: lambda v, n: v == n,
        NE: lambda v, n: v != n,
        HS: lambda v, n: v >= n,
        LO: lambda v, n: v < n,
        HI: lambda v, n: v > n,
        LS: lambda v, n: v <= n,
        GE: lambda v, n: signed(v) >= signed(n),
        LT: lambda v, n: signed(v) < signed(n),
        GT: lambda v, n: signed(v) > signed(n),
        LE: lambda v, n: signed(v) <= signed(n),
    }[cond]
    for lo, hi, n in itertools.product(range(6), range(6), range(7)):
        r = narrow(Range(lo, hi), cond, n, 0, False)
        kept = {v for v in range(lo, hi + 1) if test(v, n)}
        got = set(range(r.lo, r.hi + 1)) if r is not None else set()
        assert kept <= got, (lo, hi, n)
        if cond in (HS, LO, HI, LS, EQ):
            assert got == kept


def test_conditions_on_constant_flags() -> None:
    assert holds(0, 4) and not holds(1, 4) and holds(HI, 2) and not holds(HI, 6) and holds(LS, 4) and holds(14, 0)


@pytest.mark.parametrize("value", [0, 1, 0xFFFF, 0x12345678, -1, -100, -0x12345678, 1 << 40, -(1 << 47), (1 << 64) - 1])
def test_constants_are_built_from_moves(value: int) -> None:
    x = 0
    for w in emit.move(3, value):
        i = a64.decode(w)
        x = i.imm if i.op == a64.MOVI else x & ~(0xFFFF << i.shift) | i.imm << i.shift
    assert x == value & (1 << 64) - 1


@pytest.mark.parametrize(("distance", "words"), [(100, 1), (1 << 19, 1), (1 << 21, 2), (-(1 << 21), 2), (1 << 31, 2)])
def test_adr_is_relaxed_when_out_of_range(distance: int, words: int) -> None:
    """Point 7 of the post; whichever form is chosen computes the same address."""
    base, target = 0x10000000, 0x10000000 + distance
    made = emit.emit([emit.Piece(base, [emit.Item(emit.ADR, 1, [], target, 9)], None)], base, {}, {}, set())
    insns = [a64.decode(w) for (w,) in struct.iter_unpack("<I", made.code)]
    assert len(insns) == words
    value = base + insns[0].imm if words == 1 else (base & ~0xFFF) + insns[0].imm + insns[1].imm
    assert value == target


def test_short_branches_are_inverted_when_out_of_range() -> None:
    """A tbz over 40 KiB becomes tbnz over b."""
    far = [emit.Item(emit.RAW, 0, [emit.NOP] * 10240)]
    tbz = emit.Item(emit.BRANCH, 1, [], 2, insn=a64.decode(0x36000000))
    made = emit.emit([emit.Piece(1, [tbz], 3), emit.Piece(3, far, 2), emit.Piece(2, [], None)], 0x1000, {}, {}, set())
    first, second = struct.unpack_from("<2I", made.code)
    assert a64.decode(first).op == a64.TBZ and a64.decode(first).ext == 1 and a64.decode(first).imm == 8
    assert a64.decode(second).op == a64.B and 0x1004 + a64.decode(second).imm == made.labels[2]


GCC = """\t.type\tf, %function
f:\n\tcmp w0, 2\n\tbhi .L9\n\tadrp x1, .L4\n\tadd x1, x1, :lo12:.L4\n\tldrb w0, [x1, w0, uxtw]\n\tadr x1, .Lrtx4\n\tadd x0, x1, w0, sxtb #2
\tbr x0\n.Lrtx4:\n\t.section .rodata\n.L4:\n\t.byte (.L5 - .Lrtx4) / 4\n\t.byte (.L6 - .Lrtx4) / 4\n\t.byte (.L5 - .Lrtx4) / 4
\t.text\n.L5:\n\tret\n.L6:\n\tret\n.L9:\n\tret
"""


def test_annotating_compiler_output() -> None:
    (t,) = tables_in(GCC)
    assert (t.label, t.anchor, t.targets, t.size, t.signed, t.shift) == (
        ".L4",
        ".Lrtx4",
        [".L5", ".L6", ".L5"],
        1,
        True,
        2,
    )
    text = annotate(GCC)
    assert (
        "f.jump0:" in text
        and ".note.jumptables" in text
        and [x for x in GCC.splitlines() if x not in text.splitlines()] == []
    )


def test_a_table_without_a_branch_is_an_error() -> None:
    with pytest.raises(JumptableError, match="no branch found for the table .L4"):
        tables_in(GCC.replace("\tbr x0\n", "\tret\n"))


@pytest.mark.parametrize("strip", [False, True])
def test_records_end_the_guessing(strip: bool, tmp_path: Path) -> None:
    """The author's proposal: with a record per table every count is exact and proven, also where no compare exists."""
    raw = stripped(elf("clang-16-Oz")) if strip else elf("clang-16-Oz")
    (tmp_path / "in").write_bytes(raw)
    recorded = attach(tmp_path / "in", tmp_path / "out")
    found = recover(tmp_path / "out")
    assert [(t.branch, t.targets) for t in found.tables] == [(t.branch, t.targets) for t in recorded]
    assert {t.sizes.source for t in found.tables} == {"record"}
    rows = note.read(Image.open(tmp_path / "out"))
    assert {(r.branch, r.table, r.count, r.size) for r in rows} == {
        (t.branch, t.address, t.count, t.size) for t in recorded
    }
    assert any(s.name.endswith(".jump0") for s in Image.open(tmp_path / "out").symbols)


def test_errors_name_the_file(tmp_path: Path) -> None:
    for name, content, words in (
        ("a", b"", "not a readable ELF"),
        ("b", b"\x7fELF" + bytes(60), "not a readable ELF"),
        ("c", elf("gallery")[:0x200], "truncated"),
        ("d", b"hello" * 100, "not a readable ELF"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(JumptableError, match=words) as caught:
            recover(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(JumptableError, match="cannot read"):
        recover(tmp_path / "missing")
    x86 = bytearray(elf("gallery"))
    x86[18] = 62
    with pytest.raises(JumptableError, match="EM_X86_64, not EM_AARCH64"):
        recover(Image(bytes(x86), "x86"))
    with pytest.raises(UsageError, match="unknown mode"):
        rewrite(Image(elf("gallery")), tmp_path / "out", "upside down")
    with pytest.raises(JumptableError, match="cannot write"):
        rewrite(Image(elf("gallery")), tmp_path / "no" / "out")


def test_mutated_files_end_in_typed_errors() -> None:
    """A sample of tests/jumptable_fuzz.py, which runs 10,000."""
    from tests.jumptable_fuzz import PREBUILT, main, mutate

    outcome = main(120, seed=7, files=[PREBUILT / "gallery.elf", PREBUILT / "gcc-12-Os-pie.elf"])
    assert sum(outcome.values()) == 120 and any(k.endswith("refused") for k in outcome)
    rng = random.Random(3)
    for _ in range(10):
        data = mutate(elf("gallery"), rng)[1]
        try:
            rewrite(Image(data, "mutated"), "/dev/null", "reverse")
        except BpfbenchError:
            pass
