"""Random programs for the NFP: the simulated card against the interpreter.

    python tests/nfp_fuzz.py N [--seed S] [--kernel K] [--jobs J] [--show]

Each program is translated with all passes of the kernel `bpfbench`, and with none of them or with one left out; both run
on the same packet and the same maps as the interpreter.  Verdict, return value, packet, maps and events have to be
equal.  Programs that the verifier or the offload's rules refuse are counted apart.

A program keeps numbers in eight registers, which chunks change; at the end all of them go into the packet:

    xdp   r6 = packet (512 bytes checked)          numbers r0 r2-r5 r7 r8 r9, all 64 bits of them count
    tc    r6 = ctx, r9 = packet                    numbers r0 r2-r5 r7 r8

Chunks aim at what translators get wrong: constants at the edges of 8, 16 and 32 bits, shifts by 0, by 32 and by
registers, divisors whose shift is 0, upper halves that nobody cleared, copies of all widths, lengths and directions, that
overlap or turn round, keys in a caller's frame.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from random import Random
from typing import Any, Final

from bpfbench.errors import BpfbenchError, NotSupported
from bpfbench.execute.nfp_card import action_of
from bpfbench.execute.nfp_sim import run as run_on_card
from bpfbench.interp.machine import run as interpret
from bpfbench.nfp.passes import PASSES
from bpfbench.program.program import Program, from_assembly

WINDOW: Final = 512                 # bytes of the packet that the program may touch
WORK: Final = 400                   # ... by its chunks; the registers go behind
LENGTH: Final = 600
EDGES: Final = (
    0, 1, 2, 3, 7, 8, 15, 31, 32, 33, 63, 64, 127, 128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 0xFF00, 0xFF0000,
    0x12345678, 0x7FFFFFFF, -1, -2, -127, -128, -255, -256, -257, -0x8000, -0x10000, -0x7FFFFFFF, -0x80000000,
)  # fmt: skip
DIVISORS: Final = (1, 2, 3, 5, 6, 7, 10, 14, 28, 56, 100, 112, 216, 224, 304, 432, 448, 608, 641, 672, 720, 1000, 65535,
                   65536, 0x7FFFFFFF)  # fmt: skip
SIZES: Final = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}
COMPARE: Final = ("==", "!=", ">", ">=", "<", "<=", "s>", "s>=", "s<", "s<=", "&")
CALLED: Final = (0, 2, 3, 4, 5)      # numbers that a call destroys


class Writer:
    """The program under construction, as text."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.xdp = self.random.random() < 0.75
        self.packet = "r6" if self.xdp else "r9"
        self.numbers = (0, 2, 3, 4, 5, 7, 8, 9) if self.xdp else (0, 2, 3, 4, 5, 7, 8)
        self.lines: list[str] = []
        self.functions: list[str] = []
        self.labels = 0
        self.depth = self.random.choice((0, 0, 24, 56, 120, 200))      # bytes of the frame above the scratch words
        self.moved = False

    def __call__(self, *lines: str) -> None:
        self.lines += lines

    def reg(self) -> str:
        return f"r{self.random.choice(self.numbers)}"

    def label(self) -> str:
        self.labels += 1
        return f"L{self.labels}"

    def edge(self) -> int:
        r = self.random
        return r.choice(EDGES) if r.random() < 0.7 else r.randrange(-1 << 31, 1 << 31)

    def slot(self, size: int) -> int:
        """Offset of a scratch place on the stack, aligned."""
        return -self.depth - 8 - self.random.randrange(8, 72 + size, size)

    def off(self, size: int) -> int:
        return self.random.randrange(0, WORK - size)


# ------------------------------------------------------------------------------------------------------------- chunks
def arithmetic(w: Writer) -> None:
    for _ in range(w.random.randrange(1, 5)):
        op = w.random.choice(("+", "-", "&", "|", "^", ""))
        wide = w.random.choice("rrw")
        dst, src = w.reg()[1:], w.reg()[1:]
        right = str(w.edge()) if w.random.random() < 0.5 else wide + src
        w(f"{wide}{dst} {op}= {right}")
        if w.random.random() < 0.15:
            w(f"{wide}{dst} = -{wide}{dst}")


def shift(w: Writer) -> None:
    op, wide, dst, src = w.random.choice(("<<", ">>", "s>>")), w.random.choice("rrw"), w.reg()[1:], w.reg()[1:]
    how = w.random.randrange(5)
    if how == 0:
        w(f"{wide}{dst} {op}= {w.random.choice((0, 1, 7, 8, 16, 31) if wide == 'w' else (0, 1, 8, 31, 32, 33, 48, 63))}")
        return
    if how == 1:
        w(f"r{src} = {w.random.choice((0, 1, 31, 32, 33, 63))}")
    elif how == 2:
        w(f"r{src} &= {w.random.choice((1, 7, 31, 32, 63, 127))}")
    elif how == 3:
        w(*w.random.choice(((f"r{src} &= 31", f"r{src} |= 32"), (f"r{src} &= 96", f"r{src} += 32"),
                            (f"r{src} &= 62", f"r{src} |= 1"), (f"r{src} &= 32", f"r{src} += 1"))))  # fmt: skip
    w(f"{wide}{dst} {op}= {wide}{src}")


def multiply(w: Writer) -> None:
    dst, src = w.reg(), w.reg()
    bound = w.random.choice((0xFF, 0xFFFF, 0x7FFFFFFF))
    w(w.random.choice((f"w{dst[1:]} = w{dst[1:]}", f"r{dst[1:]} &= {bound}", f"r{dst[1:]} &= 65535")))
    wide = w.random.choice("rw")
    if w.random.random() < 0.5:
        w(f"{wide}{dst[1:]} *= {abs(w.edge()) & 0x7FFFFFFF}")
    else:
        w(w.random.choice((f"w{src[1:]} = w{src[1:]}", f"{src} &= {bound}")))
        w(f"{wide}{dst[1:]} *= {wide}{src[1:]}")


def divide(w: Writer) -> None:
    dst, wide = w.reg()[1:], w.random.choice("rw")
    w(w.random.choice((f"w{dst} = w{dst}", f"r{dst} &= 0xffff", f"r{dst} >>= 32")))
    divisor = w.random.choice(DIVISORS) if w.random.random() < 0.6 else w.random.randrange(1, 1 << 31)
    if w.random.random() < 0.5:
        w(f"{wide}{dst} /= {divisor}")
        return
    src = w.random.choice([n for n in w.numbers if str(n) != dst])
    divisor = w.random.choice((divisor, divisor, 0, 0x80000001, 0xFFFFFFFF, 0x80000000))
    w(f"r{src} = {divisor} ll" if divisor >> 31 else f"r{src} = {divisor}", f"{wide}{dst} /= {wide}{src}")


def byte_order(w: Writer) -> None:
    dst = w.reg()
    w(f"{dst} = be{w.random.choice((16, 32, 64))} {dst}")


def stale(w: Writer) -> None:
    """An upper half that is not zero, a 32-bit operation over it, then a use of all 64 bits."""
    dst, other = w.random.sample(w.numbers, 2)
    w(f"r{dst} |= -1" if w.random.random() < 0.5 else f"r{dst} = {w.random.getrandbits(64)} ll")
    op = w.random.choice(("+= 5", "*= 3", "/= 7", "/= 28", ">>= 3", "s>>= 9", "<<= 0", "&= 255", "^= -1", "= -"))
    if op.startswith(("*", "/")):
        w(f"w{dst} &= 0xffff" if w.random.random() < 0.5 else f"w{dst} = w{dst}")
    w(f"w{dst} = -w{dst}" if op == "= -" else f"w{dst} {op}")
    w(f"r{other} += r{dst}" if w.random.random() < 0.7 else f"r{other} >>= 1")


def jump(w: Writer) -> None:
    label, wide, dst = w.label(), w.random.choice("rrw"), w.reg()[1:]
    right = str(w.edge()) if w.random.random() < 0.6 else f"{wide}{w.reg()[1:]}"
    w(f"if {wide}{dst} {w.random.choice(COMPARE)} {right} goto {label}")
    for _ in range(w.random.randrange(1, 4)):
        w.random.choice(INNER)(w)
    w(f"{label}:")


def packet_load(w: Writer) -> None:
    """Some loads in a row, near each other: what the packet cache is for."""
    base = w.off(80)
    for _ in range(w.random.randrange(1, 5)):
        size = w.random.choice((1, 2, 4, 8))
        w(f"{w.reg()} = *({SIZES[size]} *)({w.packet} + {base + w.random.randrange(0, 72)})")
        if w.random.random() < 0.2:
            arithmetic(w)


def varying_packet(w: Writer) -> None:
    """Two pointers into the packet whose distance depends on the path: what is known of one path holds on no other."""
    r, label, other = w.random, w.label(), w.random.randrange(0, 100)
    w(f"r1 = {w.packet}", f"if {w.reg()} {r.choice(COMPARE)} {w.edge()} goto {label}", f"r1 += {r.randrange(0, 24)}",
      f"{label}:")  # fmt: skip
    past = w.label()
    if r.random() < 0.4:
        register = w.reg()
        w(f"{register} &= 31", f"r1 += {register}", "r2 = *(u64 *)(r10 - 8)", f"r2 = *(u32 *)(r2 + {4 if w.xdp else 80})",
          "r3 = r1", "r3 += 170", f"r4 = {w.edge()}", f"if r3 > r2 goto {past}")  # fmt: skip
        w("r2 = 1", "r3 = 2")
    size, register = r.choice((1, 2, 4, 8)), w.reg()
    for n in range(r.randrange(1, 5)):
        if r.random() < 0.5:
            source, target = r.choice(((w.packet, "r1"), ("r1", w.packet)))
            w(f"{register} = *({SIZES[size]} *)({source} + {other + n * size})",
              f"*({SIZES[size]} *)({target} + {other + n * size}) = {register}")  # fmt: skip
        else:
            w(f"{w.reg()} = *({SIZES[size]} *)({r.choice(('r1', w.packet))} + {other + r.randrange(0, 30)})")
    w(f"{past}:", "r2 = 3", "r3 = 4")


def packet_store(w: Writer) -> None:
    size = w.random.choice((1, 2, 4, 8))
    value = w.reg() if w.random.random() < 0.6 else str(w.edge())
    w(f"*({SIZES[size]} *)({w.packet} + {w.off(size)}) = {value}")


def memcpy(w: Writer) -> None:
    """Pairs of load and store: gathered into one copy where they go on, in either direction, or turn round."""
    r = w.random
    size = r.choice((1, 1, 2, 2, 4, 4, 8))
    count = r.randrange(1, max(2, min(20, 160 // size)))
    load, store, step = r.randrange(0, 200), r.randrange(0, 380), size * r.choice((1, 1, 1, -1))
    if r.random() < 0.3:
        store = load + r.randrange(-12, 12)                  # overlapping
    load, store = (x + (size * count if step < 0 else 0) for x in (load, max(store, 0)))
    limit = WORK - size
    register = w.reg()
    at = 0
    for n in range(count):
        if not (0 <= load + at <= limit and 0 <= store + at <= limit):
            break
        w(f"{register} = *({SIZES[size]} *)({w.packet} + {load + at})",
          f"*({SIZES[size]} *)({w.packet} + {store + at}) = {register}")  # fmt: skip
        if n and r.random() < 0.04:
            step = -step
        at += step
        if r.random() < 0.03:
            at += size


def stack(w: Writer) -> None:
    for _ in range(w.random.randrange(1, 4)):
        size = w.random.choice((1, 2, 4, 8))
        place = f"*({SIZES[size]} *)(r10 - {-w.slot(size)})"
        w(f"{place} = {w.reg()}" if w.random.random() < 0.5 else f"{w.reg()} = {place}")


def varying_stack(w: Writer) -> None:
    """A pointer that is one of two places, by path."""
    label, size = w.label(), w.random.choice((1, 2, 4, 8))
    w("r1 = r10", f"r1 += {-w.depth - 16}", f"if {w.reg()} == {w.edge()} goto {label}",
      f"r1 += {-8 * w.random.randrange(1, 6)}", f"{label}:")  # fmt: skip
    off = w.random.choice((0, 0, 8 - size))
    place = f"*({SIZES[size]} *)(r1 + {off})"
    w(f"{place} = {w.reg()}" if w.random.random() < 0.5 else f"{w.reg()} = {place}")


def clobbered(w: Writer) -> None:
    """After a call: the numbers that it destroyed become numbers again; r0 is one."""
    for n in CALLED[1:]:
        w(f"r{n} = r7" if w.random.random() < 0.5 else f"r{n} = {w.edge()}")


def key(w: Writer, register: str = "r2", values: bool = False) -> None:
    """A small key in the lowest word of the frame, at its start or above."""
    at = w.depth + 8 + 72 + w.random.choice((8, 8, 16))
    w(f"r1 = {w.reg()}", "r1 &= 3", f"*(u32 *)(r10 - {at}) = r1", f"{register} = r10", f"{register} += -{at}")


def lookup(w: Writer) -> None:
    """Find a value, and if there is one read from it, count in it, or copy it to the packet."""
    r = w.random
    name, label = r.choice(("h", "a")), w.label()
    key(w)
    w(f"r1 = map[{name}]", "call map_lookup_elem")
    w("r1 = r0")
    if r.random() < 0.5:
        w("r0 = 0")
    for n in CALLED[1:]:
        w(f"r{n} = {w.edge()}")
    w("r0 = 5", f"if r1 == 0 goto {label}")
    for _ in range(r.randrange(1, 4)):
        how = r.randrange(4)
        if how == 0:
            size = r.choice((1, 2, 4, 8))
            w(f"r{r.choice((0, 2, 3, 4, 5, 7))} = *({SIZES[size]} *)(r1 + {r.randrange(0, 32 - size)})")
        elif how == 1:
            register = f"r{r.choice((2, 3, 4, 5, 7))}"
            w(r.choice((f"{register} &= 0xffff", f"{register} = {w.edge()}", f"{register} &= 0x1ffff", f"{register} += 0")))
            size, at = r.choice(((4, 32), (4, 36), (8, 40), (4, 48)))
            w(f"lock *({SIZES[size]} *)(r1 + {at}) += {register}")
        elif how == 2:
            value_copy(w)
        else:
            w("r1 += 4", f"{r.choice(('r2', 'r4'))} = *(u32 *)(r1 + {r.choice((0, 4, 12))})", "r1 -= 4")
    w(f"{label}:")


def value_copy(w: Writer) -> None:
    size, to = w.random.choice((1, 2, 4, 8)), w.off(40)
    count = w.random.randrange(1, 32 // size + 1)
    for n in range(count):
        w(f"r4 = *({SIZES[size]} *)(r1 + {n * size})", f"*({SIZES[size]} *)({w.packet} + {to + n * size}) = r4")


def update(w: Writer) -> None:
    """Words that are counted in have to be zero: the card's byte order is another."""
    at = w.depth + 8 + 72 + 16 + 56
    for word in range(0, 56, 8):
        if word < 32:
            w(f"r1 = {w.reg()}", f"*(u64 *)(r10 - {at - word}) = r1")
        else:
            w("r1 = 0", f"*(u64 *)(r10 - {at - word}) = r1")
    key(w)
    w("r3 = r10", f"r3 += -{at}", f"r1 = map[{w.random.choice('ha')}]", f"r4 = {w.random.choice((0, 0, 1, 2, 3))}",
      "call map_update_elem")  # fmt: skip
    clobbered(w)


def delete(w: Writer) -> None:
    key(w)
    w(f"r1 = map[{w.random.choice('hha')}]", "call map_delete_elem")
    clobbered(w)


def event(w: Writer) -> None:
    r, size = w.random, w.random.choice((4, 8, 16))
    extra = r.choice((0, 0, 20))
    w("r1 = *(u64 *)(r10 - 8)", "r2 = map[e]", f"r3 = {extra << 32 | 0xFFFFFFFF} ll")
    w("r4 = r10", f"r4 += {-w.depth - 8 - 16}")
    w(f"r5 = {size}", "call perf_event_output")
    clobbered(w)


def random_number(w: Writer) -> None:
    w("call get_prandom_u32")
    clobbered(w)


def function(w: Writer, level: int = 0) -> str:
    """A function of two numbers; some save registers, use their stack, look something up by a key of their caller."""
    r, outer = w.random, w.lines
    name = f"fn{len(w.functions)}"
    w.functions.append("")
    number, w.lines = len(w.functions) - 1, [f".func {name}"]
    kept = r.random() < 0.5
    if kept:
        w("r6 = r1", "r7 = r2", "r8 = 77", "r9 = r1", "r9 ^= r2")
    deep = r.choice((8, 8, 72, 96))
    w("*(u64 *)(r10 - 8) = r1", f"*(u64 *)(r10 - {deep}) = r2", f"r0 = *(u32 *)(r10 - {r.choice((8, 4))})", "r0 += r2")
    if r.random() < 0.5:
        w(f"r4 = *({r.choice(('u32', 'u8', 'u64'))} *)(r3 + 0)", "r0 ^= r4",
          f"*({r.choice(('u32', 'u64', 'u8'))} *)(r3 + 0) = r0")  # fmt: skip
    if r.random() < 0.4:
        label = w.label()
        w("r5 = r0", "r2 = r3", "*(u64 *)(r10 - 16) = r5", "r1 = map[a]", "call map_lookup_elem", "r1 = r0")
        w("r0 = *(u64 *)(r10 - 16)", f"if r1 == 0 goto {label}", "r2 = *(u32 *)(r1 + 0)", "r0 += r2", f"{label}:")
    elif level < 2 and r.random() < 0.4:
        inner = function(w, level + 1)
        w("*(u64 *)(r10 - 24) = r0", "r1 = r0", "r2 = 1234", "r3 = r10", "r3 += -8", f"call {inner}",
          "r1 = *(u64 *)(r10 - 24)", "r0 += r1")  # fmt: skip
    if kept:
        w("r0 += r6", "r0 ^= r7", "r0 += r9", "r0 += r8")
    label = w.label()
    w(f"if r0 {r.choice(COMPARE)} {w.edge()} goto {label}", "r0 += 1", "exit", f"{label}:", "exit")
    w.functions[number] = "\n".join(w.lines)
    w.lines = outer
    return name


def call(w: Writer) -> None:
    at = w.depth + 8 + 72 + 8
    if w.functions and w.random.random() < 0.4:
        name = "fn0"
    else:
        name = function(w)
    w(f"r1 = {w.reg()}", "r1 &= 3", f"*(u64 *)(r10 - {at}) = r1",
      f"r1 = {w.reg()}", f"r2 = {w.reg()}", "r3 = r10", f"r3 += -{at}", f"call {name}")  # fmt: skip
    clobbered(w)


def adjust(w: Writer) -> None:
    """Move an end of the packet; the pointers have to be taken and checked again."""
    r, size = w.random, WINDOW
    if not w.xdp or w.moved:
        return
    w.moved = True
    if r.random() < 0.6:
        delta = r.choice((-64, -48, -32, -8, 8, 14, 20, 40))
        if r.random() < 0.5:
            w(f"r2 = {delta}")
        else:
            w("r2 &= 15", f"r2 += {delta}")
        w("r1 = *(u64 *)(r10 - 8)", "call xdp_adjust_head")
    else:
        w(f"r2 = {r.choice((-1, -4, -20, -60))}", "r1 = *(u64 *)(r10 - 8)", "call xdp_adjust_tail")
    w("r1 = *(u64 *)(r10 - 8)", "r7 = r0", "r6 = *(u32 *)(r1 + 0)", "r2 = *(u32 *)(r1 + 4)", "r3 = r6", f"r3 += {size}",
      "if r3 > r2 goto out")  # fmt: skip
    w("r0 = r7")
    clobbered(w)


def queue(w: Writer) -> None:
    if w.xdp:
        w("r1 = *(u64 *)(r10 - 8)", f"*(u32 *)(r1 + 16) = {w.reg()}")


def classic(w: Writer) -> None:
    """Old packet loads, with the masks and shifts behind them that a pass removes."""
    r = w.random
    if w.xdp:
        return
    size, at = r.choice((1, 2, 4)), r.choice((0, 3, 14, 200, 300, 590, 598, 3000))
    w(f"r0 = *({SIZES[size]} *)skb[{at}]" if r.random() < 0.6 else f"r0 = *({SIZES[size]} *)skb[r7 + {at}]")
    how = r.randrange(4)
    if how == 0:
        w(f"r0 &= {r.choice((0xFF, 0xFFFF, -1))}")
    elif how == 1:
        w("r0 <<= 32", "r0 >>= 32")
    elif how == 2:
        w("r0 >>= 32", "r0 <<= 32")
    clobbered(w)


INNER: Final = (arithmetic, arithmetic, shift, multiply, divide, byte_order, stale, packet_load, packet_store, memcpy,
                stack, varying_stack, varying_packet)  # fmt: skip
CHUNKS: Final = (*INNER, memcpy, shift, packet_load, jump, jump, jump, lookup, lookup, update, delete, event,
                 random_number, call, call, adjust, queue, classic, classic)  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ programs
def program_text(seed: int) -> str:
    """The same program for the same seed."""
    w = Writer(seed)
    start, end = (0, 4) if w.xdp else (76, 80)
    w(f".type {'xdp' if w.xdp else 'sched_cls'}", ".license GPL", ".map h hash 4 56 3", ".map a array 4 56 3",
      ".map e perf_event_array 4 4 4")  # fmt: skip
    if not w.xdp:
        w("r6 = r1")
    w(f"r2 = *(u32 *)(r1 + {start})", f"r3 = *(u32 *)(r1 + {end})", "r4 = r2", f"r4 += {WINDOW}")  # fmt: skip
    leave = ["out:", "r0 = 2", "exit"]
    first = w.random.random() < 0.3                         # then the last instruction is the end of the body
    w(*(["if r4 <= r3 goto begin", *leave, "begin:"] if first else ["if r4 > r3 goto out"]))
    w(f"{w.packet} = r2", f"*(u64 *)(r10 - 8) = {'r1' if w.xdp else 'r6'}")
    for n in w.numbers:
        size = w.random.choice((1, 2, 4, 8, 8, 8))
        w(f"r{n} = *({SIZES[size]} *)({w.packet} + {w.off(8)})")
    for at in range(16, 88, 8):
        w(f"*(u64 *)(r10 - {w.depth + at}) = {w.reg()}")
    for _ in range(w.random.randrange(1, 9)):
        w.random.choice(CHUNKS)(w)
    for place, n in enumerate(w.numbers):
        w(f"*(u64 *)({w.packet} + {WORK + 8 * place}) = r{n}")
    if w.random.random() < 0.15:
        w("r0 = 2")
        memcpy(w)
    elif w.xdp:
        w(w.random.choice(("r0 = r7", "r0 &= 3", "r0 = 2", "w0 &= 3", "r0 += 0")))
    if not w.xdp:
        w(f"r0 = {w.random.choice((2, 4, 5, -1, 8, 100))}")
    w("exit", *([] if first else leave), *w.functions)
    return "\n".join(w.lines)


def surroundings(seed: int) -> tuple[bytes, dict[str, dict[int, bytes]]]:
    """A packet and what the maps hold."""
    r = Random(~seed)
    packet = bytearray(r.randbytes(LENGTH))
    packet[12:14] = b"\x88\xb5"
    for _ in range(12):
        at = r.randrange(20, LENGTH - 4)
        packet[at : at + 4] = r.choice((bytes(4), b"\xff" * 4, b"\x01\0\0\0"))
    entries = {key: r.randbytes(56) for key in range(3)}
    return bytes(packet), {"a": entries, "h": {key: r.randbytes(56) for key in range(3) if r.random() < 0.6}}


def seen(result: Any) -> dict[str, object]:
    """All that somebody outside can see of a run."""
    maps = {m.name: m.records if m.type == "perf_event_array" else sorted(m.items()) for m in result.maps}
    return {"r0": result.r0 & 0xFFFFFFFF, "packet": result.data.hex(), "maps": maps}


def passes_of(seed: int) -> list[tuple[str, ...]]:
    names = tuple(row[0] for row in PASSES)
    return [(), names if seed % 2 else (Random(seed).choice(names),)]


def one(seed: int, kernel: str = "bpfbench") -> tuple[str, str]:
    """("equal" | "refused" | "differs" | "error", what exactly)."""
    text = program_text(seed)
    packet, maps = surroundings(seed)
    program: Program = from_assembly(text)
    expected = None
    for without in passes_of(seed):
        try:
            found = run_on_card(program, packet, maps=maps, kernel=kernel, without=without, seed=seed)
        except NotSupported as error:
            return "refused", error.message
        except BpfbenchError as error:
            return "error", f"without {without}: {type(error).__name__}: {error}"
        if expected is None:
            reference = interpret(program, packet, maps=maps, seed=seed)
            if reference.trap is not None:
                return "error", f"the interpreter traps: {reference.trap}"
            expected = seen(reference)
        wrong = [name for name, value in seen(found).items() if value != expected[name]]
        if found.code != action_of(program.type, reference.r0):
            wrong.append("verdict")
        if wrong:
            return "differs", f"without {without}: {', '.join(wrong)}"
    return "equal", ""


def checked(seed: int, kernel: str) -> tuple[int, str, str]:
    try:
        return seed, *one(seed, kernel)
    except Exception as error:                              # a defect of the program under test: report it, go on
        return seed, "error", f"{type(error).__name__}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kernel", default="bpfbench")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--show", action="store_true", help="print the program of --seed")
    args = parser.parse_args()
    if args.show:
        print(program_text(args.seed))
        return 0
    seeds = range(args.seed, args.seed + args.count)
    tally: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    with ProcessPoolExecutor(args.jobs) as pool:
        for seed, end, what in pool.map(checked, seeds, [args.kernel] * args.count, chunksize=20):
            tally[end] += 1
            if end == "refused":
                reasons[what] += 1
            elif end != "equal":
                print(f"{end} {seed}: {what}", flush=True)
    print(f"{args.count} programs: {tally['equal']} equal, {tally['differs']} differ, {tally['error']} errors, "
          f"{tally['refused']} refused")  # fmt: skip
    for what, number in reasons.most_common(12):
        print(f"   {number:6} {what}")
    return int(tally["differs"] + tally["error"] > 0)


if __name__ == "__main__":
    sys.exit(main())
