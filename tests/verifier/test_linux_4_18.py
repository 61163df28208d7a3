"""The verifier of the slides: its rules, its messages, what its algorithms cost.

Expected messages are those of kernel/bpf/verifier.c of 4.18; the same programs are judged by 6.18 beside it.
"""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.program.program import MapSpec
from bpfbench.verifier.verification import Verification

TABLE = MapSpec("array", 4, 16, 4, name="table")
LOOKUP = "*(u32 *)(r10 -4) = 0\nr1 = map[0]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\n"


def judged(text: str, kernel: str = "linux-4.18", type: str = "sched_cls", **options: object) -> Verification:
    prog = bb.assemble(text, type=type)
    if "map[0]" in text:
        prog.maps = [TABLE]
    verdict: Verification = bb.verify(prog, kernel=kernel, **options)  # type: ignore[arg-type]
    return verdict


#            rule                       program                                                 what 4.18 says
REFUSED = {
    "a loop":                 ("r6 = 0\nl: r6 += 1\nif r6 < 5 goto l\nr0 = 0\nexit", "back-edge from insn 2 to 1"),
    "recursion":              ("f: call f\nexit", "back-edge from insn 0 to 0"),
    "unreachable":            ("r0 = 0\nexit\nr0 = 1\nexit", "unreachable insn 2"),
    "a comparison of halves": ("r0 = 0\nif w0 == 0 goto +0\nexit", "unknown opcode 16"),
    "a value's address":      (".insn 1821000000000000\n.insn 0000000000000000\nr0 = 0\nexit",
                               "unrecognized bpf_ld_imm64 insn"),
    "stack never written":    ("r0 = *(u64 *)(r10 -8)\nexit", "invalid read from stack off -8+0 size 8"),
    "stack too far":          ("*(u64 *)(r10 -520) = 0\nr0 = 0\nexit", "invalid stack off=-520 size=8"),
    "stack at an index":      ("r2 = *(u32 *)(r1 +0)\nr2 &= 4\nr2 += r10\nr0 = *(u32 *)(r2 -8)\nexit",
                               "variable stack access var_off=(0x0; 0x4) off=-8 size=4"),
    "part of a pointer":      ("*(u64 *)(r10 -8) = r1\nr0 = *(u32 *)(r10 -8)\nexit", "invalid size of register spill"),
    "half a pointer":         ("*(u64 *)(r10 -8) = r1\n*(u32 *)(r10 -4) = 1\nr0 = *(u64 *)(r10 -8)\nexit", None),
    "key not written":        ("r1 = map[0]\nr2 = r10\nr2 += -4\ncall bpf_map_lookup_elem\nr0 = 0\nexit",
                               "invalid indirect read from stack off -4+0 size 4"),
    "key outside the stack":  ("r1 = map[0]\nr2 = r10\nr2 += 4\ncall bpf_map_lookup_elem\nr0 = 0\nexit",
                               "invalid stack type R2 off=4 access_size=4"),
    "beyond the value":       (LOOKUP + "if r0 == 0 goto +1\nr0 = *(u64 *)(r0 +16)\nr0 = 0\nexit",
                               "R0 min value is outside of the array range"),
    "null not checked":       (LOOKUP + "r0 += 4\nexit", "R0 pointer arithmetic on PTR_TO_MAP_VALUE_OR_NULL prohibited, "
                               "null-check it first"),
    "map moved":              ("r1 = map[0]\nr1 += 8\nr0 = 0\nexit",
                               "R1 pointer arithmetic on CONST_PTR_TO_MAP prohibited"),
    "store to the context":   ("*(u32 *)(r1 +0) = 1\nr0 = 0\nexit", "BPF_ST stores into R1 context is not allowed"),
    "atomic to the context":  ("r2 = 1\nlock *(u32 *)(r1 +8) += r2\nr0 = 0\nexit",
                               "BPF_XADD stores into R1 context is not allowed"),
    "packet not checked":     ("r2 = *(u32 *)(r1 +76)\nr0 = *(u8 *)(r2 +13)\nexit",
                               "R2 offset is outside of the packet"),
    "helper of later days":   ("call 200\nexit", "invalid func unknown#200"),
}  # fmt: skip


@pytest.mark.parametrize("rule", REFUSED)
def test_refused_in_its_own_words(rule: str) -> None:
    text, message = REFUSED[rule]
    verdict = judged(text)
    if message is None:
        assert verdict.accepted         # the store makes plain bytes of the pointer
    else:
        assert verdict.message == message


def test_what_came_later_is_accepted_later() -> None:
    for rule in ("a loop", "a comparison of halves", "stack at an index", "stack never written"):
        assert judged(REFUSED[rule][0], "linux-6.18").accepted, rule


def test_a_range_is_bounded_and_a_saved_number_is_forgotten() -> None:
    bounded = LOOKUP + "if r0 == 0 goto out\nr1 = *(u32 *)(r0 +0)\nif r1 > 12 goto out\n{}r0 += r1\n" \
        "r0 = *(u32 *)(r0 +0)\nout: r0 = 0\nexit"
    saved = "*(u64 *)(r10 -16) = r1\nr1 = *(u64 *)(r10 -16)\n"
    assert judged(bounded.format("")).accepted
    assert judged(bounded.format(saved), "linux-6.18").accepted
    assert judged(bounded.format(saved)).message == \
        "math between map_value pointer and register with unbounded min value is not allowed"


def test_only_equality_with_a_constant_is_decided() -> None:
    text = "r0 = 3\nif r0 {} goto +1\nr0 = 1\nexit"
    assert judged(text.format("== 3")).insns_processed == 3
    assert judged(text.format("> 2")).insns_processed == 5          # both sides
    assert judged(text.format("> 2"), "linux-6.18").insns_processed == 3


def forks(count: int) -> str:
    """2 ** count paths whose sums all differ, and a long way to go for each."""
    body = "".join(f"if r7 s> {i} goto +1\nr6 += {1 << i}\n" for i in range(count))
    return f"r6 = 0\nr7 = *(u32 *)(r1 +0)\n{body}" + "r1 = 1\n" * 4000 + "r0 = r6\nexit"


def test_the_limit_is_131072_instructions() -> None:
    assert judged(forks(4)).accepted
    assert judged(forks(6)).message == "BPF program is too large. Processed 131073 insn"


def test_a_program_has_at_most_4096_instructions() -> None:
    assert judged("r0 = 0\n" * 4095 + "exit").accepted
    long = judged("r0 = 0\n" * 4096 + "exit")
    assert (long.errno, long.message) == ("E2BIG", None)


DIAMONDS = "r6 = r1\nr7 = *(u32 *)(r6 +0)\nr8 = 0\n" + "".join(
    f"if r7 > {i} goto +1\nr8 = {i}\nr8 = 0\n" for i in range(10)) + "r0 = 0\nexit"


def test_switching_algorithms_off_costs() -> None:
    cost = {name: judged(DIAMONDS, without=(name,) if name else ()).insns_processed
            for name in ("", "pruning", "liveness", "tnum", "precision")}
    assert cost[""] < cost["liveness"] <= cost["pruning"]
    assert cost["precision"] == cost[""]            # 4.18 has none
    assert cost["tnum"] >= cost[""]


def test_the_log_has_the_state_before_each_instruction() -> None:
    log = judged("r2 = *(u32 *)(r1 +8)\nr0 = 3\nif r2 > 5 goto +1\nr0 = 1\nexit").log
    assert log(2).splitlines()[1:7] == [
        "0: R1=ctx(id=0,off=0,imm=0) R10=fp0,call_-1",
        "0: (61) r2 = *(u32 *)(r1 +8)",
        "1: R1=ctx(id=0,off=0,imm=0) R2_w=inv(id=0,umax_value=4294967295,var_off=(0x0; 0xffffffff)) R10=fp0,call_-1",
        "1: (b7) r0 = 3",
        "2: R0=inv3 R1=ctx(id=0,off=0,imm=0) R2=inv(id=0,umax_value=4294967295,var_off=(0x0; 0xffffffff)) "
        "R10=fp0,call_-1",
        "2: (25) if r2 > 0x5 goto pc+1",
    ]  # fmt: skip
    assert log(1).endswith("\nprocessed 6 insns (limit 131072), stack depth 0\n")
