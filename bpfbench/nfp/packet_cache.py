"""Packet bytes kept in transfer registers between loads (slides 48-51).

    r4 = *(u8 *)(r2 + 12)        mem[read32_swap, $xfer_0, r2, 12, 1]     one read for the whole range
    r5 = *(u8 *)(r2 + 13)   ->   ld_field_w_clr[r4, 0001, $xfer_0]
                                 ld_field_w_clr[r5, 0001, $xfer_0, >>8]

What was read stays in the transfer-in registers until the next read, store or call.  The first load of a range reads all
of it: the pointers have the same variable part (`id`) and the same constant part.  A range has up to 64 bytes.
Source: `nfp_bpf_opt_pkt_cache` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.nfp.defuse import writes
from bpfbench.nfp.notes import Step

LONGEST: Final = 64
CALLS: Final = (ops.CALL,)


@final
class Range:
    """Bytes `start`..`end` from the pointer of `anchor`, the load that reads them; `bases` still hold that pointer."""

    __slots__ = ("anchor", "start", "end", "bases")

    def __init__(self, anchor: Step) -> None:
        self.anchor = anchor
        self.bases = {anchor.insn.src}
        self.start = anchor.insn.off
        self.end = anchor.insn.off + anchor.width

    def takes(self, s: Step, driver: bool) -> bool:
        """Make room for this load too, if it uses the same pointer on all paths (the driver: on the last), if it fits."""
        note, own = s.note, self.anchor.note
        if (note.id, note.off) != (own.id, own.off):
            return False
        if not driver and s.insn.src not in self.bases and note.places != own.places:
            return False
        start, end = min(self.start, s.insn.off), max(self.end, s.insn.off + s.width)
        if (start, end) != (self.start, self.end) and end - start > LONGEST:
            return False
        self.start, self.end = start, end
        return True

    def follow(self, s: Step) -> None:
        """Which registers hold the pointer after this instruction."""
        insn = s.insn
        moved = insn.kind == ops.ALU64 and insn.op.fn == ops.MOV and not insn.op.imm and insn.src in self.bases
        self.bases.difference_update(writes(s))
        if moved:
            self.bases.add(insn.dst)


def ends(s: Step, driver: bool) -> bool:
    """Does this instruction make the transfer registers worthless?"""
    kind = s.insn.kind
    if kind in (ops.ST, ops.STX):
        return s.note.ptr == "packet"
    if kind == ops.LDX:
        return s.note.ptr != "packet" or s.copy is not None
    return kind in (ops.CALL, ops.LD_ABS, ops.LD_IND) or kind == ops.CALL_LOCAL and not driver


def cache(steps: list[Step], driver: bool) -> None:
    current: Range | None = None
    valid = False
    members: list[tuple[Step, Range]] = []
    for s in steps:
        valid = valid and not s.target
        if s.removed:
            continue
        if ends(s, driver):
            valid = False
        elif s.insn.kind == ops.LDX:
            if not valid or current is None or not current.takes(s, driver):
                current = Range(s)
            valid = True
            members.append((s, current))
        if current is not None:
            current.follow(s)
    for s, where in members:
        if where.end or not driver:
            s.cache = (where.start, where.end)
            s.reads = s is where.anchor
