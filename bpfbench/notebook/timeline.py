"""A verification as columns, for the time machine.

A trace of a million steps is small when it is kept as what it is: for each step the pc, the path and the depth of calls,
and in *chunks* of steps the few columns (registers, stack slots) whose value differs from the step before.  Register
states are immutable, so "differs" is "is another object", and each distinct value of a chunk is described once.

    step      0        1        2 …
    pcs       0        1        2 …          whole trace
    counts    2        1        1 …          per chunk: how many columns changed
    changed   r1 r10 | r2     | r2 …         which, and to which entry of the values

A value is three numbers: its head ("pkt(off=14,r=20)", with a mark where an id goes), its id, and the row of `scalars`
that has its bits and ranges.  The browser puts them together when somebody looks at the value (static/time_machine.js),
so a walk with a million distinct numbers costs numbers, not texts.  A notebook sends a chunk when its steps are looked
at; a file that needs no kernel holds them all.  Events are columns, too: the step, the kind and two numbers (a state, an
instruction, a register).  Columns are zlib-compressed and little-endian, u32 or u64, in base64; the browser inflates
them with what it has built in.
"""

from __future__ import annotations

import base64
import sys
import zlib
from array import array
from itertools import accumulate, chain, compress, repeat
from operator import is_not
from typing import Any, Final, final

from bpfbench.collector import paused
from bpfbench.isa import ops
from bpfbench.isa.text import format_insn
from bpfbench.program.program import Program
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.log import register_text
from bpfbench.verifier.regstate import NOT_INIT, SCALAR, RegState
from bpfbench.verifier.scalar import U64_MAX, Scalar
from bpfbench.verifier.state import TYPE_CHARS, Slot

REGISTERS: Final = 11
SLOTS: Final = 64
CHUNK: Final = 1 << 15          # steps
KINDS: Final = ["fork", "resume", "keep", "prune", "precise", "loop", "reject", "end"]
RESUME: Final = 1
PRECISE: Final = 4
ID: Final = "\x01"              # where the id of a value goes in its head
FIELDS: Final = ("v", "m", "umin", "umax", "smin", "smax", "u32min", "u32max", "s32min", "s32max")
_ANY: Final = Scalar.unknown()


@final
class Described:
    """Distinct values as columns; value 0 is "nothing known yet", scalar 0 "no number"."""

    def __init__(self) -> None:
        self.heads: list[str] = [""]
        self.head = array("I", [0])
        self.id = array("I", [0])
        self.scalar = array("I", [0])
        self.scalars = [(0,) * len(FIELDS)]
        self.by_identity: dict[int, int] = {}
        self._values: dict[tuple[int, int, int], int] = {(0, 0, 0): 0}
        self._heads: dict[str, int] = {"": 0}
        self._templates: dict[tuple[object, ...], int] = {}
        self._scalars: dict[tuple[int, ...], int] = {}
        self._seen: dict[int, int] = {}             # identity of a scalar -> its row
        self._plain = [0, 0, 0, 0]                  # heads of numbers: without and with an id, the same precise

    def register(self, reg: RegState) -> int:
        """The number of a register's value."""
        kind, number, id = reg.kind, reg.scalar, reg.id
        if kind == NOT_INIT:
            self.by_identity[id_of(reg)] = 0
            return 0
        if kind == SCALAR:
            scalar = self._seen.get(id_of(number)) or self._number(number)
            if not number.m:
                id = 0                  # a constant shows its value alone
                head = self._text("P" if reg.precise else "")
            elif id & rs.ADD_CONST:
                head = self._template(reg, _ANY)
            else:
                plain = (id > 0) + 2 * reg.precise
                head = self._plain[plain] or self._template(reg, _ANY)
                self._plain[plain] = head
        else:
            scalar = self._seen.get(id_of(number)) or self._number(number) if number.m else 0
            head = self._template(reg, _ANY if number.m else number)
        key = (head, id & ~rs.ADD_CONST, scalar)
        value = self._values.get(key)
        if value is None:
            value = self._values[key] = len(self.head)
            self.head.append(head)
            self.id.append(key[1])
            self.scalar.append(scalar)
        self.by_identity[id_of(reg)] = value
        return value

    def slot(self, slot: Slot) -> int:
        """The number of a slot's value: of the register spilled there, or of its bytes."""
        if slot.spilled and slot.reg.kind != NOT_INIT:
            value = self.register(slot.reg)
        else:
            text = "".join(TYPE_CHARS[t] for t in slot.types)
            key = (self._text("" if set(text) <= {"?"} else text), 0, 0)
            value = self._values.setdefault(key, len(self.head))
            if value == len(self.head):
                self.head.append(key[0])
                self.id.append(0)
                self.scalar.append(0)
        self.by_identity[id_of(slot)] = value
        return value

    def _number(self, s: Scalar) -> int:
        """The row of bits and ranges."""
        key = (s.v, s.m, s.umin, s.umax, s.smin, s.smax, s.u32min, s.u32max, s.s32min, s.s32max)
        known = self._scalars.get(key)
        if known is None:
            known = self._scalars[key] = len(self.scalars)
            self.scalars.append(key)
        self._seen[id_of(s)] = known
        return known

    def _template(self, reg: RegState, number: Scalar) -> int:
        """The text around the number; `number` is printed in it."""
        key = (reg.kind, reg.off, reg.id > 0, reg.id & rs.ADD_CONST, reg.ref, reg.precise, reg.range, reg.size,
               reg.frame, reg.struct, id_of(reg.map), id_of(reg.special), number.v, number.m)  # fmt: skip
        known = self._templates.get(key)
        if known is None:
            text = register_text(reg if number is reg.scalar else reg.with_scalar(number), reg.frame)
            if reg.id:
                text = text.replace(f"id={reg.id & ~rs.ADD_CONST}", f"id={ID}", 1)
            known = self._templates[key] = self._text(text)
        return known

    def _text(self, text: str) -> int:
        known = self._heads.setdefault(text, len(self.heads))
        if known == len(self.heads):
            self.heads.append(text)
        return known

    def document(self) -> dict[str, Any]:
        columns = ([n & U64_MAX for n in column] for column in zip(*self.scalars))
        return {"heads": self.heads, "head": pack(self.head), "id": pack(self.id), "scalar": pack(self.scalar),
                "scalars": pack(array("Q", chain.from_iterable(columns)))}  # fmt: skip


id_of: Final = id                # `id` is also the field of a register state


def pack(column: array[int]) -> str:
    """A column as the browser reads it: little-endian, compressed, base64."""
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return base64.b64encode(zlib.compress(column.tobytes(), 1)).decode()


@final
class Steps:
    """The steps of a `Verification` made with `trace=True`, ready to be described."""

    def __init__(self, v: Any, prog: Program) -> None:
        trace = v.trace
        self.program = prog
        self.trace = trace
        self.message: str = "" if v.accepted else v.message or ""
        visits = list(map("visit".__eq__, trace.kinds))
        held: list[Any] = list(compress(trace.held, visits))
        self.pcs = array("I", compress(trace.pcs, visits))
        self.named = bool(held) and isinstance(held[0], dict)       # values by name, as the log reader has them
        if self.named:
            self.paths = array("I", [h["path"] for h in held])
            held = [(h["regs"], h["stack"], h.get("frame", 0)) for h in held]
        else:
            self.paths = array("I", compress(trace.numbers, visits))
        self.held: list[tuple[list[RegState], list[Slot], int]] = held
        self.after = list(accumulate(visits))               # visits up to an event, itself included

    @property
    def chunks(self) -> int:
        return (len(self.pcs) + CHUNK - 1) // CHUNK

    def document(self) -> dict[str, Any]:
        """What is known of the trace as a whole."""
        stacks = [h[1] for h in self.held]
        deepest = max(map(len, stacks), default=0)
        return {
            "name": self.program.name, "steps": len(self.pcs), "size": CHUNK, "message": self.message,
            "columns": [f"R{r}" for r in range(REGISTERS)] + [f"fp-{8 * (s + 1)}" for s in range(deepest)],
            "pcs": pack(self.pcs), "paths": pack(self.paths), "depths": pack(array("I", [h[2] for h in self.held])),
            "events": self._events(), "kinds": KINDS, "insns": _insns(self.program),
        }  # fmt: skip

    def chunk(self, number: int) -> dict[str, Any]:
        """What changed in the steps of one chunk."""
        first = number * CHUNK
        changes = Changes()
        with paused():
            key = changes.begin(self.held[first - 1]) if first else []
            changes.read(self.held[first : first + CHUNK])
            return {"first": first, "key": key, "counts": pack(changes.counts), "columns": pack(changes.columns),
                    "values": pack(changes.values), **changes.table.document()}  # fmt: skip

    def _events(self) -> list[str]:
        """Columns: visits before it, kind, two numbers (state, instruction, path or register; a slot: 16 + its number)."""
        trace = self.trace
        codes: list[Any] = list(map({kind: number for number, kind in enumerate(KINDS)}.get, trace.kinds))
        wanted = list(map(is_not, codes, repeat(None)))
        kinds = array("I", compress(codes, wanted))
        first = array("I", map(max, compress(trace.numbers, wanted), repeat(0)))
        second = array("I", bytes(4 * len(first)))
        held = list(compress(trace.held, wanted))
        every: Any = range(len(kinds))
        for at in every if self.named else compress(every, map({RESUME, PRECISE}.__contains__, kinds)):
            known = held[at]
            if isinstance(known, dict):
                first[at], second[at] = _numbers(KINDS[kinds[at]], known)
            elif kinds[at] == RESUME:
                second[at] = max(known[0], 0)
            elif kinds[at] == PRECISE:
                first[at], second[at] = (known[1] if known[1] >= 0 else 16 + known[2]), first[at]
        return [pack(array("I", compress(self.after, wanted))), pack(kinds), pack(first), pack(second)]


def timeline(v: Any, prog: Program) -> dict[str, Any]:
    """The whole JSON document, all chunks in it, of a `Verification` made with `trace=True`."""
    steps = Steps(v, prog)
    return {**steps.document(), "chunks": [steps.chunk(n) for n in range(steps.chunks)]}


@final
class Changes:
    """What changed from step to step, read from the states that the trace holds."""

    def __init__(self) -> None:
        self.table = Described()
        self.counts = array("I")
        self.columns = array("I")
        self.values = array("I")
        self.last = [0] * (REGISTERS + SLOTS)
        self.regs: list[RegState] = []
        self.stack: list[Slot] = []

    def begin(self, held: tuple[list[RegState], list[Slot], int]) -> list[int]:
        """Start from this state; its values are returned."""
        self.read([held])
        self.counts, self.columns, self.values = array("I"), array("I"), array("I")
        return self.last[: REGISTERS + len(self.stack)]

    def read(self, held: list[tuple[list[RegState], list[Slot], int]]) -> None:
        self.counts = counts = array("I", bytes(4 * len(held)))
        columns, values, last = self.columns, self.values, self.last
        known, register = self.table.by_identity, self.table.register
        last_regs = self.regs
        numbered = tuple(range(REGISTERS))
        before: object = None
        for step, now in enumerate(held):
            if now is before:
                continue
            before = now
            regs, stack, _ = now
            first = len(columns)
            if regs is not last_regs:
                other = compress(numbered, map(is_not, regs, last_regs)) if last_regs else numbered
                for column in other:
                    reg = regs[column]
                    value = known.get(id_of(reg))
                    if value is None:
                        value = register(reg)
                    if last[column] != value:
                        last[column] = value
                        columns.append(column)
                        values.append(value)
                last_regs = regs
            if stack is not self.stack:
                self._stack(stack)
            counts[step] = len(columns) - first
        self.regs = last_regs

    def _stack(self, stack: list[Slot]) -> None:
        old, self.stack = self.stack, stack
        for number in range(max(len(stack), len(old))):
            here = stack[number] if number < len(stack) else None
            if number < len(old) and old[number] is here:
                continue
            value = 0
            if here is not None:
                found = self.table.by_identity.get(id_of(here))
                value = found if found is not None else self.table.slot(here)
            column = REGISTERS + number
            if self.last[column] != value:
                self.last[column] = value
                self.columns.append(column)
                self.values.append(value)


def _numbers(kind: str, named: dict[str, Any]) -> tuple[int, int]:
    """The two numbers of an event whose values have names."""
    if kind == "precise":
        reg = named["reg"]
        return (reg if reg >= 0 else 16 + named["slot"]), max(named["state"], 0)
    if kind == "resume":
        return max(named["path"], 0), max(named["from"], 0)
    return max(named.get("target", named.get("by", named.get("state", 0))), 0), 0


def _insns(prog: Program) -> list[dict[str, object]]:
    """Text and C line of each instruction, the registers it reads, and the slot that it loads from, if that is clear."""
    rows: list[dict[str, object]] = []
    for pc, insn in enumerate(prog.insns):
        if insn is not None:
            line = prog.lines.get(pc)
            reads = [r for r in range(REGISTERS) if insn.reads >> r & 1]
            if insn.op.kind == ops.LDX and insn.src == 10 and insn.off < 0:
                reads = [REGISTERS + (-insn.off - 1) // 8]
            rows.append({"pc": pc, "text": format_insn(insn), "src": line.text.strip() if line is not None else "",
                         "line": line.line if line is not None else 0, "reads": reads})
    return rows
