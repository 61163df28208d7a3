"""What DWARF and ELF call things on each host machine, as tables.

A target names machine registers as its own listing does (`rbx`, `x19`, `s0`); DWARF numbers them by the machine's ABI.
`bpf` says where each eBPF register r0..r10 is while the program runs: a register, a pair of registers (high:low), or
memory at an offset from a register.

Sources: System V ABI AMD64 fig. 3.36; DWARF for the Arm 64-bit and Arm architectures; RISC-V DWARF specification;
64-bit ELF V2 ABI (Power) 2.4; MIPS: register numbers as in the ISA; `elf.h` for machine numbers.
"""

from __future__ import annotations

from types import ModuleType
from typing import Final, final

from bpfbench.errors import DebugError
from bpfbench.jit import a32, a64, mips64, ppc64, rv64, x64
from bpfbench.machine.x64 import NAMES64

Place = tuple[str, int, int]  # ("reg", number, 0) | ("pair", high, low) | ("memory", base register, offset)


@final
class DebugTarget:
    """One host machine: its ELF identity and its registers in DWARF's numbers."""

    __slots__ = ("name", "elf_machine", "elf_flags", "bits", "big_endian", "numbers", "return_column", "stack", "entry",
                 "unit", "bpf")  # fmt: skip

    def __init__(
        self, name: str, elf_machine: int, elf_flags: int, bits: int, numbers: dict[str, int], return_column: int,
        stack: str, entry: int, unit: int, bpf: list[Place], big_endian: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.elf_machine = elf_machine
        self.elf_flags = elf_flags
        self.bits = bits
        self.big_endian = big_endian
        self.numbers = numbers              # machine register name -> DWARF number
        self.return_column = return_column  # DWARF number of the return address
        self.stack = stack                  # the stack pointer, and at a function's entry
        self.entry = entry                  # ... the CFA is that far above it
        self.unit = unit                    # smallest instruction in bytes
        self.bpf = bpf

    def number(self, register: str) -> int:
        register = register.lstrip("$")
        if register.isdigit():
            return int(register)
        if register not in self.numbers:
            raise DebugError(f"{self.name}: register '{register}' has no DWARF number")
        return self.numbers[register]


def _numbered(prefix: str, count: int, **more: int) -> dict[str, int]:
    return {**{f"{prefix}{n}": n for n in range(count)}, **more}


def _map(module: ModuleType) -> list[int]:
    """The machine register of each eBPF register, in the module that generates code for the machine."""
    return list(vars(module)["REG"])


def _registers(numbers: list[int]) -> list[Place]:
    return [("reg", number, 0) for number in numbers[:11]]


_X64: Final = {name: at for at, name in enumerate(
    "rax rdx rcx rbx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15 rip".split())}  # fmt: skip
_RV64: Final = (
    "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
).split()
_MIPS: Final = (
    "zero at v0 v1 a0 a1 a2 a3 a4 a5 a6 a7 t0 t1 t2 t3 s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 gp sp fp ra"
).split()


def _arm_places() -> list[Place]:
    """r0, r1 and r6 are register pairs, the others words in the scratch area below fp."""
    found: list[Place] = []
    for number in range(11):
        pair = a32.A32Target.pairs[number]
        if pair.stacked:
            found.append(("memory", 11, pair.lo))
        else:
            found.append(("pair", pair.hi, pair.lo))
    return found


TARGETS: Final[dict[str, DebugTarget]] = {t.name: t for t in (
    #           name      e_machine  e_flags   bits numbers                              ra  stack  entry unit
    DebugTarget("x86_64",    62, 0,           64, _X64,                                 16, "rsp", 8, 1,
                _registers([_X64[NAMES64[r]] for r in _map(x64)[:11]])),
    DebugTarget("aarch64",  183, 0,           64, _numbered("x", 31, sp=31),            30, "sp", 0, 4,
                _registers(_map(a64))),
    DebugTarget("arm",       40, 0x05000000,  32, _numbered("r", 16, fp=11, ip=12, sp=13, lr=14, pc=15), 14, "sp", 0, 4,
                _arm_places()),
    DebugTarget("mips64",     8, 0x80000000,  64, {**{n: i for i, n in enumerate(_MIPS)}, "s8": 30}, 31, "sp", 0, 4,
                _registers(_map(mips64))),
    DebugTarget("ppc64",     21, 2,           64, _numbered("r", 32, sp=1, fp=31, lr=65, ctr=66), 65, "sp", 0, 4,
                _registers(_map(ppc64))),
    DebugTarget("riscv64",  243, 0x5,         64, {**{n: i for i, n in enumerate(_RV64)}, "fp": 8}, 1, "sp", 0, 2,
                _registers(_map(rv64))),
)}  # fmt: skip


def debug_target(name: str) -> DebugTarget:
    """The record of a target; DebugError for one without DWARF (nfp)."""
    if name not in TARGETS:
        raise DebugError(f"no debug information for target '{name}'; there is for {', '.join(TARGETS)}")
    return TARGETS[name]
