"""Metrics M5 and M7: what really executes, under qemu-user.

    M5  every target of an executed indirect branch lies in the set recovered for it
    M7  rewritten (blocks reordered, counters inserted, old code and tables poisoned), programs print the same; counter
        totals equal the block counts of an independent trace of the *original*

    python benchmarks/jumptable_execution.py CORPUS [--only NAME] [--mode reverse] [--count edges] [--no-trace]

The trace is one instruction per translation block (`-singlestep -d exec,nochain`), so it needs no idea of blocks.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from bpfbench.jumptable import recover
from bpfbench.jumptable.instrument import Profile
from bpfbench.jumptable.rewrite import rewrite

_LINE = re.compile(rb"/([0-9a-f]{16})/")


def trace(elf: Path, scratch: Path, base: int = 0) -> list[int]:
    """The addresses of all instructions executed, in order."""
    log = scratch / "log"
    subprocess.run(
        ["qemu-aarch64", "-singlestep", "-d", "exec,nochain", "-D", str(log), str(elf)],
        capture_output=True,
        check=False,
    )
    out = []
    with log.open("rb") as f:
        for line in f:
            m = _LINE.search(line)
            if m:
                out.append(int(m.group(1), 16) - base)
    log.unlink()
    return out


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--mode", default="reverse")
    parser.add_argument("--count", default="edges")
    parser.add_argument("--no-trace", action="store_true")
    args = parser.parse_args()
    t: Counter[str] = Counter()
    for elf in sorted(args.corpus.glob("*.elf")):
        if "stripped" in elf.name or args.only not in elf.name:
            continue
        with tempfile.TemporaryDirectory() as name:
            one(elf, Path(name), args, t)
    print(f"{t['programs']} programs, same output {t['same']}")
    print(
        f"M5 executed dispatches {t['dispatches']}, distinct (branch, target) {t['pairs']}, "
        f"outside the recovered set {t['outside']}"
    )
    print(
        f"M7 functions with tables rewritten {t['done']}/{t['with']}; counters {t['counters']}, "
        f"wrong {t['wrong']}; loop runs {t['loop']}"
    )
    return int(t["outside"] + t["wrong"] + t["programs"] - t["same"] > 0)


def one(elf: Path, scratch: Path, args: argparse.Namespace, t: Counter[str]) -> None:
    found = recover(elf)
    steps: list[int] = []
    if not args.no_trace:
        steps = trace(elf, scratch)
        if found.image.pie and steps:  # where the loader put it
            base = steps[0] - found.image.entry
            steps = [a - base for a in steps]
        tables = {b.table.branch: set(b.table.targets) for b in found.branches if b.table is not None}
        pairs = Counter((a, b) for a, b in zip(steps, steps[1:], strict=False) if a in tables)
        t["dispatches"] += sum(pairs.values())
        t["pairs"] += len(pairs)
        for (a, b), n in pairs.items():
            if b not in tables[a]:
                t["outside"] += 1
                print(f"  {elf.name}: {a:#x} went to {b:#x} ({n} times): {found.at(a)}")
    new = scratch / "new"
    report = rewrite(found.image, new, args.mode, args.count, poison=True)
    t["with"] += report.with_tables
    t["done"] += report.with_tables_done
    t["counters"] += len(report.counters)
    before = subprocess.run(["qemu-aarch64", str(elf)], capture_output=True, check=False)
    after = subprocess.run(["qemu-aarch64", str(new)], capture_output=True, check=False, cwd=scratch)
    t["programs"] += 1
    same = (before.stdout, before.returncode) == (after.stdout, after.returncode)
    t["same"] += same
    if not same:
        print(f"  {elf.name}: output differs ({before.returncode}, {after.returncode})")
        return
    if not report.counters:
        return
    profile = Profile.read(f"{new}.counters.json", scratch / "bpfbench.counters")
    if steps:
        seen = Counter(steps)
        follows = Counter(zip(steps, steps[1:], strict=False))
        cfg_end = {c["block"]: c for c in report.counters}
        del cfg_end
        for block, n in profile.blocks.items():
            if seen[block] != n:
                t["wrong"] += 1
                print(f"  {elf.name}: block {block:#x} counted {n}, executed {seen[block]}") if t["wrong"] < 9 else None
        ends = _block_ends(found, report)
        for (block, target), n in profile.edges.items():
            want = follows[ends.get(block, 0), target]
            if want != n:
                t["wrong"] += 1
                print(f"  {elf.name}: edge {block:#x}->{target:#x} counted {n}, executed {want}") if t[
                    "wrong"
                ] < 9 else None
    final = scratch / "final"
    rewrite(found.image, final, "profile", profile=profile, poison=True)
    again = subprocess.run(["qemu-aarch64", str(final)], capture_output=True, check=False)
    t["loop"] += (before.stdout, before.returncode) == (again.stdout, again.returncode)


def _block_ends(found: object, report: object) -> dict[int, int]:
    """Block address -> address of its last instruction, in the original."""
    from bpfbench.jumptable import a64

    starts = sorted(report.labels)  # type: ignore[attr-defined]
    image = found.image  # type: ignore[attr-defined]
    out = {}
    for k, s in enumerate(starts):
        limit = starts[k + 1] if k + 1 < len(starts) else s + 0x10000
        at = s
        while at < limit:
            word = image.word(at)
            if word is None or a64.decode(word).op in a64.TERMINATORS or at + 4 >= limit:
                break
            at += 4
        out[s] = at
    return out


if __name__ == "__main__":
    sys.exit(main())
