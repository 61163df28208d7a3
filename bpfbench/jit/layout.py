"""How a generated function lays out its stack frame, as data.

While a target emits its prologue it says what each step does to the frame: where the caller's stack pointer (the
*canonical frame address*, CFA) is, and which register was saved where.  The steps are exactly what DWARF call frame
information states, so an unwinder, a debugger and the notebook's picture of the stack read the same list.

    addr   what
      12   cfa   rsp + 16
      12   saved rbp at cfa - 16
      15   cfa   rbp + 16

Source: DWARF 5, section 6.4; slide 36 ("prepare stack pointer, do callee-saved").
"""

from __future__ import annotations

from typing import final


@final
class Step:
    """From byte `addr` of the function on: `what` is "cfa" (the CFA is `register` + `offset`), "saved" (`register` is
    at CFA + `offset`) or "restored"."""

    __slots__ = ("addr", "what", "register", "offset")

    def __init__(self, addr: int, what: str, register: str, offset: int) -> None:
        self.addr = addr
        self.what = what
        self.register = register
        self.offset = offset

    def __repr__(self) -> str:
        return f"Step({self.addr:#x}, {self.what} {self.register}{self.offset:+d})"

    def to_json(self) -> dict[str, object]:
        return {"addr": self.addr, "what": self.what, "register": self.register, "offset": self.offset}


@final
class Layout:
    """The frame of one function: its `steps`, the size of the BPF stack, and where the BPF frame pointer points.

    `frame_pointer` is the machine register that holds r10, or "" where r10 is kept in memory.
    """

    __slots__ = ("machine", "steps", "stack_size", "frame_pointer", "slots")

    def __init__(self, machine: str, frame_pointer: str) -> None:
        self.machine = machine
        self.steps: list[Step] = []
        self.stack_size = 0
        self.frame_pointer = frame_pointer
        self.slots: list[tuple[str, int, int]] = []     # (what, offset from CFA, bytes)

    def cfa(self, addr: int, register: str, offset: int) -> None:
        self.steps.append(Step(addr, "cfa", register, offset))

    def saved(self, addr: int, register: str, offset: int) -> None:
        self.steps.append(Step(addr, "saved", register, offset))

    def restored(self, addr: int, register: str) -> None:
        self.steps.append(Step(addr, "restored", register, 0))

    def slot(self, what: str, offset: int, size: int) -> None:
        """Name `size` bytes of the frame at CFA + `offset` (BPF stack, scratch, tail-call counter)."""
        self.slots.append((what, offset, size))

    def to_json(self) -> dict[str, object]:
        return {
            "machine": self.machine, "frame_pointer": self.frame_pointer, "stack_size": self.stack_size,
            "steps": [s.to_json() for s in self.steps], "slots": [list(s) for s in self.slots],
        }  # fmt: skip

    def __repr__(self) -> str:
        return f"Layout({self.machine}, {self.stack_size} bytes of stack, {len(self.steps)} steps)"
