"""Values as terms: what a register holds, written as a formula over the values it had earlier.

A term is a constant, a leaf, or an operation on terms.  Two leaves exist: the value that a variable had when the
current iteration of a loop began, and a value about which nothing is known except where it came from.  Equal terms hold
equal values, so the analysis of loops compares, folds and evaluates terms and never looks at instructions twice.

    kind      fields                          value
    CONST     value                           that number, 0 .. 2^64-1
    HEADER    loop, variable                  the variable at the start of this iteration of the loop
    OTHER     pc, variable, bits              set at pc (-1: before the function began); less than 2^bits
    ALU       fn, bits, args                  fn on the low `bits` of the arguments, zero-extended to 64
    EXTEND    bits, args                      the low `bits` of the argument, sign-extended to 64

Arithmetic wraps as in RFC 9669: division by zero gives 0, remainder by zero the dividend, shifts are masked.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.bits import U64_MAX, sext
from bpfbench.isa import ops

CONST: Final = 0
HEADER: Final = 1
OTHER: Final = 2
ALU: Final = 3
EXTEND: Final = 4

SIZE_LIMIT: Final = 48  # larger formulas become OTHER
STACK_TOP: Final = 11  # variables from here on are stack slots; below are registers
_SYMBOL: Final = {
    ops.ADD: "+", ops.SUB: "-", ops.MUL: "*", ops.DIV: "/", ops.MOD: "%", ops.OR: "|", ops.AND: "&", ops.XOR: "^",
    ops.LSH: "<<", ops.RSH: ">>", ops.ARSH: "s>>", ops.SDIV: "s/", ops.SMOD: "s%",
}  # fmt: skip


@final
class Term:
    """One formula; see the table above.  `size` counts its nodes."""

    __slots__ = ("kind", "fn", "bits", "args", "value", "variable", "size", "key")

    def __init__(
        self, kind: int, fn: int = 0, bits: int = 64, args: tuple[Term, ...] = (), value: int = 0, variable: int = 0
    ) -> None:
        self.kind = kind
        self.fn = fn
        self.bits = bits
        self.args = args
        self.value = value
        self.variable = variable
        self.size: int = 1 + sum(arg.size for arg in args)
        self.key = hash((kind, fn, bits, args, value, variable))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Term) and self.key == other.key and self.kind == other.kind and self.fn == other.fn
            and self.bits == other.bits and self.value == other.value and self.variable == other.variable
            and self.args == other.args
        )  # fmt: skip

    def __hash__(self) -> int:
        return self.key

    def __str__(self) -> str:
        return text(self)

    def __repr__(self) -> str:
        return f"Term({text(self)})"


def const(value: int) -> Term:
    return Term(CONST, value=value & U64_MAX)


def header(loop: int, variable: int) -> Term:
    return Term(HEADER, value=loop, variable=variable)


def other(pc: int, variable: int, bits: int = 64, tag: int = 0) -> Term:
    """A value set at `pc`; the `tag` tells several values that meet at one place from each other."""
    return Term(OTHER, fn=tag, bits=bits, value=pc, variable=variable)


ZERO: Final = const(0)


def compute(fn: int, bits: int, a: int, b: int) -> int:
    """One ALU operation on numbers, as the machine does it.

    >>> compute(ops.ADD, 32, 0xffffffff, 2), compute(ops.DIV, 64, 7, 0), compute(ops.ARSH, 32, 0x80000000, 31)
    (1, 0, 4294967295)
    """
    mask = (1 << bits) - 1
    a &= mask
    b &= mask
    if fn in (ops.LSH, ops.RSH, ops.ARSH):
        b &= bits - 1
    if fn in (ops.SDIV, ops.SMOD):
        return _signed_division(fn, bits, a, b) & mask
    if fn == ops.ARSH:
        return sext(a, bits) >> b & mask
    if fn == ops.DIV:
        return a // b if b else 0
    if fn == ops.MOD:
        return a % b if b else a
    if fn in (ops.ADD, ops.SUB, ops.NEG):
        return (a + b if fn == ops.ADD else a - b if fn == ops.SUB else -a) & mask
    if fn in (ops.LSH, ops.RSH):
        return a << b & mask if fn == ops.LSH else a >> b
    if fn == ops.MUL:
        return a * b & mask
    if fn == ops.MOV:
        return b
    return a & b if fn == ops.AND else a | b if fn == ops.OR else a ^ b


def _signed_division(fn: int, bits: int, a: int, b: int) -> int:
    if b == 0:
        return a if fn == ops.SMOD else 0
    x, y = sext(a, bits), sext(b, bits)
    quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    return x - quotient * y if fn == ops.SMOD else quotient


def alu(fn: int, bits: int, a: Term, b: Term) -> Term:
    """An operation on terms, folded and simplified.  `MOV` of 32 bits is zero extension.

    >>> x = header(0, 1)
    >>> str(alu(ops.ADD, 64, alu(ops.SUB, 64, x, const(1)), const(5)))
    'r1 + 4'
    >>> str(alu(ops.RSH, 64, alu(ops.LSH, 64, x, const(32)), const(32)))
    'u32(r1)'
    """
    if b.kind == CONST and (a.kind == CONST or fn == ops.MOV):
        return const(compute(fn, bits, a.value, b.value))
    if fn == ops.MOV:
        return b if bits == 64 or upper(b) < 1 << bits else Term(ALU, fn, bits, (ZERO, b))
    if fn == ops.SUB and b.kind == CONST:
        return alu(ops.ADD, bits, a, const(compute(ops.NEG, bits, b.value, 0)))
    if fn in (ops.ADD, ops.MUL, ops.AND, ops.OR, ops.XOR) and a.kind == CONST:
        a, b = b, a
    if b.kind == CONST:
        simpler = _with_constant(fn, bits, a, b.value & (1 << bits) - 1)
        if simpler is not None:
            return simpler
    if fn in (ops.SUB, ops.XOR) and a == b:
        return ZERO
    return Term(ALU, fn, bits, (a, b))


def _with_constant(fn: int, bits: int, a: Term, b: int) -> Term | None:
    if fn in (ops.ADD, ops.OR, ops.XOR, ops.LSH, ops.RSH, ops.ARSH) and b == 0:
        return alu(ops.MOV, bits, ZERO, a)
    if fn in (ops.MUL, ops.DIV) and b == 1:
        return alu(ops.MOV, bits, ZERO, a)
    if fn == ops.AND and b == 0xFFFFFFFF:
        return alu(ops.MOV, 32, ZERO, a)
    nested = a.kind == ALU and len(a.args) == 2 and a.args[1].kind == CONST
    if fn == ops.ADD and nested and a.fn == ops.ADD and a.bits == bits:
        return alu(ops.ADD, bits, a.args[0], const(compute(ops.ADD, bits, a.args[1].value, b)))
    if nested and a.fn == ops.LSH and a.bits == bits == 64 and a.args[1].value == b == 32:
        if fn == ops.RSH:
            return alu(ops.MOV, 32, ZERO, a.args[0])
        if fn == ops.ARSH:
            return extend(32, a.args[0])
    return None


def extend(bits: int, a: Term) -> Term:
    """Sign extension from `bits` to 64."""
    if a.kind == CONST:
        return const(sext(a.value & (1 << bits) - 1, bits))
    if upper(a) < 1 << bits - 1:
        return a
    return Term(EXTEND, 0, bits, (a,))


def upper(a: Term) -> int:
    """A number that the term never exceeds (unsigned).

    >>> upper(alu(ops.AND, 64, other(3, 1), const(15)))
    15
    """
    if a.kind == CONST:
        return a.value
    if a.kind == OTHER:
        return (1 << a.bits) - 1
    if a.kind == ALU:
        most = (1 << a.bits) - 1
        last = a.args[-1]
        if a.fn == ops.AND:
            return min(most, *(upper(arg) for arg in a.args))
        if a.fn == ops.MOV:
            return min(most, upper(last))
        if a.fn == ops.MOD and last.kind == CONST and 0 < last.value <= most:
            return last.value - 1
        if a.fn == ops.RSH and last.kind == CONST:
            return min(most, upper(a.args[0])) >> (last.value & a.bits - 1)
        if a.fn == ops.ADD and last.kind == CONST and (total := upper(a.args[0]) + last.value) <= most:
            return total
        return most
    return U64_MAX


def lower(a: Term) -> int:
    """A number that the term never falls below (unsigned)."""
    if a.kind == CONST:
        return a.value
    if a.kind == ALU and a.fn == ops.ADD and a.args[1].kind == CONST:
        if upper(a.args[0]) + a.args[1].value < 1 << a.bits:
            return lower(a.args[0]) + a.args[1].value
    if a.kind == ALU and a.fn == ops.OR and a.args[1].kind == CONST:
        return a.args[1].value & (1 << a.bits) - 1
    return 0


def bounds(a: Term, known: dict[Term, tuple[int, int]]) -> tuple[int, int]:
    """(least, most) unsigned value of a term, with what is `known` of some terms."""
    low, high = lower(a), upper(a)
    if a in known:
        low, high = max(low, known[a][0]), min(high, known[a][1])
    if a.kind == ALU and a.fn == ops.MOV:
        inner_low, inner_high = bounds(a.args[1], known)
        if inner_high < 1 << a.bits:
            low, high = max(low, inner_low), min(high, inner_high)
    if a.kind == ALU and a.fn == ops.ADD and a.args[1].kind == CONST:
        inner_low, inner_high = bounds(a.args[0], known)
        added = a.args[1].value & (1 << a.bits) - 1
        wraps = (1 << a.bits) if inner_low + added >= 1 << a.bits else 0
        if inner_high + added - wraps < 1 << a.bits and inner_high < 1 << a.bits:
            low, high = max(low, inner_low + added - wraps), min(high, inner_high + added - wraps)
    return low, high


def leaves(a: Term) -> set[Term]:
    """The HEADER and OTHER leaves of a term."""
    if a.kind in (HEADER, OTHER):
        return {a}
    return {leaf for arg in a.args for leaf in leaves(arg)}


def evaluate(a: Term, values: dict[Term, int]) -> int:
    """The number that a term stands for, given its leaves."""
    if a.kind == CONST:
        return a.value
    if a.kind == ALU:
        return compute(a.fn, a.bits, evaluate(a.args[0], values), evaluate(a.args[1], values))
    if a.kind == EXTEND:
        return sext(evaluate(a.args[0], values) & (1 << a.bits) - 1, a.bits) & U64_MAX
    return values[a]


def substitute(a: Term, values: dict[Term, Term]) -> Term:
    """The term with leaves replaced, simplified again."""
    if a.kind in (HEADER, OTHER):
        return values.get(a, a)
    if a.kind == ALU:
        return alu(a.fn, a.bits, substitute(a.args[0], values), substitute(a.args[1], values))
    if a.kind == EXTEND:
        return extend(a.bits, substitute(a.args[0], values))
    return a


def compare(fn: int, bits: int, a: int, b: int) -> bool:
    """A conditional jump's condition on numbers.

    >>> compare(ops.JSLT, 32, 0xffffffff, 0), compare(ops.JLT, 32, 0xffffffff, 0)
    (True, False)
    """
    a &= (1 << bits) - 1
    b &= (1 << bits) - 1
    if fn in (ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE):
        a, b = sext(a, bits), sext(b, bits)
    if fn == ops.JSET:
        return a & b != 0
    if fn in (ops.JEQ, ops.JNE):
        return (a == b) == (fn == ops.JEQ)
    if fn in (ops.JGT, ops.JSGT):
        return a > b
    if fn in (ops.JGE, ops.JSGE):
        return a >= b
    return a < b if fn in (ops.JLT, ops.JSLT) else a <= b


def variable_name(variable: int) -> str:
    """`r3`, or `fp-8` for a stack slot.

    >>> variable_name(3), variable_name(slot_variable(-8, 4))
    ('r3', 'u32 fp-8')
    """
    if variable < STACK_TOP:
        return f"r{variable}"
    offset, size = slot_of(variable)
    return f"u{8 * size} fp{offset}"


def slot_variable(offset: int, size: int) -> int:
    """The variable of a stack slot: `offset` -512..-1 from the frame pointer, `size` 1, 2, 4 or 8 bytes."""
    return STACK_TOP + (-offset << 4 | size)


def slot_of(variable: int) -> tuple[int, int]:
    packed = variable - STACK_TOP
    return -(packed >> 4), packed & 15


def text(a: Term) -> str:
    """The formula as C would write it; values that are not known are named after where they were set."""
    if a.kind == CONST:
        return str(sext(a.value, 64))
    if a.kind == HEADER:
        return variable_name(a.variable)
    if a.kind == OTHER:
        return variable_name(a.variable) + ("" if a.value < 0 else f"@{a.value}")
    if a.kind == EXTEND:
        return f"s{a.bits}({text(a.args[0])})"
    if a.fn == ops.MOV:
        return f"u{a.bits}({text(a.args[1])})"
    if a.fn == ops.NEG:
        return f"-({text(a.args[0])})"
    left = text(a.args[0])
    left = f"({left})" if a.args[0].kind == ALU and a.args[0].fn != ops.MOV else left
    right, symbol = text(a.args[1]), _SYMBOL.get(a.fn, "?")
    if a.fn == ops.ADD and a.args[1].kind == CONST and sext(a.args[1].value, a.bits) < 0:
        right, symbol = str(-sext(a.args[1].value, a.bits)), "-"
    body = f"{left} {symbol} {right}"
    return body if a.bits == 64 else f"u{a.bits}({body})"
