"""What a program can do wrong while it runs.

A `Trap` is a value: the program's fault, not ours (the WebAssembly reference interpreter makes the same distinction
between Trap and Crash).  Inside the interpreter a fault travels as the exception `ProgramFault` up to the run loop,
which knows the instruction and turns it into the `Trap` of the `Result`.
"""

from __future__ import annotations

from typing import final

# kind          what happened
TRAP_KINDS = {
    "memory":      "a load, store or helper argument outside every region, or beyond the bounds of one",
    "read-only":   "a write into memory the program may only read",
    "context":     "a context access that does not meet a field",
    "opcode":      "an instruction that does not exist or is not encoded properly",
    "jump":        "control left the program, or reached the second half of a wide instruction",
    "call":        "a helper, function or kernel function that is not there, or too deep a call",
    "budget":      "the instruction budget ran out",
    "helper":      "a helper was given an argument that no verified program can give it",
}  # fmt: skip


@final
class Trap:
    """The program's fault: which `kind`, at which `pc` (slot), in which `region` at which `offset` (bytes).

    The offset of a packet counts from its data, of a stack frame from its top (so it is negative in bounds).

    >>> print(Trap("memory", "read of 8 bytes", pc=3, region="stack", offset=-520))
    insn 3: read of 8 bytes at stack-520: outside memory
    """

    __slots__ = ("kind", "message", "pc", "region", "offset", "insn")

    def __init__(
        self, kind: str, message: str, pc: int = -1, region: str = "", offset: int = 0, insn: str = ""
    ) -> None:
        self.kind = kind
        self.message = message
        self.pc = pc
        self.region = region
        self.offset = offset
        self.insn = insn

    def __str__(self) -> str:
        text = f"insn {self.pc}" + (f" ({self.insn})" if self.insn else "") + f": {self.message}"
        if self.region:
            text += f" at {self.region}{self.offset:+d}"
        return text + _ENDINGS.get(self.kind, "")

    def __repr__(self) -> str:
        return f"Trap({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        """How a trap travels between processes, also when this module is compiled."""
        return Trap, (self.kind, self.message, self.pc, self.region, self.offset, self.insn)

    def to_json(self) -> dict[str, object]:
        return {
            "kind": self.kind, "message": self.message, "pc": self.pc, "region": self.region, "offset": self.offset,
            "insn": self.insn,
        }  # fmt: skip


_ENDINGS = {"memory": ": outside memory", "read-only": ": read-only memory"}


class ProgramFault(Exception):
    """A fault on its way to the run loop, which adds the instruction."""

    def __init__(self, kind: str, message: str, region: str = "", offset: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.region = region
        self.offset = offset

    def at(self, pc: int, insn: str) -> Trap:
        """The trap this fault is at instruction `pc`."""
        return Trap(self.kind, self.message, pc, self.region, self.offset, insn)
