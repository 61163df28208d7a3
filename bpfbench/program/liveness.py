"""Which registers matter before each instruction: liveness, computed once for the whole program.

A register is live before an instruction when some path from there reads it before writing it.  Backwards over the
instructions, until nothing changes:

      out[i] = union of in[s] over the successors s of i          in[i] = out[i] - written[i] + read[i]

This is what the kernel does since 6.18 before it walks any path; the slides' verifier (and kernels up to 6.17) find the
same facts during the walk, by marking the parents of a state (verifier/chain.py).  The order of visiting (`postorder`)
and the loops (`components`: strongly connected components) are the kernel's too, because its log shows them.

Sources: kernel/bpf/verifier.c `compute_live_registers`, `compute_postorder`, `compute_scc` (6.18); slides 32, 33.

>>> from bpfbench.isa.ops import OP
>>> code = [Instruction(OP["MOV64_K"], dst=0, imm=1), Instruction(OP["EXIT"])]
>>> [f"{m:b}" for m in live_registers(code, {}, postorder(code, [0])[0])]
['0', '1']
"""

from __future__ import annotations

from array import array

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction

CALLER_SAVED = 0b111111


def successors(insns: list[Instruction | None], pc: int) -> list[int]:
    """Where control may go next inside the function; the fall-through comes first."""
    insn = insns[pc]
    if insn is None:
        return [pc + 1]
    kind = insn.kind
    if kind in (ops.EXIT, ops.GOTOX):
        return []
    if kind == ops.JA:
        return [pc + 1 + insn.jump]
    if kind in (ops.JMP, ops.JMP32, ops.MAY_GOTO):
        return [pc + 1, pc + 1 + insn.jump]
    return [pc + insn.slots]


def postorder(insns: list[Instruction | None], starts: list[int]) -> tuple[list[int], list[int]]:
    """Instructions of each function after those they lead to; and where in that list each function begins."""
    order: list[int] = []
    begins: list[int] = []
    discovered = bytearray(len(insns) + 1)
    explored = bytearray(len(insns) + 1)
    for start in starts:
        begins.append(len(order))
        stack = [start]
        discovered[start] = 1
        while stack:
            top = stack[-1]
            if explored[top]:
                order.append(top)
                stack.pop()
                continue
            for s in successors(insns, top):
                if s < len(insns) and not discovered[s]:
                    stack.append(s)
                    discovered[s] = 1
            explored[top] = 1
    return order, begins


def use_and_def(insn: Instruction, calls: dict[int, int], pc: int) -> tuple[int, int]:
    """Registers read and registers written, as masks, by one instruction.

    `calls` gives for the calls whose prototype is known how many arguments they take, by pc.
    """
    kind = insn.kind
    dst, src = 1 << insn.dst, 1 << insn.src
    if kind in (ops.ALU64, ops.ALU32):
        if insn.op.fn == ops.MOV:
            return (0 if insn.op.imm else src), dst
        return (dst if insn.op.imm or insn.op.fn == ops.NEG else dst | src), dst
    if insn.flaw and kind in (ops.ATOMIC, ops.LOAD_ACQ, ops.STORE_REL):
        return _flawed_atomic(insn, dst, src)
    if kind in (ops.MOVSX, ops.ADDR_CAST, ops.LDX, ops.LDXS, ops.LOAD_ACQ):
        return src, dst
    if kind == ops.END:
        return dst, dst
    if kind == ops.LDDW:
        return 0, dst
    if kind == ops.ST:
        return dst, 0
    if kind in (ops.STX, ops.STORE_REL):
        return dst | src, 0
    if kind == ops.ATOMIC:
        if insn.op.fn == ops.CMPXCHG:
            return 1 | dst | src, 1
        return dst | src, src if insn.op.fn & 1 else 0
    if kind in (ops.JMP, ops.JMP32):
        return (dst if insn.op.imm else dst | src), 0
    if kind in (ops.JA, ops.MAY_GOTO):
        return 0, 0
    if kind == ops.GOTOX:
        return dst, 0
    if kind == ops.EXIT:
        return 1, 0
    if kind in (ops.CALL, ops.CALL_LOCAL, ops.CALL_KFUNC):
        taken = calls.get(pc, 5)
        return ((1 << (taken + 1)) - 2), CALLER_SAVED
    return 0xFFFF, 0


def _flawed_atomic(insn: Instruction, dst: int, src: int) -> tuple[int, int]:
    """Of an atomic operation that is not well formed, the number of the operation decides, whether it exists or not."""
    if insn.imm == 0xF1:
        return 1 | dst | src, 1
    if insn.imm == 0x100:
        return src, dst
    return dst | src, src if insn.imm & 1 and insn.imm != 0x110 else 0


def live_registers(insns: list[Instruction | None], calls: dict[int, int], order: list[int]) -> list[int]:
    """For each slot the mask of registers live before it (bit n = rn)."""
    n = len(insns)
    use, kill = [0xFFFF] * n, [0] * n
    for pc, insn in enumerate(insns):
        if insn is not None:
            use[pc], kill[pc] = use_and_def(insn, calls, pc)
        else:
            use[pc] = 0xFFFF
    before = [0] * n
    after = [0] * n
    changed = True
    while changed:
        changed = False
        for pc in order:
            out = 0
            for s in successors(insns, pc):
                out |= before[s]
            into = (out & ~kill[pc]) | use[pc]
            if out != after[pc] or into != before[pc]:
                after[pc], before[pc] = out, into
                changed = True
    return before


def fixpoint_steps(insns: list[Instruction | None], calls: dict[int, int],
                   order: list[int]) -> list[tuple[int, int, int, int]]:
    """The same computation one instruction at a time: (round, pc, mask before it, mask now), rounds from 1.

    The last round changes nothing, which is how it is known to be the last.

    >>> from bpfbench.isa.assembler import assemble_text
    >>> code = assemble_text("r0 = r6\\nexit").insns
    >>> fixpoint_steps(code, {}, postorder(code, [0])[0])
    [(1, 1, 0, 1), (1, 0, 0, 64), (2, 1, 1, 1), (2, 0, 64, 64)]
    """
    before = [0] * len(insns)
    steps: list[tuple[int, int, int, int]] = []
    changed, number = True, 0
    while changed:
        changed = False
        number += 1
        for pc in order:
            insn = insns[pc]
            use, kill = use_and_def(insn, calls, pc) if insn is not None else (0, 0)
            out = 0
            for s in successors(insns, pc):
                out |= before[s]
            now = (out & ~kill) | use
            steps.append((number, pc, before[pc], now))
            changed |= now != before[pc]
            before[pc] = now
    return steps


def components(insns: list[Instruction | None], implicit_loops: set[int]) -> list[int]:
    """Number of the loop that each instruction belongs to, from 1; 0 outside loops.

    Tarjan's algorithm without recursion. `implicit_loops` are calls that run a callback repeatedly.  Where no edge leads
    backwards there is nothing to look for.
    """
    n = len(insns)
    if not implicit_loops and not any(s <= pc for pc in range(n) for s in successors(insns, pc)):
        return [0] * n
    not_on_stack = 1 << 32
    pre, low, scc = array("q", bytes(8 * n)), array("q", bytes(8 * n)), [0] * n
    number, next_scc = 1, 1
    for first in range(n):
        if pre[first]:
            continue
        stack: list[int] = []
        path = [first]
        while path:
            top = path[-1]
            if not pre[top]:
                pre[top] = low[top] = number
                number += 1
                stack.append(top)
            follow = [s for s in successors(insns, top) if s < n]
            unvisited = -1
            for s in follow:
                if not pre[s]:
                    unvisited = s
                    break
                low[top] = min(low[top], low[s])
            if unvisited >= 0:
                path.append(unvisited)
                continue
            path.pop()
            if low[top] < pre[top]:
                continue
            is_loop = stack[-1] != top or top in follow or top in implicit_loops
            while True:
                member = stack.pop()
                low[member] = not_on_stack
                if is_loop:
                    scc[member] = next_scc
                if member == top:
                    break
            if is_loop:
                next_scc += 1
    return scc
