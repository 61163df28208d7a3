"""Rewritten programs equal those of real kernels in every byte but the addresses that only the kernel knows."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfbench.elf.btf import Btf, read_btf
from bpfbench.errors import BpfbenchError
from bpfbench.isa.codec import encode
from bpfbench.program.program import Program
from bpfbench.verifier import contexts
from bpfbench.verifier.rewrite import Rewritten, rewrite

Records = Callable[[str], Iterator[dict[str, Any]]]


def without_addresses(raw: bytes, symbols: dict[int, str]) -> bytes:
    out = bytearray(raw)
    for at in symbols:
        out[8 * at + 4 : 8 * at + 8] = bytes(4)
        if out[8 * at] == 0x18:
            out[8 * at + 12 : 8 * at + 16] = bytes(4)
    return bytes(out)


def equal(done: Rewritten, xlated: bytes) -> bool:
    return len(xlated) == 8 * len(done.insns) and without_addresses(
        encode(done.insns), done.symbols
    ) == without_addresses(xlated, done.symbols)


@pytest.mark.parametrize(
    ("file", "kernel", "machine", "at_least"),
    [
        ("x86_64-linux-6.18", "linux-6.18", "x86_64", 1.0),
        ("x86_64-linux-6.12", "linux-6.12", "x86_64", 1.0),
        ("x86_64-linux-6.1", "linux-6.1", "x86_64", 1.0),
        ("aarch64-linux-6.12", "linux-6.12", "aarch64", 1.0),
        ("riscv64-linux-6.12", "linux-6.12", "riscv64", 0.99),
        ("powerpc64le-linux-6.1", "linux-6.1", "ppc64", 0.99),
        ("mips64el-linux-6.1", "linux-6.1", "mips64", 0.99),
        ("arm-linux-6.1", "linux-6.1", "arm", 0.99),
    ],
)
def test_recorded_programs(records: Records, file: str, kernel: str, machine: str, at_least: float) -> None:
    same = total = 0
    for record in list(records(f"kernel-jit/{file}"))[::7]:
        prog = Program.from_json({"name": record["name"], "prog_type": "socket_filter", "insns": record["insns"]})
        total += 1
        same += equal(rewrite(prog, kernel, machine, pictures=False), bytes.fromhex(record["xlated"]))
    assert total > 500 and same / total >= at_least


@pytest.fixture(scope="module")
def kernel_btf() -> Btf:
    path = Path("/sys/kernel/btf/vmlinux")
    if not path.is_file():
        pytest.skip(f"no {path}: a kernel built with CONFIG_DEBUG_INFO_BTF has it")
    return read_btf(path.read_bytes())


_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}


def field_accesses(kind: str, attach: int) -> Iterator[Program]:
    """One program per legal access, with result and pointer in different and in the same register."""
    reads, writes = contexts.layout(kind, attach)
    tail = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0)
    for key in reads:
        off, size = divmod(key, 16)
        for dst in (0, 1):
            code = struct.pack("<BBhi", 0x61 | _SIZES[size], dst | 1 << 4, off, 0)
            yield program(kind, attach, f"{reads[key].name} read {size}", code + tail)
    for key in writes:
        off, size = divmod(key, 16)
        code = struct.pack("<BBhiBBhi", 0xB7, 9, 0, 1, 0x63 | _SIZES[size], 1 | 9 << 4, off, 0)
        yield program(kind, attach, f"{writes[key].name} write {size}", code + tail)


def program(kind: str, attach: int, name: str, raw: bytes) -> Program:
    return Program.from_json({"name": name, "prog_type": kind, "expected_attach_type": attach, "insns": raw.hex()})


@pytest.mark.parametrize(
    ("kind", "attach"),
    [
        ("socket_filter", 0),
        ("sched_cls", 0),
        ("xdp", 33),
        ("cgroup_skb", 0),
        ("lwt_xmit", 0),
        ("sk_skb", 0),
        ("sock_ops", 0),
        ("sk_msg", 0),
        ("sk_lookup", 36),
        ("sk_reuseport", 39),
        ("cgroup_sock", 2),
        ("cgroup_sock_addr", 15),
        ("cgroup_sockopt", 21),
        ("cgroup_sysctl", 0),
        ("flow_dissector", 0),
        ("perf_event", 0),
    ],
)
def test_every_context_field_as_the_running_kernel(live_kernel: None, kernel_btf: Btf, kind: str, attach: int) -> None:
    from bpfbench import kernel

    if not kernel.available().release.startswith("6.18"):
        pytest.skip("the profile linux-6.18 speaks for a 6.18 kernel; this is another one")
    different = []
    for prog in field_accesses(kind, attach):
        try:
            image = kernel.jit(prog)
        except BpfbenchError:
            continue  # needs an attach target or a capability
        if not equal(rewrite(prog, btf=kernel_btf, pictures=False), image.xlated):
            different.append(prog.name)
    assert different == []
