"""Code read back from the kernel, and test runs: packet, context, maps, tail calls."""

from __future__ import annotations

import os
import struct

import pytest

from bpfbench import assemble, kernel
from bpfbench.errors import KernelError, NotSupported
from bpfbench.program.program import MapSpec, Program


def counter(kind: str) -> Program:
    """XDP: add one to entry 0 of the only map."""
    head = assemble("*(u32 *)(r10 - 4) = 0\nr2 = r10\nr2 += -4", type="xdp").raw
    tail = assemble("call 1\nif r0 == 0 goto +2\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\nr0 = 2\nexit", type="xdp").raw
    raw = head + bytes.fromhex("1811000000000000" + "00" * 8) + tail
    prog = Program.from_json({"name": "count", "prog_type": "xdp", "license": "GPL", "insns": raw.hex(), "maps": []})
    prog.maps = [MapSpec(kind, 4, 8, 1, name="hits")]
    return prog


def test_image_splits_into_functions(live_kernel: None) -> None:
    image = kernel.jit(assemble("call pc+1\nexit\nr0 = 7\nexit", type="socket_filter"))
    assert len(image.functions) == 2
    assert image.function(0) + image.function(1) == image.image
    assert len(image.xlated) == 32


def test_image_is_what_was_recorded(live_kernel: None, records) -> None:  # type: ignore[no-untyped-def]
    if os.uname().machine != "x86_64" or not os.uname().release.startswith("6.18."):
        pytest.skip("the recordings are of x86-64 and 6.18")
    checked = 0
    for record in list(records("kernel-jit/x86_64-linux-6.18"))[::40]:
        prog = Program.from_json({"prog_type": "socket_filter", "license": "GPL", "insns": record["insns"]})
        image = kernel.jit(prog)
        assert image.xlated.hex() == record["xlated"] or "85" in record["xlated"], record["name"]
        assert [length for length, _ in image.functions] == [length for length, _ in record["functions"]]
        checked += 1
    assert checked > 10


def test_refused_program_carries_errno_and_log(live_kernel: None) -> None:
    with pytest.raises(KernelError, match="R0 !read_ok") as caught:
        kernel.jit(assemble("exit", type="xdp"))
    assert caught.value.errno == 13 and "processed" in caught.value.log


def test_run_returns_the_changed_packet(live_kernel: None) -> None:
    prog = assemble("r2 = *(u32 *)(r1 + 4)\nr1 = *(u32 *)(r1 + 0)\nr3 = r1\nr3 += 14\nr0 = 1\nif r3 > r2 goto +2\n"
                    "*(u8 *)(r1 + 0) = 0xee\nr0 = 2\nexit", type="xdp")  # fmt: skip
    out = kernel.run(prog, bytes(range(64)))
    assert (out.r0, out.data) == (2, b"\xee" + bytes(range(1, 64)))


def test_maps_are_filled_before_and_read_after(live_kernel: None) -> None:
    key = bytes(4)
    out = kernel.run(counter("array"), bytes(64), maps={"hits": {key: struct.pack("<Q", 40)}}, repeat=2)
    assert out.maps[0] == {key: struct.pack("<Q", 42)}


def test_per_cpu_values_are_lists(live_kernel: None) -> None:
    values = kernel.run(counter("percpu_array"), bytes(64)).maps[0][bytes(4)]
    assert isinstance(values, list) and sum(int.from_bytes(v, "little") for v in values) == 1


def test_loaded_program_keeps_its_maps_between_runs(live_kernel: None) -> None:
    with kernel.load(counter("array")) as loaded:
        for _ in range(3):
            out = kernel.run_loaded(loaded, bytes(64))
    assert out.maps[0][bytes(4)] == struct.pack("<Q", 3)


@pytest.mark.parametrize("kind", ["socket_filter", "sched_cls", "cgroup_skb", "xdp", "lwt_in", "flow_dissector"])
def test_packet_types_run(live_kernel: None, kind: str) -> None:
    frame = bytes(12) + b"\x08\x00\x45" + bytes(60)
    assert kernel.run(assemble("r0 = 1\nexit", type=kind), frame).r0 == 1


def test_context_only_types_run(live_kernel: None) -> None:
    prog = assemble("r0 = *(u64 *)(r1 + 8)\nexit", type="raw_tracepoint")
    assert kernel.run(prog, ctx=struct.pack("<QQ", 1, 77)).r0 == 77


def test_types_without_test_run_say_so(live_kernel: None) -> None:
    with pytest.raises(NotSupported, match="a test run of type kprobe"):
        kernel.run(assemble("r0 = 0\nexit", type="kprobe"))


def test_descriptors_are_all_closed(live_kernel: None) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        kernel.run(counter("hash"), bytes(64))
        kernel.verify(counter("array"))
        with pytest.raises(KernelError):
            kernel.jit(assemble("exit", type="xdp"))
    assert len(os.listdir("/proc/self/fd")) == before
