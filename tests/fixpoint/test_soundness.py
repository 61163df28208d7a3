"""A sample of tests/fixpoint_fuzz.py: accepted programs do not trap, and runs stay inside the invariants."""

from __future__ import annotations

import random

import pytest

from bpfbench.fixpoint.verify import verify_static
from bpfbench.program.program import Program, from_assembly
from tests.fixpoint_fuzz import case

SAMPLE = range(7000, 7400)          # 60,000 of them: tests/fixpoint_fuzz.py


@pytest.mark.parametrize("beyond", [(), ("all",)], ids=["as Linux", "beyond"])
def test_accepted_programs_run_inside_their_invariants(beyond: tuple[str, ...]) -> None:
    outcomes = [case((seed, beyond, False, False)) for seed in SAMPLE]
    assert not [o for o in outcomes if o[3]]
    accepted = sum(o[2] == "accepted" for o in outcomes)
    assert accepted > len(SAMPLE) // 3                      # the sample says something


def test_a_wrong_analysis_would_be_found() -> None:
    """The harness itself: an invariant that is too small is contradicted."""
    from tests.fixpoint_fuzz import program, wrong

    _, prog = program(7002)
    v = verify_static(prog)
    assert v.accepted
    for states in v._visited.values():
        for s in states:
            s.frames[-1].regs[6] = s.frames[-1].regs[10]    # r6 is the context, not the frame
    assert wrong(prog, v, random.Random(1))


def test_noise_is_judged_without_a_crash() -> None:
    rng = random.Random(9)
    for _ in range(300):
        raw = bytearray(rng.randbytes(8 * rng.randrange(0, 20)))
        for at in range(0, len(raw), 8):
            raw[at] = rng.choice((0xB7, 0x85, 0x95, 0x18, 0x79, 0x7B, 0x05, 0x15, 0xBF, raw[at]))
            if rng.random() < 0.8:
                raw[at + 1] = rng.randrange(11) | rng.randrange(11) << 4
                raw[at + 2:at + 8] = rng.randrange(-4, 5).to_bytes(2, "little", signed=True) + \
                    rng.randrange(-4, 9).to_bytes(4, "little", signed=True)
        v = verify_static(Program.from_json({"name": "noise", "prog_type": "xdp", "insns": bytes(raw).hex()}))
        assert v.accepted or v.message


NEGATIVE_ONE_WAY = """
    .type xdp
    call get_prandom_u32
    r6 = r0
    call ktime_get_ns
    r8 = r0
    r9 = r8                         ; r8 has a name, so that its differences are kept
    call ktime_get_ns
    r7 = r0
    if r6 & 1 goto odd
    if r7 > r8 goto out             ; this way: r7 <= r8
    goto both
odd:
    r7 = -5                         ; this way: r7 is 2**64 - 5, above nearly every r8
both:
    if r7 > r8 goto beyond
out:
    r0 = 1
    exit
beyond:
    r1 = 0
    r0 = *(u8 *)(r1 +0)             ; reject
    exit
"""


@pytest.mark.parametrize("beyond", [(), ("relations",), ("all",)], ids=["as Linux", "relations", "all"])
def test_a_negative_constant_is_a_large_number_in_a_difference(beyond: tuple[str, ...]) -> None:
    """-5 is not at most r8: a state with it is no case of one that says so (`covers.integer`)."""
    v = verify_static(from_assembly(NEGATIVE_ONE_WAY), beyond=beyond)
    assert not v.accepted and v.rejection is not None and v.rejection.rule == "not-a-pointer"


def test_a_constant_part_before_the_packet_is_refused_as_linux_does() -> None:
    """The variable part makes up for it, so the access is safe; Linux looks at the constant part alone."""
    prog = from_assembly("""
        .type xdp
        r6 = r1
        call get_prandom_u32
        r0 &= 7
        r0 += 16                        ; 16..23
        r2 = *(u32 *)(r6 + 0)
        r3 = *(u32 *)(r6 + 4)
        r2 += r0
        r4 = r2
        r4 += 4
        if r4 > r3 goto out
        r0 = *(u8 *)(r2 - 1)            ; reject
    out:
        r0 = 1
        exit
    """)
    v = verify_static(prog)
    assert not v.accepted and v.rejection is not None and v.rejection.rule == "packet-bounds"
    assert verify_static(prog, beyond=("offsets",)).accepted
