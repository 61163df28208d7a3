"""Bounded loops by the control-flow graph: induction variables, and how often a loop runs, proved or why not.

The number that is proved is the *trip count*: how many times the loop's header begins to execute each time the loop is
entered.  For every exit that is passed in each iteration the condition is a formula over the values at the start of the
iteration (`iteration.py`); if these follow a recurrence that is known, so is the first iteration that leaves:

    h0 = start, h(k+1) = h(k) + step  on w bits        leaves when  h(k) + c  compares so with bound

which is the smallest k for which start + c + k * step modulo 2^w lies in an interval: solved exactly, wrapping
included, in the manner of Euclid's algorithm.  Other recurrences (h * 3, h >> 1, …) are followed number by number.

    exactly N     every entry runs the header N times
    at most N     some way out or some start is not known, but N iterations are never exceeded
    symbolic      one exit with a formula in a value that is not known
    unknown       and the reason

Linux refused such loops until 5.3, walks them iteration by iteration since, and never computes this number; `kernels`
says what it would do with each.  Slide 34.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.bits import sext
from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_id
from bpfbench.program import terms
from bpfbench.program.cfg import TAKEN, Cfg, Edge
from bpfbench.program.counting import OPPOSITE, Question, step_of
from bpfbench.program.iteration import COMPARISON, DEEPEST, Condition, Iteration, iterations
from bpfbench.program.nesting import Loop
from bpfbench.program.terms import CONST, Term, variable_name

EXACT: Final = "exactly"
AT_MOST: Final = "at most"
SYMBOLIC: Final = "symbolic"
UNKNOWN: Final = "unknown"

WALK_LIMIT: Final = 1_000_000      # instructions that Linux walks (BPF_COMPLEXITY_LIMIT_INSNS)
_TAIL_CALL: Final = helper_id("bpf_tail_call")

@final
class Trips:
    """How often the header runs per entry: `kind` (see the module), `count` if there is one, the `formula` or
    `reason`.
    """

    __slots__ = ("kind", "count", "formula", "reason")

    def __init__(self, kind: str, count: int | None = None, formula: str = "", reason: str = "") -> None:
        self.kind = kind
        self.count = count
        self.formula = formula
        self.reason = reason

    @property
    def bounded(self) -> bool:
        """Is there a number that the loop never exceeds?"""
        return self.count is not None

    def __str__(self) -> str:
        said = f"{self.kind} {self.count}" if self.count is not None else self.kind
        more = "; ".join(part for part in (self.formula, self.reason) if part)
        return f"{said} ({more})" if more else said

    def __repr__(self) -> str:
        return f"Trips({self})"


@final
class Induction:
    """A variable that goes up by the same `step` in every iteration, on `bits` bits; `start` is a formula."""

    __slots__ = ("variable", "start", "step", "bits")

    def __init__(self, variable: int, start: Term, step: int, bits: int) -> None:
        self.variable = variable
        self.start = start
        self.step = step
        self.bits = bits

    def __repr__(self) -> str:
        sign = "+" if self.step >= 0 else "-"
        return f"Induction({variable_name(self.variable)} = {self.start}, {sign}= {abs(self.step)}, {self.bits} bits)"


@final
class Exit:
    """A way out of a loop: the jump at `pc` leaves when `condition` holds; `reason` why its iteration is not known."""

    __slots__ = ("pc", "condition", "reason")

    def __init__(self, pc: int, condition: str, reason: str) -> None:
        self.pc = pc
        self.condition = condition
        self.reason = reason

    def __repr__(self) -> str:
        return f"Exit({self.pc}: {self.condition or 'no condition'}{f' [{self.reason}]' if self.reason else ''})"


@final
class LoopFacts:
    """All that is known of one loop.  `pc` is its header's first instruction, `kernels` what kernels do with it."""

    __slots__ = ("loop", "pc", "trips", "inductions", "exits", "kernels")

    def __init__(
        self, loop: Loop, pc: int, trips: Trips, inductions: list[Induction], exits: list[Exit], kernels: dict[str, str]
    ) -> None:
        self.loop = loop
        self.pc = pc
        self.trips = trips
        self.inductions = inductions
        self.exits = exits
        self.kernels = kernels

    def __repr__(self) -> str:
        return f"LoopFacts(loop {self.loop.index} at insn {self.pc}: {self.trips})"

    def __str__(self) -> str:
        lines = [f"loop {self.loop.index} at insn {self.pc}, depth {self.loop.depth}: {self.trips}"]
        lines += [f"  {induction!r}" for induction in self.inductions]
        lines += [f"  {leaving!r}" for leaving in self.exits]
        return "\n".join(lines + [f"  {kernel}: {fate}" for kernel, fate in self.kernels.items()])


def analyse(cfg: Cfg) -> list[LoopFacts]:
    """Facts on every loop of a program, in the order of `cfg.loops`.

    >>> from bpfbench.program.program import from_assembly
    >>> from bpfbench.program.cfg import build
    >>> analyse(build(from_assembly("r1 = 0\\nA: r1 += 4\\nif r1 < 40 goto A\\nr0 = 0\\nexit")))
    [LoopFacts(loop 0 at insn 1: exactly 10)]
    """
    return _Analysis(cfg).all()


@final
class _Analysis:
    __slots__ = ("cfg", "iterations", "conditions", "trips", "returning", "callee", "found")

    def __init__(self, cfg: Cfg) -> None:
        self.cfg = cfg
        self.iterations, self.conditions = iterations(cfg)
        self.trips: dict[int, Trips] = {}
        self.found: dict[int, list[Induction]] = {}
        self.returning: dict[int, bool] = {}
        self.callee = {call.pc: call.callee for call in cfg.calls if not call.callback}

    def all(self) -> list[LoopFacts]:
        """Twice per function, inner loops first: whether an outer loop comes back to its exit depends on the loops in
        it, and how far an inner loop counts may depend on where the outer one has got to."""
        facts: dict[int, LoopFacts] = {}
        for function in self._callees_first():
            mine = [loop for loop in self.cfg.loops if self.cfg.blocks[loop.header].function == function]
            for loop in [*reversed(mine), *reversed(mine)]:
                facts[loop.index] = self._loop(loop)
            self.returning[function] = self._returns(function, mine)
        return [facts[loop.index] for loop in self.cfg.loops]

    def _callees_first(self) -> list[int]:
        order: list[int] = []
        seen: set[int] = set()
        callees: dict[int, list[int]] = {}
        for call in self.cfg.calls:
            callees.setdefault(call.caller, []).append(call.callee)
        for root in range(len(self.cfg.functions)):
            stack = [root]
            while stack:
                function = stack[-1]
                following = [callee for callee in callees.get(function, []) if callee not in seen]
                seen.add(function)
                if following:
                    stack.append(following[0])
                else:
                    stack.pop()
                    if function not in self.returning:
                        self.returning[function] = False  # until it is known; so recursion counts as not returning
                        order.append(function)
        return order

    def _returns(self, function: int, loops: list[Loop]) -> bool:
        """Does the function certainly come back to its caller?"""
        bounded = all(self.trips[loop.index].bounded for loop in loops)
        blocks = [b.index for b in self.cfg.blocks if b.function == function and b.reachable]
        return bounded and not any(self._leaves(insn_block) for insn_block in blocks)

    def _leaves(self, block: int) -> str:
        """Why a block may end the whole program, or never come to its end; "" if it cannot."""
        for pc, insn in self.cfg.insns(block):
            if insn.kind == ops.CALL and insn.imm == _TAIL_CALL:
                return f"the tail call at insn {pc} may not come back"
            if insn.kind in (ops.LD_ABS, ops.LD_IND):
                return f"the packet load at insn {pc} may end the program"
            if insn.kind in (ops.CALLX, ops.CALL_KFUNC, ops.GOTOX, ops.UNKNOWN) or insn.flaw:
                return f"what insn {pc} does is not known"
            if insn.kind == ops.CALL_LOCAL:
                if not self.returning.get(self.callee.get(pc, -1), False):
                    return f"the function called at insn {pc} may not come back"
        return ""

    # --- one loop ----------------------------------------------------------------------------------------------------

    def _loop(self, loop: Loop) -> LoopFacts:
        pc = self.cfg.blocks[loop.header].start
        iteration = self.iterations.get(loop.index)
        inductions: list[Induction] = []
        exits: list[Exit] = []
        if any(insn.kind == ops.GOTOX for _, insn in self.cfg.function_insns(self.cfg.blocks[loop.header].function)):
            trips = Trips(UNKNOWN, reason="the function has an indirect jump")
        elif iteration is None:
            reason = "inside an irreducible loop"
            if loop.reducible and loop.depth > DEEPEST:
                reason = f"nested deeper than {DEEPEST} loops"
            if not loop.reducible:
                starts = ", ".join(str(self.cfg.blocks[entry].start) for entry in loop.entries)
                reason = f"irreducible: it can be entered at insns {starts}"
            trips = Trips(UNKNOWN, reason=reason)
        else:
            inductions = self._inductions(iteration)
            trips = self._count(iteration, exits)
        self.trips[loop.index] = trips
        return LoopFacts(loop, pc, trips, inductions, exits, self._kernels(loop, trips))

    def _count(self, iteration: Iteration, exits: list[Exit]) -> Trips:
        loop = iteration.loop
        doubts = self._doubts(loop)
        known = self._guards(loop)
        counts: list[int] = []
        limits: list[int] = []
        formulas: list[str] = []
        never = 0
        for edge, condition in iteration.exits:
            fn = _leaving(condition, edge.kind == TAKEN)
            shown = f"{condition.a} {COMPARISON[fn]} {condition.b}" if condition is not None and fn >= 0 else ""
            if condition is not None and fn < 0:
                shown = f"{'' if edge.kind == TAKEN else 'not '}({condition.a} & {condition.b})"
            reason = self._not_every_iteration(loop, edge.source)
            if condition is None:
                reason = reason or "whether it leaves is not a comparison"
            if condition is not None and not reason:
                question = Question(self.cfg, iteration, condition, edge.kind == TAKEN, known)
                reason = question.ask()
                counts += [question.first + 1] if question.first is not None else []
                limits += [question.limit + 1] if question.limit is not None else []
                formulas += [question.formula] if question.formula else []
                never += question.never
            exits.append(Exit(edge.pc, shown, reason))
        doubts += [f"insn {e.pc}: {e.reason}" for e in exits if e.reason]
        if counts and not doubts:
            return Trips(EXACT, min(counts))
        if counts or limits:
            return Trips(AT_MOST, min(counts + limits), " ".join(formulas), "; ".join(doubts))
        if not iteration.exits:
            return Trips(UNKNOWN, reason="there is no way out")
        if never == len(iteration.exits):
            return Trips(UNKNOWN, reason="no iteration meets an exit condition: it never ends")
        kind = SYMBOLIC if formulas and len(iteration.exits) == 1 else UNKNOWN
        return Trips(kind, None, " ".join(formulas), "; ".join(doubts))

    def _doubts(self, loop: Loop) -> list[str]:
        """Reasons why an iteration may not come to the exits it is expected to come to."""
        found = [why for block in sorted(loop.blocks) if (why := self._leaves(block))]
        for child in loop.children:
            if not self.trips[child].bounded:
                found.append(f"the loop at insn {self.cfg.blocks[self.cfg.loops[child].header].start} may not end")
        return found

    def _not_every_iteration(self, loop: Loop, block: int) -> str:
        if self.cfg.blocks[block].loop != loop.index:
            return "it leaves from inside an inner loop"
        if not all(self.cfg.dominates(block, latch) for latch in loop.latches):
            return "not every iteration comes by"
        return ""

    def _guards(self, loop: Loop) -> dict[Term, tuple[int, int]]:
        """What the jumps on the way to the loop say about the values it starts from."""
        known = self._ranges(loop)
        block = loop.header
        while (above := self.cfg.blocks[block].idom) >= 0:
            condition = self.conditions.get(above)
            inside = [p for p in self.cfg.predecessors[block] if not self.cfg.dominates(block, p)]
            if condition is not None and inside == [above] and len(self.cfg.successors[above]) == 2:
                edge = next(e for e in self.cfg.edges_from(above) if e.target == block)
                _learn(known, condition, _leaving(condition, edge.kind == TAKEN))
            block = above
        return known

    def _inductions(self, iteration: Iteration) -> list[Induction]:
        index = iteration.loop.index
        if index not in self.found:
            self.found[index] = _inductions(iteration)
        return self.found[index]

    def _ranges(self, loop: Loop) -> dict[Term, tuple[int, int]]:
        """The values that the induction variables of the enclosing loops take, as far as those are bounded."""
        known: dict[Term, tuple[int, int]] = {}
        around = []
        while loop.parent >= 0:
            loop = self.cfg.loops[loop.parent]
            around.append(loop)
        for outer in reversed(around):
            trips, iteration = self.trips.get(outer.index), self.iterations.get(outer.index)
            if trips is None or trips.count is None or iteration is None:
                continue
            for variable in self._inductions(iteration):
                low, high = terms.bounds(variable.start, known)
                far = (trips.count - 1) * variable.step
                low, high = min(low, low + far), max(high, high + far)
                if low >= 0 and high < 1 << variable.bits:
                    known[terms.header(outer.index, variable.variable)] = (low, high)
        return known

    def _kernels(self, loop: Loop, trips: Trips) -> dict[str, str]:
        """What the verifiers of three generations do with the loop.

        A walk follows values, not recurrences: a counter that is divided, or kept in memory in a way the walker does
        not track, runs into the limit although the trip count is small.
        """
        back = next(edge for block in loop.blocks for edge in self.cfg.edges_from(block)
                    if edge.back and edge.target in loop.entries)  # fmt: skip
        latch, start = edge_ends(self.cfg, back)
        size = sum(len(self.cfg.insns(block)) for block in loop.blocks)
        steps = any(insn.kind == ops.MAY_GOTO for block in loop.blocks for _, insn in self.cfg.insns(block))
        walked = "walked until two states are equal or a million instructions are reached"
        if trips.kind == EXACT and trips.count is not None:
            walked = f"walked: {trips.count} iterations of up to {size} instructions, if it keeps track of the counter"
            if trips.count * len(loop.entries) > WALK_LIMIT:
                walked = f"too large: {trips.count} iterations are more than a million instructions"
        return {
            "linux-4.18": f"refused: back-edge from insn {latch} to {start}",
            "linux-5.3": "refused: may_goto is not known" if steps else walked,
            "linux-6.18": "walked until the states of the component repeat (may_goto)" if steps else walked,
        }


def edge_ends(cfg: Cfg, edge: Edge) -> tuple[int, int]:
    """The instructions that an edge leads from and to."""
    return edge.pc, cfg.blocks[edge.target].start


def _leaving(condition: Condition | None, taken: bool) -> int:
    """The comparison that holds when the edge is followed; -1 for a bit test that must not hold, or for none."""
    if condition is None:
        return -1
    return condition.fn if taken else OPPOSITE.get(condition.fn, -1)


def _learn(known: dict[Term, tuple[int, int]], condition: Condition, fn: int) -> None:
    a, b = condition.a, condition.b
    if a.kind == CONST or b.kind != CONST or fn < 0 or terms.upper(a) >= 1 << condition.bits:
        return
    low, high = known.get(a, (0, terms.upper(a)))
    value = b.value & (1 << condition.bits) - 1
    if fn == ops.JEQ:
        low, high = max(low, value), min(high, value)
    elif fn == ops.JNE:
        low, high = low + (value == low), high - (value == high)
    elif fn in (ops.JGT, ops.JGE):
        low = max(low, value + (fn == ops.JGT))
    elif fn in (ops.JLT, ops.JLE):
        high = min(high, value - (fn == ops.JLT))
    elif fn in (ops.JSGT, ops.JSGE) and sext(value, condition.bits) >= -1 and high < 1 << condition.bits - 1:
        low = max(low, sext(value, condition.bits) + (fn == ops.JSGT))
    if low <= high:
        known[a] = (max(low, 0), high)


def _inductions(iteration: Iteration) -> list[Induction]:
    found = []
    for variable in sorted(iteration.next):
        step = step_of(iteration, variable)
        if step is not None and step[0] and variable in iteration.entry:
            found.append(Induction(variable, iteration.entry[variable], *step))
    return found
