"""A process under Unicorn: one machine for all runs, with the modules' images and the stubs in it.

    0x0100_0000   images, in the order in which they were needed      read, execute
    0x0400_0000   stubs, and at the end of them the resolver          read, execute

The emulated program can write neither; the linker, which stands outside, can.
"""

from __future__ import annotations

import time
from typing import Any, Final, final

import unicorn
from unicorn import UcError, arm64_const, x86_const  # type: ignore[attr-defined]

from bpfbench.dynlink import stubs
from bpfbench.dynlink.engines import Engine, give_back
from bpfbench.dynlink.forms import Loaded
from bpfbench.dynlink.process import Process
from bpfbench.errors import BpfbenchError, DynlinkError
from bpfbench.execute.emulate import DEFAULT_SECONDS, Emulator
from bpfbench.execute.host_memory import HostMemory
from bpfbench.execute.prepare import IMPORTS
from bpfbench.execute.shared import symbol_number
from bpfbench.execute.snapshot import give, take
from bpfbench.interp.machine import Result
from bpfbench.interp.runtime import Maps, Runtime, surroundings
from bpfbench.interp.trap import Trap
from bpfbench.program.program import Program

STUBS: Final = 0x0400_0000
STUBS_ROOM: Final = stubs.ROOM * stubs.MAX_IMPORTS
RESOLVER: Final = STUBS + STUBS_ROOM
# target -> the register that says which stub, the one that the resolver's jump goes through, the jump
LINKAGE: Final[dict[str, tuple[int, int, bytes]]] = {
    "x86_64": (x86_const.UC_X86_REG_R11, x86_const.UC_X86_REG_R10, stubs.JUMP_R10),
    "aarch64": (arm64_const.UC_ARM64_REG_X11, arm64_const.UC_ARM64_REG_X10, stubs.BRANCH_X10),
}  # fmt: skip


@final
class LinkedEmulator(Emulator):
    """An emulator that knows imports: `stubs` number -> (program, import), and back in `numbers_of`."""

    def __init__(self, process: Process, target: str, runtime: Runtime) -> None:
        self.process = process
        self.stubs: list[tuple[Program, int]] = []
        self.at: dict[tuple[int, int], int] = {}                # (program, import) -> number of its stub
        super().__init__(process.program, target, runtime, DEFAULT_SECONDS)

    def _machine(self) -> Any:
        uc = super()._machine()
        uc.mem_map(STUBS, STUBS_ROOM + 0x1000, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        uc.mem_write(RESOLVER, LINKAGE[self.target][2])
        uc.hook_add(unicorn.UC_HOOK_CODE, self._resolver, begin=RESOLVER, end=RESOLVER)
        return uc

    def renew(self, runtime: Runtime) -> None:
        """Another run on the same machine."""
        self.runtime = runtime
        self.calls.renew(runtime)
        runtime.call = self.call
        self.invalid = (-1, 0)
        self.deadline = time.monotonic() + DEFAULT_SECONDS

    # -- stubs --------------------------------------------------------------------------------------------------------------

    def _resolve(self, program: Program, symbol: str) -> int:
        number = symbol_number(symbol)
        return self.stub(program, number - IMPORTS) if number >= IMPORTS else super()._resolve(program, symbol)

    def place(self, program: Program) -> int:
        """As for an emulator; bound imports of a module are settled once it is in its place."""
        fresh = id(program) not in self.images
        entry = super().place(program)
        for number, (user, _) in enumerate(list(self.stubs)):
            if fresh and user is program and not self.process.lazy:
                self.settle(number)
        return entry

    def stub(self, program: Program, k: int) -> int:
        """The address of the stub for import `k` of a program, made when first asked for."""
        key = id(program), k
        if key not in self.at:
            if len(self.stubs) >= stubs.MAX_IMPORTS:
                raise DynlinkError(f"more than {stubs.MAX_IMPORTS} imports")
            self.at[key] = len(self.stubs)
            self.stubs.append((program, k))
            self.patch(self.at[key], None)
        return STUBS + stubs.ROOM * self.at[key]

    def patch(self, number: int, function: int | None) -> None:
        """Let a stub jump to a function, or to the resolver."""
        at = STUBS + stubs.ROOM * number
        code = stubs.unbound(self.target, at, number, RESOLVER) if function is None else \
            stubs.bound(self.target, at, function)
        self.uc.mem_write(at, code)
        self.uc.ctl_remove_cache(at, at + stubs.ROOM)
        program, k = self.stubs[number]
        user = self.process.of_program[id(program)]
        where = "the resolver" if function is None else f"{function:#x}"
        self.process.note("patch", user.module.name, user.imports[k], f"stub {at:#x} -> {where}")

    def settle(self, number: int) -> int:
        """Bind the import of a stub and patch the stub; the function's address."""
        library, symbol = self.process.target(*self.stubs[number])
        function = self.address(library, symbol)
        self.patch(number, function)
        return function

    def address(self, library: Loaded, symbol: str) -> int:
        """The address of a library's function; the library is compiled if it was not."""
        program = library.executed
        if id(program) not in self.images:
            self.place(program)
            self.process.note("compile", library.module.name, "", f"{self.target}, at {self.images[id(program)]:#x}")
        for base, code, ready, placed in self.placed:
            if placed is program:
                start = ready.entries[program.symbols[symbol]]
                return base + next(f.start for f in code.functions if f.function.start == start)
        raise DynlinkError(f"{library.module.title} is not in the machine")

    def _resolver(self, uc: Any, address: int, size: int, unused: Any) -> None:
        which, through, _ = LINKAGE[self.target]
        try:
            uc.reg_write(through, self.settle(int(uc.reg_read(which))))
        except DynlinkError as error:
            self.calls.fault = Trap("call", str(error), *self._call_site())
            uc.emu_stop()
        except BpfbenchError as error:
            self.calls.error = error
            uc.emu_stop()


@final
class EmulatedEngine(Engine):
    """Runs a process under Unicorn; memory, maps and images live as long as the process."""

    def __init__(self, process: Process, target: str) -> None:
        self.process = process
        self.memory = HostMemory(real=False)
        self.maps = Maps(self.memory)
        runtime = surroundings(process.program, maps=self.maps, memory=self.memory)
        self.emulator = LinkedEmulator(process, target, runtime)
        self.memory.removed = self.emulator.uc.mem_unmap
        give_back(runtime, self.memory)

    def run(self, data: bytes | str, ctx: Any) -> Result:
        runtime = surroundings(self.process.program, data, ctx, self.maps, memory=self.memory)
        self.emulator.renew(runtime)
        trap: Trap | None = None
        r0 = 0
        try:
            r0 = self.emulator.start()
        except UcError as error:
            trap = self.emulator.trap(error)
        trap = self.emulator.calls.fault or trap
        result = Result(runtime, 0 if trap is not None else r0, trap, 0, None)
        result.maps = give(take(runtime.maps), Maps(cpus=runtime.cpus))
        if runtime.context is not None:
            runtime.context.raw = bytearray(runtime.context.raw)
        give_back(runtime, self.memory)
        return result

    def replaced(self, old: Loaded, new: Loaded) -> None:
        """Stubs that went to the old library go to the new one (eager), or to the resolver (lazy)."""
        emulator = self.emulator
        for number, (program, k) in enumerate(list(emulator.stubs)):
            user = self.process.of_program[id(program)]
            if user is old or self.process.modules.get(user.module.name) is not user:
                continue
            library = self.process.bound.get((user.module.name, user.imports[k]))
            if library is None:
                emulator.patch(number, None)
            elif library == new.module.name:
                emulator.settle(number)

    def close(self) -> None:
        if self.memory.placed is not None:
            self.memory.placed = self.memory.removed = None
            self.memory.close()
