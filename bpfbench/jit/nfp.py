"""Code for the Netronome NFP: the driver's translation, from the packet's arrival to the verdict.

    prologue   packet length into gprB_22
    body       each instruction of the list by one of the methods of the files below
    ABORT OUT  verdict to action code, back to the firmware        (nfp_calls.py)
    PUSH POP   routines that save and restore R6-R9, if needed     (nfp_calls.py)
    8 nops     the prefetch window

    nfp_emit.py  nfp_arithmetic.py  nfp_shifts.py  nfp_branches.py  nfp_memory.py  nfp_copy.py  nfp_calls.py

The passes are in bpfbench/nfp/.

With a kernel named linux-* the words are the driver's, defects included; with "bpfbench" they are right, and shorter.
Source: `nfp_translate`, `nfp_fixup_branches` of the driver's bpf/jit.c; slides 40-60.
"""

from __future__ import annotations

import struct
from typing import Final, final

from bpfbench.collector import paused
from bpfbench.errors import JitError, MachineError, NotSupported, Where
from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import KIND_NAMES
from bpfbench.jit import nfp_arithmetic, nfp_branches, nfp_calls, nfp_link, nfp_memory
from bpfbench.jit.code import EPILOGUE, PROLOGUE, Region, Relocation, Span
from bpfbench.jit.layout import Layout
from bpfbench.jit.nfp_emit import PACKET_LENGTH, TEMP_A, TEMP_B, Writer, b, both, set_target
from bpfbench.jit.nfp_link import Place
from bpfbench.jit.partition import Function
from bpfbench.listing import Listing, Row
from bpfbench.machine import nfp
from bpfbench.machine.nfp_assembler import immed
from bpfbench.machine.nfp_text import disassemble
from bpfbench.machine.pattern import Machine
from bpfbench.nfp.notes import Device, Note, Step, steps_of
from bpfbench.nfp.passes import run_passes
from bpfbench.program.program import Program

PREFETCH: Final = 8
REACH: Final = 1 << 14          # an address of code has 14 bits
LONGER = 20                     # how much longer a walk may be that knows all numbers, and what is short in any case
SHORT_WALK = 20_000
OWN: Final = "bpfbench"         # the profile that is right where the driver is wrong


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
        """Clear the upper half, where somebody reads it; or spread the sign of the lower one."""
        low = 2 * (s.insn.dst if dst < 0 else dst)
        if s.extend == "sign" and s.wide:
            self.w.mov("--", b(low))
            self.w.emit(f"asr[{both(low + 1)}, {b(low)}, >>31]")
        elif s.zext and s.wide:
            self.w.const(both(low + 1), 0)

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
                self.w.mov("*l$index0", TEMP_A)
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
            raise self.unsupported(s, f"instruction {s.insn.op.name}")

    def constant(self, s: Step) -> int:
        """The value of a wide load; a map is its number on the device."""
        if s.insn.op.fn == ops.IMM:
            return s.insn.imm
        if s.insn.op.fn == ops.MAP_FD:
            return self.device.maps.get(s.insn.imm, s.insn.imm) & 0xFFFFFFFF
        raise self.unsupported(s, f"wide load {s.insn.op.id}")

    def fix_up(self) -> None:
        """Targets of branches between instructions, now that all have their place."""
        merged = {s.pc for s in self.steps if s.merged}
        for word, pc in self.branches:
            if pc not in self.offsets or pc in merged:
                raise JitError(f"NFP word {word}: branch to slot {pc}, which was merged into its predecessor")
            self.w.words[word] = set_target(self.w.words[word], self.offsets[pc])
        for word, pc in self.addresses:
            kind = nfp_link.IMMED_REL << nfp_link.TYPE_SHIFT
            self.w.words[word] = kind | immed(TEMP_B, self.offsets[pc])


@final
class NfpCode:
    """A program for the card, before relocation: what `Code` is for the other targets.

    `words`  one number per instruction, top byte the relocation type (nfp_link.py)     `bytes`  the same, little-endian
    `out`, `abort`, `push`, `pop`  word numbers of the ways out and of the routines     `steps`  the list after the passes
    """

    def __init__(self, kernel: str, generator: Generator, source: list[Instruction | None], verified: bool) -> None:
        self.target = "nfp"
        self.kernel = kernel
        self.words = generator.w.words
        self.bytes = struct.pack(f"<{len(self.words)}Q", *self.words)
        self.source = source
        self.verified = verified
        self.steps = generator.steps
        self.device = generator.device
        self.out, self.abort, self.push, self.pop = (
            generator.out_at, generator.abort_at, generator.push_at, generator.pop_at)  # fmt: skip
        self.offsets = generator.offsets
        self.machine = Machine("nfp", [], {}, 8)
        self._generator = generator
        self._spans: list[Span] | None = None
        self._relocations: list[Relocation] | None = None
        self.functions = regions_of(generator)
        self.placed: list[object] = []
        self.linkage: object = None

    @property
    def spans(self) -> list[Span]:
        """Which words came from which slot; put together for who asks, as the rows are."""
        if self._spans is None:
            self._spans = spans_of(self._generator)
        return self._spans

    @property
    def relocations(self) -> list[Relocation]:
        """The words that depend on where the image is loaded."""
        if self._relocations is None:
            self._relocations = relocations_of(self.words)
        return self._relocations

    @property
    def layout(self) -> Layout:
        return self.functions[0].layout

    @property
    def passes(self) -> list[int]:
        return self.functions[0].passes

    @property
    def insns(self) -> list[Row]:
        """Every word as a row; its address counts words, as the card's program counter does."""
        owners = {at: span.pc for span in self.spans for at in range(span.start // 8, span.end // 8)}
        rows = []
        for at, word in enumerate(self.words):
            kind = word >> nfp_link.TYPE_SHIFT
            note = nfp_link.RELOCATIONS[kind] if kind else ""
            rows.append(Row(at, word.to_bytes(8, "little"), disassemble(word & nfp.PAYLOAD), owners[at], note))
        return rows

    def span(self, pc: int) -> Span | None:
        return next((s for s in self.spans if s.pc == pc), None)

    def listing(self) -> Listing:
        return Listing(f"nfp ({self.kernel})", self.insns)

    def place(self, start: int, done: int, helpers: dict[int, int] | None = None) -> Place:
        """Where the image goes: for `nfp_link.relocate`."""
        return Place(start, done, self.out, self.abort, self.push, self.pop, helpers)

    def image(self, start: int = 0, done: int = 7777, helpers: dict[int, int] | None = None) -> list[int]:
        """The words as the card executes them, with ECC."""
        return nfp_link.relocate(self.words, self.place(start, done, helpers))

    def to_json(self) -> dict[str, object]:
        return {
            "target": self.target, "kernel": self.kernel, "image": self.bytes.hex(),
            "words": [f"{word:016x}" for word in self.words], "functions": [f.length for f in self.functions],
            "relocations": [r.to_json() for r in self.relocations], "spans": [s.to_json() for s in self.spans],
            "targets": {"out": self.out, "abort": self.abort, "push": self.push, "pop": self.pop},
        }  # fmt: skip

    def __len__(self) -> int:
        return len(self.bytes)

    def __repr__(self) -> str:
        return f"NfpCode({len(self.words)} words, {len(self.relocations)} relocations)"


def spans_of(g: Generator) -> list[Span]:
    spans = [Span(PROLOGUE, 0, 16, "prologue")]
    at = [g.offsets[s.pc] for s in g.steps] + [g.last + 1]
    for step, start, end in zip(g.steps, at, at[1:]):
        if end > start:
            spans.append(Span(step.pc, 8 * start, 8 * end, step.removed or KIND_NAMES[step.insn.kind]))
    spans.append(Span(EPILOGUE, 8 * (g.last + 1), 8 * g.w.here, "outro"))
    return spans


def relocations_of(words: list[int]) -> list[Relocation]:
    """Words that depend on where the image is loaded."""
    found = []
    for at, word in enumerate(words):
        kind = word >> nfp_link.TYPE_SHIFT
        if kind:
            symbol = nfp_link.RELOCATIONS[kind]
            name = "helper" if kind == nfp_link.HELPER else "code"
            if kind == nfp_link.HELPER:
                fields = nfp.format_of(word & nfp.PAYLOAD).unpack(word & nfp.PAYLOAD)
                symbol = helper_name(fields["addr"] - nfp_link.PLACEHOLDER)
            found.append(Relocation(8 * at, 8, name, symbol, f"type {kind}"))
    return found


def regions_of(g: Generator) -> list[Region]:
    starts = [(0, 0)] + [(s.pc, s.function) for s in g.steps if s.function > 0]
    ends = [pc for pc, _ in starts[1:]] + [g.steps[-1].pc + 1]
    regions = []
    for (pc, number), end in zip(starts, ends):
        at = 0 if not number else g.offsets[pc]
        stop = g.offsets[end] if end in g.offsets else g.w.here
        function = Function(number, f"func#{number}" if number else "main", pc, end)
        regions.append(Region(function, 8 * at, 8 * (stop - at), Layout("nfp", ""), [8 * (stop - at)]))
    return regions


def compile_notes(
    insns: list[Instruction | None], notes: list[Note], device: Device, kernel: str = "linux-6.1",
    without: tuple[str, ...] = (), verified: bool = True,
) -> NfpCode:  # fmt: skip
    """Code from a program and what is known about it; `without` names passes that are left out."""
    driver = kernel != OWN
    with paused():
        steps = steps_of(insns, notes)
        run_passes(steps, driver, without)
        generator = Generator(steps, device, driver)
        try:
            generator.translate()
        except MachineError as error:
            here = generator.w.here
            if here <= REACH:
                raise
            raise JitError(f"nfp: the program is too long: word {here} of the code, but branches reach {REACH}") from error
        return NfpCode(kernel, generator, insns, verified)


Facts = tuple[list[Note], Device]


def facts_of(prog: Program, kernel: str, offload: bool = True) -> Facts:
    """What our verifier knows about each instruction; NotSupported names what it or the card refuses."""
    from bpfbench.nfp.gather import forget, gather
    from bpfbench.nfp.offload import check

    found, watch, device = gather(prog)
    if offload:
        check(prog, watch, device, found, kernel == OWN)
    if kernel == OWN:                                               # not for programs that are refused anyway
        try:
            found, watch, device = gather(prog, exact=True, budget=LONGER * found.insns_processed + SHORT_WALK)
        except NotSupported:
            forget(watch, device)
        if offload:
            check(prog, watch, device, found, True)
    return watch.notes, device


def compile_from(prog: Program, facts: Facts, kernel: str, without: tuple[str, ...] = ()) -> NfpCode:
    return compile_notes(prog.insns, facts[0], facts[1], kernel, without, True)


def compile_nfp(prog: Program, kernel: str = "linux-6.1", without: tuple[str, ...] = (), offload: bool = True) -> NfpCode:
    """Code for a program, verified on the way.

    NotSupported names what the verifier, the rules of the offload (nfp/offload.py), or the translation refuse.
    `without`  passes left out        `offload=False`  do not apply the offload's own rules

    >>> from bpfbench.program.program import from_assembly
    >>> compile_nfp(from_assembly("r0 = 2\\nexit")).insns[2].text
    'immed[gprA_0, 0x2], gpr_wrboth'
    """
    return compile_from(prog, facts_of(prog, kernel, offload), kernel, without)
