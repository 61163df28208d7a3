"""From object file to programs: functions appended, maps made, data placed, kernel symbols found."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bpfbench.elf import btf_types as b
from bpfbench.elf import load
from bpfbench.elf.sections import SECTION_RULES, attach_target, section_rule
from bpfbench.elf.writer import Writer
from bpfbench.errors import ElfError, NotSupported
from bpfbench.isa import ops
from bpfbench.isa.codec import encode
from bpfbench.isa.insn import Instruction as I
from bpfbench.isa.ops import OP
from bpfbench.toolchain import available, compile_c

clang = pytest.mark.skipif(
    not available(), reason="no clang with the BPF target: apt install clang, or pip install ziglang"
)
KERNEL = Path("/sys/kernel/btf/vmlinux")


@pytest.mark.parametrize(
    ("section", "type", "attach_type", "target"),
    [
        ("xdp", "xdp", 37, ""),
        ("xdp.frags/devmap", "xdp", 33, ""),
        ("tc", "sched_cls", 0, ""),
        ("tcx/egress", "sched_cls", 47, ""),
        ("?kprobe/do_unlinkat", "kprobe", 0, "do_unlinkat"),
        ("tp/sched/sched_switch", "tracepoint", 0, "sched/sched_switch"),
        ("fentry.s/vfs_read", "tracing", 24, "vfs_read"),
        ("cgroup/connect4", "cgroup_sock_addr", 10, ""),
        ("cgroup_skb/egress", "cgroup_skb", 1, ""),
        ("sk_lookup", "sk_lookup", 36, ""),
    ],
)
def test_section_names(section: str, type: str, attach_type: int, target: str) -> None:
    rule = section_rule(section)
    assert rule is not None
    assert (rule.type, rule.attach_type, attach_target(section)) == (type, attach_type, target)


def test_names_that_say_nothing() -> None:
    assert [section_rule(name) for name in ("xdp/eth0", "xdpx", "kprobex", "", "maps")] == [None] * 5
    assert len(SECTION_RULES) > 100


def test_functions_are_appended_depth_first(datasets: Path) -> None:
    program = load(datasets / "tc_library.o").programs["tc_library"]
    assert list(program.symbols) == ["tc_library", "header_is_good", "sum_words", "fold", "mix", "remember"]
    starts = list(program.symbols.values())
    assert starts == sorted(starts) and starts[0] == 0
    calls = {pc + 1 + i.imm for pc, i in enumerate(program.insns) if i is not None and i.kind == ops.CALL_LOCAL}
    assert calls == set(starts[1:])
    assert [struct.unpack_from("<I", program.func_info, 8 * n)[0] for n in range(6)] == starts


def test_hidden_functions_are_static_for_the_verifier(datasets: Path) -> None:
    btf = load(datasets / "tc_library.o").btf
    assert btf is not None
    linkage = {btf.type(i).name: btf.type(i).linkage for i in btf if btf.type(i).kind == b.FUNC}
    assert (linkage["header_is_good"], linkage["mix"], linkage["sum_words"]) == (0, 1, 0)


def test_callbacks_are_addresses_of_functions(datasets: Path) -> None:
    program = load(datasets / "xdp_callbacks.o").programs["xdp_callbacks"]
    taken = [pc + 1 + i.imm for pc, i in enumerate(program.insns) if i is not None and i.op.name == "LDDW_FUNC"]
    assert {program.symbols[name] for name in ("look", "add_up", "age")} == set(taken)


def test_maps_with_all_attributes(datasets: Path) -> None:
    maps = load(datasets / "xdp_tenants.o").maps
    assert maps["tenants"].type == "hash_of_maps" and maps["tenants"].inner is not None
    assert (maps["tenants"].inner.type, maps["tenants"].inner.max_entries) == ("hash", 64)
    assert maps["defaults"].inner_values == ["shared", "restricted"]
    ring = load(datasets / "kprobe_logger.o").maps["records"]
    assert (ring.type, ring.key_size, ring.value_size, ring.max_entries) == ("ringbuf", 0, 0, 65536)
    stages = load(datasets / "xdp_dispatcher.o").maps["stages"]
    assert stages.inner_values == ["xdp_ipv4", "xdp_ipv6", "", "xdp_tcp", "xdp_udp"]


def test_data_sections_are_maps(datasets: Path) -> None:
    obj = load(datasets / "xdp_syn_cookie.o")
    data, rodata, bss = obj.maps[".data"], obj.maps[".rodata"], obj.maps[".bss"]
    keys = (0x706050403020100, 0xF0E0D0C0B0A0908, 7)
    assert data.contents is not None and struct.unpack_from("<QQI", data.contents) == keys
    assert (rodata.frozen, rodata.flags & 0x80, bss.contents, bss.value_size) == (True, 0x80, None, 32)
    program = obj.programs["xdp_syn_cookie"]
    loads = [i for i in program.insns if i is not None and i.op.name == "LDDW_MAP_VALUE"]
    assert {program.maps[i.imm].name for i in loads} == {".data", ".rodata", ".bss"}
    offsets = {i.imm2 for i in loads if program.maps[i.imm] is bss}
    assert offsets <= set(range(0, 32, 8))


def test_data_has_its_place_in_btf(datasets: Path) -> None:
    btf = load(datasets / "xdp_syn_cookie.o").btf
    assert btf is not None
    id = btf.find(".bss", b.DATASEC)
    assert id is not None and btf.type(id).size == 32 and btf.type(id).variables[0].size == 32


def test_source_lines(datasets: Path) -> None:
    program = load(datasets / "xdp_firewall.o").programs["xdp_firewall"]
    line = program.source_line(0)
    assert line is not None and line.file == "xdp_firewall.c"
    source = (datasets / line.file).read_text().splitlines()
    assert all(source[entry.line - 1] == entry.text for entry in program.lines.values())


def legacy(stride: int = 20, tail: int = 0) -> bytes:
    """An object as old compilers made it: a `maps` section of plain structs, no BTF."""
    writer = Writer()
    code: list[I | None] = [I(OP["LDDW"], dst=1), None, I(OP["MOV64_K"], imm=0), I(OP["EXIT"])]
    text = writer.section("socket", encode(code), flags=6)
    writer.symbol("read_it", text, 0, 32, "GLOBAL", "FUNC")
    first = struct.pack("<5I", 1, 4, 8, 100, 0).ljust(stride, b"\0")
    second = struct.pack("<5I", 2, 4, 4, 1, 0).ljust(stride, b"\0")[: stride - 1] + bytes([tail])
    maps = writer.section("maps", first + second, flags=3)
    writer.symbol("table", maps, 0, stride, "GLOBAL", "OBJECT")
    count = writer.symbol("count", maps, stride, stride, "GLOBAL", "OBJECT")
    writer.relocation(text, 0, count, 1)
    return writer.to_bytes()


@pytest.mark.parametrize("stride", [20, 28])
def test_legacy_maps(stride: int) -> None:
    obj = load(legacy(stride))
    assert [(m.name, m.type, m.key_size, m.value_size, m.max_entries) for m in obj.maps.values()] == [
        ("table", "hash", 4, 8, 100), ("count", "array", 4, 4, 1),
    ]  # fmt: skip
    program = obj.programs["read_it"]
    assert [m.name for m in program.maps] == ["count"]
    assert program.insns[0] is not None and program.insns[0].op.name == "LDDW_MAP_FD"


def test_legacy_maps_with_unknown_fields() -> None:
    with pytest.raises(NotSupported, match=r"section maps, offset 0x30: .*fields after map_flags"):
        load(legacy(28, tail=1))


SETTINGS = """
#include <bpf/helpers.h>
extern unsigned LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_JIT __kconfig;
extern int CONFIG_HZ __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[8] __kconfig;
extern int CONFIG_NO_SUCH __kconfig __weak;
SEC("tc") int ask(struct __sk_buff *skb)
{
    return LINUX_KERNEL_VERSION + CONFIG_BPF_JIT + CONFIG_HZ + CONFIG_DEFAULT_HOSTNAME[1] + CONFIG_NO_SUCH;
}
"""


@clang
def test_settings_are_a_map() -> None:
    values: dict[str, int | str] = {"LINUX_KERNEL_VERSION": 0x61200, "CONFIG_BPF_JIT": "y", "CONFIG_HZ": "250"}
    values["CONFIG_DEFAULT_HOSTNAME"] = '"box"'
    obj = compile_c(SETTINGS, kconfig=values)
    spec = obj.maps[".kconfig"]
    assert spec.contents == struct.pack("<III", 250, 0, 0x61200) + b"\x01box\0\0\0\0\0"
    assert spec.frozen and spec.value_size == 21
    with pytest.raises(ElfError, match="setting 'CONFIG_HZ' is not known"):
        compile_c(SETTINGS, kconfig={k: v for k, v in values.items() if k != "CONFIG_HZ"})
    with pytest.raises(ElfError, match="is 'many', not a number"):
        compile_c(SETTINGS, kconfig=values | {"CONFIG_HZ": "many"})


KFUNCS = """
#include <bpf/helpers.h>
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern int bpf_no_such_function(int) __ksym __weak;
SEC("tc") int ask(struct __sk_buff *skb)
{
    bpf_rcu_read_lock();
    bpf_rcu_read_unlock();
    return bpf_no_such_function ? bpf_no_such_function(1) : 0;
}
"""


@clang
@pytest.mark.skipif(not KERNEL.exists(), reason="this kernel shows no BTF (CONFIG_DEBUG_INFO_BTF)")
def test_kernel_functions_by_id_and_weak_ones_poisoned() -> None:
    program = compile_c(KFUNCS).program()
    ids = [i.imm for i in program.insns if i is not None and i.kind == ops.CALL_KFUNC]
    assert len(ids) == 2 and all(ids)
    assert any(i is not None and i.kind == ops.CALL and i.imm >= 2002000000 for i in program.insns)
    with pytest.raises(ElfError, match="extern 'bpf_no_such_function' is a kernel symbol"):
        compile_c(KFUNCS.replace("__ksym __weak", "__ksym"))


@clang
def test_big_endian_objects_are_the_same_programs() -> None:
    source = (Path(__file__).parents[2] / "datasets" / "xdp_lpm_router.c").read_text().replace("bpf_htons(0x0100)", "1")
    little, big = compile_c(source), compile_c(source, big_endian=True)
    assert big.big_endian and big.maps.keys() == little.maps.keys()
    assert len(big.program()) > 20 and not any(i.flaw for i in big.program().insns if i is not None)


@clang
def test_two_functions_without_a_section_are_subprograms() -> None:
    one = compile_c("int only(void *ctx) { return 1; }")
    two = compile_c("int a(void *ctx) { return 1; }\nint b(void *ctx) { return 2; }\n")
    assert list(one.programs) == ["only"] and one.program().type == "unspec"
    assert not two.programs and list(two.subprograms) == ["a", "b"]
    assert compile_c("int only(void *ctx) { return 1; }", type="xdp").program().type == "xdp"
