"""Point 7 of the post, first half: a function as labelled blocks that can be laid out anywhere.

A function that moves is not patched but re-emitted.  Every word that depends on its address becomes an `Item` that
knows what it *means* (a branch to a label, the address of something, a literal load), and is encoded again at its new
place with as many words as that takes:

    item            in range                out of range
    -------------   ---------------------   ---------------------------------------------
    adr x, a        adr                     adrp ; add                      (ADR relaxation)
    ldr x, lit      ldr                     adrp ; add ; ldr  (x its own scratch), or a copy in the function's pool
    b.cond, cbz     b.cond                  b.!cond over a b
    tbz (32 KiB)    tbz                     tbnz over a b
    b, bl           b                       (128 MiB: refused)

Sizes only grow while the layout is repeated, so it ends.  What the moved code *computes* stays the same: addresses of
data and even of old code keep their values (an old entry point holds a branch to the new one), which is why an anchor
in the next function (point 5) needs no special care.
"""

from __future__ import annotations

import struct
from typing import Final, final

from bpfbench.errors import JumptableError, Where

from . import a64

RAW, ADR, ADRP, LITERAL, BRANCH, CALL, TABLE = range(7)
EDGE: Final = 1 << 61  # the label of a piece that nothing names
NOP: Final = 0xD503201F
MIB: Final = 1 << 20


@final
class Item:
    """One original instruction or an inserted sequence.

    `old` is the address it stems from (0: inserted), `words` its fixed words (RAW), `target` an *old* address for the
    others; `reg` a register; `size` the current number of words; `sp` the change of sp while a sequence runs.
    """

    __slots__ = ("kind", "old", "words", "target", "reg", "size", "insn", "sp")

    def __init__(
        self,
        kind: int,
        old: int,
        words: list[int],
        target: int = 0,
        reg: int = 0,
        insn: a64.Insn | None = None,
        sp: int = 0,
    ) -> None:
        self.kind = kind
        self.old = old
        self.words = words
        self.target = target
        self.reg = reg
        self.insn = insn
        self.size = len(words) if kind == RAW else 1
        self.sp = sp


@final
class Piece:
    """A block ready for layout: `label` is the old address that branches name it by (edge blocks have made-up ones),
    `items` its code, `falls` the label that must follow (a branch is added when it does not)."""

    __slots__ = ("label", "items", "falls", "addr")

    def __init__(self, label: int, items: list[Item], falls: int | None) -> None:
        self.label = label
        self.items = items
        self.falls = falls
        self.addr = 0


def adr(rd: int, delta: int) -> int:
    return 0x10000000 | (delta & 3) << 29 | (delta >> 2 & 0x7FFFF) << 5 | rd


def adrp(rd: int, pc: int, target: int) -> int:
    pages = (target >> 12) - (pc >> 12)
    if not -(1 << 20) <= pages < 1 << 20:
        raise JumptableError(f"adrp from {pc:#x} cannot reach {target:#x}", Where())
    return 0x90000000 | (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5 | rd


def add_imm(rd: int, rn: int, imm: int) -> int:
    return 0x91000000 | (imm & 0xFFF) << 10 | rn << 5 | rd


def address(rd: int, pc: int, target: int) -> list[int]:
    """`adrp rd ; add rd` for `target`."""
    return [adrp(rd, pc, target), add_imm(rd, rd, target & 0xFFF)]


def branch(pc: int, target: int, link: bool = False) -> int:
    delta = target - pc
    if not -(1 << 27) <= delta < 1 << 27:
        raise JumptableError(f"branch from {pc:#x} cannot reach {target:#x} (128 MiB)", Where())
    return (0x94000000 if link else 0x14000000) | (delta >> 2 & 0x3FFFFFF)


def conditional(insn: a64.Insn, delta: int) -> int:
    """The word of a conditional branch with another displacement."""
    if insn.op == a64.TBZ:
        return insn.word & ~(0x3FFF << 5) | (delta >> 2 & 0x3FFF) << 5
    return insn.word & ~(0x7FFFF << 5) | (delta >> 2 & 0x7FFFF) << 5


def inverted(insn: a64.Insn) -> a64.Insn:
    return a64.decode(insn.word ^ 1 if insn.op == a64.BCOND else insn.word ^ 1 << 24)


def reach(insn: a64.Insn) -> int:
    return 1 << 15 if insn.op == a64.TBZ else MIB


def move(rd: int, value: int) -> list[int]:
    """movz/movn and movk for a 64-bit signed constant."""
    value &= (1 << 64) - 1
    parts = [value >> s & 0xFFFF for s in (0, 16, 32, 48)]
    inverse = parts.count(0xFFFF) > parts.count(0)
    skip = 0xFFFF if inverse else 0
    words: list[int] = []
    for k, p in enumerate(parts):
        if p != skip or (k == 3 and not words):
            if not words:
                words.append((0x92800000 | (p ^ 0xFFFF) << 5 if inverse else 0xD2800000 | p << 5) | k << 21 | rd)
            else:
                words.append(0xF2800000 | k << 21 | p << 5 | rd)
    return words


@final
class Emitted:
    """A function at its new place: `code`, `labels` (old block address -> new), `map` [(new, old, words, sp change)] of
    its instructions in order, `fixups` [(offset, old target, is a call)] of branches to other functions."""

    __slots__ = ("base", "code", "labels", "map", "fixups", "relaxed")

    def __init__(
        self,
        base: int,
        code: bytes,
        labels: dict[int, int],
        mapping: list[tuple[int, int, int, int]],
        fixups: list[tuple[int, int, bool]],
        relaxed: int,
    ) -> None:
        self.base = base
        self.code = code
        self.labels = labels
        self.map = mapping
        self.fixups = fixups
        self.relaxed = relaxed


def emit(
    pieces: list[Piece], base: int, literals: dict[int, bytes], tables: dict[int, int], outer: set[int]
) -> Emitted:
    """Lays `pieces` out from `base` on in the given order.

    `literals` has the bytes of literal loads that must be copied (old address -> contents), `tables` the addresses of
    new tables by number, `outer` the labels that exist (branches to anything else leave the function).
    """
    here = {p.label for p in pieces}
    for _ in range(40):
        changed, at = False, base
        for k, p in enumerate(pieces):
            p.addr = at
            at += 4 * sum(i.size for i in p.items)
            if p.falls is not None and not (k + 1 < len(pieces) and pieces[k + 1].label == p.falls):
                at += 4
        pool = _pool(literals, at)
        labels = {p.label: p.addr for p in pieces}
        for p in pieces:
            at = p.addr
            for i in p.items:
                need = _words(i, at, labels, pool, here, tables)
                if need > i.size:
                    i.size, changed = need, True
                at += 4 * i.size
        if not changed:
            return _encode(pieces, base, labels, pool, literals, tables, here)
    raise JumptableError("layout does not settle", Where())


def _pool(literals: dict[int, bytes], at: int) -> dict[int, int]:
    out = {}
    at = at + 15 & ~15
    for old, raw in sorted(literals.items(), key=lambda x: -len(x[1])):
        out[old] = at
        at += len(raw)
    return out


def _words(
    i: Item, at: int, labels: dict[int, int], pool: dict[int, int], here: set[int], tables: dict[int, int]
) -> int:
    """How many words item `i` needs at `at`."""
    if i.kind == RAW:
        return len(i.words)
    if i.kind == ADR:
        return 1 if -MIB <= i.target - at < MIB else 2
    if i.kind == LITERAL:
        delta = pool.get(i.target, i.target) - at
        return 1 if -MIB <= delta < MIB else 3
    if i.kind == BRANCH and i.insn is not None and i.insn.op in a64.CONDITIONAL:
        if i.target not in here:
            return 2
        limit = reach(i.insn)
        return 1 if -limit <= labels[i.target] - at < limit else 2
    if i.kind == TABLE:
        return len(i.words) + 2
    return 1


def _encode(
    pieces: list[Piece],
    base: int,
    labels: dict[int, int],
    pool: dict[int, int],
    literals: dict[int, bytes],
    tables: dict[int, int],
    here: set[int],
) -> Emitted:
    words: list[int] = []
    mapping: list[tuple[int, int, int, int]] = []
    fixups: list[tuple[int, int, bool]] = []
    relaxed = 0
    for k, p in enumerate(pieces):
        for i in p.items:
            at = base + 4 * len(words)
            new = _item(i, at, labels, pool, here, tables, fixups, base)
            relaxed += i.kind in (ADR, LITERAL, BRANCH) and len(new) > 1
            new += [NOP] * (i.size - len(new))
            mapping.append((at, i.old, i.size, i.sp))
            words += new
        if p.falls is not None and not (k + 1 < len(pieces) and pieces[k + 1].label == p.falls):
            at = base + 4 * len(words)
            mapping.append((at, 0, 1, 0))
            words.append(_jump(p.falls, at, labels, here, fixups, base, False))
    code = struct.pack(f"<{len(words)}I", *words)
    if pool:
        end = max(pool[a] + len(raw) for a, raw in literals.items()) - base
        buffer = bytearray(code.ljust(end, b"\0"))
        for old, raw in literals.items():
            buffer[pool[old] - base : pool[old] - base + len(raw)] = raw
        code = bytes(buffer)
    return Emitted(base, code, labels, mapping, fixups, relaxed)


def _jump(
    target: int,
    at: int,
    labels: dict[int, int],
    here: set[int],
    fixups: list[tuple[int, int, bool]],
    base: int,
    link: bool,
) -> int:
    if target in here:
        return branch(at, labels[target], link)
    fixups.append((at - base, target, link))
    return 0x94000000 if link else 0x14000000


def _item(
    i: Item,
    at: int,
    labels: dict[int, int],
    pool: dict[int, int],
    here: set[int],
    tables: dict[int, int],
    fixups: list[tuple[int, int, bool]],
    base: int,
) -> list[int]:
    if i.kind == RAW:
        return list(i.words)
    if i.kind == ADR:
        return [adr(i.reg, i.target - at)] if i.size == 1 else address(i.reg, at, i.target)
    if i.kind == ADRP:
        return [adrp(i.reg, at, i.target)]
    if i.kind == TABLE:  # adrp, add of a new table somewhere inside a sequence
        head = i.words[: i.insn.imm] if i.insn is not None else []
        return head + address(i.reg, at + 4 * len(head), tables[i.target]) + i.words[len(head) :]
    assert i.insn is not None
    if i.kind == LITERAL:
        where = pool.get(i.target, i.target)
        if i.size == 1:
            return [i.insn.word & ~(0x7FFFF << 5) | (where - at >> 2 & 0x7FFFF) << 5]
        if i.insn.vector:
            raise JumptableError(f"literal at {i.target:#x} out of reach of a vector load", Where())
        load = 0xF9400000 if i.insn.size == 8 else 0xB9800000 if i.insn.signed else 0xB9400000
        return [*address(i.reg, at, where), load | i.reg << 5 | i.reg]
    if i.kind == CALL or i.insn.op == a64.B:
        return [_jump(i.target, at, labels, here, fixups, base, i.kind == CALL)]
    if i.size == 1:
        return [conditional(i.insn, labels[i.target] - at)]
    return [conditional(inverted(i.insn), 8), _jump(i.target, at + 4, labels, here, fixups, base, False)]
