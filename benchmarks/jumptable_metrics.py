"""Metrics M1 to M4 of recovery on a corpus built by `datasets/jumptables/corpus.py`.

M1  table recall: address, width, sign, scale and anchor all right
M2  exact entries: count and every target right            (also: among tables a compare or mask bounds)
M3  false tables: `jump table` at a branch that has none
M4  branch class accuracy over pos_/neg_/goto_ functions

python benchmarks/jumptable_metrics.py CORPUS [--stripped] [--verbose]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from bpfbench.jumptable import recover

EXPECTED = {"pos": ("jump table",), "neg": ("tail call", "virtual call"), "got": ("computed goto",)}


def score(
    elf: Path, truth: list[dict[str, object]], owners: dict[int, str], negatives: list[dict[str, object]], verbose: bool
) -> Counter[str]:
    """Counts for one binary; `owners` maps branch addresses of the unstripped twin to function names."""
    c: Counter[str] = Counter()
    found = recover(elf)
    c["bytes"] = sum(b - a for a, b, _ in found.image.code_ranges())
    rows = {r["branch"]: r for r in found.rows()}
    wanted = {t["branch"]: t for t in truth}
    for t in truth:
        c["tables"] += 1
        row = rows.get(t["branch"])
        if row is None or row["kind"] != "jump table":
            c["missed"] += 1
            if verbose:
                print(
                    f"  {elf.name}: missed {t['function']} at {t['branch']:#x}: "
                    f"{row and (row['kind'], row['evidence'])}"
                )
            continue
        same = all(row[k] == t[k] for k in ("base", "entry_size", "signed", "shift", "anchor"))
        c["M1"] += same
        proven = row["confidence"] != "guessed"
        c["bounded"] += proven
        exact = same and row["targets"] == t["targets"]
        c["M2"] += exact
        c["M2 bounded"] += exact and proven
        if not exact and verbose:
            print(
                f"  {elf.name}: {t['function']} at {t['branch']:#x}: count {row['count']}, "
                f"truth {t['count']}; {row['evidence'][:2]}"
            )
    for branch, row in rows.items():
        if row["kind"] == "plt":
            continue
        c["branches"] += 1
        c["unknown"] += row["kind"] == "unknown"
        name = owners.get(branch, "")
        if row["kind"] == "jump table" and branch not in wanted:
            c["M3"] += 1
            if verbose:
                print(f"  {elf.name}: false table at {branch:#x} in {name}: {row['evidence']}")
        kinds = EXPECTED["pos"] if branch in wanted else EXPECTED.get(name[:3])
        kinds = next(((n["kind"],) for n in negatives if n["start"] <= branch < n["end"]), kinds)
        if kinds:
            c["classed"] += 1
            c["M4"] += row["kind"] in kinds
            if row["kind"] not in kinds and verbose and branch not in wanted:
                print(f"  {elf.name}: {name} at {branch:#x} is {row['kind']}: {row['evidence']}")
    return c


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--stripped", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    total: Counter[str] = Counter()
    start = time.process_time()
    builds = sorted(args.corpus.glob("*.json"))
    for path in builds:
        record = json.loads(path.read_text())
        truth = record["tables"]
        full = path.with_name(path.stem + ".elf")
        found = recover(full)
        owners = {b.addr: b.function.name for b in found.branches if b.function is not None}
        elf = path.with_name(path.stem + ".stripped.elf") if args.stripped else full
        total += score(elf, truth, owners, record.get("negatives", []), args.verbose)
    seconds = time.process_time() - start

    def ratio(a: str, b: str) -> str:
        return f"{total[a]}/{total[b]} = {100 * total[a] / max(1, total[b]):.2f} %"

    print(
        f"{len(builds)} builds, {'stripped' if args.stripped else 'with symbols'}, {seconds:.1f} s, "
        f"{total['bytes'] / 1e6:.1f} MB of code"
    )
    print(f"M1 table recall            {ratio('M1', 'tables')}")
    print(f"M2 exact entries           {ratio('M2', 'tables')}")
    print(f"M2 where bounded           {ratio('M2 bounded', 'bounded')}")
    print(f"M3 false tables            {total['M3']}")
    print(f"M4 branch classes          {ratio('M4', 'classed')}")
    print(f"   unknown                 {ratio('unknown', 'branches')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
