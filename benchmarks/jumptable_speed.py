"""Metrics M4 and M8 on real binaries: how every indirect branch is classified, and what it costs.

    python benchmarks/jumptable_speed.py ELF...

prints per file: MB of code, seconds per MB of step one (scan and windows), of the whole pipeline, of building the
control flow graph of *every* function; peak memory; jump tables (proven, guessed), computed gotos, calls, stubs,
unknown.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

from bpfbench.errors import BpfbenchError
from bpfbench.jumptable import recover
from bpfbench.jumptable.cfg import Cfg
from bpfbench.jumptable.functions import discover
from bpfbench.jumptable.image import Image
from bpfbench.jumptable.recover import first_step


def timed(action: object) -> tuple[object, float]:
    start = time.process_time()
    result = action()  # type: ignore[operator]
    return result, time.process_time() - start


def main() -> int:
    print(
        f"{'file':22} {'MB':>5} {'step1':>6} {'all':>6} {'graphs':>6} s/MB {'RSS MB':>6}  {'br':>5} {'tables':>6} "
        f"{'proven':>6} "
        f"{'goto':>5} {'calls':>5} {'stubs':>5} {'unknown':>7}"
    )
    branches = unknown = 0
    for name in sys.argv[1:]:
        try:
            image = Image.open(name)
        except BpfbenchError as why:
            print(f"{Path(name).name:22} {why}")
            continue
        mb = sum(b - a for a, b, _ in image.code_ranges()) / 1e6
        functions = discover(image)
        _, one = timed(lambda i=image, f=functions: first_step(i, f))
        found, whole = timed(lambda i=image: recover(i))
        _, graphs = timed(lambda i=image, f=functions: sum(len(Cfg(i, x).blocks) for x in f.functions))
        kinds = found.kinds()  # type: ignore[attr-defined]
        count = sum(kinds.values()) - kinds["plt"]
        proven = sum(t.confidence != "guessed" for t in found.tables)  # type: ignore[attr-defined]
        branches += count
        unknown += kinds["unknown"]
        calls = kinds["tail call"] + kinds["virtual call"]
        stubs = kinds["veneer"] + kinds["fixed address"] + kinds["return"]
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{Path(name).name:22} {mb:5.1f} {one / mb:6.2f} {whole / mb:6.2f} {graphs / mb:6.2f}      {rss:6}  "
            f"{count:5} "
            f"{kinds['jump table']:6} {proven:6} {kinds['computed goto']:5} {calls:5} {stubs:5} {kinds['unknown']:7}"
        )
    print(
        f"{branches} indirect branches outside PLT sections, "
        f"{100 - 100 * unknown / max(1, branches):.2f} % other than unknown"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
