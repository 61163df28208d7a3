"""The packet a networking program works on: one buffer with room before and behind.

    base            meta      start                    end           limit
    |... headroom ...|metadata|======= packet ========|... tailroom ...|

XDP moves `start` within the headroom and `end` within the tailroom of one 4096-byte page; an sk_buff reallocates, so
its room here is generous.  What lies beyond the linear part of a big XDP packet is in `frags`: the program reaches it
with helpers only.  Constants are those of the kernel's test run (net/bpf/test_run.c), which is what the interpreter is
compared with.
"""

from __future__ import annotations

from typing import Final

from bpfbench.errors import InterpError
from bpfbench.interp.memory import Memory

ETH_HLEN: Final = 14
XDP_HEADROOM: Final = 256            # XDP_PACKET_HEADROOM
XDP_FRAME_SIZE: Final = 40           # sizeof(struct xdp_frame), kept free in front of the packet
XDP_PAGE: Final = 4096
SHARED_INFO: Final = 320             # SKB_DATA_ALIGN(sizeof(struct skb_shared_info)), kept free at the page's end
XDP_MAX_LINEAR: Final = XDP_PAGE - XDP_HEADROOM - SHARED_INFO
SKB_HEADROOM: Final = 1 << 15            # twice what one packet can grow by (SKB_MAX_ALLOC)
SKB_MAX_LEN: Final = 65536 + ETH_HLEN    # MTU of the loopback device and its header


class Packet:
    """A packet in memory; `start`, `end`, `meta` are addresses the program sees as data, data_end, data_meta."""

    def __init__(self, memory: Memory, content: bytes, headroom: int, room: int) -> None:
        self.memory = memory
        self.region = memory.add("packet", headroom + max(room, len(content)))
        self.start = self.region.base + headroom
        self.end = self.start + len(content)
        self.meta = self.start
        self.limit = self.region.base + len(self.region.buf)
        self.frags = bytearray()
        self.bounds()
        self.put(0, content)

    def bounds(self) -> None:
        """Make the region's bounds those of the packet."""
        self.region.lo, self.region.hi, self.region.origin = min(self.meta, self.start), self.end, self.start

    @property
    def linear(self) -> int:
        return self.end - self.start

    def __len__(self) -> int:
        return self.end - self.start + len(self.frags)

    @property
    def content(self) -> bytes:
        """The whole packet."""
        return self.get(0, self.linear) + bytes(self.frags)

    @property
    def metadata(self) -> bytes:
        return bytes(self.region.buf[self.meta - self.region.base : self.start - self.region.base])

    def get(self, off: int, size: int) -> bytes:
        """Bytes of the linear part, `off` counted from `start`."""
        at = self.start - self.region.base + off
        return bytes(self.region.buf[at : at + size])

    def put(self, off: int, content: bytes) -> None:
        at = self.start - self.region.base + off
        self.region.buf[at : at + len(content)] = content

    # ------------------------------------------------------------------------------------------ the whole, with frags
    def load(self, off: int, size: int) -> bytes | None:
        """Bytes of the whole packet, or None when they are not all inside it."""
        if off < 0 or size < 0 or off + size > len(self):
            return None
        return self.content[off : off + size] if self.frags else self.get(off, size)

    def store(self, off: int, content: bytes) -> bool:
        if off < 0 or off + len(content) > len(self):
            return False
        head = max(0, min(len(content), self.linear - off))
        if head:
            self.put(off, content[:head])
        if head < len(content):
            at = off + head - self.linear
            self.frags[at : at + len(content) - head] = content[head:]
        return True

    # ------------------------------------------------------------------------------------------------------- resizing
    def move_start(self, delta: int) -> None:
        """Drop (positive) or add (negative) bytes at the front; the caller checked that they fit."""
        self.start += delta
        self.meta = self.start
        self.bounds()

    def move_end(self, delta: int) -> None:
        """Add zeroed bytes at the end, or drop some."""
        if delta > 0:
            at = self.end - self.region.base
            self.region.buf[at : at + delta] = bytes(delta)
        self.end += delta
        self.bounds()

    def replace(self, content: bytes) -> None:
        """Another content of any length that fits the room, the start staying where it is."""
        self.end = self.start + len(content)
        self.bounds()
        self.put(0, content)

    def open_gap(self, at: int, size: int) -> None:
        """Insert `size` zero bytes at offset `at`, or remove `-size`; the front moves (bpf_skb_generic_push)."""
        head = self.get(0, at)
        self.start -= size
        self.meta = self.start
        self.bounds()
        if size >= 0:
            self.put(0, head + bytes(size))
        else:
            self.put(0, head)


def xdp_packet(memory: Memory, content: bytes) -> Packet:
    """An XDP buffer as the kernel's test run makes it."""
    if len(content) < ETH_HLEN:
        raise InterpError(f"a packet of {len(content)} bytes: XDP needs at least the {ETH_HLEN} of an Ethernet header")
    packet = Packet(memory, content[:XDP_MAX_LINEAR], XDP_HEADROOM, XDP_PAGE - XDP_HEADROOM)
    packet.limit = packet.region.base + XDP_PAGE - SHARED_INFO
    packet.frags = bytearray(content[XDP_MAX_LINEAR:])
    return packet


def skb_packet(memory: Memory, content: bytes, pulled: bool) -> Packet:
    """An sk_buff's data as the kernel's test run makes it; `pulled`: the Ethernet header is already taken off."""
    if len(content) < ETH_HLEN:
        raise InterpError(f"a packet of {len(content)} bytes: an sk_buff needs at least the {ETH_HLEN} of its header")
    needed = {b"\x08\x00": ("IPv4", 20), b"\x86\xdd": ("IPv6", 40)}.get(content[12:14])
    if needed is not None and len(content) - ETH_HLEN < needed[1]:
        raise InterpError(f"a packet of {len(content)} bytes is too short for its {needed[0]} header")
    packet = Packet(memory, content, SKB_HEADROOM, SKB_MAX_LEN)
    if pulled:
        packet.move_start(ETH_HLEN)
    return packet


def packet_bytes(given: bytes | bytearray | memoryview | str) -> bytes:
    """Bytes as they are; text as hex digits, with blanks and colons between them as anybody likes.

    >>> packet_bytes("de:ad be ef").hex()
    'deadbeef'
    """
    if not isinstance(given, str):
        return bytes(given)
    try:
        return bytes.fromhex(given.replace(":", " "))
    except ValueError:
        raise InterpError(f"not hex digits: {given[:40]!r}") from None
