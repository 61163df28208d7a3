"""The frame: passes, spans, layout, the same for every target."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.errors import JitError, NotSupported, UsageError
from bpfbench.isa.codec import decode
from bpfbench.jit import TARGETS, compile_program
from bpfbench.jit.code import EPILOGUE, PROLOGUE
from bpfbench.jit.compile import compile_insns
from bpfbench.jit.facts import Facts, estimate
from bpfbench.jit.listing import KERNELS, listing_all
from bpfbench.jit.partition import partition

EACH = pytest.mark.parametrize("target", [t for t in TARGETS if t in KERNELS])

LOOP = """
    r6 = 0
    r7 = 100
 again:
    r6 += r7
    r7 += -1
    *(u64 *)(r10 - 16) = r6
    if r7 != 0 goto again
    r0 = *(u64 *)(r10 - 16)
    exit
"""


@EACH
def test_spans_tile_the_image(target: str) -> None:
    code = compile_program(bb.assemble(LOOP), target, KERNELS[target])
    at = 0
    for span in code.spans:
        assert span.start == at and span.end > span.start
        at = span.end
    assert at == len(code.bytes)
    assert {s.pc for s in code.spans} - {PROLOGUE, EPILOGUE} <= set(range(8))
    assert code.bytes == b"".join(row.bytes for row in code.insns)
    assert [row.owner for row in code.insns if row.addr == code.spans[1].start] == [code.spans[1].pc]


@EACH
def test_every_emitted_instruction_decodes_to_itself(target: str) -> None:
    code = compile_program(bb.assemble(LOOP), target, KERNELS[target])
    for placed in code.placed:
        found = code.machine.decode(placed.raw)
        assert found is not None and found[0].encode(found[1]) == placed.raw


@EACH
def test_the_layout_accounts_for_the_bpf_stack(target: str) -> None:
    layout = compile_program(bb.assemble(LOOP), target, KERNELS[target]).layout
    assert layout.stack_size >= 16              # ARM keeps registers that have no home there too
    assert any(step.what == "cfa" for step in layout.steps)
    addresses = [step.addr for step in layout.steps]
    assert addresses == sorted(addresses)


@EACH
def test_passes_end_with_two_equal_sizes(target: str) -> None:
    passes = compile_program(bb.assemble(LOOP), target, KERNELS[target]).passes
    assert len(passes) >= 2 and passes[-1] == passes[-2]


def test_x86_images_shrink_from_pass_to_pass() -> None:
    """Jumps are long until a pass has shown that they can be short."""
    hops = "".join(f"if r1 > {i} goto end\n" for i in range(40))
    code = compile_program(bb.assemble(f"{hops} end: r0 = 0\n exit"))
    assert code.passes == sorted(code.passes, reverse=True)
    assert code.passes[0] > code.passes[-1]


@EACH
def test_stack_depth_comes_from_the_facts(target: str) -> None:
    prog = bb.assemble("r0 = 0\nexit")
    small = compile_program(prog, target, KERNELS[target])
    large = compile_program(prog, target, KERNELS[target], facts=Facts([512], [False]))
    assert large.layout.stack_size - small.layout.stack_size == 512


def test_estimated_stack_depth() -> None:
    insns = bb.assemble("r2 = r10\nr2 += -40\n*(u64 *)(r2 + 0) = 1\nr0 = *(u8 *)(r10 - 3)\nexit").insns
    facts = estimate(insns, partition(insns, False))
    assert facts.stack_depth == [40]
    assert facts.tail_call_reachable == [False]


def test_tail_calls_reach_callers_and_only_them() -> None:
    insns = bb.assemble(
        "call a\ncall c\nr0 = 0\nexit\n"
        "a: call b\nexit\n"
        "b: r2 = map[0]\nr3 = 0\ncall tail_call\nr0 = 0\nexit\n"
        "c: r0 = 1\nexit"
    ).insns  # fmt: skip
    functions = partition(insns, False)
    assert estimate(insns, functions).tail_call_reachable == [True, True, True, False]


@pytest.mark.parametrize(
    "raw,message",
    [
        ("", "empty"),
        ("0500050000000000" "9500000000000000", "insn 0: jump to slot 6"),
        ("1800000001000000" "0000000000000000" "0500feff00000000" "9500000000000000", "jump to slot 1"),
        ("8510000064000000" "9500000000000000", "call to slot 101"),
        ("2000000004000000" "9500000000000000", "LD_ABS_W"),
        ("ff00000000000000" "9500000000000000", "not a valid instruction"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_its_place(raw: str, message: str) -> None:
    insns = decode(bytes.fromhex(raw), strict=False)
    with pytest.raises((JitError, NotSupported), match=message):
        compile_insns(insns, "x86_64", "linux-6.18")


def test_unknown_names_are_usage_errors() -> None:
    prog = bb.assemble("r0 = 0\nexit")
    with pytest.raises(UsageError, match="known: x86_64, aarch64"):
        compile_program(prog, "sparc")
    with pytest.raises(UsageError, match="known: linux-4.18"):
        compile_program(prog, kernel="linux-0.1")
    with pytest.raises(UsageError, match="unknown feature"):
        compile_program(prog, features={"turbo": True})


def test_listing_puts_all_targets_side_by_side() -> None:
    table = listing_all(bb.assemble(LOOP))
    assert set(TARGETS) <= set(table.codes)
    line = next(line for line in table.lines if line.pc == 2)
    assert line.cells["x86_64"].rule == "alu_reg"
    assert [r.text for r in line.cells["x86_64"].rows] == ["add rbx, r13"]
    assert [r.text for r in line.cells["aarch64"].rows] == ["add x19, x19, x20"]
    assert table.sizes["x86_64"] == len(table.codes["x86_64"].bytes)
    graph = table.to_networkx()
    assert graph.nodes[("bpf", 2)]["text"] == line.text
    assert graph.out_degree(("bpf", 2)) == sum(len(c.rows) for c in line.cells.values())
    assert "add rbx, r13" in str(table)


def test_the_module_is_the_function_of_the_public_interface() -> None:
    import bpfbench.jit

    assert bb.jit(bb.assemble("r0 = 1\nexit")).bytes == bpfbench.jit.compile_program(bb.assemble("r0 = 1\nexit")).bytes
