"""Control: calls, frames, tail calls, callbacks, loops, budgets, and leaving the program."""

from __future__ import annotations

import pytest

from bpfbench import interp
from bpfbench.errors import NotSupported
from bpfbench.isa.codec import decode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP
from bpfbench.program.program import Program, from_assembly

TAIL = ".map progs prog_array 4 4 4\nr6 = 5\nr2 = progs ll\nr3 = {index}\ncall bpf_tail_call\nr0 = 7\nexit"


def test_calls_keep_r6_to_r9_and_the_frame() -> None:
    text = """
        r6 = 1
        r7 = 2
        call f
        r0 += r6
        r0 += r7
        exit
    f:  r6 = 100
        r7 = 100
        r0 = 40
        exit
    """
    assert interp.run(from_assembly(text)).r0 == 43


def test_eight_frames_and_no_more() -> None:
    text = "r1 = {depth}\ncall f\nexit\nf: r0 = r1\nif r1 == 0 goto out\nr1 += -1\ncall f\nout: exit"
    assert interp.run(from_assembly(text.format(depth=6))).trap is None
    trap = interp.run(from_assembly(text.format(depth=7))).trap
    assert trap is not None and trap.message == "the call stack of 9 frames is too deep"


@pytest.mark.parametrize(("index", "r0"), [(1, 42), (0, 7), (9, 7)], ids=["there", "empty slot", "out of range"])
def test_tail_call(index: int, r0: int) -> None:
    other = from_assembly("r0 = 42\nexit", name="other")
    assert interp.run(from_assembly(TAIL.format(index=index)), maps={"progs": {1: other}}).r0 == r0


def test_tail_calls_end_after_33() -> None:
    text = """
        .map progs prog_array 4 4 1
        .map count array 4 8 1
        r6 = r1
        *(u32 *)(r10 - 4) = 0
        r1 = count ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = 1
        lock *(u64 *)(r0 + 0) += r1
        r1 = r6
        r2 = progs ll
        r3 = 0
        call bpf_tail_call
    out: r0 = 0
        exit
    """
    prog = from_assembly(text)
    result = interp.run(prog, maps={"progs": {0: prog}})
    assert result.maps["count"][0] == (34).to_bytes(8, "little")       # the first run and 33 tail calls


def test_a_tail_call_in_a_function_returns_to_its_caller() -> None:
    text = """
        .map progs prog_array 4 4 1
        r6 = 1
        call f
        r0 += r6
        exit
    f:  r2 = progs ll
        r3 = 0
        call bpf_tail_call
        r0 = 7
        exit
    """
    other = from_assembly("r0 = 42\nexit")
    assert interp.run(from_assembly(text), maps={"progs": {0: other}}).r0 == 43


LOOP = """
    *(u64 *)(r10 - 8) = 0
    r1 = {count}
    r2 = func pc body
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_loop
    r1 = *(u64 *)(r10 - 8)
    r0 <<= 32
    r0 |= r1
    exit
body:
    r3 = *(u64 *)(r2 + 0)
    r3 += r1
    *(u64 *)(r2 + 0) = r3
    r0 = 0
    if r1 != {stop} goto out
    r0 = 1
out:
    exit
"""


@pytest.mark.parametrize(("count", "stop", "calls", "total"), [(10, 99, 10, 45), (10, 3, 4, 6), (0, 9, 0, 0)])
def test_bpf_loop(count: int, stop: int, calls: int, total: int) -> None:
    assert interp.run(from_assembly(LOOP.format(count=count, stop=stop))).r0 == calls << 32 | total


def test_for_each_map_elem() -> None:
    text = """
        .map m array 4 8 4
        *(u64 *)(r10 - 8) = 0
        r1 = m ll
        r2 = func pc body
        r3 = r10
        r3 += -8
        r4 = 0
        call bpf_for_each_map_elem      ; calls body(map, key, value, context)
        r0 = *(u64 *)(r10 - 8)
        exit
    body:
        r5 = *(u64 *)(r3 + 0)
        r0 = *(u64 *)(r4 + 0)
        r0 += r5
        *(u64 *)(r4 + 0) = r0
        r0 = 0
        exit
    """
    assert interp.run(from_assembly(text), maps={"m": {0: 1, 1: 20, 3: 300}}).r0 == 321


@pytest.mark.parametrize("text", ["l: goto l", "r0 = 0\nl: r0 += 1\nif r0 != -1 goto l\nexit"])
def test_the_budget_ends_every_loop(text: str) -> None:
    result = interp.run(from_assembly(text), budget=1000)
    assert result.trap is not None and result.trap.kind == "budget" and result.insns_executed == 1000


def test_the_budget_counts_callbacks() -> None:
    result = interp.run(from_assembly(LOOP.format(count=1 << 23, stop=-1)), budget=100_000)
    assert result.trap is not None and result.trap.kind == "budget"


def test_may_goto_leaves_when_its_loops_are_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bpfbench.interp.machine.MAY_GOTO_BUDGET", 100)
    assert interp.run(from_assembly("r0 = 0\nl: may_goto out\nr0 += 1\ngoto l\nout: exit")).r0 == 100


def test_ld_abs_outside_the_packet_leaves_with_zero() -> None:
    text = "r6 = r1\nr0 = *(u16 *)skb[{at}]\nr0 += 1\nexit"
    packet = bytes(12) + b"\x88\xb5" + bytes(range(50))
    run = lambda at: interp.run(from_assembly(text.format(at=at), type="socket_filter"), packet).r0  # noqa: E731
    assert run(0) == 0x0001 + 1          # a socket filter counts from the network header
    assert run(49) == 0


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ("b700000001000000", "jump"),                          # falls off the end
        ("0500ff7f00000000", "jump"),                          # goto +32767
        ("050000000000000018000000010000000000000000000000", "jump"),
        ("ff00000000000000", "opcode"),                        # no such opcode
        ("b700010001000000", "opcode"),                        # reserved field set
        ("85000000ffff0000", "call"),                          # no such helper
    ],
    ids=["end", "far", "wide at the end", "opcode", "reserved", "helper"],
)  # fmt: skip
def test_programs_no_verifier_would_accept_trap(raw: str, kind: str) -> None:
    trap = interp.run(Program(decode(bytes.fromhex(raw), strict=False))).trap
    assert trap is not None and trap.kind == kind


def test_callx_takes_helper_numbers_and_function_addresses() -> None:
    callx = Instruction(OP["CALLX"], 2)
    by_number = from_assembly("r2 = 8\nr0 = 1\nexit")
    by_number.insns[1] = callx                                 # bpf_get_smp_processor_id
    assert interp.run(by_number).r0 == 0
    by_address = from_assembly("r2 = func pc f\nr0 = 1\nexit\nf: r0 = 9\nexit")
    by_address.insns[2] = callx
    assert interp.run(by_address).r0 == 9


def test_what_the_interpreter_has_not_it_says() -> None:
    with pytest.raises(NotSupported, match="helper bpf_sys_bpf in the interpreter"):
        interp.run(from_assembly("call bpf_sys_bpf\nexit"))


def test_a_trace_is_a_list_of_events() -> None:
    text = "r0 = 5\n*(u32 *)(r10 - 4) = r0\nif r0 == 5 goto out\nr0 = 1\nout: exit"
    trace = interp.run(from_assembly(text), trace=True).trace
    assert trace is not None
    assert [e.pc for e in trace.of("visit")] == [0, 1, 2, 4]
    assert trace.of("write")[0].values == {"register": 0, "old": 0, "new": 5}
    assert trace.of("store")[0].values == {"region": "stack", "offset": -4, "size": 4, "value": 5}
    assert trace.of("branch")[0].values == {"target": 4, "taken": True}


def test_watching_changes_nothing() -> None:
    """The watched loop and the fast one take the same steps."""
    from bpfbench.generate import generate

    for seed in range(20):
        prog = generate(seed, ("xdp", "sched_cls")[seed % 2])
        fast, watched = interp.run(prog, bytes(100)), interp.run(prog, bytes(100), trace=True)
        assert (fast.r0, fast.data, fast.insns_executed) == (watched.r0, watched.data, watched.insns_executed)
