"""Every view in one notebook: cell number -> what it shows.  test_gallery.py opens it in JupyterLab and as a file."""

from __future__ import annotations

from typing import Final

SETUP: Final = '''\
import bpfbench as bb
import bpfbench.notebook
from bpfbench.notebook import charts, labs, native, paths, plots
from bpfbench.notebook.labs.runs import EXAMPLE
from bpfbench.notebook.widgets import time_machine
from bpfbench.verifier.path_tree import path_tree
prog = bb.assemble("""
    r6 = r1
    r2 = *(u32 *)(r6 + 4)
    r3 = *(u32 *)(r6 + 0)
    r4 = r3
    r4 += 14
    if r4 > r2 goto out
    r0 = *(u8 *)(r3 + 12)
    *(u64 *)(r10 - 8) = r0
    r7 = 0
loop:
    r7 += 1
    if r7 < 4 goto loop
    r1 = *(u64 *)(r10 - 8)
    if r1 > 7 goto out
    r1 &= 3
    r2 = r1
    call double
out:
    r0 = 1
    exit
double:
    r0 = r1
    r0 += r0
    exit
""", name="parse")
v = bb.verify(prog, trace=True)
forks = bb.assemble(EXAMPLE, name="forks")
bad = bb.assemble("r2 = *(u32 *)(r1 + 0)\\nr2 += 2\\nr0 = *(u8 *)(r2 + 12)\\nexit", name="unchecked")
card = bb.assemble("r2 = *(u32 *)(r1 + 0)\\nr2 += -8\\nr4 = 5\\nr4 *= 8\\nw5 = w4\\nw5 += 1\\nr0 = 2\\nexit", name="card")'''

# name, code
CELLS: Final = (
    ("setup", SETUP),
    ("program", "prog"),
    ("verification", "v"),
    ("machine", "time_machine(v)"),
    ("tree", "path_tree(bb.verify(forks, trace=True))"),
    ("compare", "paths.compare_runs(*(bb.verify(forks, trace=True, without=off) for off in ((), ('pruning',))))"),
    ("timeline", "plots.register_timeline(v, [0, 1, 7])"),
    ("heat", "plots.liveness_map(v)"),
    ("bounds chart", "charts.bounds_chart(v, [0, 1, 7])"),
    ("liveness chart", "charts.liveness_chart(v)"),
    ("cost chart", "charts.cost_chart(v)"),
    ("graph", "bb.cfg(prog)"),
    ("native", 'native.native_view(prog, ["x86_64", "aarch64", "riscv64"])'),
    ("diff", 'native.native_diff(bb.jit(prog, "x86_64"), bb.jit(prog, "x86_64", kernel="linux-6.1"))'),
    ("passes", "native.nfp_passes(card)"),
    ("explanation", "bb.verify(bad, trace=True).explain()"),
    ("tnum", 'labs.tnum_lab("01xx", "00x1", "add")'),
    ("bounds", 'labs.bounds_lab("0..56", "1..8")'),
    ("encoding", 'labs.encoding_lab("r1 += 8")'),
    ("pruning", "labs.pruning_lab()"),
    ("liveness", "labs.liveness_lab()"),
    ("dfs", "labs.dfs_lab()"),
    ("runs", "labs.runs_lab()"),
)
NAMES: Final = [name for name, _ in CELLS]


def notebook() -> dict[str, object]:
    """The notebook, not run."""
    cells = [{"cell_type": "code", "execution_count": None, "id": f"view{i}", "metadata": {}, "outputs": [], "source": code}
             for i, (_, code) in enumerate(CELLS)]
    spec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": spec}, "nbformat": 4, "nbformat_minor": 5}
