"""The path that ended in a refusal, and the few steps of it that matter.

A walk tries many paths; only one is refused.  `Route` is an observer that remembers the way to where the walk stands
as a chain in which every step points to the one before, so that a fork costs nothing: the chain is put aside with the
forked state and taken up again with it.

      0 ── 1 ── 2 ── 5 ── 6        the chain of the path walked first, put aside at 2
                 \\── 3 ── 4 ✗     taken up there again: the refused path is 0 1 2 3 4

`relevant` then walks the refused path backwards and keeps the steps from which the values of the given registers come:
what wrote them, what narrowed them, and the same for what those steps read (a dynamic backward slice).

Sources: M. Weiser, "Program Slicing", ICSE 1981; B. Korel, J. Laski, "Dynamic Program Slicing", 1988.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.log import register_text
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.regstate import UNINIT, RegState
from bpfbench.verifier.scalar import s64
from bpfbench.verifier.state import EMPTY, TYPE_CHARS, Slot

if TYPE_CHECKING:
    from bpfbench.verifier.state import State

MAP_LOOKUP: Final = 1
Place = tuple[int, int, int]            # (frame, register, -1) or (frame, -1, slot)


@final
class Step:
    """One processed instruction of a path, with what was true before it (of the frame being executed)."""

    __slots__ = ("number", "pc", "depth", "regs", "stack", "speculative", "before")

    def __init__(self, number: int, pc: int, depth: int, regs: list[RegState], stack: list[Slot], speculative: bool,
                 before: Step | None) -> None:
        self.number = number
        self.pc = pc
        self.depth = depth
        self.regs = regs
        self.stack = stack
        self.speculative = speculative
        self.before = before

    def __repr__(self) -> str:
        return f"<step {self.number}: insn {self.pc}>"


@final
class Route(Observer):
    """Keeps the chain of steps of the path being walked."""

    def __init__(self) -> None:
        self.head: Step | None = None
        self.refs: list[tuple[int, int]] = []           # resources held at the refusal: (id, instruction)
        self._aside: dict[int, tuple[State, Step | None]] = {}

    def visit(self, step: int, pc: int, state: State) -> None:
        frame = state.frames[-1]
        before = self.head
        stack = frame.stack
        if before is not None and before.depth == frame.number and before.stack == stack:
            stack = before.stack
        else:
            stack = stack[:]
        self.head = Step(step, pc, len(state.frames) - 1, frame.regs[:], stack, state.speculative, before)

    def fork(self, step: int, pc: int, target: int, state: State, speculative: bool) -> None:
        self._aside[id(state)] = (state, self.head)

    def resume(self, step: int, pc: int, prev: int, state: State) -> None:
        self.head = self._aside.pop(id(state), (state, None))[1]

    def end(self, step: int, pc: int, state: State) -> None:
        self.head = None

    def reject(self, step: int, pc: int, message: str, state: State | None) -> None:
        if state is not None:
            self.refs = [(ref.id, ref.insn) for ref in state.refs]

    @property
    def steps(self) -> list[Step]:
        """The chain, oldest first."""
        out: list[Step] = []
        at = self.head
        while at is not None:
            out.append(at)
            at = at.before
        out.reverse()
        return out


def value_text(r: RegState, depth: int = 0) -> str:
    if r.kind == rs.NOT_INIT:
        return "not shown" if r.struct else "not initialised"
    return register_text(r, depth)


def slot_text(slot: Slot) -> str:
    if slot.spilled and slot.reg.kind != rs.NOT_INIT:
        return value_text(slot.reg)
    return "".join(TYPE_CHARS[t] for t in slot.types)


def slot_at(steps: Step, base: int, off: int) -> tuple[int, int] | None:
    """The (frame, slot) that `*(base + off)` lies in, when that is one known stack slot."""
    r = steps.regs[base]
    if r.kind != rs.STACK or r.scalar.m:
        return None
    at = r.off + s64(r.scalar.v) + off
    return (r.frame, (-at - 1) // 8) if -512 <= at < 0 else None


@final
class Kept:
    """A step that matters, and why: `note` in words, `value` of the place it concerns after it."""

    __slots__ = ("step", "note")

    def __init__(self, step: Step, note: str) -> None:
        self.step = step
        self.note = note


def relevant(steps: list[Step], insns: list[Instruction | None], wanted: set[Place]) -> list[Kept]:
    """The steps before the last one from which the wanted places have their values, oldest first."""
    kept: list[Kept] = []
    wanted = set(wanted)
    for i in range(len(steps) - 2, -1, -1):
        if not wanted:
            break
        step, after = steps[i], steps[i + 1]
        insn = insns[step.pc] if 0 <= step.pc < len(insns) else None
        if insn is None:
            continue
        if after.depth > step.depth:
            note = _entered(step, after, insn, wanted)
        elif after.depth < step.depth:
            note = _left(step, after, wanted)
        elif insn.kind in (ops.JMP, ops.JMP32, ops.MAY_GOTO):
            note = _decided(step, after, insn, wanted)
        else:
            note = _wrote(step, after, insn, wanted)
        if note:
            kept.append(Kept(step, note))
    kept.reverse()
    return kept


def _entered(step: Step, after: Step, insn: Instruction, wanted: set[Place]) -> str:
    """A call: what is wanted of the callee's arguments is wanted of the caller's."""
    notes: list[str] = []
    for place in [p for p in wanted if p[0] == after.depth]:
        wanted.discard(place)
        _, r, _ = place
        if 1 <= r <= 5:
            notes.append(f"r{r} is handed to the function: {value_text(after.regs[r], after.depth)}")
            if insn.kind == ops.CALL_LOCAL:
                wanted.add((step.depth, r, -1))
    return "; ".join(notes)


def _left(step: Step, after: Step, wanted: set[Place]) -> str:
    """A return: the caller's r0 is the callee's."""
    for r in range(1, 6):
        wanted.discard((after.depth, r, -1)) if after.regs[r].kind == rs.NOT_INIT else None
    if (after.depth, 0, -1) not in wanted:
        return ""
    wanted.discard((after.depth, 0, -1))
    wanted.add((step.depth, 0, -1))
    return f"returns r0 = {value_text(after.regs[0], after.depth)}"


def _decided(step: Step, after: Step, insn: Instruction, wanted: set[Place]) -> str:
    """A conditional jump matters when it taught something about what is wanted."""
    learnt: list[str] = []
    for frame, r, slot in sorted(wanted):
        if frame != step.depth:
            continue
        if r >= 0:
            old, new = value_text(step.regs[r], frame), value_text(after.regs[r], frame)
            name = f"r{r}"
        else:
            if slot >= len(step.stack) or slot >= len(after.stack):
                continue
            old, new = slot_text(step.stack[slot]), slot_text(after.stack[slot])
            name = f"fp-{8 * slot + 8}"
        if old != new:
            learnt.append(f"{name} becomes {new}")
    if not learnt:
        return ""
    if insn.kind != ops.MAY_GOTO and not insn.op.imm:
        for r in (insn.dst, insn.src):
            if step.regs[r].kind & rs.BASE in (rs.SCALAR, rs.PACKET, rs.PACKET_META):
                wanted.add((step.depth, r, -1))
    return f"{'taken' if after.pc != step.pc + 1 else 'not taken'}: " + ", ".join(learnt)


def _wrote(step: Step, after: Step, insn: Instruction, wanted: set[Place]) -> str:
    notes: list[str] = []
    depth = step.depth
    sources: set[Place] = set()
    for r in range(10):
        if (depth, r, -1) not in wanted:
            continue
        old, new = step.regs[r], after.regs[r]
        if insn.writes >> r & 1:
            if insn.is_call and 1 <= r <= 5:
                if new.kind == rs.NOT_INIT and old.kind != rs.NOT_INIT:
                    notes.append(f"the call destroys r1 to r5; r{r} was {value_text(old, depth)}")
                    wanted.discard((depth, r, -1))
                continue
            notes.append(f"r{r} = {value_text(new, depth)}")
            wanted.discard((depth, r, -1))
            sources |= _sources(step, insn, r)
        elif new is not old and value_text(old, depth) != value_text(new, depth):
            notes.append(f"r{r} becomes {value_text(new, depth)}")
    notes.extend(_stored(step, after, insn, wanted))
    wanted |= sources
    return "; ".join(notes)


def _sources(step: Step, insn: Instruction, r: int) -> set[Place]:
    """What the value that `insn` gives register `r` is made of."""
    depth = step.depth
    k = insn.kind
    if k in (ops.ALU64, ops.ALU32, ops.MOVSX, ops.END, ops.ADDR_CAST, ops.LD_IND):
        reads = insn.reads & ~(1 << 6) if k == ops.LD_IND else insn.reads
        return {(depth, n, -1) for n in range(10) if reads >> n & 1}
    if k in (ops.LDX, ops.LDXS, ops.LOAD_ACQ):
        place = slot_at(step, insn.src, insn.off)
        if place is not None:
            return {(place[0], -1, place[1])}
        return {(depth, insn.src, -1)} if step.regs[insn.src].kind == rs.STACK and insn.src != 10 else set()
    if k == ops.ATOMIC:
        place = slot_at(step, insn.dst, insn.off)
        return {(place[0], -1, place[1])} if place is not None else set()
    if k == ops.CALL and insn.imm == MAP_LOOKUP:
        return {(depth, 1, -1)}
    return set()


def _stored(step: Step, after: Step, insn: Instruction, wanted: set[Place]) -> list[str]:
    """Wanted stack slots that the instruction changed."""
    notes: list[str] = []
    target = slot_at(step, insn.dst, insn.off) if insn.kind in (ops.ST, ops.STX, ops.STORE_REL, ops.ATOMIC) else None
    for place in sorted(wanted):
        frame, r, slot = place
        if r >= 0:
            continue
        name = f"fp-{8 * slot + 8}" + (f" of frame {frame}" if frame != step.depth else "")
        if target == (frame, slot):
            new = after.stack[slot] if frame == after.depth and slot < len(after.stack) else None
            notes.append(f"{name} = {slot_text(new)}" if new is not None else f"writes {name}")
            if insn.op.size == 8 or (new is not None and new.spilled):
                wanted.discard(place)
            if insn.kind in (ops.STX, ops.STORE_REL):
                wanted.add((step.depth, insn.src, -1))
        elif frame == step.depth == after.depth:
            old = step.stack[slot] if slot < len(step.stack) else EMPTY
            new = after.stack[slot] if slot < len(after.stack) else EMPTY
            if old is not new and slot_text(old) != slot_text(new):
                notes.append(f"{name} becomes {slot_text(new)}")
    return notes


# Register history ----------------------------------------------------------------------------------------------------


def history(steps: list[Step], insns: list[Instruction | None], r: int, most: int = 12) -> list[tuple[int, str]]:
    """(pc, value after it) of every instruction on the path that gave the last frame's register another value."""
    if not steps:
        return []
    out: list[tuple[int, str]] = []
    depth = steps[-1].depth
    shown = ""
    inside = True
    for i, step in enumerate(steps):
        if step.depth < depth:
            out.clear()                         # the frame is left, or not entered yet
            shown = ""
        if step.depth != depth:
            inside = False
            continue
        text = value_text(step.regs[r], depth)
        if text != shown and (out or step.regs[r] is not UNINIT):
            out.append((steps[i - 1].pc if i and inside else -1, text))
        shown = text
        inside = True
    return out[-most:]


def untaken_writers(steps: list[Step], insns: list[Instruction | None], r: int) -> list[Kept]:
    """Why a register was never written: the branches of the path that went past an instruction that writes it."""
    kept: list[Kept] = []
    if not steps:
        return kept
    depth = steps[-1].depth
    visited = {s.pc for s in steps if s.depth == depth}
    writers = [pc for pc, insn in enumerate(insns) if insn is not None and insn.writes >> r & 1 and not insn.is_call
               and pc not in visited]
    for i in range(len(steps) - 1):
        step, after = steps[i], steps[i + 1]
        insn = insns[step.pc] if step.pc < len(insns) else None
        if insn is None or step.depth != depth or insn.kind not in (ops.JMP, ops.JMP32):
            continue
        other = step.pc + 1 + insn.off if after.pc == step.pc + 1 else step.pc + 1
        missed = _reaches(insns, other, writers, visited)
        if missed:
            way = "taken" if after.pc != step.pc + 1 else "not taken"
            there = ", ".join(str(pc) for pc in missed[:4])
            kept.append(Kept(step, f"{way}: the other way passes instruction {there}, which writes r{r}"))
    return kept[-6:]


def _reaches(insns: list[Instruction | None], start: int, writers: list[int], joined: set[int]) -> list[int]:
    """Writers that can be reached from `start` before the two ways join again."""
    found: list[int] = []
    seen: set[int] = set()
    todo = [start]
    while todo and len(seen) < 2000:
        pc = todo.pop()
        if pc in seen or not 0 <= pc < len(insns) or pc in joined:
            continue
        seen.add(pc)
        insn = insns[pc]
        if insn is None:
            todo.append(pc + 1)
            continue
        if pc in writers:
            found.append(pc)
        if insn.is_jump:
            todo.append(pc + 1 + insn.jump)
        if insn.falls_through:
            todo.append(pc + 1)
    return sorted(found)
