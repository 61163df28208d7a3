"""The result of code generation: an image and everything that is known about it.

    image   |prologue| pc 0 | pc 1 | ... |epilogue|   prologue | pc 7 | ...
             function 0 ----------------------------   function 1 -----

`spans` say which bytes came from which eBPF instruction and which rule of the target wrote them; `relocations` which
bytes depend on addresses that only the loader of the code knows.
"""

from __future__ import annotations

from typing import final

from bpfbench.isa.insn import Instruction
from bpfbench.jit.layout import Layout
from bpfbench.jit.partition import Function
from bpfbench.listing import Listing, Row
from bpfbench.machine.assembler import Assembler, Placed
from bpfbench.machine.pattern import Machine

PROLOGUE = -1
EPILOGUE = -2


@final
class Span:
    """Bytes `start`..`end` of the image came from slot `pc` (PROLOGUE, EPILOGUE: negative) by `rule` of the target."""

    __slots__ = ("pc", "start", "end", "rule")

    def __init__(self, pc: int, start: int, end: int, rule: str) -> None:
        self.pc = pc
        self.start = start
        self.end = end
        self.rule = rule

    def __repr__(self) -> str:
        return f"Span(pc={self.pc}, {self.start:#x}..{self.end:#x}, {self.rule})"

    def to_json(self) -> dict[str, object]:
        return {"pc": self.pc, "start": self.start, "end": self.end, "rule": self.rule}


@final
class Relocation:
    """`size` bytes at `offset` of the image depend on the address of `symbol`.

    `kind`    what is meant: "helper", "kfunc", "subprog", "return_thunk", "indirect_thunk", "map", "map_value",
              "percpu", "function", "poke", "code" (an address in this image)
    `form`    how the address is written: a name from the target's `forms`, e.g. "rel32", "abs64", "movw"
    `addend`  added to the address
    """

    __slots__ = ("offset", "size", "kind", "symbol", "form", "addend")

    def __init__(self, offset: int, size: int, kind: str, symbol: str, form: str, addend: int = 0) -> None:
        self.offset = offset
        self.size = size
        self.kind = kind
        self.symbol = symbol
        self.form = form
        self.addend = addend

    def __repr__(self) -> str:
        return f"Relocation({self.offset:#x}, {self.size}, {self.kind} {self.symbol}, {self.form})"

    def to_json(self) -> dict[str, object]:
        return {
            "offset": self.offset, "size": self.size, "kind": self.kind, "symbol": self.symbol, "form": self.form,
            "addend": self.addend,
        }  # fmt: skip


@final
class Region:
    """One compiled function in the image: where it starts, how long it is, its frame, and its size after each pass."""

    __slots__ = ("function", "start", "length", "layout", "passes")

    def __init__(self, function: Function, start: int, length: int, layout: Layout, passes: list[int]) -> None:
        self.function = function
        self.start = start
        self.length = length
        self.layout = layout
        self.passes = passes

    @property
    def name(self) -> str:
        return self.function.name

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter((self.start, self.length))

    def __repr__(self) -> str:
        return f"Region({self.name!r}, {self.start:#x}, {self.length} bytes)"


@final
class Code:
    """A compiled program.

    `target`      name of the target, e.g. "x86_64"          `kernel`  name of the profile it was compiled for
    `bytes`       the image, relocations not applied          `functions`  one `Region` per BPF function, in order
    `spans`       in image order                              `relocations`  in image order
    `source`      the program's instructions, slot-indexed    `verified`  whether a verifier accepted it
    `layout`      frame of function 0                         `passes`  sizes of function 0 after each pass
    """

    __slots__ = (
        "target", "kernel", "machine", "functions", "spans", "relocations", "source", "verified", "bytes", "linkage",
        "buffers", "_placed",
    )  # fmt: skip

    def __init__(
        self, target: str, kernel: str, machine: Machine, buffers: list[Assembler], image: bytes, functions: list[Region],
        spans: list[Span], relocations: list[Relocation], source: list[Instruction | None], verified: bool,
    ) -> None:  # fmt: skip
        self.target = target
        self.kernel = kernel
        self.machine = machine
        self.buffers = buffers                  # what was emitted, one for each function
        self._placed: list[Placed] = []
        self.functions = functions
        self.spans = spans
        self.relocations = relocations
        self.source = source
        self.verified = verified
        self.bytes = image
        self.linkage: object = None             # a link.Linkage: the rounds in which functions were linked

    @property
    def placed(self) -> list[Placed]:
        """Every native instruction with its address, row and operands, in image order."""
        if not self._placed:
            for region, buffer in zip(self.functions, self.buffers):
                self._placed += buffer.placed(region.start)
        return self._placed

    @property
    def layout(self) -> Layout:
        return self.functions[0].layout

    @property
    def passes(self) -> list[int]:
        return self.functions[0].passes

    @property
    def insns(self) -> list[Row]:
        """Every native instruction as a row: address, bytes, text, the pc it came from, the rule that wrote it."""
        rows: list[Row] = []
        at = 0
        relocated = {}
        for r in self.relocations:
            for byte in range(r.offset, r.offset + r.size):
                relocated[byte] = f"{r.kind} {r.symbol}"
        for p in self.placed:
            while at + 1 < len(self.spans) and self.spans[at].end <= p.addr:
                at += 1
            span = self.spans[at]
            owner = span.pc if span.start <= p.addr < span.end else PROLOGUE
            note = next((relocated[b] for b in range(p.addr, p.addr + len(p.raw)) if b in relocated), "")
            row, operands = p.row, list(p.operands)
            named = self.machine.decode(p.raw)      # the alias that disassemblers prefer
            if named is not None:
                row, operands, _ = named
            text = row.text(operands, self.machine.kinds, p.addr)
            rows.append(Row(p.addr, p.raw, text, owner, note))
        return rows

    def span(self, pc: int) -> Span | None:
        """The bytes that came from slot `pc`; None for the second half of a wide load or a skipped instruction."""
        for s in self.spans:
            if s.pc == pc:
                return s
        return None

    def listing(self) -> Listing:
        """The native code line by line."""
        return Listing(f"{self.target} ({self.kernel})", self.insns)

    def to_json(self) -> dict[str, object]:
        return {
            "target": self.target, "kernel": self.kernel, "image": self.bytes.hex(),
            "functions": [f.length for f in self.functions],
            "relocations": [r.to_json() for r in self.relocations],
            "spans": [s.to_json() for s in self.spans],
            "layout": [f.layout.to_json() for f in self.functions],
            "passes": [f.passes for f in self.functions],
        }  # fmt: skip

    def __len__(self) -> int:
        return len(self.bytes)

    def __repr__(self) -> str:
        counts = f"{len(self.functions)} functions, {len(self.relocations)} relocations"
        return f"Code({self.target}, {len(self.bytes)} bytes, {counts})"
