"""Builds the site into a folder: `python docs/build.py out/docs` (or `make docs`).

    index.html          where everything is
    manual.html         one page an operation, from the op table
    <data set>.html     the report of each object in datasets/

Every page is self-contained and works offline.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bpfbench.cli.inputs import read
from bpfbench.errors import BpfbenchError
from bpfbench.isa.ops import KIND_NAMES, OPS
from bpfbench.isa.reference import page as manual_page
from bpfbench.notebook.html import esc, page, section
from bpfbench.notebook.report import report

ROOT = Path(__file__).resolve().parent.parent


def manual() -> str:
    parts = ["<h1>The eBPF instruction set</h1>"]
    for kind, name in enumerate(KIND_NAMES):
        rows = [op for op in OPS if op.kind == kind]
        if rows:
            parts.append(section(name, name.lower(), *(_entry(op.name) for op in rows)))
    return page("The eBPF instruction set", "\n".join(parts))


def _entry(name: str) -> str:
    return f'<h3 id="{esc(name)}">{esc(name)}</h3><pre>{esc(manual_page(name))}</pre>'


def main() -> int:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/docs")
    out.mkdir(parents=True, exist_ok=True)
    (out / "manual.html").write_text(manual(), encoding="utf-8")
    links = ['<li><a href="manual.html">The instruction set</a></li>']
    for path in sorted((ROOT / "datasets").glob("*.o")):
        try:
            (out / f"{path.stem}.html").write_text(report(read(str(path)), path.stem), encoding="utf-8")
        except BpfbenchError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            continue
        links.append(f'<li><a href="{esc(path.stem)}.html">{esc(path.stem)}</a></li>')
        print(out / f"{path.stem}.html")
    (out / "index.html").write_text(page("bpfbench", f"<h1>bpfbench</h1><ul>{''.join(links)}</ul>"), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
