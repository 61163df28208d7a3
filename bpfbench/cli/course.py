"""grade: student versions of the exercises, and points for a folder of submissions."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bpfbench.cli.progress import Bar


def add(commands: Any) -> None:
    grade = commands.add_parser("grade", help="grade a folder of submissions; 'grade make' writes the student versions")
    grade.add_argument("folder", help="FOLDER/STUDENT/NOTEBOOK.ipynb, or the word 'make'")
    grade.add_argument("-o", dest="output", default="", metavar="OUT", help="where to write (out/grades, or out/release)")
    grade.add_argument("--source", default="", metavar="DIR", help="the instructor notebooks (notebooks/exercises)")
    grade.add_argument("--seconds", type=int, default=10, help="processor time per notebook (10)")
    grade.add_argument("--memory", type=int, default=512, metavar="MIB", help="memory per notebook (512)")
    grade.add_argument("--processes", type=int, default=0, help="notebooks at a time (one per processor)")
    grade.add_argument("--json", action="store_true", help="the rows as JSON")
    grade.set_defaults(run=grade_folder)


def instructors(args: argparse.Namespace) -> Path:
    """--source, or the exercises of this checkout."""
    if args.source:
        return Path(args.source)
    beside = Path(__file__).resolve().parents[2] / "notebooks" / "exercises"
    return Path("notebooks/exercises") if Path("notebooks/exercises").is_dir() else beside


def grade_folder(args: argparse.Namespace) -> int:
    from bpfbench.course.convert import make
    from bpfbench.course.grade import grade
    from bpfbench.course.sandbox import Limits
    from bpfbench.errors import UsageError

    if args.folder == "make":
        made = make(instructors(args), Path(args.output or "out/release"))
        print(json.dumps([str(path) for path in made]) if args.json else f"{len(made)} notebooks in {made[0].parent}")
        return 0
    if args.seconds < 1 or args.memory < 16 or args.processes < 0:
        raise UsageError("--seconds is at least 1, --memory at least 16, --processes at least 0")
    out = Path(args.output or "out/grades")
    limits = Limits(args.seconds, args.seconds * 4, args.memory)
    bar = Bar()
    try:
        rows = grade(Path(args.folder), instructors(args), out, limits, args.processes, bar)
    except KeyboardInterrupt:
        print(f"\nbpfbench: interrupted after {bar.done} of {bar.total}; the same command goes on", file=sys.stderr)
        return 130
    bar.end()
    if args.json:
        print(json.dumps(rows))
    else:
        print(f"{len(rows)} notebooks graded: {out / 'grades.csv'}, {out / 'feedback'}")
        print("isolation: " + ", ".join(sorted({word for row in rows for word in row["isolation"]})))
    return 0
