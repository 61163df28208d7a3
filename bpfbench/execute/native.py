"""Run a program's native code on this machine.

Only what the verifier accepted runs, and by default in a child process, so that a mistake in code generation cannot
take the caller down:

    parent   verify -> fork ------------------------------------> result, or ExecuteError: how the child died
    child    compile, link -> map -> call -> pipe the result back

The image's memory is written first and made executable afterwards; it is never both:

    mmap      | no access |   read, write   | no access |      write the image
    mprotect  | no access |  read, execute  | no access |      run, then unmap

Helpers are C-callable Python functions (ctypes) on the interpreter's runtime, reached through stubs behind the image.
Slides 7-12 and 37.
"""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import pickle
import platform
import resource
import select
import signal
import time
from collections.abc import Callable
from typing import Any, Final, final

from bpfbench.errors import BpfbenchError, ExecuteError, NotSupported
from bpfbench.execute.host_memory import MAP_FAILED, PAGE, HostMemory, libc, sync
from bpfbench.execute.prepare import IMPORTS, Prepared
from bpfbench.execute.shared import Calls, compile_for, map_symbol, symbol_number
from bpfbench.execute.snapshot import Snapshot, give, moved, take
from bpfbench.interp.machine import Result
from bpfbench.interp.memory import Region
from bpfbench.interp.runtime import ContextGiven, Maps, Runtime, surroundings
from bpfbench.interp.trap import Trap
from bpfbench.jit.link import Linked, link
from bpfbench.program.program import Program

# platform.machine() -> target
HOSTS: Final = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
FUNCTION: Final = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * 5)
DEFAULT_SECONDS: Final = 10.0
# told of an image when it is in place: the program, what was compiled, where it lies
Placement = Callable[[Program, Prepared, Linked], None]
STUB_SIZE: Final = 32
STACK_ROOM: Final = 8 << 20          # what a main thread's stack may grow to


def host_target() -> str:
    """The code generator's target for this machine; `NotSupported` elsewhere."""
    target = HOSTS.get(platform.machine())
    if target is None or os.name != "posix":
        raise NotSupported(f"native execution on {platform.system()} {platform.machine()}; try emulate:x86_64")
    return target


# ---------------------------------------------------------------------------------------------------- the code's memory
@final
class CodeMemory:
    """Pages for an image, between two that nothing can touch; a context manager.

    `states` tells the protections the pages went through, so that a reader can see that no state is both writable and
    executable.
    """

    __slots__ = ("address", "size", "states", "_start", "_room")

    def __init__(self, size: int) -> None:
        self.size = max(size + PAGE - 1 & ~(PAGE - 1), PAGE)
        self._room = self.size + 2 * PAGE
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        start = libc.mmap(None, self._room, 0, flags, -1, 0)
        if start in (None, MAP_FAILED):
            raise ExecuteError(f"no memory for an image of {size} bytes")
        self._start = int(start)
        self.address = self._start + PAGE
        self.states: list[str] = []
        self._protect(mmap.PROT_READ | mmap.PROT_WRITE, "rw-")

    def _protect(self, protection: int, state: str) -> None:
        if libc.mprotect(self.address, self.size, protection):
            raise ExecuteError(f"the system refuses {state} pages: {os.strerror(ctypes.get_errno())}")
        self.states.append(state)

    def write(self, image: bytes) -> None:
        if self.states[-1] != "rw-":
            raise ExecuteError("the image is executable already; it cannot be written any more")
        ctypes.memmove(self.address, image, len(image))

    def seal(self) -> None:
        """Make the pages executable and read-only."""
        self._protect(mmap.PROT_READ | mmap.PROT_EXEC, "r-x")

    def reopen(self) -> None:
        """Make the pages writable, and no longer executable; nothing may be running in them."""
        self._protect(mmap.PROT_READ | mmap.PROT_WRITE, "rw-")

    def free(self) -> None:
        if self._start:
            libc.munmap(self._start, self._room)
            self._start = 0

    def __enter__(self) -> CodeMemory:
        return self

    def __exit__(self, *unused: object) -> None:
        self.free()


def aligned_call(address: int) -> bytes:
    """x86-64 code that calls `address` with the stack aligned to 16 bytes, as C expects and kernel code does not:
    push rbp; mov rbp, rsp; and rsp, -16; mov r11, address; call r11; leave; ret."""
    return bytes.fromhex("554889e54883e4f049bb") + address.to_bytes(8, "little") + bytes.fromhex("41ffd3c9c3")


# ---------------------------------------------------------------------------------------------------------- the engine
class Native:
    """One run in this process; programs that are tail called are compiled when they are reached."""

    def __init__(
        self, program: Program, runtime: Runtime, target: str, placed: Placement | None = None, tell: bool = True
    ) -> None:
        self.tell = tell
        self.runtime = runtime
        self.target = target
        self.placed = placed
        self.calls = Calls(runtime, self.tail_call)
        self.callbacks: dict[str, Any] = {}        # symbol -> the ctypes function, kept alive
        self.images: dict[int, tuple[Linked, CodeMemory]] = {}
        self.entry = self.place(program)
        runtime.call = self.call
        _stack_region(runtime)

    def place(self, program: Program) -> int:
        """Compile, link and map a program; the address of its entry."""
        known = self.images.get(id(program))
        if known is not None:
            return known[0].entry
        ready, code = compile_for(program, self.target, tell=self.tell)
        stubs_at = len(code.bytes) + STUB_SIZE & ~(STUB_SIZE - 1)
        room = CodeMemory(stubs_at + STUB_SIZE * (len(code.relocations) + 1))
        stubs: dict[str, int] = {}                 # symbol -> address of its stub
        written = bytearray()

        def resolve(kind: str, symbol: str) -> int:
            address = self._resolve(program, symbol)
            if symbol_number(symbol) < 0 or symbol_number(symbol) >= IMPORTS or self.target != "x86_64":
                return address
            if symbol not in stubs:
                stubs[symbol] = room.address + stubs_at + len(written)
                written.extend(aligned_call(address).ljust(STUB_SIZE, b"\xcc"))
            return stubs[symbol]

        linked = link(code, room.address, resolve)
        room.write(linked.bytes.ljust(stubs_at, b"\xcc") + written)
        room.seal()
        if self.placed is not None:
            self.placed(program, ready, linked)
        self.images[id(program)] = (linked, room)
        return linked.entry

    def _resolve(self, program: Program, symbol: str) -> int:
        number = symbol_number(symbol)
        if number < 0:
            return map_symbol(self.runtime, program, symbol)
        if symbol not in self.callbacks:
            self.callbacks[symbol] = FUNCTION(_answerer(self.calls, number))
        return int(ctypes.cast(self.callbacks[symbol], ctypes.c_void_p).value or 0)

    def start(self) -> int:
        """Run the program; r0, all 64 bits."""
        sync(self.runtime.context)
        self.call(self.entry, (self.context(),))
        return self.calls.r0

    def call(self, address: int, args: tuple[int, ...]) -> int:
        five = (*args, 0, 0, 0, 0, 0)[:5]
        result = int(FUNCTION(address)(*five))
        if self.calls.error is not None:
            raise self.calls.error
        return result

    def tail_call(self, program: Program) -> int:
        self.call(self.place(program), (self.context(),))
        return self.calls.r0

    def context(self) -> int:
        region = self.runtime.context_region
        return region.base if region is not None else 0

    def free(self) -> None:
        for _, room in self.images.values():
            room.free()


def _answerer(calls: Calls, number: int) -> Callable[..., int]:
    return lambda *args: calls.answer(number, args)


def _stack_region(runtime: Runtime) -> None:
    """Let helpers reach this thread's stack, where the program's own stack is."""
    low, high = _stack_bounds()
    buffer = memoryview((ctypes.c_ubyte * (high - low)).from_address(low)).cast("B")
    region = Region("stack", low, buffer, True, None, None)
    memory = runtime.memory
    for page in range(low >> memory.page_bits, (high >> memory.page_bits) + 1):
        memory.pages[page] = region


def _stack_bounds() -> tuple[int, int]:
    """Where the main thread's stack is, with all it may grow to; the child's only thread is its main thread."""
    with open("/proc/self/maps") as lines:
        for line in lines:
            if line.rstrip().endswith("[stack]"):
                low, high = (int(part, 16) for part in line.split()[0].split("-"))
                return max(high - STACK_ROOM, 0), high
    raise NotSupported("native execution without /proc/self/maps")


# ----------------------------------------------------------------------------------------------------------- the child
def run(
    prog: Program, data: bytes | str = b"", ctx: ContextGiven = None, maps: object = None, cpus: int = 1, seed: int = 0,
    verification: Any = None, in_process: bool = False, seconds: float = DEFAULT_SECONDS,
    placed: Placement | None = None, clock: Callable[[], int] | None = None,
) -> Result:  # fmt: skip
    """Run `prog` natively; arguments and result as of `interp.run`.

    `verification`  of this very program; the verifier is asked if it is missing.  A program it refuses is not run.
    `in_process`    run in the calling process instead of a child (a crash then ends it)
    `seconds`       after which the child is stopped
    `placed`        told of each image before it runs (for debuggers and profilers), in the process that runs it
    Raises ExecuteError (refused, crashed, too slow), JitError, NotSupported.
    """
    target = host_target()
    must_be_accepted(prog, verification)

    def work() -> Ended:
        memory = HostMemory(real=True)
        runtime = surroundings(prog, data, ctx, moved(maps, memory), cpus, seed, memory)
        if clock is not None:
            runtime.clock = clock
        return _inside(prog, runtime, memory, target, placed)

    return _result(prog, work() if in_process else in_child(work, seconds))


def must_be_accepted(prog: Program, verification: Any) -> None:
    if verification is None:
        from bpfbench.verifier.verification import verify

        verification = verify(prog)
    if getattr(verification, "program", prog) != prog:
        raise ExecuteError(f"program {prog.name!r} is not run natively: the verification is of another program")
    if not getattr(verification, "accepted", False):
        reason = getattr(getattr(verification, "rejection", None), "message", "") or "not accepted"
        raise ExecuteError(f"program {prog.name!r} is not run natively: the verifier refuses it: {reason}")


class Ended:
    """What a run leaves behind, without addresses: it can go through a pipe."""

    def __init__(self, runtime: Runtime, r0: int, trap: Trap | None) -> None:
        self.r0 = r0
        self.data = runtime.data
        self.context = bytes(runtime.context.raw) if runtime.context is not None else b""
        self.trap = trap
        self.printed = runtime.printed
        self.redirect = runtime.redirect
        self.notes = runtime.notes
        self.maps: Snapshot = take(runtime.maps)


def _inside(
    prog: Program, runtime: Runtime, memory: HostMemory, target: str, placed: Placement | None = None
) -> Ended:
    """The run itself, in whatever process this is."""
    engine = Native(prog, runtime, target, placed)
    try:
        r0 = engine.start()
        trap = engine.calls.fault
        return Ended(runtime, 0 if trap is not None else r0, trap)
    finally:
        engine.free()
        memory.close()


def _result(prog: Program, ended: Ended) -> Result:
    """The result in terms of the interpreter's memory."""
    maps = give(ended.maps, Maps(cpus=ended.maps.cpus))
    runtime = Runtime(prog, maps, maps.cpus)
    result = Result(runtime, ended.r0, ended.trap, 0, None)
    result.data = ended.data
    result.printed, result.redirect, result.notes = ended.printed, ended.redirect, ended.notes
    return result


def in_child(work: Callable[[], Any], seconds: float) -> Any:
    """Do the work in a forked child and read its answer; ExecuteError if it dies or takes too long."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _answer_and_leave(work, writing)
    os.close(writing)
    try:
        raw = _read_all(reading, seconds)
    finally:
        os.close(reading)
    if raw is None:
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if raw is None:
        raise ExecuteError(f"the native program did not end in {seconds:g} s")
    if not raw:
        raise ExecuteError(f"the native program crashed: {_death(status)}")
    ended = pickle.loads(raw)
    if isinstance(ended, BpfbenchError):
        raise ended
    return ended


def _answer_and_leave(work: Callable[[], Any], writing: int) -> None:
    """The child's part: never returns."""
    status = 1
    faulthandler.disable()                           # the parent reports the crash
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        try:
            answer: object = work()
        except BpfbenchError as error:
            answer = ExecuteError(str(error))
        raw = pickle.dumps(answer)
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(raw)
        status = 0
    finally:
        os._exit(status)


def _read_all(reading: int, seconds: float) -> bytes | None:
    """Everything up to the end of the pipe; None when that takes too long."""
    deadline = time.monotonic() + seconds
    parts: list[bytes] = []
    while True:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([reading], [], [], left)[0]:
            return None
        part = os.read(reading, 1 << 16)
        if not part:
            return b"".join(parts)
        parts.append(part)


def _death(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"signal {number} ({signal.Signals(number).name})"
    return f"exit status {os.WEXITSTATUS(status)}"
