"""From functions to an image: two rounds of compilation, then relocation.

A target compiles one function and knows no other, so calls between functions are linked from outside (slide 38):

    round 1   compile every function; callee addresses are still unknown
    place     put the functions one after the other; now every address is known
    round 2   compile every function again with the addresses

Each round is kept as a value, so a reader can see what the second round changed.  Helper addresses and the like are
not known to the code generator at all: the image carries relocations (slide 37), and `link` applies them for whoever
runs the code: it asks a resolver for each symbol and, where a call cannot reach the address, adds a *veneer*, a few
instructions behind the image that jump anywhere.

Source: kernel/bpf/verifier.c (jit_subprogs), bpf_jit_get_func_addr in kernel/bpf/core.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from bpfbench.errors import JitError, Where
from bpfbench.isa.insn import Instruction
from bpfbench.jit.code import Code, Region, Relocation, Span
from bpfbench.jit.facts import Facts
from bpfbench.jit.frame import compile_function
from bpfbench.jit.partition import Function
from bpfbench.jit.target import Target, Unit

#: Asked for (kind, symbol); answers with an address, or None when it does not know the symbol.
Resolver = Callable[[str, str], int | None]
ROUNDS_MAX = 4
#: Kinds of relocations whose symbol is only ever jumped to or called, so that a veneer may stand for it.
JUMPED_TO = ("helper", "kfunc", "subprog", "return_thunk", "indirect_thunk")


@final
class Round:
    """One round of compiling all functions: their addresses and sizes, and the images as bytes."""

    __slots__ = ("number", "starts", "sizes", "images")

    def __init__(self, number: int, starts: list[int], sizes: list[int], images: list[bytes]) -> None:
        self.number = number
        self.starts = starts
        self.sizes = sizes
        self.images = images

    def __repr__(self) -> str:
        return f"Round({self.number}, starts={self.starts}, sizes={self.sizes})"


@final
class Linkage:
    """What the rounds did: `rounds`, and in `changed` the (function, address, before, after) bytes they differ in."""

    __slots__ = ("rounds",)

    def __init__(self) -> None:
        self.rounds: list[Round] = []

    @property
    def changed(self) -> list[tuple[int, int, int, int]]:
        out: list[tuple[int, int, int, int]] = []
        if len(self.rounds) < 2:
            return out
        first, last = self.rounds[0], self.rounds[-1]
        for number, (before, after) in enumerate(zip(first.images, last.images)):
            out += [(number, at, a, b) for at, (a, b) in enumerate(zip(before, after)) if a != b]
        return out

    def __repr__(self) -> str:
        return f"Linkage({self.rounds})"


def units(insns: list[Instruction | None], functions: list[Function], facts: Facts) -> list[Unit]:
    """What each function's compilation is given."""
    out: list[Unit] = []
    for f in functions:
        out.append(
            Unit(
                insns[f.start : f.end], {pc - f.start: n for pc, n in f.callees.items()}, f.index, f.start,
                facts.stack_depth[f.index], facts.tail_call_reachable[f.index], facts.zext_inserted,
                len(functions) > 1, [pc - f.start for pc in facts.pokes if f.start <= pc < f.end],
                facts.private_stack[f.index],
            )
        )  # fmt: skip
    return out


def compile_all(targets: list[Target], linkage: Linkage) -> list[list[Span]]:
    """Both rounds; afterwards each target holds its function's final code.  Returns the spans of each function."""
    spans = [compile_function(t) for t in targets]
    note_round(targets, linkage)
    if len(targets) == 1:
        return spans
    starts = linkage.rounds[-1].starts
    for _ in range(ROUNDS_MAX):
        for t, start in zip(targets, starts):
            t.base, t.functions = start, starts
        spans = [compile_function(t, again=True) for t in targets]
        note_round(targets, linkage)
        if linkage.rounds[-1].starts == starts:
            return spans
        starts = linkage.rounds[-1].starts
    raise JitError("functions keep moving while calls between them are linked")


def note_round(targets: list[Target], linkage: Linkage) -> None:
    sizes = [t.asm.here for t in targets]
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    linkage.rounds.append(Round(len(linkage.rounds) + 1, starts, sizes, [t.asm.bytes() for t in targets]))


def join(
    targets: list[Target], spans: list[list[Span]], functions: list[Function], kernel: str,
    source: list[Instruction | None], verified: bool, linkage: Linkage,
) -> Code:  # fmt: skip
    """One image out of the compiled functions; addresses now count from its start."""
    all_spans, relocations, regions = [], [], []
    start = 0
    for t, own, f in zip(targets, spans, functions):
        if start:
            for s in own:
                s.start += start
                s.end += start
            for r in t.relocations:
                r.offset += start
        all_spans += own
        relocations += sorted(t.relocations, key=lambda r: r.offset)
        regions.append(Region(f, start, t.asm.here, t.layout, t.sizes))
        start += t.asm.here
    buffers, image = [t.asm for t in targets], b"".join(linkage.rounds[-1].images)
    code = Code(
        targets[0].name, kernel, targets[0].machine, buffers, image, regions, all_spans, relocations, source, verified
    )
    code.linkage = linkage
    return code


@final
class Linked:
    """An image ready to be placed at `base`: the code with its relocations applied, followed by veneers.

    `entry` is the address of function 0; `symbols` the addresses that were used; `veneers` symbol -> address.
    """

    __slots__ = ("code", "base", "bytes", "symbols", "veneers")

    def __init__(self, code: Code, base: int, image: bytes, symbols: dict[str, int], veneers: dict[str, int]) -> None:
        self.code = code
        self.base = base
        self.bytes = image
        self.symbols = symbols
        self.veneers = veneers

    @property
    def entry(self) -> int:
        return self.base + self.code.functions[0].start

    def __repr__(self) -> str:
        counts = f"{len(self.symbols)} symbols, {len(self.veneers)} veneers"
        return f"Linked({self.base:#x}, {len(self.bytes)} bytes, {counts})"


def link(code: Code, base: int, resolve: Resolver) -> Linked:
    """Apply every relocation of `code` for an image at `base`.

    `resolve(kind, symbol)` gives an address; calls between functions of the image and addresses of its own code are
    resolved here.  Raises JitError naming a symbol that nobody knows.
    """
    from bpfbench.jit.targets import target_class

    target = target_class(code.target)
    image = bytearray(code.bytes)
    symbols: dict[str, int] = {}
    veneers: dict[str, int] = {}
    for r in code.relocations:
        value = own_address(code, base, r)
        if value is None:
            value = resolve(r.kind, r.symbol)
        if value is None:
            raise JitError(f"nothing is known about {r.kind} '{r.symbol}'", Where(offset=r.offset))
        symbols[r.symbol] = value
        try:
            target.patch(image, r, base, value)
        except JitError:
            jump = target.veneer(value)
            if not jump or r.kind not in JUMPED_TO:
                raise
            if r.symbol not in veneers:
                image += b"\x00" * (-len(image) % 16)
                veneers[r.symbol] = base + len(image)
                image += jump
            target.patch(image, r, base, veneers[r.symbol])
    return Linked(code, base, bytes(image), symbols, veneers)


def own_address(code: Code, base: int, r: Relocation) -> int | None:
    """Address of something inside the image itself, else None."""
    if r.kind in ("subprog", "function", "code"):
        return base + code.functions[int(r.symbol.split("#")[1])].start
    return None
