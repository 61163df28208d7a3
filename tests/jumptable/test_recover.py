"""Recovery against exact truth: the linker wrote it down, nobody decoded it."""

from __future__ import annotations

import json

import pytest

from bpfbench.jumptable import recover
from bpfbench.jumptable.image import Image

from .support import CORPUS, GALLERY, elf, stripped, truth

FIELDS = ("base", "entry_size", "signed", "shift", "anchor", "count", "targets")
LOOK_ALIKE = {"neg": {"tail call", "virtual call"}, "got": {"computed goto"}}


@pytest.mark.parametrize("symbols", [True, False], ids=["symbols", "stripped"])
@pytest.mark.parametrize("name", CORPUS + GALLERY)
def test_every_table_of_every_build_is_exact(name: str, symbols: bool) -> None:
    raw = elf(name)
    rows = {r["branch"]: r for r in recover(Image(raw if symbols else stripped(raw), name)).rows()}
    for t in truth(name)["tables"]:
        row = rows[t["branch"]]
        assert row["kind"] == "jump table", row
        assert {k: row[k] for k in FIELDS} == {k: t[k] for k in FIELDS}
    known = {t["branch"] for t in truth(name)["tables"]}
    assert [b for b, r in rows.items() if r["kind"] == "jump table" and b not in known] == []


@pytest.mark.parametrize("name", GALLERY)
def test_look_alikes_are_what_they_are(name: str) -> None:
    found = recover(Image(elf(name), name))
    for n in truth(name)["negatives"]:
        kinds = {b.kind for b in found.branches if n["start"] <= b.addr < n["end"]}
        assert kinds == {n["kind"]}, n["function"]


@pytest.mark.parametrize("name", CORPUS)
def test_pointer_calls_and_computed_gotos_of_compilers(name: str) -> None:
    found = recover(Image(elf(name), name))
    tables = {t["branch"] for t in truth(name)["tables"]}
    for b in found.branches:
        kinds = LOOK_ALIKE.get(b.function.name[:3]) if b.function else None
        if kinds and b.addr not in tables:
            assert b.kind in kinds, b


def test_a_dead_compare_bounds_and_a_lost_one_does_not() -> None:
    """`proven` means that a compare or mask gave the count; an unreachable default leaves only a guess."""
    found = recover(Image(elf("clang-16-Oz"), "clang"))
    by = {t.function.name: t for t in found.tables}
    assert by["pos_dense0"].confidence == "proven" and by["pos_dense0"].sizes.source == "compare"
    assert by["pos_unreachable0"].confidence == "guessed"
    masked = [t for t in recover(Image(elf("gallery"), "gallery")).tables if t.sizes.source == "mask"]
    assert masked and {t.count for t in masked} == {8} and {t.confidence for t in masked} == {"proven"}


@pytest.mark.parametrize(("name", "tables"), [("go-1.19.stripped", 14), ("go-1.27-pie.stripped", 18)])
def test_go_without_symbols(name: str, tables: int) -> None:
    """Functions come from .gopclntab, sizes from the compare; 14 and 18 are the tables the compiler listed (`-S`)."""
    found = recover(Image(elf(name), name))
    assert len(found.tables) == tables
    assert {t.confidence for t in found.tables} == {"proven"} and {t.shape.form for t in found.tables} == {"D8"}
    assert all(x in t.function for t in found.tables for x in t.targets)
    assert found.kinds()["unknown"] == 0 and "main.dense" in {t.function.name for t in found.tables}


def test_rows_are_json_and_explain_reads() -> None:
    found = recover(Image(elf("gallery"), "gallery"))
    rows = json.loads(json.dumps(found.rows("pos_G2_t1")))
    assert len(rows) == 1 and rows[0]["kind"] == "jump table"
    text = found.explain(rows[0]["branch"])
    for word in ("snippet", "anchor", "entry", "table", "rule 2 holds", "confidence: proven"):
        assert word in text
    assert found.tables[0].to_dot().startswith("digraph")
    graph = found.tables[0].cfg.to_networkx()
    assert any(d["kind"] == "table" for _, _, d in graph.edges(data=True))
    before = found.tables[0].before
    assert before is not None and not any(d["kind"] == "table" for _, _, d in before.to_networkx().edges(data=True))


def test_split_snippets_name_all_their_instructions() -> None:
    """Point 8 of the post: two loads in two blocks feed one addition."""
    found = recover(Image(elf("gallery"), "gallery"))
    table = found.of("pos_C1_split")[0]
    assert len(table.shape.entry.loads) == 2
    assert [role for _, role, _ in table.slice()].count("entry") == 2


def test_anchor_in_the_next_function() -> None:
    """Point 5 of the post: the anchor is only `br + 4`, here the entry of another function."""
    found = recover(Image(elf("gallery"), "gallery"))
    table = found.of("pos_G2_last")[0]
    owner = found.functions.at(table.anchor)
    assert owner is not None and owner.name == "next_pos_G2_last" and table.anchor == table.branch + 4
