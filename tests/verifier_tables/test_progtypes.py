"""Program types: attach types and exit values against the running kernel."""

from __future__ import annotations

import struct

import pytest

from bpfbench.program.program import PROG_TYPES, Program
from bpfbench.verifier import progtypes


def test_every_type_has_a_row() -> None:
    assert set(progtypes.PROG_TYPES) == set(PROG_TYPES) - {"unspec"}


def test_packets() -> None:
    assert progtypes.PROG_TYPES["xdp"].may_access_packet(True)
    assert progtypes.PROG_TYPES["cgroup_skb"].may_access_packet(False)
    assert not progtypes.PROG_TYPES["cgroup_skb"].may_access_packet(True)
    assert not progtypes.PROG_TYPES["socket_filter"].may_access_packet(False)


def returning(kind: str, attach: int, value: int) -> Program:
    raw = struct.pack("<BBhiBBhi", 0xB7, 0, 0, value, 0x95, 0, 0, 0)
    return Program.from_json({"name": "p", "prog_type": kind, "expected_attach_type": attach, "insns": raw.hex()})


_BARE = [
    "socket_filter",
    "kprobe",
    "sched_cls",
    "tracepoint",
    "xdp",
    "perf_event",
    "cgroup_skb",
    "cgroup_sock",
    "lwt_in",
    "sock_ops",
    "sk_skb",
    "cgroup_device",
    "sk_msg",
    "raw_tracepoint",
    "cgroup_sock_addr",
    "sk_reuseport",
    "flow_dissector",
    "cgroup_sysctl",
    "cgroup_sockopt",
    "sk_lookup",
    "netfilter",
]


@pytest.mark.parametrize("kind", _BARE)
def test_attach_types_and_exit_values_as_the_running_kernel(live_kernel: None, kind: str) -> None:
    from bpfbench import kernel

    asked = [(attach, value) for attach in range(60) for value in (-1, 0, 1, 2, 3, 4)]
    verdicts = list(kernel.verify_many([returning(kind, attach, value) for attach, value in asked]))
    different = []
    for (attach, value), verdict in zip(asked, verdicts, strict=True):
        assert isinstance(verdict, kernel.KernelVerdict)
        span = progtypes.exit_range(kind, attach)
        expected = progtypes.attach_accepted(kind, attach) and (span is None or span[0] <= value <= span[1])
        if verdict.accepted != expected:
            different.append((attach, value, verdict.message))
    assert different == []
