"""A part of a large BTF that stands on its own.

A kernel's BTF has megabytes; a program that asks for three structs needs kilobytes.  The subset has the wanted types
whole, and all they contain by value; structs they only point to become forward declarations.  What CO-RE asks of the
wanted types (offsets, sizes, existence) it answers as the whole does.

Source: bpftool-gen(8), `gen min_core_btf`, for the idea.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import BtfType, Enumerator, Member, Param


def subset(whole: Btf, ids: Iterable[int]) -> Btf:
    """A new Btf with the types `ids` of `whole` and what they need.

    >>> whole = Btf()
    >>> inner = whole.add(BtfType(b.STRUCT, "inner"))
    >>> pointer = whole.add(BtfType(b.PTR, type=inner))
    >>> typedef = whole.add(BtfType(b.TYPEDEF, "inner_p", pointer))
    >>> small = subset(whole, [typedef])
    >>> [small.type(id) for id in small]
    [<typedef inner_p>, <ptr (anon)>, <fwd inner>]
    """
    copier = _Copier(whole)
    for id in ids:
        copier.copy(id, whole=True)
    copier.run()
    return copier.small


@final
class _Copier:
    def __init__(self, whole: Btf) -> None:
        self.whole = whole
        self.small = Btf()
        self.made: dict[int, int] = {0: 0}
        self.forward: dict[int, int] = {}
        self.pending: list[tuple[BtfType, BtfType]] = []

    def copy(self, id: int, whole: bool) -> int:
        """The id in the subset; `whole`: the contents of a struct matter, not only its name."""
        if id in self.made:
            return self.made[id]
        t = self.whole.type(id)
        if t.kind in (b.STRUCT, b.UNION) and t.name and not whole:
            if id not in self.forward:
                self.forward[id] = self.small.add(BtfType(b.FWD, t.name, kflag=t.kind == b.UNION))
            return self.forward[id]
        new = BtfType(t.kind, t.name, 0, t.size, t.kflag)
        for field in ("encoding", "bit_offset", "bits", "nelems", "linkage", "component"):
            setattr(new, field, getattr(t, field))
        self.made[id] = self.small.add(new)
        self.pending.append((t, new))
        return self.made[id]

    def run(self) -> None:
        """Fill in what the copied types refer to, until nothing new turns up."""
        while self.pending:
            t, new = self.pending.pop(0)
            behind = t.kind in (b.PTR, b.FUNC_PROTO)
            new.type = self.copy(t.type, whole=not behind)
            new.index_type = self.copy(t.index_type, whole=True)
            new.members = [Member(m.name, self.copy(m.type, whole=True), m.offset, m.bits) for m in t.members]
            new.params = [Param(p.name, self.copy(p.type, whole=False)) for p in t.params]
            new.values = [Enumerator(v.name, v.value) for v in t.values]
