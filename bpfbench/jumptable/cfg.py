"""The control flow graph of one function, and reaching definitions over it (point 8 of the post: split snippets).

A compiler may hoist the table address out of a loop, spill it, keep it in a floating-point register or compute it on
several paths, so the instructions of one dispatch lie in several blocks.  `Cfg.reaching(loc, addr)` finds the
definitions of a *location* that arrive at an address, whichever blocks they are in.  A location is a small int:

    0..30   x0..x30         32..63  d0..d31 (a spill place)         64   the flags
    >= SLOT a stack slot [sp, #k] or [x29, #k], a pseudo-register

Two rules keep false paths out.  Code that nothing reaches (data in text, the speculation barriers behind a `br`) gives
no edges to code that is reached.  A call ends its block when the callee never returns, which layout betrays: some
function ends in a call of it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, final

import networkx as nx

from . import a64
from .functions import Function
from .image import Image

SLOT: Final = 1 << 10
ENTRY: Final = -1  # "site" of a value that the function was entered with


def slot(base: int, offset: int) -> int:
    """The location of the stack slot `[base, #offset]`; base is 31 (sp) or 29."""
    return SLOT + ((base == 29) << 21) + offset + (1 << 20)


def is_stack(insn: a64.Insn) -> bool:
    return insn.rn in (29, 31) and insn.mode == a64.OFFSET


@final
class Edge:
    """`kind` is fall, taken, jump or table."""

    __slots__ = ("source", "target", "kind")

    def __init__(self, source: Block, target: Block, kind: str) -> None:
        self.source = source
        self.target = target
        self.kind = kind

    def __repr__(self) -> str:
        return f"{self.source.start:#x} -{self.kind}-> {self.target.start:#x}"


@final
class Block:
    """A straight run of instructions `start..end`; `writes` is the union of the masks of its instructions."""

    __slots__ = ("start", "end", "succs", "preds", "writes", "stores", "reached", "root")

    def __init__(self, start: int, end: int, writes: int, stores: bool) -> None:
        self.start = start
        self.end = end
        self.succs: list[Edge] = []
        self.preds: list[Edge] = []
        self.writes = writes
        self.stores = stores
        self.reached = False
        self.root = False

    def __repr__(self) -> str:
        return f"Block({self.start:#x}..{self.end:#x})"


@final
class Cfg:
    """Blocks and edges of `function`; `targets` are the indirect edges believed so far, by branch address.

    `data` lists `(start, end)` byte ranges inside the function that are tables, not code.
    """

    def __init__(
        self,
        image: Image,
        function: Function,
        targets: dict[int, list[int]] | None = None,
        noreturn: frozenset[int] = frozenset(),
        data: list[tuple[int, int]] | None = None,
        roots: tuple[int, ...] = (),
    ) -> None:
        self.function = function
        self.start = function.start
        self.insns = [a64.decode(w) for w in image.words(function.start, function.size // 4)]
        self.leaves: dict[int, list[a64.Insn]] = {}
        _inline_leaves(image, self)
        self.end = function.start + 4 * len(self.insns)
        self.targets = targets or {}
        self.data = data or []
        self.indirect: list[int] = []
        self.escapes: dict[int, int] = {}  # direct branch out of the function -> target
        self._noreturn = noreturn
        self._reach: dict[tuple[int, int], tuple[int, ...]] = {}
        self._build(roots)

    def insn(self, addr: int) -> a64.Insn:
        return self.insns[(addr - self.start) >> 2]

    def block(self, addr: int) -> Block:
        """The block that holds `addr` (for the end of the function: the last one)."""
        return self.blocks[max(0, bisect_right(self._starts, addr) - 1)]

    # -- construction ---------------------------------------------------------------------------------------------

    def _build(self, roots: tuple[int, ...]) -> None:
        leaders = self._leaders()
        leaders.update(r for r in roots if self.start <= r < self.end)
        starts = sorted(leaders)
        self._starts = starts
        self.blocks: list[Block] = []
        for k, start in enumerate(starts):
            end = starts[k + 1] if k + 1 < len(starts) else self.end
            writes, stores = 0, False
            for insn in self.insns[(start - self.start) >> 2 : (end - self.start) >> 2]:
                writes |= insn.writes
                stores = stores or insn.op == a64.STORE or insn.op == a64.STOREP
            self.blocks.append(Block(start, end, writes, stores))
        at = {b.start: b for b in self.blocks}
        for b in self.blocks:
            for target, kind in self._exits(b):
                if target in at and not self._is_data(target):
                    b.succs.append(Edge(b, at[target], kind))
        self._mark(at, roots)

    def _leaders(self) -> set[int]:
        start, end = self.start, self.end
        leaders = {start}
        pc = start
        terminators, calls = a64.TERMINATORS, a64.BL
        for insn in self.insns:
            op = insn.op
            if op in terminators:
                leaders.add(pc + 4)
                if op in a64.DIRECT:
                    target = pc + insn.imm
                    if start <= target < end:
                        leaders.add(target)
                    else:
                        self.escapes[pc] = target
                elif op == a64.BR or op == a64.BRAUTH:
                    self.indirect.append(pc)
                    leaders.update(t for t in self.targets.get(pc, ()) if start <= t < end and not t & 3)
            elif op == calls and pc + insn.imm in self._noreturn:
                leaders.add(pc + 4)
            pc += 4
        for a, b in self.data:
            leaders.add(a & ~3)
            leaders.add((b + 3) & ~3)
        return {a for a in leaders if start <= a < end}

    def _is_data(self, addr: int) -> bool:
        return any(a <= addr < b for a, b in self.data)

    def _exits(self, block: Block) -> list[tuple[int, str]]:
        if self._is_data(block.start):
            return []
        last = block.end - 4
        insn = self.insn(last)
        op = insn.op
        if op in a64.CONDITIONAL:
            always = op == a64.BCOND and insn.cond >= 14
            return ([] if always else [(block.end, "fall")]) + [(last + insn.imm, "taken")]
        if op == a64.B:
            return [(last + insn.imm, "jump")]
        if op == a64.BR:
            return [(t, "table") for t in dict.fromkeys(self.targets.get(last, ()))]
        if op in a64.TERMINATORS or (op == a64.BL and last + insn.imm in self._noreturn):
            return []
        return [(block.end, "fall")]

    def _mark(self, at: dict[int, Block], roots: tuple[int, ...]) -> None:
        """Reachability from the entry; edges from unreached into reached code are not predecessors."""
        work = [at[a] for a in (self.start, *roots) if a in at]
        for b in work:
            b.root = True
        while work:
            b = work.pop()
            if not b.reached:
                b.reached = True
                work.extend(e.target for e in b.succs if not e.target.reached)
        for b in self.blocks:
            for e in b.succs:
                if b.reached or not e.target.reached:
                    e.target.preds.append(e)

    # -- reaching definitions ----------------------------------------------------------------------------------

    def _defines(self, insn: a64.Insn, loc: int) -> bool:
        if loc < SLOT:
            return bool(insn.writes >> loc & 1)
        op = insn.op
        if op == a64.STORE or op == a64.STOREP:
            base = 29 if (loc - SLOT) >> 21 else 31
            if insn.rn == base and insn.mode == a64.OFFSET:
                first = slot(base, insn.imm)
                return loc == first or (op == a64.STOREP and loc == first + insn.size)
        return bool(insn.writes >> (29 if (loc - SLOT) >> 21 else 31) & 1)

    def _last(self, block: Block, before: int, loc: int) -> int | None:
        """Address of the last definition of `loc` in `block` below `before`."""
        if loc < SLOT:
            if not block.writes >> loc & 1:
                return None
        elif not block.stores and not block.writes >> (29 if (loc - SLOT) >> 21 else 31) & 1:
            return None
        at = before - 4
        while at >= block.start:
            if self._defines(self.insn(at), loc):
                return at
            at -= 4
        return None

    def reaching(self, loc: int, addr: int) -> tuple[int, ...]:
        """Addresses of the definitions of `loc` that reach the instruction at `addr`, ENTRY among them if it may hold
        what the caller left.  Calls count as definitions of what they clobber."""
        key = (loc, addr)
        found = self._reach.get(key)
        if found is not None:
            return found
        block = self.block(addr)
        local = self._last(block, addr, loc)
        if local is not None:
            result: tuple[int, ...] = (local,)
        else:
            result = self._reaching_entry(loc, block)
        self._reach[key] = result
        return result

    def _reaching_entry(self, loc: int, block: Block) -> tuple[int, ...]:
        key = (loc, block.start)
        found = self._reach.get(key)
        if found is not None:
            return found
        sites: set[int] = set()
        seen = {block.start}
        work = [block]
        while work:
            b = work.pop()
            if b.root or not b.preds:
                sites.add(ENTRY)
            for e in b.preds:
                p = e.source
                last = self._last(p, p.end, loc)
                if last is not None:
                    sites.add(last)
                elif p.start not in seen:
                    seen.add(p.start)
                    work.append(p)
        result = tuple(sorted(sites))
        self._reach[key] = result
        return result

    # -- looking at it --------------------------------------------------------------------------------------------

    def to_networkx(self) -> nx.DiGraph:
        """A DiGraph whose nodes are block addresses (`end`, `reached`) and whose edges carry `kind`."""
        g: nx.DiGraph = nx.DiGraph(function=self.function.name)
        for b in self.blocks:
            g.add_node(b.start, end=b.end, reached=b.reached)
        for b in self.blocks:
            for e in b.succs:
                g.add_edge(b.start, e.target.start, kind=e.kind)
        return g

    def __repr__(self) -> str:
        edges = sum(len(b.succs) for b in self.blocks)
        return f"Cfg({self.function.name!r}, {len(self.blocks)} blocks, {edges} edges)"


LEAF: Final = 12


def leaf(image: Image, addr: int) -> list[a64.Insn] | None:
    """The instructions of a short straight function that ends in `ret` and touches neither stack nor link register."""
    out: list[a64.Insn] = []
    for w in image.words(addr, LEAF) if image.executable(addr) else ():
        insn = a64.decode(w)
        if insn.op == a64.RET:
            return out
        if insn.op in a64.TERMINATORS or insn.op in a64.CALLS or insn.writes & 0xC0000000:
            return None
        out.append(insn)
    return None


def _inline_leaves(image: Image, cfg: Cfg) -> None:
    """Calls of such leaves keep their effects: clang -Oz outlines pieces of a snippet into functions."""
    known: dict[int, list[a64.Insn] | None] = {}
    for k, insn in enumerate(cfg.insns):
        if insn.op != a64.BL:
            continue
        target = cfg.start + 4 * k + insn.imm
        if target not in known:
            known[target] = leaf(image, target)
        body = known[target]
        if body is not None:
            writes = 1 << 30
            for i in body:
                writes |= i.writes
            cfg.insns[k] = a64.Insn(a64.OUTLINED, insn.word, writes, imm=insn.imm)
            cfg.leaves[cfg.start + 4 * k] = body


def straight_line(image: Image, addr: int, window: int = 64) -> Cfg:
    """The graph of step one: the single run of code that falls into `addr`, at most `window` instructions back.

    It stops at an unconditional branch and ignores every join, since nothing is known yet about who jumps here.
    """
    seg = image.segment(addr)
    first = max(addr - 4 * window, (seg.addr + 3) & ~3) if seg is not None else addr
    words = image.words(first, (addr - first) // 4 + 1)
    if len(words) != (addr - first) // 4 + 1:  # overlapping or truncated segments: just the branch
        words = image.words(addr, 1) or [0xD61F0000]
    k = len(words) - 1
    while k > 0:
        op = a64.decode(words[k - 1]).op
        if op in a64.TERMINATORS and op not in a64.CONDITIONAL:
            break
        k -= 1
    count = len(words) - k
    function = Function(f"window_{addr:x}", addr - 4 * (count - 1), addr + 4, "window", exact=False)
    cfg = Cfg.__new__(Cfg)
    cfg.function = function
    cfg.start, cfg.end = function.start, function.end
    cfg.insns = [a64.decode(w) for w in words[k:]]
    cfg.targets, cfg.data, cfg.indirect, cfg.escapes = {}, [], [addr], {}
    cfg.leaves = {}
    _inline_leaves(image, cfg)
    cfg._noreturn, cfg._reach = frozenset(), {}
    writes, stores = 0, False
    for insn in cfg.insns:
        writes |= insn.writes
        stores = stores or insn.op == a64.STORE or insn.op == a64.STOREP
    cfg.blocks = [Block(function.start, function.end, writes, stores)]
    cfg._starts = [function.start]
    return cfg
