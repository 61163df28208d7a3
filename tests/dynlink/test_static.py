"""Static linking: names, maps, types and tables of several objects in one that a kernel takes."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench import toolchain
from bpfbench.cli import main
from bpfbench.dynlink import link_static
from bpfbench.dynlink.merge_btf import deduplicate
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import FUNC, INT, PTR, STRUCT, BtfType, Member
from bpfbench.elf.elf import ElfFile
from bpfbench.elf.writer import rewrite
from bpfbench.errors import DynlinkError
from tests.dynlink.conftest import NAMES, udp

Compile = Callable[[str], bytes]
LICENSE = 'char _license[] SEC("license") = "GPL";\n'


def linked(libraries: Path, order: tuple[str, ...] = NAMES) -> bb.Program:
    found: bb.Program = bb.load(link_static([libraries / f"{name}.o" for name in order])).programs["meter"]
    return found


def verdicts(program: bb.Program, packets: int = 5) -> list[int]:
    maps, out = None, []
    for _ in range(packets):
        result = bb.run(program, udp(), maps=maps)
        maps = result.maps
        out.append(result.r0)
    return out


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1], ("counters", "meter", "headers", "checksum")])
def test_a_program_over_three_libraries(libraries: Path, order: tuple[str, ...]) -> None:
    program = linked(libraries, order)
    assert bb.verify(program).accepted
    assert verdicts(program) == [2, 2, 2, 1, 1]         # XDP_PASS three times, then XDP_DROP
    for engine in ("native", "emulate:x86_64", "emulate:aarch64", "emulate:riscv64"):
        assert bb.run(program, udp(), engine=engine).r0 == 2


def test_the_objects_are_what_their_sources_say(libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = json.loads((libraries.parent / "datasets.json").read_text())["compiler"].removeprefix("clang ")
    monkeypatch.setenv("BPFBENCH_CLANG", f"clang-{wanted.split('.')[0]}")
    if not toolchain.available() or toolchain.find_compiler().version != wanted:
        pytest.skip(f"the objects were built with clang {wanted}; apt install clang-{wanted.split('.')[0]}")
    done = subprocess.run([sys.executable, str(libraries / "build.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_linked_loads_into_the_running_kernel(libraries: Path) -> None:
    state = bb.kernel.available()
    if not state:
        pytest.skip(f"no live kernel to ask ({state.reason}): run as root where bpf(2) is permitted")
    program = linked(libraries)
    live, ours = bb.kernel.verify(program), bb.verify(program)
    assert live.accepted and live.insns_processed == ours.insns_processed
    assert bb.kernel.run(program, udp()).r0 == 2


def test_linking_in_steps_is_linking_at_once(libraries: Path) -> None:
    half = link_static([libraries / "meter.o", libraries / "counters.o"], partial=True)
    whole = link_static([half, (libraries / "headers.o").read_bytes(), (libraries / "checksum.o").read_bytes()])
    assert verdicts(bb.load(whole).programs["meter"]) == [2, 2, 2, 1, 1]


def test_types_are_there_once(libraries: Path) -> None:
    btf = bb.load(link_static([libraries / f"{name}.o" for name in NAMES])).btf
    names = [btf.type(id).name for id in btf if btf.type(id).kind in (INT, STRUCT, FUNC) and btf.type(id).name]
    assert len(names) == len(set(names))
    fold = btf.type(btf.find("checksum_fold", FUNC))
    assert fold.linkage == 1 and btf.type(fold.type).params[0].name == "sum"


def test_lines_move_with_their_instructions(libraries: Path) -> None:
    program = linked(libraries)
    for function, file in (("counters_add", "counters.c"), ("checksum_fold", "checksum.c"), ("meter", "meter.c")):
        line = program.source_line(program.symbols[function])
        assert line is not None and line.file == file


def test_missing_names_are_listed(libraries: Path) -> None:
    with pytest.raises(DynlinkError) as error:
        link_static([libraries / "meter.o", libraries / "headers.o"])
    assert str(error.value) == ("undefined: 'checksum_add' (needed by meter.o), 'checksum_fold' (needed by meter.o), "
                                "'counters_add' (needed by meter.o), 'counters_get' (needed by meter.o)")


def test_a_wrong_prototype_is_one_clear_error(libraries: Path) -> None:
    with pytest.raises(DynlinkError) as error:
        link_static([libraries / f"{name}.o" for name in ("meter", "checksum_wrong", "counters", "headers")])
    assert str(error.value) == ("meter.o: wrong prototype of 'checksum_fold': meter.o has '__u32 "
                                "checksum_fold(__u32)', checksum_wrong.o has '__u32 checksum_fold(__u32 *sum)'")


def test_an_object_that_is_not_linked_yet_says_so(libraries: Path) -> None:
    with pytest.raises(bb.BpfbenchError, match="function 'headers_flow' is declared but not defined; link the object"):
        bb.load(libraries / "meter.o")


def test_two_strong_definitions_are_an_error(libraries: Path) -> None:
    with pytest.raises(DynlinkError, match="'checksum_add' is defined twice: in checksum.o and in checksum_next.o"):
        link_static([libraries / "checksum.o", libraries / "checksum_next.o"])


WEAK = "__attribute__((weak)) __noinline int level(int x) { return x + 1; }\n"
STRONG = "__noinline int level(int x) { return x + 2; }\n"
USER = 'int level(int x);\nSEC("xdp") int prog(void *ctx) { return level(40); }\n'


@pytest.mark.parametrize(("objects", "answer"), [
    ((USER + LICENSE, WEAK + LICENSE), 41),
    ((USER + LICENSE, WEAK + LICENSE, STRONG + LICENSE), 42),
    ((STRONG + LICENSE, USER + LICENSE, WEAK + LICENSE), 42),
    ((WEAK + USER + LICENSE, STRONG + LICENSE), 42),
])  # fmt: skip
def test_a_strong_definition_wins(compiled: Compile, objects: tuple[str, ...], answer: int) -> None:
    program = bb.load(link_static([compiled(source) for source in objects])).programs["prog"]
    assert bb.run(program).r0 == answer
    assert bb.verify(program).accepted


LOCAL = """
static volatile const long table[4] = {%d, %d, 3, 4};
static __u64 calls = %d;
static __noinline __u64 inside(__u64 i) { calls++; return table[i & 3] + calls; }
__noinline __u64 %s(__u64 i) { return inside(i); }
"""


def test_local_names_stay_apart(compiled: Compile) -> None:
    """Static functions and data of the same name: relocations against sections move with them."""
    one, two = compiled(LOCAL % (10, 20, 100, "one") + LICENSE), compiled(LOCAL % (30, 40, 1000, "two") + LICENSE)
    user = compiled("__u64 one(__u64 i); __u64 two(__u64 i);\n"
                    'SEC("xdp") int prog(void *ctx) { return one(1) * 10000 + two(0); }\n' + LICENSE)
    for order in itertools.permutations((one, two, user)):
        program = bb.load(link_static(list(order))).programs["prog"]
        assert bb.run(program).r0 == (20 + 101) * 10000 + 30 + 1001


MAP = """
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, %d); __type(key, __u32); __type(value, __u64); }
shared SEC(".maps")%s;
__noinline int %s(__u32 by) {
	__u32 key = 0; __u64 *value = bpf_map_lookup_elem(&shared, &key);
	return value ? *value += by : 0;
}
"""
WEAKLY = " __attribute__((weak))"


def test_weak_maps_of_one_name_are_one(compiled: Compile) -> None:
    one, two = (compiled(MAP % (1, WEAKLY, name) + LICENSE) for name in ("up", "again"))
    user = compiled("int up(__u32 by); int again(__u32 by);\n"
                    'SEC("xdp") int prog(void *ctx) { up(5); return again(7); }\n' + LICENSE)
    obj = bb.load(link_static([one, two, user]))
    assert list(obj.maps) == ["shared"] and bb.run(obj.programs["prog"]).r0 == 12


def test_maps_declared_differently_are_an_error(compiled: Compile) -> None:
    one, two = compiled(MAP % (1, WEAKLY, "up") + LICENSE), compiled(MAP % (2, WEAKLY, "again") + LICENSE)
    with pytest.raises(DynlinkError, match="'shared' is declared differently in two.o and in one.o"):
        link_static([one, two], names=["one.o", "two.o"])
    strong = [compiled(MAP % (1, "", name) + LICENSE) for name in ("up", "again")]
    with pytest.raises(DynlinkError, match="two.o: 'shared' is defined twice"):
        link_static(strong, names=["one.o", "two.o"])


def test_licenses_must_agree(compiled: Compile, libraries: Path) -> None:
    with pytest.raises(DynlinkError, match="license 'GPL' here, but 'Dual BSD/GPL' in another object"):
        link_static([libraries / "checksum.o", compiled(LICENSE)])


def test_circles_of_types_are_one() -> None:
    """struct list { struct list *next; } twice is once; a forward declaration is the structure."""
    btf = Btf()
    ids = []
    for _ in range(2):
        node = BtfType(STRUCT, "list", size=8)
        id = btf.add(node)
        node.members = [Member("next", btf.add(BtfType(PTR, type=id)), 0)]
        ids.append(id)
    forward = btf.add(BtfType(7, "list"))
    pointer = btf.add(BtfType(PTR, type=forward))
    out, moved = deduplicate(btf, {})
    assert len(out) - 1 == 2 and moved[ids[0]] == moved[ids[1]] == moved[forward] and moved[pointer] == moved[ids[0] + 1]


def test_jump_tables_move_with_their_code(libraries: Path, compiled: Compile) -> None:
    """Objects of a compiler that makes jump tables: their entries are offsets into code that has moved."""
    switch = libraries.parent / "jumptables" / "bpf_switch.o"
    license = f'char _license[] SEC("license") = "{bb.load(switch).license}";\n'
    before = compiled('SEC("tc") int ahead(void *ctx) { return 7; }\n__noinline int own(int x) { return x * 3; }\n'
                      'SEC("tc") int ahead_too(void *ctx) { return own(4); }\n' + license)
    alone, moved = bb.load(switch), bb.load(link_static([before, switch.read_bytes()]))
    for name, program in alone.programs.items():
        assert moved.programs[name].insns == program.insns
        assert [m.contents for m in moved.programs[name].maps] == [m.contents for m in program.maps]
        for packet in (udp(), udp(80), bytes(64)):
            result, expected = bb.run(moved.programs[name], packet), bb.run(program, packet)
            assert result.trap is None and result.r0 == expected.r0


def test_one_object_linked_is_the_object(libraries: Path) -> None:
    """Every data set survives: instructions, maps, lines, CO-RE, settings, kernel symbols."""
    for path in sorted(libraries.parent.glob("*.o")):
        types = libraries.parent / "kernel.btf"
        alone, linked_alone = bb.load(path, types), bb.load(link_static([path]), types)
        assert list(alone.programs) == list(linked_alone.programs)
        for name, program in alone.programs.items():
            other = linked_alone.programs[name]
            assert other.insns == program.insns and other.symbols == program.symbols
            assert [str(line) for line in other.lines.values()] == [str(line) for line in program.lines.values()]
            assert [(m.name, m.type, m.contents, m.inner_values) for m in other.maps] == [
                (m.name, m.type, m.contents, m.inner_values) for m in program.maps]


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", b"MZ" + bytes(100)])
def test_what_is_no_object_is_one_clear_error(damage: bytes) -> None:
    with pytest.raises(bb.BpfbenchError, match="broken.o"):
        link_static([damage], names=["broken.o"])


def test_damaged_objects_are_one_clear_error_or_none(libraries: Path) -> None:
    """Bytes changed at random: it links, or one error of the package names the object; nothing else happens."""
    rng = random.Random(7)
    raws = [rewrite(ElfFile((libraries / f"{name}.o").read_bytes(), name)) for name in NAMES]
    for _ in range(150):
        damaged = bytearray(raws[1])
        for _ in range(rng.choice((1, 2, 4))):
            damaged[rng.randrange(len(damaged))] = rng.choice((0, 1, 255, rng.randrange(256)))
        try:
            bb.load(link_static([raws[0], bytes(damaged), *raws[2:]], names=NAMES))
        except bb.BpfbenchError as error:
            assert "\n" not in str(error)


def test_the_command(libraries: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "all.o"
    assert main(["link", *(str(libraries / f"{name}.o") for name in NAMES), "-o", str(out)]) == 0
    assert main(["verify", str(out)]) == 0
    assert main(["link", str(libraries / "meter.o"), "-o", str(out)]) == 2
    assert "undefined: 'headers_flow' (needed by meter.o)" in capsys.readouterr().err
