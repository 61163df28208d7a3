"""The data sets: what `bpfbench report datasets` writes, under the site's header."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from bpfbench.cli import parser, reports
from docs.pages.shell import dressed, write


def write_reports(out: Path, objects: Iterable[Path]) -> int:
    """Pages and their index in out/reports; the status of the command."""
    folder = out / "reports"
    status = reports.write_reports(parser().parse_args(["report", *(str(path) for path in objects), "-o", str(folder)]))
    for path in sorted(folder.glob("*.html")):
        text = dressed(path.read_text(encoding="utf-8"), 1, "reports/index.html")
        if path.name == "index.html":
            text = re.sub(r"<title>.*?</title>", "<title>Data sets · bpfbench</title>", text, count=1)
            text = text.replace("<h1>Reports</h1>", "<h1>Data sets</h1>", 1)
        write(folder, path.name, text)
    return status
