"""Hello, JIT: the smallest just-in-time compiler, for every host machine, and what must not be allowed.

    hello = Hello(42)            # mov eax, 42; ret           the instructions, as rows
    hello.bytes                  # b8 2a 00 00 00 c3          what slide 7's program copies into memory
    hello.run()                  # 42                         and jumps to

The slides' program maps its page writable and executable at once.  `attempts` tries, each in a child process, what that
would allow and what write-xor-execute forbids: writing to code, executing data, running past the end.  A child that
dies is the expected answer, told as the signal that killed it.

Slides 7-12; mmap(2), mprotect(2).
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
from collections.abc import Callable
from typing import Any, Final, final

from bpfbench.bits import s32, sext
from bpfbench.errors import ExecuteError, UsageError
from bpfbench.execute.host_memory import PAGE
from bpfbench.execute.native import CodeMemory, host_target
from bpfbench.jit.targets import target_class, target_name
from bpfbench.listing import Listing, Row

Plan = list[tuple[str, tuple[int, ...]]]
ALWAYS: Final = 14              # the ARM condition "always"


def plan(target: str, value: int) -> Plan:
    """(row name, operands) of "return value" under the machine's procedure call standard; `value` is 32 bits."""
    low, high = value & 0xFFFF, value >> 16 & 0xFFFF
    if target == "x86_64":
        return [("mov_ri32", (0, value & 0xFFFF_FFFF)), ("ret", ())]
    if target == "aarch64":
        return [("movz32", (0, low)), ("movks32", (0, high, 16)), ("ret", ())]
    if target == "arm":
        return [("movw", (ALWAYS, 0, low)), ("movt", (ALWAYS, 0, high)), ("bx", (ALWAYS, 14))]
    if target == "mips64":
        return [("lui", (2, high)), ("ori", (2, 2, low)), ("jr", (31,)), ("nop", ())]
    if target == "ppc64":
        return [("lis", (3, sext(high, 16))), ("ori", (3, 3, low)), ("blr", ())]
    return [("lui", (10, (value + 0x800) >> 12 & 0xFFFFF)), ("addiw", (10, 10, sext(value, 12))), ("jalr", (0, 0, 1))]


def code(target: str, value: int) -> list[bytes]:
    """The plan as machine code: the bytes of each instruction.

    >>> [piece.hex() for piece in code("x86_64", 42)]
    ['b82a000000', 'c3']
    """
    machine = target_class(target).machine
    return [machine.row(name).encode(operands) for name, operands in plan(target, value)]


@final
class Hello:
    """Code that returns `value` (32 bits, signed) on `target`, by default this host.

    >>> print(Hello(42, "x86_64").listing())
    return 42 (x86_64):
       0:  b8 2a 00 00 00  mov eax, 0x2a
       5:  c3              ret
    """

    __slots__ = ("value", "target", "rows", "bytes")

    def __init__(self, value: int, target: str = "") -> None:
        if not -(1 << 31) <= value < 1 << 32:
            raise UsageError(f"{value} does not fit 32 bits")
        self.value = s32(value)
        self.target = target_name(target) if target else host_target()
        machine = target_class(self.target).machine
        self.rows: list[Row] = []
        self.bytes = b""
        for raw in code(self.target, self.value):
            named = machine.decode(raw)
            text = named[0].text(named[1], machine.kinds, len(self.bytes)) if named else "no instruction"
            self.rows.append(Row(len(self.bytes), raw, text))
            self.bytes += raw

    def listing(self) -> Listing:
        return Listing(f"return {self.value} ({self.target})", self.rows)

    def run(self) -> int:
        """What the code returns: in a child process on this host, under Unicorn for another machine."""
        if self.target == host_target():
            return s32(in_child(self._call))
        return s32(emulated(self.target, self.bytes))

    def _call(self) -> int:
        with CodeMemory(len(self.bytes)) as memory:
            memory.write(self.bytes)
            memory.seal()
            return int(ctypes.CFUNCTYPE(ctypes.c_uint32)(memory.address)())

    def __repr__(self) -> str:
        return f"Hello({self.value}, {self.target}: {'; '.join(r.text for r in self.rows)})"


def in_child(work: Callable[[], int]) -> int:
    """The 32-bit result of `work` in a forked process; ExecuteError naming the signal if it dies."""
    from bpfbench.execute.native import _death

    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        faulthandler.disable()              # dying is what some of the work is for
        try:
            os.write(writing, (work() & 0xFFFF_FFFF).to_bytes(4, "little"))
        finally:
            os._exit(0)
    os.close(writing)
    raw = os.read(reading, 4)
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    if len(raw) != 4:
        raise ExecuteError(f"the child died: {_death(status)}")
    return int.from_bytes(raw, "little")


def emulated(target: str, code: bytes) -> int:
    """Run position-independent code until it returns; the machine's result register."""
    import unicorn
    from unicorn import mips_const, ppc_const

    from bpfbench.execute.emulate import MACHINES

    base, stack, back = 0x10_0000, 0x20_0000, 0x30_0000
    uc: Any = unicorn
    if target == "ppc64":
        # its fetches are big-endian, so each word is turned round
        machine = uc.Uc(uc.UC_ARCH_PPC, uc.UC_MODE_PPC64 | uc.UC_MODE_BIG_ENDIAN)
        machine.ctl_set_tlb_mode(uc.UC_TLB_VIRTUAL)
        code = b"".join(code[at : at + 4][::-1] for at in range(0, len(code), 4))
        sp, link, result = ppc_const.UC_PPC_REG_1, ppc_const.UC_PPC_REG_LR, ppc_const.UC_PPC_REG_3
    else:
        host = MACHINES[target]
        machine = uc.Uc(host.arch, host.mode)
        cpu = mips_const.UC_CPU_MIPS64_MIPS64R2_GENERIC if target == "mips64" else host.cpu
        if cpu is not None:
            machine.ctl_set_cpu_model(cpu)
        sp, link, result = host.sp, host.link or 0, host.ret
    for at in (base, stack, back):
        machine.mem_map(at, 0x1_0000)
    machine.mem_write(base, code)
    machine.reg_write(sp, stack + 0x8000)
    if link:
        machine.reg_write(link, back)
    else:
        machine.mem_write(stack + 0x8000, back.to_bytes(8, "little"))
    machine.emu_start(base, back, count=100)
    return int(machine.reg_read(result)) & 0xFFFF_FFFF


@final
class Attempt:
    """Something tried with code memory: `what`, whether it was `allowed`, and the `outcome` in words."""

    __slots__ = ("what", "allowed", "outcome")

    def __init__(self, what: str, allowed: bool, outcome: str) -> None:
        self.what = what
        self.allowed = allowed
        self.outcome = outcome

    def __repr__(self) -> str:
        return f"{self.what}: {self.outcome}"


def attempts() -> list[Attempt]:
    """The proper order, and three violations, each in a child of its own.  Needs an x86-64 or AArch64 host."""
    hello = Hello(42)

    def write_then_run() -> int:
        return hello._call()

    def run_unsealed() -> int:
        with CodeMemory(len(hello.bytes)) as memory:
            memory.write(hello.bytes)
            return int(ctypes.CFUNCTYPE(ctypes.c_uint32)(memory.address)())

    def write_sealed() -> int:
        with CodeMemory(len(hello.bytes)) as memory:
            memory.write(hello.bytes)
            memory.seal()
            ctypes.memmove(memory.address, hello.bytes, len(hello.bytes))
            return 0

    def run_guard() -> int:
        with CodeMemory(len(hello.bytes)) as memory:
            memory.write(hello.bytes)
            memory.seal()
            return int(ctypes.CFUNCTYPE(ctypes.c_uint32)(memory.address + PAGE)())

    tried = [
        ("write, make executable, run", write_then_run), ("run what is still writable", run_unsealed),
        ("write to what is executable", write_sealed), ("run past the end", run_guard),
    ]  # fmt: skip
    found: list[Attempt] = []
    for what, work in tried:
        try:
            found.append(Attempt(what, True, f"returned {in_child(work)}"))
        except ExecuteError as error:
            found.append(Attempt(what, False, error.message))
    return found
