"""What the laboratories share: a page described as data, a widget that shows it, the same page without a kernel.

A laboratory is its inputs and one function that turns them into a *document*: a title and a list of parts.  The browser
part (static/labs.js) draws parts and reports what the user changes; Python computes the next document.

| part | fields | shows |
|---|---|---|
| bits   | name label cells hints editable | one box per bit: 0, 1 or x; click or press to change |
| line   | label spans points low high | a number line: spans as bars, points as dots (filled: comes out, hollow: does not) |
| choice | name label value options | a list to choose from |
| field  | name label value rows | a line or block of text to edit |
| slider | name label value low high | a number |
| table  | label heads rows marks | rows of text; `marks` gives rows a class (ok, bad, now) |
| say    | text kind | a sentence; the last one is read out when it changes |
| keys   | items | buttons |
| drawing | label svg | a drawing that Python made |

Without a kernel `static_lab` writes the document as plain HTML: everything is there to be read, and the inputs say that
they need a kernel.  A view that was exported with BPFBENCH_EXPORT=1 in the environment is only that.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

import anywidget
import traitlets

from bpfbench.errors import BpfbenchError
from bpfbench.notebook.html import STATIC, esc, static

Part = dict[str, Any]


class Lab(anywidget.AnyWidget):
    """A laboratory; subclasses have `title`, `inputs` and `document`."""

    _esm = STATIC / "labs.js"
    _css = static("bpfbench.css") + static("labs.css")
    view = traitlets.Dict().tag(sync=True)
    action = traitlets.Dict().tag(sync=True)
    title: ClassVar[str] = "laboratory"
    help: ClassVar[str] = ""

    def __init__(self, **inputs: Any) -> None:
        super().__init__()
        self.inputs: dict[str, Any] = inputs
        self.refresh()
        self.observe(self._acted, "action")

    def parts(self) -> list[Part]:
        """The parts for the current inputs; raises BpfbenchError for inputs that are wrong."""
        raise NotImplementedError

    def says(self) -> str:
        """One line about the result, for the notebook without a browser."""
        raise NotImplementedError

    def change(self, name: str, value: Any) -> None:
        """The user changed an input: take it as it is, or override for a button."""
        if name in self.inputs:
            kind = type(self.inputs[name])
            self.inputs[name] = kind(value) if kind in (int, bool, str) else value

    def set(self, **inputs: Any) -> Lab:
        """Change inputs from Python; returns the laboratory."""
        for name, value in inputs.items():
            self.change(name, value)
        self.refresh()
        return self

    def refresh(self) -> None:
        self.view = self.document()

    def document(self) -> dict[str, Any]:
        try:
            parts = self.parts()
        except (BpfbenchError, ValueError) as error:
            text = error.message if isinstance(error, BpfbenchError) else str(error)
            parts = [*self.inputs_only(), say(text, "bad")]
        return {"title": self.title, "help": self.help, "parts": parts}

    def inputs_only(self) -> list[Part]:
        """The input parts alone, for when nothing can be computed from them."""
        return []

    def _acted(self, change: Any) -> None:
        action = change["new"]
        if not action:
            return
        try:
            self.change(str(action.get("name", "")), action.get("value"))
        except (BpfbenchError, ValueError, TypeError, IndexError):
            pass                                    # what cannot be taken leaves the input as it was
        self.refresh()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.says()})"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        static_html = static_lab(self)
        if os.environ.get("BPFBENCH_EXPORT"):
            return {"text/plain": repr(self), "text/html": static_html}
        bundle = super()._repr_mimebundle_(**options)
        content = bundle[0] if isinstance(bundle, tuple) else bundle
        if content is not None:
            content["text/plain"] = repr(self)
            content["text/html"] = static_html
        return bundle


# Parts ----------------------------------------------------------------------------------------------------------------


def bits(name: str, label: str, cells: str, editable: bool = True, hints: list[str] | None = None,
         group: list[int] | None = None) -> Part:
    """`cells` from the most significant bit on; `hints` name the bits; `group` puts a gap before those columns."""
    return {"kind": "bits", "name": name, "label": label, "cells": cells, "editable": editable,
            "hints": hints or [f"bit {len(cells) - 1 - i}" for i in range(len(cells))], "gaps": group or []}


def line(label: str, low: int, high: int, spans: list[tuple[int, int, str]],
         points: list[tuple[int, bool]] | None = None) -> Part:
    """Numbers from low to high; spans are (from, to, class); points are (number, comes out)."""
    whole = max(high - low, 1)

    def at(n: int) -> float:
        return round(100 * (min(max(n, low), high) - low) / whole, 3)

    return {"kind": "line", "label": label, "low": str(low), "high": str(high),
            "spans": [[at(a), at(b), kind] for a, b, kind in spans],
            "points": [[at(n), real] for n, real in points or []]}


def choice(name: str, label: str, value: str, options: list[str]) -> Part:
    return {"kind": "choice", "name": name, "label": label, "value": value, "options": options}


def field(name: str, label: str, value: str, rows: int = 1) -> Part:
    return {"kind": "field", "name": name, "label": label, "value": value, "rows": rows}


def slider(name: str, label: str, value: int, low: int, high: int) -> Part:
    return {"kind": "slider", "name": name, "label": label, "value": value, "low": low, "high": high}


def table(label: str, heads: list[str], rows: list[list[str]], marks: dict[int, str] | None = None) -> Part:
    return {"kind": "table", "label": label, "heads": heads, "rows": rows,
            "marks": {str(i): mark for i, mark in (marks or {}).items()}}


def say(text: str, kind: str = "") -> Part:
    return {"kind": "say", "text": text, "class": kind}


def drawing(label: str, svg: str) -> Part:
    """An SVG that the library drew."""
    return {"kind": "drawing", "label": label, "svg": svg}


def keys(*items: tuple[str, str, str]) -> Part:
    """Buttons: (name, label, key)."""
    return {"kind": "keys", "items": [list(item) for item in items]}


# Without a kernel -----------------------------------------------------------------------------------------------------


def static_lab(lab: Lab) -> str:
    """The laboratory as HTML that needs neither a kernel nor a network."""
    document = lab.document()
    body = "".join(_STATIC[part["kind"]](part) for part in document["parts"])
    return (f'<style>{static("bpfbench.css")}{static("labs.css")}</style>'
            f'<section class="bb lab" aria-label="{esc(document["title"])}"><h3>{esc(document["title"])}</h3>{body}'
            f'<p class="dim">As it was when the notebook was saved; with a kernel the inputs can be changed.</p></section>')


def _bits_html(part: Part) -> str:
    cells = "".join(f'<span class="bit b{esc(cell)}{" gap" if i in part["gaps"] else ""}" title="{esc(hint)}">{esc(cell)}'
                    "</span>" for i, (cell, hint) in enumerate(zip(part["cells"], part["hints"])))
    return (f'<figure><figcaption>{esc(part["label"])}</figcaption><div class="cells" role="img" '
            f'aria-label="{esc(part["label"])}, bits {esc(part["cells"])}">{cells}</div></figure>')


def line_svg(part: Part) -> str:
    """A number line; the text alternative says everything."""
    shapes = [f'<text x="-3.4" y="{3.7 + 3 * i}" aria-hidden="true">{ {"a": "a", "b": "b", "c": "="}.get(kind, "")}</text>'
              f'<rect class="span {esc(kind)}" x="{left}" y="{2 + 3 * i}" width="{max(right - left, .6)}" height="2"/>'
              for i, (left, right, kind) in enumerate(part["spans"])]
    y = 4 + 3 * len(part["spans"])
    shapes += [f'<circle class="{"real" if real else "extra"}" cx="{x}" cy="{y}" r="1.1"/>' for x, real in part["points"]]
    return (f'<svg class="numberline" viewBox="-4 0 106 {y + 3}" role="img" '
            f'aria-label="{esc(part["label"])}"><line class="axis" x1="0" x2="100" y1="{y}" y2="{y}"/>'
            f'{"".join(shapes)}</svg>')


def _line_html(part: Part) -> str:
    return (f'<figure><figcaption>{esc(part["label"])}</figcaption>{line_svg(part)}'
            f'<div class="ends"><span>{esc(part["low"])}</span><span>{esc(part["high"])}</span></div></figure>')


def _value_html(part: Part) -> str:
    shown = f"<pre>{esc(part['value'])}</pre>" if part.get("rows", 1) > 1 else f"<code>{esc(part['value'])}</code>"
    return f'<p class="input"><b>{esc(part["label"])}</b> {shown}</p>' if part.get("rows", 1) == 1 else \
        f'<div class="input"><b>{esc(part["label"])}</b>{shown}</div>'


def _drawing_html(part: Part) -> str:
    return (f'<figure><figcaption>{esc(part["label"])}</figcaption><div class="svg" tabindex="0" role="region" '
            f'aria-label="{esc(part["label"])}">{part["svg"]}</div></figure>')


def _table_html(part: Part) -> str:
    head = "".join(f'<th scope="col">{esc(h)}</th>' for h in part["heads"])
    rows = "".join(f'<tr class="{esc(part["marks"].get(str(i), ""))}">' + "".join(f"<td>{esc(c)}</td>" for c in cells)
                   + "</tr>" for i, cells in enumerate(part["rows"]))
    return (f'<div class="scroll" tabindex="0" role="region" aria-label="{esc(part["label"])}"><table><caption>'
            f'{esc(part["label"])}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>')


_STATIC: dict[str, Any] = {
    "bits": _bits_html, "line": _line_html, "choice": _value_html, "field": _value_html, "slider": _value_html,
    "table": _table_html, "drawing": _drawing_html, "keys": lambda part: "",
    "say": lambda part: f'<p class="{esc(part["class"])}">{esc(part["text"])}</p>',
}  # fmt: skip
