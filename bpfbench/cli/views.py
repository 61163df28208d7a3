"""report, tour, lab: things to look at."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from bpfbench.cli.inputs import add_options
from bpfbench.errors import UsageError
from bpfbench.profiles import DEFAULT


def add(commands: Any) -> None:
    report = commands.add_parser("report", help="one self-contained HTML page about the programs of each file")
    report.add_argument("named", nargs="+", metavar="FILE", help="also several, or a folder of objects")
    report.add_argument("-o", dest="output", default="", metavar="OUT",
                        help="the page (report.html); with several files a folder (report), with an index")
    add_options(report)
    report.add_argument("--kernel", default=DEFAULT)
    report.set_defaults(run=write_report)

    tour = commands.add_parser("tour", help="one real program from C to every target, as an HTML page")
    tour.add_argument("-o", dest="output", default="out/tour.html")
    tour.add_argument("--datasets", default="datasets", help="the folder of the data sets")
    tour.set_defaults(run=write_tour)

    lab = commands.add_parser("lab", help="open JupyterLab on the notebooks")
    lab.add_argument("folder", nargs="?", default="notebooks")
    lab.add_argument("--no-browser", action="store_true")
    lab.set_defaults(run=open_lab)


def write_report(args: argparse.Namespace) -> int:
    if len(args.named) > 1 or Path(args.named[0]).is_dir():
        from bpfbench.cli.reports import write_reports

        return write_reports(args)
    args.file = args.named[0]
    return _written(args.output or "report.html", report_page(args))


def report_page(args: argparse.Namespace) -> str:
    """The page about `args.file`: its programs, or the log that it is."""
    from bpfbench.cli.check import log_text
    from bpfbench.cli.inputs import read
    from bpfbench.notebook.report import report

    text = log_text(args.file)
    if text is not None:
        from bpfbench.notebook.log_report import log_report
        from bpfbench.verifier.logread import read_log

        return log_report(read_log(text, file=args.file), title=Path(args.file).name)
    return report(read(args.file), title=Path(args.file).name, kernel=args.kernel)


def _written(output: str, page: str) -> int:
    Path(output).write_text(page, encoding="utf-8")
    print(f"{output}: {len(page.encode()) // 1024} KB")
    return 0


def write_tour(args: argparse.Namespace) -> int:
    from bpfbench.notebook.tour import tour

    output = Path(args.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    page = tour(Path(args.datasets), say=print)
    output.write_text(page, encoding="utf-8")
    print(f"{output}: {len(page.encode()) // 1024} KB; open it in any browser, it needs no network")
    return 0


def open_lab(args: argparse.Namespace) -> int:
    if not Path(args.folder).is_dir():
        raise UsageError(f"no folder '{args.folder}'")
    call = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={args.folder}"]
    if args.no_browser:
        call.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        call.append("--allow-root")
    os.execv(sys.executable, call)
