"""The path tree agrees with the verifier's own counts, and its views show what it holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench.errors import NotebookError, VerifierError
from bpfbench.notebook import native, paths, plots
from bpfbench.notebook.labs import dfs_lab
from bpfbench.verifier.path_tree import PRUNED, REFUSED, path_tree
from bpfbench.verifier.verification import Verification

DATASETS = Path(__file__).parents[2] / "datasets"
BRANCHY = "r6 = 0\ncall get_prandom_u32\nr7 = r0\n" + "\n".join(
    f"if r7 & {1 << b} goto a{b}\nr6 = 1\nr6 = 2\nr6 = 3\nr6 = 0\na{b}:" for b in range(6)) + "\nr0 = 0\nexit"


def verified(file: str = "xdp_loops.o") -> Verification:
    return bb.verify(next(iter(bb.load(DATASETS / file).programs.values())), trace=True)


@pytest.mark.parametrize("file", ["xdp_loops.o", "xdp_nat.o", "xdp_firewall.o", "xdp_chacha.o"])
def test_every_step_belongs_to_one_path(file: str) -> None:
    v = verified(file)
    tree = path_tree(v)
    assert tree.waiting == 0 and v.accepted
    taken = [step for p in tree.paths for step in range(p.steps[0], p.steps[1] + 1)]
    assert taken == list(range(1, v.insns_processed + 1))
    assert len(tree.checkpoints) == v.total_states


def test_pruned_paths_have_the_checkpoint_that_covers_them() -> None:
    tree = path_tree(bb.verify(bb.assemble(BRANCHY, type="xdp"), trace=True))
    pruned = [p for p in tree.paths if p.end == PRUNED]
    assert pruned and all(tree.checkpoints[p.by].pc == p.pcs[1] for p in pruned)
    assert sum(c.hits for c in tree.checkpoints.values()) == len(pruned)
    assert "checkpoint" in paths.side(tree, pruned[0])


def test_without_pruning_every_path_goes_to_the_end() -> None:
    prog = bb.assemble(BRANCHY, type="xdp")
    tree = path_tree(bb.verify(prog, trace=True, without=("pruning",)))
    assert len(tree.paths) == 2**6 and Counter(p.end for p in tree.paths) == {"exit": 64}
    drawn = paths.side_by_side(bb.verify(prog, trace=True), bb.verify(prog, trace=True, without=("pruning",)))
    assert "without pruning" in drawn and drawn.count("<svg") == 2


def test_a_refusal_ends_the_last_path() -> None:
    v = bb.verify(bb.assemble("call get_prandom_u32\nif r0 == 1 goto +1\nr5 = 0\nr0 = r5\nexit", type="xdp"), trace=True)
    tree = path_tree(v)
    assert tree.paths[-1].end == REFUSED and tree.paths[-1].pcs[1] == v.pc
    graph = tree.to_networkx()
    assert graph.nodes[1]["end"] == REFUSED and list(graph.edges) == [(0, 1)]


def test_a_tree_needs_a_trace() -> None:
    with pytest.raises(VerifierError, match="trace=True"):
        path_tree(bb.verify(bb.assemble("r0 = 0\nexit")))
    with pytest.raises(NotebookError, match="trace=True"):
        plots.cost(bb.verify(bb.assemble("r0 = 0\nexit")))


def test_like_paths_share_a_row() -> None:
    tree = path_tree(verified())
    rows = paths.alike(tree)
    assert [n for row in rows for n in row] == list(range(len(tree.paths)))
    assert max(len(row) for row in rows) == 64 and len(paths.tree_view(tree)) < 500_000


def test_plots_show_what_was_found() -> None:
    v = verified()
    assert len(plots.register_timeline(v, [1, 2]).axes) == 2
    bars = plots.cost(v).axes[0].patches
    assert sum(bar.get_height() for bar in bars) == sum(e.kind == "visit" for e in v.trace or [])
    grid = plots.liveness_map(v).axes[0].collections[0].get_array()
    masks = [mask for mask, insn in zip(v.liveness, v.program.insns) if insn is not None][:80]
    assert grid is not None and int(grid.sum()) == sum(mask.bit_count() for mask in masks)
    with pytest.raises(NotebookError, match="r11"):
        plots.register_timeline(v, [11])
    with pytest.raises(NotebookError, match="no verifications"):
        plots.cost_against_size([])


def test_two_listings_are_compared_group_by_group() -> None:
    prog = bb.assemble("r0 = 0\nr0 += 7\nexit", type="xdp")
    same = native.native_diff(bb.jit(prog, "x86_64"), bb.jit(prog, "x86_64"))
    other = native.native_diff(bb.jit(prog, "x86_64"), bb.jit(prog, "aarch64"))
    assert ": 0 of 4 groups differ" in repr(same) and ": 0 of" not in repr(other)


def test_native_instructions_know_their_fields() -> None:
    code = bb.jit(bb.assemble("r0 = 2\nexit"), "riscv64")
    said = native.fields(code.placed[-1])
    assert said.startswith("jalr") or "7..0" not in said
    for placed in code.placed:                                  # the fields, put together, are the instruction
        parts = native.fields(placed).split(": ", 1)[1].split("; ")
        bits = "".join(part.rsplit("=", 1)[-1].split(" ")[-1] for part in parts)
        assert int(bits, 2) == int.from_bytes(placed.raw, "little") and len(bits) == 8 * len(placed.raw)


def test_the_nfp_pass_by_pass() -> None:
    shown = native.nfp_passes(bb.assemble("r2 = *(u32 *)(r1 + 0)\nr2 += -8\nr0 = 2\nexit"))
    assert "-> " in repr(shown) and "negate: 1 changed, 2 saved" in shown.html


def test_the_walk_of_the_laboratory_ends_with_everything_explored() -> None:
    lab = dfs_lab().set(end=True)
    status = next(p for p in lab.parts() if p["kind"] == "table")["rows"]
    assert {row[2] for row in status} == {"E"}
    assert repr(lab) == "DfsLab(12 steps; back edges: 3 to 2)"
    assert "say" in {p["kind"] for p in dfs_lab("nonsense").document()["parts"]}
