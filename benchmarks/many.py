"""Many programs: one process against one per core, for `verify --batch` over the data sets and `report` on their folder.

    python benchmarks/many.py
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import time
from pathlib import Path

from bpfbench.cli import main as bpfbench
from bpfbench.cli.inputs import read
from bpfbench.cli.pool import cores

sys.path.insert(0, str(Path(__file__).parent))
from rows import Row, median_ratio, show  # type: ignore[import-not-found]

DATASETS = Path(__file__).resolve().parent.parent / "datasets"
TIMES = 4                               # each program is asked so often


def measure() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "programs.jsonl"
        objects = sorted(DATASETS.glob("*.o"))
        programs = [json.dumps(prog.to_json()) for path in objects for prog in read(str(path))]
        lines.write_text("\n".join(programs * TIMES) + "\n")

        def quiet(*call: str) -> None:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                bpfbench([*call])

        some = [str(path) for path in objects[:12]]
        cases = {f"verify --batch, {len(programs) * TIMES} programs": ["verify", "--batch", str(lines)],
                 f"report, {len(some)} objects": ["report", *some, "-o", folder]}  # fmt: skip
        return [Row("many programs", name, f"{cores()} processes / one", [(1, median_ratio(
            lambda call=call: quiet(*call), lambda call=call: quiet(*call, "--processes", "1"), 3, time.perf_counter))])
            for name, call in cases.items()]


if __name__ == "__main__":
    show(measure())
