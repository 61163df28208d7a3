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
from bpfbench.elf.elf import printable


def prototype_text(btf: Btf, id: int) -> str:
    """A FUNC (or VAR) as C writes it.

    >>> btf = Btf()
    >>> proto = btf.add(BtfType(b.FUNC_PROTO, type=btf.add(BtfType(b.INT, "int", size=4))))
    >>> prototype_text(btf, btf.add(BtfType(b.FUNC, "zero", proto)))
    'int zero(void)'
    """
    t = btf.type(id)
    return printable(" ".join(declare(btf, t.type, t.name).split()))


def same_type(one: Btf, id: int, two: Btf, other: int) -> bool:
    """Do two types of two sets mean the same?  Circles are followed once."""
    seen: set[tuple[int, int]] = set()
    open_ = [(id, other)]
    while open_:
        x, y = open_.pop()
        pair = one.resolve(x), two.resolve(y)
        if pair in seen or pair == (0, 0):
            continue
        seen.add(pair)
        inside = _inside(one.type(pair[0]), two.type(pair[1]))
        if inside is None:
            return False
        open_ += inside
    return True


def _inside(a: BtfType, c: BtfType) -> list[tuple[int, int]] | None:
    """None if two types differ by themselves, else the pairs of types inside of them that must be the same, too."""
    if a.kind != c.kind or a.name != c.name and a.kind not in (b.FUNC_PROTO, b.PTR, b.ARRAY):
        return None
    if (a.encoding, a.bits, a.nelems, len(a.params)) != (c.encoding, c.bits, c.nelems, len(c.params)):
        return None
    if not b.KINDS[a.kind][3] and a.size != c.size:
        return None
    if [(m.name, m.offset, m.bits) for m in a.members] != [(m.name, m.offset, m.bits) for m in c.members]:
        return None
    if [(v.name, v.value) for v in a.values] != [(v.name, v.value) for v in c.values]:
        return None
    inside = [(m.type, n.type) for m, n in zip(a.members, c.members)]
    inside += [(p.type, q.type) for p, q in zip(a.params, c.params)]
    if b.KINDS[a.kind][3] or a.kind == b.ARRAY:
        inside.append((a.type, c.type))
    return inside
