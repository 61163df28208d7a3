"""A process as native code of this machine, in a child process (child.py).

Two pages-full of machine code besides the images:

    resolver   saves the argument registers, calls the linker (a ctypes callback), restores them, jumps     r-x, for ever
    stubs      one per import (stubs.py)                                                       rw- or r-x, never both

A stub is patched while control is in the resolver or in nobody's hands: its pages become writable and not executable, are
written, and become executable and not writable again.  `Linkage.states` tells the protections they went through.
Only modules whose verified form the verifier accepted get here (process.py).
"""

from __future__ import annotations

import ctypes
from typing import Any, Final, final

from bpfbench.dynlink import stubs
from bpfbench.dynlink.child import Child
from bpfbench.dynlink.engines import Engine, give_back
from bpfbench.dynlink.forms import Loaded
from bpfbench.dynlink.module import Module
from bpfbench.dynlink.process import LinkEvent, Process
from bpfbench.errors import BpfbenchError, DynlinkError, NotSupported
from bpfbench.execute.host_memory import HostMemory
from bpfbench.execute.native import CodeMemory, Ended, Native, _result, _stack_region, host_target
from bpfbench.execute.prepare import IMPORTS, Prepared
from bpfbench.execute.shared import symbol_number
from bpfbench.interp.machine import Result
from bpfbench.interp.runtime import Maps, Runtime, surroundings
from bpfbench.interp.trap import Trap
from bpfbench.jit.link import Linked
from bpfbench.program.program import Program

RESOLVE: Final = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)
FAIL: Final = bytes.fromhex("31c0c3")                           # xor eax, eax; ret


def resolver_code(callback: int) -> bytes:
    """x86-64: r11 = callback(r11) with rdi rsi rdx rcx r8 kept, then jmp r11.

    push rbp; mov rbp, rsp; push rdi; push rsi; push rdx; push rcx; push r8; and rsp, -16; mov edi, r11d;
    movabs rax, callback; call rax; mov r11, rax; restore; leave; jmp r11
    """
    save = bytes.fromhex("55 4889e5 57 56 52 51 4150 4883e4f0 4489df 48b8")
    restore = bytes.fromhex("ffd0 4989c3 4c8b45d8 488b4de0 488b55e8 488b75f0 488b7df8 c9 41ffe3")
    return save + callback.to_bytes(8, "little") + restore


@final
class LinkedNative(Native):
    """Native code that knows imports; lives in the child."""

    def __init__(self, process: Process, runtime: Runtime, target: str) -> None:
        self.process = process
        self.stubs: list[tuple[Program, int]] = []
        self.at: dict[tuple[int, int], int] = {}                # (program, import) -> number of its stub
        self.ready: dict[int, tuple[Prepared, Linked]] = {}     # by id of the program
        self.callback = RESOLVE(self._resolver)
        self.resolver = CodeMemory(4096)
        entry = ctypes.cast(self.callback, ctypes.c_void_p).value or 0
        code = resolver_code(entry)
        self.fail = self.resolver.address + len(code)
        self.resolver.write(code + FAIL)
        self.resolver.seal()
        self.room = CodeMemory(stubs.ROOM * stubs.MAX_IMPORTS)
        self.room.seal()
        super().__init__(process.program, runtime, target, self._placed)
        self.settle_all(process.program)

    def _placed(self, program: Program, ready: Prepared, linked: Linked) -> None:
        self.ready[id(program)] = ready, linked

    def renew(self, runtime: Runtime) -> None:
        """Another run with the same images."""
        self.runtime = runtime
        self.calls.renew(runtime)
        runtime.call = self.call
        _stack_region(runtime)

    # -- stubs --------------------------------------------------------------------------------------------------------------

    def _resolve(self, program: Program, symbol: str) -> int:
        number = symbol_number(symbol)
        return self.stub(program, number - IMPORTS) if number >= IMPORTS else super()._resolve(program, symbol)

    def stub(self, program: Program, k: int) -> int:
        """The address of the stub for import `k` of a program, made when first asked for."""
        key = id(program), k
        if key not in self.at:
            if len(self.stubs) >= stubs.MAX_IMPORTS:
                raise DynlinkError(f"more than {stubs.MAX_IMPORTS} imports")
            self.at[key] = len(self.stubs)
            self.stubs.append((program, k))
            self.patch(self.at[key], None)
        return self.room.address + stubs.ROOM * self.at[key]

    def patch(self, number: int, function: int | None) -> None:
        """Let a stub jump to a function, or to the resolver: never writable and executable at once."""
        at = self.room.address + stubs.ROOM * number
        code = stubs.unbound(self.target, at, number, self.resolver.address) if function is None else \
            stubs.bound(self.target, at, function)
        self.room.reopen()
        ctypes.memmove(at, code, len(code))
        self.room.seal()
        program, k = self.stubs[number]
        user = self.process.of_program[id(program)]
        where = "the resolver" if function is None else "the function"
        states = " ".join(self.room.states[-3:])
        self.process.note("patch", user.module.name, user.imports[k], f"stub {number} -> {where} ({states})")

    def settle(self, number: int) -> int:
        """Bind the import of a stub and patch the stub; the function's address."""
        library, symbol = self.process.target(*self.stubs[number])
        function = self.address(library, symbol)
        self.patch(number, function)
        return function

    def settle_all(self, program: Program) -> None:
        for number, (user, _) in enumerate(list(self.stubs)):
            if user is program and not self.process.lazy:
                self.settle(number)

    def address(self, library: Loaded, symbol: str) -> int:
        """The address of a library's function; the library is compiled if it was not."""
        program = library.executed
        if id(program) not in self.images:
            self.place(program)
            size = len(self.ready[id(program)][1].bytes)
            self.process.note("compile", library.module.name, "", f"{self.target}, {size} bytes")
            self.settle_all(program)
        ready, linked = self.ready[id(program)]
        start = ready.entries[program.symbols[symbol]]
        return linked.base + next(f.start for f in linked.code.functions if f.function.start == start)

    def _resolver(self, number: int) -> int:
        try:
            return self.settle(number)
        except DynlinkError as error:
            self.calls.fault = self.calls.fault or Trap("call", str(error))
        except BpfbenchError as error:
            self.calls.error = self.calls.error or error
        return self.fail

    def forget(self, program: Program) -> None:
        """Unmap the image of a module that nothing calls any more."""
        found = self.images.pop(id(program), None)
        self.ready.pop(id(program), None)
        if found is not None:
            found[1].free()


@final
class _Inside:
    """The child's side: the process as it was forked, with memory, maps and images of its own."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.memory = HostMemory(real=True)
        self.maps = Maps(self.memory)
        runtime = surroundings(process.program, maps=self.maps, memory=self.memory)
        self.native = LinkedNative(process, runtime, host_target())
        give_back(runtime, self.memory)
        process.engine = _Nothing(self)

    def handle(self, request: tuple[str, Any, Any]) -> tuple[Any, list[LinkEvent], dict[tuple[str, str], str]]:
        what, first, second = request
        answer: Ended | None = None
        if what == "run":
            answer = self.run(first, second)
        else:
            self.process.replace(Module(first, second))
        events, self.process.events = self.process.events, []
        return answer, events, self.process.bound

    def run(self, data: bytes | str, ctx: Any) -> Ended:
        runtime = surroundings(self.process.program, data, ctx, self.maps, memory=self.memory)
        self.native.renew(runtime)
        r0 = self.native.start()
        trap = self.native.calls.fault
        ended = Ended(runtime, 0 if trap is not None else r0, trap)
        give_back(runtime, self.memory)
        return ended

    def replaced(self, old: Loaded, new: Loaded) -> None:
        native, process = self.native, self.process
        for number, (program, k) in enumerate(list(native.stubs)):
            user = process.of_program[id(program)]
            if user is old or process.modules.get(user.module.name) is not user:
                continue
            library = process.bound.get((user.module.name, user.imports[k]))
            if library is None:
                native.patch(number, None)
            elif library == new.module.name:
                native.settle(number)
        native.forget(old.executed)


@final
class _Nothing(Engine):
    """What the child's process has for an engine: only replacing reaches it."""

    def __init__(self, inside: _Inside) -> None:
        self.inside = inside

    def replaced(self, old: Loaded, new: Loaded) -> None:
        self.inside.replaced(old, new)


@final
class NativeEngine(Engine):
    """The parent's side: sends each run and each replacement to the child."""

    def __init__(self, process: Process) -> None:
        if host_target() != "x86_64":
            raise NotSupported(f"shared libraries as native code of {host_target()}; try emulate:aarch64")
        self.process = process
        mark = len(process.events)

        def make() -> Any:
            del process.events[:mark]
            return _Inside(process).handle

        self.child = Child(make)

    def _ask(self, what: str, first: Any, second: Any) -> Any:
        answer, events, bound = self.child.ask((what, first, second))
        if what == "run":
            self.process.events += events
            self.process.bound = bound
        else:
            self.process.events += [event for event in events if event.what in ("patch", "compile")]
        return answer

    def run(self, data: bytes | str, ctx: Any) -> Result:
        return _result(self.process.program, self._ask("run", data, ctx))

    def replaced(self, old: Loaded, new: Loaded) -> None:
        self._ask("replace", new.module.raw, new.module.file)

    def close(self) -> None:
        self.child.close()
