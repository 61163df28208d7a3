"""Define-use chains over the list that is going to be translated (slide 56).

    r1 = *(u32 *)(r1 + 0)     define r1   use r1          a chain links a definition of a register to every
    r2 = *(u32 *)(r2 + 0)     define r2   use r2          instruction that may read what it wrote, and a use to
    r2 += r1                  define r2   use r2, r1      every definition that may have written what it reads
    *(u32 *)(r3 + 0) = r2                 use r3, r2

Nothing is taken from anywhere else: the list is cut into blocks, definitions that reach each block are found by
iteration (sets as bits of an int), and one more walk through each block links uses to them.  What the passes removed
does nothing here either: control falls through it.  Registers are those of BPF, and spill slots (spills.py) count as such;
what the *halves* need is width32.py.

A function of the program begins with one definition of each register, by its caller: (ENTRY - number, register).  Calls
read the arguments and write r0-r5; r6-r9 come back as they were, so that definitions of them reach across a call.

A. V. Aho et al., "Compilers", chapter 9.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

from bpfbench.isa import ops
from bpfbench.nfp.notes import Step

REGISTERS: Final = 10           # r10 is never written
FRAME_POINTER: Final = 10
UNKNOWN: Final = -1
ENTRY: Final = -1               # definition by the caller: ENTRY - number of the function
RESULT_AND_ARGUMENTS: Final = (0, 1, 2, 3, 4, 5)

#  helper -> the registers that it reads (the firmware's, or the code that stands for it)
ARGUMENTS: Final = {1: (1, 2), 2: (1, 2, 3, 4), 3: (1, 2), 7: (), 25: (1, 2, 3, 4, 5), 44: (1, 2), 65: (1, 2)}

#: One and two registers, which would otherwise be put into a tuple for each instruction.
ONE: Final[list[tuple[int, ...]]] = [(register,) for register in range(16)]
TWO: Final[list[list[tuple[int, ...]]]] = [[(first, second) for second in range(16)] for first in range(16)]

Place = tuple[int, int]         # (index in the list or ENTRY - function, register)


def reads(s: Step) -> tuple[int, ...]:
    """The registers that this instruction reads, r10 among them, and the spill slot that it fills from."""
    insn, kind = s.insn, s.insn.kind
    if kind in (ops.ALU64, ops.ALU32):
        if insn.op.imm or insn.op.fn == ops.NEG:
            return () if insn.op.fn == ops.MOV else ONE[insn.dst]
        return ONE[insn.src] if insn.op.fn == ops.MOV else both(insn.dst, insn.src)
    if kind in (ops.JMP, ops.JMP32):
        return ONE[insn.dst] if insn.op.imm else both(insn.dst, insn.src)
    if kind == ops.LDX:
        other = s.copy.target if s.copy is not None else s.slot if s.slot >= 0 else insn.src
        return both(insn.src, other)
    if kind in (ops.STX, ops.ATOMIC):
        return both(insn.dst, insn.src)
    if kind in (ops.ST, ops.END):
        return ONE[insn.dst]
    if kind == ops.CALL:
        return ARGUMENTS.get(insn.imm, RESULT_AND_ARGUMENTS[1:])
    if kind == ops.CALL_LOCAL:
        return RESULT_AND_ARGUMENTS[1:]
    if kind == ops.LD_IND:
        return ONE[insn.src]
    return ONE[0] if kind == ops.EXIT else ()


def without_frame_pointer(registers: tuple[int, ...]) -> tuple[int, ...]:
    return registers if FRAME_POINTER not in registers else tuple([r for r in registers if r != FRAME_POINTER])


def both(first: int, second: int) -> tuple[int, ...]:
    if second >= len(ONE):                      # a slot
        return first, second
    return ONE[first] if first == second else TWO[first][second]


def writes(s: Step) -> tuple[int, ...]:
    """The registers that this instruction defines, or the slot that it spills to."""
    kind = s.insn.kind
    if kind in (ops.ALU64, ops.ALU32, ops.END, ops.LDX, ops.LDDW):
        return ONE[s.insn.dst]
    if kind in (ops.CALL, ops.CALL_LOCAL, ops.LD_ABS, ops.LD_IND):
        return RESULT_AND_ARGUMENTS
    return (s.slot,) if s.slot >= 0 else ()


@final
class Graph:
    """Blocks of the list: `blocks` as (first, end), `successors` by block; `function_of` an index, `starts` of functions;
    what each instruction has `read`, r10 apart, and `written`."""

    __slots__ = ("steps", "blocks", "successors", "function_of", "starts", "index_of", "read", "written")

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.read = [() if s.removed else without_frame_pointer(reads(s)) for s in steps]
        self.written = [() if s.removed else writes(s) for s in steps]
        self.index_of = {s.pc: at for at, s in enumerate(steps)}
        self.starts = [0] + [at for at, s in enumerate(steps) if s.function > 0]
        leaders = set(self.starts)
        for at, s in enumerate(steps):
            if not s.removed and (s.insn.is_jump or s.insn.kind == ops.EXIT):
                leaders.add(at + 1)
                leaders.update(self.jumps(at))
        cuts = sorted(at for at in leaders if at < len(steps))
        self.blocks = list(zip(cuts, [*cuts[1:], len(steps)]))
        number = {start: block for block, start in enumerate(cuts)}
        self.successors = [[number[at] for at in self.after(end - 1) if at in number] for _, end in self.blocks]
        self.function_of: list[int] = []
        current = 0
        for s in steps:
            current = s.function if s.function > 0 else current
            self.function_of.append(current)

    def jumps(self, at: int) -> list[int]:
        """Where the jump at this index goes to, if it is one."""
        insn = self.steps[at].insn
        pc = self.steps[at].pc + 1 + insn.jump
        return [self.index_of[pc]] if insn.is_jump and pc in self.index_of else []

    def after(self, at: int) -> list[int]:
        """What may run next, calls apart."""
        s = self.steps[at]
        if s.removed:
            return [at + 1]
        ahead = [] if s.insn.kind in (ops.JA, ops.EXIT) else [at + 1]
        return ahead + self.jumps(at)


@final
class Chains:
    """`definitions_of[use]` and `uses_of[definition]`, both (index, register) to indices; `webs()` puts together what
    shares a use.

    >>> from bpfbench.nfp.notes import Note, steps_of
    >>> from bpfbench.program.program import from_assembly
    >>> insns = from_assembly("r1 = 1\\nif r2 == 0 goto +1\\nr1 = 2\\nr0 = r1\\nexit").insns
    >>> chains = Chains(Graph(steps_of(insns, [Note() for _ in insns])))
    >>> chains.definitions_of[3, 1], chains.uses_of[0, 1]
    ([0, 2], [3])

    Definitions have numbers, register by register, and those of a register in the order of the list, its callers' first:
    `first` number by register, `site` and `register` by number.  A set of definitions of one register is an int with a
    bit for each.
    """

    __slots__ = ("graph", "places", "first", "site", "register", "rounds", "_facts", "_facts_at", "_all",
                 "_definitions_of", "_uses_of")  # fmt: skip

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.places = max([REGISTERS - 1, *[r for named in (*graph.read, *graph.written) for r in named]]) + 1
        callers = [ENTRY - function for function in range(len(graph.starts))]
        sites = [callers[:] if r < REGISTERS else [] for r in range(self.places)]
        for at, written in enumerate(graph.written):
            for r in written:
                sites[r].append(at)
        self.first: list[int] = []
        self.site: list[int] = []
        self.register: list[int] = []
        for r, found in enumerate(sites):
            self.first.append(len(self.site))
            self.site += found
            self.register += [r] * len(found)
        self._all = [(1 << len(found)) - 1 for found in sites]
        self._facts: list[int] = []                 # for each register read the definitions that reach it, as bits,
        self._facts_at: list[int] = []              # from here on for an instruction
        self._definitions_of: dict[Place, list[int]] = {}
        self._uses_of: dict[Place, list[int]] = {}
        self.rounds = 0
        self._link(self._entering())

    def _entered(self) -> list[int]:
        """How many definitions of each register the callers make; those of the list follow in its order."""
        return [len(self.graph.starts) if r < REGISTERS else 0 for r in range(self.places)]

    def _effects(self) -> list[tuple[int, int]]:
        """For each block the definitions that it makes and lets out, and those of others that it lets through."""
        graph = self.graph
        everything = (1 << len(self.site)) - 1
        others = [everything ^ self._all[r] << first for r, first in enumerate(self.first)]
        passed = self._entered()
        effects: list[tuple[int, int]] = []
        for start, end in graph.blocks:
            written: set[int] = set()
            for at in range(start, end):
                for r in graph.written[at]:
                    passed[r] += 1
                    written.add(r)
            made, through = 0, everything
            for r in written:
                made |= 1 << self.first[r] + passed[r] - 1
                through &= others[r]
            effects.append((made, through))
        return effects

    def _entering(self) -> list[int]:
        """The definitions that reach each block: the least fixed point."""
        graph = self.graph
        effects = self._effects()
        before = [0] * len(graph.blocks)
        functions = {start: function for function, start in enumerate(graph.starts)}
        for block, (start, _) in enumerate(graph.blocks):
            if start in functions:
                before[block] = sum(1 << self.first[r] + functions[start] for r in range(REGISTERS))
        waiting = deque(range(len(graph.blocks)))
        queued = [True] * len(graph.blocks)
        while waiting:
            self.rounds += 1
            block = waiting.popleft()
            queued[block] = False
            made, through = effects[block]
            fact = before[block] & through | made
            for successor in graph.successors[block]:
                joined = before[successor] | fact
                if joined != before[successor]:
                    before[successor] = joined
                    if not queued[successor]:
                        queued[successor] = True
                        waiting.append(successor)
        return before

    def _link(self, before: list[int]) -> None:
        passed = self._entered()
        for block, (start, end) in enumerate(self.graph.blocks):
            here = [UNKNOWN] * self.places          # by register: its definitions, as bits
            for at in range(start, end):
                self._facts_at.append(len(self._facts))
                for r in self.graph.read[at]:
                    if here[r] == UNKNOWN:
                        here[r] = before[block] >> self.first[r] & self._all[r]
                    self._facts.append(here[r])
                for r in self.graph.written[at]:
                    here[r] = 1 << passed[r]
                    passed[r] += 1

    def reaching(self, at: int, register: int) -> int:
        """The definitions that reach a use, as bits; none where the register is not read."""
        for number, r in enumerate(self.graph.read[at]):
            if r == register:
                return self._facts[self._facts_at[at] + number]
        return 0

    def numbered(self, register: int, fact: int) -> list[int]:
        """The numbers of the definitions of a register whose bits are set."""
        first = self.first[register] - 1
        found: list[int] = []
        while fact:
            low = fact & -fact
            found.append(first + low.bit_length())
            fact ^= low
        return found

    @property
    def definitions(self) -> list[Place]:
        """Those of the callers first, then those of the list in its order."""
        callers = [(ENTRY - function, r) for function in range(len(self.graph.starts)) for r in range(REGISTERS)]
        return callers + [(at, r) for at, written in enumerate(self.graph.written) for r in written]

    @property
    def definitions_of(self) -> dict[Place, list[int]]:
        """The chains from uses to definitions."""
        if not self._definitions_of:
            for at, read in enumerate(self.graph.read):
                for r in read:
                    self._definitions_of[at, r] = [self.site[d] for d in self.numbered(r, self.reaching(at, r))]
        return self._definitions_of

    @property
    def uses_of(self) -> dict[Place, list[int]]:
        """The chains the other way round."""
        if not self._uses_of:
            self._uses_of = {place: [] for place in self.definitions}
            for (at, r), found in self.definitions_of.items():
                for definition in found:
                    self._uses_of[definition, r].append(at)
        return self._uses_of

    def webs(self) -> list[list[Place]]:
        """Definitions that share a use, directly or through others: each web is one value of the source program."""
        definitions = self.definitions
        parent = {place: place for place in definitions}

        def root(place: Place) -> Place:
            while parent[place] != place:
                parent[place] = place = parent[parent[place]]
            return place

        for (_, register), found in self.definitions_of.items():
            for other in found[1:]:
                parent[root((other, register))] = root((found[0], register))
        webs: dict[Place, list[Place]] = {}
        uses_of = self.uses_of
        for place in definitions:
            if uses_of[place] or place[0] >= 0:
                webs.setdefault(root(place), []).append(place)
        return list(webs.values())
