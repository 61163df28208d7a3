"""A view as a value: HTML for a notebook, one line for everything else.

>>> shown = Shown("<p>two runs</p>", "TwoRuns(4 against 6 paths)")
>>> shown
TwoRuns(4 against 6 paths)
>>> "<p>two runs</p>" in shown._repr_html_()
True
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.notebook.html import fragment


@final
class Shown:
    """`html` is a fragment without its style; `says` is the text."""

    __slots__ = ("html", "says")

    def __init__(self, html: str, says: str) -> None:
        self.html: Final = html
        self.says: Final = says

    def __repr__(self) -> str:
        return self.says

    def _repr_html_(self) -> str:
        return fragment(self.html)
