"""What a verifier tells a code generator, besides the program itself.

The kernel hands each function of a program to its JIT together with a few facts found while verifying: how much stack
it uses, whether a tail call can happen in it or below it, whether zero extensions were already inserted.  `Facts` is
that record.  When no verification is at hand, `estimate` reads the facts off the instructions: constant displacements
from the frame pointer, pointers into the stack derived by constant addition, and the call graph.

Source: kernel/bpf/verifier.c (check_max_stack_depth, opt_subreg_zext_lo32_rnd_hi32), include/linux/bpf.h
(struct bpf_prog_aux).
"""

from __future__ import annotations

from typing import final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.jit.partition import Function

TAIL_CALL: int = 12         # BPF_FUNC_tail_call
FRAME: int = 10


@final
class Facts:
    """Per function, in order: `stack_depth` in bytes and `tail_call_reachable`; for the whole program the rest.

    `zext_inserted`   upper halves are cleared by instructions already in the program (see `Op` ZEXT32)
    `pokes`           pcs of tail calls whose map and index are constant, so that the kernel patches a direct jump
    `private_stack`   functions whose frame lives outside the kernel stack (6.13 and later)
    """

    __slots__ = ("stack_depth", "tail_call_reachable", "zext_inserted", "pokes", "private_stack")

    def __init__(
        self, stack_depth: list[int], tail_call_reachable: list[bool], zext_inserted: bool = False,
        pokes: list[int] | None = None, private_stack: list[bool] | None = None,
    ) -> None:  # fmt: skip
        self.stack_depth = stack_depth
        self.tail_call_reachable = tail_call_reachable
        self.zext_inserted = zext_inserted
        self.pokes: list[int] = pokes if pokes is not None else []
        self.private_stack: list[bool] = private_stack if private_stack is not None else [False] * len(stack_depth)

    def __repr__(self) -> str:
        return f"Facts(stack_depth={self.stack_depth}, tail_call_reachable={self.tail_call_reachable})"


def estimate(insns: list[Instruction | None], functions: list[Function], zext_inserted: bool = False) -> Facts:
    """Facts read off the instructions alone."""
    depths = [stack_depth(insns, f) for f in functions]
    return Facts(depths, tail_calls(insns, functions), zext_inserted)


def stack_depth(insns: list[Instruction | None], function: Function) -> int:
    """Deepest constant displacement from the frame pointer, directly or through copies made by constant addition.

    A pointer into the stack is followed within the function in program order; at a join the deeper offset wins.
    """
    deepest = 0
    at: list[int | None] = [None] * 12
    at[FRAME] = 0
    for pc in range(function.start, function.end):
        insn = insns[pc]
        if insn is None:
            continue
        k = insn.kind
        base = None
        if k in (ops.ST, ops.STX, ops.ATOMIC, ops.STORE_REL):
            base = at[insn.dst]
        elif k in (ops.LDX, ops.LDXS, ops.LOAD_ACQ):
            base = at[insn.src]
        if base is not None:
            deepest = max(deepest, -(base + insn.off))
        if insn.is_call:
            for r in range(1, 6):
                deepest = max(deepest, -(at[r] or 0))
            at[0:6] = [None] * 6
        elif k == ops.ALU64 and insn.op.fn == ops.MOV and not insn.op.imm:
            at[insn.dst] = at[insn.src]
        elif k == ops.ALU64 and insn.op.imm and insn.op.fn in (ops.ADD, ops.SUB) and at[insn.dst] is not None:
            step = insn.imm if insn.op.fn == ops.ADD else -insn.imm
            at[insn.dst] = (at[insn.dst] or 0) + step
            deepest = max(deepest, -(at[insn.dst] or 0))
        else:
            for r in range(10):
                if insn.writes >> r & 1:
                    at[r] = None
    return deepest


def direct_depth(insns: list[Instruction | None], function: Function) -> int:
    """Deepest access through the frame pointer itself; unlike `stack_depth` never more than is used."""
    deepest = 0
    for pc in range(function.start, function.end):
        insn = insns[pc]
        if insn is None:
            continue
        if insn.kind in (ops.ST, ops.STX, ops.ATOMIC, ops.STORE_REL) and insn.dst == FRAME:
            deepest = max(deepest, -insn.off)
        elif insn.kind in (ops.LDX, ops.LDXS, ops.LOAD_ACQ) and insn.src == FRAME:
            deepest = max(deepest, -insn.off)
    return deepest


def tail_calls(insns: list[Instruction | None], functions: list[Function]) -> list[bool]:
    """Functions on a path of calls to one that makes a tail call (a whole path is reachable, callers included)."""
    found = [False] * len(functions)
    callers: list[list[int]] = [[] for _ in functions]
    for i, f in enumerate(functions):
        for pc in range(f.start, f.end):
            insn = insns[pc]
            if insn is None:
                continue
            if insn.kind == ops.CALL and insn.imm == TAIL_CALL:
                found[i] = True
            elif insn.kind == ops.CALL_LOCAL:
                callers[f.callees[pc]].append(i)
    work = [i for i, yes in enumerate(found) if yes]
    while work:
        for caller in callers[work.pop()]:
            if not found[caller]:
                found[caller] = True
                work.append(caller)
    return found
