"""The formulas of `slicing`: linear forms over what a register was loaded from.

value = const + c1 * atom1 + c2 * atom2 ...        atom: Entry | Index | Memory | Extended | Opaque
"""

from __future__ import annotations

from typing import Final, final

from . import a64
from .cfg import Cfg

MASK64: Final = (1 << 64) - 1
MASK32: Final = (1 << 32) - 1


@final
class Index:
    """A register used as an index: `reg` as read at `site`, extended by `ext` (a64.LSL when used whole)."""

    __slots__ = ("reg", "site", "ext", "key")

    def __init__(self, reg: int, site: int, ext: int) -> None:
        self.reg = reg
        self.site = site
        self.ext = ext
        self.key = ("index", reg, site, ext)

    def __repr__(self) -> str:
        name = ("w" if self.ext in (a64.UXTW, a64.SXTW) else "x") + str(self.reg)
        return name if self.ext == a64.LSL else f"{name}:{a64.EXT_NAMES[self.ext]}"


@final
class Entry:
    """A table entry: `size` bytes at `table + size * index`, sign-extended if `signed`; `loads` are the instructions
    that fetch it, each with its index."""

    __slots__ = ("size", "signed", "table", "loads", "key")

    def __init__(self, size: int, signed: bool, table: int, loads: tuple[tuple[int, Index], ...]) -> None:
        self.size = size
        self.signed = signed
        self.table = table
        self.loads = loads
        self.key = ("entry", size, signed, table)

    def __repr__(self) -> str:
        return f"{'s' if self.signed else 'u'}{8 * self.size}[{self.table:#x} + {self.size}*{self.loads[0][1]}]"


@final
class Memory:
    """A load from somewhere that is not a table: `base` register and `offset` as read at `site`, `address` if constant;
    `stride` is non-zero when the address is indexed."""

    __slots__ = ("base", "offset", "site", "address", "stride", "key")

    def __init__(self, base: int, offset: int, site: int, address: int | None, stride: int) -> None:
        self.base = base
        self.offset = offset
        self.site = site
        self.address = address
        self.stride = stride
        self.key = ("memory", site)

    def __repr__(self) -> str:
        return f"[{self.address:#x}]" if self.address is not None else f"[x{self.base}+{self.offset:#x}]"


@final
class Extended:
    """The low `bits` of a value, zero- or sign-extended."""

    __slots__ = ("bits", "signed", "value", "key")

    def __init__(self, bits: int, signed: bool, value: Value) -> None:
        self.bits = bits
        self.signed = signed
        self.value = value
        self.key = ("extended", bits, signed, value.key)

    def __repr__(self) -> str:
        return f"{'s' if self.signed else 'u'}{self.bits}({self.value!r})"


@final
class Opaque:
    """Whatever `loc` holds at `site`; `why` says where it comes from: entry, call, joined, cycle, computed, deep."""

    __slots__ = ("loc", "site", "why", "key")

    def __init__(self, loc: int, site: int, why: str) -> None:
        self.loc = loc
        self.site = site
        self.why = why
        self.key = ("opaque", loc, site)

    def __repr__(self) -> str:
        return f"x{self.loc}@{self.site:#x}({self.why})"


Atom = Index | Entry | Memory | Extended | Opaque


@final
class Value:
    """`const + sum(coefficient * atom)`, modulo 2**64."""

    __slots__ = ("const", "terms", "key")

    def __init__(self, const: int, terms: tuple[tuple[Atom, int], ...] = ()) -> None:
        self.const = const
        self.terms = terms
        self.key: tuple[object, ...] = (const, tuple((a.key, c) for a, c in terms))

    @property
    def constant(self) -> int | None:
        return None if self.terms else self.const & MASK64

    @property
    def single(self) -> Atom | None:
        """The atom, when the value is just one atom."""
        return self.terms[0][0] if len(self.terms) == 1 and self.terms[0][1] == 1 and self.const == 0 else None

    def entry(self) -> tuple[Entry, int] | None:
        """The table entry among the terms, with its coefficient."""
        for atom, coefficient in self.terms:
            if isinstance(atom, Entry):
                return atom, coefficient
        return None

    def __repr__(self) -> str:
        parts = [f"{self.const:#x}"] if self.const or not self.terms else []
        parts += [(f"{c}*" if c != 1 else "") + repr(a) for a, c in self.terms]
        return " + ".join(parts)


def sum_of(a: Value, b: Value, scale: int = 1) -> Value:
    terms = {atom.key: (atom, c) for atom, c in a.terms}
    for atom, c in b.terms:
        old = terms.get(atom.key)
        terms[atom.key] = (atom, c * scale + (old[1] if old else 0))
    return Value(a.const + b.const * scale, tuple(t for t in terms.values() if t[1]))


def extend(value: Value, bits: int, signed: bool) -> Value:
    """The low `bits` of `value`, extended; folds what the load already did."""
    if not value.terms:
        low = value.const & ((1 << bits) - 1)
        return Value(low - (1 << bits) if signed and low >> (bits - 1) else low)
    atom = value.single
    if isinstance(atom, Entry):
        width = 8 * atom.size
        if width == bits:
            return Value(0, ((Entry(atom.size, signed, atom.table, atom.loads), 1),))
        if width < bits and (signed or not atom.signed):
            return value
    elif isinstance(atom, Extended):
        if atom.bits == bits == 32 and signed and not atom.signed:
            inner = atom.value.single
            if isinstance(inner, Entry) and inner.signed:
                return atom.value  # ldrsb w, then sxtw
        if atom.bits < bits and not atom.signed:
            return value
        if atom.bits == bits and atom.signed == signed:
            return value
    return Value(0, ((Extended(bits, signed, value), 1),))


def seen_from(value: Value, site: int, window: Cfg) -> Value:
    """A value computed inside an outlined leaf, with every place inside it replaced by the call at `site`."""

    def place(at: int) -> int:
        return site if window.start <= at < window.end else at

    def index(i: Index) -> Index:
        return Index(i.reg, place(i.site), i.ext)

    terms: list[tuple[Atom, int]] = []
    for a, c in value.terms:
        if isinstance(a, Index):
            a = index(a)
        elif isinstance(a, Entry):
            a = Entry(a.size, a.signed, a.table, tuple((place(at), index(i)) for at, i in a.loads))
        elif isinstance(a, Memory):
            a = Memory(a.base, a.offset, place(a.site), a.address, a.stride)
        elif isinstance(a, Extended):
            a = Extended(a.bits, a.signed, seen_from(a.value, site, window))
        else:
            a = Opaque(a.loc, place(a.site), a.why)
        terms.append((a, c))
    return Value(value.const, tuple(terms))
