"""Every engine gives what the interpreter gives: r0, packet, maps, and through callbacks and tail calls."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import pytest

import bpfbench as bb
from bpfbench import interp
from bpfbench.errors import ExecuteError, InterpError, UsageError
from bpfbench.execute import EMULATED
from bpfbench.execute.native import HOSTS
from bpfbench.interp.runtime import Maps
from tests.parity_execution import Random, outcome, packet, program

NATIVE = pytest.param("native", marks=pytest.mark.skipif(
    platform.machine() not in HOSTS, reason="native code runs on x86-64 and AArch64 only"))  # fmt: skip
ENGINES = [*(f"emulate:{target}" for target in EMULATED), NATIVE]
ACCEPTED = SimpleNamespace(accepted=True)


def run(prog: bb.Program, engine: str, **options: object) -> interp.Result:
    """Run; the programs here are small and right, so native code need not wait for a verifier."""
    if engine == "native":
        options["verification"] = ACCEPTED
    result = bb.run(prog, options.pop("data", b""), engine=engine, **options)
    assert isinstance(result, interp.Result)
    return result


@pytest.mark.parametrize("engine", ENGINES)
def test_generated_programs(engine: str) -> None:
    for seed in range(12):
        prog, data = program(seed), packet(Random(seed))
        expected = interp.run(prog, data)
        assert outcome(run(prog, engine, data=data), engine) == outcome(expected, "interp"), f"seed {seed}"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("text", "r0"),
    [
        ("r0 = 0x123456789abcdef ll\nexit", 0x123456789ABCDEF),
        ("r0 = 7\nr1 = 0\nr0 /= r1\nexit", 0),
        ("r0 = 7\nr1 = 0\nr0 %= r1\nexit", 7),
        ("r0 = 0x8000000000000000 ll\nr1 = -1\nr0 s/= r1\nexit", 1 << 63),
        ("r0 = 9\nr1 = 0\nw0 s%= w1\nexit", 9),
        ("r0 = -7\nr1 = 2\nw0 s/= w1\nexit", 0xFFFFFFFD),
        ("r0 = 1\nr1 = 65\nr0 <<= r1\nexit", 2),
        ("r0 = 0x123456789abcdef0 ll\n*(u64 *)(r10 - 8) = r0\nr1 = 1\n"
         "r0 = atomic_cmpxchg((u32 *)(r10 - 8), r0, r1)\nexit", 0x9ABCDEF0),
        ("r0 = 0\nl: r0 += 1\nmay_goto m\nif r0 < 10 goto l\nm: exit", 10),
    ],
)  # fmt: skip
def test_corners(engine: str, text: str, r0: int) -> None:
    assert run(bb.assemble(text), engine).r0 == r0


@pytest.mark.parametrize("engine", ENGINES)
def test_callbacks(engine: str) -> None:
    text = """
        *(u64 *)(r10 - 8) = 0
        r1 = 10
        r2 = func pc add
        r3 = r10
        r3 += -8
        r4 = 0
        call bpf_loop
        r0 = *(u64 *)(r10 - 8)
        exit
    add:
        r3 = *(u64 *)(r2 + 0)
        r3 += r1
        *(u64 *)(r2 + 0) = r3
        r0 = 0
        exit
    """
    assert run(bb.assemble(text), engine).r0 == 45


@pytest.mark.parametrize("engine", ENGINES)
def test_tail_calls(engine: str) -> None:
    text = ".map progs prog_array 4 4 2\nr2 = progs ll\nr3 = {}\ncall bpf_tail_call\nr0 = 7\nexit"
    other = bb.assemble("r0 = 42\nexit")
    assert run(bb.assemble(text.format(1)), engine, maps={"progs": {1: other}}).r0 == 42
    assert run(bb.assemble(text.format(0)), engine, maps={"progs": {1: other}}).r0 == 7


@pytest.mark.parametrize("engine", ENGINES)
def test_ld_abs(engine: str) -> None:
    text = "r6 = r1\nr0 = *(u16 *)skb[{}]\nr0 += 1\nexit"
    data = bytes(12) + b"\x88\xb5" + bytes(range(50))
    for at, r0 in ((0, 2), (49, 0)):
        prog = bb.assemble(text.format(at), type="socket_filter")
        assert run(prog, engine, data=data).r0 == interp.run(prog, data).r0 == r0


@pytest.mark.parametrize("engine", ENGINES)
def test_maps_go_on_from_an_earlier_run(engine: str) -> None:
    text = """
        .map count hash 4 8 2
        *(u32 *)(r10 - 4) = 3
        *(u64 *)(r10 - 16) = 5
        r1 = count ll
        r2 = r10
        r2 += -4
        call bpf_map_lookup_elem
        if r0 == 0 goto new
        r1 = 1
        lock *(u64 *)(r0 + 0) += r1
        goto out
    new:
        r1 = count ll
        r2 = r10
        r2 += -4
        r3 = r10
        r3 += -16
        r4 = 0
        call bpf_map_update_elem
    out: r0 = 0
        exit
    """
    prog = bb.assemble(text)
    maps: Maps | None = None
    for _ in range(3):
        maps = run(prog, engine, maps=maps).maps
    assert maps is not None and maps["count"][3] == (7).to_bytes(8, "little")


@pytest.mark.parametrize("target", EMULATED)
def test_a_trap_under_emulation_names_the_instruction_of_the_program(target: str) -> None:
    """Rewriting and native code lie between; the trap is told in terms of what was given."""
    text = "r2 = *(u32 *)(r1 + 0)\nr3 = 0\nr3 /= r3\nr0 = *(u64 *)(r2 + 4200)\nexit"
    trap = bb.run(bb.assemble(text), engine=f"emulate:{target}").trap
    assert trap is not None
    assert (trap.kind, trap.pc, trap.region, trap.insn) == ("memory", 3, "packet", "r0 = *(u64 *)(r2 +4200)")


@pytest.mark.parametrize("target", EMULATED)
def test_a_helper_that_fails_names_its_call(target: str) -> None:
    text = "r1 = 5\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\nr0 = 0\nexit"
    trap = bb.run(bb.assemble(text), engine=f"emulate:{target}").trap
    assert trap is not None and (trap.kind, trap.pc) == ("helper", 3)


def test_an_endless_program_is_stopped_under_emulation() -> None:
    with pytest.raises(ExecuteError, match="did not end in time"):
        bb.run(bb.assemble("l: goto l"), engine="emulate:aarch64", seconds=0.3)


def test_unknown_engines() -> None:
    with pytest.raises(UsageError, match="unknown engine 'emulate:z80'"):
        bb.run(bb.assemble("r0 = 0\nexit"), engine="emulate:z80")


def test_bad_input_is_the_same_error_everywhere() -> None:
    for engine in ("interp", "emulate:arm"):
        with pytest.raises(InterpError, match="needs at least the 14"):
            bb.run(bb.assemble("r0 = 0\nexit"), b"short", engine=engine)
