"""Every benchmark, one table: ratios within one run, and how they grow.

    python benchmarks/run.py [PART...] [--largest N] [--compiled FOLDER] [--write FILE.md]

`make bench` runs all parts, writes out/bench/benchmarks.md and curves beside it.  `--compiled` names a checkout in which
`make compile` has run; its figures come from the same scripts and stand behind an arrow.  `--write` puts the table also
into FILE.md (docs/benchmarks.md), between the marks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import loading
import many
import parts
import recovery
import startup
import widgets
from rows import Row, from_json, markdown, show

from bpfbench.errors import BpfbenchError

HERE = Path(__file__).resolve().parent
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def every(largest: int) -> dict[str, Callable[[], list[Row]]]:
    return {
        "start": startup.measure, "walk": lambda: parts.walk(largest), "memory": lambda: parts.memory(largest),
        "datasets": parts.datasets, "static": lambda: parts.static(min(largest, 2_500)), "codegen": parts.generation,
        "interpreter": parts.interpreter, "loading": loading.measure, "jumptables": recovery.measure,
        "widgets": lambda: widgets.measure(largest), "many": many.measure, "grading": parts.grades,
    }  # fmt: skip


def measured(names: list[str], largest: int, failed: list[str]) -> list[Row]:
    """The rows of the parts; one that cannot be measured is said, `failed` names it, and the others go on."""
    rows: list[Row] = []
    table = every(largest)
    for name in names or list(table):
        begin = time.perf_counter()
        try:
            found = table[name]()
        except (BpfbenchError, OSError, subprocess.CalledProcessError) as error:
            print(f"-- {name}: {error}", file=sys.stderr, flush=True)
            failed.append(name)
            continue
        if not os.environ.get("BENCH_QUIET"):
            show(found)
        print(f"-- {name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
        rows += found
    return rows


def compiled_rows(folder: Path, names: list[str], largest: int) -> list[Row]:
    """The same from a compiled checkout."""
    environment = dict(os.environ, PYTHONPATH=str(folder), BENCH_QUIET="1")
    probe = "import bpfbench.verifier.walker as w; print(w.__file__)"
    where = subprocess.run([sys.executable, "-c", probe], env=environment, cwd=folder, capture_output=True, text=True,
                           check=True).stdout.strip()  # fmt: skip
    if not where.startswith(str(folder.resolve())) or not where.endswith(".so"):
        raise SystemExit(f"{folder}: not a checkout in which `make compile` has run")
    call = [sys.executable, str(HERE / "run.py"), *names, "--largest", str(largest), "--json"]
    out = subprocess.run(call, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout
    return [from_json(record) for record in json.loads(out)]


def curves(rows: list[Row], out: Path) -> list[Path]:
    """A plot for each part that grows: time against size, both logarithmic."""
    try:
        import matplotlib
    except ImportError:
        return []
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    written = []
    for part in dict.fromkeys(row.part for row in rows if len(row.seconds) > 1):
        figure, axis = plt.subplots(figsize=(6.4, 4.2))
        draw(axis, [row for row in rows if row.part == part and len(row.seconds) > 1], part)
        figure.tight_layout()
        path = out / f"{part.replace(' ', '_')}.svg"
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
        written.append(path)
    return written


def panels(rows: list[Row], path: Path) -> bool:
    """All curves in one picture."""
    try:
        import matplotlib
    except ImportError:
        return False
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    grows = [part for part in dict.fromkeys(row.part for row in rows if len(row.seconds) > 1)]
    if not grows:
        return False
    figure, axes = plt.subplots((len(grows) + 2) // 3, 3, figsize=(13, 3.6 * ((len(grows) + 2) // 3)), squeeze=False)
    for axis, part in zip(axes.flat, grows):
        draw(axis, [row for row in rows if row.part == part and len(row.seconds) > 1], part)
    for axis in axes.flat[len(grows):]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
    return True


def draw(axis: Any, rows: list[Row], title: str) -> None:
    for row in rows:
        axis.plot(*zip(*row.seconds), marker="o", markersize=3, label=row.case)
    axis.set(xscale="log", yscale="log", xlabel="instructions", ylabel="seconds", title=title)
    axis.grid(True, alpha=0.3)
    axis.legend(fontsize=7)


def put(path: Path, table: str) -> None:
    """Replace what stands between the marks of a document."""
    text = path.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(every(0))}; all without")
    parser.add_argument("--largest", type=int, default=100_000, help="instructions processed, steps shown (100,000)")
    parser.add_argument("--compiled", type=Path, metavar="FOLDER", help="a checkout that is compiled")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    parser.add_argument("--write", type=Path, metavar="FILE.md")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    unknown = [name for name in args.parts if name not in every(0)]
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(every(0))}")
    failed: list[str] = []
    rows = measured(args.parts, args.largest, failed)
    if args.json:
        print(json.dumps([row.to_json() for row in rows]))
        return 0
    faster = compiled_rows(args.compiled, args.parts, args.largest) if args.compiled else []
    args.out.mkdir(parents=True, exist_ok=True)
    table = markdown(rows, faster)
    (args.out / "benchmarks.md").write_text(table, encoding="utf-8")
    (args.out / "benchmarks.json").write_text(json.dumps([row.to_json() for row in rows]), encoding="utf-8")
    print(f"{args.out / 'benchmarks.md'}", *curves(rows, args.out), sep="\n")
    if args.write:
        picture = args.write.with_suffix(".png")
        shown = f"\n![Time against size, both logarithmic]({picture.name})\n" if panels(rows, picture) else ""
        put(args.write, table + shown)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
