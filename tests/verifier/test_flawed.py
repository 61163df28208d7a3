"""Programs that are not well formed: what the log prints of them, and what is refused when."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.isa.codec import decode
from bpfbench.program.program import Program
from bpfbench.verifier.flawed_text import flawed_text

EXIT = "9500000000000000"
ZERO = "b700000000000000"          # r0 = 0

TEXTS = [
    # slot                printed by 6.18
    ("d701000007000000", "(d7) r1 = bswap7 r1"),
    ("dc07000080000000", "(dc) r7 = be128 r7"),
    ("d409000030000000", "(d4) r9 = le48 r9"),
    ("bf16ffff00000000", "(bf) r6 = &(void __percpu *)(r1)"),
    ("bfc6010003000200", "(bf) r6 = addr_space_cast(r12, 2, 3)"),
    ("bf16070000000000", "(bf) r6 = r1"),
    ("db98f8ff99000000", "BUG_db"),
    ("d321300000000000", "(d3) lock *(u8 *)(r1 +48) += r2"),
    ("d321300001000000", "(d3) r2 = atomic_fetch_add((u8 *)(r1 +48), r2)"),
    ("8550000001000000", "(85) call unknown#1"),
    ("8502000001000000", "(85) call bpf_map_lookup_elem#1"),
]


@pytest.mark.parametrize("slot, text", TEXTS)
def test_a_flawed_instruction_is_printed_by_its_opcode(slot: str, text: str) -> None:
    insn = decode(bytes.fromhex(slot), strict=False)[0]
    assert insn is not None
    assert flawed_text(insn, (6, 18)) == text


def program(code: str, **record: object) -> Program:
    return Program.from_json({"name": "p", "prog_type": "xdp", "insns": code, **record})


def test_a_wide_load_with_an_offset_is_one_instruction() -> None:
    """The kernel takes two slots, and refuses when a path comes there."""
    v = bb.verify(program(ZERO + "18010100" "01000000" "00000000" "01000000" + EXIT))
    assert v.message == "BPF_LD_IMM64 uses reserved fields" and v.pc == 1
    assert "  1: 0......... (18) r1 = 0x100000001" in v.log(2)


def test_one_that_no_path_reaches_is_of_no_interest() -> None:
    """r0 = 0; if r0 == 0 goto over it"""
    v = bb.verify(program(ZERO + "1500020000000000" + "18010100" "01000000" "00000000" "01000000" + EXIT))
    assert v.accepted


def test_an_unknown_atomic_operation_reads_both_registers() -> None:
    """`BPF_ATOMIC` with imm 8: the table of live registers treats it as one that has no result."""
    v = bb.verify(program("b702000012000000" "c321300008000000" + ZERO + EXIT))
    assert "  0: .1........ (b7) r2 = 18" in v.log(2)
    assert v.message == "BPF_ATOMIC uses invalid atomic opcode 08"


def test_a_syscall_program_has_to_sleep() -> None:
    asleep = program(ZERO + EXIT, prog_type="syscall", prog_flags=16)
    assert bb.verify(asleep).accepted
    assert bb.verify(program(ZERO + EXIT, prog_type="syscall")).message == "Syscall programs can only be sleepable"
    assert "can be sleepable" in (bb.verify(program(ZERO + EXIT, prog_flags=16)).message or "")


def test_sleepable_programs_may_call_what_sleeps() -> None:
    """r1 = fp-8; r2 = 8; r3 = 0; call copy_from_user#148"""
    code = "bfa1000000000000" "07010000f8ffffff" "b702000008000000" "b703000000000000" "8500000094000000" + ZERO + EXIT
    assert bb.verify(program(code, prog_type="kprobe", prog_flags=16)).accepted
    assert bb.verify(program(code, prog_type="kprobe")).message == "helper call might sleep in a non-sleepable prog"


def test_a_checkpoint_at_every_instruction_that_can_have_one() -> None:
    """BPF_F_TEST_STATE_FREQ"""
    code = ZERO + "1501000000000000" + EXIT         # if r1 == 0 goto +0
    assert bb.verify(program(code)).total_states == 0
    assert bb.verify(program(code, prog_flags=8)).total_states == 2


def test_a_low_half_compared_with_zero_decides_for_pointers() -> None:
    """A pointer that is not null takes one side only, whatever half of it is compared."""
    v = bb.verify(bb.assemble("""
        .map m array 4 8 1
        *(u32 *)(r10 -4) = 0
        r2 = r10
        r2 += -4
        r1 = map[m]
        call map_lookup_elem        ; a constant key in range: never null
        if w0 == 0 goto out
        r0 = 0
        exit
        out: r0 = *(u64 *)(r9 +0)   ; r9 was never set
        exit"""))
    assert v.accepted



def test_only_one_of_the_conditional_operations_is_a_may_goto() -> None:
    """The kernel has no word for the others, and makes no checkpoint at them."""
    v = bb.verify(program("b701000001000000" "e5100000feffffff" + EXIT))
    assert v.message == "invalid may_goto imm -2" and v.total_states == 0
    assert "1: (e5) if r0 (null) 0xfffffffe goto pc+0" in v.log(2)


def test_a_tracepoint_program_may_read_before_its_context() -> None:
    """A comparison with an unsigned number in the kernel; it is what kernels accept."""
    code = "6110fcff00000000" + EXIT                # r0 = *(u32 *)(r1 -4)
    assert bb.verify(program(code, prog_type="tracepoint")).accepted
    assert not bb.verify(program(code, prog_type="kprobe")).accepted
