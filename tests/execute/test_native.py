"""Native code: only what is accepted, never writable and executable at once, and a crash stays in the child."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import pytest

import bpfbench as bb
from bpfbench.errors import ExecuteError
from bpfbench.execute import native

pytestmark = pytest.mark.skipif(platform.machine() not in native.HOSTS, reason="needs an x86-64 or AArch64 host")
ACCEPTED = SimpleNamespace(accepted=True)


def test_a_refused_program_does_not_run() -> None:
    with pytest.raises(ExecuteError, match="the verifier refuses it: R0 !read_ok"):
        native.run(bb.assemble("exit"))


def test_a_verification_of_another_program_does_not_count() -> None:
    with pytest.raises(ExecuteError, match="of another program"):
        native.run(bb.assemble("r0 = 3\nexit"), verification=bb.verify(bb.assemble("r0 = 2\nexit")))


def test_an_accepted_program_runs() -> None:
    assert native.run(bb.assemble("r0 = 2\nexit")).r0 == 2


def test_a_crash_becomes_an_error() -> None:
    wild = bb.assemble("r1 = 0x123456789000 ll\nr0 = *(u64 *)(r1 + 0)\nexit")
    with pytest.raises(ExecuteError, match="crashed: signal 11"):
        native.run(wild, verification=ACCEPTED)


def test_an_endless_program_is_stopped() -> None:
    with pytest.raises(ExecuteError, match="did not end in 0.3 s"):
        native.run(bb.assemble("l: goto l"), verification=ACCEPTED, seconds=0.3)


def test_pages_are_never_writable_and_executable() -> None:
    with native.CodeMemory(100) as room:
        room.write(b"\xc3")
        room.seal()
        assert room.states == ["rw-", "r-x"]
        assert permissions(room.address) == "r-xp"
        assert permissions(room.address - 1) == permissions(room.address + room.size) == "---p"
        with pytest.raises(ExecuteError, match="cannot be written any more"):
            room.write(b"\xc3")


def permissions(address: int) -> str:
    with open("/proc/self/maps") as lines:
        for line in lines:
            span, flags = line.split()[:2]
            low, high = (int(part, 16) for part in span.split("-"))
            if low <= address < high:
                return flags
    return ""


def test_helpers_report_what_they_could_not_do() -> None:
    text = "r1 = 5\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\nr0 = 0\nexit"
    result = native.run(bb.assemble(text), verification=ACCEPTED)
    assert result.trap is not None and "is not the address of a map" in result.trap.message


def test_what_a_program_printed_comes_back() -> None:
    text = """
        r1 = 0x64253d78 ll
        *(u64 *)(r10 - 8) = r1
        r1 = r10
        r1 += -8
        r2 = 5
        r3 = 42
        call bpf_trace_printk
        exit
    """
    assert native.run(bb.assemble(text), verification=ACCEPTED).printed == ["x=42"]


def test_timing_calls_it_as_often_as_asked() -> None:
    """The program counts its runs in the packet, which is not put back: the last run returns how many there were."""
    from bpfbench.execute.timing import ROUNDS, measure

    text = """
        r2 = *(u32 *)(r1 + 0)
        r3 = *(u32 *)(r1 + 4)
        r0 = 0
        r4 = r2
        r4 += 8
        if r4 > r3 goto out
        r0 = *(u64 *)(r2 + 0)
        r0 += 1
        *(u64 *)(r2 + 0) = r0
    out: exit
    """
    assert measure(bb.assemble(text), bytes(64), repeat=10).r0 == 1 + 10 * ROUNDS
