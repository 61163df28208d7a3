"""Copies gathered into one read and one write of up to 128 bytes (slides 44-47).

    r4 = *(u32 *)(r2 + 0)        mem[read32_swap, $xfer_0, r2, 0, n]
    *(u32 *)(r3 + 8) = r4        alu[$xfer_i, --, B, $xfer_i]   (transfer-in and transfer-out are different registers)
    r4 = *(u32 *)(r2 + 4)   ->   mem[write32_swap, $xfer_0, r3, 8, n]
    *(u32 *)(r3 + 12) = r4       alu[r4, --, B, last element]   (somebody may read it)

A *pair* is a load followed by the store of what it loaded.  Pairs *chain* when the registers are the same, both offsets
go on without a gap in the same direction, nobody jumps between them, and no load sees an earlier store.  The driver
wants one width throughout; we let a tail of narrower pairs join, as LLVM writes them for 13 bytes: 8, 4, 1.
A scheduled copy, all loads before all stores, has no pairs: -bpf-expand-memcpy-in-order keeps LLVM from making one.

After the copy the data register has to hold the last element (slide 47), unless nobody reads it: `reload` looks at the
define-use chains.
Source: `nfp_bpf_opt_ldst_gather` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.nfp.defuse import Chains, Graph
from bpfbench.nfp.notes import Copy, Step

LONGEST: Final = 128            # bytes of one command


@final
class Chain:
    """Pairs so far: loads and stores in program order, `direction` +1 or -1 once the second is there."""

    __slots__ = ("loads", "stores", "direction")

    def __init__(self) -> None:
        self.loads: list[Step] = []
        self.stores: list[Step] = []
        self.direction = 0

    @property
    def length(self) -> int:
        return sum(s.width for s in self.loads)

    def add(self, load: Step, store: Step) -> None:
        if self.loads and not self.direction:
            self.direction = 1 if load.insn.off > self.loads[-1].insn.off else -1
        self.loads.append(load)
        self.stores.append(store)


def is_pair(load: Step, store: Step) -> bool:
    return (load.insn.kind == ops.LDX and store.insn.kind == ops.STX and load.note.ptr in ("packet", "map_value")
            and store.note.ptr == "packet" and load.width == store.width and load.insn.dst == store.insn.src
            and not store.target)  # fmt: skip


def chains(chain: Chain, load: Step, store: Step, driver: bool) -> bool:
    """Does the pair go on where the chain ends?"""
    if not chain.loads:
        return True
    last, written = chain.loads[-1], chain.stores[-1].insn
    same = (last.insn.dst, last.insn.src, written.dst) == (load.insn.dst, load.insn.src, store.insn.dst)
    step = load.insn.off - last.insn.off
    if not same or load.target or store.insn.off - written.off != step:
        return False
    if step != (last.width if step > 0 else -load.width) or driver and last.width != load.width:
        return False
    if not driver and (load.insn.dst == load.insn.src or load.insn.dst == store.insn.dst):
        return False
    return driver or not chain.direction or (step > 0) == (chain.direction > 0)


def crosses(chain: Chain, load: Step, driver: bool) -> bool:
    """May the load see what a store of the chain wrote?"""
    if not chain.loads:
        return False
    head, stored = chain.loads[0], chain.stores[0]
    if head.note.ptr != stored.note.ptr:
        return False
    if not driver:
        apart = head.note.distances(stored.note) if head.note.ptr == "packet" else None
        return apart is None or any(-load.width < load.insn.off - s.insn.off + distance < s.width
                                    for s in chain.stores for distance in apart)  # fmt: skip
    if head.note.id != stored.note.id:
        return True
    base = load.insn.off + head.note.off
    first_load, first_store = head.insn.off + head.note.off, stored.insn.off + stored.note.off
    return first_load < base and first_load < first_store <= base or base <= first_store < first_load and base < first_load


def close(chain: Chain) -> None:
    """Two pairs or more become one copy at the first load."""
    if len(chain.loads) < 2:
        return
    head, stored = chain.loads[0], chain.stores[0]
    descending = chain.loads[-1].insn.off < head.insn.off
    at = -1 if descending else 0
    head.copy = Copy(chain.length, chain.loads[at].insn.off, chain.stores[at].insn.off, stored.insn.dst, descending,
                     chain.loads[-1].width, chain.loads[-1].note.zext)  # fmt: skip
    for s in (*chain.loads[1:], *chain.stores):
        s.merge("part of a gathered copy")


def gather(steps: list[Step], driver: bool) -> None:
    chain, at = Chain(), 0
    while at + 1 < len(steps):
        load, store = steps[at], steps[at + 1]
        pair = is_pair(load, store) and (driver or not load.removed and not store.removed)
        goes_on = pair and chains(chain, load, store, driver) and not crosses(chain, load, driver)
        if not goes_on or chain.length + load.width > LONGEST:
            close(chain)
            chain = Chain()
        if pair:
            chain.add(load, store)
        at += 2 if pair else 1
    close(chain)


def reload(steps: list[Step], driver: bool) -> None:
    """Copies whose data register nobody reads afterwards."""
    if driver or not any(s.copy for s in steps):
        return
    uses_of = Chains(Graph(steps)).uses_of
    for at, s in enumerate(steps):
        if s.copy is not None:
            s.copy.live = bool(uses_of[at, s.insn.dst])
