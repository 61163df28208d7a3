"""One eBPF instruction as a value.

An `Instruction` is an operation (a row of `isa/ops.py`) with its operands.  Two instructions are equal when they encode
to the same bytes; where a program says more about one (label, source line, relocation), the program keeps it.

>>> from bpfbench.isa.ops import OP
>>> Instruction(OP["ADD64_K"], dst=1, imm=8)
<r1 += 8>
"""

from __future__ import annotations

from typing import final

from bpfbench.isa import ops
from bpfbench.isa.ops import Op

CALLER_SAVED = 0b111111      # r0-r5
ARGUMENTS = 0b111110         # r1-r5


@final
class Instruction:
    """An operation and its operands.

    `dst`, `src`  register numbers 0..10
    `off`         s16: memory displacement, or jump distance in slots counted from the next instruction
    `imm`         s32; u64 for a wide load of a constant; for the other wide loads the first slot's s32
    `imm2`        s32, the second slot's immediate of a wide load other than LDDW (offset into a map value)
    `flaw`        "" or what is wrong with the encoding; then the fields hold the wire values and `op` is the best fit
    """

    __slots__ = ("op", "dst", "src", "off", "imm", "imm2", "flaw", "kind")

    def __init__(
        self, op: Op, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0, imm2: int = 0, flaw: str = ""
    ) -> None:
        self.op = op
        self.kind = op.kind
        self.dst = dst
        self.src = src
        self.off = off
        self.imm = imm
        self.imm2 = imm2
        self.flaw = flaw

    def __reduce__(self) -> tuple[object, ...]:
        """How an instruction travels between processes, also when this module is compiled."""
        return Instruction, (self.op, self.dst, self.src, self.off, self.imm, self.imm2, self.flaw)

    @property
    def code(self) -> int:
        return self.op.code

    @property
    def slots(self) -> int:
        """1, or 2 for a (well-formed) wide load."""
        return 2 if self.op.wide and not self.flaw else 1

    @property
    def jump(self) -> int:
        """Jump distance in slots, from the next instruction; 0 where it does not jump."""
        k = self.kind
        if k == ops.JA:
            return self.imm if self.op.fn else self.off
        return self.off if k in (ops.JMP, ops.JMP32, ops.MAY_GOTO) else 0

    @property
    def is_jump(self) -> bool:
        """Does it name a jump target in the same function?"""
        return self.kind in (ops.JMP, ops.JMP32, ops.JA, ops.MAY_GOTO)

    @property
    def is_conditional(self) -> bool:
        return self.kind in (ops.JMP, ops.JMP32, ops.MAY_GOTO)

    @property
    def is_call(self) -> bool:
        return self.kind in (ops.CALL, ops.CALL_LOCAL, ops.CALL_KFUNC, ops.CALLX)

    @property
    def falls_through(self) -> bool:
        """Can control reach the next instruction?"""
        return self.kind not in (ops.JA, ops.EXIT, ops.GOTOX)

    @property
    def reads(self) -> int:
        """Registers read, as a bit mask (bit n = rn); a call reads r1-r5, whatever the callee takes."""
        k, d, s = self.kind, 1 << self.dst, 1 << self.src
        if k in (ops.ALU64, ops.ALU32):
            own = 0 if self.op.fn == ops.MOV else d
            return own if self.op.imm or self.op.fn == ops.NEG else own | s
        if k in (ops.JMP, ops.JMP32):
            return d if self.op.imm else d | s
        if k in (ops.MOVSX, ops.ADDR_CAST, ops.PERCPU, ops.ZEXT32, ops.LDX, ops.LDXS, ops.LOAD_ACQ):
            return s
        if k in (ops.END, ops.ST, ops.GOTOX):
            return d
        if k in (ops.STX, ops.STORE_REL, ops.ATOMIC):
            return d | s | (1 if k == ops.ATOMIC and self.op.fn == ops.CMPXCHG else 0)
        if k in (ops.CALL, ops.CALL_LOCAL, ops.CALL_KFUNC):
            return ARGUMENTS
        if k == ops.CALLX:
            return ARGUMENTS | d
        if k == ops.LD_ABS:
            return 1 << 6
        if k == ops.LD_IND:
            return 1 << 6 | s
        return 1 if k == ops.EXIT else 0

    @property
    def writes(self) -> int:
        """Registers written, as a bit mask; a call writes r0 and clobbers r1-r5."""
        k, d = self.kind, 1 << self.dst
        if k in (ops.ALU64, ops.ALU32, ops.MOVSX, ops.END, ops.ADDR_CAST, ops.PERCPU, ops.ZEXT32, ops.LDX, ops.LDXS,
                 ops.LOAD_ACQ, ops.LDDW):  # fmt: skip
            return d
        if k == ops.ATOMIC:
            if self.op.fn == ops.CMPXCHG:
                return 1
            return 1 << self.src if self.op.fn & 1 else 0
        if k in (ops.CALL, ops.CALL_LOCAL, ops.CALL_KFUNC, ops.CALLX, ops.LD_ABS, ops.LD_IND):
            return CALLER_SAVED
        return 0

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Instruction):
            return NotImplemented
        return (
            self.op is other.op and self.dst == other.dst and self.src == other.src and self.off == other.off
            and self.imm == other.imm and self.imm2 == other.imm2 and bool(self.flaw) == bool(other.flaw)
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash((self.op.id, self.dst, self.src, self.off, self.imm, self.imm2))

    def __repr__(self) -> str:
        from bpfbench.isa.text import format_insn

        return f"<{format_insn(self)}>"
