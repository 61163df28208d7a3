"""What all native engines share: a program compiled for a target, and the calls it makes back into the runtime.

    program -> prepare -> code generator -> link at an address
                                    calls -> `Calls.answer`: a helper, a tail call, r0, a packet load

The engine supplies addresses for the symbols and moves arguments; everything that has meaning is here, on the same
runtime and helpers as the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.bits import U64_MAX, s32
from bpfbench.errors import BpfbenchError, ExecuteError, NotSupported
from bpfbench.execute.host_memory import sync
from bpfbench.execute.prepare import HELPERS as HELPER_BASE
from bpfbench.execute.prepare import PACKET_LOAD, RESULT, TAIL_FIND, TAIL_RUN, Prepared, prepare
from bpfbench.interp.helpers import HELPERS
from bpfbench.interp.machine import load_packet
from bpfbench.interp.map_kinds import InsnArray, ProgramArray
from bpfbench.interp.runtime import Runtime
from bpfbench.interp.trap import ProgramFault, Trap
from bpfbench.isa.helpers import helper_name
from bpfbench.jit.code import Code
from bpfbench.jit.compile import compile_program
from bpfbench.program.program import Program

MAX_TAIL_CALLS: Final = 33
CALL_BASE: Final = "__bpf_call_base+"
# features of the kernels' own surroundings that a program outside of a kernel has to do without
OUTSIDE: Final[dict[str, dict[str, bool]]] = {
    "x86_64": {"return_thunk": False, "retpoline": False, "ibt": False, "bmi2": False},
    "aarch64": {"pac": False, "bti": False},
    "arm": {"masked_shifts": True, "own_routines": True},
    "mips64": {"mips_r6": True},            # release 6 loads and stores unaligned memory, as emulated programs may
    "ppc64": {"masked_shifts": True},
    "riscv64": {"zba": False, "zbb": False, "zbkb": False, "zacas": False},
}


class Calls:
    """One run's calls from native code; `r0` is what the main program told, `fault` what a helper could not do."""

    def __init__(self, runtime: Runtime, run: Callable[[Program], int]) -> None:
        self.runtime = runtime
        self.run = run                       # run another program to its end (tail calls); returns its r0
        self.r0 = 0
        self.pending: Program | None = None
        self.tail_calls = 0
        self.error: BpfbenchError | None = None
        self.fault: Trap | None = None

    def renew(self, runtime: Runtime) -> None:
        """Begin another run with the same callbacks."""
        self.runtime = runtime
        self.r0 = self.tail_calls = 0
        self.pending = self.error = self.fault = None

    def answer(self, number: int, args: tuple[int, ...]) -> int:
        """Perform call `number`; the value for r0.  Faults and errors are kept, and 0 is returned."""
        try:
            return self._perform(number, args) & U64_MAX
        except ProgramFault as fault:
            self.fault = self.fault or fault.at(-1, f"call {helper_name(number - HELPER_BASE)}")
        except BpfbenchError as error:
            self.error = self.error or error
        finally:
            sync(self.runtime.context)
        return 0

    def _perform(self, number: int, args: tuple[int, ...]) -> int:
        if number == RESULT:
            self.r0 = args[0]
            return args[0]
        if number == PACKET_LOAD:
            value = load_packet(self.runtime, s32(args[0]), args[1])
            return -1 if value is None else value
        if number == TAIL_FIND:
            return self._find(args[1], args[2] & 0xFFFF_FFFF)
        if number == TAIL_RUN:
            program, self.pending = self.pending, None
            return self.run(program) if program is not None else 0
        row = HELPERS.get(number - HELPER_BASE)
        if row is None:
            raise NotSupported(f"helper bpf_{helper_name(number - HELPER_BASE)} in execution")
        value = row.fn(self.runtime, *args[: row.args])
        return int(value)

    def _find(self, map_address: int, index: int) -> int:
        """Note the program of a tail call: 1, or 0 if there is none."""
        array = self.runtime.memory.owner(map_address, "a map")
        if not isinstance(array, ProgramArray):
            raise ProgramFault("helper", "bpf_tail_call needs a program array")
        self.pending = array.programs.get(index)
        if self.pending is None or self.tail_calls >= MAX_TAIL_CALLS:
            return 0
        self.tail_calls += 1
        return 1


def compile_for(
    program: Program, target: str, kernel: str = "", tell: bool = True, fault: str = ""
) -> tuple[Prepared, Code]:
    """The program prepared and compiled for running outside a kernel.

    ARM and PPC64 use the profile whose shifts mask their amount, as eBPF says; their kernels' do not.  `fault` names a
    code generator bug (jit/history.py), for machines that are emulated.
    """
    ready = prepare(program, tell)
    features = {"user_space": True, **OUTSIDE.get(target, {})}
    profile = kernel or ("bpfbench" if target in ("arm", "ppc64") else "linux-6.18")
    return ready, compile_program(ready.program, target, profile, facts=ready.facts, features=features, fault=fault)


def symbol_number(symbol: str) -> int:
    """The call number in a symbol's name, or -1."""
    return int(symbol[len(CALL_BASE) :]) if symbol.startswith(CALL_BASE) else -1


def map_symbol(runtime: Runtime, program: Program, symbol: str) -> int:
    """Address of "map#i" or "map_value#i" of a program (an offset into the value is the relocation's addend)."""
    kind, _, index = symbol.partition("#")
    linked = runtime.maps.link(program.maps)
    if not index.isdigit() or int(index) >= len(linked):
        raise ExecuteError(f"nothing is known about symbol {symbol!r}")
    target = linked[int(index)]
    if isinstance(target, InsnArray):
        raise NotSupported(f"native addresses of instructions (gotox through map {target.name!r})")
    return target.direct(0) if "value" in kind else target.address
