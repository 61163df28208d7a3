"""Memory that native code can reach: the interpreter's regions in pages below 4 GiB.

Context fields of four bytes hold pointers (`xdp_md.data`), so everything a program can point to lies low.  Each region
has pages of its own with an unmapped page behind:

    real         the addresses are this process's own (native code on this host)
    not real     the bytes lie anywhere; an emulator maps them at the addresses the program sees

Helpers see the same regions through `Memory`, bounds checked, in both cases.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from typing import Final

from bpfbench.errors import ExecuteError
from bpfbench.interp.contexts import Context
from bpfbench.interp.memory import Buffer, Memory, Region, View

PAGE: Final = 4096
PAGE_BITS: Final = 12
FIRST: Final = 0x2000_0000
END: Final = 0xF000_0000
MAP_FIXED_NOREPLACE: Final = 0x100000
MAP_FAILED: Final = ctypes.c_void_p(-1).value

libc: Final = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

# told of every allocation: (address the program sees, size, address in this process)
Placed = Callable[[int, int, int], None]


class HostMemory(Memory):
    """Regions in mapped pages; `close` gives them back."""

    def __init__(self, real: bool) -> None:
        super().__init__(FIRST, PAGE_BITS)
        self.real = real
        self.next = FIRST
        self.mapped: list[tuple[int, int, int]] = []
        self.placed: Placed | None = None
        self.removed: Callable[[int, int], None] | None = None      # told of pages given back: (address, size)
        self.freed: list[tuple[int, int]] = []

    def place(self, size: int) -> tuple[int, Buffer]:
        room = max(size + PAGE - 1 & ~(PAGE - 1), PAGE)
        end = self.next
        again = next((one for one in self.freed if one[1] == room), None)
        if again is not None:
            self.freed.remove(again)
            self.next = again[0]
        host = self._map(room)
        address = self.next
        self.next = max(end, address + room + PAGE)
        self.mapped.append((address, room, host))
        if self.placed is not None:
            self.placed(address, room, host)
        return address, memoryview((ctypes.c_ubyte * size).from_address(host)).cast("B")

    def _map(self, room: int) -> int:
        """Fresh zeroed pages: at `self.next` or later if the address is to be real, anywhere otherwise."""
        protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        if not self.real:
            host = libc.mmap(None, room, protection, flags, -1, 0)
            if host in (None, MAP_FAILED):
                raise ExecuteError(f"no memory for {room} bytes")
            return int(host)
        while self.next + room < END:
            host = libc.mmap(self.next, room, protection, flags | MAP_FIXED_NOREPLACE, -1, 0)
            if host == self.next:
                return int(host)
            if host not in (None, MAP_FAILED):
                libc.munmap(host, room)
            self.next += 1 << 20
        raise ExecuteError(f"no room for {room} bytes below 4 GiB")

    def add(
        self, name: str, size: int, writable: bool = True, view: View | None = None, owner: object = None
    ) -> Region:
        region = super().add(name, max(size, 1), writable, None, owner)
        if isinstance(view, Context):
            region.buf[:] = bytes(view.raw)
            view.raw = region.buf
        return region

    def give_back(self, region: Region) -> None:
        """Unmap a region that no run needs any more; its addresses may be used again."""
        self.drop(region)
        for index, (address, room, host) in enumerate(self.mapped):
            if address <= region.base < address + room:
                if self.removed is not None:
                    self.removed(address, room)
                del self.mapped[index]
                self.freed.append((address, room))
                libc.munmap(host, room)
                return

    def find(self, addr: int) -> Region | None:
        """As in `Memory`; an address in the page behind or before a region belongs to it as well."""
        for near in (addr, addr - PAGE, addr + PAGE):
            region = super().find(near)
            if region is not None:
                return region
        return None

    def close(self) -> None:
        """Unmap everything; no region may be used afterwards."""
        self.pages.clear()
        for _, room, host in self.mapped:
            libc.munmap(host, room)
        self.mapped.clear()


def sync(context: Context | None) -> None:
    """Write the computed fields of a context (packet bounds, length, …) where native code reads them."""
    if context is None:
        return
    for name, (offset, size, _) in context.fields.items():
        value = context.computed(name)
        if value is not None:
            context.raw[offset : offset + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
