"""The interpreter: registers, frames and the run loop.

`run(program, packet)` takes step after step until the program exits, traps or has used up its budget; an instruction is
lowered to its step when control first reaches it (lower.py).  Frames are the kernel's: at most eight, 512 bytes of
stack each; a call saves r6-r9 and the frame pointer.  Callbacks (bpf_loop and others) run in a nested loop on the same
registers.

    frames   [ main ][ subprogram ][ callback ] …        each with its stack region, r10 = its end
    codes    a tail call replaces the innermost function's program, not the frame

Sources: kernel/bpf/core.c (`___bpf_prog_run`), kernel/bpf/verifier.c (frame limits), RFC 9669.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from mypy_extensions import mypyc_attr

from bpfbench.bits import U64_MAX
from bpfbench.interp.lower import ADDR_SLOT, Place, Step, lower, trap
from bpfbench.interp.map_kinds import InsnArray, ProgramArray
from bpfbench.interp.maps import Map
from bpfbench.interp.memory import Region
from bpfbench.interp.observe import Observer, Recorder
from bpfbench.interp.runtime import ContextGiven, Imports, Runtime, surroundings
from bpfbench.interp.trap import ProgramFault, Trap
from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_name
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn
from bpfbench.program.program import Program
from bpfbench.trace import Trace

DEFAULT_BUDGET: Final = 10_000_000
SLICE: Final = 1 << 16                # instructions between two looks at the budget
MAX_FRAMES: Final = 8                 # MAX_CALL_FRAMES
STACK_SIZE: Final = 512               # MAX_BPF_STACK
MAX_TAIL_CALLS: Final = 33            # MAX_TAIL_CALL_CNT
MAY_GOTO_BUDGET = 1 << 23             # BPF_MAX_LOOPS; not Final, for lessons may lower it
LOADS: Final = (ops.LDX, ops.LDXS, ops.LOAD_ACQ)
STORES: Final = (ops.ST, ops.STX, ops.STORE_REL)
CALLS: Final = (ops.CALL, ops.CALLX)
CONDITIONS: Final = (ops.JMP, ops.JMP32, ops.MAY_GOTO)


class _Finished(Exception):
    """The outermost function of this loop has returned."""


class _Switched(Exception):
    """A tail call or a return changed the program; go on at `Machine.pc`."""


class _Trapped(Exception):
    """A fault that already has its instruction, on its way through nested loops."""

    def __init__(self, trap: Trap) -> None:
        super().__init__(str(trap))
        self.trap = trap


@final
class Code:
    """A program lowered for one machine; `text` is the region whose addresses stand for its slots."""

    __slots__ = ("program", "text", "steps")

    def __init__(self, program: Program, text: Region, steps: list[Step]) -> None:
        self.program = program
        self.text = text
        self.steps = steps


@final
class Frame:
    """What a return restores: where to go on, r6-r9, the frame pointer, the loop budget of may_goto."""

    __slots__ = ("code", "back", "saved", "loops")

    def __init__(self, code: Code, back: int, saved: list[int], loops: int) -> None:
        self.code = code
        self.back = back
        self.saved = saved
        self.loops = loops


@mypyc_attr(allow_interpreted_subclasses=True)
class Result:
    """How a run ended.

    `r0`               the return value, all 64 bits (0 after a trap)
    `data`             the packet afterwards, as the kernel's test run returns it
    `maps`             the maps afterwards, by name or index; give them to the next run to go on with them
    `trap`             None, or what the program did wrong
    `insns_executed`   instructions, those of callbacks included
    `trace`            the events, if asked for
    `printed`, `redirect`, `notes`   see `Runtime`
    """

    def __init__(self, runtime: Runtime, r0: int, trap: Trap | None, insns_executed: int, trace: Trace | None) -> None:
        self.r0 = r0
        self.data = runtime.data
        self.maps = runtime.maps
        self.context = runtime.context
        self.trap = trap
        self.insns_executed = insns_executed
        self.trace = trace
        self.printed = runtime.printed
        self.redirect = runtime.redirect
        self.notes = runtime.notes

    @property
    def retval(self) -> int:
        """r0 as the kernel's test run reports it: the low 32 bits."""
        return self.r0 & 0xFFFF_FFFF

    def __repr__(self) -> str:
        end = f"trap: {self.trap}" if self.trap is not None else f"r0 = {self.r0:#x}"
        return f"<{end}, {self.insns_executed} instructions>"

    def to_json(self) -> dict[str, object]:
        record: dict[str, object] = {"r0": self.r0, "insns_executed": self.insns_executed}
        if self.data:
            record["data"] = self.data.hex()
        if self.trap is not None:
            record["trap"] = str(self.trap)
        return record


class Machine:
    """One run of one program (and of those it tail calls)."""

    def __init__(self, program: Program, runtime: Runtime, budget: int = DEFAULT_BUDGET) -> None:
        self.runtime = runtime
        self.memory = runtime.memory
        self.budget = budget
        self.executed = 0
        self.registers: list[int] = [0] * 11
        self.frames: list[Frame] = []
        self.stacks: list[Region] = []
        self.loops = MAY_GOTO_BUDGET
        self.tail_calls = 0
        self.pc = 0
        self.observer: Observer | None = None
        self.codes: dict[int, Code] = {}
        self.bases: list[int] = []                 # depth of frames at which each nested loop ends
        context = runtime.context_region
        self.arguments: tuple[int, ...] = (context.base if context is not None else 0,)
        self.code = self.prepare(program)
        runtime.call = self.callback

    # ----------------------------------------------------------------------------------------------------- preparation
    def prepare(self, program: Program) -> Code:
        """The program ready to run; each only once."""
        known = self.codes.get(id(program))
        if known is not None:
            return known
        slots = len(program.insns)
        text = self.memory.add(f"text of {program.name}", 0, writable=False)
        maps = self.runtime.maps.link(program.maps)
        steps: list[Step] = []
        for pc, insn in enumerate(program.insns):
            steps.append(HALF if insn is None else _pending(steps, insn, self, pc, slots, text.base, maps))
        steps.append(OUTSIDE)
        code = Code(program, text, steps)
        text.owner = code
        for target in maps:
            if isinstance(target, InsnArray):
                target.place(text.base, ADDR_SLOT)
        self.codes[id(program)] = code
        return code

    def stack(self, depth: int) -> Region:
        """The stack of the frame at `depth`, made when first needed."""
        while len(self.stacks) <= depth:
            region = self.memory.add("stack" if depth == 0 else f"stack of frame {len(self.stacks)}", STACK_SIZE)
            region.origin = region.hi
            self.stacks.append(region)
        return self.stacks[depth]

    def release(self) -> None:
        """Give back what belongs to this run alone; maps stay."""
        packet, context = self.runtime.packet, self.runtime.context_region
        regions = [*self.stacks, *(code.text for code in self.codes.values())]
        for region in [*regions, *([packet.region] if packet else []), *([context] if context else [])]:
            self.memory.drop(region)

    # --------------------------------------------------------------------------------------------------------- running
    def run(self) -> int:
        """Run from the start to the end; r0.  Raises `_Trapped`."""
        self.registers[1 : 1 + len(self.arguments)] = self.arguments
        self.registers[10] = self.stack(0).hi
        return self._nested(0)

    def callback(self, address: int, args: tuple[int, ...]) -> int:
        """Run the function at `address` with r1.. = args and return its r0; all registers are as before."""
        before = list(self.registers)
        code, loops = self.code, self.loops
        self._push(self.code, -1)
        self.registers[1 : 1 + len(args)] = [a & U64_MAX for a in args]
        result = self._nested(self.slot_of(address))
        self.registers[:] = before
        self.code, self.loops = code, loops
        return result

    def _nested(self, pc: int) -> int:
        self.bases.append(len(self.frames))
        loop = self._loop if self.observer is None else self._observed
        try:
            while True:
                try:
                    pc = loop(pc)
                except _Switched:
                    pc = self.pc
                except _Finished:
                    return self.registers[0]
        finally:
            self.bases.pop()

    def _loop(self, pc: int) -> int:
        """At most a slice of steps from `pc`; returns where to go on."""
        steps = self.code.steps
        registers = self.registers
        done = 0
        try:
            for done in range(max(1, min(SLICE, self.budget - self.executed))):  # noqa: B007
                pc = steps[pc](registers)
        except ProgramFault as fault:
            raise _Trapped(self._trap(fault, pc)) from None
        finally:
            self.executed += done + 1
        self._check_budget(pc)
        return pc

    def _check_budget(self, pc: int) -> None:
        if self.executed >= self.budget:
            raise _Trapped(self._trap(ProgramFault("budget", f"more than {self.budget} instructions"), pc))

    def _trap(self, fault: ProgramFault, pc: int) -> Trap:
        insns = self.code.program.insns
        insn = insns[pc] if pc < len(insns) else None
        return fault.at(pc, format_insn(insn) if insn is not None else "")

    # ------------------------------------------------------------------------------------------------- what steps call
    def _push(self, code: Code, back: int) -> None:
        depth = len(self.frames) + 1
        if depth >= MAX_FRAMES:
            raise ProgramFault("call", f"the call stack of {depth + 1} frames is too deep")
        self.frames.append(Frame(code, back, self.registers[6:11], self.loops))
        self.registers[10] = self.stack(depth).hi
        self.loops = MAY_GOTO_BUDGET

    def enter(self, target: int, back: int) -> int:
        """Call the function at slot `target`; returns it."""
        self._push(self.code, back)
        return target

    def leave(self) -> int:
        """Return from the current function: the slot to go on at."""
        if len(self.frames) == self.bases[-1]:
            if len(self.bases) > 1:
                self.frames.pop()
            raise _Finished
        frame = self.frames.pop()
        self.registers[6:11] = frame.saved
        self.loops = frame.loops
        if frame.code is not self.code:
            self.code, self.pc = frame.code, frame.back
            raise _Switched
        return frame.back

    def may_goto(self) -> bool:
        """Is there loop budget left?  Uses up one."""
        self.loops -= 1
        return self.loops >= 0

    def slot_of(self, address: int) -> int:
        """The slot that a text address stands for."""
        region = self.memory.find(address)
        offset = address - self.code.text.base
        if region is not self.code.text or offset % ADDR_SLOT or not 0 <= offset // ADDR_SLOT < len(self.code.steps):
            raise ProgramFault("jump", f"{address:#x} is not the address of an instruction")
        return offset // ADDR_SLOT

    def call_address(self, address: int, back: int) -> int:
        return self.enter(self.slot_of(address), back)

    def tail_call(self, map_address: int, index: int, go_on: int) -> int:
        """Go on in another program, or at `go_on` when there is none or the limit is reached."""
        array = self.memory.owner(map_address, "a map")
        if not isinstance(array, ProgramArray):
            raise ProgramFault("helper", "bpf_tail_call needs a program array")
        program = array.programs.get(index & 0xFFFF_FFFF)
        if program is None or self.tail_calls >= MAX_TAIL_CALLS:
            return go_on
        self.tail_calls += 1
        self.code, self.pc = self.prepare(program), 0
        self.loops = MAY_GOTO_BUDGET
        raise _Switched

    def call_import(self, number: int, back: int) -> int:
        """Call the function that the library linker names for import `number` of the current program."""
        if self.runtime.imports is None:
            raise ProgramFault("call", f"there is no library with import {number}")
        program, slot = self.runtime.imports(self.code.program, number)
        self._push(self.code, back)
        self.code, self.pc = self.prepare(program), slot
        raise _Switched

    def packet_load(self, off: int, size: int) -> int | None:
        return load_packet(self.runtime, off, size)

    # --------------------------------------------------------------------------------------------------- being watched
    def _observed(self, pc: int) -> int:
        """As `_loop`, one step at a time, telling the observer."""
        registers = self.registers
        for _ in range(max(1, min(SLICE, self.budget - self.executed))):
            insn = self.code.program.insns[pc] if pc < len(self.code.program.insns) else None
            pc = self._watch(insn, pc, registers)
        self._check_budget(pc)
        return pc

    def _watch(self, insn: Instruction | None, pc: int, registers: list[int]) -> int:
        observer, step, before, depth = self.observer, self.executed, list(registers), len(self.frames)
        assert observer is not None
        self.executed += 1
        observer.visit(step, pc, registers)
        following = pc
        try:
            following = self.code.steps[pc](registers)
            return following
        except ProgramFault as fault:
            trap = self._trap(fault, pc)
            observer.trap(step, pc, str(trap))
            raise _Trapped(trap) from None
        except _Switched:
            following = self.pc
            raise
        finally:
            if insn is not None:
                self._tell(observer, step, pc, insn, before, following)
            if len(self.frames) != depth:
                observer.frame(step, pc, len(self.frames), following)

    def _tell(
        self, observer: Observer, step: int, pc: int, insn: Instruction, before: list[int], following: int
    ) -> None:
        kind = insn.kind
        if kind in LOADS:
            self._tell_access(observer, step, pc, "load", before[insn.src] + insn.off, insn.op.size)
        elif kind in STORES or kind == ops.ATOMIC:
            what = "atomic" if kind == ops.ATOMIC else "store"
            self._tell_access(observer, step, pc, what, before[insn.dst] + insn.off, insn.op.size)
        elif kind in CONDITIONS:
            observer.branch(step, pc, following, following != pc + 1)
        elif kind in CALLS:
            name = helper_name(insn.imm if kind == ops.CALL else before[insn.dst])
            if name:
                observer.call(step, pc, name, before[1:6], self.registers[0])
        for register in range(11):
            if before[register] != self.registers[register]:
                observer.write(step, pc, register, before[register], self.registers[register])

    def _tell_access(self, observer: Observer, step: int, pc: int, what: str, addr: int, size: int) -> None:
        region = self.memory.find(addr & U64_MAX)
        if region is None:
            return
        try:
            value = self.memory.load(addr & U64_MAX, size)
        except ProgramFault:
            return
        observer.access(step, pc, what, region.name, (addr & U64_MAX) - region.origin, size, value)


HALF: Final = trap("jump", "control reached the second half of a wide instruction")
OUTSIDE: Final = trap("jump", "control left the program")


def _pending(
    steps: list[Step], insn: Instruction, machine: Machine, pc: int, slots: int, text: int, maps: list[Map]
) -> Step:
    """A step that lowers its instruction when it is first taken, and from then on is what it was lowered to."""

    def run(registers: list[int]) -> int:
        step = steps[pc] = lower(insn, Place(machine, pc, slots, text, maps))
        return step(registers)

    return run


def load_packet(runtime: Runtime, off: int, size: int) -> int | None:
    """A big-endian value from the packet, for ld_abs and ld_ind; None outside it."""
    packet, skb = runtime.packet, runtime.skb
    if packet is None or skb is None:
        raise ProgramFault("opcode", f"no packet to load from in a {runtime.program.type} program")
    if off >= 0:
        raw = packet.load(off, size)
        return None if raw is None else int.from_bytes(raw, "big")
    base = _negative(off)
    if base is None:
        return None
    start = (skb.network if base[1] else skb.mac) + base[0]
    if start + size > packet.end or start < packet.region.base:
        return None
    return int.from_bytes(packet.get(start - packet.start, size), "big")


def _negative(off: int) -> tuple[int, bool] | None:
    """What a negative offset of ld_abs means: (offset, from the network header?); None for neither header."""
    if off >= -0x100000:                  # SKF_NET_OFF
        return off + 0x100000, True
    if off >= -0x200000:                  # SKF_LL_OFF
        return off + 0x200000, False
    return None


def run(
    program: Program,
    data: bytes | str = b"",
    ctx: ContextGiven = None,
    maps: object = None,
    budget: int = DEFAULT_BUDGET,
    trace: bool = False,
    observe: Observer | None = None,
    cpus: int = 1,
    seed: int = 0,
    clock: Callable[[], int] | None = None,
    imports: Imports | None = None,
) -> Result:
    """Run a program once.

    `data`     the packet (bytes or hex text) for networking types, the context's bytes for others
    `ctx`      context fields by name, or the context's bytes
    `maps`     {map name or index: {key: value}}, or the `maps` of an earlier result
    `budget`   instructions after which the program is stopped with a trap
    `trace`    keep every event in `Result.trace`;  `observe` tell an observer of your own
    `seed`     of the random helper;  `clock` the function that answers for bpf_ktime_get_ns
    `imports`  answers for calls into shared libraries: (program, number) -> (program, slot)

    What the program does wrong is `Result.trap`; `InterpError` and `NotSupported` are raised for what cannot be run.

    >>> from bpfbench.program.program import from_assembly
    >>> run(from_assembly("r0 = 2\\nr0 *= 21\\nexit"))
    <r0 = 0x2a, 3 instructions>
    """
    runtime = surroundings(program, data, ctx, maps, cpus, seed)
    if clock is not None:
        runtime.clock = clock
    runtime.imports = imports
    machine = Machine(program, runtime, budget)
    recorder = Recorder() if trace else None
    machine.observer = observe if observe is not None else recorder
    return _result(machine, recorder)


def run_memory(program: Program, memory: bytes, budget: int = DEFAULT_BUDGET) -> Result:
    """Run a bare function: r1 = address of `memory`, r2 = its length; the memory afterwards is the result's `data`."""
    bare = Program(program.insns, "unspec", program.name, program.license, program.maps)
    machine = Machine(bare, surroundings(bare, b""), budget)
    region = machine.memory.add("memory", len(memory)) if memory else None
    if region is not None:
        region.buf[:] = memory
    machine.arguments = (region.base if region is not None else 0, len(memory))
    result = _result(machine, None)
    result.data = bytes(region.buf) if region is not None else b""
    return result


def _result(machine: Machine, recorder: Recorder | None) -> Result:
    """Run to the end and put together the result."""
    r0, failed = 0, None
    try:
        r0 = machine.run()
    except _Trapped as trapped:
        failed = trapped.trap
    result = Result(machine.runtime, r0, failed, machine.executed, recorder.trace if recorder is not None else None)
    machine.release()
    return result
