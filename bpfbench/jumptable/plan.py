"""Which functions can move, and as what: the look over the whole binary before anything is written.

A function is rewritten when everything that leads into it and out of it is known.  What leads *in* besides calls
(branches from elsewhere, label addresses in data, in `adr` or in `adrp`+`add`) is kept working by a branch left at the
old address; what leads *out* through a register must be a recovered table, a tail call, or a computed goto over
pointers.  Everything else is refused with a reason and left alone.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Final, final

from . import a64, dispatch, instrument, landing
from . import guess as g
from .cfg import Cfg
from .dispatch import Change, Refused
from .emit import ADR, ADRP, BRANCH, CALL, LITERAL, RAW, Item, Piece
from .entries import MAX_ENTRIES, decode
from .functions import Function
from .image import SHF_EXECINSTR, Image
from .noreturn import noreturn_functions
from .tables import Branch, JumpTable, JumpTables
from .unwind import Frame, Frames, Unsupported

EDGE_LABEL: Final = 1 << 60  # labels of inserted edge blocks start here


@final
class NewTable:
    """An array to write: entry k is `address of targets[k] - anchors[k]`."""

    __slots__ = ("table", "targets", "labels", "address")

    def __init__(self, table: JumpTable, targets: list[int]) -> None:
        self.table = table
        self.targets = targets
        self.labels = list(targets)  # replaced by edge blocks when edges are counted
        self.address = 0

    def anchor(self, k: int) -> int:
        shape = self.table.shape
        return shape.entry.table + shape.entry.size * k if shape.relative else shape.anchor


@final
class Plan:
    """One function to rewrite: its graph, tables, unwind rows, and the old addresses that must lead to the new code."""

    def __init__(
        self,
        function: Function,
        cfg: Cfg,
        tables: list[NewTable],
        absolute: list[JumpTable],
        stubs: set[int],
        frame: Frame | None,
        lsda: landing.Lsda | None,
    ) -> None:
        self.function = function
        self.cfg = cfg
        self.tables = tables
        self.absolute = absolute
        self.stubs = stubs
        self.frame = frame
        self.lsda = lsda
        self.pieces: list[Piece] = []
        self.literals: dict[int, bytes] = {}
        self.succs: dict[int, list[int]] = {}


@final
class Survey:
    """References into the middle of functions, gathered in one pass over code and data."""

    def __init__(self, image: Image, tables: JumpTables) -> None:
        self.image = image
        self.functions = tables.functions
        self.called = {image.entry}  # targets of direct calls
        self.inside: dict[int, set[int]] = {}  # function start -> old addresses that must stay reachable
        anchors = {
            at for b in tables.branches if b.table is not None for at, role, _ in b.table.slice() if role == "anchor"
        }
        for start, end, name in image.code_ranges():
            if not name.startswith((".plt", ".iplt")):
                self._code(start, end, anchors)
        self._pointers()

    def _mark(self, target: int, source: int) -> None:
        f = self.functions.at(target)
        if f is not None and target != f.start and source not in f and not target & 3:
            self.inside.setdefault(f.start, set()).add(target)

    def _code(self, start: int, end: int, anchors: set[int]) -> None:
        pages: dict[int, tuple[int, int]] = {}
        for k, w in enumerate(self.image.words(start, (end - start) // 4)):
            top = w >> 24
            if top & 0x7C == 0x14 or top & 0x7C == 0x34 or top == 0x54:
                insn, pc = a64.decode(w), start + 4 * k
                if insn.op == a64.BL:
                    self.called.add(pc + insn.imm)
                if insn.op in a64.DIRECT or insn.op == a64.BL:
                    self._mark(pc + insn.imm, pc)
            elif top & 0x1F == 0x10:
                insn, pc = a64.decode(w), start + 4 * k
                if insn.op == a64.ADRP:
                    pages[insn.rd] = (pc, (pc & ~0xFFF) + insn.imm)
                elif pc not in anchors:
                    self._mark(pc + insn.imm, -1)
            elif w & 0xFFC00000 == 0x91000000 and (w >> 5) & 31 in pages:
                pc, page = pages[(w >> 5) & 31]
                if start + 4 * k - pc < 64:
                    self._mark(page + (w >> 10 & 0xFFF), -1)

    def _pointers(self) -> None:
        for value in self.image.relative.values():
            self._mark(value, -1)
        if not self.image.pie:
            for sec in self.image.sections:
                if sec.flags & 2 and sec.kind != 8 and not sec.flags & SHF_EXECINSTR and sec.size >= 8:
                    raw = self.image.read(sec.addr, sec.size)
                    skew = -sec.addr & 7
                    body = (raw or b"")[skew:]
                    for (value,) in struct.iter_unpack(self.image.order + "Q", body[: len(body) // 8 * 8]):
                        if self.image.executable(value):
                            self._mark(value, -1)


@final
class Planner:
    """Decides for every function; `plans` and `refused` (reason -> functions) are the result."""

    def __init__(self, image: Image, tables: JumpTables, only_tables: bool = False) -> None:
        self.image = image
        self.tables = tables
        self.frames = Frames(image)
        self.survey = Survey(image, tables)
        self.noreturn = noreturn_functions(image, tables.functions)
        self.plans: list[Plan] = []
        self.refused: dict[int, str] = {}
        by: dict[int, list[Branch]] = {}
        for b in tables.branches:
            if b.function is not None:
                by.setdefault(b.function.start, []).append(b)
        for f in tables.functions.functions:
            mine = by.get(f.start, [])
            if only_tables and not any(b.table is not None for b in mine):
                continue
            try:
                self.plans.append(self._plan(f, mine))
            except Refused as why:
                self.refused[f.start] = str(why)

    def reasons(self) -> Counter[str]:
        return Counter(self.refused.values())

    def _plan(self, f: Function, branches: list[Branch]) -> Plan:
        if not f.exact and f.start not in self.survey.called:
            raise Refused("its extent is not certain")
        sec = self.image.section(f.start)
        if sec is not None and sec.name in (".init", ".fini", ".plt", ".iplt"):
            raise Refused(f"it is part of {sec.name}")
        if f.size < (8 if self.image.bti else 4):
            raise Refused("too small for a branch to its new place")
        frame, pads = self._frame(f)
        relative, absolute = self._dispatches(branches)
        targets = {t.table.branch: t.targets for t in relative}
        targets.update({t.branch: t.targets for t in absolute})
        for b in branches:
            if b.kind == g.FIXED and b.second is not None and b.second.value is not None:
                targets[b.addr] = [b.second.value.const]
        inline = [(t.address, t.end) for t in (*(n.table for n in relative), *absolute) if t.address in f]
        stubs = set(self.survey.inside.get(f.start, ()))
        for b in branches:
            if b.kind == g.FIXED and targets.get(b.addr, [0])[0] in f:
                stubs.add(targets[b.addr][0])
        stubs = {a for a in stubs if not any(start <= a < end for start, end in inline)}
        roots = stubs | (pads.pads() if pads is not None else set())
        quiet = frozenset[int]() if f.exact else self.noreturn
        cfg = Cfg(self.image, f, targets, quiet, inline, tuple(sorted(roots)))
        self._certain(cfg, f)
        return Plan(f, cfg, relative, absolute, stubs | {f.start}, frame, pads)

    def _frame(self, f: Function) -> tuple[Frame | None, landing.Lsda | None]:
        try:
            frame = self.frames.at(f.start)
            if frame is None or not frame.lsda:
                return frame, None
            lsda = landing.parse(self.image, frame.lsda, f.start)
        except (Unsupported, IndexError, struct.error) as why:
            raise Refused(f"unwind information: {why}") from None
        if any(pad not in f for pad in lsda.pads()):
            raise Refused("its landing pads are in another fragment")
        return frame, lsda

    def _dispatches(self, branches: list[Branch]) -> tuple[list[NewTable], list[JumpTable]]:
        relative: list[NewTable] = []
        absolute: list[JumpTable] = []
        for b in branches:
            if b.kind == g.UNKNOWN:
                raise Refused("an indirect branch is not understood")
            if b.table is None:
                continue
            if b.table.size == 8:
                absolute.append(b.table)
            elif b.kind == g.COMPUTED_GOTO and b.table.confidence == "guessed":
                raise Refused("a computed goto over label differences has no certain size")
            else:
                relative.append(NewTable(b.table, self._targets(b.table)))
        return relative, absolute

    def _targets(self, t: JumpTable) -> list[int]:
        """A guessed table is copied as far as it can possibly reach; entries too many do no harm."""
        if t.confidence != "guessed":
            return t.targets
        limit = min(t.sizes.votes.get("decode", t.count), MAX_ENTRIES)
        return decode(self.image, t.shape, max(limit, t.count))

    def _certain(self, cfg: Cfg, f: Function) -> None:
        """All reached code must be there, and only whole functions be called."""
        for b in cfg.blocks:
            if b.reached and b.end == cfg.end and cfg.end != f.end:
                raise Refused("its bytes are not all in the file")
            last = cfg.insn(b.end - 4).op
            if b.reached and not f.exact and b.end == f.end and (
                last not in a64.TERMINATORS or last in a64.CONDITIONAL
            ):
                raise Refused("its extent is not certain")
            for at in range(b.start, b.end, 4) if b.reached else ():
                insn = cfg.insn(at)
                if insn.op in (a64.BL, a64.OUTLINED) and at + insn.imm in f and at + insn.imm != f.start:
                    raise Refused("it calls into its own middle")


def build(
    plan: Plan, changes: dict[int, Item], image: Image, count: str, first_counter: int, edge_label: int
) -> tuple[list[dict[str, object]], int]:
    """Fills `plan.pieces`; returns the legend of its counters and the next free edge label.

    `count` is "", "blocks" or "edges".
    """
    cfg, f = plan.cfg, plan.function
    reached = [b for b in cfg.blocks if b.reached]
    plan.succs = {b.start: [e.target.start for e in b.succs] for b in reached}
    quiet: set[int] = set()
    if count and any(i.word & 0x3F000000 == 0x08000000 for i in cfg.insns):
        pairs = [(b.start, cfg.insn(a)) for b in reached for a in range(b.start, b.end, 4)]
        quiet = instrument.exclusive_regions(pairs, plan.succs, [b.start for b in reached])
    legend: list[dict[str, object]] = []
    for b in reached:
        items: list[Item] = []
        for at in range(b.start, b.end, 4):
            insn = cfg.insn(at)
            items.append(changes.get(at) or _item(plan, image, at, insn))
        if count and b.start not in quiet:
            place = 1 if cfg.insn(b.start).op == a64.BTI else 0
            items.insert(place, instrument.counter(first_counter + len(legend), b.start))
            legend.append({"function": f.name, "kind": "block", "block": b.start})
        last = cfg.insn(b.end - 4)
        falls = (
            b.end
            if last.op not in a64.TERMINATORS
            or (last.op in a64.CONDITIONAL and not (last.op == a64.BCOND and last.cond >= 14))
            else None
        )
        plan.pieces.append(Piece(b.start, items, falls))
    if count == "edges":
        edge_label = _edges(plan, {b.start for b in reached} - quiet, image, legend, first_counter, edge_label)
    return legend, edge_label


def _edges(plan: Plan, loud: set[int], image: Image, legend: list[dict[str, object]], first: int, label: int) -> int:
    """Edge blocks: one per way out of a block that has several."""
    extra: list[Piece] = []

    def split(block: int, target: int, indirect: bool) -> int:
        nonlocal label
        label += 1
        items = [Item(RAW, target, [instrument.BTI_J])] if indirect and image.bti else []
        items.append(instrument.counter(first + len(legend), target))
        legend.append({"function": plan.function.name, "kind": "edge", "block": block, "target": target})
        extra.append(Piece(label, items, target))
        return label

    block_of = {p.label: p for p in plan.pieces}
    for p in list(plan.pieces):
        last = p.items[-1]
        if last.kind == BRANCH and last.insn is not None and last.insn.op in a64.CONDITIONAL and p.falls in block_of:
            if p.falls in loud and p.label in loud:
                old = p.falls
                p.falls = split(p.label, old, False)
            if last.target in block_of and last.target in loud and p.label in loud:
                last.target = split(p.label, last.target, False)
    for t in plan.tables:
        made: dict[int, int] = {}
        block = plan.cfg.block(t.table.branch).start
        for k, target in enumerate(t.targets):
            if target in loud and block in loud:
                if target not in made:
                    made[target] = split(block, target, True)
                t.labels[k] = made[target]
    plan.pieces += extra
    return label


def _item(plan: Plan, image: Image, at: int, insn: a64.Insn) -> Item:
    op = insn.op
    if op == a64.ADR:
        return Item(ADR, at, [], at + insn.imm, insn.rd, insn)
    if op == a64.ADRP:
        return Item(ADRP, at, [], (at & ~0xFFF) + insn.imm, insn.rd, insn)
    if op in a64.DIRECT:
        return Item(BRANCH, at, [], at + insn.imm, insn=insn)
    if op in (a64.BL, a64.OUTLINED):
        return Item(CALL, at, [], at + insn.imm, insn=insn)
    if op == a64.LDLIT:
        where = at + insn.imm
        raw = image.read(where, insn.size)
        if raw is not None and image.constant(where) and (insn.vector or where in plan.function):
            plan.literals[where] = raw
        elif insn.vector or where in plan.function:
            raise Refused(f"the literal load at {at:#x} cannot be moved")
        return Item(LITERAL, at, [], where, insn.rd, insn)
    if insn.word & 0x3F000000 == 0x18000000:  # prefetch of a literal: only a hint
        return Item(RAW, at, [0xD503201F])
    return Item(RAW, at, [insn.word])


def changes_of(plan: Plan, number: dict[int, int], address: dict[int, int]) -> dict[int, Item]:
    """All dispatch changes of a function; `number` and `address` are by index into `plan.tables`."""
    out: dict[int, Item] = {}
    owner: dict[int, Change] = {}
    for k, t in enumerate(plan.tables):
        made = dispatch.change(t.table, number[k], address[k])
        for at, item in made.items.items():
            before = owner.get(at)
            if before is not None and (before.table.address, before.table.anchor) != (t.table.address, t.table.anchor):
                raise Refused(f"two tables share the instruction at {at:#x}")
            if before is None:
                owner[at], out[at] = made, item
    return out
