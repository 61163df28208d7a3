"""Notebooks as one HTML file that needs neither a kernel nor a network.

    jupyter nbconvert --to bpfbench.notebook.export.OfflineExporter --execute lecture.ipynb

Views that are widgets in a notebook (time machine, laboratories) are run with BPFBENCH_EXPORT=1, so that they leave HTML
that works alone; what nbconvert would load from other machines (MathJax, require.js, Mermaid) is left out.  Formulas
between dollar signs stay as they are written.

>>> from bpfbench.notebook.export import OfflineExporter
>>> OfflineExporter().mathjax_url
'data:text/javascript,'
"""

from __future__ import annotations

import os
from typing import Any, Final

from nbconvert.exporters.html import HTMLExporter

NOTHING: Final = "data:text/javascript,"
ELSEWHERE: Final = ("require_js_url", "mathjax_url", "mermaid_js_url", "jquery_url", "widget_renderer_url")


class OfflineExporter(HTMLExporter):
    """See the module text."""

    export_from_notebook = "bpfbench (offline HTML)"

    def __init__(self, **options: Any) -> None:
        os.environ["BPFBENCH_EXPORT"] = "1"             # the kernel that --execute starts inherits it
        super().__init__(**{**dict.fromkeys(ELSEWHERE, NOTHING), **options})  # type: ignore[no-untyped-call]


def export(notebook: Any, timeout: int = 120) -> str:
    """Run a notebook (a nbformat node) and return its page; what its cells raise is in the page."""
    from nbclient import NotebookClient

    exporter = OfflineExporter()
    NotebookClient(notebook, timeout=timeout, kernel_name="python3", allow_errors=True).execute()
    return str(exporter.from_notebook_node(notebook)[0])
