"""Writing the new ELF: the old file with patches, one or two more segments, and a moved program header table.

    old file ..................... | hole | RX: program headers, new tables, code, unwind tables | sections, names

The new code lies behind everything else in memory, at a file offset equal to its distance from the load base: then the
moved program header table is where kernels, emulators and loaders that compute `base + e_phoff` look for it.  Counters
are a segment without file contents in between.
"""

from __future__ import annotations

import struct
from typing import Final, final

from bpfbench.errors import JumptableError, NotSupported, Where

from .image import R_RELATIVE, Image

PAGE: Final = 0x10000
MAX_HOLE: Final = 1 << 30
PT_LOAD, PT_PHDR, PT_GNU_EH_FRAME = 1, 6, 0x6474E550


def up(value: int, step: int) -> int:
    return (value + step - 1) // step * step


@final
class Output:
    """A copy of `image` to be changed; `counters` bytes of writable memory are reserved at `counter_base`.

    New bytes are appended with `place`; `finish()` returns the file.
    """

    def __init__(self, image: Image, counters: int) -> None:
        self.image = image
        self.data = bytearray(image.data)
        self.order = image.order
        head = struct.unpack_from(self.order + "16sHHIQQQIHHHHHH", self.data)
        self.phoff, self.shoff, self.phentsize, self.phnum = head[5], head[6], head[9], head[10]
        self.shentsize, self.shnum, self.shstrndx = head[11], head[12], head[13]
        first = image.segments[0]
        self.load_base = first.addr - first.offset
        end = max(s.addr + s.size for s in image.segments)
        start = up(max(end, self.load_base + len(self.data)), PAGE)
        self.counter_base = start if counters else 0
        self.counter_size = up(counters, PAGE)
        self.base = start + self.counter_size
        hole = self.base - self.load_base - len(self.data)
        if not 0 <= hole < MAX_HOLE or self.phentsize != 56:
            raise NotSupported(f"addresses that need a hole of {hole} bytes in the file", Where(file=image.name))
        self.new = bytearray(self.phentsize * (self.phnum + (2 if counters else 1)))
        self.entry = image.entry
        self.eh_frame_hdr: tuple[int, int] | None = None
        self.sections: list[tuple[str, int, int, int, int]] = []  # name, address, size, type, flags
        self._rela: dict[int, int] | None = None

    @property
    def at(self) -> int:
        """The address of the next byte that `place` writes."""
        return self.base + len(self.new)

    def align(self, step: int) -> int:
        self.new += b"\0" * (-len(self.new) % step)
        return self.at

    def place(self, raw: bytes) -> int:
        where = self.at
        self.new += raw
        return where

    def patch(self, addr: int, raw: bytes) -> None:
        """Overwrites mapped bytes of the old file."""
        seg = self.image.segment(addr)
        if seg is None or addr + len(raw) > seg.addr + seg.filesz:
            raise JumptableError(f"{addr:#x} is not in the file", Where(file=self.image.name))
        at = seg.offset + addr - seg.addr
        self.data[at : at + len(raw)] = raw

    def pointer(self, slot: int, value: int) -> None:
        """Changes an 8-byte pointer: the stored value, and the RELATIVE addend where there is one."""
        self.patch(slot, struct.pack(self.order + "Q", value))
        if slot in self.image.relative:
            if self._rela is None:
                self._rela = self._relocations()
            if slot in self._rela:
                struct.pack_into(self.order + "Q", self.data, self._rela[slot] + 16, value)

    def _relocations(self) -> dict[int, int]:
        """File offset of the RELATIVE relocation of each slot."""
        out: dict[int, int] = {}
        image = self.image
        tags = image._dynamic_tags() if image.dynamic is not None else {}
        offset = image._file_offset(tags.get(7, -1))
        if offset is not None:
            size = tags.get(8, 0)
            for k, (slot, kind, _) in enumerate(
                struct.iter_unpack(self.order + "QQq", image.data[offset : offset + size // 24 * 24])
            ):
                if kind & 0xFFFFFFFF == R_RELATIVE:
                    out[slot] = offset + 24 * k
        return out

    def symbols(self, moved: dict[int, tuple[int, int]], index: int) -> int:
        """Moves function symbols (old address -> new address, size) in .symtab and .dynsym; returns how many."""
        count = 0
        for sec in self.image.sections:
            if sec.kind not in (2, 11):
                continue
            for at in range(sec.offset, sec.offset + sec.size // 24 * 24, 24):
                _, info, _, shndx, value, _ = struct.unpack_from(self.order + "IBBHQQ", self.data, at)
                if info & 15 == 2 and shndx and value in moved:
                    if shndx < 0xFF00:
                        struct.pack_into(self.order + "H", self.data, at + 6, index)
                    struct.pack_into(self.order + "QQ", self.data, at + 8, *moved[value])
                    count += 1
        return count

    def next_section(self) -> int:
        """The index that the first section added will have."""
        return int(self.shnum)

    def finish(self) -> bytes:
        self._program_headers()
        offset = self.base - self.load_base
        self.data += b"\0" * (offset - len(self.data))
        self.data += self.new
        if self.shnum:
            self._section_headers()
        struct.pack_into(self.order + "Q", self.data, 24, self.entry)
        return bytes(self.data)

    def _program_headers(self) -> None:
        rows = [
            list(struct.unpack_from(self.order + "IIQQQQQQ", self.image.data, self.phoff + k * self.phentsize))
            for k in range(self.phnum)
        ]
        offset = self.base - self.load_base
        added = []
        if self.counter_size:
            added.append(
                [
                    PT_LOAD,
                    6,
                    self.counter_base - self.load_base,
                    self.counter_base,
                    self.counter_base,
                    0,
                    self.counter_size,
                    PAGE,
                ]
            )
        added.append([PT_LOAD, 5, offset, self.base, self.base, len(self.new), len(self.new), PAGE])
        for row in rows:
            if row[0] == PT_PHDR:
                size = self.phentsize * (len(rows) + len(added))
                row[2:7] = [offset, self.base, self.base, size, size]
            elif row[0] == PT_GNU_EH_FRAME and self.eh_frame_hdr is not None:
                addr, size = self.eh_frame_hdr
                row[2:7] = [addr - self.load_base, addr, addr, size, size]
        last = max(k for k, r in enumerate(rows) if r[0] == PT_LOAD)
        rows[last + 1 : last + 1] = added
        for k, row in enumerate(rows):
            struct.pack_into(self.order + "IIQQQQQQ", self.new, k * self.phentsize, *row)
        struct.pack_into(self.order + "Q", self.data, 32, offset)
        struct.pack_into(self.order + "H", self.data, 56, len(rows))

    def _section_headers(self) -> None:
        old = bytearray(self.image.data[self.shoff : self.shoff + self.shnum * self.shentsize])
        names_at = self.shstrndx * self.shentsize
        name_offset, name_size = struct.unpack_from(self.order + "QQ", old, names_at + 24)
        names = bytearray(self.image.data[name_offset : name_offset + name_size])
        if self.eh_frame_hdr is not None:
            for s in self.image.sections:
                if s.name == ".eh_frame_hdr":
                    addr, size = self.eh_frame_hdr
                    struct.pack_into(
                        self.order + "QQQ", old, s.index * self.shentsize + 16, addr, addr - self.load_base, size
                    )
        for name, addr, size, kind, flags in self.sections:
            old += struct.pack(
                self.order + "IIQQQQIIQQ", len(names), kind, flags, addr, addr - self.load_base, size, 0, 0, 16, 0
            )
            names += name.encode() + b"\0"
        self.data += b"\0" * (-len(self.data) % 8)
        struct.pack_into(self.order + "QQ", old, names_at + 24, len(self.data), len(names))
        self.data += names + b"\0" * (-len(names) % 8)
        struct.pack_into(self.order + "Q", self.data, 40, len(self.data))
        struct.pack_into(self.order + "H", self.data, 60, self.shnum + len(self.sections))
        self.data += old
