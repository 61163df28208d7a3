"""BTF: what is read is written back, what is built can be read, what is broken names its place."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from bpfbench.elf import Btf, load, read_btf
from bpfbench.elf import btf_types as b
from bpfbench.elf.btf_c import declare, dump_c
from bpfbench.elf.btf_types import BtfType, Enumerator, Member, Param, SecVar
from bpfbench.elf.elf import ElfFile
from bpfbench.errors import BtfError
from bpfbench.toolchain import available, find_compiler

KERNEL = Path("/sys/kernel/btf/vmlinux")


def every_kind() -> Btf:
    """One type of each kind."""
    btf = Btf()
    integer = BtfType(b.INT, "int", size=4)
    integer.bits, integer.encoding = 32, b.INT_SIGNED
    i = btf.add(integer)
    p = btf.add(BtfType(b.PTR, type=i))
    array = BtfType(b.ARRAY, type=p)
    array.index_type, array.nelems = i, 3
    a = btf.add(array)
    inner = BtfType(b.UNION, size=8)
    inner.members = [Member("whole", i, 0), Member("address", p, 0)]
    u = btf.add(inner)
    outer = BtfType(b.STRUCT, "outer", size=40, kflag=True)
    outer.members = [Member("list", a, 0), Member("", u, 192), Member("low", i, 256, 3), Member("high", i, 259, 5)]
    s = btf.add(outer)
    enum = BtfType(b.ENUM, "color", size=4, kflag=True)
    enum.values = [Enumerator("RED", -1), Enumerator("GREEN", 2)]
    e = btf.add(enum)
    btf.add(BtfType(b.FWD, "elsewhere"))
    t = btf.add(BtfType(b.TYPEDEF, "outer_t", s))
    v = btf.add(BtfType(b.VOLATILE, type=t))
    c = btf.add(BtfType(b.CONST, type=v))
    btf.add(BtfType(b.RESTRICT, type=p))
    proto = BtfType(b.FUNC_PROTO, type=i)
    proto.params = [Param("x", e), Param("", 0)]
    fp = btf.add(proto)
    function = BtfType(b.FUNC, "work", fp)
    function.linkage = 1
    btf.add(function)
    variable = BtfType(b.VAR, "state", c)
    variable.linkage = b.VAR_GLOBAL
    var = btf.add(variable)
    section = BtfType(b.DATASEC, ".data", size=40)
    section.variables = [SecVar(var, 0, 40)]
    btf.add(section)
    btf.add(BtfType(b.FLOAT, "double", size=8))
    tag = BtfType(b.DECL_TAG, "note", s)
    tag.component = 1
    btf.add(tag)
    btf.add(BtfType(b.TYPE_TAG, "user", i))
    big = BtfType(b.ENUM64, "huge", size=8)
    big.values = [Enumerator("HUGE", 1 << 40), Enumerator("ALL", (1 << 64) - 1)]
    btf.add(big)
    return btf


def test_every_kind_survives_writing_and_reading() -> None:
    btf = every_kind()
    again = read_btf(btf.to_bytes())
    assert sorted(again.type(i).kind for i in again) == list(range(1, len(b.KINDS)))
    assert again.to_bytes() == btf.to_bytes()
    assert again.type(5).members[3].bits == 5
    assert again.type(6).values[0].value == -1
    assert again.type(19).values[1].value == (1 << 64) - 1


def test_big_endian_is_the_same_types() -> None:
    btf = every_kind()
    btf.big_endian = True
    again = read_btf(btf.to_bytes())
    assert again.big_endian
    again.check()
    again.big_endian = False
    assert again.to_bytes() == every_kind().to_bytes()


def test_sizes_and_alignment() -> None:
    btf = every_kind()
    assert [btf.size_of(i) for i in (1, 2, 3, 5, 8, 10, 19)] == [4, 8, 24, 40, 40, 40, 8]
    assert btf.align_of(5) == 8
    with pytest.raises(BtfError, match="has no size"):
        btf.size_of(12)


def test_objects_come_back_byte_for_byte(datasets: Path) -> None:
    for path in sorted(datasets.glob("*.o")):
        section = ElfFile(path.read_bytes()).section(".BTF")
        assert section is not None and read_btf(section.raw).to_bytes() == section.raw


@pytest.mark.skipif(not KERNEL.exists(), reason="this kernel shows no BTF (CONFIG_DEBUG_INFO_BTF)")
def test_the_kernel_comes_back_byte_for_byte() -> None:
    raw = KERNEL.read_bytes()
    btf = read_btf(raw)
    task = btf.find("task_struct", b.STRUCT)
    assert task is not None and btf.size_of(task) > 1000
    assert btf.to_bytes() == raw


def test_split_btf_continues_its_base() -> None:
    base = every_kind()
    module = Btf(base=base)
    pointer = module.add(BtfType(b.PTR, type=5))
    module.add(BtfType(b.TYPEDEF, "outer_p", pointer))
    again = read_btf(module.to_bytes(), base)
    assert pointer == len(base) and again.type(again.type(pointer).type).name == "outer"
    assert again.find("outer_p") == pointer + 1 and again.find("color") == base.find("color")


def test_c_text() -> None:
    text = dump_c(every_kind())
    assert "\tint *list[3];" in text and "\tint low : 3;" in text
    assert "enum color {\n\tRED = -1,\n\tGREEN = 2,\n};" in text
    btf = every_kind()
    callback = btf.add(BtfType(b.PTR, type=12))
    assert declare(btf, callback, "fn") == "int (*fn)(enum color x, ...)"


@pytest.mark.skipif(not available(), reason="no clang with the BPF target: apt install clang, or pip install ziglang")
@pytest.mark.parametrize("source", ["object", "kernel"])
def test_c_text_compiles_and_has_the_same_layout(source: str, datasets: Path, tmp_path: Path) -> None:
    if source == "kernel" and not KERNEL.exists():
        pytest.skip("this kernel shows no BTF (CONFIG_DEBUG_INFO_BTF)")
    btf = load(datasets / "xdp_parser.o").btf if source == "object" else read_btf(KERNEL.read_bytes())
    assert btf is not None
    names = ("task_struct", "sk_buff", "net_device")
    ids = list(btf) if source == "object" else [i for n in names if (i := btf.find(n, b.STRUCT))]
    checks = [
        f"_Static_assert(sizeof(struct {t.name}) == {t.size}, \"{t.name}\");"
        for t in map(btf.type, ids) if t.kind == b.STRUCT and t.name
    ]  # fmt: skip
    (tmp_path / "types.c").write_text(dump_c(btf, ids) + "\n".join(checks) + "\n")
    command = [*find_compiler().command, "-target", "bpf", "-w", "-c", "types.c", "-o", "types.o"]
    told = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert told.returncode == 0, told.stderr[:2000]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: raw[:10], "offset 0x0: BTF header needs 24 bytes, 10 are there"),
        (lambda raw: b"\0" + raw[1:], "offset 0x0: bad BTF magic"),
        (lambda raw: raw[:2] + b"\x02" + raw[3:], "offset 0x2: unsupported BTF version 2"),
        (lambda raw: raw[:-1], "offset 0x10: BTF strings lie outside the section"),
        (lambda raw: raw[:-1] + b"x", "BTF strings must begin and end with NUL"),
        (lambda raw: raw[:28] + struct.pack("<I", 31 << 24) + raw[32:], "offset 0x18: unknown BTF kind 31 of type 1"),
        (lambda raw: raw[:24] + struct.pack("<I", 9999) + raw[28:], "offset 0x18: BTF string offset 0x270f"),
        (lambda raw: raw[:48] + struct.pack("<I", 77) + raw[52:], "offset 0x28: reference to BTF type 77"),
    ],
)
def test_broken_btf_names_its_place(change: object, message: str) -> None:
    with pytest.raises(BtfError, match="section .BTF") as caught:
        read_btf(change(every_kind().to_bytes()), file="x.o").check()  # type: ignore[operator]
    assert str(caught.value).startswith("x.o") and message in str(caught.value)


def test_circles_end() -> None:
    btf = Btf()
    first = BtfType(b.TYPEDEF, "a", 2)
    btf.add(first)
    btf.add(BtfType(b.TYPEDEF, "b", 1))
    for question in (btf.resolve, btf.size_of):
        with pytest.raises(BtfError):
            question(1)
    assert dump_c(btf).count("typedef") == 2
