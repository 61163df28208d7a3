"""The catalogue of rules: every example is refused by its own rule, by ours and by the running kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import INT, BtfType
from bpfbench.verifier.rules import RULES, Rule, match

EXAMPLES = [rule for rule in RULES if rule.example]


def types() -> Btf:
    """Types of a kernel whose type 1 is a number, as it is in every kernel."""
    btf = Btf()
    btf.add(BtfType(INT, "int", size=4))
    return btf


def test_codes_are_unique_and_every_row_explains_itself() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)
    assert all(rule.messages and rule.why and rule.fix for rule in RULES)


@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.code)
def test_our_verifier_refuses_the_example(rule: Rule) -> None:
    verdict = bb.verify(bb.assemble(rule.example), privileged=not rule.unprivileged, kernel_btf=types())
    assert verdict.rejection is not None and verdict.rejection.rule == rule.code
    if rule.unprivileged:
        assert bb.verify(bb.assemble(rule.example)).accepted


@pytest.mark.parametrize("rule", EXAMPLES, ids=lambda rule: rule.code)
def test_the_running_kernel_refuses_the_example(live_kernel: None, rule: Rule) -> None:
    from bpfbench import kernel

    verdict = kernel.verify(bb.assemble(rule.example), privileged=not rule.unprivileged)
    found = match(verdict.message or "")
    assert not verdict.accepted and found is not None and found.code == rule.code


@pytest.mark.parametrize("kernel", ["linux-6.18", "linux-6.12", "linux-6.1"])
def test_every_recorded_message_has_a_rule(records: Callable[[str], Iterator[dict[str, Any]]], kernel: str) -> None:
    unknown = set()
    for record in records(f"kernel-verifier/{kernel}"):
        for message in (record.get("error"), (record.get("reduced") or {}).get("error")):
            if message and match(message) is None:
                unknown.add(message)
    assert unknown == set()
