"""The card's memories: packet buffers and map values, at addresses of 40 bits.

    0x08_03xx_xxxx     packet buffer (CTM), 32-bit address; the low 16 bits of the packet's start are its offset in the
                       buffer, where adjust_head keeps them between the device's limits
    0x20_0000_0000 ..  map values (EMEM); programs hold such an address as a pair, high word (address >> 8) & 0xff000000

A read may go beyond what it needs (whole words, the packet cache), so bytes behind a region are junk, not an error.  A
write beyond the packet or a map value is one.  It is the interpreter's memory, so maps and packets are the same objects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from bpfbench.errors import ExecuteError, MachineError
from bpfbench.interp.memory import Buffer, Memory, Region, View
from bpfbench.interp.packet import SKB_HEADROOM, XDP_HEADROOM

BUFFER: Final = 0x0803_0000             # where the packet's buffer begins
OFFSET: Final = 128                     # of the packet in its buffer, when it arrives
VALUES: Final = 0x20_0001_0000
PAGE_BITS: Final = 12
PAGE: Final = 1 << PAGE_BITS
SLACK: Final = 128                      # bytes that one command may read beyond a region
JUNK: Final = 0xA5
PACKET_CYCLES: Final = 60               # chosen: a buffer near the engine, and memory at the far end of the chip
VALUE_CYCLES: Final = 200
PER_WORD: Final = 1


class CardMemory(Memory):
    """Regions on the card.  `window` gives the bounds of the packet, which writes have to respect."""

    def __init__(self) -> None:
        super().__init__(VALUES, PAGE_BITS)
        self.free = VALUES
        self.headroom = XDP_HEADROOM
        self.packet: Region | None = None
        self.window: Callable[[], tuple[int, int]] | None = None

    def place(self, size: int) -> tuple[int, Buffer]:
        room = (size + SLACK + PAGE - 1) & ~(PAGE - 1)
        if (self.free ^ self.free + room) >> 32:                # no region straddles 4 GiB
            self.free = self.free + room & ~0xFFFFFFFF
        base, self.free = self.free, self.free + room
        return base, bytearray(size)

    def add(
        self, name: str, size: int, writable: bool = True, view: View | None = None, owner: object = None
    ) -> Region:
        if name != "packet":
            return super().add(name, size, writable, view, owner)
        base = BUFFER + OFFSET - self.headroom
        region = Region(name, base, bytearray(size), writable, view, owner)
        for page in range(base >> PAGE_BITS, (base + size + SLACK >> PAGE_BITS) + 1):
            self.pages[page] = region
        self.packet = region
        return region

    # ------------------------------------------------------------------------------------------- as the bus of an engine
    def read(self, address: int, size: int) -> bytes:
        region, at = self._at(address, "read", size)
        content = bytes(region.buf[at : at + size])
        return content.ljust(size, bytes([JUNK]))

    def write(self, address: int, content: bytes) -> None:
        region, at = self._at(address, "write", len(content))
        low, high = region.base, region.base + len(region.buf)
        if region is self.packet and self.window is not None:
            low, high = self.window()
        if address < low or address + len(content) > high or not region.writable:
            raise MachineError(f"{len(content)} bytes written at {address:#x}, {region.name} is {low:#x} to {high:#x}")
        region.buf[at : at + len(content)] = content

    def latency(self, address: int, size: int) -> int:
        return (PACKET_CYCLES if address < VALUES else VALUE_CYCLES) + PER_WORD * (size + 3 >> 2)

    def _at(self, address: int, what: str, size: int) -> tuple[Region, int]:
        region = self.pages.get(address >> PAGE_BITS)
        if region is None or not 0 <= address - region.base < len(region.buf) + SLACK:
            raise MachineError(f"{what} of {size} bytes at {address:#x}, where the card has no memory")
        return region, address - region.base


def headroom_of(program_type: str) -> int:
    """Bytes in front of the packet within its region, as the interpreter makes it."""
    return XDP_HEADROOM if program_type == "xdp" else SKB_HEADROOM


def split(address: int) -> tuple[int, int]:
    """An address of 40 bits as the pair of registers that holds it.

    >>> [hex(word) for word in split(0x2012345678)]
    ['0x12345678', '0x20000000']
    """
    if address >> 40:
        raise ExecuteError(f"{address:#x} is no address on the card: it has more than 40 bits")
    return address & 0xFFFFFFFF, address >> 8 & 0xFF000000
