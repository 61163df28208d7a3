"""What runs a process, and what is patched when an import is bound.

    interp      the machine asks the process at every call; there is nothing to patch
    emulate:T   images under Unicorn; calls of imports go to stubs, which the linker patches (emulated.py)
    native      the same on this machine, in a child process that lives as long as the process does (native.py, child.py)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bpfbench.dynlink.forms import Loaded
from bpfbench.errors import DynlinkError
from bpfbench.execute.host_memory import HostMemory
from bpfbench.execute.snapshot import give, take
from bpfbench.interp.machine import Result
from bpfbench.interp.machine import run as interpret
from bpfbench.interp.runtime import Maps, Runtime
from bpfbench.interp.trap import ProgramFault
from bpfbench.program.program import Program

if TYPE_CHECKING:
    from bpfbench.dynlink.process import Process


class Engine:
    """Runs the modules of a process."""

    def run(self, data: bytes | str, ctx: Any) -> Result:
        raise NotImplementedError

    def replaced(self, old: Loaded, new: Loaded) -> None:
        """A library has taken another one's place: calls must not reach the old one any more."""

    def close(self) -> None:
        """Give everything back."""


class InterpEngine(Engine):
    """Calls into libraries are asked for one by one."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.maps: object = None

    def run(self, data: bytes | str, ctx: Any) -> Result:
        result = interpret(self.process.program, data, ctx, self.maps, imports=self.target)
        self.maps = result.maps
        result.maps = give(take(result.maps), Maps(cpus=result.maps.cpus))     # as they are now
        return result

    def target(self, program: Program, number: int) -> tuple[Program, int]:
        try:
            library, symbol = self.process.target(program, number)
        except DynlinkError as error:
            raise ProgramFault("call", str(error)) from None
        return library.executed, library.executed.symbols[symbol]


def give_back(runtime: Runtime, memory: HostMemory) -> None:
    """Unmap what belonged to one run: packet, context, objects.  Maps stay."""
    regions = [runtime.packet.region] if runtime.packet is not None else []
    regions += [runtime.context_region] if runtime.context_region is not None else []
    regions += [found for at in runtime.objects.values() if (found := memory.find(at)) is not None]
    for region in regions:
        memory.give_back(region)


def make_engine(process: Process, engine: str) -> Engine:
    kind, _, target = engine.partition(":")
    if kind == "emulate":
        from bpfbench.dynlink.emulated import EmulatedEngine

        return EmulatedEngine(process, target)
    if kind == "native":
        from bpfbench.dynlink.native import NativeEngine

        return NativeEngine(process)
    return InterpEngine(process)
