"""Capture files: packets to run programs on.

The libpcap format in either byte order, with time stamps in micro- or nanoseconds:

    | magic 4 | version 4 | zone 4 | accuracy 4 | snaplen 4 | link 4 |      file header
    | seconds 4 | fraction 4 | captured 4 | on the wire 4 | bytes … |       each packet

Source: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-03.html; pcap-savefile(5).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final, final

from bpfbench.errors import InterpError, Where

# magic bytes -> (byte order of everything else, nanoseconds in one unit of the fraction)
MAGIC: Final = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
PCAPNG: Final = b"\x0a\x0d\x0d\x0a"
FILE_HEADER: Final = 24
PACKET_HEADER: Final = 16
ETHERNET: Final = 1


@final
class Captured:
    """A packet: its bytes, when it was seen (nanoseconds), and its length on the wire."""

    __slots__ = ("data", "time_ns", "length")

    def __init__(self, data: bytes, time_ns: int, length: int) -> None:
        self.data = data
        self.time_ns = time_ns
        self.length = length

    def __repr__(self) -> str:
        return f"<{len(self.data)} bytes at {self.time_ns / 1e9:.6f}s>"


def read_pcap(path: str | Path) -> list[Captured]:
    """All packets of a capture.  Raises `InterpError` naming file and offset."""
    name = str(path)
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise InterpError(error.strerror or str(error), Where(file=name)) from None
    if raw[:4] == PCAPNG:
        raise InterpError("a pcapng capture; convert it with: editcap -F pcap IN OUT", Where(file=name))
    if raw[:4] not in MAGIC or len(raw) < FILE_HEADER:
        raise InterpError("not a pcap capture", Where(file=name, offset=0))
    order, unit = MAGIC[raw[:4]]
    packets: list[Captured] = []
    at = FILE_HEADER
    while at < len(raw):
        if at + PACKET_HEADER > len(raw):
            raise InterpError("the capture ends inside a packet header", Where(file=name, offset=at))
        seconds, fraction, captured, length = struct.unpack_from(order + "IIII", raw, at)
        start = at + PACKET_HEADER
        if start + captured > len(raw):
            raise InterpError(f"the capture ends inside a packet of {captured} bytes", Where(file=name, offset=at))
        packets.append(Captured(raw[start : start + captured], seconds * 10**9 + fraction * unit, length))
        at = start + captured
    return packets


def write_pcap(path: str | Path, packets: list[bytes]) -> None:
    """An Ethernet capture of `packets`, a second apart, that `read_pcap` and tcpdump read."""
    raw = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, ETHERNET)
    for number, packet in enumerate(packets):
        raw += struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet
    Path(path).write_bytes(raw)
