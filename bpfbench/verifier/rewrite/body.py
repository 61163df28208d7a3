"""The program while it is being rewritten: lines that know each other, not numbers.

Inserting or removing an instruction moves every later one, and with them every jump distance.  Here a jump points at
the line it goes to, so that passes can patch freely; `lower` counts the slots again and writes the distances.

        lines                                    slots after lower()
    0   if r1 == 0 --target--> line 3            if r1 == 0 goto +4
    1   r0 = bpf_x()     patched to 2 lines      r0 = …
    2   …                                        r0 = …

A line put in place of another takes over its incoming jumps, as `bpf_patch_insn_data` does; where a line is removed
they go to the next one.  Symbols stand for what only a running kernel knows: addresses of helpers, maps and variables.

Source: kernel/bpf/core.c (`bpf_patch_insn_single`, `bpf_adj_branches`), kernel/bpf/verifier.c
(`verifier_remove_insns`).
"""

from __future__ import annotations

import struct
from functools import cache
from typing import TYPE_CHECKING, final

from bpfbench.errors import NotSupported
from bpfbench.isa import ops
from bpfbench.isa.codec import decode
from bpfbench.isa.insn import Instruction

if TYPE_CHECKING:
    from bpfbench.verifier.rewrite.hints import Hint

CALL_LOCAL = ops.CALL_LOCAL


@final
class Line:
    """One instruction: `pc` in the original program (-1 for new ones), `hint` what the verifier knows of it.

    `target` is the line a jump or local call goes to, or whose address a wide load takes; `symbol` names an address in
    `imm`.
    """

    __slots__ = ("insn", "pc", "hint", "target", "symbol", "moved_to", "at", "function", "patched")

    def __init__(self, insn: Instruction, pc: int = -1, hint: Hint | None = None, symbol: str = "") -> None:
        self.insn = insn
        self.pc = pc
        self.hint = hint
        self.target: Line | None = None
        self.symbol = symbol
        self.moved_to: Line | None = None
        self.at = 0
        self.function = -1              # number of the function that begins here
        self.patched = False            # put in or moved by a pass

    def copy(self) -> Line:
        """The same instruction as another line, for a patch that does not begin with it."""
        twin = Line(self.insn, self.pc, self.hint, self.symbol)
        twin.target = self.target
        return twin

    def __repr__(self) -> str:
        return f"Line({self.insn})"


@cache
def op(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Instruction:
    """An instruction from its wire fields; jumps in a patch count their distance in lines of the patch.

    >>> op(0xB7, 0, 0, 0, 7)
    <r0 = 7>
    """
    raw = struct.pack("<BBhi", code, dst | src << 4, off, imm if imm < 1 << 31 else imm - (1 << 32))
    insn = decode(raw, strict=False, internal=True)[0]
    if insn is None:
        raise NotSupported(f"instruction {raw.hex()} in a rewritten program")
    return insn


@cache
def wide(dst: int, imm: int = 0) -> Instruction:
    """A wide load of a 64-bit constant."""
    raw = struct.pack("<BBhiBBhi", 0x18, dst, 0, _s32(imm), 0, 0, 0, _s32(imm >> 32))
    insn = decode(raw, strict=False, internal=True)[0]
    assert insn is not None
    return insn


def _s32(x: int) -> int:
    x &= 0xFFFFFFFF
    return x - (1 << 32) if x >> 31 else x


@final
class Body:
    """The lines of a program, in order; `functions` are the first lines of its functions."""

    __slots__ = ("lines", "hints")

    def __init__(self, insns: list[Instruction | None], hints: list[Hint], starts: list[int]) -> None:
        self.hints = hints
        by_pc: dict[int, Line] = {}
        self.lines: list[Line] = []
        for pc, insn in enumerate(insns):
            if insn is not None:
                line = by_pc[pc] = Line(insn, pc, hints[pc])
                self.lines.append(line)
        for pc, line in by_pc.items():
            to = _destination(line.insn, pc)
            line.target = by_pc.get(to) if to is not None else None
        for number, start in enumerate(starts):
            if start in by_pc:
                by_pc[start].function = number

    def rebuild(self, patches: dict[int, list[Line]]) -> None:
        """Many patches at once: index of the line -> what replaces it."""
        if not patches:
            return
        old, self.lines = self.lines, []
        for i, line in enumerate(old):
            new = patches.get(i)
            if new is None:
                self.lines.append(line)
                continue
            after = old[i + 1] if i + 1 < len(old) else None
            new = [line.copy() if new_line is line and at else new_line for at, new_line in enumerate(new)]
            _link(new, after)
            for new_line in new:
                new_line.patched = True
            if new[0] is not line:
                line.moved_to = new[0]
                new[0].function = max(line.function, new[0].function)
            self.lines += new
        self.forward()

    def remove(self, dead: set[int]) -> None:
        """Remove lines by index; jumps to them go to the next line that stays."""
        if not dead:
            return
        following: Line | None = None
        for i in range(len(self.lines) - 1, -1, -1):
            if i in dead:
                self.lines[i].moved_to = following
                if following is not None and self.lines[i].function >= 0 and following.function < 0:
                    following.function = self.lines[i].function
            else:
                following = self.lines[i]
        self.lines = [line for i, line in enumerate(self.lines) if i not in dead]
        self.forward()

    def forward(self) -> None:
        """Let jumps to replaced or removed lines go to what stands for them now."""
        moved: list[Line] = []
        for line in self.lines:
            to = line.target
            while to is not None and to.moved_to is not None:
                moved.append(to)
                to = to.moved_to
            line.target = to
        for line in moved:
            line.moved_to = None
        for line in self.lines:
            line.moved_to = None

    def number(self) -> int:
        """Give each line its slot number; returns the length in slots."""
        at = 0
        for line in self.lines:
            line.at = at
            at += line.insn.slots
        return at

    def lower(self) -> list[Instruction | None]:
        """The slots, with distances counted anew."""
        self.number()
        out: list[Instruction | None] = []
        for line in self.lines:
            insn = line.insn
            if line.target is not None:
                insn = _retarget(insn, line.target.at - line.at - 1)
            out.append(insn)
            if insn.slots == 2:
                out.append(None)
        return out

    def snapshot(self) -> list[tuple[int, str]]:
        """(slot, text) of every line, for before and after pictures."""
        from bpfbench.isa.text import format_insn

        self.number()
        return [(line.at, format_insn(insn) + (f"   ; {line.symbol}" if line.symbol else ""))
                for line, insn in zip(self.lines, (i for i in self.lower() if i is not None), strict=True)]


def _link(patch: list[Line], after: Line | None) -> None:
    """Turn distances inside a patch into targets."""
    for i, line in enumerate(patch):
        if line.target is None and line.pc < 0 and line.insn.is_jump:
            to = i + 1 + line.insn.jump
            line.target = patch[to] if 0 <= to < len(patch) else after


def _destination(insn: Instruction, pc: int) -> int | None:
    if insn.is_jump and not insn.flaw:
        return pc + 1 + insn.jump
    if insn.kind == ops.CALL_LOCAL or (insn.kind == ops.LDDW and insn.op.fn == 4):
        return pc + 1 + insn.imm
    return None


def _retarget(insn: Instruction, distance: int) -> Instruction:
    """The same jump or call over another distance."""
    far = insn.kind in (ops.CALL_LOCAL, ops.LDDW) or (insn.kind == ops.JA and insn.op.fn)
    if far:
        return Instruction(insn.op, insn.dst, insn.src, insn.off, distance, insn.imm2)
    return Instruction(insn.op, insn.dst, insn.src, distance, insn.imm, insn.imm2)
