"""The engine "nfp": a program offloaded to a simulated card, with arguments and result as of the interpreter.

    nfp_state    registers of a context, hazards       nfp_engine    fetch, decode, slots, contexts, trace
    nfp_arith    alu, shifts, carries                  nfp_commands  memory commands
    nfp_fields   immed, ld_field, csr, mul_step        nfp_bus       the card's memories
    nfp_flow     branches, swaps                       nfp_firmware  helpers, control messages (nfp_control)
                                                       nfp_card      one packet        nfp_host  a card to keep

Maps are the caller's, moved to the card and back; to keep a card with its maps for many packets, use `nfp_host.Card`.
"""

from __future__ import annotations

from bpfbench.execute.nfp_bus import CardMemory, headroom_of
from bpfbench.execute.nfp_card import CardResult, deliver, offload, process
from bpfbench.execute.nfp_engine import DEFAULT_CYCLES
from bpfbench.execute.nfp_firmware import Firmware
from bpfbench.execute.snapshot import give, moved, take
from bpfbench.interp.maps import Map
from bpfbench.interp.memory import Memory
from bpfbench.interp.runtime import ContextGiven, Maps, surroundings
from bpfbench.nfp.cells import swapped
from bpfbench.program.program import Program


def swap_counters(m: Map, words: set[int], memory: Memory) -> None:
    """Turn the counted words of all values of a map, as the host does when entries cross over."""
    for key in m.keys() if words else ():
        address = m.lookup(key)
        memory.write(address, swapped(memory.read(address, m.value_size), words))


def run(
    prog: Program, data: bytes | str = b"", ctx: ContextGiven = None, maps: object = None, cpus: int = 1, seed: int = 0,
    kernel: str = "bpfbench", without: tuple[str, ...] = (), trace: bool = False, budget: int = DEFAULT_CYCLES,
) -> CardResult:  # fmt: skip
    """Run `prog` on the card; arguments and result as of `interp.run`, and the `CardResult`'s own.

    `kernel`  "bpfbench", or "linux-6.1" for the driver's code       `without`  passes left out (nfp/passes.py)
    `trace`   record an event for each NFP instruction               `budget`   cycles after which the run is stopped
    Raises NotSupported when the program cannot be offloaded, Hazard when its code does what the machine leaves undefined.

    >>> from bpfbench.program.program import from_assembly
    >>> run(from_assembly("r0 = 1\\nexit")).verdict
    'drop'
    """
    loaded = offload(prog, kernel, without)
    memory = CardMemory()
    memory.headroom = headroom_of(prog.type)
    runtime = surroundings(prog, data, ctx, moved(maps, memory), cpus, seed, memory)
    firmware = Firmware(memory, seed=seed)
    linked = runtime.maps.link(prog.maps)
    for number, m in enumerate(linked):
        firmware.adopt(m, number)
        swap_counters(m, loaded.atomic.get(number, set()), memory)
    result = process(loaded, runtime, firmware, trace, budget)
    for number, m in enumerate(linked):
        swap_counters(m, loaded.atomic.get(number, set()), memory)
    deliver(firmware, linked)
    result.maps = give(take(runtime.maps), Maps(cpus=runtime.maps.cpus))
    return result
