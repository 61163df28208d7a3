"""The tree of explored paths: where the walk forked, and how each path ended.

Every conditional jump that may go both ways leaves a path for later.  The walk finishes the path it is on, then takes up
the one that was left last; so the paths form a tree, and a trace is that tree read in depth-first order:

    step      1   2   3   4   5   6   7   8   9
    path 0    *---*---Y---*---exit
    path 1            '-----------*---Y---pruned by checkpoint 2
    path 2                            '---*---exit

A path ends at the end of the program, where a checkpoint covers it (*pruned*), where a loop closes on itself, or where
the program is refused.  A checkpoint that was compared and did *not* cover the path says why (`Miss`).

Slides 29-31; kernel/bpf/verifier.c `push_stack`, `pop_stack`, `is_state_visited`.

>>> import bpfbench as bb
>>> prog = bb.assemble("call get_prandom_u32\\nr6 = r0\\nr0 = 0\\nif r6 == 7 goto +1\\nr6 = 0\\nexit", type="xdp")
>>> tree = path_tree(bb.verify(prog, trace=True))
>>> [(p.number, p.parent, p.pcs, p.end) for p in tree.paths]
[(0, -1, (0, 5), 'exit'), (1, 0, (5, 5), 'exit')]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, final

from bpfbench.errors import VerifierError
from bpfbench.trace import Event

if TYPE_CHECKING:
    import networkx as nx

    from bpfbench.verifier.regstate import RegState
    from bpfbench.verifier.state import Slot

EXIT: Final = "exit"                # the end of the program, or of speculation
PRUNED: Final = "pruned"            # a checkpoint covers it
LOOP: Final = "loop"                # it came back to a state it had been in
REFUSED: Final = "refused"
WAITING: Final = "waiting"          # the walk ended before


@final
class Snapshot:
    """Registers and stack slots of the innermost function at one moment."""

    __slots__ = ("regs", "stack")

    def __init__(self, regs: list[RegState], stack: list[Slot]) -> None:
        self.regs = regs
        self.stack = stack


@final
class Checkpoint:
    """A state that was kept for comparison: its `number`, the `pc`, the `path` and `step` that made it, its use."""

    __slots__ = ("number", "pc", "path", "step", "state", "hits", "misses", "precise")

    def __init__(self, number: int, pc: int, path: int, step: int, state: Snapshot | None) -> None:
        self.number = number
        self.pc = pc
        self.path = path
        self.step = step
        self.state = state
        self.hits = 0                       # paths that it ended
        self.misses = 0                     # comparisons that failed
        self.precise: set[str] = set()      # what was found to matter exactly: "r3", "fp-8"

    def __repr__(self) -> str:
        return f"<checkpoint {self.number} at {self.pc}: {self.hits} hits, {self.misses} misses>"


@final
class Miss:
    """Checkpoint `against` did not cover the path at `pc`, because of `why`."""

    __slots__ = ("step", "pc", "against", "why")

    def __init__(self, step: int, pc: int, against: int, why: str) -> None:
        self.step = step
        self.pc = pc
        self.against = against
        self.why = why

    def __repr__(self) -> str:
        return f"<{self.pc}: not checkpoint {self.against}: {self.why}>"


@final
class Path:
    """One explored path; `steps` and `pcs` are (first, last), `forks` the (step, pc, target) it left for later."""

    __slots__ = ("number", "parent", "came_from", "steps", "pcs", "forks", "kept", "misses", "end", "by", "state",
                 "children", "speculative")

    def __init__(self, number: int, parent: int, came_from: int, step: int, pc: int, speculative: bool) -> None:
        self.number = number
        self.parent = parent                # path it was left by, -1 for the first
        self.came_from = came_from          # pc of the jump
        self.steps = (step, step)
        self.pcs = (pc, pc)
        self.forks: list[tuple[int, int, int]] = []
        self.kept: list[int] = []           # checkpoints made on it
        self.misses: list[Miss] = []
        self.end = WAITING
        self.by = -1                        # checkpoint that covers it
        self.state: Snapshot | None = None  # of a pruned path, in the end
        self.children: list[int] = []
        self.speculative = speculative

    @property
    def length(self) -> int:
        """Instructions processed on it."""
        return self.steps[1] - self.steps[0] + 1

    def __repr__(self) -> str:
        by = f" by checkpoint {self.by}" if self.by >= 0 else ""
        return f"<path {self.number}: {self.pcs[0]} … {self.pcs[1]}, {self.length} steps, {self.end}{by}>"


@final
class PathTree:
    """`paths` by number (the order they were walked), `checkpoints` by number."""

    __slots__ = ("name", "paths", "checkpoints", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.paths: list[Path] = []
        self.checkpoints: dict[int, Checkpoint] = {}
        self.waiting = 0                    # branches that were never taken up

    @property
    def steps(self) -> int:
        return self.paths[-1].steps[1] if self.paths else 0

    def count(self, end: str) -> int:
        """How many paths ended so."""
        return sum(p.end == end for p in self.paths)

    def depth(self, number: int) -> int:
        """Forks between the first path and this one."""
        found = 0
        while self.paths[number].parent >= 0:
            number = self.paths[number].parent
            found += 1
        return found

    def to_networkx(self) -> nx.DiGraph:
        """Paths as nodes (with `end`, `length`, `pcs`), from parent to child; edges have the jump's `pc`."""
        import networkx as nx

        graph = nx.DiGraph(name=self.name)
        for p in self.paths:
            graph.add_node(p.number, end=p.end, length=p.length, pcs=p.pcs, by=p.by)
            if p.parent >= 0:
                graph.add_edge(p.parent, p.number, pc=p.came_from)
        return graph

    def __repr__(self) -> str:
        return (f"<PathTree {self.name}: {len(self.paths)} paths, {self.count(PRUNED)} pruned, "
                f"{len(self.checkpoints)} checkpoints, {self.steps} steps>")


def path_tree(v: Any) -> PathTree:
    """The tree of a `Verification` made with `trace=True` (VerifierError for one without)."""
    if v.trace is None:
        raise VerifierError("no trace: verify with trace=True")
    return _Builder(v.program.name).read(v.trace)


def _snapshot(event: Event) -> Snapshot | None:
    regs, stack = event.values.get("regs"), event.values.get("stack")
    return Snapshot(regs, stack) if isinstance(regs, list) and isinstance(stack, list) else None


@final
class _Builder:
    """Reads the events in order; `pushed` are the paths left for later, as (owner, pc, speculative)."""

    def __init__(self, name: str) -> None:
        self.tree = PathTree(name)
        self.pushed: list[tuple[int, int, bool]] = []
        self.last_pc = 0

    def read(self, events: Any) -> PathTree:
        for event in events:
            if event.kind == "visit":
                self._visit(event)
            else:
                self._other(event)
        self.tree.waiting = len(self.pushed)
        return self.tree

    def _visit(self, event: Event) -> None:
        if not self.tree.paths:
            self.tree.paths.append(Path(0, -1, -1, event.step, event.pc, False))
        here = self.tree.paths[-1]
        here.steps = (here.steps[0], event.step)
        here.pcs = (here.pcs[0], event.pc)

    def _other(self, event: Event) -> None:
        tree, kind = self.tree, event.kind
        if not tree.paths:
            tree.paths.append(Path(0, -1, -1, event.step, event.pc, False))
        here = tree.paths[-1]
        if kind == "fork":
            target = event.values["target"]
            assert isinstance(target, int)
            here.forks.append((event.step, event.pc, target))
            self.pushed.append((here.number, event.pc, bool(event.values["speculative"])))
        elif kind == "resume":
            owner, came_from, speculative = self.pushed.pop() if self.pushed else (here.number, event.pc, False)
            path = Path(len(tree.paths), owner, came_from, event.step + 1, event.pc, speculative)
            tree.paths[owner].children.append(path.number)
            tree.paths.append(path)
        elif kind in ("keep", "kept", "prune", "precise"):
            self._checkpoint(event, here)
        elif kind == "loop":
            here.end = LOOP
        elif kind == "reject":
            here.end = REFUSED
        elif kind == "end" and here.end == WAITING:
            here.end = EXIT

    def _checkpoint(self, event: Event, here: Path) -> None:
        known = self.tree.checkpoints
        if event.kind == "keep":
            number = event.values["state"]
            assert isinstance(number, int)
            known[number] = Checkpoint(number, event.pc, here.number, event.step, _snapshot(event))
            here.kept.append(number)
        elif event.kind == "kept":
            against, why = event.values["against"], event.values["why"]
            assert isinstance(against, int)
            here.misses.append(Miss(event.step, event.pc, against, str(why)))
            if against in known:
                known[against].misses += 1
        elif event.kind == "prune":
            by = event.values["by"]
            assert isinstance(by, int)
            here.end, here.by, here.state = PRUNED, by, _snapshot(event)
            here.steps = (here.steps[0], event.step)
            here.pcs = (here.pcs[0], event.pc)
            if by in known:
                known[by].hits += 1
        else:
            number, reg, slot = event.values["state"], event.values["reg"], event.values["slot"]
            if isinstance(number, int) and number in known and isinstance(reg, int) and isinstance(slot, int):
                known[number].precise.add(f"r{reg}" if reg >= 0 else f"fp-{8 * (slot + 1)}")
