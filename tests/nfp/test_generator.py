"""The code generator against the driver's words: every 20th recording, all of them in tests/parity_nfp.py."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from bpfbench.errors import JitError, NotSupported
from bpfbench.isa import ops
from bpfbench.isa.codec import decode
from bpfbench.jit.nfp import compile_nfp, compile_notes
from bpfbench.nfp.notes import device_from, notes_from
from bpfbench.program.program import Program, from_assembly


@pytest.fixture(scope="module")
def records(recordings: Path) -> list[dict[str, Any]]:
    with gzip.open(recordings / "kernel-jit" / "nfp-linux-6.1.jsonl.gz", "rt") as lines:
        return [json.loads(line) for line in list(lines)[::20]]


def compiled(record: dict[str, Any], kernel: str) -> list[str]:
    insns = decode(bytes.fromhex(record["insns"]))
    code = compile_notes(insns, notes_from(record["annotations"]), device_from(record), kernel)
    return [f"{word:016x}" for word in code.words]


def test_words_are_the_drivers(records: list[dict[str, Any]]) -> None:
    sound = [r for r in records if "driver_defect" not in r]
    assert len(sound) > 100
    assert [r["name"] for r in sound if compiled(r, "linux-6.1") != r["words"]] == []


def test_own_code_is_never_longer(records: list[dict[str, Any]]) -> None:
    sound = [r for r in records if "driver_defect" not in r]
    assert [r["name"] for r in sound if len(compiled(r, "bpfbench")) > len(r["words"])] == []


def test_facts_of_our_own_verifier_give_the_same_words(records: list[dict[str, Any]]) -> None:
    checked = 0
    for record in records[::2]:
        insns = decode(bytes.fromhex(record["insns"]))
        maps = any(i and i.kind == ops.LDDW and i.op.fn != ops.IMM for i in insns)
        if maps or "core_verifier_rejects" in record or "driver_defect" in record:
            continue
        program = Program(insns, type="xdp" if record["prog_type"] == 6 else "sched_cls")
        assert [f"{w:016x}" for w in compile_nfp(program).words] == record["words"], record["name"]
        checked += 1
    assert checked > 30


def test_the_smallest_programs() -> None:
    xdp = compile_nfp(from_assembly("r0 = 2\nexit", type="xdp"))
    assert (len(xdp.words), xdp.abort, xdp.out) == (26, 5, 8)
    assert hex(xdp.image(0, 7777)[4]) == "0xce0d802008038"
    tc = compile_nfp(from_assembly("r0 = -1\nexit", type="sched_cls"))
    assert (len(tc.words), tc.abort, tc.out) == (31, 5, 8)


def test_a_program_beyond_the_reach_of_branches_is_refused() -> None:
    with pytest.raises(JitError, match="too long: word .* but branches reach 16384"):
        compile_nfp(from_assembly("\n".join(["r0 = 1"] * 16400) + "\nexit", type="xdp"))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("r0 = 7\nr1 = 3\nr0 %= r1\nexit", "insn 2: not supported: offload to the NFP: instruction MOD64"),
        ("r1 = 1\n*(u64 *)(r10 - 8) = 1\nr0 = 0\nexit", "store of a constant to the stack"),
        ("r0 = *(u32 *)(r1 + 12)\nr0 = 2\nexit", "load of 4 bytes of the context at offset 12"),
        ("call 5\nr0 = 2\nexit", "unsupported function: ktime_get_ns"),
        ("r0 = r1\nexit\nr0 = r9", "only verified programs are offloaded"),
    ],
)
def test_refusals_name_the_place(text: str, why: str) -> None:
    with pytest.raises(NotSupported, match=why):
        compile_nfp(from_assembly(text, type="xdp"))


def test_a_tc_verdict_has_to_be_known() -> None:
    with pytest.raises(NotSupported, match="unsupported exit state: verdict 1"):
        compile_nfp(from_assembly("r0 = 1\nexit", type="sched_cls"))


def test_rows_belong_to_instructions() -> None:
    code = compile_nfp(from_assembly("r0 = 2\nexit", type="xdp"))
    owners = [row.owner for row in code.insns]
    assert owners[:5] == [-1, -1, 0, 0, 1] and set(owners[5:]) == {-2}
    assert code.insns[4].note == "branch to the common exit"
