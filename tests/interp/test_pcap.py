"""Capture files: what is read is what was written, and what is broken names file and offset."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from bpfbench.errors import InterpError
from bpfbench.interp.packet import packet_bytes
from bpfbench.interp.pcap import read_pcap, write_pcap

PACKETS = [bytes(60), bytes(range(100))]


def test_round_trip(tmp_path: Path) -> None:
    write_pcap(tmp_path / "a.pcap", PACKETS)
    assert [p.data for p in read_pcap(tmp_path / "a.pcap")] == PACKETS


def test_big_endian_with_nanoseconds(tmp_path: Path) -> None:
    raw = struct.pack(">IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1) + struct.pack(">IIII", 1, 5, 3, 9) + b"abc"
    (tmp_path / "b.pcap").write_bytes(raw)
    [packet] = read_pcap(tmp_path / "b.pcap")
    assert (packet.data, packet.time_ns, packet.length) == (b"abc", 10**9 + 5, 9)


@pytest.mark.parametrize(
    ("cut", "message"),
    [(0, "not a pcap capture"), (20, "not a pcap capture"),
     (30, "offset 0x18: the capture ends inside a packet header"),
     (50, "offset 0x18: the capture ends inside a packet of 60 bytes")],
)  # fmt: skip
def test_truncated(tmp_path: Path, cut: int, message: str) -> None:
    write_pcap(tmp_path / "c.pcap", PACKETS)
    (tmp_path / "c.pcap").write_bytes((tmp_path / "c.pcap").read_bytes()[:cut])
    with pytest.raises(InterpError, match=message):
        read_pcap(tmp_path / "c.pcap")


def test_pcapng_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "d.pcap").write_bytes(b"\x0a\x0d\x0d\x0a" + bytes(60))
    with pytest.raises(InterpError, match="editcap"):
        read_pcap(tmp_path / "d.pcap")


def test_hex_text() -> None:
    assert packet_bytes("DE:ad be\nef") == b"\xde\xad\xbe\xef"
    with pytest.raises(InterpError, match="not hex digits"):
        packet_bytes("xyz")
