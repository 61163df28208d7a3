"""One self-contained page about programs: instructions, graph, verification, native code.

`report` works on any programs; each stage that cannot be shown says why in its place instead of stopping the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bpfbench.errors import BpfbenchError
from bpfbench.notebook import views
from bpfbench.notebook.html import esc, page, section
from bpfbench.notebook.native import side_by_side
from bpfbench.notebook.widgets import module, static_time_machine
from bpfbench.profiles import DEFAULT
from bpfbench.program.program import Program

MOST_EVENTS = 200_000           # longer traces are for the notebook
HOSTS = ("x86_64", "aarch64", "riscv64", "ppc64", "mips64", "arm")


def attempt(view: Callable[[], str]) -> str:
    """The view, or one line that says why there is none."""
    try:
        return view()
    except BpfbenchError as error:
        return f'<p class="bad">{esc(error)}</p>'


def report(programs: Iterable[Program], title: str = "bpfbench", kernel: str = DEFAULT) -> str:
    """HTML about each program: what it is, its graph, what the verifier does, what every JIT makes of it."""
    found = list(programs)
    links = "".join(f'<li><a href="#{esc(p.name)}">{esc(p.name)}</a></li>' for p in found)
    count = f"{len(found)} program{'s' * (len(found) != 1)}"
    parts = [f"<h1>{esc(title)}</h1><p>{count}, against the profile {esc(kernel)}.</p>",
             f'<nav aria-label="programs"><ol>{links}</ol></nav>']  # fmt: skip
    parts += [module()] + [about(p, kernel) for p in found]
    return page(title, "\n".join(parts))


def about(prog: Program, kernel: str = DEFAULT) -> str:
    """The section of one program."""
    return section(
        prog.name, prog.name,
        f"<p>{esc(prog.type)}, {len(prog.insns)} slots, licence {esc(prog.license)}"
        + (f", section <code>{esc(prog.section)}</code>" if prog.section else "") + "</p>",
        "<h3>Maps</h3>", views.maps(prog),
        "<h3>Instructions</h3>", views.program(prog),
        "<h3>Control flow</h3>", attempt(lambda: control_flow(prog)),
        "<h3>Verification</h3>", attempt(lambda: verification(prog, kernel)),
        "<h3>Native code</h3>", attempt(lambda: native(prog)),
    )  # fmt: skip


def control_flow(prog: Program) -> str:
    from bpfbench.program.cfg import build

    return views.graph(build(prog), prog)


def verification(prog: Program, kernel: str) -> str:
    from bpfbench.notebook.paths import tree_view
    from bpfbench.verifier.path_tree import path_tree
    from bpfbench.verifier.verification import verify

    v = verify(prog, kernel=kernel, trace=True)
    shown = views.verification(v, prog)
    if v.trace is not None and 0 < len(v.trace) < MOST_EVENTS:
        shown += static_time_machine(v, prog, f"tm-{prog.name}")
        shown += "<h3>Explored paths</h3>" + tree_view(path_tree(v), f"path-{prog.name}")
    return shown


def native(prog: Program) -> str:
    """Code of every host that has it for this program, and for the others the reason."""
    from bpfbench.jit import compile_program

    codes, reasons = [], []
    for target in HOSTS:
        try:
            codes.append(compile_program(prog, target=target))
        except BpfbenchError as error:
            reasons.append(f'<p class="dim">{esc(target)}: {esc(error)}</p>')
    return (side_by_side(prog, codes) if codes else "") + "".join(reasons)
