"""What takes time on the micro-engine: slots, pointers to local memory, commands, contexts; and the trace of it."""

from __future__ import annotations

import pytest

from bpfbench.errors import ExecuteError
from bpfbench.execute.nfp_bus import BUFFER, OFFSET, PACKET_CYCLES, VALUES, CardMemory
from bpfbench.execute.nfp_engine import Engine
from bpfbench.execute.nfp_state import Context
from bpfbench.machine.nfp import protect
from bpfbench.machine.nfp_assembler import assemble
from bpfbench.trace import Trace
from tests.nfp.test_simulator import END, engine, hazard, run

PACKET = BUFFER + OFFSET


# ------------------------------------------------------------------------------------------------------------- branches
def test_slots_are_executed_whether_or_not_the_branch_is_taken() -> None:
    text = "alu[--, gprA_0, OR, 0x0]\nbeq[.6], defer[2]\nimmed[gprA_1, 0x1]\nimmed[gprA_2, 0x1]\nimmed[gprA_3, 0x1]\nnop"
    assert run(text, a0=0).a[1:4] == [1, 1, 0]
    assert run(text, a0=5).a[1:4] == [1, 1, 1]


def test_the_condition_is_that_before_the_slots() -> None:
    text = "alu[--, gprA_0, OR, 0x0]\nbeq[.5], defer[1]\nalu[--, gprA_9, OR, 0x1]\nimmed[gprA_3, 0x1]\nnop"
    assert run(text, a0=0).a[3] == 0


@pytest.mark.parametrize("branch, cycles", [("br[.1]", 3), ("br[.2], defer[1]", 3), ("br[.3], defer[2]", 3),
                                            ("br_bclr[gprA_0, 3, .1]", 4), ("br=byte[gprA_0, 0, 0x0, .3], defer[2]", 4),
                                            ("rtn[gprA_1], defer[3]", 4)])  # fmt: skip
def test_taken_branches_lose_two_or_three_fetches(branch: str, cycles: int) -> None:
    c = run(f"{branch}\nnop\nnop\nnop", a1=4)
    slots = int(branch[-2]) if "defer" in branch else 0
    landed = 4 - {"br[.1]": 1, "br[.2], defer[1]": 2, "br_bclr[gprA_0, 3, .1]": 1}.get(branch, 4 if "rtn" in branch else 3)
    assert c.dead == cycles - 1 - slots
    assert c.cycle == 1 + slots + c.dead + landed + 1                # branch, slots, lost, the nops behind, the end


@pytest.mark.parametrize("condition, a, b, taken", [
    ("beq", 1, 1, True), ("bne", 1, 1, False), ("bcs", 2, 1, True), ("bcc", 1, 2, True), ("bmi", 1, 2, True),
    ("bpl", 1, 2, False), ("blt", 0x80000000, 1, True), ("bge", 0x80000000, 1, False), ("bgt", 2, 1, True),
    ("ble", 1, 1, True), ("bvs", 0x80000000, 1, True), ("bvc", 0x80000000, 1, False),
])  # fmt: skip
def test_conditions(condition: str, a: int, b: int, taken: bool) -> None:
    c = run(f"alu[--, gprA_0, -, gprB_0]\n{condition}[.3]\nimmed[gprA_1, 0x1]", a0=a, b0=b)
    assert c.a[1] == (not taken)


def test_branches_on_bits_and_bytes() -> None:
    for text, taken in (("br_bset[gprA_0, 31, .2]", True), ("br_bclr[gprB_0, 0, .2]", False),
                        ("br=byte[gprA_0, 3, 0x80, .2]", True), ("br!=byte[gprA_0, 0, 0x1, .2]", False)):  # fmt: skip
        assert run(f"{text}\nimmed[gprA_1, 0x1]", a0=0x80000001, b0=1).a[1] == (not taken), text


@pytest.mark.parametrize("text, rule", [
    ("br[.0], defer[2]\nbr[.0]\nnop", "defer slot"), ("br[.2], defer[3]\nnop\nnop\nnop", "defer"),
    ("br[.2], defer[1]\nmem[read32_swap, $xfer_0, gprA_0, 0x0, 1], ctx_swap[sig1]", "defer slot"),
    ("mem[read32_swap, $xfer_0, gprA_0, 0x0, 1], ctx_swap[sig1], defer[1]\nbr[.0]", "defer slot"),
    ("br[.1000]", "pc"), ("rtn[gprA_9]", "branch"), ("bvs[.0]", "condition codes"),
])  # fmt: skip
def test_what_a_branch_must_not_do(text: str, rule: str) -> None:
    assert hazard(text, a0=PACKET, a9=0x12345678).rule == rule


# --------------------------------------------------------------------------------------------------------- local memory
def test_a_pointer_is_usable_after_three_slots() -> None:
    text = "local_csr_wr[ActLMAddr3, gprA_0]\nnop\nnop\nnop\nalu[*l$index3[2], --, B, gprA_0]"
    assert run(text, a0=0x103).local[0x40 | 2] == 0x103             # the low two bits of the pointer are dropped


@pytest.mark.parametrize("slots", [0, 1, 2])
def test_a_pointer_used_too_early_is_a_hazard(slots: int) -> None:
    found = hazard("local_csr_wr[ActLMAddr3, gprA_0]\n" + "nop\n" * slots + "alu[gprA_1, --, B, *l$index3]", a0=64)
    assert (found.rule, found.where.pc) == ("pointer latency", slots + 1)


def test_lost_fetches_count_for_the_latency() -> None:
    text = "local_csr_wr[ActLMAddr0, gprA_0]\nbr[.3], defer[1]\nimmed[gprA_1, 0x7]\nalu[*l$index0, --, B, gprA_1]"
    assert run(text, a0=128).local[32] == 7


def test_offsets_are_ored() -> None:
    c = engine("alu[gprA_0, --, B, *l$index0[1]]\nalu[gprA_1, --, B, *l$index0[2]]", lm0=4)
    c.local[1:4] = [11, 22, 33]
    c.run()
    assert c.contexts[0].a[:2] == [11, 33]


def test_a_pointer_moves_once_after_the_result_is_written() -> None:
    made = engine("alu[*l$index0++, --, B, gprA_0]\nalu[gprA_1, --, B, *l$index0--]\nalu[gprA_2, --, B, *l$index0]",
                  a0=5, lm0=8)  # fmt: skip
    made.local[3] = 9
    made.run()
    c = made.contexts[0]
    assert (made.local[2], c.a[1], c.a[2], c.pointer(0)) == (5, 9, 5, 8)


# ------------------------------------------------------------------------------------------------------------- commands
def test_reads_and_writes() -> None:
    made = engine("mem[read8, $xfer_0, gprA_0, 0x1, 4], ctx_swap[sig1]\n"
                  "mem[read32_swap, $xfer_4, gprA_0, 0x1, 2], ctx_swap[sig1]\nimmed[$xfer_0, 0x6655]\n"
                  "mem[write8_swap, $xfer_0, gprA_0, 0x21, 3], ctx_swap[sig1]", a0=PACKET)  # fmt: skip
    memory = made.bus
    memory.write(PACKET, bytes(range(64)))
    made.run()
    c = made.contexts[0]
    assert (c.xin[0], c.xin[4:6]) == (0x01020304, [0x04030201, 0x08070605])
    assert memory.read(PACKET + 0x20, 5).hex() == "2055660024"


def test_an_override_gives_the_length() -> None:
    made = engine("immed[--, 0xf80]\nmem[read32_swap, $xfer_0, gprA_0, 0x0, 8], indirect_ref, ctx_swap[sig1]", a0=PACKET)
    made.bus.write(PACKET, bytes(range(64)))
    made.run()
    assert made.contexts[0].xin[15] == 0x3F3E3D3C
    assert hazard("local_csr_wr[ActLMAddr3, gprA_0]\nmem[read32_swap, $xfer_0, gprA_0, 0x0, 8], indirect_ref, "
                  "ctx_swap[sig1]", a0=PACKET).rule == "length override"  # fmt: skip


def test_counters_are_big_endian_words_the_low_one_first() -> None:
    low, high = VALUES & 0xFFFFFFFF, VALUES >> 8 & 0xFF000000
    add = "mem[add64, $xfer_0, gprB_1, <<8, gprA_0, 5], ctx_swap[sig1], defer[2]"
    made = engine(f"{add}\nimmed[$xfer_0, 0x2]\nimmed[$xfer_1, 0x1]", a0=low, b1=high)
    made.bus.write(VALUES, bytes.fromhex("ffffffff00000005"))
    made.run()
    assert made.bus.read(VALUES, 8).hex() == "0000000100000007"      # the moves in the slots counted
    text = "immed[gprA_2, 0x890]\nld_field[gprA_2, 1100, gprB_3, <<16]\n"
    made = engine(text + "mem[add_imm, $xfer_0, gprB_1, <<8, gprA_0, 1], indirect_ref", a0=low, b1=high, b3=0x1FFFF)
    made.run()
    assert made.bus.read(VALUES, 4).hex() == "0000ffff"


def test_memory_that_is_not_there() -> None:
    found = hazard("nop\nmem[read32_swap, $xfer_0, gprA_0, 0x0, 1], ctx_swap[sig1]", a0=0x100)
    assert (found.rule, found.where.pc) == ("memory", 1)


def test_without_a_swap_data_arrive_with_the_signal() -> None:
    read = "mem[read32_swap, $xfer_0, gprA_0, 0x0, 1], sig_done[sig2]"
    assert hazard(f"{read}\nalu[gprA_1, --, B, $xfer_0]", a0=PACKET).rule == "in flight"
    c = run(f"{read}\nimmed[gprA_2, 0x1]\nctx_arb[sig2]\nalu[gprA_1, --, B, $xfer_0]", a0=PACKET)
    assert c.waited and c.executed == 5
    assert hazard("ctx_arb[sig5]").rule == "signal"


# ------------------------------------------------------------------------------------------------------------- contexts
def test_another_context_runs_while_one_waits() -> None:
    lines = ["mem[read32_swap, $xfer_0, gprA_0, 0x0, 1], ctx_swap[sig1]"] * 4 + [END]
    alone, four = (Engine(CardMemory(), contexts=n) for n in (1, 4))
    clocks = []
    for made in (alone, four):
        made.bus.add("packet", 1024)
        made.load([protect(assemble(line)) for line in lines])
        for c in made.contexts:
            c.a[0] = PACKET
        clocks.append(made.run_all())
    assert clocks[0] > 4 * PACKET_CYCLES
    assert clocks[1] < clocks[0] * 1.2                              # four packets in the time of one
    assert [c.executed for c in four.contexts] == [5] * 4


def test_local_memory_is_shared_and_registers_are_not() -> None:
    made = Engine(contexts=2)
    text = ["br=ctx[1, .4]", "immed[*l$index0, 0x7]", "immed[gprA_0, 0x9]", END, "alu[gprA_1, --, B, *l$index0]", END]
    made.load([protect(assemble(line)) for line in text])
    made.run_all()
    assert (made.contexts[1].a[0], made.contexts[1].a[1]) == (0, 7)


# -------------------------------------------------------------------------------------------------- the engine as such
def test_damaged_words_are_not_loaded() -> None:
    word = protect(assemble("nop"))
    with pytest.raises(ExecuteError, match="ECC"):
        Engine().load([word, word ^ 1])


def test_what_is_not_simulated_says_so() -> None:
    assert hazard("ffs[gprA_3, gprB_4]").rule == "not simulated"
    assert "br_inp_state" in hazard("br_inp_state[3, .0]").message


def test_an_endless_loop_ends() -> None:
    made = engine("br[.0]")
    made.budget = 1000
    with pytest.raises(ExecuteError, match="1000 cycles"):
        made.run()


def test_csrs() -> None:
    made = engine("local_csr_rd[PseudoRndNum]\nimmed[gprA_1, 0x0], gpr_wrboth\nlocal_csr_rd[ActLMAddr0]\n"
                  "immed[gprA_2, 0x0]", lm0=64)  # fmt: skip
    made.contexts[0].random = lambda: 0x12345678
    made.run()
    c: Context = made.contexts[0]
    assert (c.a[1], c.b[1], c.a[2]) == (0x12345678, 0x12345678, 64)
    assert hazard("local_csr_rd[PseudoRndNum]\nalu[gprA_1, --, B, gprB_1]").rule == "csr read"


def test_an_event_for_each_instruction() -> None:
    made = engine("immed[gprA_1, 0x5], gpr_wrboth\nalu[*l$index0[1], --, B, gprB_1]\n"
                  "mem[read32_swap, $xfer_2, gprA_0, 0x0, 1], ctx_swap[sig1]", a0=PACKET)  # fmt: skip
    made.bus.write(PACKET, b"\x01\x02\x03\x04")
    made.trace = Trace()
    made.run()
    events = list(made.trace)
    assert [(e.pc, e.values["cycle"]) for e in events] == [(0, 0), (1, 1), (2, 2), (3, 3 + PACKET_CYCLES + 1)]
    assert [e.values["written"] for e in events[:3]] == [
        {"gprA_1": 5, "gprB_1": 5}, {"lm_1": 5}, {"$xfer_2": 0x04030201}]  # fmt: skip
    assert events[2].values["memory"] == f"read {PACKET:#x} 01020304"
    assert events[1].values["text"] == "alu[*l$index0[1], --, B, gprB_1]"
