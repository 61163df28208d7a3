"""Context layouts: the rules of shapes on a few fields, and every offset and size against the running kernel."""

from __future__ import annotations

import struct

import pytest

from bpfbench.program.program import Program
from bpfbench.verifier import contexts
from bpfbench.verifier.contexts import access


@pytest.mark.parametrize(
    ("kind", "attach", "off", "size", "write", "field"),
    [
        ("xdp", 0, 0, 4, False, "data"),
        ("xdp", 0, 0, 8, False, ""),  # only four bytes are a field
        ("xdp", 0, 20, 4, False, ""),  # egress_ifindex: devmap programs only
        ("xdp", 33, 20, 4, False, "egress_ifindex"),
        ("socket_filter", 0, 9, 1, False, "mark"),  # a part of a field
        ("socket_filter", 0, 8, 4, True, ""),  # not writable here ...
        ("sched_cls", 0, 8, 4, True, "mark"),  # ... but here
        ("sched_cls", 0, 8, 2, True, ""),  # writes are whole
        ("socket_filter", 0, 56, 8, True, "cb[2]"),  # cb: any size inside
        ("socket_filter", 0, 64, 8, False, ""),  # over the end of cb
        ("sched_cls", 0, 180, 1, False, "tstamp_type"),
        ("cgroup_sock_addr", 9, 8, 8, False, "user_ip6[0]"),
        ("cgroup_sock_addr", 8, 8, 4, False, ""),  # an IPv4 attach type has no IPv6 address
        ("tracepoint", 0, 0, 8, False, ""),
        ("kprobe", 0, 160, 8, False, "args"),
        ("kprobe", 0, 168, 8, False, ""),
    ],
)
def test_single_accesses(kind: str, attach: int, off: int, size: int, write: bool, field: str) -> None:
    found = access(kind, attach, off, size, write)
    assert (found.name if found is not None else "") == field


def test_fields_appear_with_their_kernel() -> None:
    assert access("sock_ops", 0, 216, 8, False, (6, 1)) is None
    assert access("sock_ops", 0, 216, 8, False, (6, 12)) is not None
    assert access("socket_filter", 0, 176, 4, False, (4, 18)) is None


def test_packet_pointers_of_cgroup_programs_need_cap_bpf() -> None:
    assert access("cgroup_skb", 0, 76, 4, False, cap_bpf=False) is None


_SIZES = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
_TYPES = [
    ("socket_filter", 0),
    ("sched_cls", 0),
    ("xdp", 0),
    ("cgroup_skb", 1),
    ("sock_ops", 0),
    ("sk_msg", 0),
    ("sk_skb", 0),
    ("sk_lookup", 36),
    ("sk_reuseport", 39),
    ("cgroup_sock", 12),
    ("cgroup_sock_addr", 14),
    ("cgroup_sockopt", 22),
    ("cgroup_sysctl", 18),
    ("cgroup_device", 6),
    ("flow_dissector", 0),
    ("perf_event", 0),
    ("lwt_in", 0),
]


@pytest.mark.parametrize(("kind", "attach"), _TYPES)
def test_every_access_as_the_running_kernel(live_kernel: None, kind: str, attach: int) -> None:
    from bpfbench import kernel

    tried = [
        (off, size, write) for off in range(0, 232) for size in _SIZES if off % size == 0 for write in (False, True)
    ]
    programs = []
    for off, size, write in tried:
        code = (
            struct.pack("<BBhiBBhi", 0xB7, 2, 0, 0, 0x63 | _SIZES[size], 1 | 2 << 4, off, 0)
            if write
            else struct.pack("<BBhi", 0x61 | _SIZES[size], 2 | 1 << 4, off, 0)
        )
        raw = code + struct.pack("<BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0)
        programs.append(
            Program.from_json({"name": "p", "prog_type": kind, "expected_attach_type": attach, "insns": raw.hex()})
        )
    different = []
    for (off, size, write), verdict in zip(tried, kernel.verify_many(programs), strict=True):
        assert isinstance(verdict, kernel.KernelVerdict)
        refused = "invalid bpf_context access" in (verdict.message or "")
        if not verdict.accepted and not refused:
            pytest.skip(f"{kind} programs cannot be loaded here: {verdict.message or verdict.errno}")
        if refused != (contexts.access(kind, attach, off, size, write) is None):
            different.append((off, size, write))
    assert different == []
