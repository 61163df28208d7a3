"""Counters: the ten instructions that the post wants in front of each branch, and how their values get out.

    stp x16, x17, [sp, #-32]!        no flag is touched, no register changed, and
    str x15, [sp, #16]               several threads may count at once
    adrp x16, counter
    add x16, x16, :lo12:counter
 1: ldxr x17, [x16]
    add x17, x17, #1
    stxr w15, x17, [x16]
    cbnz w15, 1b
    ldr x15, [sp, #16]
    ldp x16, x17, [sp], #32

The counters lie in a segment of their own.  The start-up stub maps the file `bpfbench.counters` over it, shared, before
it goes on to the real entry point; counts are in the file whatever way the program ends, and children count on.  If
the file cannot be made, the program runs all the same.  `counters.json` beside the output says what each counter means.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Final, final

from bpfbench.errors import JumptableError, Where

from . import a64
from .emit import TABLE, Item, add_imm, adrp, branch, move

COUNTER_FILE: Final = "bpfbench.counters"
PAGE: Final = 0x10000
BTI_C: Final = 0xD503245F
BTI_J: Final = 0xD503249F
_HEAD: Final = [0xA9BE47F0, 0xF9000BEF]
_TAIL: Final = [0xC85F7E11, 0x91000631, 0xC80F7E11, 0x35FFFFAF, 0xF9400BEF, 0xA8C247F0]


def counter(number: int, old: int = 0) -> Item:
    """The sequence for counter `number`, in front of the instruction that was at `old`; its address is table number
    -1 - `number`."""
    return Item(TABLE, old, _HEAD + _TAIL, -1 - number, 16, a64.Insn(a64.NOP, 0, 0, imm=2), sp=32)


def exclusive_regions(insns: list[tuple[int, a64.Insn]], succs: dict[int, list[int]], starts: list[int]) -> set[int]:
    """Blocks that are entered between a load-exclusive and its store: a counter there would clear the monitor.

    `insns` are (block, insn) pairs in order, `succs` the edges.
    """
    opened: set[int] = set()
    for block in starts:
        inside = False
        for b, insn in insns:
            if b == block:
                inside = _exclusive(insn, inside)
        if inside:
            opened.add(block)
    closes = {b for b, insn in insns if insn.word & 0x3FC00000 == 0x08000000}
    out: set[int] = set()
    work = [s for b in opened for s in succs.get(b, [])]
    while work:
        b = work.pop()
        if b not in out:
            out.add(b)
            if b not in closes:
                work.extend(succs.get(b, []))
    return out


def _exclusive(insn: a64.Insn, inside: bool) -> bool:
    if insn.word & 0x3FC00000 == 0x08400000:  # ldxr, ldaxr, ldxp, ldaxp
        return True
    if insn.word & 0x3FC00000 == 0x08000000:  # stxr, stlxr, ...
        return False
    return inside


def startup(at: int, entry: int, counters: int, length: int, name: str = COUNTER_FILE) -> bytes:
    """Code for address `at`: maps the counter file over `counters`, restores all registers, goes on to `entry`."""
    text = name.encode() + b"\0"
    words: list[int] = [BTI_C, 0xA9BE07E0, 0xF9000BE2]  # stp x0, x1, [sp, #-32]! ; str x2, [sp, #16]
    path_at = len(words)
    words += [0, 0]  # adrp, add x1, path
    words += [*move(0, -100), *move(2, 0o102), *move(3, 0o644), *move(8, 56), 0xD4000001]
    words += [0xF100001F, 0]  # cmp x0, #0 ; b.lt out
    skip = len(words) - 1
    words += [0xAA0003E4, *move(1, length), *move(8, 46), 0xD4000001]  # x4 = fd ; ftruncate
    page_at = len(words)
    words += [0, 0]  # adrp, add x0, counters
    words += [*move(1, length), *move(2, 3), *move(3, 0x11), *move(5, 0), *move(8, 222), 0xD4000001]
    out = len(words)
    words += [0xF9400BE2, 0xA8C207E0]  # ldr x2 ; ldp x0, x1
    words.append(branch(at + 4 * len(words), entry))
    path = at + 4 * len(words)
    words[path_at : path_at + 2] = [adrp(1, at + 4 * path_at, path), add_imm(1, 1, path & 0xFFF)]
    words[page_at : page_at + 2] = [adrp(0, at + 4 * page_at, counters), add_imm(0, 0, counters & 0xFFF)]
    words[skip] = 0x54000000 | (out - skip) << 5 | 11
    raw = struct.pack(f"<{len(words)}I", *words) + text
    return raw + b"\0" * (-len(raw) % 16)


@final
class Profile:
    """Counts read back: `blocks` (old block address -> count), `edges` ((old block, old target) -> count)."""

    def __init__(self, blocks: dict[int, int], edges: dict[tuple[int, int], int]) -> None:
        self.blocks = blocks
        self.edges = edges

    @classmethod
    def read(cls, legend: str | Path, counters: str | Path) -> Profile:
        """`legend` is the JSON written beside the instrumented program, `counters` the file it filled."""
        try:
            rows = json.loads(Path(legend).read_text())["counters"]
            raw = Path(counters).read_bytes()
        except (OSError, ValueError, KeyError, TypeError) as why:
            raise JumptableError(f"cannot read the profile: {why}", Where(file=str(legend))) from None
        if len(raw) < 8 * len(rows):
            raise JumptableError(f"{len(raw)} bytes for {len(rows)} counters", Where(file=str(counters)))
        blocks: dict[int, int] = {}
        edges: dict[tuple[int, int], int] = {}
        for row, (n,) in zip(rows, struct.iter_unpack("<Q", raw[: 8 * len(rows)]), strict=True):
            if row["kind"] == "edge":
                edges[row["block"], row["target"]] = n
            else:
                blocks[row["block"]] = n
        return cls(blocks, edges)

    def __repr__(self) -> str:
        return f"Profile({len(self.blocks)} blocks, {len(self.edges)} edges, {sum(self.blocks.values())} executions)"
