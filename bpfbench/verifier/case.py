"""One refusal, ready to be explained: the message, the instruction, what was known, the program around it.

A `Case` is made from a verification or from a kernel's log (logread.py); the reasons (reasons.py) ask it questions and
never care which of the two it was.  What is not known, because a log does not say it, is answered with words that say
so, never with a guess.
"""

from __future__ import annotations

import re
from typing import Final, final

from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn
from bpfbench.program.program import Program
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.route import Place, Step, slot_at, slot_text, value_text
from bpfbench.verifier.words import describe

_REGISTER: Final = re.compile(r"\bR(\d+)\b")


@final
class Case:
    """`steps` is the refused path, oldest first (empty when it was refused before any path was walked).

    `messages` are the kernel's, the last one is `message`; `pc` where it was refused or -1; `complete` says whether
    `program` is the whole program or only what a log showed of it.
    """

    __slots__ = ("program", "messages", "message", "pc", "errno", "steps", "refs", "version", "complete", "privileged")

    def __init__(self, program: Program, messages: list[str], pc: int, errno: str, steps: list[Step],
                 refs: list[tuple[int, int]], version: tuple[int, int], complete: bool, privileged: bool) -> None:
        self.program = program
        self.messages = messages
        self.message = messages[-1] if messages else ""
        self.pc = pc
        self.errno = errno
        self.steps = steps
        self.refs = refs
        self.version = version
        self.complete = complete
        self.privileged = privileged

    # The program ----------------------------------------------------------------------------------------------------

    @property
    def insn(self) -> Instruction | None:
        return self.insn_at(self.pc)

    def insn_at(self, pc: int) -> Instruction | None:
        insns = self.program.insns
        return insns[pc] if 0 <= pc < len(insns) else None

    def text(self, pc: int) -> str:
        insn = self.insn_at(pc)
        if insn is not None:
            return format_insn(insn) + (f" ({insn.flaw})" if insn.flaw else "")
        if 0 < pc < len(self.program.insns) and self.insn_at(pc - 1) is not None and self.complete:
            return "second half of the wide load before it"
        return ""

    def at(self, pc: int) -> str:
        text = self.text(pc)
        return f"instruction {pc}" + (f" (`{text}`)" if text else "")

    def bounds(self, pc: int) -> tuple[int, int]:
        """First instruction of the function that holds `pc`, and the one behind its last."""
        starts = {0}
        for at, insn in enumerate(self.program.insns):
            if insn is not None and (insn.kind == ops.CALL_LOCAL or insn.kind == ops.LDDW and insn.op.fn == ops.FUNC):
                starts.add(at + 1 + insn.imm)
        ordered = sorted(s for s in starts if 0 <= s < len(self.program.insns))
        first = max((s for s in ordered if s <= pc), default=0)
        return first, min((s for s in ordered if s > pc), default=len(self.program.insns))

    def functions(self) -> list[tuple[int, int]]:
        out: list[tuple[int, int]] = []
        at = 0
        while at < len(self.program.insns):
            first, end = self.bounds(at)
            out.append((first, end))
            at = end
        return out

    def find(self, test: object) -> int:
        """The first instruction for which `test(pc, insn)` holds, or -1."""
        assert callable(test)
        for pc, insn in enumerate(self.program.insns):
            if insn is not None and test(pc, insn):
                return pc
        return -1

    # What was known ---------------------------------------------------------------------------------------------------

    @property
    def last(self) -> Step | None:
        return self.steps[-1] if self.steps else None

    def reg(self, r: int) -> RegState | None:
        """The register before the refused instruction; None when that is not known."""
        last = self.last
        return last.regs[r] if last is not None and 0 <= r < len(last.regs) else None

    def is_(self, r: int) -> str:
        reg = self.reg(r)
        return describe(reg) if reg is not None else "something that the log does not show"

    def value(self, r: int) -> str:
        reg = self.reg(r)
        last = self.last
        return value_text(reg, last.depth) if reg is not None and last is not None else ""

    def stack(self, frame: int, slot: int) -> str:
        """The slot's content, in the kernel's notation; "" when unknown or in another frame."""
        last = self.last
        if last is None or frame != last.depth or not 0 <= slot < len(last.stack):
            return ""
        return slot_text(last.stack[slot])

    def base(self) -> int:
        """The register that the refused instruction goes through, or -1."""
        insn = self.insn
        if insn is None:
            return -1
        if insn.kind in (ops.LDX, ops.LDXS, ops.LOAD_ACQ):
            return insn.src
        if insn.kind in (ops.ST, ops.STX, ops.ATOMIC, ops.STORE_REL, ops.JMP, ops.JMP32, ops.ALU64, ops.ALU32):
            return insn.dst
        if insn.kind == ops.EXIT:
            return 0
        return 6 if insn.kind in (ops.LD_ABS, ops.LD_IND) else -1

    def helper(self) -> str:
        insn = self.insn
        if insn is None or insn.kind != ops.CALL:
            return "the call"
        name = helper_name(insn.imm)
        return f"bpf_{name}" if name else f"helper {insn.imm}"

    def named_registers(self) -> list[int]:
        """Registers that the kernel's messages name, in the last one first."""
        found: list[int] = []
        for message in reversed(self.messages):
            for number in _REGISTER.findall(message):
                if int(number) <= 10 and int(number) not in found:
                    found.append(int(number))
        return found

    def subjects(self) -> list[int]:
        """The registers that the refusal is about: those the message names, else those the instruction reads."""
        named = self.named_registers()
        insn = self.insn
        if insn is None:
            return named
        if insn.kind in (ops.ALU64, ops.ALU32) and "pointer" in self.message and not insn.op.imm:
            for r in (insn.dst, insn.src):
                if r not in named:
                    named.append(r)
        if named:
            return named
        if insn.is_call:
            return [r for r in range(1, 6) if (reg := self.reg(r)) is not None and reg.kind != rs.NOT_INIT]
        return [r for r in range(11) if insn.reads >> r & 1]

    def places(self, registers: list[int]) -> set[Place]:
        """What a slice begins with: the registers, and the stack slot that a load or a helper's argument reads."""
        last = self.last
        if last is None:
            return set()
        out: set[Place] = {(last.depth, r, -1) for r in registers if r < 10}
        insn = self.insn
        if insn is None:
            return out
        if insn.kind in (ops.LDX, ops.LDXS, ops.ST, ops.STX, ops.ATOMIC) and "stack" in self.message:
            place = slot_at(last, insn.src if insn.kind in (ops.LDX, ops.LDXS) else insn.dst, insn.off)
            if place is not None:
                out.add((place[0], -1, place[1]))
        return out
