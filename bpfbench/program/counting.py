"""In which iteration does a condition hold first?

The condition and the recurrences behind it are formulas (`iteration.py`).  If the compared value goes up by a constant
step, start + k * step modulo 2^w has to reach an interval, which is solved exactly.  If it follows another
recurrence on known numbers, it is followed number by number.  If start or bound are not known but limited, and the
variable counts straight to the bound, so is k.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.bits import sext
from bpfbench.isa import ops
from bpfbench.program import terms
from bpfbench.program.cfg import Cfg
from bpfbench.program.iteration import COMPARISON, Condition, Iteration
from bpfbench.program.terms import ALU, CONST, EXTEND, HEADER, OTHER, Term, evaluate, leaves, variable_name

STEP_LIMIT: Final = 1 << 14        # iterations that are followed number by number
_SIGNED: Final = (ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE)
_UNSIGNED: Final = {ops.JSGT: ops.JGT, ops.JSGE: ops.JGE, ops.JSLT: ops.JLT, ops.JSLE: ops.JLE}
OPPOSITE: Final = {ops.JEQ: ops.JNE, ops.JNE: ops.JEQ, ops.JGT: ops.JLE, ops.JLE: ops.JGT, ops.JGE: ops.JLT,
                    ops.JLT: ops.JGE, ops.JSGT: ops.JSLE, ops.JSLE: ops.JSGT, ops.JSGE: ops.JSLT,
                    ops.JSLT: ops.JSGE}  # fmt: skip
_SWAPPED: Final = {ops.JEQ: ops.JEQ, ops.JNE: ops.JNE, ops.JGT: ops.JLT, ops.JLT: ops.JGT, ops.JGE: ops.JLE,
                   ops.JLE: ops.JGE, ops.JSGT: ops.JSLT, ops.JSLT: ops.JSGT, ops.JSGE: ops.JSLE, ops.JSLE: ops.JSGE,
                   ops.JSET: ops.JSET}  # fmt: skip


def step_of(iteration: Iteration, variable: int) -> tuple[int, int] | None:
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
class Question:
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
        step = step_of(self.iteration, a.variable) if self._mine(a) else None
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
            fn = _UNSIGNED.get(fn, fn)
        elif narrowed:
            if b.kind != CONST or fn not in _SIGNED and fn not in (ops.JEQ, ops.JNE):
                return None
            value = sext(b.value & (1 << self.condition.bits) - 1, self.condition.bits)
            if not -(1 << bits - 1) <= value < 1 << bits - 1:
                return None
            b = terms.const(value & (1 << bits) - 1)
        return a, offset, step, bits, fn if self.taken else OPPOSITE[fn], b

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
        kept, keep_until = values, 1  # Brent: compared with the state kept at the last power of two
        for k in range(STEP_LIMIT):
            if terms.compare(c.fn, c.bits, evaluate(c.a, values), evaluate(c.b, values)) == self.taken:
                self.first = k
                return ""
            following = {leaf: evaluate(self.iteration.next[leaf.variable], values) for leaf in values}
            if following == kept:
                self.never = True
                return ""
            if k == keep_until:
                kept, keep_until = following, 2 * k
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
        if fn == ops.JEQ and abs(step) == 1:
            away = terms.alu(ops.SUB, bits, start, bound) if step < 0 else terms.alu(ops.SUB, bits, bound, start)
            self.formula = str(terms.alu(ops.ADD, 64, away, terms.const(1)))
            most = terms.bounds(away, self.known)[1]
            self.limit = most if most < 1 << 63 else None
            return depends
        sign = "+" if step >= 0 else "-"
        self.formula = f"1 + the first k with {start} {sign} {abs(step)}*k {COMPARISON[fn]} {bound}"
        if fn in _SIGNED:  # signed order is unsigned order after adding half the range to both sides
            half = terms.const(1 << bits - 1)
            start, bound = terms.alu(ops.ADD, bits, start, half), terms.alu(ops.ADD, bits, bound, half)
        ranges = terms.bounds(start, self.known), terms.bounds(bound, self.known)
        most_steps = monotone(_UNSIGNED.get(fn, fn), bits, ranges[0], step, ranges[1])
        self.limit = most_steps if most_steps is not None and most_steps < 1 << 63 else None
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
        shifted = satisfying(_UNSIGNED[fn], bits, bound ^ half)
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
    """A k by which start + k * step has met `fn bound` (unsigned) for all starts and bounds in these ranges, or None.

    Only counting straight to the bound, without wrapping on the way, is considered.

    >>> monotone(ops.JGE, 64, (0, 0), 1, (0, 15)), monotone(ops.JLE, 64, (1, 15), -1, (0, 0))
    (15, 15)
    """
    top = (1 << bits) - 1
    if step == 0 or max(start[1], bound[1]) > top:
        return None
    if step > 0 and fn in (ops.JGE, ops.JGT):
        goal = bound[1] + (fn == ops.JGT)
        return max(-(-(goal - start[0]) // step), 0) if goal + step - 1 <= top else None
    if step < 0 and fn in (ops.JLE, ops.JLT):
        goal = bound[0] - (fn == ops.JLT)
        return max(-(-(start[1] - goal) // -step), 0) if goal + step + 1 >= 0 else None
    return None
