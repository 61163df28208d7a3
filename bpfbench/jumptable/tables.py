"""What recovery returns: branches, tables, and the whole result, as values worth looking at.

>>> tables = recover("prog")                                             # doctest: +SKIP
>>> tables.tables[0]                                                     # doctest: +SKIP
JumpTable(switch_a at 0x4006d4: C1, 12 entries of u8 at 0x400a10, proven)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import final

from . import a64
from .cfg import ENTRY, SLOT, Cfg, slot
from .functions import Function, FunctionMap
from .guess import COMPUTED_GOTO, JUMP_TABLE, Guess, Shape
from .image import Image
from .sizes import Size
from .verify import Check

ROLES = ("branch", "target", "entry", "table", "anchor", "index")


@final
class JumpTable:
    """One dispatch over a table: everything the seven-field record of the post needs, and the evidence for it.

    `address` of the array, `size` in bytes of an entry, `signed`, `shift` (log2 of the scale), `anchor` (code base,
    None for absolute entries), `targets` in order.  `confidence` is proven, bounded or guessed.
    """

    __slots__ = (
        "function",
        "branch",
        "kind",
        "shape",
        "count",
        "targets",
        "sizes",
        "checks",
        "confidence",
        "cfg",
        "before",
    )

    def __init__(
        self,
        function: Function,
        branch: int,
        kind: str,
        shape: Shape,
        targets: list[int],
        sizes: Size,
        checks: list[Check],
        confidence: str,
        cfg: Cfg,
    ) -> None:
        self.function = function
        self.branch = branch
        self.kind = kind
        self.shape = shape
        self.count = len(targets)
        self.targets = targets
        self.sizes = sizes
        self.checks = checks
        self.confidence = confidence
        self.cfg = cfg
        self.before: Cfg | None = None

    @property
    def address(self) -> int:
        return self.shape.entry.table

    @property
    def size(self) -> int:
        return self.shape.entry.size

    @property
    def signed(self) -> bool:
        return self.shape.entry.signed

    @property
    def shift(self) -> int:
        return abs(self.shape.scale).bit_length() - 1

    @property
    def anchor(self) -> int | None:
        return None if self.shape.relative or (self.size == 8 and not self.shape.anchor) else self.shape.anchor

    @property
    def end(self) -> int:
        return self.address + self.count * self.size

    def slice(self) -> list[tuple[int, str, a64.Insn]]:
        """The instructions of the snippet in address order, each with its role (branch, target, entry, table...)."""
        return snippet(self.cfg, self.branch, self.shape)

    def evidence(self) -> list[str]:
        """One line per fact."""
        lines = [f"form {self.shape.form}: {self.shape!r}", repr(self.sizes)]
        if self.sizes.why:
            lines.append(f"index bounded at {self.sizes.why:#x}")
        return lines + [repr(c) for c in self.checks]

    def to_json(self) -> dict[str, object]:
        return {
            "function": self.function.name,
            "branch": self.branch,
            "base": self.address,
            "entry_size": self.size,
            "signed": self.signed,
            "shift": self.shift,
            "count": self.count,
            "targets": self.targets,
            "kind": self.kind,
            "evidence": self.evidence(),
            "anchor": self.anchor,
            "scale": self.shape.scale,
            "form": self.shape.form,
            "confidence": self.confidence,
        }

    def to_dot(self) -> str:
        """A drawing: the branch, its table, one edge per distinct target labelled with the indices that go there."""
        groups: dict[int, list[int]] = {}
        for k, t in enumerate(self.targets):
            groups.setdefault(t, []).append(k)
        lines = [
            "digraph jumptable {",
            "  rankdir=LR; node [shape=box, fontname=monospace];",
            f'  br [label="{self.function.name}\\nbr at {self.branch:#x}"];',
            f'  table [shape=cylinder, label="{self.shape.form} {self.count} x {8 * self.size} bit\\n'
            f'{self.address:#x}"];',
            "  br -> table;",
        ]
        for t, ks in sorted(groups.items()):
            lines.append(f'  "{t:#x}"; table -> "{t:#x}" [label="{_runs(ks)}"];')
        return "\n".join([*lines, "}"])

    def __repr__(self) -> str:
        sign = "s" if self.signed else "u"
        return (
            f"JumpTable({self.function.name} at {self.branch:#x}: {self.shape.form}, {self.count} entries of "
            f"{sign}{8 * self.size} at {self.address:#x}, {self.confidence})"
        )


def _runs(numbers: list[int]) -> str:
    """[0, 1, 2, 5] -> '0-2,5'."""
    out: list[list[int]] = []
    for n in numbers:
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in out[:12]) + (",..." if len(out) > 12 else "")


@final
class Branch:
    """One indirect branch: its address, final `kind`, the guesses of both steps, and the table if it has one."""

    __slots__ = ("addr", "function", "kind", "evidence", "first", "second", "table", "withdrawn")

    def __init__(self, addr: int, function: Function | None, first: Guess) -> None:
        self.addr = addr
        self.function = function
        self.kind = first.kind
        self.evidence: list[str] = [first.evidence]
        self.first = first
        self.second: Guess | None = None
        self.table: JumpTable | None = None
        self.withdrawn: list[str] = []

    def to_json(self) -> dict[str, object]:
        if self.table is not None:
            return self.table.to_json()
        return {
            "function": self.function.name if self.function else None,
            "branch": self.addr,
            "base": None,
            "entry_size": None,
            "signed": None,
            "shift": None,
            "count": 0,
            "targets": [],
            "kind": self.kind,
            "evidence": self.evidence + [f"withdrawn: {w}" for w in self.withdrawn],
        }

    def __repr__(self) -> str:
        return f"Branch({self.addr:#x}, {self.kind}: {self.evidence[-1] if self.evidence else ''})"


@final
class JumpTables:
    """The result of `recover`: `branches` (every indirect branch), `tables` (jump tables), `gotos` (computed gotos).

    Iterates over `tables`; `at(addr)` finds the branch at or the table around an address.
    """

    def __init__(self, image: Image, functions: FunctionMap, branches: list[Branch], rounds: int) -> None:
        self.image = image
        self.functions = functions
        self.branches = branches
        self.rounds = rounds
        self._at = {b.addr: b for b in branches}

    @property
    def tables(self) -> list[JumpTable]:
        return [b.table for b in self.branches if b.table is not None and b.kind == JUMP_TABLE]

    @property
    def gotos(self) -> list[JumpTable]:
        return [b.table for b in self.branches if b.table is not None and b.kind == COMPUTED_GOTO]

    def __iter__(self) -> Iterator[JumpTable]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def at(self, addr: int) -> Branch | JumpTable | None:
        """The branch at `addr`, or the table that holds it."""
        found = self._at.get(addr)
        if found is not None:
            return found
        for b in self.branches:
            if b.table is not None and b.table.address <= addr < b.table.end:
                return b.table
        return None

    def of(self, function: str) -> list[JumpTable]:
        """The tables of the function with that name."""
        return [t for t in self.tables if t.function.name == function]

    def kinds(self) -> Counter[str]:
        """How many branches of each kind."""
        return Counter(b.kind for b in self.branches)

    def rows(self, function: str | None = None) -> list[dict[str, object]]:
        """The JSON rows, one per indirect branch."""
        return [
            b.to_json()
            for b in self.branches
            if function is None or (b.function is not None and b.function.name == function)
        ]

    def explain(self, addr: int) -> str:
        """Text that says what the branch (or table) at `addr` is, and why."""
        found = self.at(addr)
        if found is None:
            f = self.functions.at(addr)
            inside = [b for b in self.branches if f is not None and b.addr in f]
            if not inside:
                return f"{addr:#x}: no indirect branch, and no table"
            return "\n\n".join(self.explain(b.addr) for b in inside)
        if isinstance(found, JumpTable):
            found = self._at[found.branch]
        lines = [
            f"{found.addr:#x} in {found.function.name if found.function else '?'}: {found.kind}",
            f"  without the graph: {found.first.kind}, {found.first.evidence}",
        ]
        if found.second is not None:
            lines.append(f"  with the graph:    {found.second.kind}, {found.second.evidence}")
        lines += [f"  withdrawn: {w}" for w in found.withdrawn]
        if found.table is not None:
            t = found.table
            lines.append("  snippet:")
            lines += [f"    {a:#x}  {i.word:08x}  {text(i, a):36} ; {role}" for a, role, i in t.slice()]
            lines += [f"  {e}" for e in t.evidence()]
            lines.append(f"  confidence: {t.confidence}")
            lines += [f"    [{k}] -> {x:#x}" for k, x in enumerate(t.targets)]
        else:
            lines += [f"  {e}" for e in found.evidence]
        return "\n".join(lines)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{n} {k}" for k, n in sorted(self.kinds().items(), key=lambda x: -x[1]))
        return f"JumpTables({self.image.name!r}: {kinds})"


def snippet(cfg: Cfg, branch: int, shape: Shape) -> list[tuple[int, str, a64.Insn]]:
    """The definitions behind a branch, by reaching definitions, without those of the index."""
    loads = {site for site, _ in shape.entry.loads}
    index_reads = {(ix.site, ix.reg) for _, ix in shape.entry.loads}
    roles: dict[int, str] = {branch: "branch"}
    work: list[tuple[int, int, str]] = [(cfg.insn(branch).rn, branch, "target")]
    seen: set[tuple[int, int]] = set()
    while work and len(roles) < 64:
        loc, at, role = work.pop()
        for site in cfg.reaching(loc, at):
            if site == ENTRY or (site, loc) in seen or cfg.insn(site).op in a64.CALLS:
                continue
            seen.add((site, loc))
            insn = cfg.insn(site)
            now = "entry" if site in loads else role
            roles.setdefault(site, now)
            below = "table" if site in loads else now
            for reg in sources(insn, loc):
                if (site, reg) in index_reads:
                    continue
                follows = below
                if below == "target":
                    follows = _operand_role(cfg, site, reg, loads)
                work.append((reg, site, follows))
    return [(a, roles[a], cfg.insn(a)) for a in sorted(roles)]


def _operand_role(cfg: Cfg, site: int, reg: int, loads: set[int]) -> str:
    """Which operand of the final addition leads to the entry, which to the anchor?"""
    seen: set[int] = set()
    work = [(reg, site)]
    while work and len(seen) < 32:
        loc, at = work.pop()
        for s in cfg.reaching(loc, at):
            if s == ENTRY or s in seen:
                continue
            if s in loads:
                return "target"
            seen.add(s)
            work.extend((r, s) for r in sources(cfg.insn(s), loc))
    return "anchor"


def sources(insn: a64.Insn, loc: int) -> list[int]:
    """The locations that `insn` reads to define `loc`."""
    op = insn.op
    if op in (a64.STORE, a64.STOREP) and loc >= SLOT:
        reg = insn.rd if loc == slot(insn.rn, insn.imm) else insn.rm
        return [reg + 32 if insn.vector else reg]
    if op in (a64.LOAD, a64.LOADP) and insn.rn in (29, 31) and insn.mode == a64.OFFSET:
        return [slot(insn.rn, insn.imm + (insn.size if op == a64.LOADP and loc == insn.rm else 0))]
    if op in (a64.ADDR, a64.ADDX, a64.SUBR, a64.SUBX):
        return [insn.rn, insn.rm]
    if op == a64.LOAD:
        return [insn.rn, insn.rm] if insn.mode == a64.INDEX else [insn.rn]
    if op in (a64.ADDI, a64.UBFM, a64.SBFM, a64.LOADP):
        return [insn.rn]
    if op == a64.MOVR:
        return [insn.rm]
    if op == a64.MOVK:
        return [insn.rd]
    if op == a64.FMOVFG:
        return [insn.rn + 32]
    if op == a64.FMOVGF:
        return [insn.rn]
    return []


def text(insn: a64.Insn, addr: int) -> str:
    """Assembly of one instruction, by Capstone where it is installed."""
    try:
        import capstone
    except ImportError:
        return repr(insn)
    md = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    for i in md.disasm(insn.word.to_bytes(4, "little"), addr):
        return f"{i.mnemonic} {i.op_str}".strip()
    return f".word {insn.word:#x}"
