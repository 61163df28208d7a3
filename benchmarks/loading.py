"""How long objects and types take to load, next to what one would read them with otherwise.

    python benchmarks/loading.py

    objects   `bb.load` over reading all sections, symbols and relocations with pyelftools, and over `llvm-objdump -d`
    types     `read_btf` of the running kernel's types over `bpftool btf dump` (C, prints all), where it is installed
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

from elftools.elf.elffile import ELFFile

import bpfbench as bb
from bpfbench.elf.btf import read_btf
from bpfbench.elf.emit import to_object

sys.path.insert(0, str(Path(__file__).parent))
from rows import Row, median_ratio, seconds, show  # type: ignore[import-not-found]

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
OBJECTS = ("xdp_arp", "xdp_firewall", "xdp_dns", "xdp_syn_cookie", "core_task")
KERNEL_TYPES = Path("/sys/kernel/btf/vmlinux")
SIZES = (100, 1_000, 10_000, 60_000)


def plain_read(raw: bytes) -> int:
    """What any reader of an object does first: sections, symbols, relocations."""
    elf = ELFFile(io.BytesIO(raw))
    count = 0
    for section in elf.iter_sections():
        section.data()
        if section["sh_type"] == "SHT_SYMTAB":
            count += sum(1 for _ in section.iter_symbols())
        elif section["sh_type"] in ("SHT_REL", "SHT_RELA"):
            count += sum(1 for _ in section.iter_relocations())
    return count


def big_object(insns: int) -> bytes:
    """A program of that many instructions as an object."""
    body = "\n".join(f"r2 = *(u64 *)(r10 - {8 * (i % 30 + 1)})\nr2 += {i}\nw3 = w2\nr3 ^= 7" for i in range(insns // 4))
    prologue = "\n".join(f"*(u64 *)(r10 - {8 * (i + 1)}) = {i}" for i in range(30))
    return to_object([bb.assemble(f"{prologue}\n{body}\nr0 = 0\nexit", name="big")])


def measure() -> list[Row]:
    rows = []
    objdump = shutil.which("llvm-objdump")
    for name in OBJECTS:
        path = DATASETS / f"{name}.o"
        raw = path.read_bytes()
        bb.load(raw)
        rows.append(Row("loading", name, "ours / pyelftools, no decoding", [
            (1, median_ratio(lambda raw=raw: bb.load(raw), lambda raw=raw: plain_read(raw)))]))  # fmt: skip
        if objdump:
            call = [objdump, "-d", str(path)]
            rows.append(Row("loading", name, "ours / llvm-objdump -d, a process", [(1, median_ratio(
                lambda raw=raw: bb.load(raw),
                lambda call=call: subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))]))
    grown = []
    for size in SIZES:
        raw = big_object(size)
        grown.append((size, seconds(lambda raw=raw: bb.load(raw))))
    rows.append(Row("loading", "one long program", "microseconds per instruction",
                    [(size, 1e6 * t / size) for size, t in grown], grown))
    return rows + kernel_types()


def kernel_types() -> list[Row]:
    if not KERNEL_TYPES.exists():
        return []
    raw = KERNEL_TYPES.read_bytes()
    took = seconds(lambda: read_btf(raw))
    rows = [Row("loading", "the kernel's BTF", "seconds for a megabyte", [(1, took / (len(raw) / 1e6))])]
    bpftool = shutil.which("bpftool")
    if bpftool:
        call = [bpftool, "btf", "dump", "file", str(KERNEL_TYPES)]
        theirs = seconds(lambda: subprocess.run(call, stdout=subprocess.DEVNULL))
        rows.append(Row("loading", "the kernel's BTF", "ours / bpftool btf dump", [(1, took / theirs)]))
    return rows


if __name__ == "__main__":
    show(measure())
