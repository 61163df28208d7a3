"""The rewriter: `rewrite(path, out, reorder=..., instrument=...)`.

    recover -> plan (who can move) -> build (pieces, new tables, counters) -> order -> emit, function by function
            -> branches between functions -> patch the old text -> unwind tables, symbols, headers

The old text keeps, at each function's entry and at each label somebody else knows, a branch to the new code.
`poison=True` overwrites everything else that has moved with invalid words and the old arrays with 0xff, so that a run
proves that nothing falls back on them.  Go programs keep their code where it is (its function tables hold addresses);
their tables are updated in place to lead through counting trampolines (see `golang`).
"""

from __future__ import annotations

import json
import struct
from collections import Counter
from pathlib import Path
from typing import Final, final

from bpfbench.errors import JumptableError, UsageError, Where

from . import a64, instrument, landing, layout, unwind
from .dispatch import Refused
from .elfout import Output
from .emit import Emitted, Item, branch, emit
from .functions import pclntab
from .image import Image
from .instrument import Profile
from .plan import EDGE_LABEL, Plan, Planner, build, changes_of
from .recover import recover
from .tables import JumpTables

COUNTS: Final = ("", "blocks", "edges")


@final
class Rewriting:
    """What was done: `rewritten` functions (old start -> new start), `refused` (name -> reason), `tables` widened,
    `eligible` functions with tables and how many of them moved, `counters` (the legend), `relaxed` instructions."""

    def __init__(self) -> None:
        self.rewritten: dict[int, int] = {}
        self.refused: dict[str, str] = {}
        self.tables = 0
        self.updated = 0
        self.with_tables = 0
        self.with_tables_done = 0
        self.counters: list[dict[str, object]] = []
        self.relaxed = 0
        self.poisoned = 0
        self.labels: dict[int, int] = {}

    def reasons(self) -> Counter[str]:
        """How often each reason was given."""
        return Counter(self.refused.values())

    def to_json(self) -> dict[str, object]:
        return {
            "functions": len(self.rewritten),
            "refused": dict(self.reasons()),
            "tables": self.tables,
            "updated_in_place": self.updated,
            "functions_with_tables": self.with_tables,
            "functions_with_tables_rewritten": self.with_tables_done,
            "counters": len(self.counters),
            "relaxed": self.relaxed,
            "poisoned_words": self.poisoned,
        }

    def __repr__(self) -> str:
        return (
            f"Rewriting({len(self.rewritten)} functions, {self.with_tables_done} of {self.with_tables} with tables, "
            f"{self.tables} tables, {len(self.counters)} counters, {len(self.refused)} refused)"
        )


@final
class Rewriter:
    """One run; `run()` returns the new file's bytes and fills `report`."""

    def __init__(
        self,
        image: Image,
        tables: JumpTables,
        reorder: str,
        count: str,
        profile: Profile | None,
        poison: bool,
        only_tables: bool,
        counter_file: str,
    ) -> None:
        self.image = image
        self.tables = tables
        self.reorder = reorder
        self.count = count
        self.profile = profile
        self.poison = poison
        self.counter_file = counter_file
        self.report = Rewriting()
        self.planner = Planner(image, tables, only_tables)
        self.new_tables: dict[int, int] = {}  # number -> address; counters have negative numbers
        self.emitted: dict[int, Emitted] = {}

    def run(self) -> bytes:
        plans = self.planner.plans
        room = (
            sum(
                len(p.cfg.blocks) * (5 if self.count == "edges" else 1) + sum(len(t.targets) for t in p.tables)
                for p in plans
            )
            if self.count
            else 0
        )
        out = Output(self.image, 8 * room)
        plans = self._build(plans, out)
        self._emit(plans, out)
        self._link(out)
        self._write_tables(plans, out)
        self._unwind(plans, out)
        self._patch(plans, out)
        self._finish(plans, out)
        return out.finish()

    def _build(self, plans: list[Plan], out: Output) -> list[Plan]:
        """Space for tables, then pieces; a plan whose snippets cannot be changed is dropped here."""
        kept: list[Plan] = []
        number, label = 0, EDGE_LABEL
        first = out.align(16)
        for p in plans:
            numbers = {k: number + k for k in range(len(p.tables))}
            at, places = out.at, {}
            for k, t in enumerate(p.tables):
                places[k] = at
                at += 4 * len(t.targets)
            try:
                changes = changes_of(p, numbers, places)
                legend, label = build(p, changes, self.image, self.count, len(self.report.counters), label)
            except Refused as why:
                self.planner.refused[p.function.start] = str(why)
                continue
            for k, t in enumerate(p.tables):
                t.address = places[k]
                self.new_tables[numbers[k]] = places[k]
            out.place(b"\0" * (at - out.at))
            number += len(p.tables)
            self.report.counters += legend
            kept.append(p)
        for k in range(len(self.report.counters)):
            self.new_tables[-1 - k] = out.counter_base + 8 * k
        out.sections.append((".rodata.bpfbench", first, out.at - first, 1, 2))
        return kept

    def _emit(self, plans: list[Plan], out: Output) -> None:
        counts = self.profile.blocks if self.profile is not None else {}
        by = {p.function.start: p for p in plans}
        begin = out.align(64)
        if self.report.counters:
            code = instrument.startup(begin, 0, 0, 0, self.counter_file)  # its size is what matters here
            out.place(b"\0" * len(code))
        for start in layout.function_order(sorted(by), self.reorder, counts):
            p = by[start]
            pieces = layout.order(p.pieces, self.reorder, counts, p.succs)
            made = emit(pieces, out.align(16), p.literals, self.new_tables, set())
            out.place(made.code)
            self.emitted[start] = made
            self.report.relaxed += made.relaxed
            self.report.rewritten[start] = made.base
            self.report.labels.update((a, b) for a, b in made.labels.items() if a < EDGE_LABEL)
        out.sections.append((".text.bpfbench", begin, out.at - begin, 1, 6))
        self.begin = begin

    def _resolve(self, target: int) -> int:
        """Where control that went to the old `target` goes now."""
        return self.report.labels.get(target, target)

    def _link(self, out: Output) -> None:
        for made in self.emitted.values():
            for offset, target, link in made.fixups:
                at = made.base + offset
                struct.pack_into("<I", out.new, at - out.base, branch(at, self._resolve(target), link))
        if self.report.counters:
            entry = self._resolve(self.image.entry)
            code = instrument.startup(self.begin, entry, out.counter_base, out.counter_size, self.counter_file)
            out.new[self.begin - out.base : self.begin - out.base + len(code)] = code
            out.entry = self.begin
        else:
            out.entry = self._resolve(self.image.entry)

    def _write_tables(self, plans: list[Plan], out: Output) -> None:
        uses: dict[int, set[int]] = {}
        for t in (*self.tables.tables, *self.tables.gotos):
            uses.setdefault(t.address, set()).add(t.function.start)
        for p in plans:
            labels = self.emitted[p.function.start].labels
            for n in p.tables:
                raw = b""
                for k, label in enumerate(n.labels):
                    # an unused entry of a table relative to its entries points to itself, and still does nothing
                    to = labels.get(label, n.anchor(k))
                    raw += struct.pack(self.image.order + "i", to - n.anchor(k))
                out.new[n.address - out.base : n.address - out.base + len(raw)] = raw
                self.report.tables += 1
            for a in p.absolute:
                if uses[a.address] == {p.function.start}:
                    for k, target in enumerate(a.targets):
                        out.pointer(a.address + 8 * k, labels[target])
                    self.report.updated += 1

    def _unwind(self, plans: list[Plan], out: Output) -> None:
        frames = self.planner.frames
        if self.image.eh_frame_hdr is None or not frames.raw:
            return
        where = self._landing(plans, out)
        writer = unwind.Writer(out.align(8), self.image.order)
        gone = set()
        for p in plans:
            made = self.emitted[p.function.start]
            gone.add(p.function.start)
            if p.frame is not None:
                end = made.base + 4 * sum(words for _, _, words, _ in made.map)
                writer.add(p.frame, made.base, end, made.map, where.get(p.function.start, 0))
        start = out.at
        out.place(writer.finish())
        out.sections.append((".eh_frame.bpfbench", start, out.at - start, 1, 2))
        index = [(a, frames.base + at) for a, (at, _) in frames.where.items() if a not in gone] + writer.index
        base = out.align(8)
        raw = unwind.header(base, self.image.order, frames.base, index)
        out.place(raw)
        out.eh_frame_hdr = (base, len(raw))

    def _landing(self, plans: list[Plan], out: Output) -> dict[int, int]:
        """New LSDAs, by function."""
        where: dict[int, int] = {}
        begin = out.align(8)
        for p in plans:
            if p.lsda is not None:
                made = self.emitted[p.function.start]
                at = out.align(4)
                where[p.function.start] = out.place(
                    landing.build(self.image, p.lsda, made.base, made.map, made.labels, at)
                )
        if where:
            out.sections.append((".gcc_except_table.bpfbench", begin, out.at - begin, 1, 2))
        return where

    def _patch(self, plans: list[Plan], out: Output) -> None:
        """The old text: branches to the new code, and poison."""
        done = {p.function.start for p in plans}
        for p in plans:
            labels = self.emitted[p.function.start].labels
            keep: dict[int, int] = {}
            for old in sorted(p.stubs):
                if old not in labels:
                    continue
                insn, at = p.cfg.insn(old), old
                if self.image.bti and insn.op == a64.BTI and old + 4 not in p.stubs:
                    keep[old] = instrument.BTI_C if insn.writes else insn.word
                    at = old + 4
                keep[at] = branch(at, labels[old])
            for at, word in keep.items():
                out.patch(at, struct.pack("<I", word))
            if self.poison:
                for b in p.cfg.blocks:
                    for at in range(b.start, b.end, 4) if b.reached else ():
                        if at not in keep:
                            out.patch(at, b"\0\0\0\0")
                            self.report.poisoned += 1
        if self.poison:
            self._poison_tables(done, out)

    def _poison_tables(self, done: set[int], out: Output) -> None:
        users: dict[int, bool] = {}
        for t in (*self.tables.tables, *self.tables.gotos):
            users[t.address] = users.get(t.address, True) and t.function.start in done
        for t in self.tables.tables:
            if t.size < 8 and users[t.address] and t.confidence != "guessed":
                out.patch(t.address, b"\xff" * (t.count * t.size))

    def _finish(self, plans: list[Plan], out: Output) -> None:
        moved = {a: (e.base, 4 * sum(w for _, _, w, _ in e.map)) for a, e in self.emitted.items()}
        out.symbols(moved, out.next_section() + 1)
        if out.counter_size:
            out.sections.append((".bss.counters", out.counter_base, out.counter_size, 8, 3))
        by_start = {f.start: f for f in self.tables.functions.functions}
        for start, why in self.planner.refused.items():
            f = by_start[start]
            self.report.refused[f.name if f.name not in self.report.refused else f"{f.name}@{start:#x}"] = why
        owners = {t.function.start for t in self.tables.tables}
        self.report.with_tables = len(owners)
        self.report.with_tables_done = len(owners & set(self.emitted))


def rewrite(
    path: str | Path | Image,
    out: str | Path,
    reorder: str = layout.KEEP,
    instrument: str = "",
    profile: Profile | None = None,
    poison: bool = False,
    only_tables: bool = False,
    counter_file: str = instrument.COUNTER_FILE,
) -> Rewriting:
    """Writes a rewritten copy of the program at `path` to `out`.

    `reorder` is keep, reverse, random or profile (which needs `profile`); `instrument` is "", "blocks" or "edges", and
    then `OUT.counters.json` says what the counters in `counter_file` (made where the program runs) mean; `poison`
    destroys what has moved; `only_tables` leaves functions without jump tables alone.  Raises JumptableError,
    UsageError.
    """
    if reorder not in layout.MODES or instrument not in COUNTS:
        raise UsageError(f"unknown mode {reorder!r} or {instrument!r}: one of {layout.MODES}, {COUNTS}")
    if reorder == layout.PROFILE and profile is None:
        raise UsageError("reorder='profile' needs a profile")
    image = path if isinstance(path, Image) else Image.open(path)
    tables = recover(image)
    try:
        if pclntab(image) is not None:
            from .golang import GoRewriter

            go = GoRewriter(image, tables, instrument, counter_file)
            raw, report = go.run(), go.report
        else:
            r = Rewriter(image, tables, reorder, instrument, profile, poison, only_tables, counter_file)
            raw, report = r.run(), r.report
    except struct.error as why:
        raise JumptableError(f"an offset does not fit: {why}", Where(file=image.name)) from None
    try:
        Path(out).write_bytes(raw)
        Path(out).chmod(0o755)
        if report.counters:
            Path(f"{out}.counters.json").write_text(json.dumps({"counters": report.counters}))
    except OSError as why:
        raise JumptableError(f"cannot write: {why.strerror}", Where(file=str(out))) from None
    return report


__all__ = ["Item", "Rewriter", "Rewriting", "rewrite"]
