"""Point 7 of the post, second half: a dispatch over a table of 1, 2 or 4 bytes, changed to signed 4-byte offsets.

The array is not extended in place (its neighbours are close); a new one is written and the snippet changed at two
places only, the load and the final addition:

    ldrh w0, [x1, w0, uxtw #1]                adrp x1, new ; add x1, x1, :lo12:new ; ldrsw x0, [x1, w0, uxtw #2]
    adr  x1, B                         ->     adr  x1, B                    (relaxed if need be; the value stays)
    add  x0, x1, w0, sxth #2                  add  x0, x1, x0
    br   x0                                   br   x0

so that entry k is `new target - B`, whatever B was.  The new address is made at the load, in the entry's own register
when that is not the index, else in the old table register when it is dead there, else in a pair saved below sp; a
table address that was hoisted out of a loop, spilled or shared therefore needs no care: it is just dead.
"""

from __future__ import annotations

from typing import Final, final

from . import a64
from .cfg import ENTRY, Cfg
from .emit import RAW, TABLE, Item, move
from .tables import JumpTable, sources
from .values import Index

SAVE: Final = 0xA9BF0000  # stp a, b, [sp, #-16]!
RESTORE: Final = 0xA8C10000  # ldp a, b, [sp], #16


class Refused(Exception):
    """A function that cannot be rewritten; the reason is its text.  Never leaves the package."""


@final
class Change:
    """What a dispatch asks for: items that replace instructions by old address, and the new table's key."""

    __slots__ = ("items", "table", "number")

    def __init__(self, table: JumpTable, number: int) -> None:
        self.table = table
        self.number = number
        self.items: dict[int, Item] = {}


def reads(insn: a64.Insn) -> int | None:
    """Mask of general registers that `insn` reads, None when this is not known."""
    op = insn.op
    if op in (a64.ADR, a64.ADRP, a64.MOVI, a64.NOP, a64.BTI, a64.B):
        return 0
    if op in (a64.ADDI, a64.ANDI, a64.UBFM, a64.SBFM):
        return 1 << insn.rn
    if op in (a64.ADDR, a64.ADDX, a64.SUBR, a64.SUBX, a64.ANDR, a64.CSEL):
        return 1 << insn.rn | 1 << insn.rm
    if op == a64.MOVR:
        return 1 << insn.rm
    if op == a64.LOAD and not insn.vector:
        return 1 << insn.rn | (1 << insn.rm if insn.mode == a64.INDEX else 0)
    if op == a64.STORE:
        return 1 << insn.rn | (0 if insn.vector else 1 << insn.rd) | (1 << insn.rm if insn.mode == a64.INDEX else 0)
    if op in (a64.BR, a64.RET):
        return 1 << insn.rn
    if op == a64.MOVK:
        return 1 << insn.rd
    return None


def dead_after(cfg: Cfg, reg: int, site: int) -> bool:
    """Is `reg` surely overwritten before it is read, in the block of `site`?"""
    block = cfg.block(site)
    for at in range(site + 4, block.end, 4):
        insn = cfg.insn(at)
        used = reads(insn)
        if used is None or used >> reg & 1:
            return False
        if insn.writes >> reg & 1:
            return True
    return False


def change(table: JumpTable, number: int, new: int) -> Change:
    """The changes for one dispatch whose new table, number `number`, lies at `new`; raises Refused."""
    cfg, out = table.cfg, Change(table, number)
    for site, index in table.shape.entry.loads:
        insn = cfg.insn(site)
        if insn.op != a64.LOAD:
            raise Refused(f"the load at {site:#x} is outlined")
        out.items[site] = _load(cfg, table, site, insn, index, number, new)
    _rest(cfg, table, out)
    return out


def _load(cfg: Cfg, table: JumpTable, site: int, insn: a64.Insn, index: Index, number: int, new: int) -> Item:
    rt = insn.rd
    if insn.mode == a64.INDEX and index.site == site:
        ireg, ext = index.reg, {a64.LSL: 3, a64.UXTW: 2, a64.SXTW: 6}.get(index.ext)
        if ext is None:
            raise Refused(f"the index of the load at {site:#x} is extended in an unusual way")
        other = insn.rn if index.reg == insn.rm else insn.rm
        scratch = rt if rt != ireg else other if other != ireg and dead_after(cfg, other, site) else -1
        load = 0xB8A00800 | ext << 13 | 1 << 12 | ireg << 16 | rt  # ldrsw rt, [scratch, ireg, ext #2]
        if scratch >= 0:
            return Item(TABLE, site, [load | scratch << 5], number, scratch)
        scratch, second = [r for r in (16, 17, 15) if r not in (rt, ireg)][:2]
        words = [
            SAVE | second << 10 | 31 << 5 | scratch,
            load | scratch << 5,
            RESTORE | second << 10 | 31 << 5 | scratch,
        ]
        return Item(TABLE, site, words, number, scratch, a64.Insn(a64.NOP, 0, 0, imm=1), sp=16)
    return _from_pointer(table, site, insn, number, new)


def _from_pointer(table: JumpTable, site: int, insn: a64.Insn, number: int, new: int) -> Item:
    """The address was computed before the load: what it exceeds the old table by is `index * width`.

    stp a, b, [sp, #-16]! ; adrp b, new ; add b ; a = b - (new - old) ; a = pointer - a ; lsl a ; ldrsw rt, [b, a] ; ldp
    """
    if insn.mode != a64.OFFSET or insn.rn == a64.SP:
        raise Refused(f"the load at {site:#x} has an address that is split over two registers")
    pointer, rt = insn.rn, insn.rd
    a, b = [r for r in (16, 17, 15, 14) if r not in (rt, pointer)][:2]
    up = 2 - (insn.size.bit_length() - 1)
    words = [
        SAVE | b << 10 | 31 << 5 | a,
        *move(a, new - (table.address - insn.imm)),
        0xCB000000 | a << 16 | b << 5 | a,  # sub a, b, a
        0xCB000000 | a << 16 | pointer << 5 | a,
    ]  # sub a, pointer, a
    if up:
        words.append(0xD3400000 | (64 - up) << 16 | (63 - up) << 10 | a << 5 | a)
    words += [0xB8A06800 | a << 16 | b << 5 | rt, RESTORE | b << 10 | 31 << 5 | a]
    return Item(TABLE, site, words, number, b, a64.Insn(a64.NOP, 0, 0, imm=1), sp=16)


def _rest(cfg: Cfg, table: JumpTable, out: Change) -> None:
    """Everything between the load and the branch: the extensions go away, the addition becomes plain."""
    loads = {site for site, _ in table.shape.entry.loads}
    work: list[tuple[int, int]] = [(cfg.insn(table.branch).rn, table.branch)]
    seen: set[int] = set()
    while work:
        loc, at = work.pop()
        for site in cfg.reaching(loc, at):
            if site == ENTRY or site in seen or site in loads:
                continue
            insn = cfg.insn(site)
            if insn.op in a64.CALLS:
                continue
            seen.add(site)
            if not _leads(cfg, site, loc, loads):
                continue  # the anchor's side keeps its value
            if insn.op == a64.MOVR:
                work.append((insn.rm, site))
                out.items[site] = Item(RAW, site, [0xAA0003E0 | insn.rm << 16 | insn.rd])
            elif insn.op in (a64.UBFM, a64.SBFM):
                work.append((insn.rn, site))
                out.items[site] = Item(RAW, site, [0xAA0003E0 | insn.rn << 16 | insn.rd])
            elif insn.op in (a64.ADDR, a64.ADDX, a64.SUBR, a64.SUBX):
                out.items[site] = _addition(cfg, site, insn, loads)
                work += [(r, site) for r in (insn.rn, insn.rm) if _value_leads(cfg, r, site, loads)]
            else:
                raise Refused(f"the entry passes through {a64.OP_NAMES[insn.op]} at {site:#x}")


def _addition(cfg: Cfg, site: int, insn: a64.Insn, loads: set[int]) -> Item:
    left, right = _value_leads(cfg, insn.rn, site, loads), _value_leads(cfg, insn.rm, site, loads)
    if left == right:
        raise Refused(f"cannot tell entry from anchor in the addition at {site:#x}")
    entry, anchor = (insn.rm, insn.rn) if right else (insn.rn, insn.rm)
    return Item(RAW, site, [0x8B000000 | entry << 16 | anchor << 5 | insn.rd])


def _leads(cfg: Cfg, site: int, loc: int, loads: set[int]) -> bool:
    return any(_value_leads(cfg, r, site, loads) for r in sources(cfg.insn(site), loc))


def _value_leads(cfg: Cfg, reg: int, at: int, loads: set[int]) -> bool:
    """Does the value of `reg` at `at` come from one of the loads?"""
    seen: set[int] = set()
    work = [(reg, at)]
    while work and len(seen) < 64:
        loc, here = work.pop()
        for s in cfg.reaching(loc, here):
            if s in loads:
                return True
            if s == ENTRY or s in seen or cfg.insn(s).op in a64.CALLS:
                continue
            seen.add(s)
            work.extend((r, s) for r in sources(cfg.insn(s), loc))
    return False
