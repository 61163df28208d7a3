"""One iteration of every loop, as formulas: what each variable becomes, and on what condition the loop is left.

The blocks of a function are visited once, in an order in which inner loops are closed units.  At a loop's header every
variable that the loop changes becomes a leaf ("its value when this iteration began"); everything it does not change
keeps the formula it had outside.  Following the body from there to the latches gives the recurrence, to the exits the
conditions.

    r1 = 0                      entry      r1 = 0
    A: r1 += 4                  header     r1 = h
       if r1 != 40 goto A       recurrence h' = h + 4        exit when not (h + 4 != 40)

Variables are the registers, and stack slots that are only reached as [r10 + offset].  As soon as a function uses r10 in
any other way, its slots are forgotten at every call and at every store through another pointer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.program import terms
from bpfbench.program.cfg import Cfg, Edge
from bpfbench.program.functions import Function
from bpfbench.program.nesting import Loop
from bpfbench.program.terms import SIZE_LIMIT, Term, alu, const, extend, header, other

State = dict[int, Term]  # variable -> term; a stack slot that is missing is not known
_FP: Final = 10
DEEPEST: Final = 50  # loops nested deeper than this are not followed
_STORES: Final = (ops.ST, ops.STX, ops.ATOMIC, ops.STORE_REL)
_CALLS: Final = (ops.CALL, ops.CALL_LOCAL, ops.CALL_KFUNC, ops.CALLX)


@final
class Condition:
    """A conditional jump at `pc`: it jumps when fn(a, b) on `bits` bits holds."""

    __slots__ = ("pc", "fn", "bits", "a", "b")

    def __init__(self, pc: int, fn: int, bits: int, a: Term, b: Term) -> None:
        self.pc = pc
        self.fn = fn
        self.bits = bits
        self.a = a
        self.b = b

    def __repr__(self) -> str:
        return f"Condition({self.pc}: {self.a} {COMPARISON[self.fn]} {self.b})"


COMPARISON: Final = {ops.JEQ: "==", ops.JNE: "!=", ops.JGT: ">", ops.JGE: ">=", ops.JLT: "<", ops.JLE: "<=",
                     ops.JSGT: "s>", ops.JSGE: "s>=", ops.JSLT: "s<", ops.JSLE: "s<=", ops.JSET: "&"}  # fmt: skip


@final
class Iteration:
    """One loop: variable -> term at its `entry` (over the surrounding code), variable -> term of the `next` iteration
    (over HEADER leaves of this loop), and for each exit edge the condition of its jump, None where it has none."""

    __slots__ = ("loop", "entry", "next", "exits")

    def __init__(self, loop: Loop, entry: State, following: State, exits: list[tuple[Edge, Condition | None]]) -> None:
        self.loop = loop
        self.entry = entry
        self.next = following
        self.exits = exits


def iterations(cfg: Cfg) -> tuple[dict[int, Iteration], dict[int, Condition]]:
    """Loop index -> its iteration, for all natural loops that are not inside an irreducible one; and block -> the
    condition of the jump at its end."""
    found: dict[int, Iteration] = {}
    conditions: dict[int, Condition] = {}
    for function in cfg.functions:
        reader = _Reader(cfg, function, found)
        reader.read()
        conditions.update(reader.conditions)
    return found, conditions


@final
class _Reader:
    """Follows one function, block by block, with the state on every edge that has been left."""

    __slots__ = ("cfg", "function", "found", "escapes", "out", "conditions", "position")

    def __init__(self, cfg: Cfg, function: Function, found: dict[int, Iteration]) -> None:
        self.cfg = cfg
        self.function = function
        self.found = found
        self.escapes = any(_escapes(insn) for insn in cfg.program.insns[function.start : function.end] if insn)
        self.out: dict[tuple[int, int], State] = {}
        self.conditions: dict[int, Condition] = {}
        self.position = {block: at for at, block in enumerate(cfg.orders[function.index])}

    def read(self) -> None:
        start = {register: other(-1, register) for register in range(terms.STACK_TOP)}
        self._region(self.cfg.orders[self.function.index], -1, start, self.cfg.entry(self.function.index))

    def _region(self, blocks: list[int], around: int, state: State, first: int) -> None:
        """All blocks of a loop body (or of the function), inner loops as units, in topological order."""
        for unit in self._in_order(blocks, around):
            if unit >= 0:
                self._block(unit, state if unit == first else self._joined(unit))
                continue
            loop = self.cfg.loops[-unit - 1]
            into = state if first in loop.entries and around < 0 else self._entry(loop)
            if loop.reducible and loop.depth <= DEEPEST:
                self._loop(loop, into)
            else:
                self._forget(loop, into)

    def _in_order(self, blocks: list[int], around: int) -> list[int]:
        """Blocks directly in a region, and -(loop index + 1) for the loops directly in it, sources before targets."""
        unit_of: dict[int, int] = {}
        for block in blocks:
            loop = self.cfg.blocks[block].loop
            while loop >= 0 and loop != around and self.cfg.loops[loop].parent != around:
                loop = self.cfg.loops[loop].parent
            unit_of[block] = block if loop in (around, -1) else -loop - 1
        header_block = self.cfg.loops[around].header if around >= 0 else -1
        waiting: dict[int, int] = {unit: 0 for unit in unit_of.values()}
        following: dict[int, list[int]] = {unit: [] for unit in waiting}
        for block in blocks:
            for target in self.cfg.successors[block]:
                if target in unit_of and target != header_block and unit_of[target] != unit_of[block]:
                    following[unit_of[block]].append(unit_of[target])
                    waiting[unit_of[target]] += 1
        ready = [unit for unit, count in waiting.items() if count == 0]
        order: list[int] = []
        while ready:
            unit = ready.pop()
            order.append(unit)
            for target in following[unit]:
                waiting[target] -= 1
                if waiting[target] == 0:
                    ready.append(target)
        return order

    def _joined(self, block: int) -> State:
        states = [self.out[p, block] for p in self.cfg.predecessors[block] if (p, block) in self.out]
        return join(states, self.cfg.blocks[block].start)

    def _entry(self, loop: Loop) -> State:
        states = [self.out[p, e] for e in loop.entries for p in self.cfg.predecessors[e]
                  if p not in loop.blocks and (p, e) in self.out]  # fmt: skip
        outside = self.cfg.blocks[loop.header].idom
        return join(states, self.cfg.blocks[outside].last if outside >= 0 else -1, loop.index + 1)

    def _loop(self, loop: Loop, entry: State) -> None:
        changed, slots_lost = self._changed(loop)
        inside: State = {}
        for variable, term in entry.items():
            fate = _fate(variable, changed, slots_lost)
            if fate == "same":
                inside[variable] = header(loop.index, variable)
            elif fate == "kept":
                inside[variable] = term
        blocks = sorted(loop.blocks, key=self.position.__getitem__)
        self._region(blocks, loop.index, inside, loop.header)
        latches = [self.out[latch, loop.header] for latch in loop.latches if (latch, loop.header) in self.out]
        after = join(latches, self.cfg.blocks[loop.header].start)
        exits = [(edge, self._exit_condition(edge)) for block in blocks for edge in self.cfg.edges_from(block)
                 if edge.target not in loop.blocks]  # fmt: skip
        self.found[loop.index] = Iteration(loop, entry, after, exits)

    def _exit_condition(self, edge: Edge) -> Condition | None:
        condition = self.conditions.get(edge.source)
        return condition if len(self.cfg.successors[edge.source]) == 2 else None

    def _forget(self, loop: Loop, entry: State) -> None:
        """An irreducible loop: what it changes is not known behind it, and its own blocks are not followed."""
        changed, slots_lost = self._changed(loop)
        pc = self.cfg.blocks[loop.header].start
        state = {v: t for v, t in entry.items() if _fate(v, changed, slots_lost) == "kept"}
        state.update({v: other(pc, v) for v in range(terms.STACK_TOP) if v not in state})
        for block, target in loop.exits:
            self.out[block, target] = state

    def _changed(self, loop: Loop) -> tuple[set[int], bool]:
        """Variables that a loop sets, and whether it can change any stack slot."""
        changed: set[int] = set()
        lost = False
        for block in loop.blocks:
            for _, insn in self.cfg.insns(block):
                changed |= {register for register in range(terms.STACK_TOP) if insn.writes >> register & 1}
                slot = _slot_stored(insn)
                if slot is not None:
                    changed.add(slot)
                elif self.escapes and (insn.kind in _STORES or insn.kind in _CALLS):
                    lost = True
        return changed, lost

    # --- one block ---------------------------------------------------------------------------------------------------

    def _block(self, block: int, before: State) -> None:
        state = dict(before)
        for pc, insn in self.cfg.insns(block):
            self._step(pc, insn, state)
        last = self.cfg.program.insns[self.cfg.blocks[block].last]
        if last is not None and last.kind in (ops.JMP, ops.JMP32):
            bits = 64 if last.kind == ops.JMP else 32
            pc = self.cfg.blocks[block].last
            b = const(last.imm) if last.op.imm else _read(state, last.src, pc)
            self.conditions[block] = Condition(pc, last.op.fn, bits, _read(state, last.dst, pc), b)
        for target in self.cfg.successors[block]:
            self.out[block, target] = state

    def _step(self, pc: int, insn: Instruction, state: State) -> None:
        if insn.kind in _STORES:
            self._store(insn, state)
        result = self._value(pc, insn, state)
        if self.escapes and insn.kind in _CALLS:
            _drop_slots(state, lambda _: True)
        for register in range(terms.STACK_TOP):
            if insn.writes >> register & 1:
                state[register] = other(pc, register)
        if result is not None and insn.dst < terms.STACK_TOP:
            state[insn.dst] = result if result.size <= SIZE_LIMIT else other(pc, insn.dst)

    def _value(self, pc: int, insn: Instruction, state: State) -> Term | None:
        """The term of what the instruction writes into dst; None where it writes nothing or nothing is known."""
        if insn.flaw:
            return None
        dst, src = _read(state, insn.dst, pc), _read(state, insn.src, pc)
        if insn.kind in (ops.ALU64, ops.ALU32):
            bits = 64 if insn.kind == ops.ALU64 else 32
            return alu(insn.op.fn, bits, dst, const(insn.imm) if insn.op.imm else src)
        if insn.kind == ops.MOVSX:
            widened = extend(insn.op.size, src)
            return widened if insn.op.fn == 64 else alu(ops.MOV, 32, terms.ZERO, widened)
        if insn.kind == ops.ZEXT32:
            return alu(ops.MOV, 32, terms.ZERO, src)
        if insn.kind == ops.LDDW and insn.op.fn == ops.IMM:
            return const(insn.imm)
        if insn.kind in (ops.LDX, ops.LDXS):
            slot = state.get(terms.slot_variable(insn.off, insn.op.size)) if insn.src == _FP and insn.off < 0 else None
            if insn.kind == ops.LDXS:
                return extend(8 * insn.op.size, slot) if slot is not None else None
            return slot if slot is not None else other(pc, insn.dst, 8 * insn.op.size)
        return None

    def _store(self, insn: Instruction, state: State) -> None:
        if insn.dst != _FP:
            if self.escapes:
                _drop_slots(state, lambda _: True)
            return
        _drop_slots(state, lambda slot: _overlap(slot, (insn.off, insn.op.size)))
        slot = _slot_stored(insn)
        if slot is None or insn.kind not in (ops.ST, ops.STX):
            return
        value = const(insn.imm) if insn.kind == ops.ST else _read(state, insn.src, -1)
        bits = 8 * insn.op.size
        state[slot] = alu(ops.AND, 64, value, const((1 << bits) - 1)) if bits < 32 else alu(ops.MOV, bits, terms.ZERO,
        value)


def join(states: list[State], pc: int, tag: int = 0) -> State:
    """What holds where several edges meet: registers that differ are not known, slots that differ are forgotten."""
    if not states:
        return {register: other(pc, register) for register in range(terms.STACK_TOP)}
    first, *rest = states
    if not rest:
        return first
    joined: State = {}
    for variable, term in first.items():
        if all(state.get(variable) == term for state in rest):
            joined[variable] = term
        elif variable < terms.STACK_TOP:
            joined[variable] = other(pc, variable, 64, tag)
    return joined


def _read(state: State, register: int, pc: int) -> Term:
    """What a register holds; r11 and up, which only malformed programs name, hold nothing known."""
    return state[register] if register < terms.STACK_TOP else other(pc, 0, 64, -1)


def _escapes(insn: Instruction) -> bool:
    """Is r10 used otherwise than as the base of a memory access?"""
    if not insn.reads >> _FP & 1:
        return False
    if insn.kind in (ops.LDX, ops.LDXS, ops.LOAD_ACQ, ops.ST):
        return False
    return not (insn.kind in _STORES and insn.dst == _FP and insn.src != _FP)


def _slot_stored(insn: Instruction) -> int | None:
    if insn.kind in _STORES and insn.dst == _FP and -512 <= insn.off < 0:
        return terms.slot_variable(insn.off, insn.op.size)
    return None


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] < b[0] + b[1] and b[0] < a[0] + a[1]


def _drop_slots(state: State, which: Callable[[tuple[int, int]], bool]) -> None:
    for variable in [v for v in state if v >= terms.STACK_TOP and which(terms.slot_of(v))]:
        del state[variable]


def _fate(variable: int, changed: set[int], slots_lost: bool) -> str:
    """What a loop does to a variable: "kept" as it is, changed as the "same" variable, or "gone"."""
    if variable < terms.STACK_TOP:
        return "same" if variable in changed else "kept"
    if slots_lost:
        return "gone"
    mine = terms.slot_of(variable)
    touching = {v for v in changed if v >= terms.STACK_TOP and _overlap(terms.slot_of(v), mine)}
    if not touching:
        return "kept"
    return "same" if touching == {variable} else "gone"
