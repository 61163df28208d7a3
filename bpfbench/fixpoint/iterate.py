"""The fixed point: states flow through the blocks in weak topological order, loops are repeated until they are stable.

      block    the states that arrive are merged (at most a few are kept apart), each is interpreted, what leaves at a
               jump goes to the next blocks
      loop     1  unroll: round after round with exact states while that is cheap and new states appear
               2  widen:  states that arrive at the head are joined, bounds that move jump to thresholds, until nothing
                          new arrives; one round of narrowing
               3  check:  one more round in which every check counts and the head must not grow

Several states are kept apart at a point as long as there are few (`APART`): what a join would forget is mostly which
pointer goes with which flag.  When the budget for that is used up, states of the same shape are joined, so time stays
proportional to the size of the program.

A loop is accepted when unrolling ends it, or when something shows that it ends: program/loops has a trip count, a
counter that no instruction writes (`State.counters`) stays bounded because it moves with a number that does, or every
round passes a may_goto.

F. Bourdoncle (wto.py); P. Cousot, "Abstracting induction by extrapolation and interpolation" (2015).
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.fixpoint.arithmetic import compute
from bpfbench.fixpoint.context import Analysis
from bpfbench.fixpoint.covers import covers
from bpfbench.fixpoint.failures import Refused
from bpfbench.fixpoint.joins import join_states
from bpfbench.fixpoint.state import State, joinable
from bpfbench.fixpoint.step import Interpreter
from bpfbench.fixpoint.values import NO_VALUE, Value, constant
from bpfbench.fixpoint.wto import Component, Order, weak_topological_order
from bpfbench.isa import ops
from bpfbench.program.loops import analyse

APART: Final = 8                # states kept apart at one point
SHAPES: Final = 4               # the same when the budget is used up, one per shape
FINE: Final = 20_000            # steps (instructions interpreted) with states kept apart
COARSE: Final = 250_000         # steps after which the analysis gives up, at least
SMALL: Final = 600              # steps of unrolling before a loop is widened
LARGE: Final = 30_000           # steps of unrolling when widening has failed
ROUNDS: Final = 60              # of widening
PATIENCE: Final = 12            # of these with the program's thresholds
NO_END: Final = 1 << 62
LONGEST: Final = 1 << 23        # rounds of a loop that ends (as bpf_loop's limit)
RECENT: Final = 32              # earlier rounds that a new one is compared with
Inbox = dict[int, list[State]]


@final
class Unstable(Exception):
    """The last round of a loop brought a state that the earlier ones did not cover."""


@final
class Engine:
    """Runs functions; see the module text.  `visited` keeps the states met at each block."""

    __slots__ = ("w", "interpreter", "orders", "trips", "visited", "dropped", "limit", "blocks_visited", "summaries",
                 "settled", "long", "wasted")

    def __init__(self, w: Analysis) -> None:
        self.w = w
        self.interpreter = Interpreter(w, self)
        self.orders: dict[int, Order] = {}
        self.trips: dict[int, int | None] | None = None
        self.visited: dict[int, list[State]] = {}
        self.dropped = False
        self.limit = max(COARSE, 30 * len(w.program.insns))
        self.blocks_visited = 0
        self.settled: dict[int, list[State]] = {}       # head -> states that were stable there
        self.long: set[int] = set()                     # heads of loops that unrolling did not end
        self.wasted = 0                                 # steps of unrolling that came to nothing
        self.summaries: dict[tuple[int, int, bool], list[tuple[State, list[Value]]]] = {}

    # Functions ------------------------------------------------------------------------------------------------------

    def run(self, function: int, states: list[State]) -> list[State]:
        """From the function's entry to its exits, the frame still on top."""
        entry = self.w.cfg.entry(function)
        order = self.orders.get(function)
        if order is None:
            order = self.orders[function] = weak_topological_order(entry, self.w.cfg.successors)
        exits: list[State] = []
        self._elements(order, {entry: states}, exits)
        return self.merge(exits)

    def _elements(self, order: Order, inbox: Inbox, exits: list[State]) -> None:
        for element in order:
            if isinstance(element, Component):
                self._component(element, inbox, exits)
            else:
                self._block(element, inbox, exits)

    def _block(self, block: int, inbox: Inbox, exits: list[State]) -> None:
        arrived = inbox.pop(block, None)
        if not arrived:
            return
        for state in self.merge(arrived):
            self._visit(block, state, inbox, exits)

    def _visit(self, block: int, state: State, inbox: Inbox, exits: list[State]) -> None:
        self.blocks_visited += 1
        if self.w.steps > self.limit:
            raise self.w.refuse("too-complex", f"no fixed point after {self.w.steps} steps")
        if self.w.checking:
            self._remember(block, state)
        try:
            for target, out in self.interpreter.block(block, state.copy(), exits):
                self._drop_dead(target, out)
                inbox.setdefault(target, []).append(out)
        except Refused as no:
            if self.w.checking or no.rule == "too-complex":
                if no.state is None:
                    no.state = state
                raise
            self.dropped = True

    def _drop_dead(self, block: int, state: State) -> None:
        """Registers that nothing reads before they are written again need not be compared."""
        live = self.w.live[self.w.cfg.blocks[block].start]
        regs = state.frames[-1].regs
        for r in range(10):
            if not live >> r & 1:
                regs[r] = NO_VALUE
        state.tidy()

    def _remember(self, block: int, state: State) -> None:
        kept = self.visited.setdefault(block, [])
        kept.append(state)
        if len(kept) > APART * 4:
            self.visited[block] = _distinct(kept[:APART]) + self._joined(kept[APART:])

    def _joined(self, states: list[State]) -> list[State]:
        """One state per shape and call chain."""
        groups: dict[object, State] = {}
        for s in states:
            key = s.shape()
            old = groups.get(key)
            if old is None:
                groups[key] = s
            elif not covers(old, s):
                groups[key] = join_states(old, s, self.w.names)
        return list(groups.values())

    # Merging --------------------------------------------------------------------------------------------------------

    def merge(self, states: list[State]) -> list[State]:
        """Fewer states that stand for the same: none covered by another, at most `APART`."""
        if len(states) < 2:
            return states
        fine = self.w.steps < FINE
        kept: list[State] = []
        for s in states:
            if not any(covers(old, s) for old in kept):
                kept = [old for old in kept if not covers(s, old)] if len(kept) < APART else kept
                kept.append(s)
                if len(kept) > 2 * APART:           # a place where many paths meet: stay linear in their number
                    kept = self._fewer(kept, APART, False)
        if len(kept) <= (APART if fine else 1):
            return kept
        return self._fewer(kept, APART if fine else SHAPES, not fine)

    def _fewer(self, states: list[State], most: int, by_shape: bool) -> list[State]:
        groups: dict[object, list[State]] = {}
        for s in states:
            groups.setdefault(s.shape(), []).append(s)
        count = len(states)
        while count > most or by_shape:
            largest = max(groups.values(), key=len)
            if len(largest) < 2:
                break
            old, new = largest.pop(), largest.pop()
            largest.append(self._join(old, new))
            count -= 1
        left = [s for group in groups.values() for s in group]
        while len(left) > most:
            for i in range(1, len(left)):
                if joinable(left[0], left[i]):
                    left[0] = self._join(left[0], left.pop(i))
                    break
            else:
                break
        return left

    def _join(self, old: State, new: State) -> State:
        self.w.joins += 1
        return join_states(old, new, self.w.names)

    # Loops ----------------------------------------------------------------------------------------------------------

    def _component(self, loop: Component, inbox: Inbox, exits: list[State]) -> None:
        frontier = inbox.pop(loop.head, [])
        extra = {b: inbox.pop(b) for b in sorted(loop.blocks) if b in inbox}
        if not frontier and not extra:
            return
        pointless = self._is_long(loop)
        before = self.w.steps
        frontier = self._unroll(loop, frontier, extra, inbox, exits, 0 if pointless else SMALL)
        if not frontier:
            return
        if not pointless and self._rounds_cost(loop) <= 4 * SMALL:
            frontier = self._unroll(loop, frontier, {}, inbox, exits, 4 * SMALL)
            if not frontier:
                return
        if not pointless:
            self.long.add(loop.head)
            self.wasted += self.w.steps - before
        failed = self._try_widen(loop, frontier, inbox, exits)
        if failed is None:
            return
        frontier = self._unroll(loop, frontier, {}, inbox, exits, LARGE)
        if not frontier:
            return
        failed = self._try_widen(loop, frontier, inbox, exits) and failed
        if failed is not None and self.w.checking:
            raise failed
        self.dropped = self.dropped or failed is not None

    def _is_long(self, loop: Component) -> bool:
        """Is unrolling known to be pointless: tried before, or (when enough has been wasted) by the trip count?"""
        if loop.head in self.long:
            return True
        return self.wasted > 5 * SMALL and 4 * SMALL < self._rounds_cost(loop) < NO_END

    def _rounds_cost(self, loop: Component) -> int:
        """Instructions that all rounds have together, as far as the trip count is known."""
        count = self._trip_count(loop)
        return NO_END if count is None else count * sum(len(self.w.cfg.insns(b)) for b in loop.blocks)

    def _round(self, loop: Component, heads: list[State], extra: Inbox, inbox: Inbox, exits: list[State]) -> list[State]:
        """Once around; what leaves goes to `inbox`, what comes back to the head is the answer."""
        local: Inbox = {b: list(states) for b, states in extra.items()}
        for s in heads:
            s.fuel = False
        local[loop.head] = heads
        self._block(loop.head, local, exits)
        self._elements(loop.body, local, exits)
        back = local.pop(loop.head, [])
        for block, states in local.items():
            for s in states:
                s.counters.pop(loop.head, None)
            inbox.setdefault(block, []).extend(states)
        return back

    def _unroll(self, loop: Component, frontier: list[State], extra: Inbox, inbox: Inbox, exits: list[State],
                most: int) -> list[State]:
        """Rounds with exact states; [] when the loop has come to its end, else the states to go on from."""
        start = self.w.steps
        recent: list[State] = []
        repeated = False
        while frontier or extra:
            if self.w.steps - start > most:
                return frontier
            fresh = []
            for s in self.merge(frontier):
                if any(covers(old, s) for old in recent):
                    repeated = repeated or not s.fuel
                else:
                    fresh.append(s.copy())
            if repeated and self._trip_count(loop) is None:
                return frontier
            recent = (recent + fresh)[-RECENT:]
            frontier = self._round(loop, fresh, extra, inbox, exits) if fresh or extra else []
            extra = {}
        return []

    def _try_widen(self, loop: Component, entry: list[State], inbox: Inbox, exits: list[State]) -> Refused | None:
        """Widen, narrow, check; None when the loop is done, else why it is not (nothing has been sent on then)."""
        checking, dropped = self.w.checking, self.dropped
        coarse = self.w.steps >= FINE
        if checking:
            self.settled.clear()
        try:
            self.w.checking = False
            heads = self._by_shape([_counted(s, loop.head) for s in entry])
            known = self.settled.get(loop.head, []) if coarse else []
            if known and known[0].counters.keys() != heads[0].counters.keys():
                known = []                      # found inside other loops
            if known and all(any(covers(old, s) for old in known) for s in heads):
                self.w.checking = checking
                if self._close(loop, known, inbox, exits):
                    return None
                self.w.checking = False
            elif known and not checking and joinable(known[0], heads[0]):
                heads = self._by_shape(known + heads)
            for attempt in range(3):
                heads = self._ascend(loop, heads)
                smaller = heads if coarse and not checking else self._narrowed(loop, entry, heads)
                self.w.checking = checking
                for candidate in ([smaller, heads] if attempt == 0 else [heads]):
                    if self._close(loop, candidate, inbox, exits, strict=True):
                        self.settled[loop.head] = candidate
                        return None
                self.w.checking = False
            return self.w.refuse("too-complex", f"the loop at insn {self.w.cfg.blocks[loop.head].start} does not settle")
        except Refused as no:
            if no.rule == "too-complex" and self.w.steps > self.limit:
                raise
            return no
        finally:
            self.w.checking = checking
            self.dropped = dropped

    def _close(self, loop: Component, heads: list[State], inbox: Inbox, exits: list[State], strict: bool = False) -> bool:
        """The round that decides: are the heads stable, and does every check hold?  Then its states are sent on.

        A check that fails is an answer of False, or with `strict` a refusal.
        """
        sent: Inbox = {}
        left: list[State] = []
        self.dropped = False
        try:
            self._last_round(loop, heads, sent, left)
        except Unstable:
            return False
        except Refused as no:
            if strict or no.rule == "too-complex":
                raise
            return False
        if not self.w.checking and self.dropped:
            if strict:
                raise self.w.refuse("too-complex", "cut while a loop around it is approximated")
            return False
        for block, states in sent.items():
            inbox.setdefault(block, []).extend(states)
        exits += left
        return True

    def _ascend(self, loop: Component, heads: list[State]) -> list[State]:
        for turn in range(ROUNDS):
            back = self._round(loop, [s.copy() for s in heads], {}, {}, [])
            grown = False
            for s in back:
                s = _stepped(s, loop.head)
                if any(covers(old, s) for old in heads):
                    continue
                grown = True
                heads = self.absorb(heads, s, turn)
            if not grown:
                return heads
        raise self.w.refuse("too-complex", f"the loop at insn {self.w.cfg.blocks[loop.head].start} does not settle")

    def absorb(self, heads: list[State], s: State, turn: int) -> list[State]:
        """Take a state into the heads: into the one of its shape, or as a new one while there are few.

        The first turns join, the next widen to thresholds, then to the ends of the widths.
        """
        thresholds = None if turn < 2 else self.w.thresholds if turn < PATIENCE else self.w.ends
        shape = s.shape()
        place = next((i for i, old in enumerate(heads) if old.shape() == shape), -1)
        if place < 0 and len(heads) >= SHAPES:
            place = next((i for i, old in enumerate(heads) if joinable(old, s)), -1)
        if place < 0:
            if len(heads) > 4 * SHAPES:
                raise self.w.refuse("too-complex", "references differ from round to round of a loop")
            return [*heads, s]
        self.w.joins += 1
        self.w.widenings += turn > 1
        fresh = join_states(heads[place], s, self.w.names, thresholds)
        return [*heads[:place], fresh, *heads[place + 1:]]

    def _by_shape(self, states: list[State]) -> list[State]:
        heads: list[State] = []
        for s in states:
            if not any(covers(old, s) for old in heads):
                heads = self.absorb(heads, s, 0)
        return heads

    def _narrowed(self, loop: Component, entry: list[State], heads: list[State]) -> list[State]:
        """The heads that one more round really needs."""
        for _ in range(2):
            back = self._round(loop, [s.copy() for s in heads], {}, {}, [])
            fresh = self._by_shape([_counted(s, loop.head) for s in entry] + [_stepped(s, loop.head) for s in back])
            if not all(any(covers(old, s) for old in heads) for s in fresh):
                break
            heads = fresh
        return heads

    def _last_round(self, loop: Component, heads: list[State], sent: Inbox, left: list[State]) -> None:
        back = [_stepped(s, loop.head) for s in self._round(loop, [s.copy() for s in heads], {}, sent, left)]
        if not all(any(covers(old, s) for old in heads) for s in back):
            raise Unstable
        if not self.w.checking or self._trip_count(loop) is not None:
            return
        for s in back:
            if not s.fuel and s.counters[loop.head].scalar.umax > LONGEST:
                self.w.pc = self.w.cfg.blocks[loop.head].start
                raise self.w.refuse("endless", "nothing shows that this loop ends", *_leaving(self.w, loop))

    def _trip_count(self, loop: Component) -> int | None:
        """A number of rounds that the loop never exceeds, from program/loops."""
        if self.trips is None:
            self.trips = {}
            if self.w.cfg.loops:
                for facts in analyse(self.w.cfg):
                    if facts.loop.reducible and facts.trips.bounded:
                        self.trips[facts.loop.header] = facts.trips.count
        count = self.trips.get(loop.head)
        return count if count is not None and count <= LONGEST else None


def _distinct(states: list[State]) -> list[State]:
    kept: list[State] = []
    for s in states:
        if not any(covers(old, s) for old in kept):
            kept.append(s)
    return kept


def _counted(state: State, head: int) -> State:
    """Enters a loop: round 0."""
    out = state.copy()
    out.counters = {**out.counters, head: constant(0)}
    return out


def _stepped(state: State, head: int) -> State:
    """Comes back to the head of a loop: one round more."""
    out = state.copy()
    out.counters = {**out.counters, head: compute(ops.ADD, True, out.counters[head], constant(1))}
    return out


def _leaving(w: Analysis, loop: Component) -> tuple[int, ...]:
    """Registers that the loop's exits compare."""
    found: set[int] = set()
    for edge in w.cfg.edges:
        if edge.source in loop.blocks and edge.target not in loop.blocks:
            insn = w.program.insns[edge.pc]
            if insn is not None and insn.kind in (ops.JMP, ops.JMP32):
                found |= {insn.dst} | (set() if insn.op.imm else {insn.src})
    return tuple(sorted(found))
