"""Does every link of a site lead to a file and an anchor that are there, and does no page ask the network?"""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import final
from urllib.parse import unquote, urlsplit

LOADS = {("img", "src"), ("script", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("video", "src")}


@final
class _Reader(HTMLParser):
    """The anchors of a page, what it links to, and what a browser would load with it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value is None:
                continue
            if name in ("id", "name"):
                self.anchors.add(value)
            elif (tag, name) in LOADS:
                self.loads.append(value)
            elif tag == "a" and name == "href":
                self.links.append(value)


def read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def sources(site: Path) -> set[str]:
    """The source files (paths in the repository) whose pages the site's pages link to."""
    place = (site / "source").resolve()
    found: set[str] = set()
    for path in site.rglob("*.html"):
        for url in read(path).links:
            if "source/" in url:
                target = (path.parent / unquote(urlsplit(url).path)).resolve()
                if place in target.parents:
                    found.add(str(target.relative_to(place)).removesuffix(".html"))
    return found


def problems(site: Path) -> list[str]:
    """One line for each link that leads nowhere and each thing that would be fetched."""
    site = site.resolve()
    pages = {path: read(path) for path in sorted(site.rglob("*.html"))}
    found: list[str] = []
    for path, page in pages.items():
        name = path.relative_to(site)
        for url in [*page.links, *page.loads]:
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                if url in page.loads and parts.scheme != "data":
                    found.append(f"{name}: loads {url}")
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                found.append(f"{name}: {url}: no such file")
            elif site not in target.parents:
                found.append(f"{name}: {url}: outside the site")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                found.append(f"{name}: {url}: no such anchor")
    return found
