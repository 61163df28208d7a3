"""Data flow over a control-flow graph: one worklist, any analysis.

An analysis says in which direction facts flow, what holds at the boundary (the function's entry, or its exits), how a
block changes a fact, and how facts from several edges are joined.  `solve` applies this until nothing changes, taking
blocks in reverse postorder (postorder for a backward analysis) so that most facts are complete before they are used.

    forward     before(B) = join of after(P), P in predecessors(B)      after(B)  = transfer(B, before(B))
    backward    after(B)  = join of before(S), S in successors(B)       before(B) = transfer(B, after(B))

Two users: `ReachingDefinitions`, whose facts are sets of definitions as bits of an int, and from it `DefUse`, the
chains that link each use of a register to the instructions that may have set it.

A. V. Aho et al., "Compilers", chapter 9; G. Kildall (1973).
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final, Generic, Protocol, TypeVar, final

from bpfbench.program.cfg import Cfg

T = TypeVar("T")

ENTRY: Final = -1  # the "instruction" that sets the registers a function is entered with
REGISTERS: Final = 11


class Analysis(Protocol[T]):
    """What `solve` needs to know of an analysis; facts are immutable values compared with `==`."""

    forward: bool

    def boundary(self) -> T:
        """The fact at the entry (forward) or at every exit (backward) of a function."""

    def start(self) -> T:
        """The fact that joins without effect: what is assumed of an edge not looked at yet."""

    def join(self, a: T, b: T) -> T:
        """What holds when control comes from either of two places."""

    def transfer(self, block: int, fact: T) -> T:
        """The fact on the other side of a block."""


@final
class Solution(Generic[T]):
    """Facts `before` and `after` each block (in program order, whatever the direction), and how many `visits` it
    took.
    """

    __slots__ = ("before", "after", "visits")

    def __init__(self, before: list[T], after: list[T], visits: int) -> None:
        self.before = before
        self.after = after
        self.visits = visits

    def __repr__(self) -> str:
        return f"Solution({len(self.before)} blocks, {self.visits} visits)"


def solve(cfg: Cfg, analysis: Analysis[T]) -> Solution[T]:
    """The least fixed point of an analysis over all functions; unreachable blocks keep `start()`."""
    count = len(cfg.blocks)
    into = [analysis.start() for _ in range(count)]
    out = [analysis.start() for _ in range(count)]
    sources, targets = (cfg.predecessors, cfg.successors) if analysis.forward else (cfg.successors, cfg.predecessors)
    order = [block for function in cfg.orders for block in function]
    if not analysis.forward:
        order.reverse()
    rank = {block: at for at, block in enumerate(order)}
    entries = {cfg.entry(function.index) for function in cfg.functions}
    edge_blocks = entries if analysis.forward else {block for block in order if not cfg.successors[block]}
    waiting = list(range(len(order)))
    queued = set(waiting)
    visited: set[int] = set()
    visits = 0
    while waiting:
        at = heappop(waiting)
        queued.discard(at)
        block = order[at]
        visits += 1
        fact = analysis.boundary() if block in edge_blocks else analysis.start()
        for source in sources[block]:
            fact = analysis.join(fact, out[source])
        if block in visited and fact == into[block]:
            continue
        visited.add(block)
        into[block] = fact
        result = analysis.transfer(block, fact)
        if result == out[block]:
            continue
        out[block] = result
        for target in targets[block]:
            if target in rank and rank[target] not in queued:
                queued.add(rank[target])
                heappush(waiting, rank[target])
    return Solution(into, out, visits) if analysis.forward else Solution(out, into, visits)


@final
class ReachingDefinitions:
    """Which definitions may have set each register when a block begins.

    Definition number n is `definitions[n]` = (pc, register); the first eleven are the registers at the function's
    entry, with pc ENTRY.  A fact is an int with bit n set when definition n reaches.
    """

    __slots__ = ("forward", "cfg", "definitions", "number", "of_register", "made", "killed")

    def __init__(self, cfg: Cfg) -> None:
        self.forward = True
        self.cfg = cfg
        self.definitions: list[tuple[int, int]] = [(ENTRY, register) for register in range(REGISTERS)]
        self.of_register = [1 << register for register in range(REGISTERS)]
        self.number: dict[tuple[int, int], int] = {}
        for pc, insn in enumerate(cfg.program.insns):
            for register in registers(insn.writes) if insn is not None else []:
                self.number[pc, register] = len(self.definitions)
                self.of_register[register] |= 1 << len(self.definitions)
                self.definitions.append((pc, register))
        self.made = [0] * len(cfg.blocks)
        self.killed = [0] * len(cfg.blocks)
        for block in cfg.blocks:
            for pc, insn in cfg.insns(block.index):
                for register in registers(insn.writes):
                    self.killed[block.index] |= self.of_register[register]
                    self.made[block.index] &= ~self.of_register[register]
                    self.made[block.index] |= 1 << self.number[pc, register]

    def boundary(self) -> int:
        return (1 << REGISTERS) - 1

    def start(self) -> int:
        return 0

    def join(self, a: int, b: int) -> int:
        return a | b

    def transfer(self, block: int, fact: int) -> int:
        return fact & ~self.killed[block] | self.made[block]

    def sources(self, fact: int, register: int) -> list[int]:
        """pcs (ENTRY first) of the definitions of a register in a fact."""
        bits = fact & self.of_register[register]
        found = []
        while bits:
            low = bits & -bits
            found.append(self.definitions[low.bit_length() - 1][0])
            bits ^= low
        return found


@final
class DefUse:
    """Links between definitions and uses of registers.

    `definitions_of[pc, register]` the pcs that may have set a register read at pc; `uses_of[pc, register]` the pcs that
    may read what pc sets.  A call counts as reading r1-r5 and setting r0-r5.

    >>> from bpfbench.program.program import from_assembly
    >>> from bpfbench.program.cfg import build
    >>> chains = DefUse(build(from_assembly("r1 = 1\\nif r2 == 0 goto +1\\nr1 = 2\\nr0 = r1\\nexit")))
    >>> chains.definitions_of[3, 1], chains.uses_of[0, 1]
    ([0, 2], [3])
    """

    __slots__ = ("definitions_of", "uses_of")

    def __init__(self, cfg: Cfg) -> None:
        reaching = ReachingDefinitions(cfg)
        solution = solve(cfg, reaching)
        self.definitions_of: dict[tuple[int, int], list[int]] = {}
        self.uses_of: dict[tuple[int, int], list[int]] = {}
        for block in cfg.blocks:
            fact = solution.before[block.index]
            for pc, insn in cfg.insns(block.index):
                for register in registers(insn.reads):
                    found = reaching.sources(fact, register)
                    self.definitions_of[pc, register] = found
                    for definition in found:
                        self.uses_of.setdefault((definition, register), []).append(pc)
                for register in registers(insn.writes):
                    fact &= ~reaching.of_register[register]
                    fact |= 1 << reaching.number[pc, register]


def registers(mask: int) -> list[int]:
    """The registers of a bit mask, lowest first.

    >>> registers(0b10010)
    [1, 4]
    """
    return [register for register in range(REGISTERS) if mask >> register & 1]
