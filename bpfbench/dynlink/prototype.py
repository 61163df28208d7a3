"""Prototypes: are two declarations of a function, or of a map, the same?

What a caller was verified against and what the function was verified for must be one prototype; otherwise a number
could arrive where a pointer to 64 bytes was proved.  Parameter names, typedefs and qualifiers do not matter; kinds, sizes,
signedness, and for structures names and members do.

Source: kernel/bpf/btf.c `btf_check_func_type_match` (which compares programs and the functions they replace).
"""

from __future__ import annotations

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_c import declare
from bpfbench.elf.btf_types import BtfType


def prototype_text(btf: Btf, id: int) -> str:
    """A FUNC (or VAR) as C writes it.

    >>> btf = Btf()
    >>> proto = btf.add(BtfType(b.FUNC_PROTO, type=btf.add(BtfType(b.INT, "int", size=4))))
    >>> prototype_text(btf, btf.add(BtfType(b.FUNC, "zero", proto)))
    'int zero(void)'
    """
    t = btf.type(id)
    return declare(btf, t.type, t.name)


def same_type(one: Btf, id: int, two: Btf, other: int, pairs: set[tuple[int, int]] | None = None) -> bool:
    """Do two types of two sets mean the same?  Circles are followed once."""
    id, other = one.resolve(id), two.resolve(other)
    pairs = set() if pairs is None else pairs
    if (id, other) in pairs or (not id and not other):
        return True
    pairs.add((id, other))
    a, c = one.type(id), two.type(other)
    if a.kind != c.kind or a.name != c.name and a.kind not in (b.FUNC_PROTO, b.PTR, b.ARRAY):
        return False
    if (a.encoding, a.bits, a.nelems, len(a.members), len(a.params)) != (
            c.encoding, c.bits, c.nelems, len(c.members), len(c.params)):
        return False
    if not b.KINDS[a.kind][3] and a.size != c.size:
        return False
    if [(m.name, m.offset, m.bits) for m in a.members] != [(m.name, m.offset, m.bits) for m in c.members]:
        return False
    if [(v.name, v.value) for v in a.values] != [(v.name, v.value) for v in c.values]:
        return False
    inside = [(m.type, n.type) for m, n in zip(a.members, c.members)]
    inside += [(p.type, q.type) for p, q in zip(a.params, c.params)]
    if b.KINDS[a.kind][3] or a.kind == b.ARRAY:
        inside.append((a.type, c.type))
    return all(same_type(one, x, two, y, pairs) for x, y in inside)


def takes_context(btf: Btf, proto: BtfType) -> bool:
    """Has the function a parameter that may be a program's context (a pointer to one of the context structures)?"""
    from bpfbench.verifier.value_types import CONTEXTS

    for param in proto.params:
        t = btf.type(btf.resolve(param.type))
        if t.kind == b.PTR and t.type:
            if btf.type(t.type).name in CONTEXTS or btf.type(btf.resolve(t.type)).name in CONTEXTS:
                return True
    return False
