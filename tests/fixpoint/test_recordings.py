"""Beside Linux 6.18: the recorded programs, the data sets, and the kernel's own tests where a tree is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import parity_fixpoint as parity


def test_recorded_programs(recordings: Path) -> None:
    table, misses, unsafe = parity.recorded("")
    total = {what: sum(n for (_, w), n in table.items() if w == what) for what in {w for _, w in table}}
    assert not [line for line in unsafe if line.startswith("SAFETY")]
    supported = total["linux accept"] - total.get("accept/not supported", 0)
    assert total["accept/accept"] >= 0.9 * supported, misses[:10]
    assert total.get("accept/not supported", 0) <= 0.05 * total["linux accept"]


def test_data_sets() -> None:
    table, misses, unsafe = parity.data_sets()
    assert not unsafe
    assert table[("datasets", "accept/accept")] >= 0.9 * table[("datasets", "linux accept")], misses


def test_the_kernels_own_tests(live_kernel: None) -> None:
    tree = os.environ.get("BPFBENCH_KERNEL_TREE", "")
    if not tree:
        pytest.skip("no kernel source tree: set BPFBENCH_KERNEL_TREE (Debian: apt-get install linux-source-6.1, unpack it)")
    table, _, unsafe = parity.selftests(tree)
    assert not unsafe
    accepts = table[("selftests", "linux accept")] - table[("selftests", "accept/not supported")]
    assert table[("selftests", "accept/accept")] >= 0.9 * accepts
