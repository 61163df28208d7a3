"""Helper prototypes: completeness, the shorthand, and who may call what against the running kernel."""

from __future__ import annotations

import struct

import pytest

from bpfbench.isa.helpers import HELPERS, helper_id
from bpfbench.program.program import Program
from bpfbench.verifier import helper_protos as hp


def test_every_helper_has_one_prototype() -> None:
    assert sorted(name for name, *_ in hp.PROTOS) == sorted(name for _, name in HELPERS)


def test_the_shorthand_expands() -> None:
    found = hp.proto(helper_id("csum_diff"), "xdp")
    assert found is not None and found.pkt_access and not found.gpl_only
    assert [(a.kind, a.maybe_null) for a in found.args] == [
        (hp.ARG_MEM, True),
        (hp.ARG_CONST_SIZE_OR_ZERO, False),
        (hp.ARG_MEM, True),
        (hp.ARG_CONST_SIZE_OR_ZERO, False),
        (hp.ARG_ANYTHING, False),
    ]


def test_memory_is_always_followed_by_its_size() -> None:
    for name, _, arguments, _ in hp.PROTOS:
        tokens = arguments.split()
        for at, token in enumerate(tokens):
            if token.rstrip("?") in ("mem", "rmem", "wmem", "out"):
                assert tokens[at + 1].startswith("size"), name


def test_older_kernels_have_older_prototypes() -> None:
    lookup = helper_id("sk_lookup_tcp")
    new, old = hp.proto(lookup, "sched_cls"), hp.proto(lookup, "sched_cls", version=(6, 1))
    assert new is not None and old is not None
    assert (new.args[2].kind, old.args[2].kind) == (hp.ARG_CONST_SIZE_OR_ZERO, hp.ARG_CONST_SIZE)


def test_capabilities_open_helpers() -> None:
    printk = helper_id("trace_printk")
    assert hp.proto(printk, "xdp") is not None and hp.proto(printk, "xdp", cap_perfmon=False) is None


def test_maps_and_helpers_fit_in_both_directions() -> None:
    assert not hp.map_admits("prog_array", helper_id("map_lookup_elem"), "xdp")
    assert not hp.map_admits("hash", helper_id("tail_call"), "xdp")
    assert hp.map_admits("sockmap", helper_id("map_update_elem"), "sk_lookup")
    assert not hp.map_admits("sockmap", helper_id("map_update_elem"), "sk_msg")


_TYPES = [
    ("socket_filter", 0),
    ("sched_cls", 0),
    ("xdp", 0),
    ("cgroup_skb", 0),
    ("lwt_in", 0),
    ("lwt_xmit", 0),
    ("sock_ops", 0),
    ("sk_skb", 0),
    ("sk_msg", 0),
    ("cgroup_sock", 2),
    ("cgroup_sock_addr", 10),
    ("cgroup_sock_addr", 19),
    ("cgroup_sockopt", 21),
    ("cgroup_sockopt", 22),
    ("cgroup_device", 0),
    ("cgroup_sysctl", 0),
    ("sk_reuseport", 39),
    ("sk_lookup", 36),
    ("flow_dissector", 0),
    ("netfilter", 45),
    ("kprobe", 0),
    ("tracepoint", 0),
    ("perf_event", 0),
    ("raw_tracepoint", 0),
]


@pytest.mark.parametrize(("kind", "attach"), _TYPES)
def test_who_may_call_what_as_the_running_kernel(live_kernel: None, kind: str, attach: int) -> None:
    from bpfbench import kernel

    if not kernel.available().release.startswith("6.18"):
        pytest.skip("the profile linux-6.18 speaks for a 6.18 kernel; this is another one")
    numbers = [number for number, _ in HELPERS]
    programs = []
    for number in numbers:
        raw = struct.pack("<BBhiBBhiBBhi", 0x85, 0, 0, number, 0xB7, 0, 0, 1, 0x95, 0, 0, 0)
        programs.append(
            Program.from_json(
                {"name": "p", "prog_type": kind, "expected_attach_type": attach, "license": "none", "insns": raw.hex()}
            )
        )
    ours = hp.table(kind, attach)
    different = []
    for number, verdict in zip(numbers, kernel.verify_many(programs), strict=True):
        assert isinstance(verdict, kernel.KernelVerdict)
        message = verdict.message or ""
        may = "cannot use helper" not in message
        gpl = "GPL" in message
        found = ours.get(number)
        if may != (found is not None) or (found is not None and gpl != found.gpl_only):
            different.append((number, message))
    assert different == []
