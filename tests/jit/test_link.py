"""Linking (slides 37 and 38): two rounds between functions, relocations and veneers for everything else."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.errors import JitError
from bpfbench.jit import TARGETS, compile_program
from bpfbench.jit.link import Linkage, link
from bpfbench.jit.listing import KERNELS

EACH = pytest.mark.parametrize("target", [t for t in TARGETS if t in KERNELS and t != "arm"])
CALLS = "r1 = 2\ncall double\nexit\n double: r0 = r1\n r0 += r1\n exit"


@EACH
def test_functions_follow_one_another(target: str) -> None:
    code = compile_program(bb.assemble(CALLS), target, KERNELS[target])
    first, second = code.functions
    assert (first.start, second.start) == (0, first.length)
    assert first.length + second.length == len(code.bytes)
    assert (first.name, second.name) == ("main", "func1")


@EACH
def test_the_second_round_knows_the_addresses(target: str) -> None:
    linkage = compile_program(bb.assemble(CALLS), target, KERNELS[target]).linkage
    assert isinstance(linkage, Linkage)
    assert len(linkage.rounds) >= 2
    assert linkage.rounds[-1].starts == linkage.rounds[-2].starts
    if target in ("x86_64", "aarch64", "riscv64"):      # distances; elsewhere whole addresses, which stay relocations
        assert linkage.changed or len(linkage.rounds) > 2


@EACH
def test_a_call_between_functions_is_a_relocation_that_the_image_can_resolve(target: str) -> None:
    code = compile_program(bb.assemble(CALLS), target, KERNELS[target], features={"user_space": True})
    assert "subprog" in {r.kind for r in code.relocations}
    base = 0x10_0000
    linked = link(code, base, lambda kind, symbol: base + 0x8000)
    assert len(linked.bytes) >= len(code.bytes)
    assert linked.entry == base


def test_x86_calls_go_where_the_resolver_says() -> None:
    code = compile_program(bb.assemble("call get_prandom_u32\nexit"), features={"return_thunk": False})
    (call,) = [r for r in code.relocations if r.kind == "helper"]
    assert (call.symbol, call.size, call.form) == ("bpf_get_prandom_u32", 4, "rel32")
    linked = link(code, 0x40_0000, lambda kind, symbol: 0x50_0000)
    assert f"call {0x50_0000:#x}" in [text for _, _, text in code.machine.disassemble(linked.bytes, 0x40_0000)]
    assert not linked.veneers


def test_a_far_address_is_reached_through_a_veneer() -> None:
    code = compile_program(bb.assemble("call get_prandom_u32\nexit"), features={"return_thunk": False})
    far = 0x7FFF_1234_5678
    linked = link(code, 0x40_0000, lambda kind, symbol: far)
    veneer = linked.veneers["bpf_get_prandom_u32"]
    assert veneer % 16 == 0 and veneer >= 0x40_0000 + len(code.bytes)
    assert far.to_bytes(8, "little") in linked.bytes[veneer - 0x40_0000 :]


def test_an_unknown_symbol_is_named() -> None:
    code = compile_program(bb.assemble("call get_prandom_u32\nexit"), features={"return_thunk": False})
    with pytest.raises(JitError, match="helper 'bpf_get_prandom_u32'"):
        link(code, 0, lambda kind, symbol: None)


def test_rewritten_programs_keep_the_offset_of_a_helper() -> None:
    """In a program that the kernel has rewritten `imm` is the distance from `__bpf_call_base` (slide 37)."""
    from bpfbench.isa.codec import decode
    from bpfbench.jit.compile import compile_insns

    insns = decode(bytes.fromhex("85000000b01c0400" "9500000000000000"), internal=True)
    code = compile_insns(insns, "x86_64", "linux-6.18", rewritten=True)
    assert [r.symbol for r in code.relocations if r.kind == "helper"] == ["__bpf_call_base+269488"]
