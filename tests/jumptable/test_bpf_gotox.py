"""Jump tables of BPF itself: what LLVM 22 makes of a dense switch, through loader, interpreter, verifier and JIT.

`bpf_switch.o` and `bpf_switch_v3.o` are one source, once with tables and `gotox`, once with compares only.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench.elf.elf import ElfFile
from bpfbench.elf.object import Object
from bpfbench.errors import ElfError, ExecuteError, NotSupported
from bpfbench.execute import run
from bpfbench.execute.prepare import make
from bpfbench.interp.map_kinds import InsnArray
from bpfbench.interp.memory import Memory
from bpfbench.isa import ops
from bpfbench.program.cfg import build
from bpfbench.program.program import MapSpec, Program

ENTRIES = 15


@pytest.fixture(scope="module")
def path(datasets: Path) -> Path:
    return datasets / "jumptables" / "bpf_switch.o"


@pytest.fixture(scope="module")
def switch(path: Path) -> Object:
    return bb.load(path)


def entries(spec: MapSpec) -> list[int]:
    return list(struct.unpack(f"<{spec.max_entries}Q", spec.contents or b""))


def test_each_table_becomes_an_instruction_array(switch: Object) -> None:
    """Kernel: 4-byte keys, 16-byte values, frozen.  The file's byte offsets become slots of the linked program."""
    first, steps = switch.programs["first"], switch.programs["steps"]
    assert [m.name for m in steps.maps] == ["BPF.JT.2.0", "BPF.JT.1.0"]
    for spec in steps.maps:
        shape = (spec.type, spec.key_size, spec.value_size, spec.max_entries, spec.frozen)
        assert shape == ("insn_array", 4, 16, ENTRIES, True)
    # `weigh` stands elsewhere in the two programs, and so do the targets of its table
    moved = steps.symbols["weigh"] - first.symbols["weigh"]
    assert moved > 0
    assert [slot - moved for slot in entries(steps.maps[1])] == entries(first.maps[0])
    loads = [i for i in steps.insns if i is not None and i.kind == ops.LDDW and i.op.fn == ops.MAP_VALUE]
    assert [(i.imm, i.imm2) for i in loads] == [(0, 0), (1, 0)]


@pytest.mark.parametrize("name", ["first", "steps"])
def test_interpreter_agrees_with_the_switch_without_tables(switch: Object, path: Path, name: str) -> None:
    compares = bb.load(path.with_name("bpf_switch_v3.o"))
    assert not compares.programs[name].maps
    for mark in range(18):
        for length in (14, 77):
            ours = bb.run(switch.programs[name], bytes(length), ctx={"mark": mark})
            theirs = bb.run(compares.programs[name], bytes(length), ctx={"mark": mark})
            assert ours.trap is None and ours.r0 == theirs.r0, (mark, length)


def test_a_recording_of_the_program_runs_alike(switch: Object) -> None:
    again = Program.from_json(switch.programs["steps"].to_json())
    assert bb.run(again, bytes(50), ctx={"mark": 3}).r0 == bb.run(switch.programs["steps"], bytes(50), ctx={"mark": 3}).r0


def table_program(*body: object) -> Program:
    """r1 = the address of an array with the slots 5 and 7, then `body`, then r0 = 1; exit; r0 = 2; exit."""
    insns = [make("LDDW_MAP_VALUE", 1), None, *body]
    insns += [make("MOV64_K", 0, imm=1), make("EXIT"), make("MOV64_K", 0, imm=2), make("EXIT")]
    spec = MapSpec("insn_array", 4, 16, 2, name="table", contents=struct.pack("<QQ", 5, 7), frozen=True)
    return Program(insns, "socket_filter", maps=[spec])  # type: ignore[arg-type]


@pytest.mark.parametrize("index,expected", [(0, 1), (1, 2)])
def test_gotox_goes_where_the_table_says(index: int, expected: int) -> None:
    program = table_program(make("LDXDW", 2, 1, 8 * index), make("GOTOX", 2), make("EXIT"))
    assert bb.run(program).r0 == expected


@pytest.mark.parametrize(
    "insn,kind",
    [
        (make("MOV64_K", 2, imm=5), "jump"),           # a slot number is no address
        (make("MOV64_X", 2, 1), "jump"),               # nor is that of the table
        (make("LDXDW", 2, 1, 16), "memory"),          # behind the table
        (make("STXDW", 1, 1, 0), "memory"),           # programs cannot write it
    ],
)
def test_anything_else_traps(insn: object, kind: str) -> None:
    result = bb.run(table_program(insn, make("GOTOX", 2), make("EXIT")))
    assert result.trap is not None and result.trap.pc == (2 if kind == "memory" else 3)
    assert ("is not the address of an instruction" in str(result.trap)) == (kind == "jump")


def test_user_space_sees_slots() -> None:
    """struct bpf_insn_array_value: slot, rewritten slot, native offset; only the first can be set."""
    array = InsnArray(MapSpec("insn_array", 4, 16, 2, contents=struct.pack("<QQ", 5, 7)), Memory(), 1)
    assert array.get(1) == struct.pack("<IIII", 7, 7, 0, 0)
    assert array.update(bytes(4), struct.pack("<IIII", 9, 0, 0, 0), 0) == 0
    assert array.get(0) == struct.pack("<IIII", 9, 9, 0, 0)
    assert array.update(bytes(4), struct.pack("<IIII", 9, 1, 0, 0), 0) == -22


def test_graph_has_an_edge_to_each_entry_of_the_function(switch: Object) -> None:
    steps = switch.programs["steps"]
    graph = build(steps)
    jumps = [block for block in graph.blocks if (i := steps.insns[block.last]) is not None and i.kind == ops.GOTOX]
    assert len(jumps) == 2
    for block, spec in zip(jumps, steps.maps):
        assert sorted(graph.blocks[t].start for t in graph.successors[block.index]) == sorted(set(entries(spec)))
    assert all(block.reachable for block in graph.blocks)
    assert not graph.flaws


@pytest.mark.parametrize("kernel", ["linux-6.1", "linux-6.12", "linux-6.18"])
def test_kernels_before_6_19_refuse(switch: Object, kernel: str) -> None:
    verdict = bb.verify(switch.programs["steps"], kernel=kernel)
    assert not verdict.accepted and "unknown opcode 0d" in str(verdict)
    with pytest.raises(NotSupported, match=r"gotox.* before linux-6.19"):
        bb.jit(switch.programs["steps"], "x86_64", kernel)


def native(dst: int, **features: bool) -> tuple[str, list[str]]:
    """The bytes of `gotox rDST`, and the symbols that they jump to."""
    program = Program([make("MOV64_K", 0, imm=0), make("GOTOX", dst), make("EXIT")], "socket_filter")
    code = bb.jit(program, "x86_64", "bpfbench", features=features)
    rows = [row for row in code.insns if row.owner == 1]
    return b"".join(row.bytes for row in rows).hex(" "), [r.symbol for r in code.relocations if r.kind == "indirect_thunk"]


def test_x86_64_jumps_through_the_register() -> None:
    """emit_indirect_jump: a thunk per register with retpolines, else jmp *reg, and int3 against straight-line runs."""
    assert native(1) == ("e9 00 00 00 00", ["__x86_indirect_thunk_rdi"])
    assert native(8) == ("e9 00 00 00 00", ["__x86_indirect_thunk_r14"])
    assert native(1, retpoline=False) == ("ff e7 cc", [])
    assert native(5, retpoline=False) == ("41 ff e0 cc", [])
    assert native(0, retpoline=False, retpoline_config=False, sls=False) == ("ff e0", [])


@pytest.mark.parametrize("target", ["aarch64", "arm", "mips64", "ppc64", "riscv64"])
def test_other_targets_say_that_they_do_not(switch: Object, target: str) -> None:
    with pytest.raises(NotSupported, match=f"gotox.* on target {target}"):
        bb.jit(switch.programs["steps"], target)


def test_no_native_run(switch: Object) -> None:
    with pytest.raises(ExecuteError, match="unknown opcode 0d"):
        run(switch.programs["steps"], bytes(64), engine="native")
    with pytest.raises(NotSupported, match="gotox"):
        run(switch.programs["steps"], bytes(64), engine="emulate:x86_64")
    only_a_load = table_program(make("LDXDW", 2, 1), make("MOV64_K", 0), make("EXIT"))
    with pytest.raises(NotSupported, match=r"native addresses of instructions \(gotox through map 'table'\)"):
        run(only_a_load, engine="emulate:x86_64")


@pytest.mark.parametrize(
    "at,value,message",
    [
        (0, 4, r"entry 0 \(0x4\) is outside 'weigh'"),
        (8, 1 << 40, r"entry 1 \(0x10000000000\) is outside 'weigh'"),
    ],
)
def test_damaged_tables(path: Path, at: int, value: int, message: str) -> None:
    raw = bytearray(path.read_bytes())
    section = ElfFile(bytes(raw), path.name).section(".jumptables")
    assert section is not None
    start = raw.index(section.raw)
    struct.pack_into("<Q", raw, start + at, value)
    with pytest.raises(ElfError, match=f"jump table 'BPF.JT.1.0': {message}"):
        bb.load(bytes(raw))


@pytest.mark.parametrize("size", [0, 12, 1 << 40])
def test_damaged_table_sizes(path: Path, size: int) -> None:
    raw = bytearray(path.read_bytes())
    entry = raw.index(struct.pack("<QQ", 0x78, 120))           # value and size of the symbol BPF.JT.2.0
    struct.pack_into("<Q", raw, entry + 8, size)
    with pytest.raises(ElfError, match=f"jump table 'BPF.JT.2.0': {size} bytes at 0x78"):
        bb.load(bytes(raw))
