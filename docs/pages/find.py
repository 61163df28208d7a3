"""The search page: titles, headings, rules, operations and names of the reference, found without a server.

The index is a script that the page loads from beside it, because a page opened from a disk may not fetch files.
"""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

from docs.pages.shell import HERE, page, write

HEADING = re.compile(r'<h[1-3][^>]* id="([^"]+)"[^>]*>(.*?)</h[1-3]>', re.DOTALL)
SECTION = re.compile(r'<section id="([^"]+)"><h2>(.*?)</h2>', re.DOTALL)
NAME = re.compile(r'<(?:section|div) id="([\w.]+)"')
LEFT_OUT = ("source/", "reports/index", "search.html")


def plain(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", markup)).split())


def entries(site: Path) -> list[tuple[str, str, str]]:
    """(text, address, title of its page) of everything that can be found."""
    found: list[tuple[str, str, str]] = []
    for path in sorted(site.rglob("*.html")):
        url = str(path.relative_to(site))
        if url.startswith(LEFT_OUT):
            continue
        text = path.read_text(encoding="utf-8")
        titled = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
        title = plain(titled.group(1)).removesuffix(" · bpfbench") if titled else url
        if url.startswith("api/"):
            module = url.removeprefix("api/").removesuffix(".html").replace("/", ".")
            found.append((module, url, "API"))
            found += [(name, f"{url}#{name}", module) for name in dict.fromkeys(NAME.findall(text))
                      if not name.endswith("__init__")]  # fmt: skip
            continue
        found.append((title, url, ""))
        if not url.startswith("reports/"):
            marks = dict.fromkeys([*HEADING.findall(text), *SECTION.findall(text)])
            found += [(plain(words), f"{url}#{anchor}", title) for anchor, words in marks if plain(words) != title]
    return found


def write_search(site: Path) -> Path:
    found = entries(site)
    write(site, "search-index.js", f"const ENTRIES = {json.dumps(found, ensure_ascii=False, separators=(',', ':'))};\n")
    write(site, "search.js", (HERE / "find.js").read_text(encoding="utf-8"))
    body = ('<h1>Search</h1><p><input id="q" type="search" aria-label="search" placeholder="a rule, an operation, a name …" '
            'autofocus> <span id="count" class="dim" role="status"></span></p><ul id="found" class="plain"></ul>')
    after = '<script src="search-index.js"></script><script src="search.js"></script>'
    return write(site, "search.html", page("Search", body, 0, "search.html", after))
