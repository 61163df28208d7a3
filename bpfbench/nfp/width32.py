"""Which upper halves are dead: 64-bit seeds, propagated backwards along define-use chains (slides 52-59).

    r1 = *(u32 *)(r1 + 0)    upper half of r1: dead          needed by r2 += r1 only for the upper half of ITS result
    r2 = *(u32 *)(r2 + 0)    upper half of r2: dead                                     |
    r2 += r1                 upper half of r2: dead          needed by nobody:  <-------+
    *(u32 *)(r3 + 0) = r2    reads 32 bits                   a store of four bytes is no seed

On a machine of 32-bit registers the upper half of every result costs an instruction.  Each use of a register is of one
of three kinds, see `demand`:

    NEVER    reads the lower half only: 32-bit operations, addresses in the packet, stores of up to four bytes
    RESULT   uses the upper half for the upper half of its own result only: + - & | ^, moves, left shifts below 32
    ALWAYS   a seed: 64-bit comparisons, right shifts, stores of eight bytes, pointers to map values

From the seeds, need goes backwards: to the definitions that reach the use, from a RESULT definition to the operands it
was made of, from what is filled to what was spilled (spills.py), from a function's argument to its callers and from a
caller's r0 to the function's exits.  Definitions never reached have a dead upper half, and the code generator leaves it
out: `Step.wide` is False.

`marks` is solution 1, the semantics of 32-bit instructions: they write the whole register, and the kernel's verifier
notes where the cleared upper half is read.  `propagate` is solution 2.  Neither trusts anything that a program says of
itself (slide 55).  The driver has solution 1 only, and clears some halves in any case.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.nfp.defuse import ENTRY, UNKNOWN, Chains, Graph, Place, writes
from bpfbench.nfp.notes import Step

NEVER: Final = 0
RESULT: Final = 1
ALWAYS: Final = 2
KINDS: Final = ("never", "for its result", "always")
WORD: Final = 32
U16: Final = 0xFFFF
U32: Final = 0xFFFFFFFF
SHORT: Final = ("packet", "stack", "ctx")      # addresses of 32 bits
BITWISE: Final = (ops.ADD, ops.SUB, ops.AND, ops.OR, ops.XOR, ops.MOV, ops.NEG)
#  helper -> the registers whose upper half the firmware may read
WHOLE: Final = {1: (), 2: (4,), 3: (), 7: (), 25: (2, 3, 4, 5), 44: (), 65: ()}


# ----------------------------------------------------------------------------------------------------- what a use needs
def demand(s: Step, register: int) -> int:
    """NEVER, RESULT or ALWAYS: does this instruction need the upper half of a register that it reads?"""
    insn, kind = s.insn, s.insn.kind
    if kind == ops.ALU64:
        return arithmetic(s, register)
    if kind == ops.JMP:
        only_low = s.low or insn.op.fn == ops.JSET and insn.op.imm and insn.imm >= 0
        return NEVER if only_low else ALWAYS
    if kind == ops.LDX and s.slot >= 0 and register == s.slot or kind == ops.STX and s.slot >= 0 and register == insn.src:
        return RESULT
    if kind == ops.LDX:
        return NEVER if s.note.ptr in SHORT or register != insn.src else ALWAYS
    if kind in (ops.STX, ops.ST):
        stored = kind == ops.STX and register == insn.src and s.width == 8
        return ALWAYS if stored or register == insn.dst and s.note.ptr not in SHORT else NEVER
    if kind == ops.ATOMIC:
        return ALWAYS if register == insn.dst or s.width == 8 and s.note.add_over else NEVER
    if kind == ops.END:
        return ALWAYS if insn.op.size == 64 else NEVER
    if kind == ops.CALL:
        return ALWAYS if register in WHOLE.get(insn.imm, (1, 2, 3, 4, 5)) else NEVER
    if kind in (ops.CALL_LOCAL, ops.EXIT):
        return RESULT               # the result of somebody else: `Width` follows it
    return NEVER


def arithmetic(s: Step, register: int) -> int:
    """64-bit operations, as they are translated."""
    insn, fn = s.insn, s.insn.op.fn
    if fn in BITWISE:
        replaced = insn.op.imm and (fn == ops.AND and insn.imm >= 0 or fn == ops.OR and insn.imm < 0)
        return NEVER if replaced else RESULT
    if fn == ops.MUL:               # of numbers below 2^16 the product's upper half is the operand's, which is 0
        largest = insn.imm & U32 if insn.op.imm else s.note.src_max
        return RESULT if max(s.note.dst_max, largest) <= U16 and register == insn.dst else NEVER
    if fn in (ops.DIV, ops.MOD):    # the upper half of the quotient or remainder is the dividend's, which is 0
        return RESULT if register == insn.dst else NEVER
    if register != insn.dst and not insn.op.imm:
        return NEVER                # the amount of a shift
    return shifted(s)


def shifted(s: Step) -> int:
    """What is shifted: to the left nothing comes down from the upper half, to the right everything does."""
    insn, note = s.insn, s.note
    amount = insn.imm if insn.op.imm else note.amount
    if amount is not None and amount & 63 == 0:
        return RESULT
    if insn.op.fn != ops.LSH:
        return ALWAYS
    if amount is not None:
        return NEVER if amount & 63 >= WORD else RESULT
    return NEVER if note.src_min >= WORD and note.src_max < 2 * WORD else RESULT


# ----------------------------------------------------------------------------------------------------------- solution 1
def has_32_bit_result(s: Step) -> bool:
    """Does it write a register by writing 32 bits or fewer?"""
    kind = s.insn.kind
    return (kind in (ops.ALU32, ops.LD_ABS, ops.LD_IND) or kind == ops.END and s.insn.op.size < 64
            or kind == ops.LDX and s.width < 8)  # fmt: skip


def marks(steps: list[Step], driver: bool) -> None:
    """Upper halves of 32-bit results that the verifier saw nobody read."""
    for s in steps:
        if s.removed or s.extend or not has_32_bit_result(s):
            continue
        s.zext = s.note.zext
        if not driver:
            s.wide = s.copy.zext if s.copy is not None else s.note.zext


def comparisons(steps: list[Step], driver: bool) -> None:
    """64-bit comparisons of values below 2^32, such as addresses in the packet, look at the lower halves."""
    for s in steps:
        s.low = not driver and s.insn.kind == ops.JMP and s.note.fits and not s.negated


# ----------------------------------------------------------------------------------------------------------- solution 2
@final
class Width:
    """The answer for one list.

    `asked_by` for each definition, by its number, the use that asked for its upper half first, else UNKNOWN
    `because`  the same from (index, register) to (index, register)      `needed`  the definitions that it has
    `seeds`    uses (index, register) of kind ALWAYS                     `dead`    the other definitions of the list
    """

    __slots__ = ("chains", "steps", "asked_by", "seeds", "_because", "_known", "_work", "_calls", "_exits")

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        graph = Graph(steps)
        self.chains = Chains(graph)
        self.asked_by = [UNKNOWN] * len(self.chains.site)
        self._because: dict[Place, Place] = {}
        self.seeds: list[Place] = []
        self._known = [0] * self.chains.places       # by register: its needed definitions, as bits
        self._work: list[int] = []
        self._calls: dict[int, list[int]] = {}
        self._exits: dict[int, list[int]] = {}
        for at, s in enumerate(steps):
            if s.removed:
                continue
            if s.insn.kind == ops.EXIT:
                self._exits.setdefault(graph.function_of[at], []).append(at)
            elif s.insn.kind == ops.CALL_LOCAL:
                self._calls.setdefault(self._callee(at), []).append(at)
        self._propagate()

    def _callee(self, at: int) -> int:
        graph, s = self.chains.graph, self.steps[at]
        return graph.function_of[graph.index_of[s.pc + 1 + s.insn.imm]]

    def _propagate(self) -> None:
        for at, read in enumerate(self.chains.graph.read):
            s = self.steps[at]
            for register in read:
                if demand(s, register) == ALWAYS:
                    self.seeds.append((at, register))
                    self._need(at, register)
        while self._work:
            self._backwards(self._work.pop())

    def _need(self, at: int, register: int) -> None:
        """The use of a register at an index needs all 64 bits: so do the definitions that reach it."""
        fresh = self.chains.reaching(at, register) & ~self._known[register]
        if fresh:
            self._known[register] |= fresh
            for definition in self.chains.numbered(register, fresh):
                self.asked_by[definition] = at
                self._work.append(definition)

    def _backwards(self, definition: int) -> None:
        """Ask for the operands of a definition whose upper half is needed."""
        at, register = self.chains.site[definition], self.chains.register[definition]
        if at <= ENTRY:
            for call in self._calls.get(ENTRY - at, ()):
                self._need(call, register)
            return
        s = self.steps[at]
        if s.insn.kind == ops.CALL_LOCAL:
            for leave in self._exits.get(self._callee(at), ()):
                self._need(leave, 0)
        elif s.insn.kind in (ops.ALU64, ops.LDX, ops.STX):
            for operand in self.chains.graph.read[at]:
                if demand(s, operand) == RESULT:
                    self._need(at, operand)

    def waves(self) -> list[list[Place]]:
        """The dead definitions in the order in which they become so, backwards: first those that only 32-bit uses read,
        then what those were made of, and so on (slides 57-59); last what only loops keep alive."""
        left, found = self.dead, list[list[Place]]()
        done: set[Place] = set()
        while left:
            wave = [place for place in left if self._follows(place, done)] or left
            found.append(wave)
            done.update(wave)
            left = [place for place in left if place not in done]
        return found

    def _follows(self, place: Place, done: set[Place]) -> bool:
        """Is every use one of 32 bits, or one for a result that is known to be dead?"""
        def settled(at: int) -> bool:
            s = self.steps[at]
            return demand(s, place[1]) == NEVER or any((at, result) in done for result in writes(s))

        return all(settled(at) for at in self.chains.uses_of[place])

    @property
    def because(self) -> dict[Place, Place]:
        """From each needed definition to the use that asked for it first."""
        if not self._because:
            for at, register, use in zip(self.chains.site, self.chains.register, self.asked_by):
                if use != UNKNOWN:
                    self._because[at, register] = (use, register)
        return self._because

    @property
    def needed(self) -> set[Place]:
        """Definitions whose upper half somebody reads."""
        return set(self.because)

    @property
    def dead(self) -> list[Place]:
        needed = self.because
        return [place for place in self.chains.definitions if place[0] >= 0 and place not in needed]

    def why(self, pc: int, register: int) -> list[int]:
        """The chain of pcs from a definition to the seed that needs its upper half; empty when it is dead."""
        path: list[int] = []
        place = (self.chains.graph.index_of[pc], register)
        while place in self.because:
            use = self.because[place]
            path.append(self.steps[use[0]].pc)
            if demand(self.steps[use[0]], use[1]) == ALWAYS:
                break
            place = self._defined_by(use)
        return path

    def _defined_by(self, use: Place) -> Place:
        """The needed definition on whose behalf a use of kind RESULT was asked for."""
        at, register = use
        s = self.steps[at]
        if s.insn.kind == ops.CALL_LOCAL:
            return ENTRY - self._callee(at), register
        if s.insn.kind == ops.EXIT:
            function = self.chains.graph.function_of[at]
            return next((call, 0) for call in self._calls[function] if (call, 0) in self.because)
        return at, writes(s)[0]


def propagate(steps: list[Step], driver: bool) -> None:
    """Leave out every upper half that is dead."""
    if driver:
        return
    width = Width(steps)
    chains, wide = width.chains, [False] * len(steps)
    for at, register, use in zip(chains.site, chains.register, width.asked_by):
        if use != UNKNOWN and at >= 0 and chains.graph.written[at][0] == register:
            wide[at] = True
    for at, s in enumerate(steps):
        if chains.graph.written[at]:
            s.wide = s.wide and wide[at]
