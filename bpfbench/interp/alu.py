"""What arithmetic, comparisons and atomics compute: tables of functions on unsigned values.

Registers hold unsigned values of 64 bits.  A row takes the operands as unsigned values of the operation's width and
returns a value of which the caller keeps the low bits; so addition is `a + b` and nothing else, and one row serves both
widths unless a sign or a shift count is involved.  RFC 9669 section 4.1; kernel/bpf/core.c `___bpf_prog_run`.

>>> ARITHMETIC[ops.DIV](7, 0), SIGNED64[ops.SDIV](1 << 63, U64_MAX) & U64_MAX == 1 << 63
(0, True)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.bits import U64_MAX, s32, s64, swap16, swap32, swap64
from bpfbench.isa import ops

Binary = Callable[[int, int], int]
Test = Callable[[int, int], bool]


def _sdiv(a: int, b: int) -> int:
    """Division that truncates toward zero; by zero it is zero."""
    if b == 0:
        return 0
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _smod(a: int, b: int) -> int:
    """The remainder has the sign of the dividend; by zero it is the dividend."""
    if b == 0:
        return a
    rest = abs(a) % abs(b)
    return -rest if a < 0 else rest


# -------------------------------------------------------------------------------------------------------- arithmetic
ARITHMETIC: Final[dict[int, Binary]] = {
    ops.ADD:  lambda a, b: a + b,
    ops.SUB:  lambda a, b: a - b,
    ops.MUL:  lambda a, b: a * b,
    ops.DIV:  lambda a, b: a // b if b else 0,
    ops.OR:   lambda a, b: a | b,
    ops.AND:  lambda a, b: a & b,
    ops.NEG:  lambda a, b: -a,
    ops.MOD:  lambda a, b: a % b if b else a,
    ops.XOR:  lambda a, b: a ^ b,
    ops.MOV:  lambda a, b: b,
}  # fmt: skip
SIGNED64: Final[dict[int, Binary]] = {
    ops.LSH:  lambda a, b: a << (b & 63),
    ops.RSH:  lambda a, b: a >> (b & 63),
    ops.ARSH: lambda a, b: s64(a) >> (b & 63),
    ops.SDIV: lambda a, b: _sdiv(s64(a), s64(b)),
    ops.SMOD: lambda a, b: _smod(s64(a), s64(b)),
}  # fmt: skip
SIGNED32: Final[dict[int, Binary]] = {
    ops.LSH:  lambda a, b: a << (b & 31),
    ops.RSH:  lambda a, b: a >> (b & 31),
    ops.ARSH: lambda a, b: s32(a) >> (b & 31),
    ops.SDIV: lambda a, b: _sdiv(s32(a), s32(b)),
    ops.SMOD: lambda a, b: _smod(s32(a), s32(b)),
}  # fmt: skip
ALU64: Final = ARITHMETIC | SIGNED64
ALU32: Final = ARITHMETIC | SIGNED32

# ------------------------------------------------------------------------------------------------------- comparisons
UNSIGNED: Final[dict[int, Test]] = {
    ops.JEQ:  lambda a, b: a == b,
    ops.JNE:  lambda a, b: a != b,
    ops.JGT:  lambda a, b: a > b,
    ops.JGE:  lambda a, b: a >= b,
    ops.JLT:  lambda a, b: a < b,
    ops.JLE:  lambda a, b: a <= b,
    ops.JSET: lambda a, b: (a & b) != 0,
}  # fmt: skip

# A signed comparison of w-bit values is the unsigned one after flipping both sign bits.
_SIGN64: Final = 1 << 63
_SIGN32: Final = 1 << 31
JMP64: Final[dict[int, Test]] = UNSIGNED | {
    ops.JSGT: lambda a, b: (a ^ _SIGN64) > (b ^ _SIGN64),
    ops.JSGE: lambda a, b: (a ^ _SIGN64) >= (b ^ _SIGN64),
    ops.JSLT: lambda a, b: (a ^ _SIGN64) < (b ^ _SIGN64),
    ops.JSLE: lambda a, b: (a ^ _SIGN64) <= (b ^ _SIGN64),
}  # fmt: skip
JMP32: Final[dict[int, Test]] = UNSIGNED | {
    ops.JSGT: lambda a, b: (a ^ _SIGN32) > (b ^ _SIGN32),
    ops.JSGE: lambda a, b: (a ^ _SIGN32) >= (b ^ _SIGN32),
    ops.JSLT: lambda a, b: (a ^ _SIGN32) < (b ^ _SIGN32),
    ops.JSLE: lambda a, b: (a ^ _SIGN32) <= (b ^ _SIGN32),
}  # fmt: skip

# ----------------------------------------------------------------------------------------------------------- atomics
# What memory holds afterwards, from (old value, source register).  CMPXCHG is a row of its own in lower.py.
ATOMIC: Final[dict[int, Binary]] = {
    ops.A_ADD: lambda old, src: old + src,
    ops.A_OR:  lambda old, src: old | src,
    ops.A_AND: lambda old, src: old & src,
    ops.A_XOR: lambda old, src: old ^ src,
    ops.F_ADD: lambda old, src: old + src,
    ops.F_OR:  lambda old, src: old | src,
    ops.F_AND: lambda old, src: old & src,
    ops.F_XOR: lambda old, src: old ^ src,
    ops.XCHG:  lambda old, src: src,
}  # fmt: skip

# -------------------------------------------------------------------------------------------------------- byte order
# The machine is little-endian, as every target of bpfbench is: le only truncates.
END: Final[dict[tuple[int, int], Callable[[int], int]]] = {
    (ops.LE, 16):    lambda a: a & 0xFFFF,
    (ops.LE, 32):    lambda a: a & 0xFFFF_FFFF,
    (ops.LE, 64):    lambda a: a & U64_MAX,
    (ops.BE, 16):    swap16,
    (ops.BE, 32):    swap32,
    (ops.BE, 64):    swap64,
    (ops.BSWAP, 16): swap16,
    (ops.BSWAP, 32): swap32,
    (ops.BSWAP, 64): swap64,
}  # fmt: skip
