"""Grading a class: 60 students, 5 notebooks each, interrupted twice and taken up again.

    python benchmarks/grading.py [--students 60] [--notebooks 5] [--keep DIR]

Makes the folder (right, mistaken, empty, hanging, memory-hungry and exiting submissions), grades it once without
interruption, then again with a SIGINT after a third and a SIGKILL after two thirds, and compares the points of both runs.
"""

from __future__ import annotations

import argparse
import csv
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bpfbench.course.convert import graded, instructor_notebooks, read, student_version  # noqa: E402
from bpfbench.course.exercise import find  # noqa: E402

SOURCE = ROOT / "notebooks" / "exercises"
HANGS = "def {0}(*args):\n    while True:\n        pass"
EATS = "def {0}(*args):\n    held = []\n    while True:\n        held.append(bytearray(1 << 24))"
EXITS = "import os\nos._exit(0)"
GUESSES = "def {0}(*args):\n    return args[0]"


def classroom(folder: Path, students: int, count: int) -> None:
    """Of ten students six are right, one guesses, one has written nothing, two do harm."""
    masters = instructor_notebooks(SOURCE)
    chosen = [masters[i * len(masters) // count] for i in range(count)]
    for number in range(students):
        place = folder / f"student{number:03}" / "assignment"
        place.mkdir(parents=True)
        for path in chosen:
            notebook = read(path)
            kind = number % 10
            if kind == 7:
                notebook = student_version(notebook)
            elif kind > 5:
                name = "".join(cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
                               for cell in notebook["cells"]).split('exercise("')[1].split('"')[0]  # fmt: skip
                text = (GUESSES, "", (HANGS, EATS)[number // 10 % 2], EXITS)[kind - 6].format(find(name).answer)
                for cell in notebook["cells"]:
                    if cell["metadata"].get("nbgrader", {}).get("solution") and not graded(cell):
                        cell["source"] = text
            (place / path.name).write_text(json.dumps(notebook))


def command(folder: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "bpfbench", "grade", str(folder), "--source", str(SOURCE), "-o", str(out),
            "--seconds", "2"]


def run(folder: Path, out: Path, stop_after: int = 0, how: signal.Signals = signal.SIGINT) -> tuple[float, int, int]:
    """Seconds, exit status and notebooks graded so far; with `stop_after`, the run gets the signal after so many."""
    start = time.perf_counter()
    child = subprocess.Popen(command(folder, out), stdout=subprocess.DEVNULL, cwd=ROOT)
    while stop_after and child.poll() is None and len(list(out.rglob("*.json"))) < stop_after:
        time.sleep(0.05)
    if stop_after:
        child.send_signal(how)
    status = child.wait()
    return time.perf_counter() - start, status, len(list((out / "results").rglob("*.json")))


def points(out: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """(points, note) of each student and notebook."""
    with open(out / "grades.csv") as file:
        return {(row["student"], row["notebook"]): (row["points"], row["note"]) for row in csv.DictReader(file)}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--students", type=int, default=60)
    parser.add_argument("--notebooks", type=int, default=5)
    parser.add_argument("--keep", default="", help="leave the folder here")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        base = Path(args.keep or temporary)
        folder, total = base / "submissions", args.students * args.notebooks
        classroom(folder, args.students, args.notebooks)
        seconds, status, done = run(folder, base / "once")
        print(f"{args.students} students x {args.notebooks} notebooks: {done}/{total} in {seconds:.1f} s, status {status}")
        for stop, how in ((total // 3, signal.SIGINT), (2 * total // 3, signal.SIGKILL), (0, signal.SIGINT)):
            seconds, status, done = run(folder, base / "twice", stop, how)
            print(f"{how.name if stop else 'to the end'}: {done}/{total} after {seconds:.1f} s, exit status {status}")
        once, twice = points(base / "once"), points(base / "twice")
        same = {key: row[0] for key, row in once.items()} == {key: row[0] for key, row in twice.items()}
        notes = sum(once[key][1] != twice.get(key, ("", ""))[1] for key in once)
        print(f"the points are {'the same' if same else 'DIFFERENT'}; {notes} notes differ (which limit was reached first)")
    return 0 if same and done == total else 1


if __name__ == "__main__":
    sys.exit(main())
