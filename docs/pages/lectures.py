"""Notebooks as they were saved: nbconvert makes the body, nothing is run.

A widget needs a kernel behind it, so what a page shows of it is the plain or HTML form that its output carries.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
from nbconvert import HTMLExporter

from docs.pages.shell import ROOT, esc, markdown, page, slug, write

SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/latex", "text/plain"]


def exporter() -> HTMLExporter:
    made = HTMLExporter(template_name="basic")
    made.exclude_input_prompt = made.exclude_output_prompt = True
    made.register_filter("filter_data_type", _preferred)
    return made


def _preferred(output: dict[str, Any]) -> list[str]:
    """The richest form that needs no kernel."""
    return [kind for kind in SHOWN if kind in output][:1] or ["text/plain"]


def title(notebook: Any) -> str:
    """Its first heading."""
    for cell in notebook.cells:
        found = re.search(r"^#\s+(.+)$", cell.source, re.M) if cell.cell_type == "markdown" else None
        if found:
            return str(found.group(1)).strip().replace("`", "")
    return "?"


def opening(notebook: Any) -> str:
    """The first paragraph behind the first heading."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            paragraphs = [p for p in re.split(r"\n\s*\n", cell.source) if p.strip() and not p.lstrip().startswith("#")]
            if paragraphs:
                return " ".join(paragraphs[0].split())
    return ""


def body(made: HTMLExporter, notebook: Any, base: str, links: dict[str, str], up: str) -> str:
    """The cells as HTML; links to files of the repository lead to their place on the site."""
    text, _ = made.from_notebook_node(notebook)

    def elsewhere(m: re.Match[str]) -> str:
        url, mark, anchor = m.group(1).partition("#")
        if not url:
            return f'href="#{slug(unquote(anchor))}"'
        if re.match(r"[a-z]+:", url):
            return m.group()
        to = links.get(os.path.normpath(os.path.join(base, url)))
        return m.group() if to is None else f'href="{up}{to}{mark}{anchor}"'

    text = re.sub(r'<a class="anchor-link".*?</a>', "", text)
    text = re.sub(r'(<h[1-6][^>]* id=")([^"]*)"', lambda m: f'{m.group(1)}{slug(unquote(m.group(2)))}"', text)
    text = re.sub(r'href="([^"]*)"', elsewhere, text)
    text = re.sub(r"(<table>.*?</table>)", r'<div class="table" tabindex="0">\1</div>', text, flags=re.DOTALL)
    return text.replace("<pre>", '<pre tabindex="0">')


def write_lectures(out: Path, links: dict[str, str], only: tuple[str, ...] = ()) -> list[Path]:
    """A page for each lecture with its neighbours, and the list of all; `only` those with these numbers (none: all)."""
    paths = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
    paths = [path for path in paths if not only or path.stem[:2] in only]
    notebooks = [nbformat.read(path, 4) for path in paths]
    titles = [title(n) for n in notebooks]
    made = exporter()
    written = []
    for i, (path, notebook) in enumerate(zip(paths, notebooks)):
        steps = [(paths[i - 1].stem, "← " + titles[i - 1])] if i else []
        steps += [(paths[i + 1].stem, titles[i + 1] + " →")] if i + 1 < len(paths) else []
        ends = '<nav class="ends" aria-label="lectures">' + "".join(
            f'<a href="{esc(stem)}.html">{esc(text)}</a>' for stem, text in steps) + "</nav>"
        text = body(made, notebook, "notebooks", links, "../")
        run = f'<p class="dim">Run it: <code>bpfbench lab</code>, then <code>{esc(path.name)}</code></p>'
        written.append(write(out, f"lectures/{path.stem}.html",
                             page(titles[i], f'<div class="notebook">{text}</div>{run}{ends}', 1, "lectures/index.html")))
    rows = "".join(
        f'<li><a href="{esc(p.stem)}.html">{esc(t)}</a><br><span class="dim">{esc(_plain(opening(n)))}</span></li>'
        for p, t, n in zip(paths, titles, notebooks))
    text = ("<h1>Lectures</h1><p>Each is a notebook that runs in under a minute; here as it was saved.</p>"
            f'<ul class="plain">{rows}</ul>')
    write(out, "lectures/index.html", page("Lectures", text, 1, "lectures/index.html"))
    return written


def _plain(text: str) -> str:
    """Markdown without its marks."""
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text).replace("`", "").replace("**", "").replace("*", "")


def write_exercises(out: Path) -> Path:
    """The tasks, as the first cell of each exercise puts it."""
    folder = ROOT / "notebooks" / "exercises"
    lectures = {path.stem[:2]: path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")}
    notebooks = {path.stem: nbformat.read(path, 4) for path in sorted(folder.glob("[0-9]*.ipynb"))}
    contents = "".join(f'<li><a href="#{esc(stem)}">{esc(title(n))}</a></li>' for stem, n in notebooks.items())
    parts = ["<h1>Exercises</h1><p>Each is a hole in the real engine that your code fills. <code>bpfbench grade make</code> "
             "writes the student versions, <code>bpfbench grade FOLDER</code> grades what comes back.</p>",
             f'<nav aria-label="exercises"><ol>{contents}</ol></nav>']  # fmt: skip
    parts += [_task(stem, notebook, lectures) for stem, notebook in notebooks.items()]
    if not notebooks:
        parts.append("<p>This checkout has none.</p>")
    return write(out, "exercises.html", page("Exercises", "\n".join(parts), 0, "exercises.html"))


def _task(stem: str, notebook: Any, lectures: dict[str, str]) -> str:
    task = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    _, _, rest = task.partition("\n")
    text, _ = markdown(re.sub(r"^#", "##", rest, flags=re.M))

    def lecture(m: re.Match[str]) -> str:
        to = lectures.get(m.group(1))
        return m.group() if to is None else f'stage <a href="lectures/{to}.html">{m.group(1)}{m.group(2)}</a>'

    text = re.sub(r"stage (\d\d)([^·<]*[^·<\s])", lecture, text, count=1)
    return f'<section id="{esc(stem)}"><h2>{esc(title(notebook))}</h2>{text}</section>'
