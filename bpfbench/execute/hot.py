"""When does compiling pay?  Compile-when-hot and trace compilation on real programs, measured.

An interpreter starts at once and is slow; a compiler costs something first and is then fast (slide 12: "only JIT
compiles hot code, trace compilation").  `price` measures the three numbers that decide, `policy` runs a program many
times under "interpret until it was run N times, then compile", and `hot_trace` finds what a trace compiler would
compile: the path through the busiest loop, straight, with a guard where the program could leave it.

    cost of n runs     interpret        n * interp_us
                       compile first    compile_us + n * native_us          cheaper from `break_even` runs on

    loop:  r6 += r7              the trace repeats while its guards hold;
           if r7 == 0 goto out   a guard that fails leaves with the slot
           ...                   where the interpreter has to go on
           goto loop

Times are CPU time of a child process on this host.  Linux compiles every program once, at load: it is run by packets.
"""

from __future__ import annotations

import os
import pickle
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, final

from bpfbench.errors import ExecuteError, UsageError
from bpfbench.execute.host_memory import HostMemory
from bpfbench.execute.native import Native, host_target
from bpfbench.interp.machine import run as interpret
from bpfbench.interp.runtime import surroundings
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP
from bpfbench.listing import Listing
from bpfbench.program.program import Program

WARM: Final = 3


@final
class Price:
    """Microseconds: one interpreted run, one native run, and compiling (code generation, linking, mapping)."""

    __slots__ = ("interp_us", "native_us", "compile_us")

    def __init__(self, interp_us: float, native_us: float, compile_us: float) -> None:
        self.interp_us = interp_us
        self.native_us = native_us
        self.compile_us = compile_us

    @property
    def break_even(self) -> float:
        """From how many runs on compiling first is cheaper; infinite if native code is not faster.

        >>> Price(10.0, 2.0, 800.0).break_even
        100.0
        """
        gain = self.interp_us - self.native_us
        return self.compile_us / gain if gain > 0 else float("inf")

    def cost(self, runs: int, threshold: int) -> float:
        """Microseconds of `runs` runs when the program is compiled after `threshold` of them."""
        if runs <= threshold:
            return runs * self.interp_us
        return threshold * self.interp_us + self.compile_us + (runs - threshold) * self.native_us

    def __repr__(self) -> str:
        each = f"interpret {self.interp_us:.1f} us, native {self.native_us:.1f} us, compile {self.compile_us:.0f} us"
        return f"Price({each}: pays from {self.break_even:.0f} runs)"


def price(prog: Program, data: bytes = b"", runs: int = 200) -> Price:
    """Measure the three numbers for an accepted program on this host."""
    accepted(prog)

    def work() -> Price:
        interp = timed(lambda: interpret(prog, data), max(runs // 20, WARM))
        memory = HostMemory(real=True)
        runtime = surroundings(prog, data, None, None, 1, 0, memory)
        started = time.process_time_ns()
        engine = Native(prog, runtime, host_target())
        compiling = (time.process_time_ns() - started) / 1e3
        native = timed(engine.start, runs)
        return Price(interp, native, compiling)

    made: Price = in_child(work)
    return made


def policy(prog: Program, data: bytes = b"", runs: int = 1000, threshold: int = 50) -> float:
    """Microseconds that `runs` runs really take under "interpret `threshold` times, then compile"."""
    accepted(prog)

    def work() -> float:
        started = time.process_time_ns()
        for _ in range(min(runs, threshold)):
            interpret(prog, data)
        if runs > threshold:
            memory = HostMemory(real=True)
            runtime = surroundings(prog, data, None, None, 1, 0, memory)
            engine = Native(prog, runtime, host_target())
            for _ in range(runs - threshold):
                engine.start()
        return (time.process_time_ns() - started) / 1e3

    spent: float = in_child(work)
    return spent


def accepted(prog: Program) -> None:
    from bpfbench.verifier.verification import verify

    verification = verify(prog)
    if not verification.accepted:
        raise ExecuteError(f"the verifier refuses '{prog.name}', so it is not run natively")


def timed(work: Callable[[], object], runs: int) -> float:
    """Microseconds of one call, over `runs` calls after a warm-up."""
    for _ in range(WARM):
        work()
    started = time.process_time_ns()
    for _ in range(runs):
        work()
    return (time.process_time_ns() - started) / runs / 1e3


def in_child(work: Callable[[], Any]) -> Any:
    """The result of `work` in a forked process; ExecuteError if that dies."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "wb") as pipe:
                try:
                    pickle.dump(work(), pipe)
                except Exception as error:
                    pickle.dump(ExecuteError(str(error)), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        raw = answers.read()
    os.waitpid(child, 0)
    if not raw:
        raise ExecuteError("the measuring process died")
    answer = pickle.loads(raw)
    if isinstance(answer, ExecuteError):
        raise answer
    return answer


# -------------------------------------------------------------------------------------------------------------- traces
@final
class HotTrace:
    """The path through the busiest loop.

    `pcs` slots in the order of one iteration, from the loop's `header`; `iterations` how often exactly this path was
    taken, out of `entries` arrivals at the header; `guards` pc -> slot where the program goes when the guard fails.
    """

    __slots__ = ("program", "header", "pcs", "iterations", "entries", "guards")

    def __init__(self, program: Program, pcs: list[int], iterations: int, entries: int) -> None:
        self.program = program
        self.header = pcs[0]
        self.pcs = pcs
        self.iterations = iterations
        self.entries = entries
        self.guards: dict[int, int] = {}
        for here, after in zip(pcs, [*pcs[1:], pcs[0]]):
            insn = program.insns[here]
            if insn is not None and insn.is_conditional:
                taken = here + 1 + insn.jump
                self.guards[here] = here + 1 if after == taken else taken

    def straight(self) -> Program:
        """The trace as a program of its own: it loops while the guards hold, else returns the slot to go on at."""
        body: list[Instruction | None] = []
        jumps: list[tuple[int, int]] = []       # (slot of a jump to a side exit, slot of the program)
        for here in self.pcs:
            insn = self.program.insns[here]
            assert insn is not None
            if here not in self.guards:
                if insn.kind != ops.JA:
                    body.append(insn)
                    body += [None] * (insn.slots - 1)
                continue
            exit_to = self.guards[here]
            if exit_to == here + 1:             # the trace follows the branch: hop over the exit
                body.append(Instruction(insn.op, insn.dst, insn.src, 1, insn.imm))
                jumps.append((len(body), exit_to))
                body.append(Instruction(OP["JA"]))
            else:
                jumps.append((len(body), exit_to))
                body.append(Instruction(insn.op, insn.dst, insn.src, 0, insn.imm))
        body.append(Instruction(OP["JA"], off=-len(body) - 1))
        exits = sorted({to for _, to in jumps})
        place = {to: len(body) + 2 * i for i, to in enumerate(exits)}
        for slot, to in jumps:
            old = body[slot]
            assert old is not None
            body[slot] = Instruction(old.op, old.dst, old.src, place[to] - slot - 1, old.imm)
        for to in exits:
            body += [Instruction(OP["MOV64_K"], dst=0, imm=to), Instruction(OP["EXIT"])]
        name = f"trace of {self.program.name}"
        return Program(body, self.program.type, name, self.program.license, self.program.maps)

    def listing(self) -> Listing:
        return self.straight().listing()

    def __repr__(self) -> str:
        return f"HotTrace({self.program.name}, slots {self.pcs}, {self.iterations} of {self.entries} iterations)"


def hot_trace(prog: Program, data: bytes = b"") -> HotTrace:
    """Interpret `prog` once, find the loop header that is reached most often by a jump back, and its commonest path."""
    recorded = interpret(prog, data, trace=True).trace
    if recorded is None:
        raise UsageError("the interpreter recorded nothing")
    visited = [event.pc for event in recorded if event.kind == "visit"]
    headers = Counter(after for before, after in zip(visited, visited[1:]) if after <= before)
    if not headers:
        raise UsageError(f"'{prog.name}' jumps back nowhere on this input, so there is no trace to compile")
    header, _ = headers.most_common(1)[0]
    paths: Counter[tuple[int, ...]] = Counter()
    starts = [i for i, pc in enumerate(visited) if pc == header]
    for start, end in zip(starts, starts[1:]):
        paths[tuple(visited[start:end])] += 1
    path, count = paths.most_common(1)[0]
    return HotTrace(prog, list(path), count, len(starts))
