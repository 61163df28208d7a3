"""Concrete against abstract: the states of a run lie inside what the walk claims, and the comparison can fail."""

from __future__ import annotations

import pytest

from tests.verifier_fuzz import check


def test_fixed_programs_are_inside() -> None:
    for number in range(1, 40):
        counts, said = check(number, False, ())
        assert not said and "wrong" not in counts


@pytest.mark.parametrize("bug", ["CVE-2017-16995"])
def test_a_published_bug_is_found(bug: str) -> None:
    found = [line for number in range(1, 60) for line in check(number, False, (bug,))[1]]
    assert any("is not in" in line and "smallest" in line for line in found)
