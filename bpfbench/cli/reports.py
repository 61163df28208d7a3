"""report on many files: a page for each in one folder, and an index with their verdicts."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from bpfbench.cli.many import INTERRUPTED, WRONG, Kept, expand, run
from bpfbench.cli.pool import Died
from bpfbench.errors import BpfbenchError, UsageError, Where


def write_reports(args: argparse.Namespace) -> int:
    """Pages in the folder `-o`; the index lists what is there, also after an interruption."""
    files = expand(args.named)
    out = Path(args.output or "report")
    if out.is_file():
        raise UsageError("with several files, -o names a folder", Where(file=str(out)))
    out.mkdir(parents=True, exist_ok=True)
    names = page_names(files)
    kept = Kept(args)
    rows: list[tuple[str, dict[str, Any]]] = []

    def key(name: str) -> str:
        try:
            return kept.key(names[name].encode(), Path(name).read_bytes()) if (out / names[name]).exists() else ""
        except OSError:
            return ""

    def show(name: str, found: Any) -> None:
        row: dict[str, Any] = found if not isinstance(found, Died) else {"error": str(found)}
        rows.append((name, row))
        if "error" in row:
            print(f"bpfbench: {row['error']}", file=sys.stderr)
        else:
            print(f"{out / names[name]}: {row['kb']} KB, {row['programs']} programs, {row['rejected']} rejected", flush=True)

    finished = run(files, lambda name: _one(args, name, out / names[name]), key, show, kept, args.processes, len(files))
    index = out / "index.html"
    index.write_text(_index(rows, names, args.kernel), encoding="utf-8")
    print(f"{index}: {len(rows)} of {len(files)} files", flush=True)
    if not finished:
        return INTERRUPTED
    return WRONG if any("error" in row for _, row in rows) else 0


def page_names(files: list[str]) -> dict[str, str]:
    """A page name for each file: its stem, with its folders where two would get the same."""
    stems = [Path(name).stem for name in files]
    taken: set[str] = {"index.html"}
    names: dict[str, str] = {}
    for name, stem in zip(files, stems):
        chosen = stem if stems.count(stem) == 1 else "_".join([*Path(name).parent.parts[-2:], stem]).replace("/", "_")
        while f"{chosen}.html" in taken:
            chosen += "_"
        taken.add(f"{chosen}.html")
        names[name] = f"{chosen}.html"
    return names


def _one(args: argparse.Namespace, name: str, page: Path) -> dict[str, Any]:
    """Writes the page; the row of the index."""
    from bpfbench.cli.inputs import read
    from bpfbench.notebook.report import report
    from bpfbench.verifier.verification import verify

    try:
        programs = read(name)
        if not programs:
            raise UsageError("it has no programs", Where(file=name))
        text = report(programs, Path(name).name, args.kernel)
        verdicts = [verify(prog, args.kernel) for prog in programs]
    except (BpfbenchError, OSError) as error:
        said = str(error).splitlines()[0]
        return {"error": said if name in said else f"{name}: {said}"}
    except Exception as error:
        return {"error": f"{name}: internal error: {type(error).__name__}: {error}"}
    part = page.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(page)                                     # a page is there whole or not at all
    return {"kb": len(text.encode()) // 1024, "programs": len(programs),
            "rejected": sum(not v.accepted for v in verdicts),
            "verdicts": [[p.name, p.type, len(p.insns), v.insns_processed, v.message if not v.accepted else ""]
                         for p, v in zip(programs, verdicts)]}  # fmt: skip


def _index(rows: list[tuple[str, dict[str, Any]]], names: dict[str, str], kernel: str) -> str:
    from bpfbench.notebook.html import Raw, esc, page, row, table

    found = []
    for name, facts in rows:
        if "error" in facts:
            found.append(row([name, "", "", "", "", facts["error"]], kind="bad", numbers=0))
        for prog, kind, slots, processed, message in facts.get("verdicts", ()):
            link = Raw(f'<a href="{esc(names[name])}#{esc(prog)}">{esc(prog)}</a>')
            found.append(row([Path(name).name, link, kind, slots, processed, message or "accepted"], numbers=0))
    heads = ["file", "program", "type", "slots", "insns processed", "verdict"]
    return page("reports", f"<h1>Reports</h1><p>{len(rows)} files, against the profile {esc(kernel)}.</p>"
                + table(heads, found, "programs"))
