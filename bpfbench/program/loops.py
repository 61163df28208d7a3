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
from bpfbench.program.cfg import TAKEN, Cfg
from bpfbench.program.iteration import COMPARISON, Condition, Iteration, iterations
from bpfbench.program.nesting import Loop
from bpfbench.program.terms import ALU, CONST, EXTEND, HEADER, OTHER, Term, evaluate, leaves, variable_name

EXACT: Final = "exactly"
AT_MOST: Final = "at most"
SYMBOLIC: Final = "symbolic"
UNKNOWN: Final = "unknown"

STEP_LIMIT: Final = 1 << 16        # iterations that are followed number by number
WALK_LIMIT: Final = 1_000_000      # instructions that Linux walks (BPF_COMPLEXITY_LIMIT_INSNS)
_TAIL_CALL: Final = helper_id("bpf_tail_call")
_SIGNED: Final = (ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE)
_OPPOSITE: Final = {ops.JEQ: ops.JNE, ops.JNE: ops.JEQ, ops.JGT: ops.JLE, ops.JLE: ops.JGT, ops.JGE: ops.JLT,
                    ops.JLT: ops.JGE, ops.JSGT: ops.JSLE, ops.JSLE: ops.JSGT, ops.JSGE: ops.JSLT,
                    ops.JSLT: ops.JSGE}  # fmt: skip
_SWAPPED: Final = {ops.JEQ: ops.JEQ, ops.JNE: ops.JNE, ops.JGT: ops.JLT, ops.JLT: ops.JGT, ops.JGE: ops.JLE,
                   ops.JLE: ops.JGE, ops.JSGT: ops.JSLT, ops.JSLT: ops.JSGT, ops.JSGE: ops.JSLE, ops.JSLE: ops.JSGE,
                   ops.JSET: ops.JSET}  # fmt: skip


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
    __slots__ = ("cfg", "iterations", "conditions", "trips", "returning", "callee")

    def __init__(self, cfg: Cfg) -> None:
        self.cfg = cfg
        self.iterations, self.conditions = iterations(cfg)
        self.trips: dict[int, Trips] = {}
        self.returning: dict[int, bool] = {}
        self.callee = {call.pc: call.callee for call in cfg.calls if not call.callback}

    def all(self) -> list[LoopFacts]:
        facts: dict[int, LoopFacts] = {}
        for function in self._callees_first():
            mine = [loop for loop in self.cfg.loops if self.cfg.blocks[loop.header].function == function]
            for loop in reversed(mine):  # inner loops first
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
            if not loop.reducible:
                starts = ", ".join(str(self.cfg.blocks[entry].start) for entry in loop.entries)
                reason = f"irreducible: it can be entered at insns {starts}"
            trips = Trips(UNKNOWN, reason=reason)
        else:
            inductions = _inductions(iteration)
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
                question = _Question(self.cfg, iteration, condition, edge.kind == TAKEN, known)
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
        known: dict[Term, tuple[int, int]] = {}
        block = loop.header
        while (above := self.cfg.blocks[block].idom) >= 0:
            condition = self.conditions.get(above)
            inside = [p for p in self.cfg.predecessors[block] if not self.cfg.dominates(block, p)]
            if condition is not None and inside == [above] and len(self.cfg.successors[above]) == 2:
                edge = next(e for e in self.cfg.edges_from(above) if e.target == block)
                _learn(known, condition, _leaving(condition, edge.kind == TAKEN))
            block = above
        return known

    def _kernels(self, loop: Loop, trips: Trips) -> dict[str, str]:
        """What the verifiers of three generations do with the loop."""
        latch, start = self.cfg.blocks[loop.latches[-1]].last, self.cfg.blocks[loop.header].start
        size = sum(len(self.cfg.insns(block)) for block in loop.blocks)
        steps = any(insn.kind == ops.MAY_GOTO for block in loop.blocks for _, insn in self.cfg.insns(block))
        walked = "walked until two states are equal or a million instructions are reached"
        if trips.kind == EXACT and trips.count is not None:
            walked = f"walked, all {trips.count} iterations of up to {size} instructions"
            if trips.count * len(loop.entries) > WALK_LIMIT:
                walked = f"too large: {trips.count} iterations are more than a million instructions"
        return {
            "linux-4.18": f"refused: back-edge from insn {latch} to {start}",
            "linux-5.3": "refused: may_goto is not known" if steps else walked,
            "linux-6.18": "walked until the states of the component repeat (may_goto)" if steps else walked,
        }


def _leaving(condition: Condition | None, taken: bool) -> int:
    """The comparison that holds when the edge is followed; -1 for a bit test that must not hold, or for none."""
    if condition is None:
        return -1
    return condition.fn if taken else _OPPOSITE.get(condition.fn, -1)


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
        step = _step(iteration, variable)
        if step is not None and step[0] and variable in iteration.entry:
            found.append(Induction(variable, iteration.entry[variable], *step))
    return found


def _step(iteration: Iteration, variable: int) -> tuple[int, int] | None:
    """(step, bits) of a variable that goes up by a constant; (0, 64) if it stays; None otherwise."""
    following = iteration.next.get(variable)
    mine = terms.header(iteration.loop.index, variable)
    if following is None:
        return None
    if following == mine:
        return 0, 64
    if following.kind == ALU and following.fn == ops.ADD and following.args[1].kind == CONST:
        of = following.args[0]
        if of == mine or (following.bits == 32 and of.kind == ALU and of.fn == ops.MOV and of.args[1] == mine):
            return sext(following.args[1].value & (1 << following.bits) - 1, following.bits), following.bits
    return None


@final
class _Question:
    """In which iteration does one exit condition hold first?

    After `ask`: `first` the iteration (from 0), or `never`, or a `limit` that it does not exceed, or neither with the
    reason returned; `formula` says what it depends on.
    """

    __slots__ = ("cfg", "iteration", "condition", "taken", "known", "first", "never", "limit", "formula")

    def __init__(
        self, cfg: Cfg, iteration: Iteration, condition: Condition, taken: bool, known: dict[Term, tuple[int, int]]
    ) -> None:
        self.cfg = cfg
        self.iteration = iteration
        self.condition = condition
        self.taken = taken
        self.known = known
        self.first: int | None = None
        self.never = False
        self.limit: int | None = None
        self.formula = ""

    def ask(self) -> str:
        needed, reason = self._needed()
        if reason:
            return reason
        free = sorted({leaf for leaf in needed if not self._mine(leaf)}, key=str)
        starts = {leaf: self.iteration.entry[leaf.variable] for leaf in needed if self._mine(leaf)}
        open_starts = [leaf for leaf, start in starts.items() if start.kind != CONST]
        line = self._line()
        if free or open_starts:
            return self._symbolic(line, free, open_starts)
        values = {leaf: start.value for leaf, start in starts.items()}
        if line is not None:
            self.first = self._solve(line, values)
            self.never = self.first is None
            return ""
        return self._follow(values)

    def _mine(self, leaf: Term) -> bool:
        return leaf.kind == HEADER and leaf.value == self.iteration.loop.index

    def _needed(self) -> tuple[set[Term], str]:
        """The leaves that the condition depends on, now or in an earlier iteration; or why they are not known."""
        needed: set[Term] = set()
        waiting = list(leaves(self.condition.a) | leaves(self.condition.b))
        while waiting:
            leaf = waiting.pop()
            if leaf in needed:
                continue
            if reason := self._changing(leaf):
                return needed, reason
            needed.add(leaf)
            if self._mine(leaf):
                following = self.iteration.next.get(leaf.variable)
                if following is None or leaf.variable not in self.iteration.entry:
                    return needed, f"{variable_name(leaf.variable)} may be overwritten"
                waiting += leaves(following)
        return needed, ""

    def _changing(self, leaf: Term) -> str:
        """Why a leaf is a different unknown in each iteration; "" if it is a variable of this loop, or fixed."""
        if self._mine(leaf):
            return ""
        blocks = self.iteration.loop.blocks
        if leaf.kind == HEADER and self.cfg.loops[leaf.value].header in blocks:
            pc = self.cfg.blocks[self.cfg.loops[leaf.value].header].start
            return f"it depends on what the inner loop at insn {pc} leaves in {variable_name(leaf.variable)}"
        if leaf.kind == OTHER and leaf.value >= 0 and self.cfg.block_of[leaf.value] in blocks:
            name = variable_name(leaf.variable)
            if leaf.value == self.cfg.blocks[self.cfg.block_of[leaf.value]].start and not _writes(self.cfg, leaf):
                return f"{name} is changed differently on paths that meet at insn {leaf.value}"
            return f"{name} set at insn {leaf.value} is not computed from earlier iterations"
        return ""

    # --- affine: start + offset + k * step, compared on so many bits ------------------------------------------------

    def _line(self) -> tuple[Term, int, int, int, int, Term] | None:
        """(variable, offset, step, bits, comparison, bound) if the condition is about one induction variable."""
        a, b, fn = self.condition.a, self.condition.b, self.condition.fn
        if not any(self._mine(leaf) for leaf in leaves(a)):
            a, b, fn = b, a, _SWAPPED[fn]
        if any(self._mine(leaf) for leaf in leaves(b)) or fn == ops.JSET:
            return None
        bits, offset, signed = self.condition.bits, 0, False
        while a.kind in (ALU, EXTEND):
            if a.bits < bits:  # extended from fewer bits, by zeros (a 32-bit operation) or by the sign
                if offset or bits < self.condition.bits:
                    return None  # what was added afterwards does not wrap where the narrow value does
                bits, signed = a.bits, a.kind == EXTEND
            if a.kind == ALU and a.fn == ops.ADD and a.args[1].kind == CONST:
                offset += a.args[1].value
                a = a.args[0]
            elif a.kind == EXTEND or a.fn == ops.MOV:
                a = a.args[-1]
            else:
                return None
        step = _step(self.iteration, a.variable) if self._mine(a) else None
        if step is None:
            return None
        if step[1] < bits:
            start = self.iteration.entry[a.variable]
            if offset or bits < self.condition.bits or terms.upper(start) >= 1 << step[1]:
                return None
            bits, signed = step[1], False
        return self._compared(a, offset, step[0], bits, fn, b, signed)

    def _compared(
        self, a: Term, offset: int, step: int, bits: int, fn: int, b: Term, signed: bool
    ) -> tuple[Term, int, int, int, int, Term] | None:
        """The comparison, restated on fewer bits where the value was extended; None where that changes its meaning."""
        narrowed = bits < self.condition.bits
        if narrowed and not signed:
            if terms.upper(b) >= 1 << bits:
                return None
            fn = {ops.JSGT: ops.JGT, ops.JSGE: ops.JGE, ops.JSLT: ops.JLT, ops.JSLE: ops.JLE}.get(fn, fn)
        elif narrowed:
            if b.kind != CONST or fn not in (*_SIGNED, ops.JEQ, ops.JNE):
                return None
            value = sext(b.value & (1 << self.condition.bits) - 1, self.condition.bits)
            if not -(1 << bits - 1) <= value < 1 << bits - 1:
                return None
            b = terms.const(value & (1 << bits) - 1)
        return a, offset, step, bits, fn if self.taken else _OPPOSITE[fn], b

    def _solve(self, line: tuple[Term, int, int, int, int, Term], values: dict[Term, int]) -> int | None:
        variable, offset, step, bits, fn, bound = line
        modulus = 1 << bits
        begin = (values[variable] + offset) % modulus
        hits = [
            k for low, high in satisfying(fn, bits, evaluate(bound, values))
            if (k := first_hit(begin, step % modulus, modulus, low, high)) is not None
        ]  # fmt: skip
        return min(hits) if hits else None

    def _follow(self, values: dict[Term, int]) -> str:
        """Iterate on numbers until the condition holds."""
        c = self.condition
        for k in range(STEP_LIMIT):
            if terms.compare(c.fn, c.bits, evaluate(c.a, values), evaluate(c.b, values)) == self.taken:
                self.first = k
                return ""
            following = {leaf: evaluate(self.iteration.next[leaf.variable], values) for leaf in values}
            if following == values:
                self.never = True
                return ""
            values = following
        return f"it has not left after {STEP_LIMIT} iterations"

    # --- values that are not known ----------------------------------------------------------------------------------

    def _symbolic(
        self, line: tuple[Term, int, int, int, int, Term] | None, free: list[Term], starts: list[Term]
    ) -> str:
        unknown = [str(leaf) for leaf in free]
        unknown += [f"{leaf} on entry = {self.iteration.entry[leaf.variable]}" for leaf in starts]
        depends = f"it depends on {', '.join(unknown)}"
        if line is None:
            return depends
        variable, offset, step, bits, fn, bound = line
        start = terms.alu(ops.ADD, bits, self.iteration.entry[variable.variable], terms.const(offset))
        sign = "+" if step >= 0 else "-"
        self.formula = f"1 + the first k with {start} {sign} {abs(step)}*k {COMPARISON[fn]} {bound}"
        self.limit = monotone(fn, bits, terms.bounds(start, self.known), step, terms.bounds(bound, self.known))
        return depends


def _writes(cfg: Cfg, leaf: Term) -> bool:
    insn = cfg.program.insns[leaf.value]
    return insn is not None and leaf.variable < terms.STACK_TOP and bool(insn.writes >> leaf.variable & 1)


def satisfying(fn: int, bits: int, bound: int) -> list[tuple[int, int]]:
    """The values on `bits` bits for which `value fn bound` holds, as unsigned intervals.

    >>> satisfying(ops.JSLT, 8, 2), satisfying(ops.JNE, 8, 0)
    ([(128, 255), (0, 1)], [(1, 255)])
    """
    top, half = (1 << bits) - 1, 1 << bits - 1
    bound &= top
    if fn in _SIGNED:
        plain = {ops.JSGT: ops.JGT, ops.JSGE: ops.JGE, ops.JSLT: ops.JLT, ops.JSLE: ops.JLE}[fn]
        shifted = satisfying(plain, bits, bound ^ half)
        split = [piece for low, high in shifted
                 for piece in ((low, min(high, half - 1)), (max(low, half), high)) if piece[0] <= piece[1]]  # fmt: skip
        return [(low ^ half, high ^ half) for low, high in split]
    low, high = {
        ops.JEQ: (bound, bound), ops.JGE: (bound, top), ops.JGT: (bound + 1, top), ops.JLE: (0, bound),
        ops.JLT: (0, bound - 1), ops.JNE: (0, bound - 1),
    }[fn]  # fmt: skip
    pieces = [(low, high)] + ([(bound + 1, top)] if fn == ops.JNE else [])
    return [piece for piece in pieces if piece[0] <= piece[1]]


def first_hit(begin: int, step: int, modulus: int, low: int, high: int) -> int | None:
    """The smallest k >= 0 with low <= (begin + k * step) mod modulus <= high, or None.

    >>> first_hit(0, 4, 1 << 64, 40, 1 << 63), first_hit(1, 2, 16, 8, 8)
    (10, None)
    """
    low, high = (low - begin) % modulus, (high - begin) % modulus
    if low > high:
        return 0  # the interval, seen from begin, contains 0
    return _multiple_within(step, modulus, low, high)


def _multiple_within(a: int, modulus: int, low: int, high: int) -> int | None:
    """The smallest k >= 0 with low <= a * k mod modulus <= high, for 0 <= low <= high < modulus."""
    if low == 0:
        return 0
    if a == 0:
        return None
    k = -(-low // a)
    if a * k <= high:
        return k
    # a*k - modulus*wraps in [low, high]; as no multiple of a lies in there, ask for the wraps modulo a
    wraps = _multiple_within(modulus % a, a, -high % a, -low % a)
    return None if wraps is None else -(-(low + modulus * wraps) // a)


def monotone(fn: int, bits: int, start: tuple[int, int], step: int, bound: tuple[int, int]) -> int | None:
    """A k by which start + k * step has met `fn bound` for all starts and bounds in the given ranges, or None.

    Only counting straight to the bound, without wrapping on the way, is considered.

    >>> monotone(ops.JGE, 64, (0, 0), 1, (0, 15)), monotone(ops.JEQ, 64, (1, 15), -1, (0, 0))
    (15, 15)
    """
    top, floor = (1 << bits) - 1, 0
    if step == 0 or max(start[1], bound[1]) > top:
        return None
    if fn in _SIGNED:
        if max(start[1], bound[1]) >= 1 << bits - 1:
            return None
        top, floor = top >> 1, -(1 << bits - 1)
        fn = {ops.JSGT: ops.JGT, ops.JSGE: ops.JGE, ops.JSLT: ops.JLT, ops.JSLE: ops.JLE}[fn]
    if fn == ops.JEQ:
        if abs(step) != 1 or (start[1] > bound[0] if step > 0 else start[0] < bound[1]):
            return None
        return max(bound[1] - start[0], 0) if step > 0 else max(start[1] - bound[0], 0)
    if step > 0 and fn in (ops.JGE, ops.JGT):
        goal = bound[1] + (fn == ops.JGT)
        return max(-(-(goal - start[0]) // step), 0) if goal + step - 1 <= top else None
    if step < 0 and fn in (ops.JLE, ops.JLT):
        goal = bound[0] - (fn == ops.JLT)
        return max(-(-(start[1] - goal) // -step), 0) if goal + step + 1 >= floor else None
    return None
