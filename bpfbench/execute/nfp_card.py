"""A card with an offloaded program: packets go in, verdicts come out, and the host reaches the maps by messages.

    code store      64 done | 128 + n helper n | 512 the program ...
    local memory    0 packet vector | 64 the stack, 512 bytes | junk
    packet vector   word 0 length in 13:0 · word 2 the packet's address · words 4, 6 a queue, if one was selected

Everything that the interface does not set is junk, different in the two banks; what has to survive is compared
afterwards.  At the start of each eBPF instruction the two copies of R0-R9 have to be alike.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import Final, final

from bpfbench.errors import ExecuteError, NotSupported
from bpfbench.execute import nfp_control as control
from bpfbench.execute.nfp_engine import DEFAULT_CYCLES, CodeStore, Engine
from bpfbench.execute.nfp_firmware import MAP_TYPES, MAX_ELEMENTS, MAX_KEY, MAX_VALUE, Firmware
from bpfbench.execute.nfp_state import U32, Context
from bpfbench.interp.machine import Result
from bpfbench.interp.map_kinds import PerfEvents
from bpfbench.interp.maps import Map
from bpfbench.interp.runtime import Runtime
from bpfbench.jit.nfp import Facts, NfpCode, compile_from, facts_of
from bpfbench.nfp.cells import atomic_words
from bpfbench.program.program import MapSpec, Program
from bpfbench.trace import Trace

DONE, HELPERS, START = 64, 128, 512
PROGRAM_ROOM: Final = 8192              # instructions (slide 41)
VECTOR: Final = 0                       # byte addresses in local memory
STACK: Final = 64
STACK_SIZE: Final = 512
LENGTH: Final = 0x3FFF
QUEUE_SELECTED: Final = 1 << 4
# fmt: off
#                  code in A0[23:16]: what happens
XDP_ACTIONS: Final = {0x82: "aborted", 0x22: "drop", 0x11: "pass", 0x44: "tx"}
TC_ACTIONS: Final = {0x22: "shot", 0x02: "stolen", 0x44: "redirect", 0x11: "pass"}
# fmt: on


class CardResult(Result):
    """A `Result` of the card.

    `verdict`  what the firmware does with the packet ("pass", "drop", …), from its action `code`
    `cycles`   from arrival to verdict;  `waited` of them for memory and helpers;  `dead` for fetching after branches
    `insns_executed`  NFP instructions        `r0`  R0 where the program ended, as the firmware sees it: 32 bits
    """

    def __init__(self, runtime: Runtime, c: Context, trace: Trace | None) -> None:
        super().__init__(runtime, (c.result or 0) & U32, None, c.executed, trace)
        self.code = c.a[0] >> 16 & 0xFF
        self.verdict = (XDP_ACTIONS if runtime.program.type == "xdp" else TC_ACTIONS).get(self.code, "unknown")
        self.cycles = c.cycle
        self.waited = c.waited
        self.dead = c.dead
        self.pair = c.result if c.result is not None else 0

    def __repr__(self) -> str:
        return f"<{self.verdict}, r0 = {self.r0:#x}, {self.insns_executed} instructions, {self.cycles} cycles>"


def action_of(program_type: str, r0: int) -> int:
    """The action code for a return value: what the outro has to make of it."""
    value = r0 & U32
    if program_type == "xdp":
        return {0: 0x82, 1: 0x22, 2: 0x11, 3: 0x44}.get(value, 0x82)
    return {2: 0x22, 4: 0x02, 5: 0x02, 7: 0x44}.get(value, 0x11)


# ------------------------------------------------------------------------------------------------------------- program
@final
class Offloaded:
    """A program translated and placed; `atomic` has, per map, the words that only atomic additions touch."""

    def __init__(self, program: Program, code: NfpCode, atomic: dict[int, set[int]]) -> None:
        if len(code.words) > PROGRAM_ROOM:
            raise NotSupported(f"offload to the NFP: {len(code.words)} instructions, a context has {PROGRAM_ROOM}")
        for spec in program.maps:
            refuse_map(spec)
        self.program = program
        self.code = code
        self.atomic = atomic
        self.store = CodeStore()
        helpers = {number: HELPERS + number for number in (1, 2, 3, 25)}
        self.store.load(code.image(START, DONE, helpers), START)
        for at in {code.offsets[step.pc] for step in code.steps}:
            self.store.before[START + at] = alike
        self.store.before[START + code.out] = keep_result


def alike(c: Context) -> None:
    if c.a[:20] != c.b[:20]:
        differ = [n for n in range(20) if c.a[n] != c.b[n]]
        raise c.hazard("banks", f"the copies of registers {differ} differ at the start of an eBPF instruction")


def keep_result(c: Context) -> None:
    c.result = c.b[0] | c.b[1] << 32


def refuse_map(spec: MapSpec) -> None:
    """NotSupported for a map that the card cannot hold."""
    name = f"offload to the NFP: map {spec.name or spec.type}"
    if spec.type == "perf_event_array":
        return
    if spec.type not in MAP_TYPES:
        raise NotSupported(f"{name} is of type {spec.type}, the card has {' and '.join(MAP_TYPES)}")
    if spec.flags:
        raise NotSupported(f"{name} has flags {spec.flags:#x}, the card knows none")
    if spec.key_size > MAX_KEY or spec.value_size > MAX_VALUE or spec.max_entries > MAX_ELEMENTS:
        raise NotSupported(f"{name} has {spec.max_entries} entries of {spec.key_size} + {spec.value_size} bytes, the "
                           f"card's limits are {MAX_ELEMENTS} of {MAX_KEY} + {MAX_VALUE}")  # fmt: skip


@lru_cache(maxsize=4)
def _verified(program: Program, raw: bytes, kernel: str) -> tuple[Facts, dict[int, set[int]]]:
    return facts_of(program, kernel), atomic_words(program)


@lru_cache(maxsize=16)
def _translated(program: Program, raw: bytes, kernel: str, without: tuple[str, ...]) -> Offloaded:
    facts, atomic = _verified(program, raw, kernel)
    return Offloaded(program, compile_from(program, facts, kernel, without), atomic)


def offload(program: Program, kernel: str = "bpfbench", without: tuple[str, ...] = ()) -> Offloaded:
    """Translate a program for the card; NotSupported says why it cannot be.  The last few are remembered."""
    return _translated(program, program.raw, kernel, without)


# -------------------------------------------------------------------------------------------------------------- packet
def process(
    loaded: Offloaded, runtime: Runtime, firmware: Firmware, trace: bool = False, budget: int = DEFAULT_CYCLES
) -> CardResult:
    """One packet through the card; the runtime's packet and context are afterwards what the card made of them."""
    memory, packet = firmware.memory, runtime.packet
    if packet is None or packet.frags or len(packet) > LENGTH:
        raise NotSupported(f"packets of {len(packet) if packet is not None else 0} bytes on the card")
    engine = Engine(memory, store=loaded.store)
    engine.budget = budget
    engine.trace = Trace() if trace else None
    c = engine.contexts[0]
    arrive(c, packet.start, len(packet), Random(firmware.junk.getrandbits(32)))
    c.random = lambda: runtime.random.getrandbits(32)
    local = engine.local
    memory.window = lambda: (local[2], local[2] + (local[0] & LENGTH))
    firmware.packet = lambda size: memory.read(local[2], size) if size <= local[0] & LENGTH else None
    engine.hooks[DONE] = end
    for number, helper in firmware.helpers().items():
        engine.hooks[HELPERS + number] = helper
    before = list(local)
    engine.run(c)
    unharmed(c, before)
    packet.start, packet.end = local[2], local[2] + (local[0] & LENGTH)
    packet.meta = packet.start
    packet.bounds()
    if local[4] & QUEUE_SELECTED and runtime.context is not None:
        runtime.context.set("rx_queue_index", local[6] & 0xFF)
    return CardResult(runtime, c, engine.trace)


def arrive(c: Context, address: int, length: int, junk: Random) -> None:
    """What the firmware sets when it starts the program; everything else is junk."""
    for n in range(len(c.a)):
        c.a[n] = junk.getrandbits(32)
        c.b[n] = c.a[n] if n < 20 else junk.getrandbits(32)
    for registers in (c.xin, c.xout, c.local):
        registers[:] = [junk.getrandbits(32) for _ in registers]
    c.local[0] = c.local[0] & ~LENGTH | length
    c.local[2] = address
    c.local[4] &= ~QUEUE_SELECTED
    c.a[22] = STACK
    for pointer, at in enumerate((STACK, VECTOR, junk.randrange(0, 4096, 4), junk.randrange(0, 4096, 4))):
        c.point(pointer, at)
    c.pc = START


def end(c: Context) -> None:
    c.ended = True


def unharmed(c: Context, before: list[int]) -> None:
    """The words of local memory that are not the program's have to be as they were."""
    beyond = (STACK + STACK_SIZE) // 4
    if c.local[beyond:] != before[beyond:]:
        raise ExecuteError("NFP program: it wrote to local memory beyond its stack")
    kept = (1, 3, 5, *range(7, STACK // 4))
    metadata = (c.local[0] ^ before[0]) & ~LENGTH or (c.local[2] ^ before[2]) >> 16
    if metadata or any(c.local[n] != before[n] for n in kept):
        raise ExecuteError("NFP program: it changed words of the packet vector that are not its own")


def deliver(firmware: Firmware, maps: list[Map]) -> None:
    """What the host does with events: the records of their perf event arrays."""
    for raw in firmware.events:
        event = control.decode(raw, firmware.cells)
        cpu, number = event.numbers
        target = maps[number] if number < len(maps) else None
        if not isinstance(target, PerfEvents):
            raise ExecuteError(f"an event for map {number}, which is no perf event array")
        packet, content = event.entries[0]
        target.records.append((cpu, content + packet))
    firmware.events.clear()
