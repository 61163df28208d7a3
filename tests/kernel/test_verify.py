"""The live kernel as an oracle gives what the recordings of the same kernel hold."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bpfbench import Program, assemble, kernel
from bpfbench.errors import KernelError, UsageError
from bpfbench.kernel import log_reader
from bpfbench.program.program import MapSpec

Records = Callable[[str], Iterator[dict[str, Any]]]


def same(verdict: kernel.KernelVerdict, expected: dict[str, Any]) -> bool:
    found = ("accept" if verdict.accepted else "reject", verdict.errno, verdict.message, verdict.insns_processed,
             verdict.total_states)  # fmt: skip
    return found == tuple(expected.get(key) for key in ("verdict", "errno", "error", "processed", "total_states"))


@pytest.mark.parametrize("privileged", [True, False], ids=["privileged", "reduced"])
def test_verdicts_are_those_recorded(live_kernel: None, records: Records, privileged: bool) -> None:
    """Every fifth program; `benchmarks/kernel_agreement.py` compares all of them."""
    if not platform.release().startswith("6.18."):
        pytest.skip(f"the recordings are of 6.18, this is {platform.release()}")
    pairs = list(zip(records("kernel-verifier/programs"), records("kernel-verifier/linux-6.18"), strict=True))[::5]
    programs = [Program.from_json(program) for program, _ in pairs]
    differing = []
    for (_, expected), verdict in zip(pairs, kernel.verify_many(programs, privileged=privileged), strict=True):
        assert isinstance(verdict, kernel.KernelVerdict), verdict
        if not same(verdict, expected if privileged else expected["reduced"]):
            differing.append((expected["name"], verdict))
    assert not differing


def test_message_and_counts_without_a_log(live_kernel: None) -> None:
    verdict = kernel.verify(assemble("r0 = r3\nexit", type="socket_filter"))
    assert (verdict.accepted, verdict.errno, verdict.message) == (False, "EACCES", "R3 !read_ok")
    assert (verdict.insns_processed, verdict.log) == (1, "")


def test_log_names_maps_instead_of_addresses(live_kernel: None) -> None:
    raw = bytes.fromhex("1811000000000000" + "00" * 8) + assemble("r0 = 0\nexit", type="xdp").raw
    prog = Program.from_json({"name": "map", "prog_type": "xdp", "license": "GPL", "insns": raw.hex()})
    prog.maps = [MapSpec("array", 4, 8, 1)]
    log = kernel.verify(prog, log_level=2).log
    assert "0: (18) r1 = map[0]+0" in log and "0xffff" not in log


def test_log_longer_than_the_first_buffer_keeps_the_verdict(live_kernel: None) -> None:
    prog = assemble("r1 = 20000\nr1 += -1\nif r1 != 0 goto -2\nr0 = 0\nexit", type="xdp")
    verdict = kernel.verify(prog, log_level=2)
    assert verdict.accepted and len(verdict.log) > 1 << 20 and not verdict.log_truncated


def test_fewer_privileges_see_the_leak(live_kernel: None) -> None:
    prog = assemble("r0 = r1\nexit", type="socket_filter")
    assert kernel.verify(prog).accepted
    assert kernel.verify(prog, privileged=False).message == "R0 leaks addr as return value"
    assert kernel.verify(prog).accepted  # the process itself gave nothing up


def test_parallel_bulk_keeps_the_order(live_kernel: None) -> None:
    programs = [assemble(text, type="xdp") for text in ("r0 = 0\nexit", "exit") * 20]
    found = [v.accepted for v in kernel.verify_many(programs, jobs=2) if isinstance(v, kernel.KernelVerdict)]
    assert found == [True, False] * 20


def test_refused_map_names_the_map(live_kernel: None) -> None:
    prog = assemble("r0 = 0\nexit", type="xdp")
    prog.maps = [MapSpec("hash", 0, 8, 1, name="flows")]
    with pytest.raises(KernelError, match=r"map 0 'flows': hash, key 0"):
        kernel.verify(prog)


def test_unknown_program_type_is_one_clear_error() -> None:
    with pytest.raises(UsageError, match="unknown program type 'xpd'"):
        kernel.verify(Program([], type="xpd"))


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("0: R1=ctx()\n0: (79) r0 = *(u64 *)(r1 +0)\ninvalid bpf_context access off=0 size=8\nprocessed 1 insns",
         ["invalid bpf_context access off=0 size=8"]),
        ("from 3 to 7: R0=1\n frame1: R0=1\nR1 invalid mem access 'scalar'", ["R1 invalid mem access 'scalar'"]),
        ("R0_w=scalar() R1=ctx()\nstack depth 64+32\nverification time 9 usec", []),
        ("expected prog array map for tail callverification time 9 usec", ["expected prog array map for tail call"]),
    ],
)  # fmt: skip
def test_only_messages_are_messages(log: str, expected: list[str]) -> None:
    assert log_reader.messages(log) == expected


def test_tracing_programs_know_their_target(live_kernel: None) -> None:
    """A program for a tracepoint with BTF may read its arguments; without a target the kernel cannot say what they
    are.
    """
    prog = assemble("r0 = *(u64 *)(r1 + 8)\nr0 = 0\nexit", type="tracing")
    prog.attach_type = 23  # BPF_TRACE_RAW_TP
    assert kernel.verify(prog).accepted is False
    prog.attach_to = "sched_switch"
    verdict = kernel.verify(prog)
    if verdict.errno == "EPERM" and verdict.message is None:
        pytest.skip("this kernel does not take tracing programs here")
    assert verdict.accepted, verdict
