"""From a program as a person wrote it to one that a code generator can take: the rewriting that running needs.

The kernel rewrites a program before its JIT sees it, towards the kernel's own structures.  An engine here has other
surroundings and rewrites less, and to other ends:

    r0 /= r1            guarded against division by 0 and overflow, which processors trap on
    may_goto, ld_abs    spelt out
    r0 = atomic_cmpxchg followed by w0 = w0, because some machines leave r0 as it was when it succeeds
    call bpf_x          call number HELPERS + x, so that no target replaces it by something only a kernel has
    tail call           find the program; if there is one, run it and return what it returned
    exit (main)         tell all 64 bits of r0: some targets return 32

Context accesses stay as they are: memory lies below 4 GiB, so a four-byte field holds a pointer.

Each instruction becomes a short list; jumps are linked afterwards.  Source: kernel/bpf/verifier.c, `do_misc_fixups`.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.isa.ops import OP
from bpfbench.jit.facts import Facts
from bpfbench.jit.partition import partition
from bpfbench.program.program import Program

# call numbers; a target names them __bpf_call_base+N
HELPERS: Final = 0x1000                  # + the helper's own number
TAIL_FIND, TAIL_RUN, RESULT, PACKET_LOAD = 0x2000, 0x2001, 0x2002, 0x2003
IMPORTS: Final = HELPERS + 0x10000     # functions of shared libraries, in the order of their program's imports
TAIL_CALL: Final = 12
AX: Final = 11                           # the auxiliary register
STACK: Final = 512
LOOP_SLOT: Final = -STACK - 8            # may_goto's budget, below the program's stack
LOOP_BUDGET: Final = 1 << 23             # BPF_MAX_LOOPS

# an instruction, and the slot of the original program it jumps to or names (None: nowhere, or within its list)
Line = tuple[Instruction, int | None]


@final
class Prepared:
    """`program` to compile, with `facts`; `entries` original slot of a function -> its slot now; `origin` the original
    slot of each slot now."""

    __slots__ = ("program", "facts", "entries", "origin")

    def __init__(self, program: Program, facts: Facts, entries: dict[int, int], origin: list[int]) -> None:
        self.program = program
        self.facts = facts
        self.entries = entries
        self.origin = origin


def make(name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Instruction:
    return Instruction(OP[name], dst, src, off, imm)


def prepare(program: Program, tell: bool = True) -> Prepared:
    """The program rewritten for execution.  Raises what the code generator raises for instructions it has not.

    `tell`  the main function tells its r0 before it leaves; without, only what the target returns is known
    """
    functions = partition(program.insns, False, dict(program.symbols))
    insns: list[Instruction | None] = []
    origin: list[int] = []                           # new slot -> original slot
    targets: list[tuple[int, int]] = []              # (new slot of the instruction, original slot it goes to)
    place: dict[int, int] = {}                       # original slot -> new slot, for jumps
    entries: dict[int, int] = {}                     # the same for calls, in front of what a function begins with
    for function in functions:
        entries[function.start] = len(insns)
        body = program.insns[function.start : function.end]
        if any(i is not None and i.kind == ops.MAY_GOTO for i in body):
            insns.append(make("STDW", 10, off=LOOP_SLOT, imm=LOOP_BUDGET))
        for pc, insn in enumerate(body, function.start):
            if insn is None:
                continue
            place[pc] = len(insns)
            origin += [function.start] * (len(insns) - len(origin))
            for line, target in expand(insn, pc, tell and function.index == 0):
                if target is not None:
                    targets.append((len(insns), target))
                insns.append(line)
                if line.op.wide:
                    insns.append(None)
            origin += [pc] * (len(insns) - len(origin))
    for at, target in targets:
        _link(insns, at, target, place, entries)
    # without a type: a kernel gives some types' functions stacks of their own, which only a kernel has
    ready = Program(insns, "unspec", program.name, program.license, program.maps)
    count = len(functions)
    return Prepared(ready, Facts([STACK + 8] * count, [False] * count), entries, origin)


def _link(
    insns: list[Instruction | None], at: int, target: int, place: dict[int, int], entries: dict[int, int]
) -> None:
    insn = insns[at]
    assert insn is not None
    if insn.kind in (ops.CALL_LOCAL, ops.LDDW):
        distance = entries.get(target, place.get(target, len(insns))) - at - 1
        insns[at] = Instruction(insn.op, insn.dst, insn.src, insn.off, distance)
        return
    distance = place.get(target, len(insns)) - at - 1
    if insn.kind == ops.JA:
        insns[at] = make("JA32", imm=distance) if not -0x8000 <= distance < 0x8000 else make("JA", off=distance)
    else:
        insns[at] = Instruction(insn.op, insn.dst, insn.src, distance, insn.imm)


# ------------------------------------------------------------------------------------------------------ by instruction
def expand(insn: Instruction, pc: int, main: bool) -> list[Line]:
    """What stands for `insn` at slot `pc`; `main`: it is in the function that tells its r0 before it leaves."""
    k = insn.kind
    if insn.flaw:
        return [(insn, None)]
    if k in (ops.ALU64, ops.ALU32) and insn.op.fn in (ops.DIV, ops.MOD, ops.SDIV, ops.SMOD):
        return [(line, None) for line in _division(insn)]
    if k in (ops.JMP, ops.JMP32, ops.JA):
        return [(insn, pc + 1 + insn.jump)]
    if k == ops.ATOMIC and insn.op.fn == ops.CMPXCHG and insn.op.size == 4:
        return [(insn, None), (make("MOV32_X", 0, 0), None)]
    if k == ops.CALL_LOCAL or k == ops.LDDW and insn.op.fn == ops.FUNC:
        return [(insn, pc + 1 + insn.imm)]
    if k == ops.MAY_GOTO:
        return [
            (make("LDXDW", AX, 10, LOOP_SLOT), None), (make("JEQ_K", AX), pc + 1 + insn.off),
            (make("ADD64_K", AX, imm=-1), None), (make("STXDW", 10, AX, LOOP_SLOT), None),
        ]  # fmt: skip
    if k in (ops.LD_ABS, ops.LD_IND):
        return [(line, None) for line in _packet_load(insn, main)]
    if k == ops.CALL:
        if insn.imm == TAIL_CALL:
            return [(line, None) for line in _tail_call(main)]
        return [(make("CALL", imm=HELPERS + insn.imm), None)]
    if k == ops.EXIT:
        return [(line, None) for line in _leave(main)]
    return [(insn, None)]


def _leave(main: bool) -> list[Instruction]:
    if not main:
        return [make("EXIT")]
    return [make("MOV64_X", 1, 0), make("CALL", imm=RESULT), make("EXIT")]


def _tail_call(main: bool) -> list[Instruction]:
    leave = _leave(main)
    return [
        make("CALL", imm=TAIL_FIND), make("JEQ_K", 0, off=1 + len(leave)), make("CALL", imm=TAIL_RUN), *leave,
    ]  # fmt: skip


def _packet_load(insn: Instruction, main: bool) -> list[Instruction]:
    leave = _leave(main)
    if insn.kind == ops.LD_IND:
        where = [make("MOV64_X", 1, insn.src), make("ADD64_K", 1, imm=insn.imm)]
    else:
        where = [make("MOV64_K", 1, imm=insn.imm)]
    return [
        *where, make("MOV64_K", 2, imm=insn.op.size), make("CALL", imm=PACKET_LOAD),
        make("JSGE_K", 0, off=1 + len(leave)), make("MOV64_K", 0), *leave,
    ]  # fmt: skip


def _division(insn: Instruction) -> list[Instruction]:
    bits = 64 if insn.kind == ops.ALU64 else 32
    jeq, dst, src = "JEQ_" if bits == 64 else "JEQ32_", insn.dst, insn.src
    zero = make("MOV32_K", dst)
    same = make(f"MOV{bits}_X", dst, dst)
    quotient = insn.op.fn in (ops.DIV, ops.SDIV)
    signed = insn.op.fn in (ops.SDIV, ops.SMOD)
    by_minus_one = make(f"NEG{bits}", dst) if quotient else zero
    if insn.op.imm:
        if insn.imm == 0:
            return [zero if quotient else same]
        return [by_minus_one] if signed and insn.imm == -1 else [insn]
    by_zero = zero if quotient else same
    if not signed:
        return [make(jeq + "K", dst=src, off=2), insn, make("JA", off=1), by_zero]
    return [
        make(jeq + "K", dst=src, off=3), make(jeq + "K", dst=src, off=4, imm=-1), insn, make("JA", off=3),
        by_zero, make("JA", off=1), by_minus_one,
    ]  # fmt: skip
