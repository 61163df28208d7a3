"""The container: what is read out of it, what is written into it, and where it is broken."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from bpfbench.elf import ElfFile, load
from bpfbench.elf.writer import Writer, rewrite
from bpfbench.errors import BpfbenchError, ElfError, UsageError

TWO = bytes.fromhex("b700000002000000" "9500000000000000")      # r0 = 2; exit


def small() -> Writer:
    writer = Writer()
    text = writer.section("xdp", TWO, flags=6)
    writer.symbol("two", text, 0, 16, "GLOBAL", "FUNC")
    writer.section("license", b"GPL\0", flags=3, align=1)
    return writer


def test_sections_symbols_and_relocations(datasets: Path) -> None:
    elf = ElfFile((datasets / "xdp_firewall.o").read_bytes(), "xdp_firewall.o")
    xdp = elf.section("xdp")
    assert xdp is not None and xdp.is_code and xdp.size % 8 == 0
    main = next(s for s in elf.symbols if s.name == "xdp_firewall")
    assert (main.bind, main.type, main.section, main.size) == ("GLOBAL", "FUNC", xdp.index, xdp.size)
    names = {elf.symbols[r.symbol].name for r in elf.relocations[xdp.index]}
    assert names == {"blocked_sources", "closed_ports", "counters"}


def test_a_written_object_loads() -> None:
    obj = load(small().to_bytes(), name="two.o")
    program = obj.program()
    assert (program.name, program.type, program.attach_type, program.license) == ("two", "xdp", 37, "GPL")
    assert program.raw == TWO and obj.code[0].symbols == {0: "two"}


def test_rewriting_without_dwarf_changes_no_program(datasets: Path) -> None:
    for path in sorted(datasets.glob("*.o")):
        raw = path.read_bytes()
        short = rewrite(ElfFile(raw))
        assert len(short) < len(raw)
        assert load(short, name=path.name).programs == load(raw, name=path.name).programs


def at(offset: int, form: str, *values: int) -> Callable[[bytes], bytes]:
    """Damage: these values at this offset."""
    return lambda raw: raw[:offset] + struct.pack(form, *values) + raw[offset + struct.calcsize(form) :]


def header(raw: bytes, name: str, field: int) -> int:
    """Offset of a field of the section header of section `name`."""
    index = next(s.index for s in ElfFile(raw).sections if s.name == name)
    table: int = struct.unpack_from("<Q", raw, 0x28)[0]
    return table + 64 * index + field


SIZE, LINK, ENTSIZE, OFFSET = 0x20, 0x28, 0x38, 0x18


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: b"", "not an ELF file"),
        (lambda raw: raw[:40], "offset 0x0: truncated ELF header: 40 bytes"),
        (lambda raw: raw[:-1], "offset 0x28: section header table"),
        (at(0x28, "<Q", 1 << 60), "offset 0x28: section header table"),
        (at(0x3C, "<H", 60000), "offset 0x28: section header table"),
        (at(0x12, "<H", 62), "offset 0x12: an object for X86_64, not for BPF"),
        (at(0x10, "<H", 2), "offset 0x10: not a 64-bit relocatable but 64-bit EXEC"),
        (lambda raw: at(header(raw, "xdp", SIZE), "<Q", 1 << 40)(raw), "section xdp, offset 0x"),
        (lambda raw: at(header(raw, "xdp", SIZE), "<Q", 15)(raw), "section xdp, offset 0x8: code of 15 bytes"),
        (lambda raw: at(header(raw, "xdp", SIZE), "<Q", 8)(raw), "'two' of 16 bytes ends outside"),
        (lambda raw: at(header(raw, ".symtab", ENTSIZE), "<Q", 0)(raw), ".symtab, offset 0x0: 48 bytes of symbols"),
        (lambda raw: at(header(raw, ".symtab", LINK), "<I", 99)(raw), ".symtab, offset 0x0: symbol names are in"),
    ],
)  # fmt: skip
def test_one_error_names_section_and_offset(damage: Callable[[bytes], bytes], message: str) -> None:
    with pytest.raises(ElfError) as caught:
        load(damage(small().to_bytes()), name="broken.o")
    assert str(caught.value).startswith("broken.o") and message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_cut_gives_a_typed_error_or_an_object(datasets: Path) -> None:
    raw = rewrite(ElfFile((datasets / "xdp_tenants.o").read_bytes()))
    for length in range(0, len(raw), 7):
        with pytest.raises(BpfbenchError):
            load(raw[:length])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.o", tmp_path, "a\0b"):
        with pytest.raises(UsageError, match="cannot read"):
            load(path)
