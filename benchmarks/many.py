"""Many programs: one process against one per core, for `verify --batch` over the data sets and `report` on their folder.

    python benchmarks/many.py

Two ratios: time on the wall, which says what is gained (on an idle machine), and processor time, which says what it costs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bpfbench.cli.inputs import read
from bpfbench.cli.pool import cores

sys.path.insert(0, str(Path(__file__).parent))
from rows import Row, median_ratio, processor, show  # type: ignore[import-not-found]

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
TIMES = 8                               # each program is asked so often


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "programs.jsonl"
        objects = sorted(DATASETS.glob("*.o"))
        programs = [json.dumps(prog.to_json()) for path in objects for prog in read(str(path))]
        lines.write_text("\n".join(programs * TIMES) + "\n")

        def call(*words: str) -> None:
            subprocess.run([sys.executable, "-m", "bpfbench", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        some = [str(path) for path in objects[:12]]
        cases = {f"verify --batch, {len(programs) * TIMES} programs": ["verify", "--batch", str(lines)],
                 f"report, {len(some)} objects": ["report", *some, "-o", folder]}  # fmt: skip
        clocks = {"on the wall": time.perf_counter, "processor": processor}
        return [Row("many programs", name, f"{cores()} processes / one, {what}", [(1, median_ratio(
            lambda words=words: call(*words), lambda words=words: call(*words, "--processes", "1"), 3, clock))])
            for name, words in cases.items() for what, clock in clocks.items()]


if __name__ == "__main__":
    show(measure())
