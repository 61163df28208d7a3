"""Types of several objects as one set, each type once.

Every object brings the types it was compiled with, so a merged set says `int` as often as there are objects.  Two types
are the same when nothing that can be asked of them differs: not their kind, name, size and members, and not those of
what they refer to, however far.  Types refer to each other in circles (`struct list { struct list *next; }`), so the
question is put the other way round, as when a finite automaton is made minimal (Moore):

    begin with classes of types that look alike by themselves
    split a class whose members refer to different classes
    until nothing splits:  what is still together is the same

A forward declaration is the structure of its name, if there is just one.  Functions, variables and sections are things
rather than types; the linker says which of them are one (`alias`).

Source: Documentation/bpf/btf.rst; tools/lib/bpf/btf.c (btf__dedup) for what counts as equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import BtfType, Enumerator, Member, Param, SecVar

THINGS: Final = (b.FUNC, b.VAR, b.DATASEC)
FWD: Final = 7


def copied(t: BtfType, renumber: Callable[[int], int]) -> BtfType:
    """A copy with its references renumbered; names are written anew where it is added.

    >>> copied(BtfType(b.PTR, type=3), lambda id: id + 10).type
    13
    """
    new = BtfType(t.kind, t.name, renumber(t.type) if b.KINDS[t.kind][3] or t.kind == b.ARRAY else t.type, t.size, t.kflag)
    new.encoding, new.bit_offset, new.bits = t.encoding, t.bit_offset, t.bits
    new.index_type = renumber(t.index_type) if t.kind == b.ARRAY else 0
    new.nelems, new.linkage, new.component = t.nelems, t.linkage, t.component
    new.members = [Member(m.name, renumber(m.type), m.offset, m.bits) for m in t.members]
    new.params = [Param(p.name, renumber(p.type)) for p in t.params]
    new.values = [Enumerator(v.name, v.value) for v in t.values]
    new.variables = [SecVar(renumber(v.type), v.offset, v.size) for v in t.variables]
    return new


def append(whole: Btf, part: Btf) -> dict[int, int]:
    """Append all types of `part`; returns where each of them went."""
    first = len(whole)
    moved = {id: first + number for number, id in enumerate(part)}
    moved[0] = 0
    for id in part:
        whole.add(copied(part.type(id), moved.__getitem__))
    return moved


def references(t: BtfType) -> Iterator[int]:
    """The ids that a type refers to, in order."""
    if b.KINDS[t.kind][3] or t.kind == b.ARRAY:
        yield t.type
    if t.kind == b.ARRAY:
        yield t.index_type
    for m in t.members:
        yield m.type
    for p in t.params:
        yield p.type
    for v in t.variables:
        yield v.type


def looks(t: BtfType) -> tuple[object, ...]:
    """What a type is by itself, without what it refers to."""
    return (
        t.kind, t.name, t.size, t.kflag, t.encoding, t.bit_offset, t.bits, t.nelems, t.linkage, t.component,
        tuple((m.name, m.offset, m.bits) for m in t.members), tuple(p.name for p in t.params),
        tuple((v.name, v.value) for v in t.values),
    )  # fmt: skip


def deduplicate(btf: Btf, alias: dict[int, int]) -> tuple[Btf, dict[int, int]]:
    """Each type once: the new set, and where each old id went.  `alias` maps things to the thing they are one with.

    >>> twice = Btf()
    >>> for _ in range(2):
    ...     number = BtfType(b.INT, "int", size=4)
    ...     pointer = twice.add(BtfType(b.PTR, type=twice.add(number)))
    >>> len(deduplicate(twice, {})[0]) - 1
    2
    """
    stands_for = {**_forwards(btf), **alias}

    def settled(id: int) -> int:
        while id in stands_for:
            id = stands_for[id]
        return id

    classes = _classes(btf, [id for id in btf if id not in stands_for], settled)
    kept: dict[int, int] = {}                   # class -> new id
    moved: dict[int, int] = {0: 0}
    for id in btf:
        if id not in stands_for and classes[id] not in kept:
            kept[classes[id]] = len(kept) + 1
    for id in btf:
        moved[id] = kept[classes[settled(id)]]
    out = Btf()
    done: set[int] = set()
    for id in btf:
        if id not in stands_for and moved[id] not in done:
            done.add(moved[id])
            out.add(copied(btf.type(id), moved.__getitem__))
    return out, moved


def _classes(btf: Btf, ids: list[int], settled: Callable[[int], int]) -> dict[int, int]:
    """Which types are the same: a class number for each id."""
    numbers: dict[object, int] = {}
    classes = {0: -1}
    for id in ids:
        t = btf.type(id)
        key: object = ("thing", id) if t.kind in THINGS else looks(t)
        classes[id] = numbers.setdefault(key, len(numbers))
    count = 0
    while count != len(numbers):
        count = len(numbers)
        numbers = {}
        before = dict(classes)
        for id in ids:
            around = tuple(before[settled(ref)] for ref in references(btf.type(id)))
            classes[id] = numbers.setdefault((before[id], around), len(numbers))
    return classes


def _forwards(btf: Btf) -> dict[int, int]:
    """Forward declarations whose structure is here, and only one that looks like it."""
    found: dict[tuple[str, int], dict[object, int]] = {}
    for id in btf:
        t = btf.type(id)
        if t.kind in (b.STRUCT, b.UNION) and t.name:
            found.setdefault((t.name, t.kind), {}).setdefault(looks(t), id)
    out: dict[int, int] = {}
    for id in btf:
        t = btf.type(id)
        if t.kind == FWD:
            same = found.get((t.name, b.UNION if t.kflag else b.STRUCT), {})
            if len(same) == 1:
                out[id] = next(iter(same.values()))
    return out
