"""The vendor's disassembler, built from the sources of binutils, prints what ours prints."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.nfp.independent import build, compare, generated, source_of


def test_the_vendors_disassembler_says_the_same(tmp_path: Path) -> None:
    source = source_of()
    if source is None:
        pytest.skip("no sources of binutils: apt-get install binutils-source, or set BPFBENCH_BINUTILS to a tarball")
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("no C compiler: apt-get install gcc")
    vectors = [int(line.split()[0], 16) for line in (Path(__file__).parent / "vectors.txt").read_text().splitlines()
               if line and line[0] in "0123456789abcdef"]  # fmt: skip
    program = build(source, tmp_path)
    assert compare(program, [*vectors, *generated(5_000)]) == []
