"""The loader makes the same instructions as libbpf, for every accepted program of the data sets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bpfbench.elf import load
from tests.elf import libbpf


@pytest.fixture(scope="module")
def lib() -> object:
    found = libbpf.library()
    if found is None:
        pytest.skip("no libbpf: apt install libbpf1 (or libbpf-dev)")
    return found


@pytest.mark.usefixtures("live_kernel")
def test_same_instructions(lib: object, datasets: Path) -> None:
    entries = json.loads((datasets / "datasets.json").read_text())["programs"]
    files = sorted({e["file"] for e in entries if e["expectation"] == "accept"})
    compared, unloadable = 0, []
    for file in files:
        theirs = libbpf.programs(lib, datasets / file)
        if theirs is None:
            unloadable.append(file)
            continue
        ours = load(datasets / file).programs
        assert set(ours) == set(theirs)
        for name, program in ours.items():
            names = [spec.name for spec in program.maps]
            assert libbpf.normal(program.raw, names.__getitem__) == theirs[name], (file, name)
            compared += 1
    assert compared >= 40, f"libbpf could not load: {unloadable}"
