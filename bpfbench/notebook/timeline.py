"""A verification as columns, for the time machine.

A trace of a million steps is small when it is kept as what it is: for each step the pc, the path, and the few columns
(registers, stack slots) whose value differs from the step before.  Register states are immutable, so "differs" is
"is another object", and each distinct value is described once.

    step      0        1        2 …
    pcs       0        1        2 …
    counts    2        1        1 …          how many columns changed
    changed   r1 r10 | r2     | r2 …         which, and to which entry of `values`

The number columns are zlib-compressed little-endian u32 in base64; the browser inflates them with what it has built in.
"""

from __future__ import annotations

import base64
import zlib
from array import array
from typing import Any, Final, final

from bpfbench.isa.text import format_insn
from bpfbench.program.program import Program
from bpfbench.verifier.log import register_text
from bpfbench.verifier.regstate import NOT_INIT, SCALAR, UNINIT, RegState
from bpfbench.verifier.state import TYPE_CHARS, Slot

REGISTERS: Final = 11
SLOTS: Final = 64
SHOWN_EVENTS: Final = ("fork", "resume", "keep", "prune", "precise", "loop", "reject", "end")


@final
class Values:
    """Distinct values, each described once; entry 0 is "nothing known yet"."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = [{"text": ""}]
        self._by_identity: dict[int, int] = {id(UNINIT): 0}
        self._by_text: dict[str, int] = {"": 0}
        self._kept: list[object] = []              # keeps identities valid

    def register(self, reg: RegState) -> int:
        known = self._by_identity.get(id(reg))
        if known is None:
            known = self._add(_describe(reg))
            self._by_identity[id(reg)] = known
            self._kept.append(reg)
        return known

    def slot(self, slot: Slot) -> int:
        known = self._by_identity.get(id(slot))
        if known is None:
            spilled = slot.spilled and slot.reg.kind != NOT_INIT
            row = _describe(slot.reg) if spilled else {"text": _bytes(slot)}
            known = self._add(row)
            self._by_identity[id(slot)] = known
            self._kept.append(slot)
        return known

    def _add(self, row: dict[str, str]) -> int:
        known = self._by_text.get(row["text"])
        if known is None:
            known = len(self.rows)
            self.rows.append(row)
            self._by_text[row["text"]] = known
        return known


def _bytes(slot: Slot) -> str:
    text = "".join(TYPE_CHARS[t] for t in slot.types)
    return "" if set(text) <= {"?"} else text


def _describe(reg: RegState) -> dict[str, str]:
    """Text of a register, and for numbers their range and bits (as decimal text: JSON numbers stop at 2^53)."""
    if reg.kind == NOT_INIT:
        return {"text": ""}
    s = reg.scalar
    row = {"text": register_text(reg, reg.frame)}
    if s.m or reg.kind == SCALAR:
        row |= {"lo": str(s.umin), "hi": str(s.umax), "value": str(s.v), "mask": str(s.m)}
    return row


def pack(column: array[int]) -> str:
    return base64.b64encode(zlib.compress(column.tobytes(), 6)).decode()


def timeline(v: Any, prog: Program) -> dict[str, Any]:
    """The JSON document of a `Verification` made with `trace=True`."""
    pcs, paths, counts = array("I"), array("I"), array("I")
    columns, values = array("I"), array("I")
    table = Values()
    last: list[int] = [0] * (REGISTERS + SLOTS)
    last_regs: list[RegState] = []
    last_stack: list[Slot] = []
    deepest = 0
    events: list[list[object]] = []
    step = -1
    for event in v.trace:
        if event.kind != "visit":
            if event.kind in SHOWN_EVENTS:
                at = step + 1 if event.kind in ("resume", "fork") and step >= 0 else step
                events.append([max(min(at, step + (event.kind == "resume")), 0), event.kind, say(event)])
            continue
        step += 1
        pcs.append(event.pc)
        paths.append(event.values["path"])
        regs, stack = event.values["regs"], event.values["stack"]
        changed = len(columns)
        for column, reg in enumerate(regs):
            if column < len(last_regs) and last_regs[column] is reg:
                continue
            _note(column, table.register(reg), last, columns, values)
        deepest = max(deepest, len(stack))
        for slot in range(max(len(stack), len(last_stack))):
            here = stack[slot] if slot < len(stack) else None
            if slot < len(last_stack) and last_stack[slot] is here:
                continue
            _note(REGISTERS + slot, table.slot(here) if here is not None else 0, last, columns, values)
        counts.append(len(columns) - changed)
        last_regs, last_stack = regs, stack
    return {
        "name": prog.name, "steps": len(pcs),
        "columns": [f"R{r}" for r in range(REGISTERS)] + [f"fp-{8 * (s + 1)}" for s in range(deepest)],
        "pcs": pack(pcs), "paths": pack(paths), "counts": pack(counts),
        "changed_columns": pack(columns), "changed_values": pack(values),
        "values": table.rows, "events": events, "insns": _insns(prog),
    }  # fmt: skip


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


def say(event: Any) -> str:
    """An event as a sentence."""
    get = event.values.get
    if event.kind == "fork":
        return f"A branch to insn {get('target')} is kept for later"
    if event.kind == "resume":
        return f"Path {get('path', 0) + 1} is taken up, coming from insn {get('from')}"
    if event.kind == "prune":
        return f"Pruned: state {get('by')} covers this one"
    if event.kind == "keep":
        return f"Checkpoint {get('state')}"
    if event.kind == "precise":
        what = f"R{get('reg')}" if get("reg", -1) >= 0 else f"fp-{8 * (get('slot') + 1)}"
        return f"{what} of state {get('state')} must be known exactly"
    if event.kind == "reject":
        return f"Rejected: {get('message')}"
    return {"loop": "A loop closes here", "end": "The path ends"}.get(event.kind, str(event.kind))
