"""Rich views in notebooks, and self-contained pages: the only folder that knows HTML and IPython.

`import bpfbench.notebook` inside Jupyter registers a view for every public type, so that the last expression of a cell
shows itself; outside Jupyter it does nothing.
"""

from bpfbench.notebook.formatters import register

register()
