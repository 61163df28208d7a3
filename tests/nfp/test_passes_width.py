"""Dead upper halves: which uses are seeds, how need travels, and that nothing that is read gets lost."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from random import Random
from types import FunctionType
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.isa import ops
from bpfbench.isa.codec import decode
from bpfbench.jit.nfp import compile_nfp
from bpfbench.nfp import width32
from bpfbench.nfp.notes import steps_of
from bpfbench.nfp.width32 import ALWAYS, NEVER, RESULT, Width, demand
from bpfbench.program.program import Program
from tests import nfp_fuzz
from tests.nfp.test_passes import PACKET, SETUP, program, same

HEX = b"\xff\xee\xdd\xcc\xbb\xaa\x99\x88" * 90


def widths(text: str) -> Width:
    from bpfbench.nfp.gather import gather

    prog = bb.assemble(text, type="xdp")
    _, watch, _ = gather(prog)
    return Width(steps_of(prog.insns, watch.notes))


def dead(text: str) -> set[int]:
    """The pcs whose result has a dead upper half."""
    found = widths(text)
    return {found.steps[at].pc for at, _ in found.dead}


USES = [
    ("r2 += r3", RESULT, RESULT), ("r2 -= r3", RESULT, RESULT), ("r2 ^= r3", RESULT, RESULT),
    ("r2 = r3", None, RESULT), ("r2 = -r2", RESULT, None), ("r2 &= 255", NEVER, None), ("r2 &= -256", RESULT, None),
    ("r2 |= -1", NEVER, None), ("r2 |= 1", RESULT, None), ("r2 <<= 5", RESULT, None), ("r2 <<= 32", NEVER, None),
    ("r2 <<= 0", RESULT, None), ("r2 >>= 0", RESULT, None), ("r2 >>= 1", ALWAYS, None), ("r2 >>= 40", ALWAYS, None),
    ("r2 s>>= 32", ALWAYS, None), ("r2 <<= r3", RESULT, NEVER), ("r2 >>= r3", ALWAYS, NEVER), ("r2 /= 3", RESULT, None),
    ("w2 += w3", NEVER, NEVER), ("w2 s>>= w3", NEVER, NEVER), ("r2 = be64 r2", ALWAYS, None), ("r2 = be32 r2", NEVER, None),
    ("if r2 == r3 goto +0", ALWAYS, ALWAYS), ("if w2 == w3 goto +0", NEVER, NEVER), ("if r2 & 4 goto +0", NEVER, None),
    ("if r2 & -4 goto +0", ALWAYS, None), ("*(u64 *)(r10 - 8) = r3", None, ALWAYS), ("*(u32 *)(r10 - 8) = r3", None, NEVER),
]  # fmt: skip


@pytest.mark.parametrize(("line", "first", "second"), USES, ids=[row[0] for row in USES])
def test_what_a_use_needs(line: str, first: int | None, second: int | None) -> None:
    prog = bb.assemble(f"{line}\nr0 = 2\nexit")
    from bpfbench.nfp.notes import Note

    note = Note()
    note.ptr = "stack"
    step = steps_of(prog.insns, [note] * len(prog.insns))[0]
    if first is not None:
        assert demand(step, 2) == first
    if second is not None:
        assert demand(step, 3) == second


def test_a_chain_ends_at_the_seed_and_why_names_it() -> None:
    found = widths("r2 = *(u32 *)(r1 + 0)\nr3 = 7\nr3 += r2\nr4 = r3\nif r4 == -9 goto +0\nr0 = 2\nexit")
    assert found.why(1, 3) == [2, 3, 4] and found.why(0, 2) == [2, 3, 4] and found.why(5, 0) == []
    assert found.seeds == [(4, 4)]


def test_a_loop_that_only_counts_needs_no_upper_half() -> None:
    counting = "r3 = 0\nr2 = 5\nagain: r3 += r2\nw2 += -1\nif w2 != 0 goto again\nw0 = w3\nw0 &= 1\nexit"
    assert {0, 1, 2} <= dead(counting)
    assert not {0, 2} & dead(counting.replace("w0 = w3", "r3 >>= 1\nw0 = w3"))


def test_need_crosses_calls_both_ways() -> None:
    text = """
        r1 = 5
        r2 = 6
        call f
        r1 = r0
        {use}
        r0 = 2
        exit
        f: r0 = r1
        r0 += r2
        exit
    """
    idle, busy = text.format(use="w1 += 1"), text.format(use="r1 >>= 8")
    assert {0, 1, 3, 7, 8} <= dead(idle)            # arguments, the copy of the result, and the function's own
    assert not {0, 1, 3, 7, 8} & dead(busy)


def test_saved_registers_keep_both_halves_across_a_call() -> None:
    same(bb.assemble(f"""{SETUP}
        r8 = *(u64 *)(r2 + 8)
        r1 = 7
        call f
        *(u64 *)(r6 + 16) = r8
        *(u32 *)(r6 + 24) = r0
        out: r0 = 2
        exit
        f: r8 = r1
        r8 <<= 40
        r8 >>= 39
        r0 = r8
        exit
    """), packet=HEX)  # fmt: skip


SPILL = """
    r2 = *(u32 *)(r1 + 0)
    r3 = *(u32 *)(r1 + 4)
    r4 = r2
    r4 += 64
    if r4 > r3 goto out
    r5 = *(u64 *)(r2 + 8)
    *(u64 *)(r10 - {spill}) = r2
    *(u64 *)(r10 - 8) = r5
    {between}
    r7 = *(u64 *)(r10 - 8)
    r8 = *(u64 *)(r10 - {spill})
    *(u{bits} *)(r8 + 16) = r7
    out: r0 = 2
    exit
"""


@pytest.mark.parametrize(
    ("between", "spill", "bits", "shrunk"),
    [
        ("", 16, 32, 4), ("", 16, 64, 2), ("r1 = 7", 16, 64, 2),
        ("*(u8 *)(r10 - 7) = r5", 16, 32, 2),                   # a byte of the slot
        ("r1 = *(u32 *)(r10 - 4)", 16, 32, 2),
        ("r1 = r10\nr1 += -8\nr1 = *(u16 *)(r1 + 2)", 16, 32, 2),
        ("r1 = r10\nr1 += -8\nr7 = *(u64 *)(r1 + 0)\n*(u8 *)(r2 + 4) = r7", 16, 32, 5),
        ("*(u32 *)(r10 - 8) = r5", 16, 32, 2),
        ("*(u32 *)(r10 - 12) = r5", 24, 32, 4),                 # beside it
    ],
)  # fmt: skip
def test_spill_slots(between: str, spill: int, bits: int, shrunk: int) -> None:
    """Address and number are spilled and filled: two stores and two loads that can be half as long."""
    prog = bb.assemble(SPILL.format(between=between, spill=spill, bits=bits))
    steps = compile_nfp(prog, "bpfbench").steps
    assert sum(s.slot >= 0 and not s.wide for s in steps) == shrunk
    for packet in (HEX, PACKET):
        same(prog, packet=packet)
        same(prog, without=("spills",), packet=packet)


def test_a_frame_that_others_see_has_no_slots() -> None:
    text = SPILL.format(between="{}", spill=16, bits=32)
    called = text.format("r6 = r2\nr1 = r10\nr1 += -8\ncall f\nr2 = r6") + "f: r0 = *(u64 *)(r1 + 0)\nr0 >>= 40\nexit"
    for body in (called, called.replace("r1 = r10\nr1 += -8", "r1 = 1").replace("r0 = *(u64 *)(r1 + 0)", "r0 = r1")):
        steps = compile_nfp(bb.assemble(body), "bpfbench").steps
        assert any(s.slot >= 0 for s in steps) == ("r10\nr1 +=" not in body)
        same(bb.assemble(body), packet=HEX)


def test_a_key_lies_in_no_slot() -> None:
    text = """
        .map counters hash {size} 8 4
        r1 = 5
        *(u64 *)(r10 - 8) = r1
        *(u64 *)(r10 - 16) = r1
        r1 = counters ll
        r2 = r10
        r2 += {key}
        call 1
        r3 = *(u64 *)(r10 - 8)
        r4 = *(u64 *)(r10 - 16)
        w3 += w4
        r0 = 2
        exit
    """
    for size, key, slots in ((8, -8, 2), (8, -16, 0), (16, -16, 0)):
        steps = compile_nfp(bb.assemble(text.format(size=size, key=key)), "bpfbench").steps
        assert sum(s.slot >= 0 for s in steps) == slots


def test_the_map_value_pointer_is_kept_whole() -> None:
    prog = bb.assemble("""
        .map counters array 4 8 4
        *(u32 *)(r10 - 4) = r10
        w1 = 1
        *(u32 *)(r10 - 4) = r1
        r1 = counters ll
        r2 = r10
        r2 += -4
        call 1
        if r0 == 0 goto out
        w3 = *(u32 *)(r0 + 4)
        out: r0 = 2
        exit
    """.replace("w3 = *", "r3 = *").replace("*(u32 *)(r10 - 4) = r10\n", ""), type="xdp")  # fmt: skip
    code = compile_nfp(prog, "bpfbench")
    assert any("gprB_1, <<8, gprA_0" in row.text or "gprB_1, +carry" in row.text for row in code.insns)
    out = bb.run(prog, bytes(64), engine="nfp", maps={"counters": {1: b"\1" * 8}})
    assert out.verdict == "pass"


def test_comparisons_of_short_values_look_at_the_lower_half() -> None:
    for condition in ("==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&"):
        prog = program(f"r3 = *(u32 *)(r2 + 8)\nr4 = *(u32 *)(r2 + 12)\nif r3 {condition} r4 goto +1\n"
                       "*(u8 *)(r2 + 0) = 1\n*(u8 *)(r2 + 1) = 1")  # fmt: skip
        steps = compile_nfp(prog, "bpfbench").steps
        assert [s.low for s in steps if s.insn.kind == ops.JMP] == [True, True]
        for left in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF):
            same(prog, packet=PACKET[:8] + left.to_bytes(4, "little") + (0x80000000).to_bytes(4, "little") + PACKET[16:])
    wide = program("r3 = *(u64 *)(r2 + 8)\nif r3 > 4 goto +1\n*(u8 *)(r2 + 0) = 1")
    assert [s.low for s in compile_nfp(wide, "bpfbench").steps if s.insn.kind == ops.JMP] == [True, False]


def test_the_driver_knows_nothing_of_chains() -> None:
    prog = program("r3 = *(u64 *)(r2 + 8)\nr3 += 1\n*(u32 *)(r2 + 16) = r3")
    without = {row[0] for row in bb.nfp.passes.PASSES if row[2] == "ours"}
    assert bb.jit(prog, "nfp", "linux-6.1").words == bb.jit(prog, "nfp", "linux-6.1", without=tuple(without)).words
    assert bb.nfp.reports(prog)["width32"].saved > 0


def narrow(seed: int) -> str:
    """A program of the fuzzer that stores and compares fewer bits, so that many upper halves are dead."""
    random, lines = Random(seed), []
    for line in nfp_fuzz.program_text(seed).split("\n"):
        stored = re.match(r"\*\(u64 \*\)\((r[69]) \+ (\d+)\) = (r\d)$", line)
        compared = re.match(r"if r([2-578]) (\S+) (\S+) goto (?!out)(.*)$", line)
        if stored and random.random() < 0.8:
            line = f"*({random.choice(('u32', 'u32', 'u16', 'u8'))} *)({stored[1]} + {stored[2]}) = {stored[3]}"
        elif compared and random.random() < 0.8 and compared[3] not in ("r1", "r6", "r9"):
            line = f"if w{compared[1]} {compared[2]} {compared[3].replace('r', 'w')} goto {compared[4]}"
        lines.append(line)
    return "\n".join(lines)


def fuzzed(seeds: range, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    texts = {seed: narrow(seed) for seed in seeds}
    monkeypatch.setattr(nfp_fuzz, "program_text", texts.__getitem__)
    monkeypatch.setattr(nfp_fuzz, "passes_of", lambda seed: [()])
    found: dict[str, int] = {}
    for seed in seeds:
        end = nfp_fuzz.one(seed)[0]
        found[end] = found.get(end, 0) + 1
    return found


def test_generated_programs_with_many_dead_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    found = fuzzed(range(100, 150), monkeypatch)
    assert set(found) <= {"equal", "refused"} and found["equal"] > 30


@pytest.mark.skipif(not isinstance(demand, FunctionType), reason="compiled: not permitted to exchange functions")
@pytest.mark.parametrize("kind", [ops.JMP, ops.STX, ops.ALU64])
def test_a_wrong_table_is_noticed(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same programs, with one kind of seed forgotten."""
    right = demand
    monkeypatch.setattr(width32, "demand", lambda s, r: NEVER if s.insn.kind == kind else right(s, r))
    assert fuzzed(range(100, 150), monkeypatch).get("differs", 0) > 0


def test_where_the_driver_is_wrong_we_are_right(recordings: Path) -> None:
    """Recordings marked with a defect (E1-E18 and later ones), without maps: our code against the interpreter."""
    checked: dict[str, int] = {}
    with gzip.open(recordings / "kernel-jit" / "nfp-linux-6.1.jsonl.gz", "rt") as lines:
        records: list[dict[str, Any]] = [json.loads(line) for line in lines if '"driver_defect"' in line]
    for record in records:
        insns = decode(bytes.fromhex(record["insns"]))
        maps = any(i is not None and i.kind == ops.LDDW and i.op.fn != ops.IMM for i in insns)
        if maps or "core_verifier_rejects" in record or record["driver_defect"] == "E13":     # E13: refused
            continue
        prog = Program(insns, type="xdp" if record["prog_type"] == 6 else "sched_cls")
        for packet in (PACKET[:200], b"\xff" * 90):
            same(prog, packet=packet)
        checked[record["driver_defect"]] = checked.get(record["driver_defect"], 0) + 1
    assert len(checked) >= 8 and sum(checked.values()) > 100


def test_a_walk_that_would_take_too_long_leaves_the_numbers_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop whose counter no check depends on: the walk that tells numbers apart goes round and round."""
    from bpfbench.jit import nfp

    prog = program("r3 = *(u8 *)(r2 + 8)\nr4 = 0\nr5 = 40\nagain: r4 += r3\nr3 <<= 1\nr5 += -1\nif r5 != 0 goto again\n"
                   "w4 >>= 7\nw8 = w4\nw4 <<= w3\n*(u64 *)(r2 + 16) = r4")  # fmt: skip
    known = len(compile_nfp(prog, "bpfbench").words)
    same(prog)
    monkeypatch.setattr(nfp, "LONGER", 0)
    monkeypatch.setattr(nfp, "SHORT_WALK", 50)
    notes, _ = nfp.facts_of(prog, "bpfbench")
    assert not any(note.fits for note in notes)
    assert len(compile_nfp(prog, "bpfbench").words) >= known
