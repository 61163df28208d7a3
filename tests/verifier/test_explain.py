"""Explanations: every rule's own sentences, the steps that matter, text and JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.program.program import Program
from bpfbench.verifier.case import Case
from bpfbench.verifier.explanation import Explanation
from bpfbench.verifier.reasons import ROWS, reason
from bpfbench.verifier.rules import RULES, Rule
from bpfbench.verifier.verification import verify
from tests.parity_explain import judge

EXAMPLES = [rule for rule in RULES if rule.example and rule.code != "kfunc"]


def explained(text: str, privileged: bool = True) -> Explanation:
    v = bb.verify(bb.assemble(text), privileged=privileged)
    assert not v.accepted
    e = v.explain()
    assert isinstance(e, Explanation)
    return e


@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.code)
def test_every_rule_explains_its_smallest_program(rule: Rule) -> None:
    e = explained(rule.example, not rule.unprivileged)
    assert e.rule == rule.code
    assert judge(e, e.message) == set(), str(e)
    assert rule.fix in e.fixes and e.why == rule.why
    json.dumps(e.to_json())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_message_of_every_rule_has_its_own_sentences(rule: Rule) -> None:
    for template in rule.messages:
        message = template.format(*("5" for _ in range(template.count("{}"))))
        assert any(row.pattern.fullmatch(message) for row in ROWS), message
        got = reason(Case(Program([], "xdp"), [message], -1, "EINVAL", [], [], (6, 18), True, True))
        assert got.specific and got.knew and got.wanted, message


def test_only_the_steps_that_matter_are_shown() -> None:
    e = explained("""
        .map m array 4 48 1
        r7 = 1                      ; has nothing to do with it
        *(u32 *)(r10 -4) = 0
        r9 = 12                     ; nor has this
        r2 = r10
        r2 += -4
        r1 = map[m]
        call map_lookup_elem
        r6 = *(u32 *)(r0 +0)
        if r6 > 50 goto out
        r7 += r9
        *(u64 *)(r10 -16) = r6
        r8 = *(u64 *)(r10 -16)
        r0 += r8
        r0 = *(u8 *)(r0 +0)         ; offset up to 50 of 48 bytes
    out: r0 = 0
        exit
    """)
    shown = [step.text for step in e.path]
    assert not any(text.startswith(("r7", "r9", "r2")) for text in shown)
    for text in ("r6 = *(u32 *)(r0 +0)", "*(u64 *)(r10 -16) = r6", "r8 = *(u64 *)(r10 -16)", "r0 += r8"):
        assert text in shown
    assert "not taken: r6 becomes scalar(" in str(e) and "byte 50 of an object of 48 bytes" in e.knew
    assert any("by 47" in fix for fix in e.fixes)


def test_a_register_destroyed_by_a_call_says_which() -> None:
    e = explained("r3 = 5\ncall get_prandom_u32\nr0 = r3\nexit")
    assert "the call at 1 (`call bpf_get_prandom_u32#7`) destroyed it" in e.knew
    assert e.path[0].pc == 1 and "destroys r1 to r5" in e.path[0].note


def test_a_register_never_written_says_which_branch_went_past() -> None:
    e = explained("r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nif r2 > r3 goto +1\nr6 = 1\nr0 = r6\nexit")
    assert "branch 2" in e.knew and "instruction 3, which writes r6" in e.path[0].note


def test_values_are_followed_through_calls() -> None:
    e = explained("""
        .type socket_filter
        r1 = 8
        call pc+3
        r1 = r0
        r0 = *(u8 *)(r1 +0)
        exit
        r0 = r1
        r0 += 4
        exit
    """)
    assert [step.pc for step in e.path] == [0, 1, 5, 6, 7, 2, 3]
    assert "the number 12" in e.knew


def test_history_and_json_have_stable_keys() -> None:
    record = explained("r2 = 1\nr2 += 7\nr0 = *(u64 *)(r2 +0)\nexit").to_json()
    assert record["rule"] == "deref" and record["errno"] == "EACCES" and record["pc"] == 2 and record["format"] == 1
    assert record["registers"][0]["name"] == "r2"
    assert [h["value"] for h in record["registers"][0]["history"]] == ["1", "8"]
    assert set(record) >= {"accepted", "message", "messages", "instruction", "line", "knew", "wanted", "why", "fixes",
                           "path", "facts", "explanation"}
    assert json.loads(json.dumps(record)) == record


def test_a_notebook_shows_it_as_html() -> None:
    html = explained("r0 = *(u64 *)(r1 +0)\nexit")._repr_html_()
    assert html is not None and "<dd>" in html and "ctx-access" in html and html.count("<script") == 1      # link.js


def test_accepted_programs_say_so() -> None:
    e = bb.verify(bb.assemble("r0 = 0\nexit")).explain()
    assert e.accepted and str(e).startswith("Accepted: processed 2 insns") and e.to_json()["rule"] is None


def test_refusals_without_a_message_name_the_attribute() -> None:
    prog = bb.assemble("r0 = 0\nexit", type="sk_lookup")
    e = bb.verify(prog).explain()
    assert e.rule == "load" and "attach type 0" in e.knew
    e = bb.verify(bb.assemble("r0 = 0\nexit", type="kprobe"), privileged=False).explain()
    assert e.rule == "load" and "CAP_PERFMON" in e.wanted


def test_a_leak_shows_where_it_was_acquired() -> None:
    e = explained(".map m ringbuf 0 0 4096\nr1 = map[m]\nr2 = 8\nr3 = 0\ncall ringbuf_reserve\nif r0 == 0 goto out\n"
                  "r6 = r0\nout: r0 = 0\nexit")
    assert e.rule == "reference-leak" and "instruction 4 (`call bpf_ringbuf_reserve#131`)" in e.knew and "r6" in e.knew
    assert e.path[0].note == "acquires the reference"


def test_a_sample_of_recorded_refusals_is_explained_specifically(
        records: Callable[[str], Iterator[dict[str, Any]]]) -> None:
    """Every fifth; all of them: tests/parity_explain.py."""
    results = {r["name"]: r for r in records("kernel-verifier/linux-6.18")}
    good = count = 0
    for record in list(records("kernel-verifier/programs"))[::5]:
        want = results[record["name"]]
        if want["verdict"] == "reject" and (want.get("processed") or 0) < 5000:
            e = verify(Program.from_json(record)).explain()
            count += 1
            good += not judge(e, want["error"] or "")
    assert count > 100 and good >= 0.95 * count


# Is it right?  Where an explanation says how much, doing that is enough, and one less is not. ------------------------


@pytest.mark.parametrize("at, size", [(0, 1), (12, 2), (30, 4), (5, 8)])
def test_the_bytes_asked_for_are_exactly_enough(at: int, size: int) -> None:
    load = f"r0 = *(u{8 * size} *)(r2 +{at})"
    begin = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\n"
    need = int(explained(f"{begin}{load}\nexit").facts["need"])
    for proven, good in ((need, True), (need - 1, False)):
        check = f"r4 = r2\nr4 += {proven}\nif r4 > r3 goto out\n"
        assert bb.verify(bb.assemble(f"{begin}{check}{load}\nout: r0 = 0\nexit")).accepted is good


@pytest.mark.parametrize("value, size, off", [(48, 1, 0), (48, 8, 4), (16, 4, 2)])
def test_the_bound_asked_for_is_exactly_enough(value: int, size: int, off: int) -> None:
    def program(bound: int) -> str:
        return (f".map m array 4 {value} 1\n*(u32 *)(r10 -4) = 0\nr2 = r10\nr2 += -4\nr1 = map[m]\n"
                f"call map_lookup_elem\nif r0 == 0 goto out\nr6 = *(u8 *)(r0 +0)\nif r6 > {bound} goto out\n"
                f"r0 += r6\nr0 = *(u{8 * size} *)(r0 +{off})\nout: r0 = 0\nexit")  # fmt: skip

    fix = explained(program(200)).fixes[0]
    bound = int(re.findall(r"index > (\d+)", fix)[0])
    assert bb.verify(bb.assemble(program(bound))).accepted and not bb.verify(bb.assemble(program(bound + 1))).accepted


def test_following_the_advice_makes_each_of_these_programs_acceptable() -> None:
    lookup = ".map m hash 8 8 1\n*(u64 *)(r10 -8) = 0\nr2 = r10\nr2 += -8\nr1 = map[m]\ncall map_lookup_elem\n"
    for wrong, advice, right in (
        (lookup + "r0 = *(u64 *)(r0 +0)\nexit", "`if r0 == 0 goto",
         lookup + "if r0 == 0 goto out\nr0 = *(u64 *)(r0 +0)\nout: r0 = 0\nexit"),
        ("r3 = 5\ncall get_prandom_u32\nr0 = r3\nexit", "r6 to r9",
         "r6 = 5\ncall get_prandom_u32\nr0 = r6\nexit"),
        ("r0 = *(u64 *)(r10 -12)\nr0 = 0\nexit", "such as -16", "r0 = *(u64 *)(r10 -16)\nr0 = 0\nexit"),
        (".type cgroup_skb\nr0 = 7\nexit", "[0, 1]", ".type cgroup_skb\nr0 = 1\nexit"),
        ("r0 = *(u8 *)(r1 +0)\nexit", "data", "r0 = *(u32 *)(r1 +0)\nr0 = 0\nexit"),
        ("r2 = 5\nr2 -= r10\nr0 = 0\nexit", "add the number, negated", "r2 = r10\nr2 += -5\nr0 = 0\nexit"),
    ):
        e = explained(wrong)
        assert advice in " ".join(e.fixes), e
        assert bb.verify(bb.assemble(right)).accepted
