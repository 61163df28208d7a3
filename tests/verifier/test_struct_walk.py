"""Loads from kernel structures, on types made for the test:

    struct inner { long a; struct inner *next; }                              16 bytes
    union either { struct inner *p; long n; }                                  8 bytes
    struct outer { int x; char name[8]; struct inner in; union either e; struct inner rcu *r; int tail[]; }
    offsets              0           4            16 (a 16, next 24)    32                40        48
"""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.elf import btf_types as b
from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import BtfType, Member
from bpfbench.verifier.struct_walk import find


def types() -> tuple[Btf, int]:
    btf = Btf()

    def add(kind: int, name: str = "", type: int = 0, size: int = 0, members: tuple[Member, ...] = (), **rest: int) -> int:
        t = BtfType(kind, name, type, size)
        t.members = list(members)
        for key, value in rest.items():
            setattr(t, key, value)
        return btf.add(t)

    long, number, char = (add(b.INT, name, size=size, bits=8 * size) for name, size in
                          (("long", 8), ("int", 4), ("char", 1)))
    inner = long + 3
    assert add(b.STRUCT, "inner", size=16, members=(Member("a", long, 0), Member("next", inner + 1, 64))) == inner
    pointer = add(b.PTR, type=inner)
    either = add(b.UNION, "either", size=8, members=(Member("p", pointer, 0), Member("n", long, 0)))
    name = add(b.ARRAY, type=char, index_type=number, nelems=8)
    protected = add(b.PTR, type=add(b.TYPE_TAG, "rcu", type=inner))
    tail = add(b.ARRAY, type=number, index_type=number)
    outer = add(b.STRUCT, "outer", size=48, members=(
        Member("x", number, 0), Member("name", name, 32), Member("in", inner, 128), Member("e", either, 256),
        Member("r", protected, 320), Member("tail", tail, 384)))
    return btf, outer


NUMBERS = [(0, 4), (0, 1), (4, 8), (6, 2), (16, 8), (48, 4), (4000, 8)]
POINTERS = [(24, "next", "", False), (32, "p", "", True), (40, "r", "rcu", False)]
WRONG = [
    (24, 4, "cannot access ptr member next with moff 8 in struct inner with off 8 size 4"),
    (0, 8, "access beyond the end of member x (mend:4) in struct outer with off 0 size 8"),
    (12, 4, "struct outer doesn't have field at offset 12"),
    (44, 8, "access beyond struct outer at off 44 size 8"),
]


@pytest.mark.parametrize("off, size", NUMBERS)
def test_numbers_may_be_taken_in_part(off: int, size: int) -> None:
    btf, outer = types()
    found = find(btf, outer, off, size)
    assert not found.wrong and not found.struct


@pytest.mark.parametrize("off, member, tag, untrusted", POINTERS)
def test_a_pointer_is_to_a_structure(off: int, member: str, tag: str, untrusted: bool) -> None:
    """What lies in a union of several members is not to be trusted."""
    btf, outer = types()
    found = find(btf, outer, off, 8)
    assert (btf.type(found.struct).name, found.member, found.tag, found.untrusted) == ("inner", member, tag, untrusted)


@pytest.mark.parametrize("off, size, message", WRONG)
def test_what_is_no_member_is_refused(off: int, size: int, message: str) -> None:
    btf, outer = types()
    assert find(btf, outer, off, size).wrong == message


def test_what_a_map_holds_is_found_by_the_kernels_types(live_kernel: None) -> None:
    """`struct bpf_map` has its operations at 40 in 6.18 (behind its hash); they are a pointer, not a number."""
    program = bb.assemble(".map m array 4 8 1\nr1 = map[m]\nr2 = *(u64 *)(r1 +40)\nr2 += r10\nr0 = 0\nexit")
    ours, kernels = bb.verify(program), bb.kernel.verify(program)
    assert (ours.accepted, ours.message) == (kernels.accepted, kernels.message)
