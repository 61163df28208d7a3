"""The walk on small programs: registers before an instruction, refusals in the kernel's words, experiments."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.errors import UsageError
from bpfbench.program.program import MapSpec, Program, from_assembly
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.state import State
from bpfbench.verifier.verification import verify

PACKET = """
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 14
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 + 13)
    exit
out:
    r0 = 0
    exit
"""
BOUNDED = """
    r0 = 0
    r6 = 0
again:
    r6 += 1
    if r6 < 20 goto again
    exit
"""
DIAMONDS = "r2 = *(u32 *)(r1 + 0)\n" + "".join(
    f"r3 = *(u32 *)(r1 + {4 * i})\nif r3 > 7 goto l{i}\nr4 = {i}\nl{i}:\n" for i in range(6)) + "r0 = 0\nexit"


class Seen(Observer):
    def __init__(self) -> None:
        self.kinds: dict[int, list[int]] = {}
        self.ends = self.forks = self.prunes = 0

    def visit(self, step: int, pc: int, state: State) -> None:
        self.kinds[pc] = [reg.kind for reg in state.frames[-1].regs]

    def fork(self, step: int, pc: int, target: int, state: State, speculative: bool) -> None:
        self.forks += 1

    def prune(self, step: int, pc: int, old: State, state: State) -> None:
        self.prunes += 1

    def end(self, step: int, pc: int, state: State) -> None:
        self.ends += 1


def test_packet_program() -> None:
    seen = Seen()
    v = verify(from_assembly(PACKET, type="xdp"), observer=seen)
    assert v.accepted, v.rejection
    assert seen.forks == 1 and seen.ends == 2
    assert seen.kinds[2][1:4] == [rs.CTX, rs.PACKET, rs.PACKET_END]
    assert v.stats.processed == 9


REFUSED = {
    "exit": "R0 !read_ok",
    "r0 = r5\nexit": "R5 !read_ok",
    "r0 = *(u64 *)(r10 + 8)\nexit": "invalid read from stack R10 off=8 size=8",
    "*(u64 *)(r10 - 520) = 1\nr0 = 0\nexit": "invalid write to stack R10 off=-520 size=8",
    "r10 = 1\nr0 = 0\nexit": "frame pointer is read only",
    "r0 = 0\nr0 /= 0\nexit": "div by zero",
    "r0 = 0\nr0 <<= 64\nexit": "invalid shift 64",
    "r0 = *(u8 *)(r1 + 400)\nexit": "invalid bpf_context access off=400 size=1",
    "r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 0)\nexit": "R2 offset is outside of the packet",
    "r0 = 0\ngoto -1": "infinite loop detected at insn 1",
    "r0 = 0": "last insn is not an exit or jmp",
    "r0 = 0\nexit\nr0 = 1\nexit": "unreachable insn 2",
    "r0 = 0\ngoto +9\nexit": "jump out of range from insn 1 to 11",
    "r1 = 1\nr0 = *(u8 *)(r1 + 0)\nexit": "R1 invalid mem access 'scalar'",
    "call 9999\nexit": "invalid func unknown#9999",
    "r2 = r10\nr1 = 0\ncall map_lookup_elem\nr0 = 0\nexit": "R1 type=scalar expected=map_ptr",
}


@pytest.mark.parametrize("text", REFUSED)
def test_refusals(text: str) -> None:
    v = verify(from_assembly(text, type="xdp"))
    assert not v.accepted and v.rejection is not None
    assert v.rejection.message == REFUSED[text]


def test_map_value_must_be_checked() -> None:
    text = """
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    .insn 18110000000000000000000000000000
    call map_lookup_elem
    {check}
    r0 = *(u32 *)(r0 + {at})
    exit
out:
    r0 = 0
    exit
    """

    def judged(check: str, at: int, kind: str = "hash") -> str:
        bare = from_assembly(text.format(check=check, at=at), type="xdp")
        v = verify(Program(bare.insns, "xdp", "program", "GPL", [MapSpec(kind, 4, 8, 1)]))
        return v.rejection.message if v.rejection is not None else ""

    assert judged("if r0 == 0 goto out", 4) == ""
    assert judged("if r0 == 0 goto out", 8) == "R0 min value is outside of the allowed memory range"
    assert judged("r6 = 0\nif r6 == 5 goto out", 0) == "R0 invalid mem access 'map_value_or_null'"
    assert judged("r6 = 0\nif r6 == 5 goto out", 0, "array") == ""       # a constant key within an array is found


def test_loops() -> None:
    assert verify(from_assembly(BOUNDED, type="xdp")).accepted
    old = verify(from_assembly(BOUNDED, type="xdp"), kernel="linux-4.18")
    assert old.rejection is not None and old.rejection.message.startswith("back-edge from insn 3 to 2")


def test_privileges() -> None:
    leak = "*(u64 *)(r10 - 8) = r1\nr0 = r10\nexit"
    assert verify(from_assembly(leak, type="socket_filter")).accepted
    v = verify(from_assembly(leak, type="socket_filter"), privileged=False)
    assert v.rejection is not None and "leaks addr" in v.rejection.message


@pytest.mark.parametrize("name", ["pruning", "liveness", "precision", "tnum", "32-bit bounds"])
@pytest.mark.parametrize("kernel", ["linux-6.1", "linux-6.12", "linux-6.18"])
def test_experiments_cost_work_but_accept(kernel: str, name: str) -> None:
    prog = from_assembly(DIAMONDS.replace("r1 + 20", "r1 + 12"), type="sched_cls")
    normal = verify(prog, kernel=kernel)
    without = verify(prog, kernel=kernel, without=(name,))
    assert normal.accepted and without.accepted
    assert without.stats.processed >= normal.stats.processed
    if name == "pruning":
        assert without.stats.processed > 2 * normal.stats.processed


def test_unknown_experiment() -> None:
    with pytest.raises(UsageError):
        verify(from_assembly("r0 = 0\nexit"), without=("magic",))


def test_trace_and_log() -> None:
    v = bb.verify(from_assembly(PACKET, type="xdp"), trace=True)
    assert v.trace is not None and len(v.trace.of("visit")) == v.stats.processed
    assert len(v.trace.of("fork")) == 1
    text = v.log(2)
    assert "R1=ctx() R10=fp0" in text and "from 4 to 7" in text
    assert text.splitlines()[-1].startswith("processed 9 insns (limit 1000000)")


def test_every_path_ends_or_is_pruned() -> None:
    seen = Seen()
    v = verify(from_assembly(DIAMONDS, type="sched_cls"), observer=seen)
    assert v.accepted and seen.ends == seen.forks + 1 > seen.prunes > 0
