"""How far our rewriting equals the kernel's: eight recorded machines, and the running kernel.

    python tests/parity_rewrite.py [--live] [--differences N]

One row per recording: programs, identical after rewriting, different, refused.  Compared is every byte but the
addresses that only the recorded kernel knew.  `--live` adds the data sets and the recorded verifier programs, loaded
into the running kernel and read back.
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
import os
import struct
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bpfbench as bb
from bpfbench.errors import BpfbenchError
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.text import format_insn
from bpfbench.program.program import Program
from bpfbench.verifier.rewrite import rewrite

ROOT = Path(__file__).resolve().parents[1]
FILES = [
    ("x86_64-linux-6.18", "linux-6.18", "x86_64"), ("x86_64-linux-6.12", "linux-6.12", "x86_64"),
    ("x86_64-linux-6.1", "linux-6.1", "x86_64"), ("aarch64-linux-6.12", "linux-6.12", "aarch64"),
    ("riscv64-linux-6.12", "linux-6.12", "riscv64"), ("powerpc64le-linux-6.1", "linux-6.1", "ppc64"),
    ("mips64el-linux-6.1", "linux-6.1", "mips64"), ("arm-linux-6.1", "linux-6.1", "arm"),
]  # fmt: skip


def recordings() -> Path:
    named = os.environ.get("BPFBENCH_RECORDINGS")
    return Path(named) if named else ROOT.parent / "shared" / "data"


def read(name: str) -> Iterator[dict[str, Any]]:
    with gzip.open(recordings() / f"{name}.jsonl.gz", "rt") as lines:
        for line in lines:
            yield json.loads(line)


def comparable(raw: bytes, symbols: dict[int, str], maps: dict[int, int] | None) -> bytes:
    """Addresses blanked; the kernel's map numbers replaced by indices (`maps`)."""
    out = bytearray(raw)
    at = 0
    while at + 8 <= len(out):
        if out[at] == 0x18:
            if out[at + 1] >> 4 in (1, 2) and maps is not None:
                number = struct.unpack_from("<I", out, at + 4)[0]
                struct.pack_into("<I", out, at + 4, maps.get(number, 0xFFFF))
            at += 8
        at += 8
    for slot in symbols:
        out[8 * slot + 4 : 8 * slot + 8] = bytes(4)
        if out[8 * slot] == 0x18:
            out[8 * slot + 12 : 8 * slot + 16] = bytes(4)
    return bytes(out)


def table_row(
    name: str, pairs: Iterable[tuple[Program, bytes, dict[int, int] | None]], kernel: str, machine: str, show: int
) -> None:
    total = same = 0
    refused: Counter[str] = Counter()
    shown: list[str] = []
    for prog, xlated, maps in pairs:
        total += 1
        try:
            done = rewrite(prog, kernel, machine, pictures=False)
        except BpfbenchError as error:
            refused[str(error)[:110]] += 1
            continue
        ours = comparable(encode(done.insns), done.symbols, None)
        theirs = comparable(xlated, done.symbols, maps) if len(xlated) == len(ours) else xlated
        if ours == theirs:
            same += 1
        elif len(shown) < show:
            shown += [f"    -- {prog.name}", *difference(theirs, ours)]
    print(f"{name:24} {total:6} programs  {same:6} identical  {total - same - sum(refused.values()):4} different  "
          f"{sum(refused.values()):4} not rewritten  {100 * same / max(total, 1):6.2f} %", flush=True)  # fmt: skip
    for line in shown:
        print(line)
    for reason, count in refused.most_common(5):
        print(f"    {count} x {reason}")


def difference(theirs: bytes, ours: bytes) -> list[str]:
    def text(raw: bytes) -> list[str]:
        return [format_insn(i) for i in decode(raw, strict=False, internal=True) if i is not None]

    lines = list(difflib.unified_diff(text(theirs), text(ours), lineterm="", n=1))
    return [f"       {line}" for line in lines[2:10]]


def recorded(file: str) -> Iterator[tuple[Program, bytes, dict[int, int] | None]]:
    for record in read(f"kernel-jit/{file}"):
        prog = Program.from_json({"name": record["name"], "prog_type": "socket_filter", "insns": record["insns"]})
        yield prog, bytes.fromhex(record["xlated"]), None


def live(programs: Iterable[Program]) -> Iterator[tuple[Program, bytes, dict[int, int] | None]]:
    for prog in programs:
        prog.flags &= ~4                                    # no random upper halves
        try:
            image = bb.kernel.jit(prog)
        except BpfbenchError:
            continue                                        # the kernel refuses it
        yield prog, image.xlated, image.maps


def datasets() -> Iterator[Program]:
    for path in sorted((ROOT / "datasets").rglob("*.o")):
        try:
            yield from bb.load(path).programs.values()
        except BpfbenchError:
            continue


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--differences", type=int, default=0, metavar="N")
    args = parser.parse_args()
    if (recordings() / "kernel-jit").is_dir():
        for file, kernel, machine in FILES:
            table_row(file, recorded(file), kernel, machine, args.differences)
    else:
        print("no recordings: set BPFBENCH_RECORDINGS")
    if args.live and bb.kernel.available():
        table_row("live: data sets", live(datasets()), "linux-6.18", "x86_64", args.differences)
        programs = (Program.from_json(r) for r in read("kernel-verifier/programs"))
        table_row("live: verifier corpus", live(programs), "linux-6.18", "x86_64", args.differences)
    return 0


if __name__ == "__main__":
    sys.exit(main())
