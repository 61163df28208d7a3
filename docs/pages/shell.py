"""The frame of every page: a header that leads everywhere, one style sheet, and Markdown to HTML through mistune.

Pages lie at most two folders deep; all links are relative, so the site works from a disk, without a network.
"""

from __future__ import annotations

import html
import os.path
import re
from pathlib import Path
from typing import Any

import mistune
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from bpfbench.notebook.html import esc, static

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NAV = (("index.html", "bpfbench"), ("lectures/index.html", "Lectures"), ("exercises.html", "Exercises"),
       ("documents/index.html", "Documents"), ("rules.html", "Rules"), ("profiles.html", "Kernels"),
       ("manual.html", "Instructions"), ("reports/index.html", "Data sets"), ("api/index.html", "API"),
       ("search.html", "Search"))  # fmt: skip


def header(depth: int, here: str = "") -> str:
    """The links at the top; `here` is the one that the page belongs to."""
    up = "../" * depth
    links = "".join(f'<a href="{up}{to}"{" aria-current=page" if to == here else ""}>{name}</a>' for to, name in NAV)
    return f'<div class="site" role="banner"><div role="navigation" aria-label="site">{links}</div></div>'


def style(depth: int) -> str:
    return f'<link rel="stylesheet" href="{"../" * depth}site.css">'


def page(title: str, body: str, depth: int = 0, here: str = "", after: str = "") -> str:
    """One document; `after` goes behind the main part (a script, say)."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)} · bpfbench</title>{style(depth)}</head>\n"
        f'<body class="bb">{header(depth, here)}<main class="bb page">{body}</main>{after}</body></html>\n'
    )


def dressed(document: str, depth: int, here: str) -> str:
    """A self-contained page of the library, with the site's header."""
    document = document.replace("</head>", f"{style(depth)}</head>", 1)
    return re.sub(r"<body[^>]*>", lambda m: f'<body class="bb">{header(depth, here)}', document, count=1)


def sheet() -> str:
    """The site's style sheet: the library's own, the site's, and the colours of code in both schemes."""
    light = HtmlFormatter(style="default").get_style_defs(".highlight")
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    return "\n".join([static("bpfbench.css"), light, f"@media (prefers-color-scheme: dark) {{ {dark} }}",
                      (HERE / "site.css").read_text(encoding="utf-8")])


def write(out: Path, name: str, text: str) -> Path:
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def code(text: str, language: str) -> str:
    """Coloured code; plain for languages that Pygments does not know."""
    try:
        lexer = get_lexer_by_name(language)
    except ClassNotFound:
        return f'<div class="highlight"><pre tabindex="0">{esc(text)}</pre></div>'
    return str(highlight(text, lexer, HtmlFormatter())).replace("<pre>", '<pre tabindex="0">', 1)


def slug(text: str) -> str:
    """A heading's anchor."""
    plain = re.sub(r"<[^>]+>", "", html.unescape(text)).lower()
    return re.sub(r"[^\w]+", "-", plain).strip("-")


class _Pages(mistune.HTMLRenderer):
    """Headings with anchors, tables that scroll by themselves, links to where the site has the file."""

    def __init__(self, links: dict[str, str], base: str) -> None:
        super().__init__(escape=False)
        self.links = links
        self.base = base
        self.contents: list[tuple[int, str, str]] = []
        self.taken: set[str] = set()

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        anchor = chosen = slug(text) or "part"
        n = 2
        while chosen in self.taken:
            chosen = f"{anchor}-{n}"
            n += 1
        self.taken.add(chosen)
        self.contents.append((level, chosen, text))
        return f'<h{level} id="{chosen}">{text}</h{level}>\n'

    def block_code(self, code_text: str, info: str | None = None) -> str:
        return code(code_text, (info or "text").split()[0])

    def table(self, text: str) -> str:
        return f'<div class="table" tabindex="0" role="region" aria-label="table"><table>{text}</table></div>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        return super().link(text, self.target(url), title)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        return super().image(text, self.target(url), title)

    def target(self, url: str) -> str:
        """A file of the repository is where the site has it."""
        if re.match(r"[a-z]+:|#", url):
            return url
        path, mark, anchor = url.partition("#")
        return self.links.get(os.path.normpath(os.path.join(self.base, path)), path) + mark + anchor


def markdown(text: str, links: dict[str, str] | None = None, base: str = "") -> tuple[str, list[tuple[int, str, str]]]:
    """HTML and its headings (level, anchor, text).

    `links` says under which address of the site a file of the repository is; `base` is the folder of the text.
    """
    pages = _Pages(links or {}, base)
    turn = mistune.create_markdown(renderer=pages, plugins=["table", "strikethrough", "url"])
    return str(turn(text)), pages.contents
