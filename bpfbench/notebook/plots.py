"""Plots of a verification: what was known when, what was live where, and what it cost.

Each function returns a matplotlib `Figure`, which a notebook shows and a script saves:

    register_timeline   bounds of chosen registers over the steps of the walk
    liveness_map        instructions against registers: live before it, or not
    cost                visits, checkpoints and prunes per instruction
    cost_against_size   processed instructions of many programs against their length

>>> import bpfbench as bb
>>> v = bb.verify(bb.assemble("r0 = 0\\nl: r0 += 1\\nif r0 < 5 goto l\\nexit", type="xdp"), trace=True)
>>> register_timeline(v, [0])
<Figure size 900x280 with 1 Axes>
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from matplotlib.figure import Figure

from bpfbench.errors import NotebookError
from bpfbench.isa.text import format_insn
from bpfbench.verifier.regstate import NOT_INIT, SCALAR

BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
RED: Final = "#D55E00"
GREY: Final = "#767676"
MOST_POINTS: Final = 20_000


def _trace(v: Any) -> Any:
    if v.trace is None or not len(v.trace):
        raise NotebookError("there is no trace to plot: verify with trace=True")
    return v.trace


def register_timeline(v: Any, registers: Sequence[int] = (0,), most: int = MOST_POINTS) -> Figure:
    """Bounds (unsigned, logarithmic) of numbers and, for pointers, of their variable part, at each step.

    A filled band is a range, a line a constant, a gap "nothing known yet" or a pointer without a variable part.
    NotebookError for a register that does not exist or a verification without trace.
    """
    for r in registers:
        if not 0 <= r <= 10:
            raise NotebookError(f"there is no register r{r}")
    figure = Figure(figsize=(9, 1.0 + 1.8 * len(registers)), layout="constrained")
    axes = figure.subplots(len(registers), 1, sharex=True, squeeze=False)[:, 0]
    visits = _trace(v).of("visit")[:most]
    forks = [e.step for e in v.trace.of("resume")][:most]
    for axis, r in zip(axes, registers):
        steps, low, high = [], [], []
        for e in visits:
            reg = e.values["regs"][r]
            known = reg.kind == SCALAR or (reg.kind != NOT_INIT and reg.scalar.m)
            steps.append(e.step)
            low.append(float(reg.scalar.umin) if known else float("nan"))
            high.append(float(reg.scalar.umax) if known else float("nan"))
        axis.fill_between(steps, low, high, step="post", color=BLUE, alpha=0.25, linewidth=0)
        axis.step(steps, low, where="post", color=BLUE, linewidth=1.2, label="smallest")
        axis.step(steps, high, where="post", color=ORANGE, linewidth=1.2, linestyle="--", label="largest")
        axis.set_yscale("symlog", base=2, linthresh=1)
        axis.set_ylim(-0.5, 2.0**65)
        axis.set_yticks([0.0, 2.0**8, 2.0**16, 2.0**32, 2.0**48, 2.0**64], ["0", "2⁸", "2¹⁶", "2³²", "2⁴⁸", "2⁶⁴"])
        axis.set_ylabel(f"r{r}")
        if len(forks) <= 200:
            axis.vlines(forks, 0, 1, transform=axis.get_xaxis_transform(), color=GREY, linewidth=0.6, linestyle=":")
    axes[0].legend(loc="upper right", fontsize=8)
    axes[0].set_title(f"{v.program.name}: bounds at each step (dotted: another path is taken up)", fontsize=10)
    axes[-1].set_xlabel("step")
    return figure


def liveness_map(v: Any, most: int = 80) -> Figure:
    """Which registers are live before each instruction, for the first `most` instructions."""
    shown = [(pc, insn) for pc, insn in enumerate(v.program.insns) if insn is not None][:most]
    masks = v.liveness
    figure = Figure(figsize=(7.5, 0.9 + 0.19 * len(shown)), layout="constrained")
    axis = figure.subplots()
    grid = [[masks[pc] >> r & 1 for r in range(11)] for pc, _ in shown]
    axis.pcolormesh(grid, cmap="Blues", vmin=0, vmax=1.4, edgecolors="white", linewidth=0.5)
    axis.set_xticks([r + 0.5 for r in range(11)], [f"r{r}" for r in range(11)])
    axis.set_yticks([i + 0.5 for i in range(len(shown))], [f"{pc:3} {format_insn(insn)[:44]:44}" for pc, insn in shown],
                    fontsize=7, family="monospace")
    axis.invert_yaxis()
    axis.xaxis.tick_top()
    axis.set_title(f"{v.program.name}: live before the instruction", fontsize=10)
    return figure


def cost(v: Any) -> Figure:
    """How often each instruction was processed, and how many checkpoints and prunes it saw."""
    counts: dict[str, Counter[int]] = {kind: Counter() for kind in ("visit", "keep", "prune", "kept")}
    trace = _trace(v)
    for kind, pc in zip(trace.kinds, trace.pcs):
        if kind in counts:
            counts[kind][pc] += 1
    size = len(v.program.insns)
    figure = Figure(figsize=(9, 4.2), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    top.bar(range(size), [counts["visit"][pc] for pc in range(size)], width=1.0, color=BLUE)
    top.set_ylabel("times processed")
    title = f"{v.program.name}: {v.insns_processed} processed, {size} slots, {v.total_states} checkpoints"
    top.set_title(title, fontsize=10)
    for kind, label, colour, mark in (("keep", "checkpoints made", BLUE, "o"), ("prune", "paths pruned", GREEN, "^"),
                                      ("kept", "comparisons that failed", RED, "x")):
        at = sorted(counts[kind])
        bottom.plot(at, [counts[kind][pc] for pc in at], mark, color=colour, markersize=4, label=label)
    bottom.set_ylabel("events")
    bottom.set_xlabel("instruction")
    bottom.legend(fontsize=8)
    return figure


def cost_against_size(found: Iterable[Any]) -> Figure:
    """Processed instructions of many verifications against program length, both logarithmic."""
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axis = figure.subplots()
    rows = [(len(v.program.insns), max(v.insns_processed, 1), v.accepted) for v in found]
    if not rows:
        raise NotebookError("no verifications to plot")
    for wanted, colour, mark, label in ((True, BLUE, "o", "accepted"), (False, RED, "x", "rejected")):
        points = [(n, cost) for n, cost, accepted in rows if accepted == wanted]
        axis.plot([n for n, _ in points], [c for _, c in points], mark, color=colour, label=label, markersize=5)
    longest = max(n for n, _, _ in rows)
    axis.plot([1, longest], [1, longest], color=GREY, linewidth=0.8, label="once each")
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlabel("slots of the program")
    axis.set_ylabel("instructions processed")
    axis.legend(fontsize=8)
    return figure
