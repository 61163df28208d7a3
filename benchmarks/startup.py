"""How long it takes until something happens: `import bpfbench` and `bpfbench --help`, over a bare Python.

    python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from rows import Row, median_ratio, seconds, show  # type: ignore[import-not-found]


def call(*words: str) -> None:
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)


def measure() -> list[Row]:
    cases = {"import bpfbench": ["-c", "import bpfbench"], "bpfbench --help": ["-m", "bpfbench", "--help"]}
    bare = seconds(lambda: call("-c", "pass"), 9)
    rows = []
    for name, words in cases.items():
        ratio = median_ratio(lambda w=words: call(*w), lambda: call("-c", "pass"), 9)
        more = seconds(lambda w=words: call(*w), 9) - bare
        rows += [Row("start", name, "ours / python -c pass", [(1, ratio)]),
                 Row("start", name, "seconds more than python -c pass", [(1, more)])]
    return rows


if __name__ == "__main__":
    show(measure())
