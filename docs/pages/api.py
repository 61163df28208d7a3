"""The reference, from docstrings, through pdoc: a page for each public module, signatures with links, examples coloured."""

from __future__ import annotations

import importlib
import pkgutil
import re
import shutil
import tempfile
import warnings
from pathlib import Path

import pdoc
import pdoc.render
from pygments.formatters import HtmlFormatter

import bpfbench
from docs.pages.shell import HERE, ROOT, esc, header, page, write

HIDDEN = ("bpfbench.cli", "bpfbench.__main__", "bpfbench.course.exercises")
GROUPS = (
    ("The shared ground", ("bits", "errors", "trace", "listing", "profiles")),
    ("The machines", ("isa", "machine")),
    ("Programs and objects", ("program", "elf", "toolchain")),
    ("Verifiers, interpreter, code generators", ("verifier", "fixpoint", "interp", "jit", "nfp")),
    ("On top of them", ("execute", "dynlink", "debug", "kernel", "jumptable", "verdicts", "museum")),
    ("To look at, and to learn with", ("notebook", "course", "generate", "plugin")),
)


def modules() -> list[str]:
    """Every public module that can be imported here."""
    found = ["bpfbench"]
    for module in pkgutil.walk_packages(bpfbench.__path__, "bpfbench."):
        private = any(part.startswith("_") for part in module.name.split("."))
        if private or module.name.startswith(HIDDEN):
            continue
        try:
            importlib.import_module(module.name)
        except ImportError:                                # an optional package is missing
            continue
        found.append(module.name)
    return found


def write_api(out: Path, names: list[str] | None = None) -> list[str]:
    """Pages in out/api; `names` instead of all modules."""
    chosen = names or modules()
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")                    # annotations for mypy alone, modules named twice
        templates = Path(folder)
        for path in (HERE / "api").iterdir():
            shutil.copy(path, templates)
        (templates / "syntax-highlighting.css").write_text(_colours(), encoding="utf-8")
        pdoc.render.configure(docformat="markdown", show_source=False, search=False, template_directory=templates)
        pdoc.render.env.globals["site_header"] = lambda depth: header(depth, "api/index.html")
        pdoc.render.env.globals["source_page"] = _source_page
        pdoc.pdoc(*chosen, output_directory=out / "api")
    for path in (out / "api").rglob("*.html"):
        _mend(path)
    write(out, "api/index.html", page("API", index(chosen), 1, "api/index.html"))
    return chosen


def _source_page(module: str) -> str:
    """From the page of a module to that of its file."""
    place = module.replace(".", "/")                       # not __file__: that may be the compiled module
    file = f"{place}/__init__.py" if (ROOT / place).is_dir() else f"{place}.py"
    return "../" * (module.count(".") + 1) + f"source/{file}.html"


def _mend(path: Path) -> None:
    """pdoc links names that its page then leaves out (traits of widgets), and its link signs have no words."""
    text = path.read_text(encoding="utf-8")
    there = set(re.findall(r'\bid="([^"]*)"', text))
    fixed = re.sub(r'<a href="#([^"]*)">(.*?)</a>', lambda m: m.group() if m.group(1) in there else m.group(2), text)
    fixed = re.sub(r'(<a class="headerlink" href="#)([^"]*)"', r'\1\2" aria-label="link to \2"', fixed)
    if fixed != text:
        path.write_text(fixed, encoding="utf-8")


def _colours() -> str:
    light = HtmlFormatter(style="default").get_style_defs(".pdoc-code")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".pdoc-code")
    return (f"{light}\n@media (prefers-color-scheme: dark) {{ {dark} }}\n"
            ".pdoc-code { background: var(--code) !important; color: var(--text); border-radius: 6px; }")


def summary(name: str) -> str:
    """The first sentence of a module's text."""
    text = (importlib.import_module(name).__doc__ or "").strip().split("\n\n")[0]
    return " ".join(text.split())


def index(names: list[str]) -> str:
    """All modules by layer, the packages' modules folded away."""
    parts = ['<h1>API</h1><p>From the docstrings. The names that stay are those of '
             '<a href="bpfbench.html">bpfbench</a> itself.</p>']
    for group, rooms in GROUPS:
        parts.append(f"<h2>{esc(group)}</h2>")
        for room in rooms:
            top = f"bpfbench.{room}"
            if top not in names:
                continue
            parts.append(f"<dl class=api>{_line(top, top)}</dl>")
            below = [name for name in names if name.startswith(top + ".")]
            if below:
                rows = "".join(_line(n, n.removeprefix(top + ".")) for n in below)
                parts.append(f"<details><summary>{len(below)} modules</summary><dl class=api>{rows}</dl></details>")
    return "\n".join(parts)


def _line(module: str, shown: str) -> str:
    return f'<dt><a href="{_address(module)}">{esc(shown)}</a></dt><dd>{esc(summary(module).replace("`", ""))}</dd>'


def _address(name: str) -> str:
    return name.replace(".", "/") + ".html"
