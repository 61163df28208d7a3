"""Trip counts of the loop corpus against the interpreter, over compilers, optimisation levels and instruction sets.

    python benchmarks/loops.py [--quick]

For each configuration: loops that were entered, how many are proved exactly, bounded, symbolic or unknown, and how many
of the proofs are *wrong*, that is contradicted by a run on one of the inputs (this has to be 0).
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bpfbench.program.cfg import build
from bpfbench.program.loops import EXACT, analyse
from bpfbench.toolchain import clang
from tests.program import loop_corpus

COMPILERS = ("clang-19", "clang-14", "clang")
LEVELS = (("-O2", "v3"), ("-O2", "v1"), ("-O1", "v2"), ("-O0", "v3"), ("-O0", "v1"))


def measure(compiler: str, opt: str, cpu: str) -> tuple[Counter[str], int]:
    """Kinds of answers per loop, and the number of wrong ones."""
    found = clang.Compiler([compiler], compiler)
    options = ["-fno-unroll-loops", "-w"]
    obj = clang.compile_c(loop_corpus.source(), name="loops", cpu=cpu, opt=opt, extra=options, compiler=found)
    kinds: Counter[str] = Counter()
    wrong = 0
    for prog in obj.programs.values():
        cfg = build(prog)
        truth = loop_corpus.observed(prog, cfg, budget=60_000)
        for facts in analyse(cfg):
            seen, cut = truth[facts.loop.index]
            count = facts.trips.count
            if seen or cut:
                kinds[facts.trips.kind] += 1
            if count is not None:
                exact = facts.trips.kind == EXACT
                wrong += max(seen | {cut}) > count or (exact and bool(seen - {count}))
    return kinds, wrong


def main() -> int:
    compilers = [name for name in COMPILERS if shutil.which(name)][: 1 if "--quick" in sys.argv else 2]
    if not compilers:
        print("no clang with the BPF target", file=sys.stderr)
        return 2
    total = all_wrong = 0
    heads = ("loops", "exact", "bound", "symbol", "unknown", "wrong")
    print(f"{'compiler':10} {'options':8} {heads[0]:>5} " + " ".join(f"{head:>6}" for head in heads[1:]))
    for compiler in compilers:
        for opt, cpu in LEVELS[: 1 if "--quick" in sys.argv else len(LEVELS)]:
            kinds, wrong = measure(compiler, opt, cpu)
            loops = sum(kinds.values())
            total, all_wrong = total + loops, all_wrong + wrong
            row = [loops, kinds["exactly"], kinds["at most"], kinds["symbolic"], kinds["unknown"], wrong]
            print(f"{compiler:10} {opt + ' ' + cpu:8} {row[0]:5} " + " ".join(f"{n:6}" for n in row[1:]), flush=True)
    print(f"{total} loops, {all_wrong} wrong")
    return 1 if all_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
