"""Gathered copies: all that nfp/memcpy.py put together is read at once, moved, and written at once.

    mem[read32_swap, $xfer_0, ...]     into the transfer-in registers
    alu[$xfer_i, --, B, $xfer_i]       to the transfer-out registers, which are others
    mem[write32_swap, $xfer_0, ...]    what is no multiple of four in a second write, or in one of bytes
    alu[dL, --, B, $xfer_n]            the data register holds the last element

Source: `nfp_cpp_memcpy` of the driver's bpf/jit.c; slides 45-47.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bpfbench.jit.nfp_emit import a, both, map_address, words, xfer

if TYPE_CHECKING:
    from bpfbench.jit.nfp import Generator
    from bpfbench.nfp.notes import Step


def copy(g: Generator, s: Step) -> None:
    """Read all, move from the transfer-in to the transfer-out registers, write all, reload the data register."""
    assert s.copy is not None
    w, made, d = g.w, s.copy, 2 * s.insn.dst
    length, count = made.length, words(made.length)
    long = length > 32
    off = w.short(made.load)
    base = a(2 * s.insn.src)
    if s.note.ptr == "map_value":
        low, high = map_address(w, 2 * s.insn.src, off)
        base, off = f"{high}, <<8", low
    if long:
        w.override(count)
    w.command("read32_swap", base, off, count, length=count if long else 0)
    for word in range(count):
        w.mov(xfer(word), xfer(word))
    write(g, made.store, a(2 * made.target), length)
    reload(g, s, d)


def write(g: Generator, off: int, base: str, length: int) -> None:
    w, count, at = g.w, words(length), g.w.short(off)
    if length <= 8:
        w.command("write8_swap", base, at, length)
    elif length % 4 == 0 and length <= 32:
        w.command("write32_swap", base, at, count)
    elif length <= 32:
        w.override(length)
        w.command("write8_swap", base, at, length, length=length)
    elif length % 4 == 0:
        w.override(count)
        w.command("write32_swap", base, at, count, length=count)
    elif length <= 40:
        w.command("write32_swap", base, at, 8)
        w.command("write8_swap", base, w.short(off + 32), length - 32, first=8)
    else:
        w.override(count - 1)
        w.command("write32_swap", base, at, count - 1, length=count - 1)
        tail = off + 4 * (count - 1)
        w.command("write8_swap", base, w.short(tail & 0xFF if g.driver else tail), length % 4, first=count - 1)


def reload(g: Generator, s: Step, d: int) -> None:
    """The data register holds the last element afterwards: bytes p..p+width-1 of what was read."""
    assert s.copy is not None
    w, made, width = g.w, s.copy, s.copy.width
    if not made.live:
        return
    p = 0 if made.descending else made.length - width
    if g.driver:
        p = driver_reload(made.length, width, made.descending)
    if width >= 4:
        w.mov(both(d), xfer(p // 4))
    else:
        w.field(both(d), (1 << width) - 1, xfer(p // 4), shift=8 * (p % 4), clear=True)
    if width == 8:
        if s.wide:
            w.mov(both(d + 1), xfer(p // 4 + 1))
    elif s.wide:
        w.const(both(d + 1), 0)


def driver_reload(length: int, width: int, descending: bool) -> int:
    """Where the driver reloads from; not always the last element."""
    word = 0 if descending or width == 4 else words(length) - (2 if width == 8 else 1)
    lane = {1: (length - 1) % 4, 2: (length & 3) ^ 2, 4: 0, 8: 0}[width]
    return 4 * word + lane
