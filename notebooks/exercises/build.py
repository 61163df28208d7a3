"""Makes the instructor notebooks from source/*.py and runs them: `python notebooks/exercises/build.py [NAME …]`.

A source file is one exercise: its docstring is the task as Markdown, the rest is the cell with the solution between
`### BEGIN SOLUTION` and `### END SOLUTION`.  Title, stars, points and slides come from `bpfbench.course`.
"""

from __future__ import annotations

import ast
import sys
import zlib
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from bpfbench.course import exercise

HERE = Path(__file__).resolve().parent
STARS = "★★★★"


def mark(name: str, **more: object) -> dict[str, object]:
    """nbgrader's cell metadata."""
    return {"nbgrader": {"schema_version": 3, "grade": False, "solution": False, "locked": True, "task": False,
                         "grade_id": name} | more}


def notebook(path: Path) -> nbformat.NotebookNode:
    name = path.stem.split("_", 1)[1].replace("_", "-")
    ex = exercise(name)
    text = path.read_text()
    tree = ast.parse(text)
    task = ast.get_docstring(tree) or ""
    code = "\n".join(text.split("\n")[tree.body[0].end_lineno:]).strip("\n")
    seed = zlib.crc32(name.encode()) % 100000
    head = (f"# {ex.title}\n\n{STARS[:ex.stars]} · {ex.points} points · stage {ex.stage} · slides {ex.slides}\n\n{task}")
    cells = [
        nbformat.v4.new_markdown_cell(head, metadata=mark(f"{name}-task")),
        nbformat.v4.new_code_cell(f'from bpfbench.course import exercise\n\nex = exercise("{name}")\nex',
                                  metadata=mark(f"{name}-start")),
        nbformat.v4.new_code_cell(code, metadata=mark(f"{name}-answer", solution=True, locked=False)),
        nbformat.v4.new_markdown_cell("Try it on the public cases, as often as you like:", metadata=mark(f"{name}-try")),
        nbformat.v4.new_code_cell(f"ex.check({ex.answer})", metadata=mark(f"{name}-check")),
        nbformat.v4.new_code_cell(f"### BEGIN HIDDEN TESTS\nex.hidden({seed})\n### END HIDDEN TESTS\nex.grade({ex.answer})",
                                  metadata=mark(f"{name}-graded", grade=True, points=ex.points)),
    ]
    for cell in cells:
        cell["id"] = cell["metadata"]["nbgrader"]["grade_id"][-60:]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    made.metadata["language_info"] = {"name": "python"}
    return made


def main() -> int:
    for path in sorted(HERE.glob("source/*.py")):
        if sys.argv[1:] and not any(word in path.stem for word in sys.argv[1:]):
            continue
        made = notebook(path)
        NotebookClient(made, timeout=120, resources={"metadata": {"path": str(HERE)}}).execute()
        for cell in made.cells:
            cell.metadata.pop("execution", None)
        made.metadata["language_info"] = {"name": "python"}
        made.metadata.pop("widgets", None)
        nbformat.write(made, HERE / f"{path.stem}.ipynb")
        print(path.stem, made.cells[-1].outputs[0].data["text/plain"] if made.cells[-1].outputs else "no output")
    return 0


if __name__ == "__main__":
    sys.exit(main())
