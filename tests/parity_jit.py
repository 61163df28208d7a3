"""Generated code against recordings of real Linux JITs, byte for byte outside relocations.

    python tests/parity_jit.py [--target T] [--show N] [--verify] [--recordings DIR]

Every program of every recording is compiled from `xlated`; an image counts as equal when it has the same length, the
same function lengths, and the same bytes except those that a relocation names.  Exit status 1 if any differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpfbench as bb
from bpfbench.errors import BpfbenchError
from bpfbench.jit import Code, jit_record
from bpfbench.machine.pattern import Machine

#: recording file -> (target, kernel)
FILES = {
    "x86_64-linux-6.18": ("x86_64", "linux-6.18"),
    "x86_64-linux-6.12": ("x86_64", "linux-6.12"),
    "x86_64-linux-6.1": ("x86_64", "linux-6.1"),
    "aarch64-linux-6.12": ("aarch64", "linux-6.12"),
    "arm-linux-6.1": ("arm", "linux-6.1"),
    "mips64el-linux-6.1": ("mips64", "linux-6.1"),
    "powerpc64le-linux-6.1": ("ppc64", "linux-6.1"),
    "riscv64-linux-6.12": ("riscv64", "linux-6.12"),
}


def recordings_folder(given: str | None = None) -> Path:
    """Where the recordings are: the argument, BPFBENCH_RECORDINGS, or ../shared/data beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(given or os.environ.get("BPFBENCH_RECORDINGS") or beside) / "kernel-jit"


def records(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        for line in lines:
            yield json.loads(line)


def difference(code: Code, record: dict[str, Any]) -> str:
    """"" when equal outside relocations, else the first place that differs."""
    image = bytes.fromhex(record["image"])
    ours = bytearray(code.bytes)
    lengths = [length for length, _ in record["functions"]]
    if [f.length for f in code.functions] != lengths:
        return f"lengths {[f.length for f in code.functions]}, recorded {lengths}"
    for r in code.relocations:
        ours[r.offset : r.offset + r.size] = image[r.offset : r.offset + r.size]
    for at, (a, b) in enumerate(zip(ours, image)):
        if a != b:
            return f"byte {at:#x}: {a:02x}, recorded {b:02x}"
    return ""


def show(code: Code | None, record: dict[str, Any], machine: Machine | None) -> None:
    print(f"  --- {record['name']}: xlated {record['xlated'][:400]}")
    image = bytes.fromhex(record["image"])
    recorded = [f"{a:4x} {raw.hex():20} {text}" for a, raw, text in machine.disassemble(image)] if machine else []
    ours = [f"{r.addr:4x} {r.bytes.hex():20} {r.text:40} {r.owner}" for r in code.insns] if code is not None else []
    for i in range(max(len(recorded), len(ours))):
        left = recorded[i] if i < len(recorded) else ""
        right = ours[i] if i < len(ours) else ""
        print(f"  {'  ' if left.split()[1:2] == right.split()[1:2] else '* '}{left:60} | {right}")


def compare(
    name: str, folder: Path, shown: int = 0, limit: int = 0, verify: Callable[..., object] | None = None
) -> tuple[int, int, list[str]]:
    """(equal, all, differences) of one recording."""
    target, kernel = FILES[name]
    equal = total = 0
    differences: list[str] = []
    for record in records(folder / f"{name}.jsonl.gz"):
        if limit and total >= limit:
            break
        total += 1
        code = None
        try:
            code = jit_record(record, target, kernel, verify)
            found = difference(code, record)
        except BpfbenchError as error:
            found = str(error)
        if not found:
            equal += 1
            continue
        differences.append(f"{record['name']}: {found}")
        if len(differences) <= shown:
            print(f"  {differences[-1]}")
            if len(record["image"]) < 2000:
                show(code, record, code.machine if code else None)
    return equal, total, differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--target", help="only recordings whose name contains this")
    parser.add_argument("--show", type=int, default=0, help="print the first N differences side by side")
    parser.add_argument("--limit", type=int, default=0, help="only the first N programs of each")
    parser.add_argument("--verify", action="store_true", help="take the facts from verifying, as the CLI does")
    parser.add_argument("--recordings", help="folder that holds kernel-jit/")
    options = parser.parse_args()
    folder = recordings_folder(options.recordings)
    missing = False
    worst = 0
    print(f"{'recording':24} {'equal':>6} {'of':>6} {'share':>8} {'seconds':>8}")
    for name in FILES:
        if options.target and options.target not in name:
            continue
        if not (folder / f"{name}.jsonl.gz").exists():
            print(f"{name:24} no recording in {folder}")
            missing = True
            continue
        started = time.perf_counter()
        verify = bb.verify if options.verify else None
        equal, total, differences = compare(name, folder, options.show, options.limit, verify)
        took = time.perf_counter() - started
        print(f"{name:24} {equal:6} {total:6} {100 * equal / max(total, 1):7.2f}% {took:8.1f}", flush=True)
        for line in differences[: 3 if not options.show else 0]:
            print(f"    {line[:150]}")
        worst = max(worst, total - equal)
    return 1 if worst or missing else 0


if __name__ == "__main__":
    sys.exit(main())
