"""Shared libraries: bound at the start or at the first call, replaced while loaded, refused when they do not fit."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench.cli import main
from bpfbench.dynlink import ENGINES, Module, Process, link_static, start
from bpfbench.dynlink.child import Child
from bpfbench.dynlink.emulated import EmulatedEngine
from bpfbench.errors import DynlinkError, ExecuteError, UsageError
from tests.dynlink.conftest import udp

Compile = Callable[[str], bytes]
LICENSE = 'char _license[] SEC("license") = "GPL";\n'
THREE = ("checksum", "counters", "headers")
LAZY = pytest.mark.parametrize("lazy", [False, True], ids=["eager", "lazy"])
ON_ENGINES = pytest.mark.parametrize("engine", ENGINES)


def meter(libraries: Path, engine: str = "interp", lazy: bool = False, names: tuple[str, ...] = THREE) -> Process:
    if engine == "native" and platform.machine() != "x86_64":
        pytest.skip("native shared libraries are for x86-64 hosts; emulate:x86_64 runs the same code")
    return start(libraries / "meter.o", [libraries / f"{name}.o" for name in names], engine, lazy)


def contents(result: object) -> dict[str, dict[bytes, bytes]]:
    return {m.name: dict(m.items()) for m in result.maps}  # type: ignore[attr-defined]


# -- running alike ----------------------------------------------------------------------------------------------------


@LAZY
@ON_ENGINES
@pytest.mark.parametrize("names", [("meter", *THREE), ("police", "bytes", "checksum", "counters")], ids=["xdp", "tc"])
def test_a_program_over_three_libraries_runs_alike(
    libraries: Path, names: tuple[str, ...], engine: str, lazy: bool
) -> None:
    """As when it is linked statically: the same answers, the same maps."""
    if engine == "native" and platform.machine() != "x86_64":
        pytest.skip("native shared libraries are for x86-64 hosts; emulate:x86_64 runs the same code")
    objects = [libraries / f"{name}.o" for name in names]
    whole = bb.load(link_static(objects)).programs[names[0]]
    with start(objects[0], objects[1:], engine, lazy) as process:
        maps = None
        for packet in [udp(), udp(), udp(7), udp(), udp(), bytes(64), udp(7)]:
            expected = bb.run(whole, packet, maps=maps)
            maps = expected.maps
            result = process.run(packet)
            assert (result.r0, result.trap, result.data) == (expected.r0, None, expected.data)
        assert contents(result)["counts"] == contents(expected)["counts"]


@ON_ENGINES
def test_lazy_binds_at_the_first_call(libraries: Path, engine: str) -> None:
    with meter(libraries, engine, lazy=True) as process:
        assert not process.bound
        process.run(bytes(64))                              # no IPv4: only the headers are asked
        assert set(process.bound) == {("meter", "headers_flow")}
        process.run(udp())
        assert len(process.bound) == 6 and ("counters", "checksum_fold") in process.bound
        count = len(process.events)
        process.run(udp())
        assert len(process.events) == count, "what is bound is not bound again"


@LAZY
@ON_ENGINES
def test_a_library_is_replaced_while_loaded(libraries: Path, engine: str, lazy: bool) -> None:
    with meter(libraries, engine, lazy) as process:
        before = [process.run(udp()) for _ in range(4)]
        process.replace(libraries / "checksum_next.o")
        after = [process.run(udp()) for _ in range(4)]
        assert [r.r0 for r in before] == [r.r0 for r in after] == [2, 2, 2, 1]
        old, new = contents(before[-1]), contents(after[-1])
        assert old[".bss"] != new[".bss"], "the new checksum is another number"
        assert len(old["counts"]) == 1 and len(new["counts"]) == 2, "the map is still there, with a second flow"
        assert list(new["checksum-1.3.bss"].values()) == [(12).to_bytes(8, "little")]
        assert process.modules["checksum"].module.title == "checksum 1.3"


@pytest.mark.parametrize("engine", ["native", "emulate:aarch64"])
def test_stubs_are_patched_and_never_writable_and_executable(libraries: Path, engine: str) -> None:
    with meter(libraries, engine, lazy=True) as process:
        process.run(udp())
        patches = [e for e in process.events if e.what == "patch" and (e.module, e.symbol) == ("meter", "checksum_add")]
        assert len(patches) == 2                            # to the resolver, to the function
        process.replace(libraries / "checksum_next.o")
        process.run(udp())
        patches = [e for e in process.events if e.what == "patch" and (e.module, e.symbol) == ("meter", "checksum_add")]
        assert len(patches) == 4
        if engine == "native":
            assert all(e.text.endswith("(r-x rw- r-x)") for e in patches)


def test_memory_of_a_run_is_given_back(libraries: Path) -> None:
    with meter(libraries, "emulate:aarch64") as process:
        assert isinstance(process.engine, EmulatedEngine)
        memory = process.engine.memory
        process.run(udp())
        before = len(memory.mapped), memory.next
        for _ in range(20):
            process.run(udp())
        assert (len(memory.mapped), memory.next) == before


CALLBACK = """BPF_LIBRARY("sums 1.0");
static long add(__u32 i, __u64 *sum) { *sum += i; return 0; }
__noinline __u64 sum_below(__u32 n) { __u64 sum = 0; bpf_loop(n, add, &sum, 0); return sum; }
"""


@LAZY
@ON_ENGINES
def test_callbacks_inside_a_library(compiled: Compile, engine: str, lazy: bool) -> None:
    user = compiled("__u64 sum_below(__u32 n);\n"
                    'SEC("xdp") int prog(void *ctx) { return sum_below(5) * 100 + sum_below(3); }\n' + LICENSE)
    with start(user, [compiled(CALLBACK + LICENSE)], engine, lazy) as process:
        assert [process.run(udp()).r0 for _ in range(3)] == [1003] * 3


def test_the_address_of_an_import_is_refused(compiled: Compile) -> None:
    user = compiled("int there(int x);\n"
                    'SEC("xdp") int prog(void *ctx) { return bpf_loop(3, (void *)there, 0, 0); }\n' + LICENSE)
    library = compiled('BPF_LIBRARY("one 1.0");\n__noinline int there(int x) { return x; }\n' + LICENSE)
    with pytest.raises(bb.BpfbenchError):
        start(user, [library])


# -- verification --------------------------------------------------------------------------------------------------------


def test_each_module_is_verified_once_and_by_itself(libraries: Path) -> None:
    with meter(libraries) as process:
        verified = [e.module for e in process.events if e.what == "verify"]
        assert verified == ["meter", *THREE]
        names = {name for loaded in process.modules.values() for name in loaded.functions}
        assert {"headers_flow", "checksum_fold", "counters_add"} <= names


def test_the_running_kernel_accepts_what_we_verify(libraries: Path) -> None:
    state = bb.kernel.available()
    if not state:
        pytest.skip(f"no live kernel to ask ({state.reason}): run as root where bpf(2) is permitted")
    with meter(libraries) as process:
        for loaded in process.modules.values():
            live = bb.kernel.verify(loaded.verified)
            assert live.accepted and live.insns_processed == loaded.verification.insns_processed


def test_an_import_that_takes_the_context_may_change_the_packet(compiled: Compile) -> None:
    """Packet pointers do not outlive such a call, although the library is not known yet (CVE-2024-58098)."""
    library = compiled('BPF_LIBRARY("l 1.0");\n__noinline int touch(struct xdp_md *ctx) { return ctx->rx_queue_index; }\n'
                       + LICENSE)
    user = compiled("""int touch(struct xdp_md *ctx);
        SEC("xdp") int prog(struct xdp_md *ctx) {
            char *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
            if (data + 60 > end) return 1;
            touch(ctx);
            return data[59];
        }\n""" + LICENSE)
    with pytest.raises(DynlinkError, match="refused by the verifier: R.* invalid mem access 'scalar'"):
        start(user, [library])


# -- refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "message"), [
    (("checksum_wrong", "counters", "headers"),
     "checksum_wrong.o: wrong prototype of 'checksum_fold': meter expects '__u32 checksum_fold(__u32)', checksum 1.4 has "
     "'__u32 checksum_fold(__u32 *sum)'"),
    (("checksum_old", "counters", "headers"),
     "checksum_old.o: checksum 1.0 is there, but meter needs checksum 1.1 or a later 1.x"),
    (("counters", "headers"), "meter.o: library checksum 1.1 is missing; meter needs it"),
    (("checksum", "checksum_next", "counters", "headers"),
     "checksum_next.o: library checksum is given twice: checksum 1.2 and checksum 1.3"),
    (("checksum_unsafe", "counters", "headers"),
     "checksum_unsafe.c:10: checksum 1.5 is refused by the verifier: R2 invalid mem access 'scalar' (insn 9)"),
    (("meter", "checksum", "counters", "headers"),
     'meter.o: not a library: no BPF_LIBRARY("name major.minor")'),
])  # fmt: skip
def test_what_does_not_fit_is_one_clear_error(libraries: Path, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DynlinkError) as error:
        meter(libraries, names=names)
    assert str(error.value) == message


@ON_ENGINES
def test_lazily_a_wrong_prototype_is_found_at_the_call(libraries: Path, engine: str) -> None:
    with meter(libraries, engine, lazy=True, names=("checksum_wrong", "counters", "headers")) as process:
        assert process.run(bytes(64)).trap is None          # does not come that far
        trap = process.run(udp()).trap
        assert trap is not None and trap.kind == "call" and "wrong prototype of 'checksum_fold'" in trap.message


def test_missing_symbols_are_reported(compiled: Compile) -> None:
    library = compiled('BPF_LIBRARY("one 1.0");\n__noinline int there(int x) { return x; }\n' + LICENSE)
    user = compiled('int missing(int x);\nSEC("xdp") int prog(void *ctx) { return missing(1); }\n' + LICENSE)
    with pytest.raises(DynlinkError) as error:
        start(Module(user, "user.o"), [Module(library, "one.o")])
    assert str(error.value) == "user.o: undefined: 'missing' (needed by user); looked in one 1.0"


@pytest.mark.parametrize(("bad", "message"), [
    ("checksum_wrong", "wrong prototype of 'checksum_fold'"), ("checksum_old", "or a later 1.x"),
    ("checksum_unsafe", "refused by the verifier"), ("meter", "not loaded"),
])  # fmt: skip
@pytest.mark.parametrize("engine", ["interp", "native"])
def test_a_bad_replacement_leaves_the_old_one(libraries: Path, engine: str, bad: str, message: str) -> None:
    with meter(libraries, engine) as process:
        assert process.run(udp()).r0 == 2
        with pytest.raises(DynlinkError, match=message):
            process.replace(libraries / f"{bad}.o")
        assert process.modules["checksum"].module.title == "checksum 1.2"
        assert [process.run(udp()).r0 for _ in range(3)] == [2, 2, 1]


RING = """BPF_LIBRARY("%s 1.0"); BPF_NEEDS("%s 1.0");
int %s(int x);
__noinline int %s(int x) { return x > 0 ? %s(x - 1) : 0; }
"""


@ON_ENGINES
def test_recursion_between_modules_is_refused(compiled: Compile, engine: str) -> None:
    """Neither library can know by itself; the verifier sees one at a time."""
    a = compiled(RING % ("a", "b", "pong", "ping", "pong") + LICENSE)
    b = compiled(RING % ("b", "a", "ping", "pong", "ping") + LICENSE)
    user = compiled('BPF_NEEDS("a 1"); int ping(int x);\nSEC("xdp") int prog(void *ctx) { return ping(3); }\n' + LICENSE)
    with pytest.raises(DynlinkError, match="recursion between modules: a.ping -> b.pong -> a.ping"):
        start(user, [a, b], engine)
    with start(user, [a, b], engine, lazy=True) as process:
        trap = process.run(udp()).trap
        assert trap is not None and "recursion between modules" in trap.message


DEEP = """BPF_LIBRARY("l%d 1.0");
%s
__noinline int f%d(int x) { volatile char room[%d]; room[x & 7] = x; return room[0] + %s; }
"""


@pytest.mark.parametrize(("depth", "room", "message"), [
    (8, 16, "9 frames, more than 8: module.prog -> l0.f0"), (4, 160, "bytes of stack, more than 512: module.prog -> l0"),
])  # fmt: skip
def test_limits_hold_across_modules(compiled: Compile, depth: int, room: int, message: str) -> None:
    libraries = []
    for i in range(depth):
        last = i == depth - 1
        source = DEEP % (i, "" if last else f"int f{i + 1}(int x);", i, room, "x" if last else f"f{i + 1}(x)")
        libraries.append(compiled(source + LICENSE))
    user = compiled('int f0(int x);\nSEC("xdp") int prog(void *ctx) { return f0(1); }\n' + LICENSE)
    with pytest.raises(DynlinkError, match=message):
        start(user, libraries)


def test_maps_of_one_name_are_shared_or_refused(compiled: Compile) -> None:
    declare = ('struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, %d); __type(key, __u32); '
               '__type(value, __u64); } box SEC(".maps");\n')
    fill = "__u32 key = 0; __u64 *value = bpf_map_lookup_elem(&box, &key); if (!value) return -1;"
    library = compiled('BPF_LIBRARY("l 1.0");\n' + declare % 1 + "__noinline int put(__u32 x) { " + fill
                       + " *value = x; return 0; }\n" + LICENSE)
    user = 'int put(__u32 x);\nSEC("xdp") int prog(void *ctx) { ' + fill + " put(7); return *value; }\n" + LICENSE
    for engine in ENGINES[:3]:
        with start(compiled(declare % 1 + user), [library], engine) as process:
            assert process.run(udp()).r0 == 7
    with pytest.raises(DynlinkError, match="map 'box' of l is not the one of module"):
        start(compiled(declare % 2 + user), [library])


@pytest.mark.parametrize(("source", "message"), [
    ('BPF_LIBRARY("nonsense");\n__noinline int f(int x) { return x; }\n', "'nonsense' is not 'name major.minor'"),
    ('BPF_LIBRARY("l 1.0");\nstatic __noinline int f(int x) { return x; }\nSEC("xdp") int p(void *c) { return f(1); }\n',
     "library l exports no function"),
    ('extern int variable;\nSEC("xdp") int prog(void *ctx) { return variable; }\n', "only functions can be imported"),
])  # fmt: skip
def test_bad_modules_are_one_clear_error(compiled: Compile, source: str, message: str) -> None:
    with pytest.raises(DynlinkError, match=message):
        Module(compiled(source + LICENSE))


def test_unknown_engine_is_one_clear_error(libraries: Path) -> None:
    with pytest.raises(UsageError, match="unknown engine 'nfp' for linked programs"):
        start(libraries / "meter.o", [], "nfp")


# -- the child ---------------------------------------------------------------------------------------------------------


def test_a_child_that_dies_or_hangs_is_an_error() -> None:
    import os
    import time

    dying = Child(lambda: lambda request: os.kill(os.getpid(), 11))
    with pytest.raises(ExecuteError, match=r"crashed: signal 11 \(SIGSEGV\)"):
        dying.ask(None)
    with pytest.raises(ExecuteError, match="has ended"):
        dying.ask(None)
    slow = Child(lambda: lambda request: time.sleep(5), seconds=0.2)
    with pytest.raises(ExecuteError, match="did not end in 0.2 s"):
        slow.ask(None)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command(libraries: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objects = [str(libraries / f"{name}.o") for name in ("meter", *THREE)]
    assert main(["link", "--dynamic", *objects]) == 0
    assert "checksum_fold            checksum 1.2     __u32 checksum_fold(__u32)" in capsys.readouterr().out
    command = ["link", "--dynamic", *objects, "--lazy", "--data", udp().hex(), "--count", "4", "--json", "--replace",
               str(libraries / "checksum_next.o")]
    assert main(command) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["r0"] for row in rows[:-1]] == [2, 2, 2, 1] * 2 and rows[-1]["modules"]["checksum"] == "checksum 1.3"
    assert main(["link", "--dynamic", objects[0]]) == 2
    assert capsys.readouterr().err == "bpfbench: meter.o: library checksum 1.1 is missing; meter needs it\n"
