"""`bpfbench dis` against llvm-objdump: every line of every object of the data sets, bytes and text."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from bpfbench.elf.listing import code_listing
from bpfbench.elf.loader import load

# a program that is looked for, and the notation that prints as it does; the newest that is there serves
TOOLS = [("llvm-objdump-22", "llvm"), ("llvm-objdump-20", "llvm"), ("llvm-objdump-19", "llvm-19"),
         ("llvm-objdump-18", "llvm-19"), ("llvm-objdump-14", "llvm-14")]  # fmt: skip


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def tool() -> tuple[str, str]:
    found = next(((t, n) for t, n in TOOLS if shutil.which(t)), None)
    if found is None:
        pytest.skip("no llvm-objdump (Debian package llvm-19)")
    return found


def test_every_object_reads_as_llvm_prints_it(tool: tuple[str, str], datasets: Path) -> None:
    objects = sorted(datasets.rglob("*.o"))
    objects = [o for o in objects if not {"jumptables", "libraries"} & set(o.parts)]       # libraries: to be linked first
    assert len(objects) >= 24
    for path in objects:
        out = subprocess.run([tool[0], "-d", str(path)], capture_output=True, text=True, check=True).stdout
        theirs = [line for line in lines(out) if not line.startswith(("Disassembly", str(path)))]
        obj = load(path)
        ours = [line for code in obj.code for line in lines(code_listing(code, obj.big_endian, tool[1]))]
        assert ours == theirs, path.name
