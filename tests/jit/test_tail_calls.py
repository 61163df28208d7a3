"""Tail calls as the kernel's generators emit them: code that walks the kernel's own structures.

    struct bpf_array: … max_entries …  ptrs[0] ptrs[1] ptrs[2] …      struct bpf_prog: … bpf_func …
                                                        └──────────────────►           └──► image of the other program

The engines of bpfbench look a program up themselves, so here the two structures are built by hand, and the machine runs
the first program's image with the second one in slot 2.
"""

from __future__ import annotations

import pytest
import unicorn

from bpfbench import assemble
from bpfbench.execute.emulate import Emulator
from bpfbench.execute.host_memory import HostMemory
from bpfbench.interp.runtime import surroundings
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP
from bpfbench.jit import a32, compile_program
from bpfbench.jit.code import Code
from bpfbench.jit.features import tail_call_layout
from bpfbench.jit.link import link
from bpfbench.profiles import profile
from bpfbench.program.program import Program

PAGE, ARRAY, PROGRAM = 0x0E00_0000, 0x0E00_0000, 0x0E00_0800
FIRST_IMAGE, SECOND_IMAGE = 0x0180_0000, 0x0190_0000
SLOT, SLOTS = 2, 4
#: what the emulated processor needs
FEATURES = {"mips64": {"mips_r6": True}}

#: r7 and the stack are used so that the two programs have frames of their own
SECOND = "r7 = 5\n*(u64 *)(r10 - 16) = 6\nr0 = *(u64 *)(r10 - 16)\nr0 += r7\nr1 = *(u32 *)(r1 + 0)\nr0 += r1\nexit"


def caller(index: int) -> Program:
    insns = [
        Instruction(OP["MOV64_X"], 6, 1), Instruction(OP["STDW"], 10, off=-8, imm=77),
        Instruction(OP["LDDW"], 2, imm=ARRAY), Instruction(OP["MOV64_K"], 3, imm=index),
        Instruction(OP["CALL"], imm=12), Instruction(OP["MOV64_K"], imm=1), Instruction(OP["EXIT"]),
    ]  # fmt: skip
    return Program(decode(encode(insns)), "socket_filter", "caller")


def offsets(target: str, kernel: str) -> tuple[int, int, int, int]:
    """Where the structures keep the number of entries, the pointers and the entry; the size of a pointer."""
    version = profile(kernel).version
    if target == "arm":
        return a32.MAX_ENTRIES, a32.PROGRAMS[version >= (6, 8)], a32.ENTRY, 4
    return *tail_call_layout(version), 8


def compiled(program: Program, target: str, kernel: str) -> Code:
    return compile_program(program, target, kernel, features=FEATURES.get(target))


def outcome(target: str, kernel: str, index: int, second: Code) -> int:
    """The low 32 bits of r0 after running the caller with this index."""
    entries, pointers, entry, word = offsets(target, kernel)
    trivial = assemble("r0 = 0\nexit", type="socket_filter")
    machine = Emulator(trivial, target, surroundings(trivial, memory=HostMemory(real=False)), 10.0)
    uc = machine.uc
    uc.mem_map(PAGE, 0x1000, unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE)
    uc.mem_write(ARRAY + entries, SLOTS.to_bytes(4, "little"))
    uc.mem_write(ARRAY + pointers + SLOT * word, PROGRAM.to_bytes(word, "little"))
    uc.mem_write(PROGRAM + entry, SECOND_IMAGE.to_bytes(word, "little"))
    for at, code in ((FIRST_IMAGE, compiled(caller(index), target, kernel)), (SECOND_IMAGE, second)):
        uc.mem_write(at, link(code, at, lambda kind, symbol: None).bytes)
    context = machine.stack.lo
    uc.mem_write(context, (1000).to_bytes(4, "little"))
    uc.reg_write(machine.host.sp, machine.stack.hi - 0x200)
    return machine._enter(FIRST_IMAGE, (context,)) & 0xFFFF_FFFF


@pytest.mark.parametrize("kernel", ["linux-6.1", "linux-6.12"])
@pytest.mark.parametrize("target", ["arm", "mips64", "ppc64"])
def test_a_tail_call_leaves_for_good_or_falls_through(target: str, kernel: str) -> None:
    second = compiled(assemble(SECOND, type="socket_filter"), target, kernel)
    assert outcome(target, kernel, SLOT, second) == 5 + 6 + 1000
    assert outcome(target, kernel, SLOT - 1, second) == 1         # no program there
    assert outcome(target, kernel, SLOTS, second) == 1            # beyond the last entry


@pytest.mark.parametrize("target", ["arm", "mips64", "ppc64"])
def test_a_program_that_calls_itself_stops_at_the_limit(target: str) -> None:
    itself = compiled(caller(SLOT), target, "linux-6.1")
    assert outcome(target, "linux-6.1", SLOT, itself) == 1
