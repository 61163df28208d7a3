"""Programs written in Python, reading like assembly.

>>> b = Builder()
>>> b = b.mov(0, 0).label("again").alu("+=", 0, 1).jump("<", 0, 10, "again").exit()
>>> b.insns()
[<r0 = 0>, <r0 += 1>, <if r0 < 0xa goto pc-2>, <exit>]

Registers are numbers 0..10; an operand that is `R(n)` is a register, an `int` an immediate.  Labels may be used before
they are defined.  For random programs and for tests that compute their instructions; text is better for all others.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.errors import EncodeError, Where
from bpfbench.isa.helpers import helper_id
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import _ALU, _JMP, OP

_ALU_BY_SIGN: Final = {row[4]: row[0] for row in _ALU}
_JMP_BY_SIGN: Final = {row[3]: row[0] for row in _JMP}
_SUFFIX: Final = {1: "B", 2: "H", 4: "W", 8: "DW"}


@final
class R:
    """A register as second operand."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"r{self.number}"


Operand = R | int


@final
class Builder:
    """Collects instructions; every method returns the builder."""

    __slots__ = ("_insns", "_labels", "_uses")

    def __init__(self) -> None:
        self._insns: list[Instruction | None] = []
        self._labels: dict[str, int] = {}
        self._uses: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._insns)

    def emit(self, name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0, imm2: int = 0) -> Builder:
        """Any operation by the name of its row in the op table."""
        if name not in OP:
            raise EncodeError(f"there is no operation '{name}'", Where(pc=len(self._insns)))
        insn = Instruction(OP[name], dst, src, off, imm, imm2)
        self._insns.append(insn)
        if insn.slots == 2:
            self._insns.append(None)
        return self

    def label(self, name: str) -> Builder:
        self._labels[name] = len(self._insns)
        return self

    def mov(self, dst: int, operand: Operand, bits: int = 64) -> Builder:
        return self.alu("=", dst, operand, bits)

    def alu(self, sign: str, dst: int, operand: Operand, bits: int = 64) -> Builder:
        """`dst sign operand`, sign as in assembly: "+=", "s>>=", "s/=", "=" …"""
        name = _ALU_BY_SIGN.get(sign)
        if name is None:
            raise EncodeError(f"there is no arithmetic operation '{sign}'", Where(pc=len(self._insns)))
        if isinstance(operand, R):
            return self.emit(f"{name}{bits}_X", dst, operand.number)
        return self.emit(f"{name}{bits}_K", dst, imm=operand)

    def jump(self, sign: str, dst: int, operand: Operand, target: str, bits: int = 64) -> Builder:
        """`if dst sign operand goto target`."""
        name = _JMP_BY_SIGN.get(sign)
        if name is None:
            raise EncodeError(f"there is no comparison '{sign}'", Where(pc=len(self._insns)))
        self._uses.append((len(self._insns), target))
        name += "" if bits == 64 else "32"
        if isinstance(operand, R):
            return self.emit(f"{name}_X", dst, operand.number)
        return self.emit(f"{name}_K", dst, imm=operand)

    def goto(self, target: str) -> Builder:
        self._uses.append((len(self._insns), target))
        return self.emit("JA")

    def load(self, size: int, dst: int, base: int, off: int = 0, signed: bool = False) -> Builder:
        """`dst = *(size *)(base + off)`, size in bytes."""
        return self.emit(f"LDX{'S' if signed else ''}{_SUFFIX[size]}", dst, base, off)

    def store(self, size: int, base: int, off: int, operand: Operand) -> Builder:
        """`*(size *)(base + off) = operand`."""
        if isinstance(operand, R):
            return self.emit(f"STX{_SUFFIX[size]}", base, operand.number, off)
        return self.emit(f"ST{_SUFFIX[size]}", base, off=off, imm=operand)

    def atomic(self, name: str, size: int, base: int, off: int, src: int) -> Builder:
        """`name` is ADD OR AND XOR FETCH_ADD … XCHG CMPXCHG; size 4 or 8."""
        return self.emit(f"{name}_{_SUFFIX[size]}", base, src, off)

    def constant(self, dst: int, value: int) -> Builder:
        """A 64-bit constant by the wide load."""
        return self.emit("LDDW", dst, imm=value & 0xFFFF_FFFF_FFFF_FFFF)

    def map(self, dst: int, index: int) -> Builder:
        """The map with that index in the program's map table."""
        return self.emit("LDDW_MAP_FD", dst, imm=index)

    def call(self, helper: str | int) -> Builder:
        number = helper if isinstance(helper, int) else helper_id(helper)
        if not number:
            raise EncodeError(f"there is no helper '{helper}'", Where(pc=len(self._insns)))
        return self.emit("CALL", imm=number)

    def call_local(self, target: str) -> Builder:
        self._uses.append((len(self._insns), target))
        return self.emit("CALL_LOCAL")

    def exit(self) -> Builder:
        return self.emit("EXIT")

    def insns(self) -> list[Instruction | None]:
        """The finished slots; raises `EncodeError` for a label that was never defined."""
        out = list(self._insns)
        for pc, name in self._uses:
            if name not in self._labels:
                raise EncodeError(f"label '{name}' is not defined", Where(pc=pc))
            insn = out[pc]
            assert insn is not None
            distance = self._labels[name] - pc - 1
            if insn.is_jump and insn.op.name != "JA32":
                out[pc] = Instruction(insn.op, insn.dst, insn.src, distance, insn.imm)
            else:
                out[pc] = Instruction(insn.op, insn.dst, insn.src, 0, distance)
        return out
