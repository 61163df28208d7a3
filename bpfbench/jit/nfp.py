"""Code for the Netronome NFP: the driver's translation, from the packet's arrival to the verdict.

    prologue   packet length into gprB_22
    body       each instruction of the list by one of the methods of the files below
    ABORT OUT  verdict to action code, back to the firmware        (nfp_calls.py)
    PUSH POP   routines that save and restore R6-R9, if needed     (nfp_calls.py)
    8 nops     the prefetch window

    nfp_emit.py  nfp_arithmetic.py  nfp_branches.py  nfp_memory.py  nfp_calls.py      the passes: bpfbench/nfp/

With a kernel named linux-* the words are the driver's, defects included; with "bpfbench" they are right, and shorter.
Source: `nfp_translate`, `nfp_fixup_branches` of the driver's bpf/jit.c; slides 40-60.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.errors import JitError, NotSupported, Where
from bpfbench.isa import ops
from bpfbench.jit import nfp_arithmetic, nfp_branches, nfp_calls, nfp_link, nfp_memory
from bpfbench.jit.nfp_emit import PACKET_LENGTH, Writer, both, set_target
from bpfbench.jit.nfp_link import Place
from bpfbench.listing import Listing, Row
from bpfbench.machine import nfp
from bpfbench.machine.nfp_text import disassemble
from bpfbench.nfp.notes import Device, Note, Step

PREFETCH: Final = 8
PROLOGUE, OUTRO = -1, -2


@final
class Generator:
    """One translation.  `w` the words, `function` the number of the function, `depth` its frame rounded to words."""

    def __init__(self, steps: list[Step], device: Device, driver: bool) -> None:
        self.steps = steps
        self.device = device
        self.driver = driver
        self.w = Writer()
        self.function = 0
        self.depth = nfp_calls.up(device.depths[0], 4)
        self.offsets: dict[int, int] = {}
        self.numbers = {s.pc: s.function for s in steps if s.function > 0}
        self.branches: list[tuple[int, int]] = []           # (word, slot it goes to)
        self.addresses: list[tuple[int, int]] = []          # (immed that holds the address of a function, its slot)
        self.current: Step | None = None
        self.abort_at = self.out_at = self.push_at = self.pop_at = 0
        self.last = 0

    # --------------------------------------------------------------------------------- what the methods of a file use
    def unsupported(self, s: Step, what: str) -> NotSupported:
        return NotSupported(f"{what} on target nfp", Where(pc=s.pc))

    def zext(self, s: Step, dst: int = -1) -> None:
        """Clear the upper half, where somebody reads it."""
        if s.note.zext and s.wide:
            self.w.const(both(2 * (s.insn.dst if dst < 0 else dst) + 1), 0)

    def to(self, pc: int, condition: str, defer: int = 0) -> None:
        """A branch to an instruction of the program."""
        self.branches.append((self.w.here, pc))
        self.w.emit(f"{condition}[.0]" + (f", defer[{defer}]" if defer else ""), nfp_link.BR_REL)

    def to_slot(self, condition: str) -> None:
        """A branch to the target of the current jump."""
        assert self.current is not None
        self.to(self.current.pc + 1 + self.current.insn.jump, condition)

    # ------------------------------------------------------------------------------------------------ translation
    def translate(self) -> None:
        self.w.const(PACKET_LENGTH, 0x3FFF)
        self.w.alu(PACKET_LENGTH, PACKET_LENGTH, "AND", "*l$index1")
        for step in self.steps:
            self.offsets[step.pc] = self.w.here
            self.current = step
            if step.function > 0:
                self.function = step.function
                self.depth = nfp_calls.up(self.device.depths[step.function], 4)
                self.w.mov("*l$index0", nfp_calls.TEMP_A)
            if not step.removed:
                self.instruction(step)
        self.last = self.w.here - 1
        (nfp_calls.outro_xdp if self.device.xdp else nfp_calls.outro_tc)(self)
        if any(self.device.saves[1:]):
            self.push_at = self.w.here
            nfp_calls.push_routine(self.w)
            self.pop_at = self.w.here
            nfp_calls.pop_routine(self.w)
        self.w.nops(PREFETCH)
        self.fix_up()

    def instruction(self, s: Step) -> None:
        kind = s.insn.kind
        if max(s.insn.dst, s.insn.src) > 10:
            raise self.unsupported(s, "a register beyond r10")
        if kind in (ops.ALU64, ops.ALU32):
            nfp_arithmetic.alu(self, s)
        elif kind == ops.END:
            nfp_arithmetic.byte_order(self, s)
        elif kind == ops.LDDW:
            nfp_arithmetic.wide_constant(self, s, self.constant(s))
        elif kind in (ops.JMP, ops.JMP32):
            nfp_branches.jump(self, s)
        elif kind == ops.JA:
            self.to_slot("br")
        elif kind == ops.LDX:
            nfp_memory.load(self, s)
        elif kind in (ops.ST, ops.STX):
            nfp_memory.store(self, s)
        elif kind == ops.ATOMIC:
            nfp_memory.atomic(self, s)
        elif kind in (ops.LD_ABS, ops.LD_IND):
            nfp_memory.classic(self, s)
        elif kind in nfp_calls.CALLS:
            nfp_calls.CALLS[kind](self, s)
        else:
            raise self.unsupported(s, f"instruction {s.insn.op.id}")

    def constant(self, s: Step) -> int:
        """The value of a wide load; a map is its number on the device."""
        if s.insn.op.fn == ops.IMM:
            return s.insn.imm
        if s.insn.op.fn == ops.MAP_FD:
            return self.device.maps.get(s.insn.imm, s.insn.imm) & 0xFFFFFFFF
        raise self.unsupported(s, f"wide load {s.insn.op.id}")

    def fix_up(self) -> None:
        """Targets of branches between instructions, now that all have their place."""
        by_pc = {s.pc: s for s in self.steps}
        for word, pc in self.branches:
            if pc not in by_pc or by_pc[pc].merged:
                raise JitError(f"NFP word {word}: branch to slot {pc}, which was merged into its predecessor")
            self.w.words[word] = set_target(self.w.words[word], self.offsets[pc])
        for word, pc in self.addresses:
            kind = nfp_link.IMMED_REL << nfp_link.TYPE_SHIFT
            here = Writer()
            here.emit(f"immed[{nfp_calls.TEMP_B}, {self.offsets[pc]:#x}]")
            self.w.words[word] = kind | here.words[0]


@final
class NfpSpan:
    """Bytes `start`..`end` of the image came from slot `pc`; -1 prologue, -2 the ways out."""

    __slots__ = ("pc", "start", "end", "rule")

    def __init__(self, pc: int, start: int, end: int, rule: str) -> None:
        self.pc = pc
        self.start = start
        self.end = end
        self.rule = rule

    def to_json(self) -> dict[str, object]:
        return {"pc": self.pc, "start": self.start, "end": self.end, "rule": self.rule}
