"""Landing pads: the language-specific table (LSDA) of a function that moves.

    header: landing-pad base | type-table encoding, offset | call-site encoding, length
    call sites: (start, length, landing pad, action) relative to the function, in address order
    actions, types: copied; pc-relative type pointers are counted again from their new place

Call-site rows name code ranges, so they are made anew from the instructions in their new order.  Fact sources: the
Itanium C++ ABI exception-handling annex as gcc and LLVM implement it (LSDA layout).
"""

from __future__ import annotations

import struct
from typing import Final, final

from .functions import _encoded, _uleb
from .image import Image
from .unwind import Unsupported, _sleb, _u

MAX_LSDA: Final = 1 << 20
_WIDTH: Final = {0x03: 4, 0x0B: 4, 0x04: 8, 0x0C: 8}  # of a type-table entry, by encoding


@final
class Lsda:
    """`sites`: (start, end, landing pad or 0, action) by old address; `actions`; `types` (addresses) and `encoding`."""

    __slots__ = ("sites", "actions", "types", "encoding")

    def __init__(self, sites: list[tuple[int, int, int, int]], actions: bytes, types: list[int], encoding: int) -> None:
        self.sites = sites
        self.actions = actions
        self.types = types
        self.encoding = encoding

    def pads(self) -> set[int]:
        return {pad for _, _, pad, _ in self.sites if pad}


def parse(image: Image, addr: int, start: int) -> Lsda:
    """The LSDA at `addr` of the function at `start`; raises Unsupported."""
    seg = image.segment(addr)
    raw = image.read(addr, min(MAX_LSDA, seg.addr + seg.filesz - addr)) if seg is not None else None
    if raw is None or len(raw) < 4 or raw[0] != 0xFF:
        raise Unsupported("landing-pad base")
    encoding, p = raw[1], 2
    types_end = 0
    if encoding != 0xFF:
        offset, p = _uleb(raw, p)
        types_end = p + offset
    form = raw[p]
    length, p = _uleb(raw, p + 1)
    end = p + length
    sites: list[tuple[int, int, int, int]] = []
    while p < end:
        row = []
        for _ in range(3):
            if form == 1:
                value, p = _uleb(raw, p)
            else:
                found = _encoded(image, raw, p, form & 15, 0)
                if found is None:
                    raise Unsupported("call-site encoding")
                value, p = found
            row.append(value)
        action, p = _uleb(raw, p)
        sites.append((start + row[0], start + row[0] + row[1], start + row[2] if row[2] else 0, action))
    actions, most = _actions(raw, end, [a for _, _, _, a in sites])
    types: list[int] = []
    if most:
        width = _WIDTH.get(encoding & 15, 0)
        if not width or encoding & 0x70 not in (0x10, 0):
            raise Unsupported(f"type encoding {encoding:#x}")
        for k in range(1, most + 1):
            at = types_end - width * k
            value = struct.unpack_from(image.order + ("i" if width == 4 else "q"), raw, at)[0]
            types.append(addr + at + value if value and encoding & 0x70 == 0x10 else value)
    return Lsda(sites, actions, types, encoding)


def _actions(raw: bytes, at: int, first: list[int]) -> tuple[bytes, int]:
    """The action records that the call sites lead to, and the highest type index among them."""
    high = most = 0
    work = [at + a - 1 for a in first if a]
    seen: set[int] = set()
    while work:
        p = work.pop()
        if p in seen:
            continue
        seen.add(p)
        index, q = _sleb(raw, p)
        step, end = _sleb(raw, q)
        if index < 0:
            raise Unsupported("exception specification")
        most, high = max(most, index), max(high, end)
        if step:
            work.append(q + step)
    return raw[at:high] if high else b"", most


def build(
    image: Image, lsda: Lsda, base: int, mapping: list[tuple[int, int, int, int]], labels: dict[int, int], at: int
) -> bytes:
    """The LSDA to place at `at` for code that now begins at `base`."""
    rows: list[tuple[int, int, int, int]] = []
    for new, old, words, _ in mapping:
        site = _site(lsda, old) if old else None
        if site is None:
            continue
        pad = labels[site[2]] - base if site[2] else 0
        last = rows[-1] if rows else None
        if last is not None and last[0] + last[1] == new - base and last[2:] == (pad, site[3]):
            rows[-1] = (last[0], last[1] + 4 * words, pad, site[3])
        else:
            rows.append((new - base, 4 * words, pad, site[3]))
    calls = b"".join(_u(a) + _u(n) + _u(pad) + _u(action) for a, n, pad, action in rows)
    tail = b"\x01" + _u(len(calls)) + calls + lsda.actions
    if not lsda.types:
        return b"\xff\xff" + tail
    entry = _WIDTH[lsda.encoding & 15]
    width = 1  # of the offset, which counts from behind itself
    while True:
        pad_bytes = -(at + 2 + width + len(tail)) % 4
        offset = len(tail) + pad_bytes + entry * len(lsda.types)
        if len(_u(offset)) <= width:
            break
        width = len(_u(offset))
    text = _u(offset)
    out = b"\xff" + bytes([lsda.encoding]) + text + tail
    out += b"\0" * (2 + width + len(tail) + pad_bytes - len(out))
    for t in reversed(lsda.types):
        relative = t - (at + len(out)) if t and lsda.encoding & 0x70 == 0x10 else t
        out += struct.pack(image.order + ("i" if entry == 4 else "q"), relative)
    return out


def _site(lsda: Lsda, old: int) -> tuple[int, int, int, int] | None:
    lo, hi = 0, len(lsda.sites)
    while lo < hi:
        mid = (lo + hi) // 2
        if lsda.sites[mid][1] <= old:
            lo = mid + 1
        else:
            hi = mid
    if lo < len(lsda.sites) and lsda.sites[lo][0] <= old < lsda.sites[lo][1]:
        return lsda.sites[lo]
    return None
