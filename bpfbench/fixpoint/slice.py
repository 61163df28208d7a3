"""The failure slice: which instructions the failing check depends on, found backwards.

Starting from the registers that the check looked at, the slice takes in whatever writes a register (or a stack place)
that matters, then what that instruction reads matters, and so on over all predecessors, loops included.  A conditional
jump matters when it compares something that matters: it is what taught the analysis a bound, or failed to.

      1: r2 = *(u32 *)(r1 +4)      *          3: r4 = 7
      2: r2 &= 60                  *          5: r0 += r2        *      the check at 6 looks at r0
      4: r0 = value                *          6: r1 = *(u64 *)(r0 +0)

M. Weiser, "Program slicing" (1981), without control dependence on jumps that compare other things.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.program.cfg import Cfg

Need = tuple[frozenset[int], frozenset[int]]       # registers, stack offsets
FRAME: Final = 10
MOST: Final = 20_000                               # steps; a slice of a larger function is what was found until then


def failure_slice(cfg: Cfg, pc: int, regs: tuple[int, ...]) -> list[int]:
    """pcs in program order, the failing one included."""
    found = {pc}
    wanted: dict[int, Need] = {}
    start = (frozenset(r for r in regs if r != FRAME), _read_cells(cfg.program.insns[pc]))
    todo = [(p, start) for p in _before(cfg, pc)]
    steps = 0
    while todo and steps < MOST:
        steps += 1
        at, need = todo.pop()
        known = wanted.get(at)
        if known is not None and need[0] <= known[0] and need[1] <= known[1]:
            continue
        if known is not None:
            need = (need[0] | known[0], need[1] | known[1])
        wanted[at] = need
        insn = cfg.program.insns[at]
        if insn is None:
            continue
        relevant, above = _step(insn, need)
        if relevant:
            found.add(at)
        if above[0] or above[1]:
            todo += [(p, above) for p in _before(cfg, at)]
    return sorted(found)


def _before(cfg: Cfg, pc: int) -> list[int]:
    """The instructions that may have run just before, in the same function."""
    block = cfg.blocks[cfg.block_of[pc]]
    if pc > block.start:
        before = pc - 1
        return [before if cfg.program.insns[before] is not None else before - 1]
    return [cfg.blocks[p].last for p in cfg.predecessors[block.index] if cfg.blocks[p].reachable]


def _step(insn: Instruction, need: Need) -> tuple[bool, Need]:
    """Does the instruction matter, and what matters before it?"""
    regs, cells = need
    kind = insn.kind
    if kind in (ops.JMP, ops.JMP32):
        compared = {insn.dst} if insn.op.imm else {insn.dst, insn.src}
        return (True, (regs | (compared - {FRAME}), cells)) if compared & regs else (False, need)
    if kind in (ops.ST, ops.STX) and insn.dst == FRAME:
        hit = {c for c in cells if insn.off <= c < insn.off + insn.op.size}
        if not hit:
            return False, need
        read = {insn.src} if kind == ops.STX else set()
        return True, (regs | (read - {FRAME}), cells - hit)
    written = {r for r in range(10) if insn.writes >> r & 1}
    if kind in (ops.CALL, ops.CALL_LOCAL, ops.CALL_KFUNC):
        if not regs & {0}:
            return False, (regs - written, cells)
        return True, (regs - written | {1, 2, 3, 4, 5}, cells)
    if not written & regs:
        return False, need
    read = {r for r in range(10) if insn.reads >> r & 1}
    return True, (regs - written | read, cells | _read_cells(insn))


def _read_cells(insn: Instruction | None) -> frozenset[int]:
    if insn is not None and insn.kind in (ops.LDX, ops.LDXS) and insn.src == FRAME:
        return frozenset(range(insn.off, insn.off + insn.op.size))
    return frozenset()
