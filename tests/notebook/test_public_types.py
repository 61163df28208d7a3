"""Every type that a public call returns has one short line of text, and a view in a notebook or a reason to have none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import bpfbench as bb
from bpfbench.notebook.formatters import TEXT_ONLY, VIEWS
from bpfbench.verifier.logread import read_log
from bpfbench.verifier.path_tree import path_tree

ROOT = Path(__file__).parents[2]
LOOP = "r6 = 0\nl: r6 += 1\nif r6 < 3 goto l\ncall get_prandom_u32\nif r0 & 1 goto a\nr6 = 9\na: r0 = r6\nexit"


def returned() -> list[Any]:
    """What the calls of `import bpfbench as bb` give, and what hangs from it."""
    from bpfbench.debug import describe
    from bpfbench.nfp.reports import reports
    from bpfbench.verdicts import side_by_side

    prog = bb.assemble(LOOP)
    obj = bb.load(ROOT / "datasets" / "xdp_firewall.o")
    v, bad = bb.verify(prog, trace=True), bb.verify(bb.assemble("exit"))
    tree, cfg, code = path_tree(v), bb.cfg(prog), bb.jit(prog)
    listed, static = bb.listing(prog), bb.verify_static(prog)
    nfp = reports(bb.assemble("r0 = 2\nexit"))
    jumps = bb.jumptables(sorted((ROOT / "datasets" / "jumptables" / "prebuilt").glob("*.elf"))[0])
    return [prog, prog.insns[0], obj, obj.btf, next(iter(obj.maps.values())), v, v.stats, v.trace, *v.trace.of("visit")[:1],
            *v.trace.of("keep")[:1], bad.rejection, bad.explain(), read_log(v.log(2)), tree, tree.paths[0], cfg,
            cfg.blocks[0], cfg.edges[0], cfg.functions[0], cfg.loops[0], code, code.functions[0], code.spans[0],
            code.relocations[0], code.layout, code.listing(), code.listing().rows[0], listed, listed.lines[1],
            next(iter(listed.lines[1].cells.values())), static, static.stats, static.invariant(0), bb.run(prog),
            side_by_side(prog), bb.kernel.available(), bb.jit(prog, "nfp"), nfp, nfp.passes[0], jumps, jumps.tables[0],
            jumps.branches[0], describe(code, prog, 0x1000)]


ALL = returned()


def name(value: Any) -> tuple[str, str]:
    return type(value).__module__, type(value).__name__


@pytest.mark.parametrize("value", ALL, ids=lambda value: ".".join(name(value)).removeprefix("bpfbench."))
def test_text_and_view(value: Any) -> None:
    text = repr(value)
    assert text and "\n" not in text and len(text) <= 240 and "object at 0x" not in text, text
    views = {(module, kind): view for module, kind, view in VIEWS}
    assert (name(value) in views or hasattr(value, "_repr_html_")) != (name(value) in TEXT_ONLY)
    if name(value) in views:
        html = views[name(value)](value)
        assert html.startswith("<style>") and "<div class=\"bb\">" in html and html.count("<script") == 1


def test_what_the_kernel_returns() -> None:
    state = bb.kernel.available()
    if not state:
        pytest.skip(f"no bpf(2): {state.reason}")
    prog = bb.assemble("r0 = 2\nexit")
    for value in (bb.kernel.verify(prog), bb.kernel.run(prog, bytes(64))):
        assert name(value) in TEXT_ONLY and "\n" not in repr(value) and len(repr(value)) <= 240


def test_views_name_types_that_exist() -> None:
    import importlib

    for module, kind in [(m, k) for m, k, _ in VIEWS] + sorted(TEXT_ONLY):
        assert hasattr(importlib.import_module(module), kind), f"{module}.{kind}"
