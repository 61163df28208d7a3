"""Rich views in notebooks, and self-contained pages: the only folder that knows HTML and IPython.

`import bpfbench.notebook` inside Jupyter registers a view for every public type, so that the last expression of a cell
shows itself; outside Jupyter it does nothing.  `%load_ext bpfbench.notebook` adds the magics (magics.py).
"""

from __future__ import annotations

from typing import Any

from bpfbench.notebook.formatters import register

register()


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext bpfbench.notebook`: views, `%%bpf`, `%%bpf_c`, `%verify`, completion and help in their cells."""
    from bpfbench.notebook import magics

    register(shell)
    magics.load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """`%unload_ext bpfbench.notebook`."""
    from bpfbench.notebook import magics

    magics.unload(shell)
