"""docs/*.md as pages, with their pictures and a list of contents."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from docs.pages.shell import ROOT, code, esc, markdown, page, write

FIRST = ("accuracy", "benchmarks")      # figures before stories


def papers() -> list[Path]:
    found = sorted((ROOT / "docs").glob("*.md"))
    return sorted(found, key=lambda path: FIRST.index(path.stem) if path.stem in FIRST else len(FIRST))


def title(text: str) -> str:
    found = re.search(r"^#\s+(.+)$", text, re.M)
    return found.group(1).replace("`", "") if found else "?"


def write_papers(out: Path, links: dict[str, str]) -> None:
    """`links` has paths from the top of the site; a document lies one folder below."""
    near = {source: f"../{to}" for source, to in links.items()}
    rows = []
    for path in papers():
        text = path.read_text(encoding="utf-8")
        body, contents = markdown(text, near, "docs")
        parts = [(anchor, words) for level, anchor, words in contents if level == 2]
        listed = "".join(f'<li><a href="#{anchor}">{words}</a></li>' for anchor, words in parts)
        where = body.find("</h1>") + len("</h1>") if "</h1>" in body else 0
        nav = f'<nav aria-label="contents"><ol>{listed}</ol></nav>' if len(parts) > 2 else ""
        here = f"documents/{path.stem}.html"
        write(out, here, page(title(text), body[:where] + nav + body[where:], 1, "documents/index.html"))
        rows.append(f'<li><a href="{esc(path.stem)}.html">{esc(title(text))}</a></li>')
    for picture in [*(ROOT / "docs").glob("*.png"), *(ROOT / "docs").glob("*.svg")]:
        (out / "documents").mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, out / "documents" / picture.name)
    write(out, "documents/index.html",
          page("Documents", f'<h1>Documents</h1><ul class="plain">{"".join(rows)}</ul>', 1, "documents/index.html"))


def sources() -> list[str]:
    """The files of the library, and those that texts and lectures may point at."""
    found = [path for top in ("bpfbench", "benchmarks", "tests") for path in (ROOT / top).rglob("*.py")]
    found += [*(ROOT / "datasets").glob("*.c"), *(ROOT / "datasets" / "libraries").glob("*.c")]
    return sorted(str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts)


def write_sources(out: Path, wanted: set[str]) -> None:
    """A page for each source file that some page links to."""
    for name in sorted(wanted):
        path = ROOT / name
        if name in sources() and path.is_file():
            text = code(path.read_text(encoding="utf-8"), "c" if path.suffix == ".c" else "python")
            write(out, f"source/{name}.html", page(name, f"<h1>{esc(name)}</h1>{text}", 1 + name.count("/"), ""))


def addresses() -> dict[str, str]:
    """Where the site has the files of the repository that its texts link to."""
    found = {"README.md": "index.html", "notebooks/README.md": "lectures/index.html"}
    found |= {f"docs/{p.name}": f"documents/{p.stem}.html" for p in papers()}
    found |= {f"docs/{p.name}": f"documents/{p.name}" for p in (ROOT / "docs").glob("*.png")}
    found |= {f"docs/{p.name}": f"documents/{p.name}" for p in (ROOT / "docs").glob("*.svg")}
    found |= {f"notebooks/{p.name}": f"lectures/{p.stem}.html" for p in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    found |= {name: f"source/{name}.html" for name in sources()}
    found |= {f"notebooks/exercises/{p.name}": f"exercises.html#{p.stem}"
              for p in (ROOT / "notebooks" / "exercises").glob("[0-9]*.ipynb")}
    return found
