"""Map lookups without a call.

For arrays the lookup is arithmetic and is written out; for hash tables the search is called directly and the address of
the value computed from the element found; other maps get their own function called instead of the generic one.

    call bpf_map_lookup_elem        r1 += offset of the values         (array of 1024 values of 8 bytes)
                                    r0 = *(u32 *)(r2 +0)
                                    if r0 >= 0x400 goto +3
                                    r0 <<= 3
                                    r0 += r1
                                    goto +1
                                    r0 = 0

Unprivileged programs also get the index masked, so that speculation stays inside.

Source: kernel/bpf/arraymap.c and hashtab.c (`*_map_gen_lookup`), xskmap.c.
"""

from __future__ import annotations

from bpfbench.isa.insn import Instruction
from bpfbench.verifier.regstate import MapView
from bpfbench.verifier.rewrite.body import Line, op
from bpfbench.verifier.rewrite.kernel_layout import KernelLayout

_INNER_MAP = 1 << 12                            # BPF_F_INNER_MAP
_HASH_LOOKUP = "__htab_map_lookup_elem"


def inline_lookup(view: MapView, layout: KernelLayout, bypass_v1: bool, version: tuple[int, int]) -> list[Line] | None:
    """The instructions in place of the call, or None when this map's lookup stays a call."""
    kind = view.type
    if kind == "array" and not view.flags & _INNER_MAP:
        return _lines(_array(view, layout, bypass_v1))
    if kind == "percpu_array" and version >= (6, 10) and not view.flags & _INNER_MAP:
        return _lines(_percpu_array(view, layout, bypass_v1))
    if kind == "array_of_maps":
        return _lines(_array_of_maps(view, layout, bypass_v1))
    if kind in ("hash", "hash_of_maps", "lru_hash") or (kind == "percpu_hash" and version >= (6, 10)):
        return _hash(view, layout)
    if kind == "xskmap":
        return _lines(_xskmap(view, layout))
    return None


def index_mask(max_entries: int) -> int:
    """All ones up to the highest index, rounded up to a power of two.

    >>> index_mask(1), index_mask(5), index_mask(8)
    (0, 7, 7)
    """
    return (1 << (max_entries - 1).bit_length()) - 1 if max_entries else 0


def _lines(insns: list[Instruction]) -> list[Line]:
    return [Line(insn) for insn in insns]


def _bound(view: MapView, skip: int, bypass_v1: bool) -> list[Instruction]:
    """Jump over the rest when the index is too large; `skip` counts what follows the mask."""
    if bypass_v1:
        return [op(0x35, 0, 0, skip, view.max_entries)]
    return [op(0x35, 0, 0, skip + 1, view.max_entries), op(0x54, 0, 0, 0, index_mask(view.max_entries))]


def _scale(size: int) -> Instruction:
    if size & (size - 1) == 0:
        return op(0x67, 0, 0, 0, size.bit_length() - 1)
    return op(0x27, 0, 0, 0, size)


def _array(view: MapView, layout: KernelLayout, bypass_v1: bool) -> list[Instruction]:
    values, _ = layout.member("bpf_array.value")
    size = (view.value_size + 7) & ~7
    return [op(0x07, 1, 0, 0, values), op(0x61, 0, 2), *_bound(view, 3, bypass_v1), _scale(size), op(0x0F, 0, 1),
            op(0x05, 0, 0, 1), op(0xB7, 0)]


def _percpu_array(view: MapView, layout: KernelLayout, bypass_v1: bool) -> list[Instruction]:
    values, _ = layout.member("bpf_array.pptrs")
    return [op(0x07, 1, 0, 0, values), op(0x61, 0, 2), *_bound(view, 5, bypass_v1), op(0x67, 0, 0, 0, 3),
            op(0x0F, 0, 1), op(0x79, 0, 0), op(0xBF, 0, 0, -1), op(0x05, 0, 0, 1), op(0xB7, 0)]


def _array_of_maps(view: MapView, layout: KernelLayout, bypass_v1: bool) -> list[Instruction]:
    values, _ = layout.member("bpf_array.value")
    return [op(0x07, 1, 0, 0, values), op(0x61, 0, 2), *_bound(view, 5, bypass_v1), _scale(8), op(0x0F, 0, 1),
            op(0x79, 0, 0), op(0x15, 0, 0, 1, 0), op(0x05, 0, 0, 1), op(0xB7, 0)]


def _xskmap(view: MapView, layout: KernelLayout) -> list[Instruction]:
    sockets, _ = layout.member("xsk_map.xsk_map")
    return [op(0x61, 0, 2), op(0x35, 0, 0, 5, view.max_entries), op(0x67, 0, 0, 0, 3), op(0x07, 1, 0, 0, sockets),
            op(0x0F, 0, 1), op(0x79, 0, 0), op(0x05, 0, 0, 1), op(0xB7, 0)]


def _hash(view: MapView, layout: KernelLayout) -> list[Line]:
    value = layout.member("htab_elem.key")[0] + ((view.key_size + 7) & ~7)
    call = Line(op(0x85), symbol=_HASH_LOOKUP)
    to_value = op(0x07, 0, 0, 0, value)
    if view.type == "lru_hash":
        used = layout.member("htab_elem.lru_node")[0] + layout.member("bpf_lru_node.ref")[0]
        rest = [op(0x15, 0, 0, 4, 0), op(0x71, 1, 0, used), op(0x55, 1, 0, 1, 0), op(0x72, 0, 0, used, 1), to_value]
    elif view.type == "hash":
        rest = [op(0x15, 0, 0, 1, 0), to_value]
    elif view.type == "hash_of_maps":
        rest = [op(0x15, 0, 0, 2, 0), to_value, op(0x79, 0, 0)]
    else:
        rest = [op(0x15, 0, 0, 3, 0), to_value, op(0x79, 0, 0), op(0xBF, 0, 0, -1)]
    return [call, *_lines(rest)]
