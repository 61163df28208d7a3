"""The control-flow graph of a program: functions, basic blocks, edges, dominators, loops.

A block is a run of instructions that is entered only at its first and left only after its last one.  Blocks start at
function starts, at jump targets and after jumps; a call does not end a block, because control comes back behind it.

      pc                                     block 0   pcs 0-1
      0: r3 += 1                               |    \\
      1: if r0 < r1 goto +2 --- taken --+      | fall \\ taken
      2: r1 += r2                       |    block 1   block 2
      3: goto +1 -------------- goto -+ |      |       /
      4: r4 += r3  <------------------|-+      | goto / fall
      5: r0 = r4   <------------------+      block 3

`build` never raises on a strange program: jumps to nowhere are `flaws`, code that nothing reaches is marked.

Slides 24-28; `kernel/bpf/verifier.c` (check_subprogs, check_cfg).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn
from bpfbench.program.dominators import immediate_dominators, reverse_postorder
from bpfbench.program.functions import Call, Flaw, Function, partition
from bpfbench.program.nesting import Loop, nest
from bpfbench.program.program import Program

if TYPE_CHECKING:
    import networkx

# kinds of edges
FALL = "fall"      # to the next instruction
TAKEN = "taken"    # a conditional jump whose condition holds
GOTO = "goto"      # an unconditional jump


@final
class Block:
    """Slots `start` up to `end` (exclusive) of one function; `last` is the pc of its last instruction.

    `loop` is the index of the innermost loop around it, or -1; `idom` its immediate dominator and `ipdom` its immediate
    postdominator, or -1 (for `ipdom` also: only the end of the function comes after it on every path).
    """

    __slots__ = ("index", "start", "end", "last", "function", "reachable", "idom", "ipdom", "loop")

    def __init__(self, index: int, start: int, end: int, last: int, function: int) -> None:
        self.index = index
        self.start = start
        self.end = end
        self.last = last
        self.function = function
        self.reachable = False
        self.idom = -1
        self.ipdom = -1
        self.loop = -1

    def __repr__(self) -> str:
        return f"Block({self.index}: insns {self.start}-{self.end - 1})"


@final
class Edge:
    """Control goes from block `source` to block `target` at `pc`; `back` when the depth-first walk finds the target
    still on its way: it closes a loop."""

    __slots__ = ("source", "target", "kind", "pc", "back")

    def __init__(self, source: int, target: int, kind: str, pc: int) -> None:
        self.source = source
        self.target = target
        self.kind = kind
        self.pc = pc
        self.back = False

    def __repr__(self) -> str:
        return f"Edge({self.source} -> {self.target}, {self.kind}{', back' if self.back else ''})"


@final
class Cfg:
    """The graph of a whole program; functions are separate components, `calls` connect them.

    `blocks` and `edges` in program order; `successors`/`predecessors` block indices; `block_of[pc]`; `loops` outer
    before inner; `flaws` what kernels refuse about the shape.
    """

    __slots__ = (
        "program", "functions", "calls", "blocks", "edges", "successors", "predecessors", "block_of", "loops", "flaws",
        "orders", "out", "spans",
    )  # fmt: skip

    def __init__(
        self, program: Program, functions: list[Function], calls: list[Call], blocks: list[Block], edges: list[Edge],
        block_of: list[int], flaws: list[Flaw],
    ) -> None:  # fmt: skip
        self.program = program
        self.functions = functions
        self.calls = calls
        self.blocks = blocks
        self.edges = edges
        self.block_of = block_of
        self.flaws = flaws
        self.loops: list[Loop] = []
        self.orders: list[list[int]] = []  # reverse postorder of each function's reachable blocks
        self.successors: list[list[int]] = [[] for _ in blocks]
        self.predecessors: list[list[int]] = [[] for _ in blocks]
        self.spans = [(-1, 0)] * len(blocks)  # place in the dominator tree, in preorder, and size of the subtree
        self.out: list[list[Edge]] = [[] for _ in blocks]
        for edge in edges:
            self.out[edge.source].append(edge)
            if edge.target not in self.successors[edge.source]:
                self.successors[edge.source].append(edge.target)
                self.predecessors[edge.target].append(edge.source)

    @property
    def idom(self) -> list[int]:
        """Immediate dominator of each block, -1 for entries."""
        return [block.idom for block in self.blocks]

    @property
    def subprogs(self) -> list[Function]:
        """The functions, as the verifier calls them."""
        return self.functions

    @property
    def back_edges(self) -> list[Edge]:
        return [edge for edge in self.edges if edge.back]

    def dominates(self, a: int, b: int) -> bool:
        """Does every path to block `b` go through block `a`?"""
        first, size = self.spans[a]
        return a == b or first <= self.spans[b][0] < first + size

    def edges_from(self, block: int) -> list[Edge]:
        """The edges that leave a block: falling through first, then the jump."""
        return self.out[block]

    def insns(self, block: int) -> list[tuple[int, Instruction]]:
        """(pc, instruction) of a block, in order."""
        found = []
        for pc in range(self.blocks[block].start, self.blocks[block].end):
            insn = self.program.insns[pc]
            if insn is not None:
                found.append((pc, insn))
        return found

    def function_insns(self, function: int) -> list[tuple[int, Instruction]]:
        """(pc, instruction) of a whole function, in order."""
        span = range(self.functions[function].start, self.functions[function].end)
        return [(pc, insn) for pc in span if (insn := self.program.insns[pc]) is not None]

    def entry(self, function: int) -> int:
        """The first block of a function."""
        return self.block_of[self.functions[function].start]

    def unreachable(self) -> list[int]:
        """pcs of instructions that no path reaches, by function (a function that is never called is not among them)."""
        return [pc for block in self.blocks if not block.reachable for pc, _ in self.insns(block.index)]

    def to_networkx(self) -> networkx.DiGraph[int]:
        """A DiGraph: nodes are block indices with `start end function reachable idom ipdom loop depth text lines`,
        edges have `kind pc back`; the graph itself has `name loops`.

        >>> from bpfbench.program.program import from_assembly
        >>> g = build(from_assembly("if r1 == 0 goto +1\\nr2 = 1\\nr0 = 0\\nexit")).to_networkx()
        >>> sorted(g.edges(data="kind"))
        [(0, 1, 'fall'), (0, 2, 'taken'), (1, 2, 'fall')]
        """
        import networkx

        graph: Any = networkx.DiGraph(name=self.program.name, loops=self.loops)
        for block in self.blocks:
            insns = self.insns(block.index)
            lines = [str(line) for pc, _ in insns if (line := self.program.lines.get(pc)) is not None]
            graph.add_node(
                block.index, start=block.start, end=block.end, function=self.functions[block.function].name,
                reachable=block.reachable, idom=block.idom, ipdom=block.ipdom, loop=block.loop,
                depth=self.loops[block.loop].depth if block.loop >= 0 else 0,
                text=[f"{pc}: {format_insn(insn)}" for pc, insn in insns], lines=lines,
            )  # fmt: skip
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, kind=edge.kind, pc=edge.pc, back=edge.back)
        return graph

    def to_dot(self) -> str:
        """The graph in the DOT language, with instructions, source lines, loops and back edges."""
        from bpfbench.program.dot import to_dot

        return to_dot(self)

    def __repr__(self) -> str:
        return (f"Cfg({self.program.name}: {len(self.functions)} functions, {len(self.blocks)} blocks, "
                f"{len(self.edges)} edges, {len(self.loops)} loops)")  # fmt: skip

    def __str__(self) -> str:
        lines = [repr(self)]
        for block in self.blocks:
            out = ", ".join(
                f"{e.kind} {e.target}{' (back)' if e.back else ''}" for e in self.out[block.index]
            )
            marks = "" if block.reachable else "  unreachable"
            marks += f"  loop {block.loop}" if block.loop >= 0 else ""
            lines.append(f"block {block.index}: insns {block.start}-{block.end - 1} -> {out or 'exit'}{marks}")
        return "\n".join([*lines, *(repr(flaw) for flaw in self.flaws)])


def build(prog: Program) -> Cfg:
    """The control-flow graph of a program.

    >>> from bpfbench.program.program import from_assembly
    >>> build(from_assembly("r1 = 9\\nr1 += -1\\nif r1 != 0 goto -2\\nr0 = 0\\nexit")).loops
    [Loop(0: header block 1, 1 blocks, depth 1)]
    """
    parts = partition(prog)
    flaws = list(parts.flaws)
    jumps = _targets(prog, parts.functions, parts.of, flaws)
    tables = indirect_targets(prog, parts.functions)
    blocks, block_of = _cut(prog, parts.functions, {*jumps.values(), *(to for found in tables for to in found)})
    edges = _connect(prog, parts.functions, blocks, block_of, jumps, tables, flaws)
    cfg = Cfg(prog, parts.functions, parts.calls, blocks, edges, block_of, sorted(flaws, key=lambda flaw: flaw.pc))
    for function in cfg.functions:
        _analyse(cfg, function)
    return cfg


def _targets(prog: Program, functions: list[Function], of: list[int], flaws: list[Flaw]) -> dict[int, int]:
    """pc of each jump -> its target slot, for the jumps that have a valid one."""
    jumps: dict[int, int] = {}
    for pc, insn in enumerate(prog.insns):
        if insn is None or not insn.is_jump:
            continue
        target = pc + 1 + insn.jump
        function = functions[of[pc]]
        if not function.start <= target < function.end:
            flaws.append(Flaw(pc, f"jump out of range from insn {pc} to {target}"))
        elif prog.insns[target] is None:
            flaws.append(Flaw(pc, f"jump into the middle of ldimm64 insn {target - 1}"))
        else:
            jumps[pc] = target
    return jumps


def indirect_targets(prog: Program, functions: list[Function]) -> list[list[int]]:
    """Per function, where its indirect jumps may go: every entry of every instruction array that lies in it.

    The kernel's graph (jt_from_subprog, 6.19) does not ask either which array a jump reads.  Entries that are no
    instruction of the function are left out.
    """
    found: list[set[int]] = [set() for _ in functions]
    for spec in prog.maps:
        given = spec.contents if spec.type == "insn_array" and spec.contents else b""
        slots = [int.from_bytes(given[at : at + 8], "little") for at in range(0, len(given), 8)]
        for targets, function in zip(found, functions):
            if slots and function.start <= slots[0] < function.end:
                targets |= {s for s in slots if function.start <= s < function.end and prog.insns[s] is not None}
    return [sorted(targets) for targets in found]


def _cut(prog: Program, functions: list[Function], targets: set[int]) -> tuple[list[Block], list[int]]:
    leaders = {function.start for function in functions} | targets
    for pc, insn in enumerate(prog.insns):
        if insn is not None and (insn.is_jump or not insn.falls_through):
            leaders.add(pc + 1)
    blocks: list[Block] = []
    block_of = [0] * len(prog.insns)
    for function in functions:
        start = function.start
        for pc in range(function.start + 1, function.end + 1):
            if pc != function.end and pc not in leaders:
                continue
            last = pc - 1 if prog.insns[pc - 1] is not None or pc - 1 == start else pc - 2
            block_of[start:pc] = [len(blocks)] * (pc - start)
            blocks.append(Block(len(blocks), start, pc, last, function.index))
            start = pc
    return blocks, block_of


def _connect(
    prog: Program, functions: list[Function], blocks: list[Block], block_of: list[int], jumps: dict[int, int],
    tables: list[list[int]], flaws: list[Flaw],
) -> list[Edge]:  # fmt: skip
    edges: list[Edge] = []
    for block in blocks:
        insn = prog.insns[block.last]
        if insn is None:
            continue
        if insn.falls_through:
            if block.end < functions[block.function].end:
                edges.append(Edge(block.index, block_of[block.end], FALL, block.last))
            else:
                flaws.append(Flaw(block.last, "last insn is not an exit or jmp"))
        if block.last in jumps:
            kind = TAKEN if insn.is_conditional else GOTO
            edges.append(Edge(block.index, block_of[jumps[block.last]], kind, block.last))
        elif insn.kind == ops.GOTOX and tables[block.function]:
            edges += [Edge(block.index, block_of[to], GOTO, block.last) for to in tables[block.function]]
        elif insn.kind == ops.GOTOX:
            flaws.append(Flaw(block.last, "the targets of an indirect jump are not known from the program alone"))
    return edges


def _analyse(cfg: Cfg, function: Function) -> None:
    """Reachability, dominators, postdominators and loops of one function, written into its blocks."""
    entry = cfg.block_of[function.start]
    order = reverse_postorder(entry, cfg.successors)
    cfg.orders.append(order)
    idom = immediate_dominators(entry, cfg.successors, cfg.predecessors)
    first = len(cfg.loops)
    found = nest(order, cfg.successors, cfg.predecessors)
    for loop in found:
        loop.index += first
        loop.parent += first if loop.parent >= 0 else 0
        loop.children = [child + first for child in loop.children]
        for block in loop.blocks:
            cfg.blocks[block].loop = loop.index  # inner loops come later and overwrite
    cfg.loops += found
    for block in order:
        cfg.blocks[block].reachable = True
        cfg.blocks[block].idom = idom[block]
    position = {block: at for at, block in enumerate(order)}
    for block in order:
        for edge in cfg.edges_from(block):
            edge.back = position[edge.target] <= position[block]
    _number(cfg, order, idom)
    _postdominators(cfg, order)


def _number(cfg: Cfg, order: list[int], idom: list[int]) -> None:
    """Places in the dominator tree: a block's subtree is an interval, which makes `dominates` a comparison."""
    size = dict.fromkeys(order, 1)
    for block in reversed(order[1:]):
        size[idom[block]] += size[block]
    free = {order[0]: order[0] + 1}
    cfg.spans[order[0]] = (order[0], size[order[0]])
    for block in order[1:]:
        at = free[idom[block]]
        free[idom[block]] = at + size[block]
        free[block] = at + 1
        cfg.spans[block] = (at, size[block])


def _postdominators(cfg: Cfg, order: list[int]) -> None:
    """Dominators of the reversed graph, from one virtual end after all exits."""
    local = {block: at for at, block in enumerate(order)}
    end = len(order)
    backward = [[local[p] for p in cfg.predecessors[block] if p in local] for block in order]
    forward = [[local[s] for s in cfg.successors[block]] for block in order]
    exits = [at for at, following in enumerate(forward) if not following]
    backward.append(exits)
    forward = [following or [end] for following in forward] + [[]]
    ipdom = immediate_dominators(end, backward, forward)
    for at, block in enumerate(order):
        cfg.blocks[block].ipdom = order[ipdom[at]] if 0 <= ipdom[at] < end else -1
