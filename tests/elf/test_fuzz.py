"""A short run of the fuzzer; `python tests/elf/fuzz.py` is the long one."""

from __future__ import annotations

from tests.elf.fuzz import LIMIT, campaign


def test_broken_objects_give_typed_errors() -> None:
    counts, slowest, unexpected = campaign(1500, seed=20)
    assert not unexpected, unexpected[0]
    assert counts["ElfError"] > 300 and counts["BtfError"] > 100
    assert slowest < 10 * LIMIT        # the script holds the real limit; a busy machine may stall
