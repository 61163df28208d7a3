"""The micro-engine, line by line of its contract: small programs in its assembly, and what they leave behind."""

from __future__ import annotations

from random import Random

import pytest

from bpfbench.errors import Hazard
from bpfbench.execute.nfp_bus import BUFFER, CardMemory
from bpfbench.execute.nfp_engine import Engine
from bpfbench.execute.nfp_state import Context
from bpfbench.machine.nfp import protect
from bpfbench.machine.nfp_assembler import assemble

END = "ctx_arb[kill]"


def engine(text: str, **start: int) -> Engine:
    """An engine with a program (one instruction a line) and card memory; a5=7 sets gprA_5, b5=… gprB_5, lm3=… a pointer."""
    memory = CardMemory()
    memory.add("packet", 1024)
    memory.add("value", 256)
    made = Engine(memory)
    made.load([protect(assemble(line)) for line in [*filter(None, map(str.strip, text.split("\n"))), END]])
    c = made.contexts[0]
    for name, value in start.items():
        if name.startswith("lm"):
            c.point(int(name[2:]), value)
        elif name.startswith("x"):
            c.xin[int(name[1:])] = value
        else:
            (c.a if name[0] == "a" else c.b)[int(name[1:])] = value
    return made


def run(text: str, **start: int) -> Context:
    made = engine(text, **start)
    made.run()
    return made.contexts[0]


def hazard(text: str, **start: int) -> Hazard:
    with pytest.raises(Hazard) as caught:
        run(text, **start)
    return caught.value


# ------------------------------------------------------------------------------------------------------------ registers
def test_the_banks_are_distinct() -> None:
    c = run("immed[gprA_3, 0x1]\nimmed[gprB_3, 0x2]\nimmed[gprA_4, 0x3], gpr_wrboth")
    assert (c.a[3], c.b[3], c.a[4], c.b[4]) == (1, 2, 3, 3)


def test_a_transfer_register_is_two_registers() -> None:
    c = run("immed[$xfer_0, 0x5]\nalu[gprA_0, --, B, $xfer_0]", x0=9)
    assert (c.a[0], c.xin[0], c.xout[0]) == (9, 9, 5)


@pytest.mark.parametrize("text", ["immed_w1[$xfer_0, 0x1234]", "ld_field[$xfer_0, 0011, gprB_1]"])
def test_merging_into_a_transfer_register_is_a_hazard(text: str) -> None:
    assert hazard(text).rule == "transfer merge"


def test_more_transfer_registers_than_there_are() -> None:
    assert hazard("mem[read32_swap, $xfer_60, gprA_0, gprB_0, 8], ctx_swap[sig1]", a0=BUFFER).rule == "transfer registers"


# ----------------------------------------------------------------------------------------------------------- arithmetic
@pytest.mark.parametrize("op, a, b, result, nzvc", [
    ("+", 0xFFFFFFFF, 1, 0, (0, 1, 0, 1)), ("+", 0x7FFFFFFF, 1, 0x80000000, (1, 0, 1, 0)),
    ("-", 5, 5, 0, (0, 1, 0, 1)), ("-", 3, 5, 0xFFFFFFFE, (1, 0, 0, 0)), ("-", 0x80000000, 1, 0x7FFFFFFF, (0, 0, 1, 1)),
    ("B-A", 3, 5, 2, (0, 0, 0, 1)), ("+16", 1, 0xABCD0002, 3, (0, 0, 0, 0)), ("+8", 1, 0xABCD, 0xCE, (0, 0, 0, 0)),
])  # fmt: skip
def test_sums_set_all_codes(op: str, a: int, b: int, result: int, nzvc: tuple[int, ...]) -> None:
    c = run(f"alu[gprA_2, gprA_0, {op}, gprB_1]", a0=a, b1=b)
    assert (c.a[2], (c.n, c.z, c.v, c.c)) == (result, nzvc)


@pytest.mark.parametrize("op, result", [("AND", 0x0C & 0x0A), ("OR", 0x0E), ("XOR", 0x06), ("~AND", ~0x0C & 0x0A),
                                        ("AND~", 0x0C & ~0x0A)])  # fmt: skip
def test_logic_leaves_carry_undefined(op: str, result: int) -> None:
    c = run(f"alu[gprA_2, gprA_0, {op}, gprB_1]", a0=0x0C, b1=0x0A)
    assert (c.a[2], c.z, c.c, c.v) == (result & 0xFFFFFFFF, 0, None, None)


def test_sums_of_64_bits_go_over_the_carry() -> None:
    rng = Random(1)
    for name, low, high in (("add", "+", "+carry"), ("sub", "-", "-carry")):
        for _ in range(50):
            x, y = (rng.choice((rng.getrandbits(64), rng.getrandbits(33), 0, 2**64 - 1)) for _ in "xy")
            c = run(f"alu[gprA_4, gprA_0, {low}, gprB_2]\nimmed[gprA_9, 0x7]\nalu[gprA_5, gprA_1, {high}, gprB_3]",
                    a0=x & 0xFFFFFFFF, a1=x >> 32, b2=y & 0xFFFFFFFF, b3=y >> 32)  # fmt: skip
            assert c.a[4] | c.a[5] << 32 == (x + y if name == "add" else x - y) & 2**64 - 1


def test_an_undefined_carry_is_not_used() -> None:
    assert hazard("alu[gprA_0, gprA_1, OR, gprB_1]\nalu[gprA_0, gprA_1, +carry, gprB_1]").rule == "condition codes"
    assert hazard("alu[gprA_0, gprA_1, OR, gprB_1]\nbcc[.0]").rule == "condition codes"


def test_operands_swapped_by_the_encoding_are_swapped_back() -> None:
    assert run("alu[gprA_2, gprB_1, -, gprA_0]", a0=3, b1=10).a[2] == 7


def test_multiplication_gives_both_halves() -> None:
    steps = [f"mul_step[gprA_0, gprB_1], 32x32_step{n}" for n in range(1, 5)]
    text = "\n".join(["mul_step[gprA_0, gprB_1], start", *steps, "mul_step[gprA_2, --], 32x32_last",
                      "mul_step[gprA_3, --], 32x32_last2"])  # fmt: skip
    c = run(text, a0=0xDEADBEEF, b1=0xFEEDFACE)
    assert c.a[2] | c.a[3] << 32 == 0xDEADBEEF * 0xFEEDFACE
    short = "\n".join(["mul_step[gprA_0, gprB_1], start", "mul_step[gprA_0, gprB_1], 16x16_step1",
                       "mul_step[gprA_0, gprB_1], 16x16_step2", "mul_step[gprA_2, --], 16x16_last"])  # fmt: skip
    assert run(short, a0=0xBEEF, b1=0xFACE).a[2] == 0xBEEF * 0xFACE


@pytest.mark.parametrize("text", [
    "mul_step[gprA_0, gprB_1], 16x16_step1", "mul_step[gprA_2, --], 32x32_last",
    "mul_step[gprA_0, gprB_1], start\nmul_step[gprA_0, gprB_1], 16x16_step1\nmul_step[gprA_2, --], 16x16_last",
    "mul_step[gprA_0, gprB_1], start\nimmed[gprA_0, 0x9]\nmul_step[gprA_0, gprB_1], 16x16_step1",
])  # fmt: skip
def test_multiplication_steps_keep_their_order_and_operands(text: str) -> None:
    assert hazard(text).rule == "multiplication"


# --------------------------------------------------------------------------------------------------------------- shifts
@pytest.mark.parametrize("text, result", [
    ("alu_shf[gprA_2, --, B, gprB_1, >>4]", 0x08000001), ("alu_shf[gprA_2, --, B, gprB_1, <<4]", 0x00000120),
    ("alu_shf[gprA_2, --, B, gprB_1, >>rot4]", 0x28000001), ("dbl_shf[gprA_2, gprA_0, gprB_1, >>8]", 0x0F800000),
    ("alu_shf[gprA_2, gprA_0, AND, gprB_1, >>1]", 0x9 & 0x0F), ("ld_field[gprA_2, 0101, gprB_1]", 0xAA00AA12),
    ("ld_field_w_clr[gprA_2, 0001, gprB_1, >>24]", 0x80), ("ld_field[gprA_2, 1100, gprB_1, <<16]", 0x0012AAAA),
])  # fmt: skip
def test_b_is_shifted_before_it_is_combined(text: str, result: int) -> None:
    assert run(text, a0=0x0F, b1=0x80000012, a2=0xAAAAAAAA).a[2] == result


def test_an_indirect_shift_takes_its_amount_from_the_instruction_before() -> None:
    assert run("alu[--, gprA_0, OR, 0x0]\nalu_shf[gprA_2, --, B, gprB_1, <<indirect]", a0=35, b1=1).a[2] == 8
    text = "alu[--, gprA_0, OR, gprB_1]\nasr[gprA_2, gprB_1, >>indirect]"
    assert run(text, a0=4, b1=0x80000000).a[2] == 0xF8000000
    assert run(text, a0=0, b1=0x80000000).a[2] == 0x80000000


def test_asr_takes_its_sign_from_the_result_before() -> None:
    assert run("alu[--, gprA_0, OR, 0x0]\nasr[gprA_2, gprB_1, >>4]", a0=0, b1=0x80000000).a[2] == 0x08000000


@pytest.mark.parametrize("before", ["immed[gprA_5, 0x4]", "alu[gprA_5, --, B, gprB_1]", "nop", "alu[--, gprB_1, -, gprA_0]"])
def test_an_amount_that_nobody_set_is_a_hazard(before: str) -> None:
    found = hazard(f"{before}\nalu_shf[gprA_2, --, B, gprB_1, <<indirect]")
    assert (found.rule, found.where.pc) == ("indirect shift", 1)
    assert "alu_shf[gprA_2, --, B, gprB_1, <<indirect]" in found.message


# ----------------------------------------------------------------------------------------------------------- immediates
def test_immediates() -> None:
    c = run("immed[gprA_0, 0x1234, <<8]\nimmed[gprA_1, 0xffffedcb, <<16]\nimmed[gprA_2, 0x5678]\nimmed_w1[gprA_2, 0x1234]\n"
            "immed[gprA_3, 0xffffffff]\nimmed_b1[gprA_3, 0x0]")  # fmt: skip
    assert c.a[:4] == [0x123400, 0xEDCBFFFF, 0x12345678, 0xFFFF00FF]


def test_an_immediate_leaves_the_codes_alone() -> None:
    assert run("alu[--, gprA_0, -, gprB_0]\nimmed[gprA_1, 0x7]\nbeq[.4]\nimmed[gprA_2, 0x1]").a[2] == 0
