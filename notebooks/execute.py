"""Runs notebooks in place, so that they are committed with their outputs: `python notebooks/execute.py [FILE …]`."""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def main() -> int:
    for path in [Path(a).resolve() for a in sys.argv[1:]] or sorted(HERE.rglob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        notebook.metadata.pop("widgets", None)
        notebook.metadata["language_info"] = {"name": "python"}     # without the version of whoever ran it
        nbformat.write(notebook, path)
        print(path.relative_to(HERE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
