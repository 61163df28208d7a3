"""What an operation on sets of numbers says, against what really can come out.

The verifier computes with sets (known bits, ranges), not with numbers, and every operation may answer with a larger set
than necessary.  At small width all members can be tried, so the loss can be counted:

      a in {1, 3}    b in {1, 3}    a + b really in {2, 4, 6}     the known bits xx0 allow 0 as well: one too many

`of_bits` does that for known bits at any width up to 8, `of_ranges` for whole scalars whose sets are small, with the
transfer functions of a named kernel.  Both are for looking at and for tests; the walk never comes here.

Sources: H. Vishwanathan et al., CGO 2022 (precision of tristate numbers); slides 29, 34.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa import ops
from bpfbench.verifier import bounds, refine, tnum
from bpfbench.verifier.features import features
from bpfbench.verifier.scalar import S64_MAX, S64_MIN, U32_MAX, U64_MAX, Scalar, s64
from bpfbench.verifier.tnum import Tnum
from bpfbench.verifier.transfer import fold

MOST_MEMBERS: Final = 512           # of each operand, for trying every pair
# name -> (operation of the op table, symbol)
ARITHMETIC: Final[dict[str, tuple[int, str]]] = {
    "add": (ops.ADD, "+"), "sub": (ops.SUB, "-"), "mul": (ops.MUL, "*"), "and": (ops.AND, "&"), "or": (ops.OR, "|"),
    "xor": (ops.XOR, "^"), "lsh": (ops.LSH, "<<"), "rsh": (ops.RSH, ">>"), "arsh": (ops.ARSH, "s>>"),
    "div": (ops.DIV, "/"), "mod": (ops.MOD, "%"),
}  # fmt: skip
COMPARISONS: Final[dict[str, tuple[int, str]]] = {
    "jeq": (ops.JEQ, "=="), "jne": (ops.JNE, "!="), "jlt": (ops.JLT, "<"), "jle": (ops.JLE, "<="),
    "jgt": (ops.JGT, ">"), "jge": (ops.JGE, ">="), "jslt": (ops.JSLT, "s<"), "jsgt": (ops.JSGT, "s>"),
    "jset": (ops.JSET, "&"),
}  # fmt: skip


# Known bits ----------------------------------------------------------------------------------------------------------


def members(t: Tnum, bits: int) -> list[int]:
    """Every number that the known bits allow, in order.

    >>> members((8, 5), 4)
    [8, 9, 12, 13]
    """
    out = [t[0] & ((1 << bits) - 1)]
    for i in range(bits):
        if t[1] >> i & 1:
            out += [n | 1 << i for n in out]
    return sorted(out)


def best(numbers: set[int]) -> Tnum:
    """The smallest set of known bits that holds all of these numbers.

    >>> best({2, 3, 6})
    (2, 5)
    """
    if not numbers:
        return (0, 0)
    always, ever = (1 << 64) - 1, 0
    for n in numbers:
        always &= n
        ever |= n
    return (always, always ^ ever)


@final
class BitsOutcome:
    """`said`: the tnum of the operation; `real`: the numbers that come out; `best`: the smallest tnum that holds them.

    `extra` are numbers that `said` allows although they never come out, `missed` those of them that `best` excludes:
    what was lost beyond what known bits can express.
    """

    __slots__ = ("said", "real", "best", "extra", "missed", "sound")

    def __init__(self, said: Tnum, real: set[int], bits: int) -> None:
        self.said = said
        self.real = real
        self.best = best(real)
        allowed = set(members(said, bits))
        self.extra = allowed - real
        self.missed = allowed - set(members(self.best, bits))
        self.sound = real <= allowed


def of_bits(name: str, a: Tnum, b: Tnum, bits: int, how: int = tnum.MUL_UNION) -> BitsOutcome:
    """The operation on known bits at a width of 1 to 8 bits; shifts take the amount from a known `b`.

    >>> outcome = of_bits("add", (1, 2), (1, 2), 3)
    >>> outcome.said, sorted(outcome.real), outcome.sound
    ((0, 6), [2, 4, 6], True)
    """
    real = {_small(name, x, y, bits) for x in members(a, bits) for y in members(b, bits)}
    return BitsOutcome(_bits(name, a, b, bits, how), real, bits)


def _small(name: str, x: int, y: int, bits: int) -> int:
    whole = (1 << bits) - 1
    if name in ("lsh", "rsh", "arsh"):
        y %= bits
        if name == "lsh":
            return x << y & whole
        signed = x - (1 << bits) if name == "arsh" and x >> (bits - 1) else x
        return signed >> y & whole
    return {"add": x + y, "sub": x - y, "mul": x * y, "and": x & y, "or": x | y, "xor": x ^ y}[name] & whole


def _bits(name: str, a: Tnum, b: Tnum, bits: int, how: int) -> Tnum:
    whole = (1 << bits) - 1
    if name in ("lsh", "rsh", "arsh"):
        if b[1]:
            return (0, whole)
        amount = b[0] % bits
        if name == "lsh":
            return tnum.lsh(a, amount, bits)
        return tnum.rsh(a, amount) if name == "rsh" else tnum.arsh(a, amount, bits)
    if name == "add":
        return tnum.add(a, b, bits)
    if name == "sub":
        return tnum.sub(a, b, bits)
    if name == "mul":
        return tnum.mul(a, b, how, bits)
    return {"and": tnum.and_, "or": tnum.or_, "xor": tnum.xor}[name](a, b)


# Ranges --------------------------------------------------------------------------------------------------------------


def between(low: int, high: int, kernel: str = "linux-6.18") -> Scalar:
    """A number from low to high, signed when `low` is negative, with all views informed.

    >>> between(0, 56)
    <scalar(smin=smin32=0,smax=umax=smax32=umax32=56,var_off=(0x0; 0x3f))>
    """
    if low == high:
        return Scalar.const(low)
    s = Scalar.unknown().copy()
    if low < 0:
        s.smin, s.smax = low, high
    else:
        s.umin, s.umax = low, high
    return bounds.deduce(s, features(kernel, ()).deduce)


@final
class RangesOutcome:
    """`said`: what the kernel computes; `real`: what comes out, None when there are too many pairs to try.

    `outside` are numbers of `real` that `said` does not allow: none, or the operation is unsound.
    """

    __slots__ = ("said", "real", "outside")

    def __init__(self, said: Scalar, real: set[int] | None) -> None:
        self.said = said
        self.real = real
        self.outside = {n for n in real if not said.holds(n)} if real is not None else set()

    @property
    def lost(self) -> int | None:
        """How many numbers its unsigned range allows that never come out; None when that was not tried."""
        return None if self.real is None else self.said.umax - self.said.umin + 1 - len(self.real)


def of_ranges(name: str, a: Scalar, b: Scalar, wide: bool = True, kernel: str = "linux-6.18") -> RangesOutcome:
    """`a op b` on 64 (wide) or 32 bits as that kernel computes it.

    >>> of_ranges("add", between(1, 3), between(10, 20)).said.umax
    23
    """
    fn = ARITHMETIC[name][0]
    said = features(kernel, ()).arith.transfer(fn, wide, a, b)
    xs, ys = numbers(a), numbers(b)
    real = None
    if xs is not None and ys is not None:
        amount = 63 if wide else 31
        if fn in (ops.LSH, ops.RSH, ops.ARSH):
            ys = [y & amount for y in ys]
        real = {fold(fn, wide, x, y) if fn not in (ops.DIV, ops.MOD) else _divided(fn, wide, x, y)
                for x in xs for y in ys}
    return RangesOutcome(said, real)


def _divided(fn: int, wide: bool, x: int, y: int) -> int:
    if not wide:
        x, y = x & U32_MAX, y & U32_MAX
    if fn == ops.DIV:
        return x // y if y else 0
    return x % y if y else x


def numbers(s: Scalar) -> list[int] | None:
    """The members of a small set, None when there are more than MOST_MEMBERS."""
    if s.umax - s.umin < MOST_MEMBERS:
        found = range(s.umin, s.umax + 1)
    elif s.smax - s.smin < MOST_MEMBERS:
        found = range(s.smin, s.smax + 1)
    else:
        return None
    return [n & U64_MAX for n in found if s.holds(n)]


@final
class BranchOutcome:
    """`verdict` 1, 0, -1: always, never, sometimes; `taken` and `passed`: both numbers on either side, None if never."""

    __slots__ = ("verdict", "taken", "passed")

    def __init__(self, verdict: int, taken: tuple[Scalar, Scalar] | None, passed: tuple[Scalar, Scalar] | None) -> None:
        self.verdict = verdict
        self.taken = taken
        self.passed = passed


def of_comparison(name: str, a: Scalar, b: Scalar, wide: bool = True, kernel: str = "linux-6.18") -> BranchOutcome:
    """What `if a op b goto` teaches on both sides.

    >>> of_comparison("jgt", Scalar.unknown(), Scalar.const(56)).passed[0]
    <scalar(smin=smin32=0,smax=umax=smax32=umax32=56,var_off=(0x0; 0x3f))>
    """
    fn = COMPARISONS[name][0]
    k = features(kernel, ())
    verdict = refine.decide(a, b, fn, not wide, k.compare)
    sides: list[tuple[Scalar, Scalar] | None] = []
    for side, op in ((1, fn), (0, refine.NEGATE[fn])):
        sides.append(None if verdict == 1 - side else
                     refine.refine(a, b, op, not wide, k.compare, k.deduce))
    return BranchOutcome(verdict, sides[0], sides[1])


def signed_span(s: Scalar) -> tuple[int, int]:
    """Smallest and largest as signed number, for drawing."""
    return (s.smin, s.smax) if (s.smin, s.smax) != (S64_MIN, S64_MAX) else (s64(s.umin), s64(min(s.umax, S64_MAX)))
