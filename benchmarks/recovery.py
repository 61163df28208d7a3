"""Recovering jump tables from binaries, next to disassembling them.

    python benchmarks/recovery.py [ELF...]       (the binaries of datasets/jumptables/prebuilt)

The ratio is the whole pipeline over `llvm-objdump -d` of the same file, which writes text and understands nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from bpfbench.jumptable import recover
from bpfbench.jumptable.image import Image

sys.path.insert(0, str(Path(__file__).parent))
from rows import Row, median_ratio, seconds, show  # type: ignore[import-not-found]

PREBUILT = Path(__file__).resolve().parent.parent / "datasets" / "jumptables" / "prebuilt"
MOST = 6


def measure(files: list[str] | None = None) -> list[Row]:
    objdump = shutil.which("llvm-objdump")
    rows = []
    chosen = [Path(f) for f in files] if files else sorted(PREBUILT.glob("*.elf"), key=lambda p: -p.stat().st_size)[:MOST]
    for path in chosen:
        image = Image.open(str(path))
        size = sum(b - a for a, b, _ in image.code_ranges())
        name = f"{path.stem}, {size // 1024} KB of code"
        recover(image)
        took = seconds(lambda p=path: recover(Image.open(str(p))))
        rows.append(Row("jump tables", name, "microseconds per instruction", [(1, 1e6 * took / (size / 4))]))
        if objdump:
            call = [objdump, "-d", str(path)]
            rows.append(Row("jump tables", name, "ours / llvm-objdump -d", [(1, median_ratio(
                lambda p=path: recover(Image.open(str(p))),
                lambda call=call: subprocess.run(call, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)))]))
    return rows


if __name__ == "__main__":
    show(measure(sys.argv[1:]))
