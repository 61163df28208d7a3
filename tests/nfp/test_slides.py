"""The slides' own examples: text as on the slide, and the machinery that makes them again."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.isa import ops
from bpfbench.jit.nfp import compile_nfp
from bpfbench.nfp import slides, width32
from bpfbench.nfp.slides import SLIDES, cal, cal_alu32, chains_table, copy_program, list_of, pseudo, written
from bpfbench.nfp.width32 import Width

LINES = SLIDES[43].native.splitlines()


def test_slide_43_lines_are_encoded_and_read_back() -> None:
    assert [text for _, text in slides.machine_lines(43)] == LINES
    assert f"{slides.machine_lines(43)[3][0]:x}" == "2a0806c3006"


@pytest.mark.parametrize("kernel", ["linux-6.1", "bpfbench"])
def test_slide_43_lines_come_out_of_the_generator_in_their_order(kernel: str) -> None:
    code = [row.text for row in compile_nfp(slides.frame_program(), kernel).insns]
    places = [code.index(line) for line in LINES]
    assert places == sorted(places)


def test_slide_43_bpf_is_as_the_kernel_prints_it_but_for_blanks() -> None:
    program = bb.assemble("r3 += 1\nif r0 < r1 goto L1\nr4 = *(u8 *)(r2 - 8)\ngoto L2\nL1: r0 = 0\nL2: exit")
    got = written(program).splitlines()
    want = SLIDES[43].bpf.replace("goto L1", "goto pc+2").replace("goto L2", "goto pc+1").splitlines()
    assert got[:4] == want


def test_slide_45_lines_are_encoded_and_read_back() -> None:
    assert [text for _, text in slides.machine_lines(45)] == [
        line for line in SLIDES[45].native.splitlines() if "[" in line
    ]


def test_slides_45_to_47_hold_the_text_of_the_programs() -> None:
    for number, offsets in ((45, slides.OFFSETS_IN_ORDER), (46, slides.OFFSETS_SCHEDULED), (47, slides.OFFSETS_IN_ORDER)):
        assert SLIDES[number].bpf in written(copy_program(offsets))
    assert len(SLIDES[46].bpf.splitlines()) == 16 and SLIDES[45].bpf != SLIDES[46].bpf


def test_slide_45_the_copy_in_order_is_one_read_and_one_write() -> None:
    code = [slides.as_encoded(row.text) for row in compile_nfp(copy_program(), "bpfbench").insns]
    moved = [line for line in code if line.startswith(("mem[", "alu[$xfer"))]
    assert moved == [
        "mem[read32_swap, $xfer_0, gprA_4, 0x0, 7]", *(f"alu[$xfer_{i}, --, B, $xfer_{i}]" for i in range(8)),
        "mem[write32_swap, $xfer_0, gprA_2, 0x0, 7]",
    ]  # fmt: skip


def test_slide_46_the_scheduled_copy_stays_in_pieces() -> None:
    code = compile_nfp(copy_program(slides.OFFSETS_SCHEDULED), "bpfbench")
    assert [s.copy.length for s in code.steps if s.copy] == [8, 8, 8]           # 28 24 | 16 12 | 20 | 4 0 | 8
    in_order = compile_nfp(copy_program(), "bpfbench")
    assert [s.copy.length for s in in_order.steps if s.copy] == [32]
    assert len(in_order.words) < len(code.words)


def test_slide_47_r3_is_the_word_loaded_last() -> None:
    packet = bytes(range(1, 129))
    out = bb.run(copy_program(live=True), packet, engine="nfp")
    assert out.data == bb.run(copy_program(live=True), packet).data
    assert out.data[64:96] == packet[:32] and out.data[124:128] == packet[0:4]


def test_slide_52_on_a_machine_with_64_bits() -> None:
    assert written(cal()) == SLIDES[52].bpf
    assert pseudo(list_of(cal()), pairs=False) == SLIDES[52].native


def test_slide_53_pairs_without_knowledge() -> None:
    assert pseudo(list_of(cal())) == SLIDES[53].native


def test_slide_54_solution_1() -> None:
    assert written(cal_alu32(), sub_registers=True) == SLIDES[54].bpf
    steps = list_of(cal_alu32())
    width32.marks(steps, driver=False)
    assert pseudo(steps) == SLIDES[54].native


def test_slide_59_solution_2_gives_the_code_of_slide_54_from_64_bit_instructions() -> None:
    steps = list_of(cal())
    width32.propagate(steps, driver=False)
    assert pseudo(steps) == SLIDES[54].native


def test_slides_56_to_59_definitions_uses_and_waves() -> None:
    assert [SLIDES[n].bpf for n in (56, 57, 58, 59)] == [written(cal())] * 4
    assert [row[:3] for row in chains_table(list_of(cal()))] == [
        ("r1", "r1", ""), ("r2", "r2", ""), ("r2", "r2", "r1"), ("", "r3", "r2"), ("", "r0", "")]  # fmt: skip
    width = Width(list_of(cal()))
    assert width.seeds == [(0, 1), (1, 2), (3, 3)]          # slide 57: the three addresses
    assert width.waves() == [[(2, 2)], [(0, 1), (1, 2)]]    # slide 58: the sum; slide 59: its operands


def test_slide_55_a_64_bit_store_keeps_the_upper_halves() -> None:
    program = bb.assemble(SLIDES[53].bpf.replace("*(u32 *)(r3", "*(u64 *)(r3"))
    width = Width(list_of(program))
    assert width.dead == [] and width.why(0, 1) == [2, 3]
    assert program.insns[3] is not None and program.insns[3].kind == ops.STX


def test_slide_53_in_a_packet_costs_two_instructions_more_than_it_needs() -> None:
    """The middle of `cal` between packet and packet, with the driver's knowledge and with ours."""
    program = bb.assemble(f"{slides.SETUP}r4 = *(u32 *)(r2 + 0)\nr5 = *(u32 *)(r2 + 4)\nr5 += r4\n"
                          "*(u32 *)(r1 + 0) = r5\nout: r0 = 2\nexit")  # fmt: skip
    report = bb.nfp.reports(program, without=("alu32",))
    assert [c.saved for c in report["width32"].changes if c.insn in ("r5 += r4", "r4 = *(u32 *)(r2 +0)")] == [1, 1]
