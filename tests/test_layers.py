"""The layers of the design: imports point down only.

    0 bits errors trace listing profiles   1 isa machine   2 program elf toolchain   3 verifier fixpoint interp jit nfp
    4 execute dynlink debug kernel jumptable museum   5 notebook course   6 the package itself, cli

`verifier`, `fixpoint`, `interp` and `jit` never import each other, except that `fixpoint` shares `verifier`'s number
domain and tables (`SHARED`, which import nothing else of `verifier`); of these only `jit` imports `machine`; `jumptable`
never imports `isa`; only `notebook` imports IPython, ipywidgets or anywidget.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "bpfbench"
LAYER = {
    "bits": 0, "collector": 0, "errors": 0, "interrupts": 0, "trace": 0, "listing": 0, "profiles": 0,
    "isa": 1, "machine": 1,
    "program": 2, "elf": 2, "toolchain": 2,
    "verifier": 3, "fixpoint": 3, "interp": 3, "jit": 3, "nfp": 3,
    "execute": 4, "dynlink": 4, "debug": 4, "kernel": 4, "jumptable": 4, "verdicts": 4, "museum": 4,
    "notebook": 5, "course": 5,
    "": 6, "__main__": 6, "cli": 6, "plugin": 6, "generate": 6,
}  # fmt: skip
STRANGERS = {"verifier", "fixpoint", "interp", "jit"}
SHARED = {"tnum", "scalar", "bounds", "refine", "transfer", "contexts", "progtypes", "helper_protos", "value_types"}
DISPLAY = {"IPython", "ipywidgets", "anywidget"}


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Every module that a file imports, and whether it does so when it is imported itself."""
    tree = ast.parse(path.read_text())
    functions = [f for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inner = {id(n) for f in functions for n in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) not in inner
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module, id(node) not in inner
            if node.module == "bpfbench":
                for alias in node.names:
                    yield f"bpfbench.{alias.name}", id(node) not in inner


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _shared(module: str) -> bool:
    """A module of the number domain or a table; `from bpfbench.verifier import tnum` also names the package itself."""
    parts = module.split(".")
    return len(parts) == 2 or parts[2] in SHARED


def test_the_shared_domain_imports_nothing_of_the_walk() -> None:
    for name in sorted(SHARED):
        found = {m.split(".")[2] for m, at_once in imports(PACKAGE / "verifier" / f"{name}.py")
                 if at_once and m.startswith("bpfbench.verifier.")}
        assert found <= SHARED, f"{name} imports {sorted(found - SHARED)}"


def test_imports_point_down_only() -> None:
    wrong: list[str] = []
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        own = relative.parts[0].removesuffix(".py").replace("__init__", "")
        assert own in LAYER, f"{relative} has no layer"
        for module, _ in imports(path):
            if module.split(".")[0] in DISPLAY and own not in ("notebook", "course"):
                wrong.append(f"{relative} imports {module}")
            if module.split(".")[0] != "bpfbench" or module == "bpfbench.errors":
                continue
            other = room(module)
            if other not in LAYER:
                other = ""
            if LAYER[other] > LAYER[own]:
                wrong.append(f"{relative} (layer {LAYER[own]}) imports {module} (layer {LAYER[other]})")
            shares = own == "fixpoint" and other == "verifier" and _shared(module)
            if own != other and own in STRANGERS and other in STRANGERS and not shares:
                wrong.append(f"{relative} imports {module}")
            if other == "machine" and own in STRANGERS - {"jit"}:
                wrong.append(f"{relative} imports {module}")
            if own == "jumptable" and other == "isa":
                wrong.append(f"{relative} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_importing_bpfbench_stays_light() -> None:
    """Nothing heavy is imported by `import bpfbench`."""
    import subprocess
    import sys

    heavy = "networkx matplotlib capstone unicorn IPython ipywidgets anywidget pygraphviz elftools"
    script = f"import sys, bpfbench; print(sorted(set(sys.modules) & set('{heavy}'.split())))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
