"""Which 32-bit results have an upper half that somebody reads.

eBPF clears the upper half with every 32-bit write.  On a machine that does not, an extra instruction is needed after
such a write, but only if a later instruction reads all 64 bits.  The walk sees that path by path; here the same
question is asked of the graph of seen instructions: which 32-bit definitions reach a 64-bit use?

    0  w0 = w1            definition {0} of r0
    1  if w0 > 5 goto …   32-bit use: nothing
    2  r0 += r2           64-bit use: definition 0 needs the extension

Calls of functions of the program pass r1-r5 on and bring r0 back; the callee's uses count for the caller's definitions.

Source: kernel/bpf/verifier.c (`is_reg64`, `insn_def_regno`, `mark_insn_zext`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier.helper_protos import proto
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.rewrite.hints import Hint

if TYPE_CHECKING:
    from bpfbench.verifier.state import State

_ALL_ARGUMENTS = 0b111110
_KEPT = 0b1111000000            # r6-r9


def definition(insn: Instruction) -> tuple[int, bool]:
    """(register written or -1, only its lower half).

    >>> from bpfbench.verifier.rewrite.body import op
    >>> definition(op(0xBC, 1, 2)), definition(op(0xBF, 1, 2)), definition(op(0x61, 3, 1)), definition(op(0x95))
    ((1, True), (1, False), (3, True), (-1, False))
    """
    k = insn.kind
    if k in (ops.ALU64, ops.LDDW, ops.ADDR_CAST, ops.PERCPU):
        return insn.dst, False
    if k in (ops.ALU32, ops.ZEXT32):
        return insn.dst, True
    if k == ops.MOVSX:
        return insn.dst, insn.op.code & 7 == 4
    if k == ops.END:
        return insn.dst, insn.op.size != 64
    if k in (ops.LDX, ops.LOAD_ACQ):
        return insn.dst, insn.op.size != 8
    if k == ops.LDXS:
        return insn.dst, False
    if k == ops.ATOMIC and (insn.op.fn & 1 or insn.op.fn in (ops.XCHG, ops.CMPXCHG)):
        return (0 if insn.op.fn == ops.CMPXCHG else insn.src), insn.op.size != 8
    if k in (ops.LD_ABS, ops.LD_IND):
        return 0, True
    return -1, False


def wide_uses(insn: Instruction, prog_type: str, version: tuple[int, int]) -> int:
    """Registers of which all 64 bits are read, as a mask."""
    k, d, s = insn.kind, 1 << insn.dst, 1 << insn.src
    if k in (ops.ALU64, ops.JMP):
        own = 0 if k == ops.ALU64 and insn.op.fn == ops.MOV else d
        return own if insn.op.imm or (k == ops.ALU64 and insn.op.fn == ops.NEG) else own | s
    if k == ops.MOVSX:
        return s if insn.op.code & 7 == 7 else 0
    if k == ops.END:
        return d if insn.op.size == 64 else 0
    if k in (ops.LDX, ops.LDXS, ops.LOAD_ACQ, ops.ADDR_CAST, ops.PERCPU):
        return s
    if k in (ops.STX, ops.STORE_REL, ops.ATOMIC):
        value = s if insn.op.size == 8 else 0
        if k == ops.ATOMIC and insn.op.fn == ops.CMPXCHG and insn.op.size == 8:
            value |= 1
        return d | value
    if k == ops.ST:
        return d
    if k == ops.EXIT:
        return 1
    if k == ops.LD_ABS:
        return 1 << 6
    if k == ops.LD_IND:
        return 1 << 6 | s
    if k == ops.CALL:
        known = proto(insn.imm, prog_type, 0, version)
        return (1 << (len(known.args) + 1)) - 2 if known is not None else _ALL_ARGUMENTS
    return _ALL_ARGUMENTS if k in (ops.CALL_KFUNC, ops.CALLX) else 0


class Edges(Observer):
    """Which instruction followed which on some path: what the graph allows and no path does is no use."""

    def __init__(self) -> None:
        self.taken: set[tuple[int, int]] = set()
        self.last = -1

    def visit(self, step: int, pc: int, state: State) -> None:
        if self.last >= 0:
            self.taken.add((self.last, pc))
        self.last = pc

    def resume(self, step: int, pc: int, prev: int, state: State) -> None:
        self.last = prev

    def prune(self, step: int, pc: int, old: State, state: State) -> None:
        if self.last >= 0:
            self.taken.add((self.last, pc))
        self.last = -1

    def end(self, step: int, pc: int, state: State) -> None:
        self.last = -1


def mark(insns: list[Instruction | None], hints: list[Hint], starts: list[int], prog_type: str,
         version: tuple[int, int], edges: set[tuple[int, int]] | None = None) -> None:
    """Set `zext` of every hint whose 32-bit result reaches a 64-bit use, along `edges` if given."""
    size = len(insns)
    reaching: list[list[int] | None] = [None] * size        # per slot: for each register a mask of definitions
    defs: list[int] = []                                    # bit number -> pc
    number: dict[int, int] = {}
    returns: dict[int, set[int]] = {start: set() for start in starts}
    owner = [0] * size
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        owner[start:end] = [start] * (end - start)
    work = [0]
    reaching[0] = [0] * 10

    def flow(to: int, state: list[int]) -> None:
        if not 0 <= to < size or insns[to] is None or not hints[to].seen:
            return
        have = reaching[to]
        if have is None:
            reaching[to] = state[:]
            work.append(to)
            return
        changed = False
        for r in range(10):
            if state[r] & ~have[r]:
                have[r] |= state[r]
                changed = True
        if changed:
            work.append(to)

    while work:
        pc = work.pop()
        insn, before = insns[pc], reaching[pc]
        if insn is None or before is None:
            continue
        used = wide_uses(insn, prog_type, version)
        if insn.kind == ops.EXIT and owner[pc] != 0:
            used = 0                                        # r0 goes back to the caller as it is
        for r in range(10):
            if used >> r & 1 and before[r]:
                _mark(hints, defs, before[r])
        after = before[:]
        if insn.kind in (ops.CALL, ops.CALL_KFUNC, ops.CALLX, ops.LD_ABS, ops.LD_IND):
            after[:6] = [0] * 6
        reg, narrow = definition(insn)
        if 0 <= reg < 10:
            if narrow and pc not in number:
                number[pc] = len(defs)
                defs.append(pc)
            after[reg] = 1 << number[pc] if narrow else 0
        if insn.kind == ops.CALL_LOCAL:
            callee = pc + 1 + insn.imm
            if callee in returns:
                returns[callee].add(pc)
                flow(callee, [0, *before[1:6], 0, 0, 0, 0])
                _come_back(callee, pc, before, insns, reaching, owner, flow)
            continue
        if insn.kind == ops.EXIT:
            for site in returns.get(owner[pc], ()):
                at_call = reaching[site]
                if at_call is not None:
                    flow(site + 1, [before[0], 0, 0, 0, 0, 0, *at_call[6:10]])
            continue
        if insn.kind == ops.LDDW and insn.op.fn == 4:
            flow(pc + 1 + insn.imm, [0] * 10)
        for to in ([pc + 1 + insn.jump] if insn.is_jump else []) + ([pc + insn.slots] if insn.falls_through else []):
            if edges is None or not insn.is_conditional or (pc, to) in edges:
                flow(to, after)


def _mark(hints: list[Hint], defs: list[int], mask: int) -> None:
    while mask:
        low = mask & -mask
        hints[defs[low.bit_length() - 1]].zext = True
        mask ^= low


def _come_back(callee: int, site: int, at_call: list[int], insns: list[Instruction | None],
               reaching: list[list[int] | None], owner: list[int], flow: object) -> None:
    """What already returned from the callee reaches this call as well."""
    assert callable(flow)
    for pc, insn in enumerate(insns):
        state = reaching[pc]
        if insn is not None and insn.kind == ops.EXIT and owner[pc] == callee and state is not None:
            flow(site + 1, [state[0], 0, 0, 0, 0, 0, *at_call[6:10]])
