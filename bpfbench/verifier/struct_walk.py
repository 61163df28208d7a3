"""What lies at an offset of a kernel structure: the way down through its members.

    struct bpf_array, offset 24             struct bpf_map map at 0             u32 map_type at 24        a number
    struct bpf_array, offset 0              struct bpf_map map at 0             ops at 0                  a pointer

A load must hit a pointer exactly; of numbers (and arrays of them) it may take any part.  What was reached through a
union of several members is not to be trusted.

Source: kernel/bpf/btf.c `btf_struct_walk`, `btf_struct_access`.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import ARRAY, INT, PTR, STRUCT, TYPE_TAG, UNION, BtfType

EACCES: Final = 13
EINVAL: Final = 22
DEPTH: Final = 64


@final
class Found:
    """What a load gives: a number (`struct` 0), or a pointer to the type `struct`; or `wrong`, with `errno`.

    `tag` is "user", "percpu", "rcu" or "" of a pointer; `member` its name.
    """

    __slots__ = ("struct", "tag", "untrusted", "member", "wrong", "errno")

    def __init__(self, struct: int = 0, tag: str = "", untrusted: bool = False, member: str = "", wrong: str = "",
                 errno: int = 0) -> None:
        self.struct = struct
        self.tag = tag
        self.untrusted = untrusted
        self.member = member
        self.wrong = wrong
        self.errno = errno


def find(btf: Btf, id: int, off: int, size: int) -> Found:
    """The member of structure `id` that a load of `size` bytes at `off` takes."""
    untrusted = False
    for _ in range(DEPTH):
        t = btf.type(btf.resolve(id))
        if t.kind not in (STRUCT, UNION):
            return Found(wrong=f"Type '{t.name}' is not a struct", errno=EINVAL)
        untrusted = untrusted or (t.kind == UNION and len(t.members) != 1)
        if off + size > t.size:
            into = _flexible(btf, t, off)
            if into == 0:
                return Found()
            if into < 0:
                return Found(wrong=f"access beyond struct {t.name} at off {off} size {size}", errno=EACCES)
            off = (off - t.members[-1].offset // 8) % btf.type(into).size
            id = into
            continue
        step = _member(btf, t, off, size, untrusted)
        if isinstance(step, Found):
            return step
        id, off = step
    return Found(wrong="structures too deep", errno=EINVAL)


def _flexible(btf: Btf, t: BtfType, off: int) -> int:
    """Behind the end of a structure whose last member is an array of no fixed size: the type of its elements, 0 for
    numbers, -1 when there is no such array."""
    if not t.members:
        return -1
    last = t.members[-1]
    array = btf.type(btf.resolve(last.type))
    if array.kind != ARRAY or array.nelems or off < last.offset // 8:
        return -1
    element = btf.resolve(array.type)
    kind = btf.type(element).kind
    if kind == INT:
        return 0
    return element if kind in (STRUCT, UNION) and btf.type(element).size else -1


def _member(btf: Btf, t: BtfType, off: int, size: int, untrusted: bool) -> Found | tuple[int, int]:
    """The member at `off`: an answer, or the structure to go on in and the offset there."""
    for m in t.members:
        at = m.offset // 8
        if off + size <= at:
            break
        if m.bits:
            if off <= at and (m.offset + m.bits + 7) // 8 <= off + size:
                return Found()
            continue
        if off < at:
            break
        length = btf.size_of(m.type)
        end = at + length
        if off >= end:
            continue
        id = btf.resolve(m.type)
        count = 1
        while btf.type(id).kind == ARRAY:
            count *= btf.type(id).nelems
            id = btf.resolve(btf.type(id).type)
        if not length or not count:
            continue
        step = length // count
        at += (off - at) // step * step
        inner = btf.type(id)
        if inner.kind in (STRUCT, UNION):
            return id, off - at
        if inner.kind == PTR:
            if step != size or off != at:
                return Found(wrong=f"cannot access ptr member {m.name} with moff {at} in struct {t.name} with off {off} "
                                   f"size {size}", errno=EACCES)
            target = btf.resolve(inner.type) if inner.type else 0
            if target and btf.type(target).kind in (STRUCT, UNION):
                tag = btf.type(inner.type)
                return Found(target, tag.name if tag.kind == TYPE_TAG else "", untrusted, m.name)
        if off + size > end and not untrusted:
            return Found(wrong=f"access beyond the end of member {m.name} (mend:{end}) in struct {t.name} with off {off} "
                               f"size {size}", errno=EACCES)
        return Found()
    return Found(wrong=f"struct {t.name} doesn't have field at offset {off}", errno=EINVAL)
