"""Rules that exercises state by themselves are those of the engine, and what they record is what the verifier says."""

from __future__ import annotations

from random import Random

import pytest

from bpfbench.course.exercises import hello, libraries, research, selftests
from bpfbench.kernel import selftests as kernel


@pytest.mark.parametrize("kind", libraries.KINDS)
def test_the_rule_of_libraries_is_the_linkers(kind: str) -> None:
    for seed in range(3):
        text = libraries.written(*libraries._situation(Random(seed), kind))
        own, ruled = libraries.linked(text), libraries._provider_attempt(libraries._rule(), {"program": text})
        if own[0].startswith("not loaded"):
            words = {"missing": "is missing", "wrong version": "or a later"}
            said = ruled[0].removeprefix("not loaded: ").removesuffix(" (for main)")
            assert words.get(said, said) in own[0]
        else:
            assert own == ruled


def test_the_rule_of_tests_is_that_of_the_kernels_runner() -> None:
    for seed in range(8):
        text = selftests.table(Random(seed))
        assert selftests.agreement(text) == selftests._passed_attempt(selftests._rule(), {"program": text})


def test_refusals_of_tests_are_the_verifiers() -> None:
    tests = kernel.read_text(selftests.whole_table(0, 4))
    said = [kernel.ask_ours(test, privileged=root).messages for test in tests for root in (True, False)]
    assert all(lines in said for lines, _ in selftests.REFUSALS)
    assert all(kernel.as_expected(test, kernel.ask_ours(test, privileged=root), not root)
               for test in tests for root in (True, False))


def test_the_smallest_compiler_is_right_on_every_machine() -> None:
    for seed in range(3):
        for case in hello.hello_cases(Random(seed)):
            rows = hello.Hello(case["value"], case["target"]).rows
            assert hello._hello_judge(case, [row.bytes.hex(" ") for row in rows]) == ""


def test_switching_algorithms_off_shows_in_the_hidden_work() -> None:
    rows = [research._study(research._Work, case) for case in research.study_cases(Random(1))]
    assert all(row["no pruning"]["comparisons"] == 0 for row in rows)
    assert any(row["neither"]["comparisons"] > row["baseline"]["comparisons"] for row in rows)
    assert any(row["no liveness"] != row["baseline"] for row in rows)
