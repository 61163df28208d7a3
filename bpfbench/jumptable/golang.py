"""Point 7 for Go: 8-byte entries are updated in place, nothing else moves.

Go's function tables and stack maps are keyed by code address, so code stays where it is.  Each distinct target of a
table gets a trampoline in a new segment (a counter if wanted, then a branch to the target), and the entries lead there:
8 bytes in a fixed-address program; in a position-independent one the addend of the RELATIVE relocation as well.

    entry k: target   ->   entry k: trampoline ;   trampoline: counter ; b target
"""

from __future__ import annotations

import struct
from typing import final

from . import instrument
from .elfout import Output
from .emit import EDGE, Item, Piece, branch, emit
from .image import Image
from .rewrite import Rewriting
from .tables import JumpTables


@final
class GoRewriter:
    """Redirects every entry of every table of a Go program."""

    def __init__(self, image: Image, tables: JumpTables, count: str, counter_file: str) -> None:
        self.image = image
        self.tables = tables
        self.count = count
        self.counter_file = counter_file
        self.report = Rewriting()

    def run(self) -> bytes:
        todo = [t for t in self.tables.tables if t.size == 8]
        room = 8 * sum(len(set(t.targets)) for t in todo) if self.count else 0
        out = Output(self.image, room)
        begin = out.align(64)
        if self.count:
            out.place(b"\0" * len(instrument.startup(begin, 0, 0, 0, self.counter_file)))
        for t in todo:
            where: dict[int, int] = {}
            for target in dict.fromkeys(t.targets):
                items: list[Item] = []
                numbers: dict[int, int] = {}
                if self.count:
                    k = len(self.report.counters)
                    items.append(instrument.counter(k))
                    numbers[-1 - k] = out.counter_base + 8 * k
                    self.report.counters.append(
                        {"function": t.function.name, "kind": "edge", "block": t.branch, "target": target}
                    )
                made = emit([Piece(EDGE, items, target)], out.align(16), {}, numbers, set())
                code = bytearray(made.code)
                for offset, goal, link in made.fixups:
                    struct.pack_into("<I", code, offset, branch(made.base + offset, goal, link))
                where[target] = out.place(bytes(code))
            for k, target in enumerate(t.targets):
                out.pointer(t.address + 8 * k, where[target])
            self.report.updated += 1
        out.sections.append((".text.bpfbench", begin, out.at - begin, 1, 6))
        if self.count:
            code2 = instrument.startup(begin, self.image.entry, out.counter_base, out.counter_size, self.counter_file)
            out.new[begin - out.base : begin - out.base + len(code2)] = code2
            out.entry = begin
            out.sections.append((".bss.counters", out.counter_base, out.counter_size, 8, 3))
        owners = {t.function.start for t in self.tables.tables}
        self.report.with_tables = self.report.with_tables_done = len(owners)
        return out.finish()
