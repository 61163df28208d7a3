"""What the datapath does: alu, alu_shf (with dbl_shf and asr), ld_field, immed, mul_step, as functions of a context.

    B is shifted first, then combined with A            alu_shf[d, a, AND, b, >>n]   d = a & (b >> n)
    C of a subtraction is 1 when nothing is borrowed    64 bits:  - on the low words, -carry on the high ones
    a shift by "indirect" takes its amount from PREV_A, and asr its sign from bit 31 of PREV_RES

C and V are poison after operations that do not add, all codes after a multiplication, PREV_A after instructions without
an A operand or with swapped ones, PREV_RES after those without a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.errors import MachineError
from bpfbench.execute.nfp_operands import Operands, Sink, Source
from bpfbench.execute.nfp_state import U32, Context
from bpfbench.machine import nfp

Run = Callable[[Context], None]

#              name: (A operand, B operand, carry in or None for C) as functions
SUMS: Final[dict[str, tuple[Callable[[int, int], tuple[int, int]], int | None]]] = {
    "+": (lambda a, b: (a, b), 0),
    "+8": (lambda a, b: (a, b & 0xFF), 0),
    "+16": (lambda a, b: (a, b & 0xFFFF), 0),
    "+carry": (lambda a, b: (a, b), None),
    "-": (lambda a, b: (a, b ^ U32), 1),
    "-carry": (lambda a, b: (a, b ^ U32), None),
    "B-A": (lambda a, b: (b, a ^ U32), 1),
}
LOGIC: Final[dict[str, Callable[[int, int], int]]] = {
    "B": lambda a, b: b,
    "~B": lambda a, b: b ^ U32,
    "AND": lambda a, b: a & b,
    "~AND": lambda a, b: (a ^ U32) & b,
    "AND~": lambda a, b: a & (b ^ U32),
    "OR": lambda a, b: a | b,
    "XOR": lambda a, b: a ^ b,
}


#               direction: (A operand, B operand, amount)
MOVES: Final[dict[int, Callable[[int, int, int], int]]] = {
    nfp.RIGHT: lambda a, b, n: b >> n,
    nfp.LEFT: lambda a, b, n: b << n & U32,
    nfp.DOUBLE: lambda a, b, n: (a << 32 | b) >> n & U32,
}


def refuse_predicate(f: dict[str, int]) -> None:
    if f.get("pred"):
        raise MachineError("predicate_cc is not simulated")


# ----------------------------------------------------------------------------------------------------------------- alu
def alu(f: dict[str, int], o: Operands) -> Run:
    refuse_predicate(f)
    op = nfp.ALU_OPS.get(f["op"], f"operation {f['op']:#x}")
    left, right = o.pair(narrow=False)
    put = o.destination(narrow=False)
    codes, keep = not f["no_cc"], not f["sw"] and op not in nfp.UNARY
    if op in SUMS:
        return _sum(op, left, right, put, codes, keep, o.move_pointers())
    if op in LOGIC:
        return _logic(op, left, right, put, codes, keep, o.move_pointers())
    raise MachineError(f"alu operation {op} is not simulated")


def _sum(op: str, left: Source, right: Source, put: Sink, codes: bool, keep: bool, move: Run | None) -> Run:
    terms, fixed = SUMS[op]

    def run(c: Context) -> None:
        a = left(c)
        x, y = terms(a, right(c))
        carry = c.c if fixed is None else fixed
        if carry is None:
            raise c.hazard("condition codes", "C is undefined here")
        total = x + y + carry
        value = total & U32
        if codes:
            c.n, c.z, c.c = value >> 31, int(not value), total >> 32
            c.v = ((x ^ value) & (y ^ value)) >> 31
        put(c, value)
        c.prev_a, c.prev_res = a if keep else None, value
        if move is not None:
            move(c)

    return run


def _logic(op: str, left: Source, right: Source, put: Sink, codes: bool, keep: bool, move: Run | None) -> Run:
    combine = LOGIC[op]
    unary = op in nfp.UNARY

    def run(c: Context) -> None:
        a = 0 if unary else left(c)
        value = combine(a, right(c))
        if codes:
            c.n, c.z, c.c, c.v = value >> 31, int(not value), None, None
        put(c, value)
        c.prev_a, c.prev_res = a if keep else None, value
        if move is not None:
            move(c)

    return run


# -------------------------------------------------------------------------------------------------------------- shifts
def shifter(sc: int, field: int) -> Callable[[Context, int, int], int]:
    """(context, A operand, B operand) -> B shifted."""
    if sc == nfp.ROTATE:
        return lambda c, a, b: (b >> field | b << 32 - field) & U32
    move = MOVES[sc]
    if field:
        amount = 32 - field if sc == nfp.LEFT else field
        return lambda c, a, b: move(a, b, amount)

    def by_previous(c: Context, a: int, b: int) -> int:
        if c.prev_a is None:
            raise c.hazard("indirect shift", "the instruction before has no A operand that could be the amount")
        return move(a, b, c.prev_a & 31)

    return by_previous


def alu_shf(f: dict[str, int], o: Operands) -> Run:
    refuse_predicate(f)
    op = nfp.SHIFT_OPS[f["op"]]
    if op == "byte_align":
        raise MachineError("byte_align is not simulated")
    left, right = o.pair(narrow=True)
    put = o.destination(narrow=True)
    codes, double = not f["no_cc"], f["sc"] == nfp.DOUBLE
    if op == "asr":
        if f["sc"] != nfp.RIGHT:
            raise MachineError("asr shifts to the right only")
        return _asr(f["shift"], right, put, codes)
    if double and op != "B":
        raise MachineError(f"a double shift combined by {op} is not simulated")
    moved, combine = shifter(f["sc"], f["shift"]), LOGIC[op]
    unary = op in nfp.UNARY and not double
    keep = not f["sw"] and not unary

    def run(c: Context) -> None:
        a = 0 if unary else left(c)
        value = combine(a, moved(c, a, right(c)))
        if codes:
            c.n, c.z, c.c, c.v = value >> 31, int(not value), None, None
        put(c, value)
        c.prev_a, c.prev_res = a if keep else None, value

    return run


def _asr(field: int, right: Source, put: Sink, codes: bool) -> Run:
    def run(c: Context) -> None:
        if c.prev_res is None:
            raise c.hazard("asr sign", "the instruction before has no result whose bit 31 could be the sign")
        if not field and c.prev_a is None:
            raise c.hazard("indirect shift", "the instruction before has no A operand that could be the amount")
        amount = field or (c.prev_a or 0) & 31
        value = right(c) >> amount
        if c.prev_res >> 31:
            value |= U32 << 32 - amount & U32
        if codes:
            c.n, c.z, c.c, c.v = value >> 31, int(not value), None, None
        put(c, value)
        c.prev_a, c.prev_res = None, value

    return run
