"""How long a program's native code takes, without the cost of calling it from Python.

A few instructions of our own call the program over and over; one clock reading before and one after, the best of
several rounds.  So does the kernel's test run, which makes the two comparable (net/bpf/test_run.c, bpf_test_run):

    loop:   entry(context); if (--count) goto loop

As there, the packet is not put back between runs.
"""

from __future__ import annotations

import ctypes
import time
from typing import Any, Final, final

from bpfbench.errors import NotSupported
from bpfbench.execute.host_memory import HostMemory, sync
from bpfbench.execute.native import CodeMemory, Native, host_target, in_child, must_be_accepted
from bpfbench.execute.snapshot import moved
from bpfbench.interp.runtime import ContextGiven, surroundings
from bpfbench.program.program import Program

ROUNDS: Final = 5
# uint64_t loop(uint64_t count, uint64_t context, uint64_t (*entry)(uint64_t))
LOOPS: Final = {
    # push rbx; push r12; push r13; mov rbx, rdi; mov r12, rsi; mov r13, rdx
    # again: mov rdi, r12; call r13; dec rbx; jnz again; pop r13; pop r12; pop rbx; ret
    "x86_64": "53 41 54 41 55 48 89 fb 49 89 f4 49 89 d5 4c 89 e7 41 ff d5 48 ff cb 75 f5 41 5d 41 5c 5b c3",
    # stp x29, x30, [sp, -48]!; stp x19, x20, [sp, 16]; str x21, [sp, 32]; mov x19, x0; mov x20, x1; mov x21, x2
    # again: mov x0, x20; blr x21; subs x19, x19, 1; b.ne again; ldr x21, [sp, 32]; ldp x19, x20, [sp, 16]
    # ldp x29, x30, [sp], 48; ret
    "aarch64": "fd7bbda9 f35301a9 f51300f9 f30300aa f40301aa f50302aa e00314aa a0023fd6 730600f1 a1ffff54 f51340f9"
               " f35341a9 fd7bc3a8 c0035fd6",
}  # fmt: skip
LOOP: Final = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint64)


@final
class Timing:
    """`nanoseconds` of one run (the best round's mean) · `r0` of the last · `repeat` runs a round."""

    __slots__ = ("nanoseconds", "r0", "repeat")

    def __init__(self, nanoseconds: float, r0: int, repeat: int) -> None:
        self.nanoseconds = nanoseconds
        self.r0 = r0
        self.repeat = repeat

    def __repr__(self) -> str:
        return f"<{self.nanoseconds:.1f} ns a run, r0 = {self.r0:#x}>"


def measure(
    prog: Program, data: bytes | str = b"", repeat: int = 1000, ctx: ContextGiven = None, maps: object = None,
    verification: Any = None, seconds: float = 60.0,
) -> Timing:  # fmt: skip
    """Time `prog` on this host, in a child process.  Helpers run in Python, so programs with calls are not comparable.

    Raises as `native.run` does.
    """
    target = host_target()
    if target not in LOOPS:
        raise NotSupported(f"timing on {target}")
    must_be_accepted(prog, verification)
    timing: Timing = in_child(lambda: _measure(prog, data, repeat, ctx, maps, target), seconds)
    return timing


def _measure(prog: Program, data: bytes | str, repeat: int, ctx: ContextGiven, maps: object, target: str) -> Timing:
    memory = HostMemory(real=True)
    runtime = surroundings(prog, data, ctx, moved(maps, memory), memory=memory)
    engine = Native(prog, runtime, target, tell=False)
    sync(runtime.context)
    with CodeMemory(64) as room:
        room.write(bytes.fromhex(LOOPS[target]))
        room.seal()
        loop, best, r0 = LOOP(room.address), float("inf"), 0
        loop(1, engine.context(), engine.entry)
        for _ in range(ROUNDS):
            begin = time.perf_counter_ns()
            r0 = loop(repeat, engine.context(), engine.entry)
            best = min(best, (time.perf_counter_ns() - begin) / repeat)
    engine.free()
    return Timing(best, r0, repeat)
