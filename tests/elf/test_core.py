"""CO-RE: what the program's types say is replaced by what the kernel's types say, or poisoned.

The kernel here is a handful of types built for the purpose, so that every rule has its case.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfbench.elf import Btf, core, load, read_btf
from bpfbench.elf import btf_types as b
from bpfbench.elf.btf_ext import CoreRelocation
from bpfbench.elf.btf_subset import subset
from bpfbench.elf.btf_types import BtfType, Enumerator, Member
from bpfbench.elf.core_match import essential, types_match
from bpfbench.errors import BtfError, UsageError, Where
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.insn import Instruction as I
from bpfbench.isa.ops import OP

HERE = Where(section="xdp", offset=8)


class Types:
    """Builds BTF: the same few basic types, then structs by name."""

    def __init__(self) -> None:
        self.btf = Btf()
        self.u32 = self.integer("unsigned int", 4, 0)
        self.s32 = self.integer("int", 4, b.INT_SIGNED)
        self.u64 = self.integer("unsigned long", 8, 0)
        self.u8 = self.integer("unsigned char", 1, 0)

    def integer(self, name: str, size: int, encoding: int) -> int:
        t = BtfType(b.INT, name, size=size)
        t.bits, t.encoding = 8 * size, encoding
        return self.btf.add(t)

    def pointer(self, to: int) -> int:
        return self.btf.add(BtfType(b.PTR, type=to))

    def array(self, of: int, count: int) -> int:
        t = BtfType(b.ARRAY, type=of)
        t.index_type, t.nelems = self.u32, count
        return self.btf.add(t)

    def struct(self, name: str, size: int, *members: Member, kind: int = b.STRUCT) -> int:
        t = BtfType(kind, name, size=size, kflag=any(m.bits for m in members))
        t.members = list(members)
        return self.btf.add(t)

    def enum(self, name: str, **values: int) -> int:
        t = BtfType(b.ENUM, name, size=4)
        t.values = [Enumerator(k, v) for k, v in values.items()]
        return self.btf.add(t)


def program_types() -> tuple[Types, dict[str, int]]:
    t = Types()
    ids = {
        "inner": t.struct("inner", 8, Member("x", t.u32, 0), Member("y", t.u32, 32)),
        "missing": t.struct("missing", 4, Member("x", t.u32, 0)),
        "color": t.enum("color___mine", RED=1, BLUE___local=2, PINK=3),
        "flags": t.struct("flags", 4, Member("a", t.u32, 0, 3), Member("b", t.s32, 3, 5)),
    }
    ids["outer"] = t.struct(
        "outer___v1", 40, Member("id", t.u32, 0), Member("sum", t.u32, 32),
        Member("list", t.array(ids["inner"], 2), 64), Member("next", t.pointer(t.u8), 192),
        Member("old", t.u32, 256), Member("wide", t.u32, 288),
    )  # fmt: skip
    return t, ids


def kernel_types() -> Types:
    """`outer` has moved everything: `sum` lies in a nameless union, `wide` has 8 bytes, `old` is gone."""
    k = Types()
    inner = k.struct("inner", 16, Member("pad", k.u64, 0), Member("y", k.u32, 64), Member("x", k.u32, 96))
    union = k.struct("", 8, Member("sum", k.u32, 0), Member("whole", k.u64, 0), kind=b.UNION)
    k.struct(
        "outer", 112, Member("wide", k.u64, 0), Member("", union, 64), Member("list", k.array(inner, 4), 128),
        Member("next", k.pointer(k.u64), 640), Member("id", k.u32, 704), Member("signed", k.s32, 736),
    )  # fmt: skip
    k.enum("color", RED=10, BLUE=20)
    k.struct("flags", 8, Member("n", k.u64, 0, 20), Member("b", k.s32, 20, 5), Member("a", k.u32, 25, 3))
    return k


def patch(insn: I, type: str, access: str, kind: int, held: int | None = None) -> I:
    """The instruction after its relocation; `held` is what a compiler would have put into it."""
    local, ids = program_types()
    code = bytearray(encode([insn, None] if insn.slots == 2 else [insn]))
    relocation = CoreRelocation(0, ids[type], access, kind)
    core.apply(code, 0, relocation, local.btf, core.Target(kernel_types().btf), HERE)
    first = decode(bytes(code), strict=False)[0]
    assert first is not None
    return first


MOV, LDX32, LDX64, STX32 = OP["MOV64_K"], OP["LDXW"], OP["LDXDW"], OP["STXW"]


@pytest.mark.parametrize(
    ("type", "access", "kind", "held", "expected"),
    [
        ("outer", "0:0", core.BYTE_OFF, 0, 88),           # id
        ("outer", "0:1", core.BYTE_OFF, 4, 8),            # sum, inside a nameless union
        ("outer", "0:2:1:0", core.BYTE_OFF, 16, 44),      # list[1].x
        ("outer", "0:2:1", core.BYTE_SIZE, 8, 16),        # sizeof(list[1])
        ("outer", "0:3", core.BYTE_OFF, 24, 80),          # next: any two pointers
        ("outer", "0:5", core.BYTE_SIZE, 4, 8),           # wide
        ("outer", "1:0", core.BYTE_OFF, 40, 200),         # ((struct outer *)p)[1].id
        ("outer", "0:4", core.FIELD_EXISTS, 1, 0),        # old: not there any more
        ("outer", "0:0", core.FIELD_EXISTS, 1, 1),
        ("flags", "0:0", core.BYTE_OFF, 0, 0),            # a at bits 25..27: word 0 of 4 bytes
        ("flags", "0:0", core.LSHIFT, 61, 36),
        ("flags", "0:0", core.RSHIFT, 61, 61),
        ("flags", "0:1", core.SIGNED, 1, 1),
        ("outer", "0", core.TYPE_SIZE, 40, 112),
        ("outer", "0", core.TYPE_EXISTS, 1, 1),
        ("missing", "0", core.TYPE_EXISTS, 1, 0),
        ("missing", "0", core.TYPE_SIZE, 4, 0),
        ("color", "0", core.ENUM_VALUE, 1, 10),
        ("color", "1", core.ENUM_VALUE, 2, 20),           # names without their flavor
        ("color", "2", core.ENUM_EXISTS, 1, 0),
    ],
)
def test_values(type: str, access: str, kind: int, held: int, expected: int) -> None:
    assert patch(I(MOV, dst=1, imm=held), type, access, kind) == I(MOV, dst=1, imm=expected)


def test_loads_and_stores_get_offset_and_size() -> None:
    assert patch(I(LDX32, dst=1, src=2, off=4), "outer", "0:1", core.BYTE_OFF) == I(LDX32, dst=1, src=2, off=8)
    assert patch(I(LDX32, dst=1, src=2, off=36), "outer", "0:5", core.BYTE_OFF) == I(LDX64, dst=1, src=2, off=0)
    assert patch(I(STX32, dst=2, src=1, off=0), "outer", "0:0", core.BYTE_OFF) == I(STX32, dst=2, src=1, off=88)


def test_wide_loads_take_large_values() -> None:
    wide = patch(I(OP["LDDW"], dst=1, imm=2), "color", "1", core.ENUM_VALUE)
    assert wide == I(OP["LDDW"], dst=1, imm=20)


@pytest.mark.parametrize(("type", "access", "kind"), [("outer", "0:4", core.BYTE_OFF), ("color", "2", core.ENUM_VALUE)])
def test_what_is_missing_becomes_a_call_nobody_may_make(type: str, access: str, kind: int) -> None:
    held = {"outer": 32, "color": 3}[type]
    assert patch(I(MOV, dst=1, imm=held), type, access, kind) == I(OP["CALL"], imm=core.POISON)


@pytest.mark.parametrize(
    ("insn", "type", "access", "kind", "message"),
    [
        (I(MOV, dst=1, imm=7), "outer", "0:0", core.BYTE_OFF, "the instruction holds 7, the program's types say 0"),
        (I(OP["MOV64_X"], dst=1, src=2), "outer", "0:0", core.BYTE_OFF, "of an instruction with code 0xbf"),
        (I(MOV, dst=1), "outer", "0:9", core.BYTE_OFF, "access '0:9' leads out of <struct outer___v1>"),
        (I(MOV, dst=1), "outer", "0:2:7", core.BYTE_OFF, "leads out of <array"),
        (I(MOV, dst=1), "outer", "0:x", core.BYTE_OFF, "bad CO-RE access string '0:x'"),
        (I(MOV, dst=1), "outer", "", core.BYTE_OFF, "bad CO-RE access string ''"),
        (I(MOV, dst=1), "outer", "0:0", 99, "unknown CO-RE relocation kind 99"),
        (I(MOV, dst=1), "color", "9", core.ENUM_VALUE, "is no value of <enum color___mine>"),
    ],
)
def test_errors_name_the_instruction(insn: I, type: str, access: str, kind: int, message: str) -> None:
    with pytest.raises(BtfError) as caught:
        patch(insn, type, access, kind)
    assert str(caught.value).startswith("section xdp, offset 0x8") and message in str(caught.value)


def test_candidates_that_disagree_are_an_error() -> None:
    local, ids = program_types()
    kernel = kernel_types()
    kernel.struct("outer___2", 8, Member("id", kernel.u32, 32))
    with pytest.raises(BtfError, match="ambiguous: 2 types"):
        relocation = CoreRelocation(0, ids["outer"], "0:0", core.BYTE_OFF)
        core.apply(bytearray(encode([I(MOV)])), 0, relocation, local.btf, core.Target(kernel.btf), HERE)


def test_without_a_kernel_the_error_says_what_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "KERNEL_BTF", "/nonexistent/btf")
    local, ids = program_types()
    with pytest.raises(UsageError, match="give btf="):
        relocation = CoreRelocation(0, ids["outer"], "0:0", core.BYTE_OFF)
        core.apply(bytearray(encode([I(MOV)])), 0, relocation, local.btf, core.Target(), HERE)


def test_names_without_flavor() -> None:
    names = ["task_struct", "task_struct___v5", "a___b___c", "a____b", "___x", "x___"]
    assert [essential(n) for n in names] == ["task_struct", "task_struct", "a___b", "a____b", "___x", "x___"]


def test_matching_types() -> None:
    local, ids = program_types()
    kernel = kernel_types()
    flags = kernel.btf.find("flags")
    outer = kernel.btf.find("outer")
    assert flags is not None and outer is not None
    assert types_match(local.btf, ids["flags"], kernel.btf, flags)
    assert not types_match(local.btf, ids["outer"], kernel.btf, outer)          # `old` has no match


def test_a_part_of_a_kernel_answers_like_the_whole(datasets: Path) -> None:
    """`kernel.btf` was cut from the BTF of linux-6.18 and stands in where a kernel shows none."""
    part = read_btf((datasets / "kernel.btf").read_bytes())
    task = part.find("task_struct", b.STRUCT)
    assert task is not None and len(part) < 1000
    again = subset(part, [task])
    assert again.size_of(again.find("task_struct") or 0) == part.size_of(task)
    program = load(datasets / "core_task.o", part).programs["core_task"]
    offset = next(m.offset // 8 for m in part.type(task).members if m.name == "real_parent")
    assert any(i is not None and i.op.name == "MOV64_K" and i.imm == offset for i in program.insns)


def test_the_part_beside_the_object_is_found(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "KERNEL_BTF", "/nonexistent/btf")
    assert load(datasets / "core_task.o").programs == load(datasets / "core_task.o", datasets / "kernel.btf").programs
