"""How far the verifier agrees with recorded kernels: verdict, message, counts, states line by line.

    python tests/parity_verifier.py [--kernel 6.18] [--reduced] [--match TEXT] [--differences N] [--no-big]

Reads the recordings named by BPFBENCH_RECORDINGS, or ../shared/data beside the repository, and prints one table row
per kernel: programs, same verdict, programs accepted that the kernel refuses, same errno, same last message, same
processed, same number of states, and of the level-2 log's lines how many are the same in the same place.  Lines are
compared without runs of spaces (recordings put another name in place of a map's address, which moves the column of
the state).
"""

from __future__ import annotations

import argparse
import difflib
import gzip
import json
import os
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bpfbench.errors import BpfbenchError
from bpfbench.program.program import Program
from bpfbench.verifier.verification import Verification, verify

_SPACES = re.compile(r" {2,}")
_MAP = re.compile(r"\(18\) (r\d+) = (?:map\[\d+\]\+\d+|0xff[0-9a-f]{14})")
_STATE = re.compile(r"\b(R\d+(_\w+)?=|fp-\d+(_\w+)?=)")


def recordings() -> Path:
    named = os.environ.get("BPFBENCH_RECORDINGS")
    base = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    return base / "kernel-verifier"


def read(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as lines:
        return [json.loads(line) for line in lines]


def facts(log: str) -> list[str]:
    """The lines of a log, spaces squeezed, addresses of maps named."""
    return [_MAP.sub(r"(18) \1 = map", _SPACES.sub(" ", line.rstrip())) for line in log.split("\n") if line.strip()]


def compare_logs(mine: str, theirs: str, truncated: bool) -> tuple[int, int, int, int]:
    """(lines of theirs, of them the same, lines with states, of them the same)"""
    want, have = facts(theirs), facts(mine)
    if truncated:
        want = want[:-1]
        have = have[: len(want) + 200]
    if want == have[: len(want)] and (truncated or len(have) == len(want)):
        states = sum(1 for line in want if _STATE.search(line))
        return len(want), len(want), states, states
    matcher = difflib.SequenceMatcher(None, want, have, autojunk=False) if len(want) < 3000 else None
    if matcher is None:
        same = [i for i, (a, b) in enumerate(zip(want, have, strict=False)) if a == b]
    else:
        same = [i for block in matcher.get_matching_blocks() for i in range(block.a, block.a + block.size)]
    kept = set(same)
    states = [i for i, line in enumerate(want) if _STATE.search(line)]
    return len(want), len(kept), len(states), sum(1 for i in states if i in kept)


def run(kernel: str, reduced: bool, match: str, show: int, big: bool) -> bool:
    folder = recordings()
    programs = read(folder / "programs.jsonl.gz")
    results = {r["name"]: r for r in read(folder / f"linux-{kernel}.jsonl.gz")}
    c: Counter[str] = Counter()
    differences: list[str] = []
    start = time.time()
    for record in programs:
        name = record["name"]
        result = results[name]
        if match and match not in name:
            continue
        want = result["reduced"] if reduced else result
        if not big and (want.get("processed") or 0) > 100_000:
            continue
        c["programs"] += 1
        try:
            v = verify(Program.from_json(record), kernel=f"linux-{kernel}", privileged=not reduced)
        except BpfbenchError as error:
            c["unsupported"] += 1
            differences.append(f"{name}: {error}")
            continue
        judge(c, differences, name, v, want, reduced)
        if not reduced and "log2" in result and (result.get("processed") or 0) <= 20_000:
            lines, same, states, same_states = compare_logs(v.log(2), result["log2"], bool(result.get("log2_truncated")))
            c["lines"] += lines
            c["same lines"] += same
            c["state lines"] += states
            c["same state lines"] += same_states
            if same_states != states:
                c["programs with other states"] += 1
                differences.append(f"{name}: {states - same_states} of {states} state lines differ")
    table(kernel, reduced, c, time.time() - start)
    for line in differences[:show]:
        print("   ", line)
    return c["accepted but refused"] == 0 and c["verdict"] == c["programs"]


def judge(c: Counter[str], differences: list[str], name: str, v: Verification, want: dict[str, Any],
          reduced: bool) -> None:
    accepted = want["verdict"] == "accept"
    if v.accepted != accepted:
        if v.accepted:
            c["accepted but refused"] += 1
        said = "accepted" if v.accepted else v.rejection.message if v.rejection else ""
        differences.append(f"{name}: {said!r}, kernel {want['verdict']} {want['error']!r}")
        return
    c["verdict"] += 1
    if v.rejection is not None:
        c["refused"] += 1
        c["errno"] += v.rejection.errno == want["errno"]
        same = v.rejection.message == (want["error"] or "")
        c["message"] += same
        if not same:
            differences.append(f"{name}: {v.rejection.message!r}, kernel {want['error']!r}")
    if want.get("processed") is not None:
        c["counted"] += 1
        c["processed"] += v.stats.processed == want["processed"]
        c["states"] += v.stats.total_states == want["total_states"]
        if not reduced:
            c["peak"] += v.stats.peak_states == want["peak_states"]
        if v.stats.processed != want["processed"]:
            differences.append(f"{name}: processed {v.stats.processed}, kernel {want['processed']}")
        elif v.stats.total_states != want["total_states"]:
            differences.append(f"{name}: states {v.stats.total_states}, kernel {want['total_states']}")


def table(kernel: str, reduced: bool, c: Counter[str], seconds: float) -> None:
    def row(label: str, have: str, of: str) -> None:
        if c[of]:
            print(f"  {label:34}{c[have]:>8} of {c[of]:<8} {100 * c[have] / c[of]:6.2f} %")

    print(f"linux-{kernel}{', reduced privileges' if reduced else ''}: {c['programs']} programs in {seconds:.0f} s")
    row("same verdict", "verdict", "programs")
    print(f"  {'accepted, but the kernel refuses':34}{c['accepted but refused']:>8}")
    print(f"  {'not supported':34}{c['unsupported']:>8}")
    row("same errno", "errno", "refused")
    row("same last message", "message", "refused")
    row("same processed", "processed", "counted")
    row("same total states", "states", "counted")
    if not reduced:
        row("same peak states", "peak", "counted")
    row("same log lines (level 2)", "same lines", "lines")
    row("same state lines (level 2)", "same state lines", "state lines")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kernel", choices=("6.1", "6.12", "6.18", "all"), default="all")
    parser.add_argument("--reduced", action="store_true", help="the 6.18 recordings of a process without CAP_PERFMON")
    parser.add_argument("--match", default="", help="only programs whose name contains this")
    parser.add_argument("--differences", type=int, default=0, help="how many differences to list")
    parser.add_argument("--no-big", action="store_true", help="leave out walks of more than 100,000 instructions")
    options = parser.parse_args()
    if not recordings().is_dir():
        print(f"no recordings at {recordings()}; set BPFBENCH_RECORDINGS", file=sys.stderr)
        return 2
    good = True
    kernels = ("6.18", "6.12", "6.1") if options.kernel == "all" else (options.kernel,)
    for kernel in kernels:
        if not options.reduced:
            good &= run(kernel, False, options.match, options.differences, not options.no_big)
        if kernel == "6.18" and (options.reduced or options.kernel == "all"):
            good &= run(kernel, True, options.match, options.differences, not options.no_big)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
