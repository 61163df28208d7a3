"""Where one function of a program ends and the next begins, as the code generator's driver needs it.

A target compiles one function at a time and knows no other (slide 38: "architecture back-end doesn't know function
partition").  The driver therefore cuts the program here and resolves each bpf-to-bpf call to a function number.
Functions start at slot 0, at targets of calls, and at functions whose address is taken.

A program as the user wrote it has the distance of a callee in `imm`; one that the kernel has rewritten may have it in
`off`, with the function number (or a native address) in `imm`.

Source: kernel/bpf/verifier.c (add_subprog, jit_subprogs, bpf_insn_prepare_dump); slides 25, 37, 38.
"""

from __future__ import annotations

from typing import final

from bpfbench.errors import JitError, Where
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction


@final
class Function:
    """Slots `start`..`end` (exclusive) of the program; `callees` maps the pc of a local call or of a function
    address to the number of the function meant."""

    __slots__ = ("index", "name", "start", "end", "callees")

    def __init__(self, index: int, name: str, start: int, end: int) -> None:
        self.index = index
        self.name = name
        self.start = start
        self.end = end
        self.callees: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"Function({self.index}, {self.name!r}, {self.start}..{self.end})"


def partition(insns: list[Instruction | None], rewritten: bool, names: dict[str, int] | None = None) -> list[Function]:
    """The functions of a program, in order.  `names` maps symbols to slots.  JitError names a call out of range."""
    starts = {0}
    calls: list[tuple[int, int]] = []
    for pc, insn in enumerate(insns):
        if insn is None:
            continue
        if insn.kind == ops.CALL_LOCAL:
            target = pc + 1 + (insn.off if rewritten and insn.off else insn.imm)
        elif insn.kind == ops.LDDW and insn.op.fn == ops.FUNC:
            target = pc + 1 + insn.imm
        else:
            continue
        if not 0 <= target < len(insns) or insns[target] is None:
            raise JitError(f"call to slot {target}, which is not an instruction", Where(pc=pc))
        starts.add(target)
        calls.append((pc, target))
    called = {at: name for name, at in (names or {}).items()}
    ordered = sorted(starts)
    ends = ordered[1:] + [len(insns)]
    functions = [
        Function(i, called.get(start, "main" if i == 0 else f"func{i}"), start, end)
        for i, (start, end) in enumerate(zip(ordered, ends))
    ]
    number = {f.start: f.index for f in functions}
    owner = 0
    for pc, target in calls:
        while pc >= functions[owner].end:
            owner += 1
        functions[owner].callees[pc] = number[target]
    return functions
