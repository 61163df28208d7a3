"""How the static analysis judges the recorded programs and the data sets, beside Linux 6.18.

    python tests/parity_fixpoint.py [--match TEXT] [--misses] [--unsafe] [--tree LINUX-SOURCE]

Per category: programs that Linux accepts, of those accepted here, refused, not supported; programs that Linux refuses,
of those accepted here, split into refusals for safety and others (`CAUSES` says which message is which).  `--misses`
lists the accepted programs that are refused here, `--unsafe` what is accepted here but not by Linux.  `--tree` adds the
test_verifier tables of a kernel tree, judged by the running kernel.

Reads the recordings named by BPFBENCH_RECORDINGS, or ../shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import bpfbench as bb  # noqa: E402
from bpfbench.program.program import Program  # noqa: E402

# Messages of refusals that are not about safety, and what they are about.
CAUSES = (
    (r"unreachable insn", "dead code"),
    (r"too large. Processed|sequence of .* jumps is too complex", "complexity"),
    (r"unknown opcode|reserved fields|invalid bpf_ld_imm64|unrecognized bpf_ld_imm64|div by zero|invalid shift", "encoding"),
    (r"tail_call is not allowed in subprogs without BTF", "type information"),
)


def recordings() -> Path:
    named = os.environ.get("BPFBENCH_RECORDINGS")
    base = Path(named) if named else ROOT.parent / "shared" / "data"
    return base / "kernel-verifier"


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def cause(message: str) -> str:
    """What a refusal of Linux is about; "" for safety."""
    return next((what for pattern, what in CAUSES if re.search(pattern, message)), "")


def judge(record: dict[str, Any]) -> tuple[str, str, float]:
    """("accept" | "reject" | "not supported", why, seconds)"""
    v = bb.verify_static(Program.from_json(record))
    if v.accepted:
        return "accept", "", v.stats.seconds
    if not v.supported:
        return "not supported", v.message or "", v.stats.seconds
    return "reject", f"insn {v.pc}: {v.rejection.rule}: {v.message}", v.stats.seconds


def recorded(match: str) -> tuple[Counter[tuple[str, str]], list[str], list[str]]:
    folder = recordings()
    results = {r["name"]: r for r in read(folder / "linux-6.18.jsonl.gz")}
    table: Counter[tuple[str, str]] = Counter()
    misses: list[str] = []
    unsafe: list[str] = []
    for record in read(folder / "programs.jsonl.gz"):
        name = record["name"]
        if match not in name:
            continue
        result = results[name]
        verdict, why, seconds = judge(record)
        category = record["category"]
        table[(category, f"linux {result['verdict']}")] += 1
        table[(category, f"{result['verdict']}/{verdict}")] += 1
        if result["verdict"] == "accept" and verdict != "accept":
            misses.append(f"{name} ({seconds * 1000:.0f} ms): {why}")
        if result["verdict"] == "reject" and verdict == "accept":
            said = cause(result["error"] or "") or "SAFETY"
            table[(category, "unsafe" if said == "SAFETY" else "other cause")] += 1
            unsafe.append(f"{said:10} {name}: {result['error']}")
        if seconds > 5:
            misses.append(f"{name} took {seconds:.1f} s")
    return table, misses, unsafe


def data_sets() -> tuple[Counter[tuple[str, str]], list[str], list[str]]:
    """The objects of datasets/, judged by the path walk and by the static analysis."""
    table: Counter[tuple[str, str]] = Counter()
    misses: list[str] = []
    unsafe: list[str] = []
    for path in sorted((ROOT / "datasets").glob("*.o")):
        for name, prog in bb.load(str(path)).programs.items():
            walked = bb.verify(prog)
            v = bb.verify_static(prog)
            verdict = "accept" if v.accepted else "reject" if v.supported else "not supported"
            want = "accept" if walked.accepted else "reject"
            table[("datasets", f"linux {want}")] += 1
            table[("datasets", f"{want}/{verdict}")] += 1
            if want == "accept" and verdict != "accept":
                misses.append(f"{path.stem}/{name} ({v.stats.seconds * 1000:.0f} ms): {v!r}")
            if want == "reject" and verdict == "accept":
                table[("datasets", "unsafe")] += 1
                unsafe.append(f"SAFETY     {path.stem}/{name}: {walked.message}")
    return table, misses, unsafe


def selftests(tree: str) -> tuple[Counter[tuple[str, str]], list[str], list[str]]:
    """The kernel's own test programs (of an unpacked tree), judged by the running kernel."""
    from bpfbench.kernel import selftests as tables

    table: Counter[tuple[str, str]] = Counter()
    misses: list[str] = []
    unsafe: list[str] = []
    for test in tables.read(tree):
        if test.needs:
            continue
        answer = tables.ask_kernel(test)
        if answer.verdict not in ("accept", "reject"):
            continue
        v = bb.verify_static(test.program)
        verdict = "accept" if v.accepted else "reject" if v.supported else "not supported"
        table[("selftests", f"linux {answer.verdict}")] += 1
        table[("selftests", f"{answer.verdict}/{verdict}")] += 1
        if answer.verdict == "accept" and verdict != "accept":
            misses.append(f"{test.name}: {v!r}")
        if answer.verdict == "reject" and verdict == "accept":
            said = cause(answer.message or "") or "SAFETY"
            table[("selftests", "unsafe" if said == "SAFETY" else "other cause")] += 1
            unsafe.append(f"{said:10} {test.name}: {answer.message}")
    return table, misses, unsafe


def show(table: Counter[tuple[str, str]]) -> None:
    heads = ("category", "Linux accepts", "accepted", "refused", "not supported", "share", "Linux refuses", "accepted",
             "of them for safety")
    print("  ".join(f"{h:>13}" for h in heads))
    categories = sorted({c for c, _ in table})
    for c in [*categories, "all"]:
        def n(what: str, c: str = c) -> int:
            return sum(v for (k, w), v in table.items() if w == what and c in (k, "all"))

        accepts, unsupported = n("linux accept"), n("accept/not supported")
        share = 100 * n("accept/accept") / max(1, accepts - unsupported)
        row = (c, accepts, n("accept/accept"), n("accept/reject"), unsupported, f"{share:.1f} %", n("linux reject"),
               n("reject/accept"), n("unsafe"))
        print("  ".join(f"{x!s:>13}" for x in row))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--match", default="")
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--unsafe", action="store_true")
    parser.add_argument("--no-datasets", action="store_true")
    parser.add_argument("--tree", default="", help="an unpacked kernel source tree; the running kernel is asked")
    args = parser.parse_args()
    started = time.time()
    if not recordings().is_dir():
        print("no recordings of real kernels: set BPFBENCH_RECORDINGS to the folder with kernel-verifier/")
        return 0
    table, misses, unsafe = recorded(args.match)
    if not args.no_datasets and not args.match:
        more = data_sets()
        table += more[0]
        misses += more[1]
        unsafe += more[2]
    if args.tree:
        more = selftests(args.tree)
        table += more[0]
        misses += more[1]
        unsafe += more[2]
    show(table)
    for line in (misses if args.misses else []) + (unsafe if args.unsafe else []):
        print("   ", line)
    print(f"{time.time() - started:.0f} s")
    return 1 if any(w == "unsafe" for _, w in table) else 0


if __name__ == "__main__":
    sys.exit(main())
