"""What one context of the NFP micro-engine holds, and what it must not do with it.

    gprA_n  gprB_n     two banks of 32, distinct          $xfer_n   64 in (memory -> engine) and 64 out (engine -> memory)
    *l$indexN          local memory through 4 pointers    N Z V C   condition codes
    PREV_A, PREV_RES   first operand and result of the instruction before, for indirect shifts, asr and length overrides

A value that the machine leaves undefined is *poison* (None here): to read it raises `Hazard` with the instruction's number
and text.  So does a local-memory pointer that was written fewer than four cycles ago.

Sources: fact sheets of the driver (nfp_asm.h, bpf/jit.c); Intel IXP2800 Hardware Reference Manual for the pipeline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, final

from bpfbench.errors import Hazard, MachineError, Where
from bpfbench.machine.nfp_text import disassemble

U32: Final = 0xFFFFFFFF
BANK: Final = 32                # registers of one bank, with four contexts
TRANSFER: Final = 64            # transfer registers of one direction
LOCAL_WORDS: Final = 1024       # local memory, shared by the contexts
POINTER_LATENCY: Final = 4      # a pointer written in cycle n is used from cycle n + 4 on
CONTEXTS: Final = 4


class Bus(Protocol):
    """The memory behind the commands; addresses have 40 bits.  `latency` is in cycles."""

    def read(self, address: int, size: int) -> bytes: ...

    def write(self, address: int, content: bytes) -> None: ...

    def latency(self, address: int, size: int) -> int: ...


def constant_random() -> int:
    """PseudoRndNum of an engine to which nobody gave a generator."""
    return 0x2545F491


@final
class Context:
    """One of the four threads of an engine.

    `pc`     number of the instruction being executed       `cycle`  its clock        `ready`  cycle in which it can go on
    `branch` target of a branch whose slots are running (-1 falls through), `slots` how many are left, None: no branch
    `swap`   slots before the pending command's data phase, None: no command
    `dead`   cycles lost to fetching after taken branches and swaps;  `executed` instructions;  `waited` cycles
    """

    __slots__ = (
        "number", "code", "a", "b", "xin", "xout", "local", "pointers", "written", "due", "n", "z", "v", "c", "prev_a",
        "prev_res", "csr_read", "product", "step", "pc", "cycle", "ready", "branch", "slots", "bubbles", "swap",
        "command", "dead", "executed", "waited", "ended", "signals", "flying", "touched", "csrs", "random", "bus", "result",
    )  # fmt: skip

    def __init__(self, number: int, local: list[int], code: list[int], bus: Bus) -> None:
        self.number = number
        self.code = code                            # the code store, -1 where nothing was loaded
        self.bus = bus
        self.a: list[int] = [0] * BANK
        self.b: list[int] = [0] * BANK
        self.xin: list[int] = [0] * TRANSFER
        self.xout: list[int] = [0] * TRANSFER
        self.local = local
        self.pointers = [0] * 4                     # byte addresses in local memory
        self.written = [0] * 4                      # what a pending write will make them
        self.due = [0] * 4                          # the cycle from which on it does, 0: nothing pending
        self.n: int | None = None
        self.z: int | None = None
        self.v: int | None = None
        self.c: int | None = None
        self.prev_a: int | None = None
        self.prev_res: int | None = None
        self.csr_read: int | None = None            # waits for the next instruction
        self.product: tuple[int, int, int] | None = None    # type and operands of a multiplication
        self.step = 0                               # the multiplication step that has to come next
        self.pc = 0
        self.cycle = 0
        self.ready = 0
        self.branch: int | None = None
        self.slots = 0
        self.bubbles = 0
        self.swap: int | None = None
        self.command: Callable[[Context], int] | None = None    # its data phase; returns the cycles it takes
        self.dead = 0
        self.executed = 0
        self.waited = 0
        self.ended = False
        self.signals: dict[int, int] = {}           # signal -> cycle in which it arrives
        self.flying: dict[int, int] = {}            # transfer-in register -> signal to wait for
        self.touched: tuple[str, int, bytes] | None = None      # (read, write or add; address; bytes) of the last command
        self.result: int | None = None              # R0 where the program ended, for whoever wants to see it
        self.csrs: dict[int, int] = {}              # registers that only remember
        self.random: Callable[[], int] = constant_random        # PseudoRndNum

    # ------------------------------------------------------------------------------------------------------- hazards
    @property
    def text(self) -> str:
        """The instruction being executed."""
        if not 0 <= self.pc < len(self.code) or self.code[self.pc] < 0:
            return "no instruction"
        try:
            return disassemble(self.code[self.pc])
        except MachineError:
            return f"{self.code[self.pc]:#015x}"

    def hazard(self, rule: str, message: str) -> Hazard:
        """The error for what the current instruction does."""
        return Hazard(rule, f"NFP instruction {self.pc}, {self.text}: {message}", Where(pc=self.pc), cycle=self.cycle)

    def clear_codes(self) -> None:
        """Nobody may test the condition codes now."""
        self.n = self.z = self.v = self.c = None

    def transfer_in(self, number: int) -> int:
        if self.flying and number in self.flying:
            raise self.hazard("in flight", f"$xfer_{number} has not arrived; signal {self.flying[number]} tells when")
        return self.xin[number]

    # -------------------------------------------------------------------------------------------------- local memory
    def pointer(self, number: int) -> int:
        """Byte address in a pointer; Hazard while a write of it is under way."""
        if self.due[number]:
            self.settle(number)
        return self.pointers[number]

    def settle(self, number: int) -> None:
        left = self.due[number] - self.cycle
        if left > 0:
            raise self.hazard("pointer latency", f"local memory through pointer {number}, which was written "
                              f"{POINTER_LATENCY - left} cycle(s) ago and needs {POINTER_LATENCY}")  # fmt: skip
        self.pointers[number] = self.written[number]
        self.due[number] = 0

    def set_pointer(self, number: int, value: int) -> None:
        """A write that becomes visible later; the low two bits are dropped."""
        if self.due[number] and self.due[number] <= self.cycle:
            self.settle(number)
        self.written[number] = value & ~3 & U32
        self.due[number] = self.cycle + POINTER_LATENCY

    def word_at(self, number: int, offset: int) -> int:
        """Index in local memory of `*l$index{number}[offset]`: the offset is ORed in, not added."""
        at = self.pointer(number) >> 2 | offset
        if at >= len(self.local):
            raise self.hazard("local memory", f"byte {at << 2:#x} is beyond local memory")
        return at

    def point(self, number: int, address: int) -> None:
        """Set a pointer at once (what firmware has done before)."""
        self.pointers[number], self.due[number] = address, 0
