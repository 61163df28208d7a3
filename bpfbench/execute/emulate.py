"""Run a program's native code for any host machine under Unicorn.

    low addresses     what                                       permissions
    0x0100_0000       the image                                  read, execute
    0x0800_0000       callouts: one return instruction per symbol   read, execute
    0x2000_0000 …     packet, context, maps, stack (HostMemory)  read, write

A call to a helper lands on its callout; a hook there performs it on the interpreter's runtime and puts the result into
the return register, and the machine goes on with the return instruction.  Callbacks and tail calls run nested.

`MACHINES` has a row per target: how Unicorn names the machine, and its procedure call standard.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, final

import unicorn
from unicorn import (  # type: ignore[attr-defined]
    UcError,
    arm64_const,
    arm_const,
    mips_const,
    ppc_const,
    riscv_const,
    x86_const,
)

from bpfbench.errors import BpfbenchError, ExecuteError, NotSupported
from bpfbench.execute.host_memory import HostMemory, sync
from bpfbench.execute.prepare import Prepared
from bpfbench.execute.shared import Calls, compile_for, map_symbol, symbol_number
from bpfbench.execute.snapshot import give, moved, take
from bpfbench.interp.machine import Result
from bpfbench.interp.runtime import ContextGiven, Maps, Runtime, surroundings
from bpfbench.interp.trap import Trap
from bpfbench.isa.text import format_insn
from bpfbench.jit.code import Code
from bpfbench.jit.link import link
from bpfbench.program.program import Program

IMAGE: Final = 0x0100_0000
CALLOUTS: Final = 0x0800_0000
CALLOUT_STEP: Final = 16
CALLOUT_ROOM: Final = 0x10_0000
STACK_SIZE: Final = 0x4_0000
TOC_CELL: Final = 0x0F00_0000            # PPC64: what r13 points to
DEFAULT_SECONDS: Final = 10.0
MIPS_COUNT: Final = 1 << 40


@final
class Host:
    """A row: Unicorn's `arch`, `mode`, `cpu` (None: its default) · argument, return, stack, link registers (None: the
    return address is on the stack) · the return instruction · further registers · program counter."""

    __slots__ = ("arch", "mode", "cpu", "args", "ret", "sp", "link", "back", "extra", "pc")

    def __init__(
        self, arch: int, mode: int, cpu: int | None, args: list[int], ret: int, sp: int, link: int | None, back: str,
        extra: list[int], pc: int,
    ) -> None:  # fmt: skip
        self.arch = arch
        self.mode = mode
        self.cpu = cpu
        self.args = args
        self.ret = ret
        self.sp = sp
        self.link = link
        self.back = bytes.fromhex(back)
        self.extra = extra
        self.pc = pc


def _range(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


_X, _A, _M, _P, _R = x86_const, arm_const, mips_const, ppc_const, riscv_const
_A64 = arm64_const
MACHINES: Final[dict[str, Host]] = {
    # target   arch, mode, cpu, argument registers, return, stack pointer, link register, return instruction, extra
    "x86_64": Host(
        unicorn.UC_ARCH_X86, unicorn.UC_MODE_64, None,
        [_X.UC_X86_REG_RDI, _X.UC_X86_REG_RSI, _X.UC_X86_REG_RDX, _X.UC_X86_REG_RCX, _X.UC_X86_REG_R8],
        _X.UC_X86_REG_RAX, _X.UC_X86_REG_RSP, None, "c3", [], _X.UC_X86_REG_RIP,
    ),
    "aarch64": Host(
        unicorn.UC_ARCH_ARM64, unicorn.UC_MODE_ARM, _A64.UC_CPU_ARM64_MAX, _range(_A64.UC_ARM64_REG_X0, 5),
        _A64.UC_ARM64_REG_X0, _A64.UC_ARM64_REG_SP, _A64.UC_ARM64_REG_X30, "c0035fd6", [], _A64.UC_ARM64_REG_PC,
    ),
    "arm": Host(
        unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM, _A.UC_CPU_ARM_CORTEX_A15, _range(_A.UC_ARM_REG_R0, 4),
        _A.UC_ARM_REG_R0, _A.UC_ARM_REG_SP, _A.UC_ARM_REG_LR, "1eff2fe1", [_A.UC_ARM_REG_R1], _A.UC_ARM_REG_PC,
    ),
    "mips64": Host(
        unicorn.UC_ARCH_MIPS, unicorn.UC_MODE_MIPS64 | unicorn.UC_MODE_LITTLE_ENDIAN, _M.UC_CPU_MIPS64_I6400,
        _range(_M.UC_MIPS_REG_4, 5), _M.UC_MIPS_REG_2, _M.UC_MIPS_REG_29, _M.UC_MIPS_REG_31, "0900e00300000000",
        [_M.UC_MIPS_REG_25], _M.UC_MIPS_REG_PC,
    ),
    "ppc64": Host(
        unicorn.UC_ARCH_PPC, unicorn.UC_MODE_PPC64 | unicorn.UC_MODE_BIG_ENDIAN, None,
        _range(_P.UC_PPC_REG_3, 5), _P.UC_PPC_REG_3, _P.UC_PPC_REG_1, _P.UC_PPC_REG_LR, "2000804e",
        [_P.UC_PPC_REG_13, _P.UC_PPC_REG_MSR, _P.UC_PPC_REG_12, _P.UC_PPC_REG_PC], _P.UC_PPC_REG_PC,
    ),
    "riscv64": Host(
        unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64, None, _range(_R.UC_RISCV_REG_A0, 5), _R.UC_RISCV_REG_A0,
        _R.UC_RISCV_REG_SP, _R.UC_RISCV_REG_RA, "67800000", [], _R.UC_RISCV_REG_PC,
    ),
}  # fmt: skip


class Emulator:
    """One run under Unicorn; the image of a tail-called program is placed behind the first."""

    def __init__(self, program: Program, target: str, runtime: Runtime, seconds: float, fault: str = "") -> None:
        self.target = target
        self.host = MACHINES[target]
        self.runtime = runtime
        self.fault = fault
        self.deadline = time.monotonic() + seconds
        self.calls = Calls(runtime, self.tail_call)
        self.numbers: dict[int, int] = {}          # callout address -> call number
        self.callouts: dict[str, int] = {}         # symbol -> callout address
        self.images: dict[int, int] = {}           # id of a program -> address of its entry
        self.placed: list[tuple[int, Code, Prepared, Program]] = []
        self.invalid: tuple[int, int] = (-1, 0)    # address and size of the access that failed last
        self.next_image = IMAGE
        self.done = CALLOUTS + CALLOUT_ROOM - CALLOUT_STEP
        self.executed = 0
        self.depth = 0                             # runs inside of runs: callbacks and tail calls
        self.stack = runtime.memory.add("stack", STACK_SIZE)
        self.uc = self._machine()
        self.entry = self.place(program)
        runtime.call = self.call

    # ----------------------------------------------------------------------------------------------------------- setup
    def _machine(self) -> Any:
        host = self.host
        library: Any = unicorn                       # its stubs leave most of it untyped
        uc = library.Uc(host.arch, host.mode)
        if host.cpu is not None:
            uc.ctl_set_cpu_model(host.cpu)
        if self.target == "ppc64":
            uc.ctl_set_tlb_mode(unicorn.UC_TLB_VIRTUAL)     # its own MMU would want page tables
        uc.mem_map(IMAGE, 0x200_0000, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        uc.mem_map(CALLOUTS, CALLOUT_ROOM, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        uc.mem_write(CALLOUTS, host.back.ljust(CALLOUT_STEP, b"\0") * 1024)
        uc.mem_write(self.done, host.back)
        memory = self.runtime.memory
        assert isinstance(memory, HostMemory)
        for address, room, pointer in memory.mapped:
            uc.mem_map_ptr(address, room, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE, pointer)
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._note_invalid)
        memory.placed = lambda address, room, pointer: uc.mem_map_ptr(
            address, room, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE, pointer
        )
        if self.target == "ppc64":
            uc.mem_map(TOC_CELL, 0x1000, unicorn.UC_PROT_READ)
            uc.reg_write(host.extra[1], 0x8000_0000_0000_0001 | 1 << 13)       # 64-bit, little endian, FP
        return uc

    def place(self, program: Program) -> int:
        """Compile a program, link it where it will stand, and return its entry's address."""
        known = self.images.get(id(program))
        if known is not None:
            return known
        prepared, code = compile_for(program, self.target, fault=self.fault)
        base = self.next_image
        linked = link(code, base, lambda kind, symbol: self._resolve(program, symbol))
        self.uc.mem_write(base, linked.bytes)
        self.next_image = base + len(linked.bytes) + 0xFFF & ~0xFFF
        self.images[id(program)] = linked.entry
        self.placed.append((base, code, prepared, program))
        if self.target == "ppc64":
            self.uc.mem_write(TOC_CELL + 16, base.to_bytes(8, "little"))
        return linked.entry

    def _resolve(self, program: Program, symbol: str) -> int:
        number = symbol_number(symbol)
        if number < 0:
            return map_symbol(self.runtime, program, symbol)
        if symbol not in self.callouts:
            address = CALLOUTS + CALLOUT_STEP * (len(self.callouts) + 1)
            self.callouts[symbol] = address
            self.numbers[address] = number
            self.uc.hook_add(unicorn.UC_HOOK_CODE, self._callout, begin=address, end=address)
        return self.callouts[symbol]

    # --------------------------------------------------------------------------------------------------------- running
    def start(self) -> int:
        """Run the program to its end; r0, all 64 bits."""
        region = self.runtime.context_region
        sync(self.runtime.context)
        self.uc.reg_write(self.host.sp, self.stack.hi - 0x200)
        self._enter(self.entry, (region.base if region is not None else 0,))
        return self.calls.r0

    def call(self, address: int, args: tuple[int, ...]) -> int:
        """Run a function of the image from inside a helper; its r0."""
        saved = self.uc.context_save()
        stack = self.uc.reg_read(self.host.sp) - 0x200 & ~0xF
        if stack < self.stack.lo + 0x4000:
            raise ExecuteError("the emulated stack is used up")
        self.uc.reg_write(self.host.sp, stack)
        result = self._enter(address, args)
        self.uc.context_restore(saved)
        return result

    def tail_call(self, program: Program) -> int:
        region = self.runtime.context_region
        entry = self.place(program)
        if self.target == "ppc64":
            self.uc.mem_write(TOC_CELL + 16, (entry & ~0xFFF).to_bytes(8, "little"))
        self.call(entry, (region.base if region is not None else 0,))
        return self.calls.r0

    def _enter(self, entry: int, args: tuple[int, ...]) -> int:
        """Call native code at `entry`; returns what its return register holds."""
        uc, host = self.uc, self.host
        self._give(args)
        if host.link is None:
            stack = uc.reg_read(host.sp) - 8
            uc.mem_write(stack, self.done.to_bytes(8, "little"))
            uc.reg_write(host.sp, stack)
        else:
            uc.reg_write(host.link, self.done)
        if self.target == "mips64":
            uc.reg_write(host.extra[0], entry)
        elif self.target == "ppc64":
            uc.reg_write(host.extra[0], TOC_CELL)
            uc.reg_write(host.extra[2], entry)
        self._go(entry)
        if time.monotonic() >= self.deadline:
            raise ExecuteError("the emulated program did not end in time")
        if self.calls.error is not None:
            raise self.calls.error
        return self._value()

    def _go(self, at: int) -> None:
        """Run from `at` until the callout `done`, past what stops Unicorn but not the machine."""
        # Unicorn 2.1 mistranslates MIPS code of more than some 340 instructions in a row, but not while it counts
        count = MIPS_COUNT if self.target == "mips64" else 0
        while True:
            # the clock of the outermost run stops a nested one too; Unicorn cannot have two
            left = max(self.deadline - time.monotonic(), 0.001) if self.depth == 0 else 0
            self.depth += 1
            try:
                self.uc.emu_start(at, self.done, timeout=int(left * 1e6), count=count)
            finally:
                self.depth -= 1
            # QEMU yields at PPC64's `or rx, rx, rx`, which on hardware sets a thread's priority besides
            at = self.uc.reg_read(self.host.extra[3]) if self.target == "ppc64" else self.done
            failed = self.calls.fault is not None or self.calls.error is not None
            if at == self.done or failed or time.monotonic() >= self.deadline:
                return

    def _give(self, args: tuple[int, ...]) -> None:
        uc, host = self.uc, self.host
        if self.target != "arm":
            for register, value in zip(host.args, args, strict=False):
                uc.reg_write(register, value)
            return
        words = [w for value in args for w in (value & 0xFFFF_FFFF, value >> 32)] + [0] * 10
        for register, word in zip(host.args, words, strict=False):
            uc.reg_write(register, word)
        stack = uc.reg_read(host.sp) - 24
        uc.mem_write(stack, b"".join(w.to_bytes(4, "little") for w in words[4:10]))
        uc.reg_write(host.sp, stack)

    def _taken(self) -> tuple[int, ...]:
        """The five arguments of a call that native code makes."""
        uc, host = self.uc, self.host
        if self.target != "arm":
            return tuple(uc.reg_read(register) for register in host.args)
        words = [uc.reg_read(register) for register in host.args]
        raw = bytes(uc.mem_read(uc.reg_read(host.sp), 24))
        words += [int.from_bytes(raw[at : at + 4], "little") for at in range(0, 24, 4)]
        return tuple(low | high << 32 for low, high in zip(words[::2], words[1::2], strict=True))

    def _value(self) -> int:
        low = int(self.uc.reg_read(self.host.ret))
        return low | int(self.uc.reg_read(self.host.extra[0])) << 32 if self.target == "arm" else low

    def _callout(self, uc: Any, address: int, size: int, unused: Any) -> None:
        number = self.numbers.get(address)
        if number is None:
            return
        try:
            value = self.calls.answer(number, self._taken())
        except UcError as error:
            self.calls.fault = self.calls.fault or self.trap(error)
            value = 0
        if self.calls.fault is not None or self.calls.error is not None:
            if self.calls.fault is not None and self.calls.fault.pc < 0:
                self.calls.fault.pc, self.calls.fault.insn = self._call_site()
            uc.emu_stop()
            return
        uc.reg_write(self.host.ret, value & 0xFFFF_FFFF if self.target == "arm" else value)
        if self.target == "arm":
            uc.reg_write(self.host.extra[0], value >> 32)

    # -------------------------------------------------------------------------------------------------- what went wrong
    def trap(self, error: Any) -> Trap:
        """The trap for what Unicorn stopped at."""
        pc, text = self._slot(int(self.uc.reg_read(self.host.pc)))
        address, size = self.invalid
        if address < 0:
            return Trap("opcode", f"native code of {self.target} stopped: {error}", pc, insn=text)
        return self.runtime.memory.fault("memory", "access", address, size).at(pc, text)

    def _slot(self, address: int) -> tuple[int, str]:
        """The slot of the program as it was given that native code at `address` belongs to, and its text; (-1, "")."""
        for base, code, prepared, program in self.placed:
            for span in code.spans:
                if base + span.start <= address < base + span.end and span.pc >= 0:
                    pc = prepared.origin[span.pc]
                    insn = program.insns[pc]
                    return pc, format_insn(insn) if insn is not None else ""
        return -1, ""

    def _call_site(self) -> tuple[int, str]:
        """The slot whose native code has made the call that is being answered."""
        uc, host = self.uc, self.host
        back = int.from_bytes(uc.mem_read(uc.reg_read(host.sp), 8), "little") if host.link is None else 0
        return self._slot((back or int(uc.reg_read(host.link))) - 1)

    def _note_invalid(self, uc: Any, kind: int, address: int, size: int, value: int, unused: Any) -> bool:
        self.invalid = (address, size)
        return False


def run(
    prog: Program, data: bytes | str = b"", target: str = "x86_64", ctx: ContextGiven = None, maps: object = None,
    cpus: int = 1, seed: int = 0, seconds: float = DEFAULT_SECONDS, clock: Callable[[], int] | None = None,
    fault: str = "",
) -> Result:  # fmt: skip
    """Run `prog` as native code of `target` under Unicorn; arguments and result as of `interp.run`.

    `seconds`  wall-clock time after which the run is stopped · `fault`  a code generator bug to compile with
    (jit/history.py).  Raises JitError, ExecuteError, NotSupported.
    """
    if target not in MACHINES:
        raise NotSupported(f"emulation of {target}")
    memory = HostMemory(real=False)
    runtime = surroundings(prog, data, ctx, moved(maps, memory), cpus, seed, memory)
    if clock is not None:
        runtime.clock = clock
    emulator = Emulator(prog, target, runtime, seconds, fault)
    trap: Trap | None = None
    r0 = 0
    try:
        r0 = emulator.start()
    except UcError as error:
        trap = emulator.trap(error)
    except BpfbenchError:
        memory.placed = None
        memory.close()
        raise
    trap = emulator.calls.fault or trap
    return _detached(runtime, memory, 0 if trap is not None else r0, trap)


def _detached(runtime: Runtime, memory: HostMemory, r0: int, trap: Trap | None) -> Result:
    """The result in terms of the interpreter's memory; the machine's is given back."""
    result = Result(runtime, r0, trap, 0, None)
    result.maps = give(take(runtime.maps), Maps(cpus=runtime.cpus))
    if runtime.context is not None:
        runtime.context.raw = bytearray(runtime.context.raw)
    memory.placed = None
    memory.close()
    return result
