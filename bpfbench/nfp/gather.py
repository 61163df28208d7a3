"""The notes about a program, taken from our own verifier's walk.

An `Observer` looks at every instruction on every path before it is processed, as the driver's hook does, and joins what
it sees: the pointer through which memory is accessed, the ranges of operands, the stack offset of a map key.  Marks for
zero extension and dead code follow when the walk is over.

Source: `nfp_verify_insn`, `nfp_bpf_finalize` and the functions they call in the driver's bpf/verifier.c.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Final

from bpfbench.errors import NotSupported
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.nfp.cells import unsure_words
from bpfbench.nfp.notes import U64, Device, Note
from bpfbench.program.program import Program
from bpfbench.verifier.regstate import BASE, CTX, MAP_VALUE, PACKET, PACKET_END, PACKET_META, SCALAR, STACK, RegState
from bpfbench.verifier.rewrite.hints import from_walk
from bpfbench.verifier.rewrite.subregs import Edges
from bpfbench.verifier.verification import Verification, verify

if TYPE_CHECKING:
    from bpfbench.verifier.state import State

KERNEL: Final = "linux-6.1"     # the kernel whose driver is meant
CLASSES: Final = {CTX: "ctx", STACK: "stack", MAP_VALUE: "map_value", PACKET: "packet", SCALAR: "scalar"}
RANGED: Final = (ops.LSH, ops.RSH, ops.ARSH, ops.MUL, ops.DIV, ops.MOD)
SHORT: Final = (PACKET, PACKET_END, PACKET_META)     # addresses of 32 bits on the card
NO_LIMIT: Final = 1 << 62
CARD: Final = 1                 # some network interface
U16: Final = 0xFFFF
U32: Final = 0xFFFFFFFF
WORD: Final = 4
SAVED: Final = 32               # bytes of R6-R9
GUARANTEED: Final = (-48, 46)   # constant deltas for which adjust_head needs no check


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def offset(reg: RegState) -> int:
    """The fixed part of a pointer."""
    return reg.off + (signed(reg.scalar.v) if reg.kind & BASE == STACK else 0)


def is_short(reg: RegState) -> bool:
    """Is the upper half 0, whatever the value?"""
    kind = reg.kind & BASE
    return reg.kind in SHORT or kind == SCALAR and reg.scalar.umax <= U32


class Gatherer(Edges):
    """Notes per slot; `classes`, `keys` and `deltas` hold all values that were seen, for the offload rules.

    `left` is how many instructions may still be looked at; beyond them NotSupported ends the walk.
    """

    def __init__(self, program: Program, budget: int = NO_LIMIT) -> None:
        super().__init__()
        self.left = budget
        self.insns = program.insns
        self.notes = [Note() for _ in program.insns]
        self.seen: set[int] = set()
        self.classes: dict[int, set[str]] = {}
        self.deltas: dict[int, set[int | None]] = {}
        self.values: dict[int, list[RegState]] = {}
        self.subprogs: dict[int, int] = {}
        self.updates: dict[int, set[tuple[int, int, bool]]] = {}    # (map, word that may not be 0, even in a register)

    def visit(self, step: int, pc: int, state: State) -> None:
        super().visit(step, pc, state)
        self.left -= 1
        if self.left < 0:
            raise NotSupported("target nfp: to know the values on all paths takes too long")
        insn = self.insns[pc]
        if insn is None:
            return
        note, regs = self.notes[pc], state.frame.regs
        first = pc not in self.seen
        self.seen.add(pc)
        note.subprog = self.subprogs[pc] = state.frame.subprog
        if insn.kind == ops.LDX:
            self._pointer(pc, note, regs[insn.src], state, first)
        elif insn.kind in (ops.ST, ops.STX, ops.ATOMIC):
            self._pointer(pc, note, regs[insn.dst], state, first)
            if insn.kind == ops.ATOMIC:
                operand = regs[insn.src].scalar
                note.add_over |= operand.v > U16 or operand.m > U16
                note.add_small |= operand.v & ~U16 == 0
        elif insn.kind in (ops.ALU64, ops.ALU32) and insn.op.fn in RANGED:
            self._ranges(insn, note, regs, first)
        elif insn.kind == ops.JMP:
            short = is_short(regs[insn.dst]) and (insn.imm >= 0 if insn.op.imm else is_short(regs[insn.src]))
            note.fits = short and (first or note.fits)
        elif insn.kind == ops.EXIT:
            self.values.setdefault(pc, []).append(regs[0])
        elif insn.kind == ops.CALL:
            self._call(pc, insn, note, regs, state, first)

    def _pointer(self, pc: int, note: Note, reg: RegState, state: State, first: bool) -> None:
        kind = CLASSES.get(reg.kind & BASE, "other")
        self.classes.setdefault(pc, set()).add(kind)
        at = offset(reg)
        if kind == "stack":
            note.varies |= not first and at != note.off
            note.foreign |= reg.frame != state.frame.number
        note.ptr, note.off, note.id = kind, at, reg.id
        if kind == "packet":
            note.places.append((reg.id, at))
        self.values.setdefault(pc, []).append(reg)

    def _ranges(self, insn: Instruction, note: Note, regs: list[RegState], first: bool) -> None:
        def join(now: int, found: int, pick: object) -> int:
            return found if first else pick(now, found)  # type: ignore[operator]

        note.dst_max = join(note.dst_max, regs[insn.dst].scalar.umax, max)
        if not insn.op.imm:
            note.src_min = join(note.src_min, regs[insn.src].scalar.umin, min)
            note.src_max = join(note.src_max, regs[insn.src].scalar.umax, max)

    def _call(self, pc: int, insn: Instruction, note: Note, regs: list[RegState], state: State, first: bool) -> None:
        if insn.imm in (1, 2, 3):
            at = offset(regs[2])
            note.key_varies |= not first and at != note.key_off
            note.key_off = at
            note.foreign |= regs[2].kind & BASE == STACK and regs[2].frame != state.frame.number
            self.classes.setdefault(pc, set()).add(CLASSES.get(regs[2].kind & BASE, "other"))
            if insn.imm == 2 and regs[1].map is not None and regs[3].kind & BASE == STACK:
                stack = state.frames[regs[3].frame].stack
                words = unsure_words(stack, offset(regs[3]), regs[1].map.value_size)
                self.updates.setdefault(pc, set()).update((regs[1].map.index, *word) for word in words)
        elif insn.imm == 25:
            note.data_ptr = CLASSES.get(regs[4].kind & BASE, "other")
            self.classes.setdefault(pc, set()).add(note.data_ptr)
            self.values.setdefault(pc, []).append(regs[3])
        elif insn.imm == 44:
            self.deltas.setdefault(pc, set()).add(signed(regs[2].scalar.v) if regs[2].is_const else None)


def dead_code(insns: list[Instruction | None], notes: list[Note], seen: set[int]) -> None:
    """Why the verifier's removal of dead code leaves no code here."""
    def only_dead(start: int, end: int) -> bool:
        return all(pc not in seen for pc in range(start, end) if insns[pc] is not None)

    for pc, insn in enumerate(insns):
        if insn is None:
            continue
        to = pc + 1 + insn.jump
        if pc not in seen:
            notes[pc].skip = "dead"
        elif insn.kind == ops.JA and to > pc and only_dead(pc + 1, to):
            notes[pc].skip = "nop"
        elif insn.kind in (ops.JMP, ops.JMP32) and to not in seen:
            notes[pc].skip = "never taken"
        elif insn.kind in (ops.JMP, ops.JMP32) and pc + 1 not in seen and to > pc and only_dead(pc + 1, to):
            notes[pc].skip = "over dead code"


def gather(
    program: Program, kernel: str = KERNEL, exact: bool = False, budget: int = NO_LIMIT
) -> tuple[Verification, Gatherer, Device]:
    """Walk the program; NotSupported when the verifier refuses it, because then nothing is known about it.

    The verifier leaves out a path that arrives with another number where no check depends on it, and the driver never
    sees that number: a range that it joins can be too small.  `exact` walks on unless the numbers are within those seen;
    `forget` is for programs where that takes more than `budget` instructions.
    """
    offloaded = copy(program)
    offloaded.ifindex = offloaded.ifindex or CARD
    watch = Gatherer(program, budget)
    found = verify(offloaded, kernel, observer=watch, without=("precision",) if exact else ())
    if not found.accepted:
        assert found.rejection is not None
        raise NotSupported(f"target nfp: only verified programs are offloaded, and {kernel} refuses this one: "
                           f"{found.rejection.message}")  # fmt: skip
    insns = program.insns
    for note, hint in zip(watch.notes, from_walk(found.walk, watch.taken).insns):
        note.zext = hint.zext
    dead_code(insns, watch.notes, watch.seen)
    device = device_of(program, found, watch)
    if exact and device.single_head >= 0 and not happens_once(program, watch, device.single_head):
        device.single_head = -1
    return found, watch, device


def happens_once(program: Program, watch: Gatherer, pc: int) -> bool:
    """Outside of functions and loops, a site is one call; the driver counts sites, and moves the packet without a check."""
    later = enumerate(program.insns[pc:], pc)
    looped = any(insn is not None and insn.is_jump and at + 1 + insn.jump <= pc for at, insn in later)
    return watch.subprogs[pc] == 0 and not looped


def forget(watch: Gatherer, device: Device) -> None:
    """Leave of the notes what holds on paths that were not walked: nothing about numbers."""
    for note in watch.notes:
        note.src_min, note.src_max, note.dst_max, note.fits = 0, U64, U64, False
        note.add_over = note.add_small = True
    device.single_head = -1


def device_of(program: Program, found: Verification, watch: Gatherer) -> Device:
    depths = list(found.stats.stack_depths)
    saves = [False] * len(depths)
    for pc in watch.seen:
        insn = program.insns[pc]
        if insn is not None and 6 <= insn.dst <= 9:
            saves[watch.subprogs[pc]] = True
    for number in range(1, len(depths)):
        depths[number] += WORD + (SAVED if saves[number] else 0)
    device = Device(program.type == "xdp", depths, saves)
    heads = list(watch.deltas.items())
    if len(heads) == 1 and len(heads[0][1]) == 1:
        delta = next(iter(heads[0][1]))
        if delta is not None and GUARANTEED[0] <= delta <= GUARANTEED[1]:
            device.single_head = heads[0][0]
    return device
