"""Shifts of 64 bits on pairs of 32: bits move between the halves through dbl_shf.

    dbl_shf[d, high, low, >>n]      the low word of (high:low) >> n
    left      dH = (dH:dL) >> (32 - n)     dL = dL << n              from 32 on: dH = dL << (n - 32), dL = 0
    right     dL = (dH:dL) >> n            dH = dH >> n              from 32 on: dL = dH >> (n - 32), dH = 0 or the sign

The amount of an *indirect* shift is the A operand of the instruction before; an arithmetic shift takes its sign from
that instruction's result.  A shift by a register has to choose between the two forms of the table above at run time,
unless the verifier knows the range of the amount.

Source: `shl_*`, `shr_*`, `ashr_*` of the driver's bpf/jit.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bpfbench.isa import ops
from bpfbench.jit.nfp_emit import TEMP_A, TEMP_B, Label, Writer, a, b, both

if TYPE_CHECKING:
    from bpfbench.jit.nfp import Generator
    from bpfbench.nfp.notes import Step

TEMP: Final = 21        # number of the temporaries in both banks
SPARE: Final = 20


def shift(g: Generator, s: Step, fn: int, wide: bool) -> None:
    amount = s.insn.imm if s.insn.op.imm else s.note.amount
    if wide and amount is not None:
        CONSTANT[fn](g.w, 2 * s.insn.dst, amount & 63, s.wide)
    elif wide:
        variable(g, s, fn)
    else:
        shift32(g, s, fn, None if amount is None else amount & 31)


# ------------------------------------------------------------------------------------------------- by a known amount
def left_constant(w: Writer, d: int, n: int, wide: bool) -> None:
    if not n:
        return
    if n < 32:
        if wide:
            w.double(both(d + 1), a(d + 1), b(d), f">>{32 - n}")
        w.shift(both(d), "--", "B", b(d), f"<<{n}")
        return
    if wide:
        if n == 32:
            w.mov(both(d + 1), b(d))
        else:
            w.shift(both(d + 1), "--", "B", b(d), f"<<{n - 32}")
    w.const(both(d), 0)


def right_constant(w: Writer, d: int, n: int, wide: bool) -> None:
    if not n:
        return
    if n < 32:
        w.double(both(d), a(d + 1), b(d), f">>{n}")
        if wide:
            w.shift(both(d + 1), "--", "B", b(d + 1), f">>{n}")
        return
    if n == 32:
        w.mov(both(d), b(d + 1))
    else:
        w.shift(both(d), "--", "B", b(d + 1), f">>{n - 32}")
    if wide:
        w.const(both(d + 1), 0)


def arithmetic_constant(w: Writer, d: int, n: int, wide: bool) -> None:
    if not n:
        return
    if n < 32:
        w.double(both(d), a(d + 1), b(d), f">>{n}")
        if wide:
            w.alu("--", a(d + 1), "OR", "0x0")
            w.emit(f"asr[{both(d + 1)}, {b(d + 1)}, >>{n}]")
        return
    if n == 32:
        w.mov(both(d), b(d + 1))
    else:
        w.alu("--", a(d + 1), "OR", "0x0")
        w.emit(f"asr[{both(d)}, {b(d + 1)}, >>{n - 32}]")
    if wide:
        w.emit(f"asr[{both(d + 1)}, {b(d + 1)}, >>31]")


CONSTANT: Final = {ops.LSH: left_constant, ops.RSH: right_constant, ops.ARSH: arithmetic_constant}


# ---------------------------------------------------------------------------------------------------- by a register
def shift32(g: Generator, s: Step, fn: int, n: int | None) -> None:
    w, d, r = g.w, 2 * s.insn.dst, 2 * s.insn.src
    arrow = "<<" if fn == ops.LSH else ">>"
    if n is None:
        r = amount_register(g, s, fn)
        w.amount_of(a(r), b(d) if fn == ops.ARSH else "0x0")
    amount = f"{arrow}{'indirect' if n is None else n}"
    if fn == ops.ARSH and n != 0:
        if n is not None:
            w.alu("--", a(d), "OR", "0x0")
        w.emit(f"asr[{both(d)}, {b(d)}, {amount}]")
    elif n != 0:
        w.shift(both(d), "--", "B", b(d), amount)
    g.zext(s)


def amount_register(g: Generator, s: Step, fn: int) -> int:
    """The register half that holds the amount of an indirect shift, by us made safe where the driver relies on luck.

    An arithmetic shift takes its sign from amount OR value, so bit 31 of the amount must be 0; and what is shifted by
    itself must not lose its amount with its first half.
    """
    r = 2 * s.insn.src
    if not g.driver and fn == ops.ARSH and s.note.src_max >= 1 << 31:
        g.w.alu(both(SPARE), a(r), "AND", "0x3f")
        return SPARE
    if not g.driver and s.insn.src == s.insn.dst and s.insn.kind == ops.ALU64 and overwrites_amount(s, fn):
        g.w.mov(both(SPARE), b(r))
        return SPARE
    return r


def overwrites_amount(s: Step, fn: int) -> bool:
    """Is the lower half written before the amount has been used for the last time?"""
    only_large = s.note.src_min >= 32 and s.note.src_max < 64
    if fn == ops.LSH:
        return not only_large and s.note.src_max >= 32
    return s.wide and not only_large


def variable(g: Generator, s: Step, fn: int) -> None:
    """By a register: the halves trade bits below 32 and change places from 32 on; both when the range allows both."""
    note, r = s.note, amount_register(g, s, fn)
    if note.src_max < 32:
        below(g, s, fn, r)
    elif note.src_min >= 32 and note.src_max < 64:
        above(g, s, fn, r)
    elif not s.wide:
        low_half(g.w, 2 * s.insn.dst, r, fn)
    elif not g.driver and (fn == ops.LSH or fn == ops.ARSH and note.src_max >= 1 << 31):
        halves_first(g, s, fn, r)
    else:
        either(g.w, 2 * s.insn.dst, r, fn)


def below(g: Generator, s: Step, fn: int, r: int) -> None:
    """Amounts from 0 to 31."""
    d = 2 * s.insn.dst
    first, second, _ = PARTS[fn]
    if fn == ops.LSH:
        if s.wide:
            above_zero = 0 < s.note.src_min <= s.note.src_max < 32      # of larger ones the last five bits can be 0
            (left_high if g.driver or above_zero else left_high_or_zero)(g.w, d, r)
        left_low(g.w, d, r)
        return
    first(g.w, d, r)
    if s.wide:
        second(g.w, d, r)


def above(g: Generator, s: Step, fn: int, r: int) -> None:
    """Amounts from 32 to 63."""
    w, d = g.w, 2 * s.insn.dst
    if s.wide:
        PARTS[fn][2](w, d, r)
    elif fn == ops.LSH:
        w.const(both(d), 0)
    else:
        w.amount_of(a(r), b(d + 1) if fn == ops.ARSH else "0x0")
        upper_down(w, d, fn)


def upper_down(w: Writer, d: int, fn: int) -> None:
    """dL = dH >> amount, the amount being set."""
    if fn == ops.ARSH:
        w.emit(f"asr[{both(d)}, {b(d + 1)}, >>indirect]")
    else:
        w.shift(both(d), "--", "B", b(d + 1), ">>indirect")


def either(w: Writer, d: int, r: int, fn: int) -> None:
    """Any amount, as the driver does it: one branch to the form for large ones."""
    first, second, beyond = PARTS[fn]
    large, end = Label(), Label()
    w.branch("br_bset", large, operands=f"{a(r)}, 5, ")
    first(w, d, r)
    w.branch("br", end, defer=2)
    second(w, d, r)
    w.bind(large)
    beyond(w, d, r)
    w.bind(end)


def halves_first(g: Generator, s: Step, fn: int, r: int) -> None:
    """Any amount: shift by 32 if bit 5 of it is set, and then by the other five bits."""
    w, d, small = g.w, 2 * s.insn.dst, Label()
    w.branch("br_bclr", small, operands=f"{a(r)}, 5, ")
    if fn == ops.LSH:
        w.mov(both(d + 1), b(d))
        w.const(both(d), 0)
    else:
        w.mov(both(d), b(d + 1))
        w.emit(f"asr[{both(d + 1)}, {b(d + 1)}, >>31]")
    w.bind(small)
    below(g, s, fn, r)


def low_half(w: Writer, d: int, r: int, fn: int) -> None:
    """Any amount, when nobody reads the upper half of the result."""
    end = Label()
    if fn == ops.LSH:
        left_low(w, d, r)
        w.branch("br_bclr", end, operands=f"{a(r)}, 5, ")
        w.const(both(d), 0)
    else:
        large = Label()
        w.branch("br_bset", large, operands=f"{a(r)}, 5, ")
        w.branch("br", end, defer=2)
        right_low(w, d, r)
        w.bind(large)
        w.amount_of(a(r), b(d + 1) if fn == ops.ARSH else "0x0")
        upper_down(w, d, fn)
    w.bind(end)


def left_high(w: Writer, d: int, r: int) -> None:
    """dH = low word of dH:dL >> (32 - amount), for amounts from 1."""
    w.alu(both(TEMP), "0x20", "-", b(r))
    w.amount_of(TEMP_A)
    w.double(both(d + 1), a(d + 1), b(d), ">>indirect")


def left_high_or_zero(w: Writer, d: int, r: int) -> None:
    """The same for amounts from 0: (dH:dL >> 1) >> (31 - amount), and 31 - amount is the complement of five bits."""
    w.double(TEMP_B, a(d + 1), b(d), ">>1")
    w.shift(TEMP_A, "--", "B", b(d + 1), ">>1")
    w.alu(a(SPARE), "--", "~B", b(r))
    w.amount_of(a(SPARE))
    w.double(both(d + 1), TEMP_A, TEMP_B, ">>indirect")
    if r == SPARE:
        w.mov(a(SPARE), b(SPARE))               # bank B still has the amount that the lower half needs


def left_low(w: Writer, d: int, r: int) -> None:
    w.amount_of(a(r))
    w.shift(both(d), "--", "B", b(d), "<<indirect")


def left_above(w: Writer, d: int, r: int) -> None:
    w.amount_of(a(r))
    w.shift(both(d + 1), "--", "B", b(d), "<<indirect")
    w.const(both(d), 0)


def right_low(w: Writer, d: int, r: int) -> None:
    w.amount_of(a(r))
    w.double(both(d), a(d + 1), b(d), ">>indirect")


def right_high(w: Writer, d: int, r: int) -> None:
    w.amount_of(a(r))
    w.shift(both(d + 1), "--", "B", b(d + 1), ">>indirect")


def right_above(w: Writer, d: int, r: int) -> None:
    w.amount_of(a(r))
    w.shift(both(d), "--", "B", b(d + 1), ">>indirect")
    w.const(both(d + 1), 0)


def arithmetic_high(w: Writer, d: int, r: int) -> None:
    w.amount_of(a(r), b(d + 1))
    w.emit(f"asr[{both(d + 1)}, {b(d + 1)}, >>indirect]")


def arithmetic_above(w: Writer, d: int, r: int) -> None:
    w.amount_of(a(r), b(d + 1))
    w.emit(f"asr[{both(d)}, {b(d + 1)}, >>indirect]")
    w.emit(f"asr[{both(d + 1)}, {b(d + 1)}, >>31]")


#             amounts below 32: first half, second   from 32 on
PARTS: Final = {
    ops.LSH:  (left_high, left_low,                  left_above),
    ops.RSH:  (right_low, right_high,                right_above),
    ops.ARSH: (right_low, arithmetic_high,           arithmetic_above),
}  # fmt: skip
