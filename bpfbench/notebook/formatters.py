"""Which view shows which type: a registry for IPython, so that the core never hears of HTML.

`text/plain` stays the object's own deterministic text: it is what nbval compares and what a page without a kernel
shows.  HTML is added beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bpfbench.notebook import objects, views
from bpfbench.notebook.html import fragment
from bpfbench.program.program import Program


def _program(prog: Program) -> str:
    return fragment(views.program(prog))


def _verification(v: Any) -> str:
    return fragment(views.verification(v, v.program))


def _code(code: Any) -> str:
    from bpfbench.notebook.html import esc, row, table

    rows = (row([f"{r.addr:x}", r.bytes.hex(" "), r.text, "" if r.owner < 0 else r.owner, r.note]) for r in code.insns)
    return fragment(table(["addr", "bytes", f"{code.target}", "pc", "note"], rows, esc(repr(code))))


def _cfg(cfg: Any) -> str:
    from bpfbench.notebook.graph import draw

    return fragment(views.figure(draw(cfg), "control-flow graph"))


def _explanation(e: Any) -> str:
    from bpfbench.notebook.explained import explanation

    return fragment(explanation(e))


def _read_log(log: Any) -> str:
    from bpfbench.notebook.explained import read_log

    return fragment(read_log(log))


def _paths(tree: Any) -> str:
    from bpfbench.notebook.paths import tree_view

    return fragment(tree_view(tree))


def _side_by_side(found: Any) -> str:
    from bpfbench.notebook.native import side_by_side

    return fragment(side_by_side(found.program, list(found.codes.values()), found.refused))


def _reports(found: Any) -> str:
    from bpfbench.notebook.native import passes

    return fragment(passes(found))


def _picture(figure: Any) -> bytes:
    """A matplotlib figure, also where nothing has imported pyplot."""
    from io import BytesIO

    out = BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()


# (module, class) -> view; types are named, not imported, so that registering costs nothing
VIEWS: Final[list[tuple[str, str, Callable[[Any], str]]]] = [
    ("bpfbench.program.program", "Program", _program),
    ("bpfbench.program.cfg", "Cfg", _cfg),
    ("bpfbench.verifier.verification", "Verification", _verification),
    ("bpfbench.verifier.path_tree", "PathTree", _paths),
    ("bpfbench.jit.code", "Code", _code),
    ("bpfbench.jit.nfp", "NfpCode", _code),
    ("bpfbench.jit.listing", "SideBySide", _side_by_side),
    ("bpfbench.nfp.reports", "Reports", _reports),
    ("bpfbench.verifier.explanation", "Explanation", _explanation),
    ("bpfbench.verifier.logread", "ReadLog", _read_log),
    ("bpfbench.elf.object", "Object", lambda found: fragment(objects.elf_object(found))),
    ("bpfbench.listing", "Listing", lambda found: fragment(objects.listing(found))),
    ("bpfbench.trace", "Trace", lambda found: fragment(objects.trace(found))),
    ("bpfbench.interp.machine", "Result", lambda found: fragment(objects.run(found))),
    ("bpfbench.fixpoint.verify", "FixpointVerification", lambda found: fragment(objects.static_verification(found))),
    ("bpfbench.verdicts", "SideBySide", lambda found: fragment(objects.both_analyses(found))),
    ("bpfbench.jumptable.tables", "JumpTables", lambda found: fragment(objects.jump_tables(found))),
]

# Types that one line of text says everything about: (module, class).
TEXT_ONLY: Final[frozenset[tuple[str, str]]] = frozenset({
    ("bpfbench.isa.insn", "Instruction"), ("bpfbench.program.program", "MapSpec"), ("bpfbench.errors", "Where"),
    ("bpfbench.verifier.verification", "Stats"), ("bpfbench.verifier.verification", "Rejection"),
    ("bpfbench.trace", "Event"), ("bpfbench.verifier.path_tree", "Path"),
    ("bpfbench.verifier.path_tree", "Checkpoint"), ("bpfbench.verifier.path_tree", "Miss"),
    ("bpfbench.program.cfg", "Block"), ("bpfbench.program.cfg", "Edge"), ("bpfbench.program.functions", "Function"),
    ("bpfbench.program.nesting", "Loop"), ("bpfbench.jit.code", "Span"), ("bpfbench.jit.code", "Region"),
    ("bpfbench.jit.code", "Relocation"), ("bpfbench.jit.layout", "Layout"), ("bpfbench.jit.listing", "Line"),
    ("bpfbench.jit.listing", "Cell"), ("bpfbench.listing", "Row"), ("bpfbench.elf.btf", "Btf"),
    ("bpfbench.kernel.available", "Availability"), ("bpfbench.kernel.verify", "KernelVerdict"),
    ("bpfbench.kernel.run", "KernelRun"), ("bpfbench.kernel.jit", "KernelImage"), ("bpfbench.nfp.reports", "Report"),
    ("bpfbench.fixpoint.verify", "Invariant"), ("bpfbench.fixpoint.verify", "Statistics"),
    ("bpfbench.fixpoint.verify", "Rejection"), ("bpfbench.jumptable.tables", "JumpTable"),
    ("bpfbench.jumptable.tables", "Branch"), ("bpfbench.debug.debugfile", "Described"),
})  # fmt: skip


VIEW_OF: Final = {name: view for _, name, view in VIEWS if name != "SideBySide"}


def register(shell: Any = None) -> bool:
    """Tell IPython (the running one, if none is given) about the views; False when not inside IPython."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = shell if shell is not None else get_ipython()
    if shell is None:
        return False
    html = shell.display_formatter.formatters["text/html"]
    for module, name, view in VIEWS:
        html.for_type_by_name(module, name, view)
    shell.display_formatter.formatters["image/png"].for_type_by_name("matplotlib.figure", "Figure", _picture)
    plain = shell.display_formatter.formatters["text/plain"]
    plain.for_type_by_name("bpfbench.verifier.explanation", "Explanation", lambda e, p, cycle: p.text(str(e)))
    return True
