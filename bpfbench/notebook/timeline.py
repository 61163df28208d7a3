"""A verification as columns, for the time machine.

A trace of a million steps is small when it is kept as what it is: for each step the pc, the path, and the few columns
(registers, stack slots) whose value differs from the step before.  Register states are immutable, so "differs" is
"is another object", and each distinct value is described once.

    step      0        1        2 …
    pcs       0        1        2 …
    counts    2        1        1 …          how many columns changed
    changed   r1 r10 | r2     | r2 …         which, and to which entry of `values`

Events are columns, too: the step, the kind and two numbers (a state, an instruction, a register), which the browser puts
into words.  The number columns are zlib-compressed little-endian u32 in base64; the browser inflates them with what it
has built in.  A value is a text alone when that says everything (constants, "ctx()"), else text, range and bits.
"""

from __future__ import annotations

import base64
import zlib
from array import array
from itertools import chain
from typing import Any, Final, final

from bpfbench.isa.text import format_insn
from bpfbench.program.program import Program
from bpfbench.verifier.log import register_text
from bpfbench.verifier.regstate import NOT_INIT, SCALAR, UNINIT, RegState
from bpfbench.verifier.state import TYPE_CHARS, Slot

REGISTERS: Final = 11
SLOTS: Final = 64
KINDS: Final = ["fork", "resume", "keep", "prune", "precise", "loop", "reject", "end"]


@final
class Described:
    """Distinct values, each described once; entry 0 is "nothing known yet"."""

    def __init__(self) -> None:
        self.rows: list[str | dict[str, str]] = [""]
        self._by_identity: dict[int, int] = {id(UNINIT): 0}
        self._by_content: dict[tuple[object, ...], int] = {}
        self._by_text: dict[str, int] = {"": 0}
        self._kept: list[object] = []              # keeps identities valid

    def register(self, reg: RegState) -> int:
        known = self._by_identity.get(id(reg))
        if known is None:
            s = reg.scalar
            key = (reg.kind, reg.off, reg.id, reg.ref, reg.precise, reg.range, reg.size, reg.frame, reg.struct, id(reg.map),
                   id(reg.special), s.v, s.m, s.umin, s.umax, s.smin, s.smax, s.u32min, s.u32max, s.s32min, s.s32max)
            known = self._by_content.get(key)
            if known is None:
                known = self._by_content[key] = self._add(_text(reg), reg)
            self._by_identity[id(reg)] = known
            self._kept.append(reg)
        return known

    def slot(self, slot: Slot) -> int:
        known = self._by_identity.get(id(slot))
        if known is None:
            spilled = slot.spilled and slot.reg.kind != NOT_INIT
            known = self._add(_text(slot.reg) if spilled else _bytes(slot), slot.reg if spilled else None)
            self._by_identity[id(slot)] = known
            self._kept.append(slot)
        return known

    def _add(self, text: str, reg: RegState | None) -> int:
        known = self._by_text.get(text)
        if known is None:
            known = self._by_text[text] = len(self.rows)
            self.rows.append(text if reg is None or not reg.scalar.m else _range(text, reg))
        return known


def _bytes(slot: Slot) -> str:
    text = "".join(TYPE_CHARS[t] for t in slot.types)
    return "" if set(text) <= {"?"} else text


def _text(reg: RegState) -> str:
    if reg.kind == SCALAR and not reg.scalar.m and not reg.id and not reg.precise:
        return str(reg.scalar.smin)
    return "" if reg.kind == NOT_INIT else register_text(reg, reg.frame)


def _range(text: str, reg: RegState) -> dict[str, str]:
    """With range and bits, as decimal text: JSON numbers stop at 2^53."""
    s = reg.scalar
    return {"text": text, "lo": str(s.umin), "hi": str(s.umax), "value": str(s.v), "mask": str(s.m)}


def pack(column: array[int]) -> str:
    return base64.b64encode(zlib.compress(column.tobytes(), 3)).decode()


def timeline(v: Any, prog: Program) -> dict[str, Any]:
    """The JSON document of a `Verification` made with `trace=True`."""
    pcs, paths, counts = array("I"), array("I"), array("I")
    columns, values = array("I"), array("I")
    happened: list[tuple[int, int, int, int]] = []
    table = Described()
    last: list[int] = [0] * (REGISTERS + SLOTS)
    last_regs: list[RegState] = []
    last_stack: list[Slot] = []
    last_held: object = None
    deepest = 0
    trace = v.trace
    for index, (kind, pc, path, held) in enumerate(zip(trace.kinds, trace.pcs, trace.numbers, trace.held)):
        if kind != "visit":
            if kind in KINDS:
                step = len(pcs) - 1
                at = step + 1 if kind in ("resume", "fork") and step >= 0 else step
                numbers = _numbers(kind, trace.values(index))
                happened.append((max(min(at, step + (kind == "resume")), 0), KINDS.index(kind), *numbers))
            continue
        pcs.append(pc)
        if isinstance(held, dict):
            path, regs, stack = held["path"], held["regs"], held["stack"]
        else:
            regs, stack, _ = held
        paths.append(path)
        if held is last_held:
            counts.append(0)
            continue
        last_held = held
        changed = len(columns)
        if regs is not last_regs:
            for column, reg in enumerate(regs):
                if column >= len(last_regs) or last_regs[column] is not reg:
                    _note(column, table.register(reg), last, columns, values)
        if stack is not last_stack:
            deepest = max(deepest, len(stack))
            for slot in range(max(len(stack), len(last_stack))):
                here = stack[slot] if slot < len(stack) else None
                if slot >= len(last_stack) or last_stack[slot] is not here:
                    _note(REGISTERS + slot, table.slot(here) if here is not None else 0, last, columns, values)
        counts.append(len(columns) - changed)
        last_regs, last_stack = regs, stack
    happened.sort(key=lambda event: event[0])
    return {
        "name": prog.name, "steps": len(pcs),
        "columns": [f"R{r}" for r in range(REGISTERS)] + [f"fp-{8 * (s + 1)}" for s in range(deepest)],
        "pcs": pack(pcs), "paths": pack(paths), "counts": pack(counts),
        "changed_columns": pack(columns), "changed_values": pack(values),
        "events": pack(array("I", chain.from_iterable(happened))), "kinds": KINDS,
        "message": "" if v.accepted else v.message or "", "values": table.rows, "insns": _insns(prog),
    }  # fmt: skip


def _numbers(kind: str, named: dict[str, Any]) -> tuple[int, int]:
    """The two numbers of an event: state, instruction, path or register (a slot: 16 + its number)."""
    if kind == "precise":
        reg = named["reg"]
        return (reg if reg >= 0 else 16 + named["slot"]), max(named["state"], 0)
    if kind == "resume":
        return named["path"], max(named["from"], 0)
    number = named.get("target", named.get("by", named.get("state", 0)))
    return max(number, 0), 0


def _note(column: int, value: int, last: list[int], columns: array[int], values: array[int]) -> None:
    if last[column] != value:
        last[column] = value
        columns.append(column)
        values.append(value)


def _insns(prog: Program) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for pc, insn in enumerate(prog.insns):
        if insn is not None:
            line = prog.lines.get(pc)
            rows.append({"pc": pc, "text": format_insn(insn), "src": line.text.strip() if line is not None else ""})
    return rows
