"""Runs notebooks in place, so that they are committed with their outputs: `python notebooks/execute.py [FILE …]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent


def joined(outputs: list[Any]) -> list[Any]:
    """What a cell printed as one output, however the kernel happened to send it in pieces."""
    found: list[Any] = []
    for output in outputs:
        if found and output.output_type == found[-1].output_type == "stream" and output.name == found[-1].name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def main() -> int:
    for path in [Path(a).resolve() for a in sys.argv[1:]] or sorted(HERE.rglob("[0-9]*.ipynb")):
        notebook = nbformat.read(path, as_version=4)
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
            if cell.cell_type == "code":
                cell.outputs = joined(cell.outputs)
        notebook.metadata.pop("widgets", None)
        notebook.metadata["language_info"] = {"name": "python"}     # without the version of whoever ran it
        nbformat.write(notebook, path)
        print(path.relative_to(HERE))
    return 0


if __name__ == "__main__":
    sys.exit(main())
