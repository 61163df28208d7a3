"""Hostile input: no mutated program crashes a code generator (100,000 of them: `python -m tests.jit.fuzz`)."""

from __future__ import annotations

from bpfbench.jit.targets import TARGETS

from .fuzz import sweep


def test_mutated_programs_are_compiled_or_refused() -> None:
    found = sweep(1500, seed=7)
    for target in TARGETS:
        assert found[f"{target} compiled"] > 50
        assert found[f"{target} refused"] > 500
