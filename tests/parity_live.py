"""The data sets against the running kernel: verdict, last message, counts; then every packet on every engine.

    python tests/parity_live.py [--match TEXT] [--engines kernel,native,emulate:arm,…] [--packets N]

Needs bpf(2); nothing is attached.  Data sets that read the clock or random numbers are run all the same and counted
apart when they differ.  Exit status 1 if anything else differs.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import bpfbench as bb
from bpfbench.errors import BpfbenchError
from bpfbench.interp.pcap import read_pcap
from bpfbench.program.program import Program

DATASETS = Path(__file__).resolve().parents[1] / "datasets"
PACKET_TYPES = ("xdp", "sched_cls", "socket_filter", "cgroup_skb")
ENGINES = ("kernel", "native", "emulate:x86_64", "emulate:aarch64", "emulate:arm", "emulate:mips64", "emulate:ppc64",
           "emulate:riscv64")  # fmt: skip
CHANCE = ("ktime", "prandom", "smp_processor", "jiffies")


def verdicts(rows: list[dict[str, Any]]) -> int:
    same = {"verdict": 0, "message": 0, "insns_processed": 0, "total_states": 0}
    for row in rows:
        prog = program(row)
        ours, theirs = bb.verify(prog), bb.kernel.verify(prog)
        got = {"verdict": ours.accepted == theirs.accepted, "message": ours.message == theirs.message,
               "insns_processed": ours.insns_processed == theirs.insns_processed,
               "total_states": ours.total_states == theirs.total_states}  # fmt: skip
        for key, value in got.items():
            same[key] += value
        if not all(got.values()):
            print(f"  {row['name']}: ours {ours}, kernel {theirs}")
    for key, count in same.items():
        print(f"  same {key:20} {count:5} of {len(rows)}")
    return sum(len(rows) - count for count in same.values())


def program(row: dict[str, Any]) -> Program:
    prog: Program = bb.load(str(DATASETS / row["file"])).programs[row["program"]]
    return prog


def by_chance(prog: Program) -> bool:
    return any(word in str(insn) for insn in prog.insns if insn is not None and insn.is_call for word in CHANCE)


def packets_of(row: dict[str, Any], most: int) -> list[bytes]:
    captures = row.get("captures") or ["captures/mixed.pcap"]
    return [p.data for capture in captures for p in read_pcap(DATASETS / capture)[:most]]


def engines(rows: list[dict[str, Any]], names: list[str], most: int) -> int:
    table = {name: [0, 0, 0, 0] for name in names}             # runs, differ, differ by chance, refused by both
    for row in rows:
        obj = bb.load(str(DATASETS / row["file"]))
        prog = obj.programs[row["program"]]
        maps: dict[Any, Any] = dict(obj.initial_maps(prog))
        maps |= {name: {bytes.fromhex(k): bytes.fromhex(v) for k, v in held.items()}
                 for name, held in row.get("maps", {}).items()}  # fmt: skip
        for data in packets_of(row, most):
            try:
                expected = bb.run(prog, data, maps=maps)
            except BpfbenchError:
                expected = None
            for name in names:
                compare(prog, data, maps, name, expected, table[name], row["name"])
    print(f"  {'engine':18} {'runs':>7} {'differ':>7} {'by chance':>10} {'refused':>8}")
    for name, (runs, differ, chance, refused) in table.items():
        print(f"  {name:18} {runs:7} {differ:7} {chance:10} {refused:8}")
    return sum(counts[1] for counts in table.values())


def compare(prog: Program, data: bytes, maps: Any, name: str, expected: Any, counts: list[int], label: str) -> None:
    try:
        if name == "kernel":
            found = bb.kernel.run(prog, data, maps=maps, read_maps=False)
        else:
            found = bb.run(prog, data, name, maps=maps)
    except BpfbenchError as error:
        counts[3] += 1
        if expected is not None:
            counts[1] += 1
            print(f"  {label} on {name}: {error}")
        return
    counts[0] += 1
    r0 = expected.retval if expected is not None and name == "kernel" else expected.r0 if expected is not None else None
    if expected is None or found.r0 != r0 or bytes(found.data) != bytes(expected.data):
        counts[2 if by_chance(prog) else 1] += 1
        if not by_chance(prog):
            print(f"  {label} on {name}, packet {data[:20].hex()}…: {found} but interpreter {expected}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--match", default="")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--packets", type=int, default=1 << 30, help="of each capture")
    args = parser.parse_args()
    state = bb.kernel.available()
    if not state:
        print(f"no running kernel to compare with: {state.reason}")
        return 0
    listed = json.loads((DATASETS / "datasets.json").read_text())["programs"]
    rows = [row for row in listed if args.match in row["name"]]
    wrong = verdicts(rows)
    runnable = [row for row in rows if row["expectation"] == "accept" and row["type"] in PACKET_TYPES]
    print(f"  {len(runnable)} networking programs run")
    return 1 if wrong + engines(runnable, args.engines.split(","), args.packets) else 0


if __name__ == "__main__":
    raise SystemExit(main())
