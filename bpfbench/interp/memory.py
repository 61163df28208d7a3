"""The memory a program sees: regions at synthetic 64-bit addresses, every access checked.

A region is a buffer with a name, a place in a 64-bit address space and bounds.  Each region has a *page* of the address
space of its own (4 GiB by default, far more than it fills), so the page number finds the region, and a pointer that
ran past its end or before its start still tells which region it came from:

    page k                                             page k+1
    |.......lo========= accessible =========hi..........|.......lo==
            ^ buffer offset lo - base

Bounds move: a packet's `lo` and `hi` are its `data` and `data_end`.  A region with a `view` (the context) has no bytes
of its own: the view computes what a load returns.

Other places to keep the bytes (real memory for native code, an emulator's memory) derive from `Memory` and override
`place`.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Final, Protocol

from mypy_extensions import mypyc_attr

from bpfbench.bits import U64_MAX
from bpfbench.interp.trap import ProgramFault

PAGE_BITS: Final = 32
FIRST_ADDR: Final = 0xFFFF_8880_0000_0000      # where x86-64 Linux maps memory (Documentation/arch/x86/x86_64/mm.rst)
INSET: Final = 0x1000_0000                     # distance of a region from the start of its page

NULL_REACH: Final = 4096                       # an access this near to 0 is called one through a null pointer

Buffer = bytearray | memoryview


class View(Protocol):
    """Memory that is computed: what a context is."""

    def load(self, off: int, size: int) -> int: ...

    def store(self, off: int, size: int, value: int) -> None: ...


class Region:
    """One piece of memory.

    `base`      address of the buffer's first byte
    `lo`, `hi`  the addresses an access must stay between
    `origin`    the address from which messages count offsets
    `owner`     what the memory belongs to (a map, a program, …), for helpers that take it by address
    """

    __slots__ = ("name", "base", "lo", "hi", "origin", "buf", "writable", "view", "owner")

    def __init__(self, name: str, base: int, buf: Buffer, writable: bool, view: View | None, owner: object) -> None:
        self.name = name
        self.base = base
        self.lo = base
        self.hi = base + len(buf)
        self.origin = base
        self.buf = buf
        self.writable = writable
        self.view = view
        self.owner = owner

    def __repr__(self) -> str:
        return f"<{self.name} {self.lo:#x}..{self.hi:#x}{'' if self.writable else ' read-only'}>"


@mypyc_attr(allow_interpreted_subclasses=True)
class Memory:
    """All regions, by page.

    >>> m = Memory()
    >>> r = m.add("stack", 512)
    >>> m.store(r.base + 8, 4, 0x11223344); hex(m.load(r.base + 8, 2))
    '0x3344'
    """

    def __init__(self, first: int = FIRST_ADDR, page_bits: int = PAGE_BITS) -> None:
        self.page_bits = page_bits
        self.pages: dict[int, Region] = {}       # plain memory: the fast paths look only here
        self.special: dict[int, Region] = {}     # views
        self._next = first >> page_bits

    # ------------------------------------------------------------------------------------------------------- regions
    def place(self, size: int) -> tuple[int, Buffer]:
        """Room for `size` bytes: its address and the buffer that holds it."""
        base = (self._next << self.page_bits) + INSET
        self._next += 1
        return base, bytearray(size)

    def add(
        self, name: str, size: int, writable: bool = True, view: View | None = None, owner: object = None
    ) -> Region:
        """A new region of `size` bytes, zeroed."""
        base, buf = self.place(size)
        region = Region(name, base, buf, writable, view, owner)
        pages = self.pages if view is None and size else self.special
        for page in range(base >> self.page_bits, (base + max(size, 1) - 1 >> self.page_bits) + 1):
            pages[page] = region
        return region

    def drop(self, region: Region) -> None:
        """Forget a region: later accesses fault."""
        for pages in (self.pages, self.special):
            for page in [p for p, r in pages.items() if r is region]:
                del pages[page]

    def find(self, addr: int) -> Region | None:
        """The region to which an address belongs, in bounds or not."""
        page = addr >> self.page_bits
        return self.pages.get(page) or self.special.get(page)

    # ------------------------------------------------------------------------------------------------------ accesses
    def load(self, addr: int, size: int) -> int:
        """The unsigned little-endian value at `addr`."""
        region = self.pages.get(addr >> self.page_bits)
        if region is None or addr < region.lo or addr + size > region.hi:
            return self._load_special(addr, size)
        at = addr - region.base
        return int.from_bytes(region.buf[at : at + size], "little")

    def store(self, addr: int, size: int, value: int) -> None:
        """Write the low `size` bytes of `value` at `addr`."""
        region = self.pages.get(addr >> self.page_bits)
        if region is None or addr < region.lo or addr + size > region.hi or not region.writable:
            self._store_special(addr, size, value)
            return
        at = addr - region.base
        region.buf[at : at + size] = (value & ((1 << size * 8) - 1)).to_bytes(size, "little")

    def read(self, addr: int, size: int) -> bytes:
        """`size` bytes at `addr`; what helpers use."""
        if size == 0:
            return b""
        region = self._plain(addr, size, "read")
        at = addr - region.base
        return bytes(region.buf[at : at + size])

    def write(self, addr: int, content: bytes) -> None:
        if not content:
            return
        region = self._plain(addr, len(content), "write")
        if not region.writable:
            raise self.fault("read-only", "write", addr, len(content))
        at = addr - region.base
        region.buf[at : at + len(content)] = content

    def read_string(self, addr: int, limit: int) -> bytes:
        """The bytes from `addr` up to a zero byte (not included), the end of the region, or `limit`."""
        region = self._plain(addr, 1, "read")
        at = addr - region.base
        return bytes(region.buf[at : min(at + limit, region.hi - region.base)]).split(b"\0", 1)[0]

    def owner(self, addr: int, what: str) -> object:
        """The object behind the address of a map, function or other thing that programs only pass around."""
        region = self.find(addr)
        if region is None or region.owner is None or addr != region.base:
            raise ProgramFault("helper", f"{addr:#x} is not the address of {what}")
        return region.owner

    # ------------------------------------------------------------------------------------------------------- the rest
    def _plain(self, addr: int, size: int, what: str) -> Region:
        region = self.pages.get(addr >> self.page_bits)
        if region is None or addr < region.lo or addr + size > region.hi or size < 0:
            raise self.fault("memory", what, addr, size)
        return region

    def _load_special(self, addr: int, size: int) -> int:
        region = self.special.get(addr >> self.page_bits)
        if region is None or region.view is None:
            raise self.fault("memory", "read", addr, size)
        return region.view.load(addr - region.base, size)

    def _store_special(self, addr: int, size: int, value: int) -> None:
        region = self.special.get(addr >> self.page_bits)
        if region is None or region.view is None:
            plain = self.pages.get(addr >> self.page_bits)
            inside = plain is not None and addr >= plain.lo and addr + size <= plain.hi
            raise self.fault("read-only" if inside else "memory", "write", addr, size)
        region.view.store(addr - region.base, size, value & ((1 << size * 8) - 1))

    def fault(self, kind: str, what: str, addr: int, size: int) -> ProgramFault:
        """The fault for an access of `size` bytes at `addr`."""
        region = self.find(addr)
        message = f"{what} of {size} byte{'s' if size != 1 else ''}"
        if region is None:
            small = addr if addr < 1 << 63 else addr - U64_MAX - 1
            if abs(small) >= NULL_REACH:
                return ProgramFault(kind, f"{message} at {addr:#x}")
            return ProgramFault(kind, message, "NULL", small)
        return ProgramFault(kind, message, region.name, addr - region.origin)


def fill(buf: MutableSequence[int], content: bytes) -> None:
    """Overwrite the start of a buffer."""
    buf[: len(content)] = content
