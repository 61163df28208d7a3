"""Small pieces of HTML: escaping, tables, pages.  Everything the views write goes through here.

A view turns one object of the library into a fragment; `page` joins fragments into one self-contained document with
the style sheet and the script inside, so that it opens offline, on a phone and in print.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final

LARGE: Final = 1000             # rows
STATIC: Final = Path(__file__).parent / "static"


def esc(value: object) -> str:
    return escape(str(value), quote=True)


def static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def row(cells: Iterable[object], prog: str = "", pc: int = -1, kind: str = "", numbers: int = 1) -> str:
    """One table row; the first `numbers` cells are right-aligned numbers.  Cells are text, or `Raw` markup."""
    tags = [f'<td class="n">{_cell(c)}</td>' if i < numbers else f"<td>{_cell(c)}</td>" for i, c in enumerate(cells)]
    marks = f' class="{kind}"' if kind else ""
    if pc >= 0:
        marks += f' data-prog="{esc(prog)}" data-pc="{pc}"'
    return f"<tr{marks}>{''.join(tags)}</tr>"


class Raw(str):
    """Text that is markup already."""


def _cell(value: object) -> str:
    return str(value) if isinstance(value, Raw) else esc(value)


def table(heads: Sequence[str], rows: Iterable[str], label: str) -> str:
    """A scrolling table with a header row; `label` is its name for screen readers.

    A large one is laid out when it comes into sight.
    """
    head = "".join(f'<th scope="col">{esc(h)}</th>' for h in heads)
    written = list(rows)
    body = "\n".join(written)
    marks = "scroll large" if len(written) > LARGE else "scroll"
    return (
        f'<div class="{marks}" tabindex="0" role="region" aria-label="{esc(label)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


def cards(facts: Iterable[tuple[str, object]]) -> str:
    """Figures with a caption each."""
    return '<div class="cards">' + "".join(
        f'<div class="card"><b>{_cell(value)}</b>{esc(name)}</div>' for name, value in facts
    ) + "</div>"  # fmt: skip


def section(title: str, anchor: str, *parts: str) -> str:
    return f'<section id="{esc(anchor)}"><h2>{esc(title)}</h2>\n' + "\n".join(p for p in parts if p) + "\n</section>"


def details(summary: str, body: str, opened: bool = False) -> str:
    return f"<details{' open' if opened else ''}><summary>{esc(summary)}</summary>{body}</details>"


def fragment(body: str) -> str:
    """A fragment that brings its own style and script, for a notebook output."""
    return f'<style>{static("bpfbench.css")}</style><div class="bb">{body}</div><script>{static("link.js")}</script>'


def page(title: str, body: str) -> str:
    """One self-contained document."""
    style = f"html{{color-scheme:light dark}}body{{margin:0}}{static('bpfbench.css')}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{esc(title)}</title><style>{style}</style></head>\n"
        f'<body><main class="bb page">{body}</main>\n<script>{static("link.js")}</script></body></html>\n'
    )
