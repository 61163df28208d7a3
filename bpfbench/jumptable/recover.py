"""The pipeline: `recover(path)` runs the two steps of the post to a fixed point.

    scan -> guess (window)  ->  for each function with a branch worth it:
                                  +-> Cfg with the targets believed so far
                                  |   slice, range, size, decode, verify each branch
                                  +-- new targets?  (new blocks show new definitions and new branches)
                            ->  sizes without proof once more, now that all tables are known

A branch that step one already understands from its own straight line (a virtual call, say) does not make a graph by
itself; `graphs=True` builds them for every function.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, final

from bpfbench.collector import paused

from . import guess as g
from . import note, sizes, verify
from .cfg import Cfg, straight_line
from .functions import Function, FunctionMap, discover, pclntab
from .image import Image
from .noreturn import noreturn_functions
from .ranges import Ranges
from .slicing import Slicer
from .tables import Branch, JumpTable, JumpTables
from .values import Memory

ROUNDS: Final = 12
WINDOW: Final = 48


def first_step(image: Image, functions: FunctionMap) -> list[Branch]:
    """Every indirect branch with its guess from straight-line code alone."""
    out = []
    for addr in g.scan(image):
        owner = functions.at(addr)
        window = straight_line(image, addr, WINDOW)
        if owner is not None and window.start < owner.start:
            window = straight_line(image, addr, (addr - owner.start) // 4)
        made = g.guess(image, functions, window, Slicer(image, window), addr)
        # What a register held at the top of a window is not what the function was given.
        if made.kind == g.TAIL_CALL and made.evidence.endswith(g.GIVEN) and not (owner and window.start == owner.start):
            made = g.Guess(addr, g.UNKNOWN, made.value, None, "set before the straight line that leads here")
        out.append(Branch(addr, owner, made))
    return out


@final
class Recovery:
    """The state of one run; `run()` gives the result."""

    def __init__(self, image: Image, graphs: bool = False) -> None:
        self.image = image
        self.functions = discover(image)
        self.branches = first_step(image, self.functions)
        self.graphs = graphs
        self.noreturn = noreturn_functions(image, self.functions)
        self.records = {a: size for a, (_, size) in g.hints(image).items()}
        self.notes = {r.branch: r for r in note.read(image)}
        self.go = pclntab(image) is not None
        self.symbols = sorted(
            {s.addr for s in image.symbols if s.addr and s.kind in ("OBJECT", "NOTYPE") and not s.name.startswith("$x")}
            | {s.addr for s in image.dynamic_symbols if s.addr and s.kind == "OBJECT"}
        )
        self.known: list[int] = []
        self.strict: set[int] = set()  # branches whose guessed table led to its own refutation
        self.rounds = 0

    def run(self) -> JumpTables:
        groups: dict[int, list[Branch]] = {}
        for b in self.branches:
            if b.function is not None and b.kind != g.PLT:
                groups.setdefault(b.function.start, []).append(b)
        starts = {b.first.shape.entry.table for b in self.branches if b.first.shape is not None}
        self.known = sorted(starts)
        work = [bs for bs in groups.values() if self.graphs or any(self._worth(b) for b in bs)]
        for bs in work:
            self._function(bs)
        found = {b.table.address for b in self.branches if b.table is not None}
        if found != starts:
            self.known = sorted(found)
            for bs in work:
                if any(self._cut_by(b.table) or (b.table is None and b.withdrawn) for b in bs):
                    self._function(bs)
        self._overlaps()
        return JumpTables(self.image, self.functions, self.branches, self.rounds)

    def _worth(self, b: Branch) -> bool:
        kind = b.first.kind
        memory = b.first.value.single if b.first.value is not None else None
        return (
            b.first.shape is not None
            or kind in (g.UNKNOWN, g.COMPUTED_GOTO, g.FIXED)
            or (isinstance(memory, Memory) and memory.stride != 0)
        )

    def _cut_by(self, table: JumpTable | None) -> bool:
        """Would knowing all tables change a size that no compare proves?"""
        if table is None or table.sizes.proven:
            return False
        end = sizes.boundary(self.image, table.address, self.known, self.symbols)
        return (end - table.address) // table.size != table.sizes.votes.get("gap")

    def _function(self, branches: list[Branch]) -> None:
        """Step two for one function, repeated until no new target appears."""
        owner = branches[0].function
        assert owner is not None
        targets: dict[int, list[int]] = {}
        data: list[tuple[int, int]] = []
        before: Cfg | None = None
        for turn in range(ROUNDS):
            cfg = Cfg(self.image, owner, targets, self.noreturn, data)
            before = before or cfg
            branches = [b for b in branches if b.addr < cfg.end]
            slicer = Slicer(self.image, cfg)
            ranges = Ranges(cfg, slicer)
            new: dict[int, list[int]] = {}
            inline: list[tuple[int, int]] = []
            for b in branches:
                self._branch(b, owner, cfg, slicer, ranges)
                if b.table is None and b.addr in targets and b.kind != g.FIXED:
                    self.strict.update(x.addr for x in branches if x.table is None or not x.table.sizes.proven)
                if b.table is not None:
                    b.table.before = before
                    new[b.addr] = b.table.targets
                    if owner.start <= b.table.address < owner.end:
                        inline.append((b.table.address, b.table.end))
                elif b.kind == g.FIXED and b.second is not None and b.second.value is not None:
                    new[b.addr] = [b.second.value.const]
            self.rounds = max(self.rounds, turn + 1)
            inline.sort()
            if new == targets and inline == data:
                return
            targets, data = new, inline

    def _branch(self, b: Branch, owner: Function, cfg: Cfg, slicer: Slicer, ranges: Ranges) -> None:
        made = g.guess(self.image, self.functions, cfg, slicer, b.addr)
        b.second, b.table, b.withdrawn = made, None, []
        b.kind, b.evidence = made.kind, [made.evidence]
        if made.shape is None:
            return
        record = self._record(b, made.shape)
        size, targets = sizes.measure(
            self.image, cfg, ranges, made.shape, owner, self.known, self.symbols, record, b.addr in self.strict
        )
        checks = verify.verify(self.image, self.functions, cfg, owner, made, size, targets)
        failed = [c for c in checks if not c.ok and c.fatal]
        if failed:
            b.kind, why = self._look_alike(made.shape, owner, checks)
            b.withdrawn = [repr(c) for c in failed]
            b.evidence.append(why)
            return
        kind = made.kind
        if made.shape.form == "D8" and not self._is_switch(b, cfg, made.shape, size, record):
            kind = g.COMPUTED_GOTO
            b.evidence.append("8-byte entries without a compare: no compiler makes a switch of that")
        b.kind = kind
        level = verify.confidence(size, checks)
        b.table = JumpTable(owner, b.addr, kind, made.shape, targets, size, checks, level, cfg)

    def _record(self, b: Branch, shape: g.Shape) -> int | None:
        row = self.notes.get(b.addr)
        if row is not None and row.table == shape.entry.table and row.size == shape.entry.size:
            return row.count
        size = self.records.get(shape.entry.table)
        return size // shape.entry.size if size is not None and size % shape.entry.size == 0 else None

    def _is_switch(self, b: Branch, cfg: Cfg, shape: g.Shape, size: sizes.Size, record: int | None) -> bool:
        return self.go or record is not None or cfg.insn(b.addr).rn == 27 or "compare" in size.votes

    def _look_alike(self, shape: g.Shape, owner: Function, checks: list[verify.Check]) -> tuple[str, str]:
        """What a withdrawn table is instead."""
        first = verify.targets_of(self.image, shape, 4)
        if any(c.rule == 9 and not c.ok for c in checks):
            return g.TAIL_CALL, "a table of functions"
        if shape.form in ("D8", "R4", "C4") and first and first[0] not in owner and self.image.executable(first[0]):
            return g.TAIL_CALL, f"the entries lead to other functions, such as {first[0]:#x}"
        if shape.form == "D8" and not self.image.constant(shape.entry.table):
            return g.TAIL_CALL, f"an array of pointers in writable memory at {shape.entry.table:#x}"
        return g.UNKNOWN, "no rule says what it is instead"

    def _overlaps(self) -> None:
        """Rule 6: of two tables that overlap without being the same, a guessed one gives way."""
        rows = sorted(
            (b for b in self.branches if b.table is not None),
            key=lambda b: (b.table.address, b.addr) if b.table else (0, 0),
        )
        last: Branch | None = None
        for b in rows:
            t = b.table
            assert t is not None
            if last is not None and last.table is not None and t.address < last.table.end:
                same = (t.address, t.size) == (last.table.address, last.table.size)
                if not same:
                    loser = last if last.table.confidence == "guessed" else b
                    assert loser.table is not None
                    loser.table.checks.append(verify.Check(6, False, False, f"overlaps the table of {b.addr:#x}"))
            if last is None or last.table is None or t.end > last.table.end:
                last = b


def recover(path: str | Path | Image, graphs: bool = False) -> JumpTables:
    """Recovers the jump tables of an AArch64 ELF file.

    `path` is a file (or an `Image`); `graphs=True` builds the control flow graph of every function with an indirect
    branch, not only of those that need it.  Raises JumptableError when the file is not an AArch64 executable.
    """
    image = path if isinstance(path, Image) else Image.open(path)
    with paused():
        return Recovery(image, graphs).run()
