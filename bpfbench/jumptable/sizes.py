"""Point 4 of the post: how many entries?  Every source is asked, the disagreement is kept.

    rank  source     what it is                                                            errs
    ----  ---------  --------------------------------------------------------------------  -----------------------------
    0     record     a `function.jumpN` symbol or a row of the jump-table note             never seen
    1     compare    the compare (or clamp) that guards the dispatch                       not found behind some joins
    1     mask       and, bit field, shift or narrow load on the index                     may exceed the table
    2     decode     entries until one is no instruction of the function                   only upwards
    3     gap        distance to the next table, symbol or end of section (the post's)     only upwards; counts padding

The count is the record if there is one, else the least of the others.  Without rank 0 or 1 there is no proof in the
binary (a `default:` that cannot happen): the count is called guessed.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, final

from . import a64
from .cfg import Cfg
from .entries import MAX_ENTRIES, decode
from .functions import Function
from .guess import Shape
from .image import Image
from .ranges import Range, Ranges

REST: Final = 8
COMPARES: Final = frozenset((a64.ADDI, a64.SUBR, a64.CCMP, a64.BCOND, a64.CBZ, a64.TBZ, a64.CSEL))


@final
class Size:
    """`count` entries according to `source`; `votes` has what each source said, `why` the address of the proof."""

    __slots__ = ("count", "source", "votes", "why")

    def __init__(self, count: int, source: str, votes: dict[str, int], why: int) -> None:
        self.count = count
        self.source = source
        self.votes = votes
        self.why = why

    @property
    def proven(self) -> bool:
        return self.source in ("record", "compare", "mask")

    @property
    def agreed(self) -> bool:
        """Did the sources that give exact answers agree?"""
        exact = {self.votes[k] for k in ("record", "compare") if k in self.votes}
        return len(exact) <= 1 and (not exact or self.votes.get("decode", MAX_ENTRIES) >= max(exact))

    def __repr__(self) -> str:
        votes = ", ".join(f"{k} {v}" for k, v in self.votes.items())
        return f"Size({self.count} by {self.source}; {votes})"


def index_range(ranges: Ranges, shape: Shape) -> Range | None:
    """The union of what the index can be at every load of the entry."""
    result: Range | None = None
    for _, index in shape.entry.loads:
        r = ranges.of(index.reg, index.site)
        if r is not None:
            if index.ext in (a64.UXTW, a64.SXTW):
                r = r.clip(False)
            elif index.ext in (a64.UXTB, a64.UXTH):
                r = r.upto((256 << 8 * index.ext) - 1, index.site)
            result = r.join(result)
    return result


def boundary(image: Image, address: int, known: list[int], symbols: list[int]) -> int:
    """The first address above `address` that cannot belong to the same table."""
    sec = image.section(address)
    if sec is not None:
        end = sec.end
    else:
        seg = image.segment(address)
        end = seg.addr + seg.filesz if seg is not None else address
    for starts in (known, symbols):
        k = bisect_right(starts, address)
        if k < len(starts):
            end = min(end, starts[k])
    return end


def measure(
    image: Image,
    cfg: Cfg,
    ranges: Ranges,
    shape: Shape,
    owner: Function,
    known: list[int],
    symbols: list[int],
    record: int | None,
    strict: bool = False,
) -> tuple[Size, list[int]]:
    """The size of the table of `shape` and its targets; `strict` when a generous guess has contradicted itself."""
    entry = shape.entry
    votes: dict[str, int] = {}
    why = 0
    if record is not None:
        votes["record"] = record
    r = index_range(ranges, shape)
    if r is not None and r.hi < MAX_ENTRIES:
        why = r.why
        votes["compare" if _is_compare(cfg, why) else "mask"] = r.hi + 1
    end = boundary(image, entry.table, known, symbols)
    votes["gap"] = max(0, (end - entry.table) // entry.size)
    limit = min(min(votes.values()), MAX_ENTRIES)
    targets = decode(image, shape, limit)
    good = len(targets)
    for k, t in enumerate(targets):
        if (not owner.start <= t < owner.end or t & 3) and not (shape.relative and t == entry.table + entry.size * k):
            good = k
            break
    votes["decode"] = good
    if record is not None:
        return Size(record, "record", votes, 0), decode(image, shape, record)
    source = "compare" if "compare" in votes else "mask" if "mask" in votes else ""
    if source == "mask" and good < votes["mask"]:
        source = ""  # the type allows more than the table has
    if source:
        count = min(votes[source], good) if good else votes[source]
        if count < votes[source]:
            source = "decode" if good < votes["gap"] else "gap"
        return Size(count, source, votes, why), decode(image, shape, count)
    count = _likely(cfg, targets[:good], 0.0 if strict else 7.0 if end in known else 2.0)
    if not strict and good == votes["gap"] and good - count <= REST and any(_bytes(image, shape, count, good)):
        count = good  # what is left is no padding, so it belongs to the table
    if count == good:
        count = _without_padding(image, shape, targets[:good], end, end in known)
    return Size(count, "decode" if good < votes["gap"] else "gap", votes, 0), targets[:count]


def _is_compare(cfg: Cfg, addr: int) -> bool:
    return cfg.start <= addr < cfg.end and cfg.insn(addr).op in COMPARES


def _bytes(image: Image, shape: Shape, first: int, last: int) -> bytes:
    return image.read(shape.entry.table + first * shape.entry.size, (last - first) * shape.entry.size) or b""


def _natural_starts(cfg: Cfg) -> set[int]:
    """Where blocks begin whether or not this table exists: after a branch that does not fall through (and the padding
    or speculation barrier behind it), at a label of a direct branch."""
    out = {cfg.start}
    pc = cfg.start
    for insn in cfg.insns:
        if insn.op in a64.DIRECT:
            out.add(pc + insn.imm)
        if insn.op in a64.TERMINATORS and insn.op not in a64.CONDITIONAL:
            out.add(pc + 4)
        elif pc in out and (insn.op == a64.NOP or insn.word & 0xFFFFF01F == 0xD503301F):
            out.add(pc + 4)
        pc += 4
    return out


def _likely(cfg: Cfg, targets: list[int], bonus: float) -> int:
    """The most likely length of a table of unknown length: real targets begin blocks, what follows hits anywhere.

    Log-likelihood ratios of an entry being real: +1.6 when it starts a block (97 % against 20 %), -3.3 when it does
    not, +0.3 when it repeats a target; `bonus` counts for the end of the gap (tables of one kind are packed).
    """
    starts = _natural_starts(cfg)
    seen: set[int] = set()
    score = best = 0.0
    count = min(1, len(targets))
    for k, t in enumerate(targets):
        score += 0.3 if t in seen else 1.6 if t in starts else -3.3
        seen.add(t)
        if score + (bonus if k + 1 == len(targets) else 0.0) > best:
            best, count = score, k + 1
    return count


def _without_padding(image: Image, shape: Shape, targets: list[int], end: int, packed: bool) -> int:
    """A guessed count without the zeros that align whatever follows a table of 1- or 2-byte entries."""
    size, count = shape.entry.size, len(targets)
    stop = shape.entry.table + count * size
    if size > 2 or count < 3 or stop & 3 or stop != end:
        return count
    raw = image.read(stop - 4, 4) or b"\1"
    zeros = min((len(raw) - len(raw.rstrip(b"\0"))) // size, 3, count - 2)
    if shape.form in ("C1", "C2") and (packed or shape.anchor not in targets[: count - zeros]):
        return count  # some entry leads to the anchor, the lowest target
    return count - zeros
