"""Where functions begin and end, from every source that survives in a binary.

    source        survives strip   gives
    ----------    --------------   ------------------------------------------------
    symtab        no               name, start, size
    .eh_frame     yes              start, size (C, C++, Rust; hot and cold parts have records of their own)
    .gopclntab    yes              name, start; the end is the next start (Go)
    dynsym        yes              name, start, size of exported functions
    calls         yes              starts only: targets of `bl`, the ELF entry, init arrays

A *function* here is one contiguous fragment, since a compiler never lets a jump table leave the fragment of its
branch; `foo.cold` is therefore a function of its own.  Facts: LSB "Exception Frames", go/src/debug/gosym/pclntab.go.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Final, final

from .image import Image

MAX_FUNCTION: Final = 1 << 26


@final
class Function:
    """A code range `start..end` (bytes), its name, and the `source` that told us of it."""

    __slots__ = ("name", "start", "end", "source", "lsda", "exact")

    def __init__(self, name: str, start: int, end: int, source: str, lsda: int = 0, exact: bool = True) -> None:
        self.name = name
        self.start = start
        self.end = end
        self.source = source
        self.lsda = lsda
        self.exact = exact

    @property
    def size(self) -> int:
        return self.end - self.start

    def __contains__(self, addr: int) -> bool:
        return self.start <= addr < self.end

    def __repr__(self) -> str:
        return f"Function({self.name!r}, {self.start:#x}..{self.end:#x}, {self.source})"


@final
class FunctionMap:
    """All functions of an image, by address.

    `at(addr)` is the function that holds an address, `starts` the set of entries.
    """

    def __init__(self, functions: list[Function]) -> None:
        self.functions = sorted(functions, key=lambda f: f.start)
        self._starts = [f.start for f in self.functions]
        self.starts = frozenset(self._starts)

    def at(self, addr: int) -> Function | None:
        k = bisect_right(self._starts, addr) - 1
        if k >= 0 and addr < self.functions[k].end:
            return self.functions[k]
        return None

    def named(self, name: str) -> list[Function]:
        return [f for f in self.functions if f.name == name]

    def __len__(self) -> int:
        return len(self.functions)


def discover(image: Image) -> FunctionMap:
    """Merges the sources: exact ranges first (symtab, frames, pclntab), then starts that fall into the gaps."""
    names: dict[int, str] = {}
    exact: dict[int, Function] = {}
    unsized: set[int] = set()
    ranges = image.code_ranges()
    go = go_functions(image)
    for start, end, name in go:
        exact[start] = Function(name, start, end, "gopclntab")
    for source, symbols in (("symtab", image.symbols), ("dynsym", image.dynamic_symbols)):
        for s in symbols:
            if s.kind != "FUNC" or not s.addr or s.addr & 3 or not image.executable(s.addr):
                continue
            names.setdefault(s.addr, s.name)
            if 0 < s.size <= MAX_FUNCTION and not go:
                old = exact.get(s.addr)
                if old is None or old.end < s.addr + s.size:
                    exact[s.addr] = Function(s.name, s.addr, s.addr + s.size, source)
            elif s.size == 0:
                unsized.add(s.addr)
    for start, size, lsda in frames(image):
        if start & 3 or not 0 < size <= MAX_FUNCTION or not image.executable(start):
            continue
        old = exact.get(start)
        if old is None and not go:
            inside = names.get(start, f"sub_{start:x}")
            exact[start] = Function(inside, start, start + size, "eh_frame", lsda)
        elif old is not None:
            old.lsda = lsda
            if old.source != "gopclntab":
                old.end = max(old.end, start + size)
    out = _without_overlap(sorted(exact.values(), key=lambda f: f.start))
    for s in image.symbols:  # assembly without .type: labels in text that are not mapping symbols
        if s.kind == "NOTYPE" and s.addr and not s.local and image.executable(s.addr) and not s.addr & 3:
            names.setdefault(s.addr, s.name)
            unsized.add(s.addr)
    return FunctionMap(_in_file(image, _fill_gaps(image, out, ranges, names, unsized)))


def _in_file(image: Image, functions: list[Function]) -> list[Function]:
    """Clips ranges to the bytes that are there; drops those that do not begin in the file."""
    out = []
    for f in functions:
        seg = image.segment(f.start)
        if seg is not None and f.start < seg.addr + seg.filesz:
            f.end = min(f.end, seg.addr + seg.filesz)
            out.append(f)
    return out


def _without_overlap(functions: list[Function]) -> list[Function]:
    """Trims a range where the next function begins, unless the next is nested aliasing text of the same range."""
    out: list[Function] = []
    for f in functions:
        if out and f.start < out[-1].end:
            if f.end <= out[-1].end and f.source == "dynsym":
                continue  # a second entry point
            out[-1].end = f.start
        out.append(f)
    return [f for f in out if f.end > f.start]


def _fill_gaps(
    image: Image, known: list[Function], ranges: list[tuple[int, int, str]], names: dict[int, str], unsized: set[int]
) -> list[Function]:
    """Functions made from bare starts, in code no exact range covers."""
    covered = FunctionMap(known)
    starts = {image.entry} | unsized
    gaps = _gaps(known, ranges)
    if sum(b - a for a, b, _ in gaps) > 0:
        starts |= _call_targets(image, ranges)
    loose = sorted(a for a in starts if a and not a & 3 and image.executable(a) and covered.at(a) is None)
    out = list(known)
    for start, end, section in gaps:
        if section.startswith((".plt", ".iplt")) or _is_padding(image, start, end):
            continue
        inside = [a for a in loose if start <= a < end] if len(loose) < 64 else _between(loose, start, end)
        if not inside or (inside[0] != start and not known):
            inside = [start, *inside]
        for k, a in enumerate(inside):
            stop = inside[k + 1] if k + 1 < len(inside) else end
            out.append(Function(names.get(a, f"sub_{a:x}"), a, stop, "calls", exact=False))
    return out


def _is_padding(image: Image, start: int, end: int) -> bool:
    if end - start > 64:
        return False
    return all(w in (0, 0xD503201F) for w in image.words((start + 3) & ~3, (end - start) // 4))


def _between(items: list[int], start: int, end: int) -> list[int]:
    return items[bisect_right(items, start - 1) : bisect_right(items, end - 1)]


def _gaps(known: list[Function], ranges: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    out = []
    spans = [(f.start, f.end) for f in known]
    begins = [s for s, _ in spans]
    for start, end, name in ranges:
        at = start
        k = max(0, bisect_right(begins, start) - 1)
        while k < len(spans) and spans[k][0] < end:
            a, b = spans[k]
            if a > at:
                out.append((at, a, name))
            at = max(at, b)
            k += 1
        if at < end:
            out.append((at, end, name))
    return out


def _call_targets(image: Image, ranges: list[tuple[int, int, str]]) -> set[int]:
    out: set[int] = set()
    for start, end, _ in ranges:
        for k, w in enumerate(image.words(start, (end - start) // 4)):
            if w >> 26 == 0x25:
                delta = w & 0x3FFFFFF
                out.add(start + 4 * k + (delta - (1 << 26) if delta >> 25 else delta) * 4)
    return out


# -- .eh_frame -----------------------------------------------------------------------------------------------------


def _uleb(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(raw) and shift < 70:
        byte = raw[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    return value, at


def _encoded(image: Image, raw: bytes, at: int, encoding: int, base: int) -> tuple[int, int] | None:
    """One DW_EH_PE pointer at `at`; the value is an address for pc-relative forms."""
    form = {0: "Q", 2: "H", 3: "I", 4: "Q", 10: "h", 11: "i", 12: "q"}.get(encoding & 15)
    if form is None or at < 0 or at + struct.calcsize(form) > len(raw):
        return None
    value = int(struct.unpack_from(image.order + form, raw, at)[0])
    if encoding & 0x70 == 0x10 and value:
        value += base + at
    return value & 0xFFFFFFFFFFFFFFFF, at + struct.calcsize(form)


def frame_section(image: Image) -> tuple[int, bytes] | None:
    """Address and bytes of .eh_frame, by section header or through PT_GNU_EH_FRAME."""
    for sec in image.sections:
        if sec.name == ".eh_frame" and sec.size:
            raw = image.read(sec.addr, sec.size)
            if raw is not None:
                return sec.addr, raw
    if image.eh_frame_hdr is not None:
        head = image.read(image.eh_frame_hdr, 12)
        if head is not None and head[0] == 1:
            found = _encoded(image, head, 4, head[1], image.eh_frame_hdr)
            seg = image.segment(found[0]) if found else None
            if found and seg is not None:
                raw = image.read(found[0], seg.addr + seg.filesz - found[0])
                if raw is not None:
                    return found[0], raw
    return None


def frames(image: Image) -> list[tuple[int, int, int]]:
    """`(start, size, lsda address or 0)` of every frame description entry; stops quietly where the section is bad."""
    found = frame_section(image)
    if found is None:
        return []
    base, raw = found
    out: list[tuple[int, int, int]] = []
    cies: dict[int, tuple[int, int, bool]] = {}
    at = 0
    while at + 8 <= len(raw):
        length = int.from_bytes(raw[at : at + 4], "little" if image.order == "<" else "big")
        if length == 0 or length >= 0xFFFFFFF0 or at + 4 + length > len(raw):
            break
        ident = int.from_bytes(raw[at + 4 : at + 8], "little" if image.order == "<" else "big")
        if ident == 0:
            cies[at] = _cie(image, raw, at)
        else:
            pointer, lsda_enc, augmented = cies.get(at + 4 - ident, (0x1B, 0xFF, False))
            start = _encoded(image, raw, at + 8, pointer, base)
            if start is not None:
                size = _encoded(image, raw, start[1], pointer & 15, base)
                if size is not None:
                    lsda = 0
                    if augmented and lsda_enc != 0xFF:
                        _, body = _uleb(raw, size[1])
                        where = _encoded(image, raw, body, lsda_enc, base)
                        lsda = where[0] if where else 0
                    out.append((start[0], size[0], lsda))
        at += 4 + length
    return out


def _cie(image: Image, raw: bytes, at: int) -> tuple[int, int, bool]:
    """Pointer encoding, LSDA encoding and "has augmentation data" of the CIE at `at`."""
    end = raw.find(b"\0", at + 9)
    text = raw[at + 9 : end] if end >= 0 else b""
    p = end + 1
    _, p = _uleb(raw, p)
    _, p = _uleb(raw, p)
    _, p = _uleb(raw, p)
    pointer, lsda = 0, 0xFF
    if not text.startswith(b"z"):
        return pointer, lsda, False
    _, p = _uleb(raw, p)
    for letter in text[1:].decode("latin-1"):
        if p >= len(raw):
            break
        if letter == "R":
            pointer, p = raw[p], p + 1
        elif letter == "L":
            lsda, p = raw[p], p + 1
        elif letter == "P":
            skipped = _encoded(image, raw, p + 1, raw[p] & 15, 0)
            p = skipped[1] if skipped else p + 9
    return pointer, lsda, True


# -- .gopclntab ----------------------------------------------------------------------------------------------------

GO_MAGIC: Final[dict[int, str]] = {0xFFFFFFF1: "1.20", 0xFFFFFFF0: "1.18", 0xFFFFFFFA: "1.16"}


def pclntab(image: Image) -> tuple[int, bytes] | None:
    """Address and bytes of Go's function table, by section name or by its magic in constant memory."""
    for sec in image.sections:
        if sec.name.endswith(".gopclntab") and sec.size:
            raw = image.read(sec.addr, sec.size)
            if raw is not None:
                return sec.addr, raw
    if image.sections:
        return None
    for seg in image.segments:
        raw = image.data[seg.offset : seg.offset + seg.filesz]
        for magic in GO_MAGIC:
            at = raw.find(struct.pack(image.order + "IHBB", magic, 0, 4, 8))
            if at >= 0:
                return seg.addr + at, raw[at:]
    return None


def go_functions(image: Image) -> list[tuple[int, int, str]]:
    """`(start, end, name)` of every function in .gopclntab; empty when there is none."""
    found = pclntab(image)
    if found is None or len(found[1]) < 72:
        return []
    base, raw = found
    order = image.order
    magic = struct.unpack_from(order + "I", raw)[0]
    version = GO_MAGIC.get(magic)
    if version is None or raw[7] != 8:
        return []
    count = struct.unpack_from(order + "Q", raw, 8)[0]
    if version == "1.16":
        names, table = struct.unpack_from(order + "Q", raw, 24)[0], struct.unpack_from(order + "Q", raw, 56)[0]
        text, form, step = 0, "QQ", 16
    else:
        names, table = struct.unpack_from(order + "Q", raw, 32)[0], struct.unpack_from(order + "Q", raw, 64)[0]
        text, form, step = image.pointer(base + 24) or 0, "II", 8
        if not text:
            text = next((s.addr for s in image.sections if s.name == ".text"), 0)
    if count > len(raw) // step or table + (count + 1) * step > len(raw) + step:
        return []
    out = []
    half = step // 2
    for k in range(count):
        at = table + k * step
        if at + step + half > len(raw):
            break
        entry, offset = struct.unpack_from(order + form, raw, at)
        following = struct.unpack_from(order + form[0], raw, at + step)[0]
        name_at = table + offset + (8 if half == 8 else 4)
        name = ""
        if name_at + 4 <= len(raw):
            start = names + struct.unpack_from(order + "I", raw, name_at)[0]
            end = raw.find(b"\0", start, start + 1000)
            name = raw[start:end].decode("utf-8", "replace") if end > start else ""
        if following > entry and image.executable(text + entry):
            out.append((text + entry, text + following, name or f"sub_{text + entry:x}"))
    return out
