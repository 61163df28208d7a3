"""Writes the packet captures: small pcap files for every kind of packet that the programs look at.

Run `python datasets/captures/make.py` to write them again; the files are the same each time.  Every frame is built here
from its fields, checksums included, so that what a program computes can be compared with something right.

    capture       what is in it
    tcp           a handshake, HTTP, a close, a SYN to a closed port, SYN+FIN, RST, ECN
    udp           DNS queries and answers, DHCP, several services, no checksum, empty and long payloads
    icmp          echo requests and answers, unreachable, time exceeded, redirects
    ipv6          TCP, UDP, ICMPv6, extension headers, fragments
    vlan          one tag, two tags, priority tags, IPv6 in a tag
    options       IPv4 options, TCP options
    fragments     first, middle and last fragments, tiny ones
    arp           requests, answers, a probe
    tunnel        IP in IP, GRE, IPv6 in IPv4
    short         cut off inside each header
    malformed     wrong versions, lengths and sums
    flood         many flows, to spread over tables
    mixed         the first two of every kind
"""

from __future__ import annotations

import struct
from pathlib import Path

HOST, PEER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
A, B, C, EVIL, LOOP = "10.0.0.1", "10.0.0.2", "192.168.1.77", "198.51.100.7", "127.0.0.1"
A6, B6 = "20010db8000000000000000000000001", "20010db8000000000000000000000002"


def ip4(text: str) -> bytes:
    return bytes(int(part) for part in text.split("."))


def checksum(raw: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    raw += b"\0" * (len(raw) % 2)
    total = sum(struct.unpack(f">{len(raw) // 2}H", raw))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def eth(payload: bytes, kind: int = 0x0800, src: bytes = PEER, dst: bytes = HOST) -> bytes:
    return dst + src + struct.pack(">H", kind) + payload


def vlan(payload: bytes, tag: int, kind: int = 0x0800) -> bytes:
    """What follows an EtherType of 0x8100: the tag, and the type of what it wraps."""
    return struct.pack(">HH", tag, kind) + payload


def ipv4(
    payload: bytes, protocol: int, src: str = B, dst: str = A, ttl: int = 64, tos: int = 0, options: bytes = b"",
    frag: int = 0, ident: int = 0x1234, version: int = 4, length: int | None = None, ihl: int | None = None,
    bad_sum: bool = False,
) -> bytes:  # fmt: skip
    words = 5 + len(options) // 4 if ihl is None else ihl
    total = 20 + len(options) + len(payload) if length is None else length
    head = struct.pack(">BBHHHBBH", version << 4 | words, tos, total, ident, frag, ttl, protocol, 0)
    head += ip4(src) + ip4(dst) + options
    total_sum = checksum(head) ^ (0x5555 if bad_sum else 0)
    return head[:10] + struct.pack(">H", total_sum) + head[12:] + payload


def pseudo(src: str, dst: str, protocol: int, length: int) -> bytes:
    return ip4(src) + ip4(dst) + struct.pack(">BBH", 0, protocol, length)


def pseudo6(protocol: int, length: int) -> bytes:
    return bytes.fromhex(B6) + bytes.fromhex(A6) + struct.pack(">II", length, protocol)


FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << i for i in range(8))


def tcp(
    sport: int, dport: int, flags: int, seq: int = 1000, ack: int = 0, payload: bytes = b"", options: bytes = b"",
    head: bytes | None = None, doff: int | None = None,
) -> bytes:  # fmt: skip
    words = 5 + len(options) // 4 if doff is None else doff
    raw = struct.pack(">HHIIBBHHH", sport, dport, seq, ack, words << 4, flags, 64240, 0, 0) + options + payload
    front = head if head is not None else pseudo(B, A, 6, len(raw))
    return raw[:16] + struct.pack(">H", checksum(front + raw)) + raw[18:]


def tcp4(sport: int, dport: int, flags: int, src: str = B, dst: str = A, **more: object) -> bytes:
    options, payload = more.get("options", b""), more.get("payload", b"")
    assert isinstance(options, bytes) and isinstance(payload, bytes)
    size = 20 + len(options) + len(payload)
    return eth(ipv4(tcp(sport, dport, flags, head=pseudo(src, dst, 6, size), **more), 6, src, dst))  # type: ignore[arg-type]


def udp(sport: int, dport: int, payload: bytes = b"", front: bytes | None = None, length: int | None = None) -> bytes:
    size = 8 + len(payload) if length is None else length
    raw = struct.pack(">HHHH", sport, dport, size, 0) + payload
    if front is None:
        return raw
    return raw[:6] + struct.pack(">H", checksum(front + raw) or 0xFFFF) + raw[8:]


def udp4(
    sport: int, dport: int, payload: bytes = b"", src: str = B, dst: str = A, tos: int = 0, ttl: int = 64
) -> bytes:
    front = pseudo(src, dst, 17, 8 + len(payload))
    return eth(ipv4(udp(sport, dport, payload, front), 17, src, dst, ttl, tos))


def icmp(kind: int, code: int, rest: bytes) -> bytes:
    raw = struct.pack(">BBH", kind, code, 0) + rest
    return raw[:2] + struct.pack(">H", checksum(raw)) + raw[4:]


def ipv6(payload: bytes, following: int, hops: int = 64, version: int = 6, tclass: int = 0) -> bytes:
    first = version << 28 | tclass << 20
    return struct.pack(">IHBB", first, len(payload), following, hops) + bytes.fromhex(B6) + bytes.fromhex(A6) + payload


def icmp6(kind: int, rest: bytes) -> bytes:
    raw = struct.pack(">BBH", kind, 0, 0) + rest
    return raw[:2] + struct.pack(">H", checksum(pseudo6(58, len(raw)) + raw)) + raw[4:]


def extension(following: int, words: int = 0) -> bytes:
    return bytes([following, words, 1, 4 + 8 * words]) + bytes(4 + 8 * words)


def fragment6(following: int, offset: int, more: int) -> bytes:
    return struct.pack(">BBHI", following, 0, offset << 3 | more, 0xABCD)


def dns(name: str, answer: bool = False, code: int = 0, questions: int = 1) -> bytes:
    flags = (0x8180 | code) if answer else 0x0100
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"
    return struct.pack(">HHHHHH", 0x4242, flags, questions, 0, 0, 0) + labels + struct.pack(">HH", 1, 1)


def arp(kind: int, sender: str, target: str) -> bytes:
    raw = struct.pack(">HHBBH", 1, 0x0800, 6, 4, kind) + PEER + ip4(sender) + bytes(6) + ip4(target)
    return eth(raw, 0x0806, dst=b"\xff" * 6)


# -- the captures ----------------------------------------------------------------------------------------------------

GET = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n"
MSS = bytes([2, 4, 5, 0xB4])
SMALL_MSS = bytes([2, 4, 1, 0])
SYN_OPTIONS = MSS + bytes([4, 2, 8, 10]) + bytes(8) + bytes([1, 3, 3, 7])
ROUTER_ALERT = bytes([148, 4, 0, 0])
TIMESTAMP = bytes([68, 12, 5, 0]) + bytes(8)


def captures() -> dict[str, list[bytes]]:
    quoted = ipv4(udp(53, 33000, b"12345678"), 17)
    six = ipv6(tcp(40000, 80, SYN, head=pseudo6(6, 20)), 6)
    plain = udp4(40000, 53, dns("example.org"))
    found = {
        "tcp": [
            tcp4(40000, 80, SYN),
            tcp4(80, 40000, SYN | ACK, A, B, seq=5000, ack=1001),
            tcp4(40000, 80, ACK, seq=1001, ack=5001),
            tcp4(40000, 80, PSH | ACK, seq=1001, ack=5001, payload=GET),
            tcp4(80, 40000, PSH | ACK, A, B, seq=5001, ack=1038, payload=b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 400),
            tcp4(40000, 80, FIN | ACK, seq=1038, ack=5421),
            tcp4(80, 40000, FIN | ACK, A, B, seq=5421, ack=1039),
            tcp4(40000, 80, ACK, seq=1039, ack=5422),
            tcp4(40001, 23, SYN),
            tcp4(40002, 443, SYN),
            tcp4(40002, 443, ACK, seq=1001, ack=77777),
            tcp4(40003, 80, SYN | FIN),
            tcp4(40004, 22, RST | ACK),
            tcp4(40005, 443, SYN | ECE | CWR),
            tcp4(40006, 80, SYN, EVIL, A),
            tcp4(40007, 80, PSH | ACK, payload=b"POST /form HTTP/1.1\r\n\r\n"),
            tcp4(40008, 25, SYN, C, A),
            tcp4(40009, 8080, PSH | ACK, payload=b"\x16\x03\x01\x02\x00\x01"),
        ],
        "udp": [
            plain,
            udp4(40001, 53, dns("ads.example.com")),
            udp4(40001, 53, dns("ADS.Example.COM")),
            udp4(53, 40000, dns("example.org", answer=True)),
            udp4(53, 40001, dns("nowhere.example", answer=True, code=3)),
            udp4(40002, 53, struct.pack(">HHHHHH", 1, 256, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1"),
            udp4(40003, 53, dns("a." * 30 + "long.example")),
            udp4(68, 67, b"\x01\x01\x06\0" + bytes(232), "0.0.0.0", "255.255.255.255"),
            eth(ipv4(udp(40004, 9000, b"no checksum"), 17)),
            udp4(40005, 9000),
            udp4(4500, 4500, bytes(range(64))),
            udp4(40006, 4500, b"short"),
            udp4(40007, 1234, b"stop here!" + bytes(20)),
            udp4(40008, 1234, bytes(1000), tos=0xB8),
            udp4(40009, 1234, b"\xff\xff" * 8, tos=0x28),
            udp4(40010, 5353, bytes(18), EVIL, A),
            udp4(40011, 80, bytes(30), LOOP, A),
            udp4(40012, 80, bytes(30), C, "10.0.0.100", ttl=1),
            udp4(40012, 80, bytes(30), C, "10.0.0.100", ttl=2),
            udp4(7, 7, b"chargen"),
        ],
        "icmp": [
            eth(ipv4(icmp(8, 0, struct.pack(">HH", 7, 1) + bytes(range(48))), 1)),
            eth(ipv4(icmp(0, 0, struct.pack(">HH", 7, 1) + bytes(range(48))), 1)),
            eth(ipv4(icmp(8, 0, struct.pack(">HH", 0xFFFF, 0xF7FF)), 1, EVIL, A)),
            eth(ipv4(icmp(3, 3, bytes(4) + quoted), 1)),
            eth(ipv4(icmp(11, 0, bytes(4) + quoted), 1, ttl=1)),
            eth(ipv4(icmp(5, 1, ip4(C) + quoted), 1)),
            eth(ipv4(icmp(13, 0, bytes(16)), 1)),
            eth(ipv4(icmp(8, 1, bytes(8)), 1)),
        ],
        "ipv6": [
            eth(six, 0x86DD),
            eth(ipv6(udp(40000, 53, dns("example.org"), pseudo6(17, 8 + len(dns("example.org")))), 17), 0x86DD),
            eth(ipv6(icmp6(128, struct.pack(">HH", 1, 1) + bytes(32)), 58), 0x86DD),
            eth(ipv6(icmp6(129, struct.pack(">HH", 1, 1) + bytes(32)), 58), 0x86DD),
            eth(ipv6(icmp6(135, bytes(4) + bytes.fromhex(A6)), 58, hops=255), 0x86DD),
            eth(ipv6(extension(60) + extension(43, 1) + extension(17) + udp(1, 53, bytes(4)), 0), 0x86DD),
            eth(ipv6(fragment6(17, 0, 1) + udp(40000, 9000, bytes(40), length=2000), 44), 0x86DD),
            eth(ipv6(fragment6(17, 100, 0) + bytes(40), 44), 0x86DD),
            eth(ipv6(b"", 59), 0x86DD),
            eth(ipv6(tcp(1, 80, ACK, head=pseudo6(6, 20)), 6, hops=1), 0x86DD),
            eth(ipv6(udp(5, 5, bytes(10)), 17, tclass=0xB8), 0x86DD),
            eth(ipv6(extension(60) * 6 + extension(6), 60) + bytes(20), 0x86DD),
        ],
        "vlan": [
            eth(vlan(plain[14:], 10), 0x8100),
            eth(vlan(plain[14:], 0x600A), 0x8100),
            eth(vlan(tcp4(1, 80, SYN, EVIL, A)[14:], 20), 0x8100),
            eth(vlan(six, 10, 0x86DD), 0x8100),
            eth(vlan(vlan(plain[14:], 30), 10, 0x8100), 0x88A8),
            eth(vlan(vlan(six, 31, 0x86DD), 11, 0x8100), 0x8100),
            eth(vlan(vlan(vlan(plain[14:], 3), 2, 0x8100), 1, 0x8100), 0x8100),
            eth(vlan(arp(1, B, A)[14:], 10, 0x0806), 0x8100),
        ],
        "options": [
            eth(ipv4(udp(40000, 23, bytes(10)), 17, options=ROUTER_ALERT)),
            eth(ipv4(tcp(40000, 80, SYN, options=SYN_OPTIONS), 6, options=TIMESTAMP)),
            eth(ipv4(tcp(40000, 23, SYN), 6, options=bytes([1] * 40))),
            tcp4(40000, 80, SYN, options=SYN_OPTIONS),
            tcp4(40001, 80, SYN, options=SMALL_MSS),
            tcp4(40002, 80, SYN, options=bytes([1] * 12)),
            tcp4(40003, 80, SYN, options=bytes([30, 12]) + bytes(10) + MSS),
            tcp4(40004, 80, SYN, options=bytes([30, 0, 0, 0])),
            tcp4(40005, 80, ACK, options=bytes([1, 1, 8, 10]) + bytes(8), ack=5),
            tcp4(40006, 80, SYN, options=bytes([1] * 36) + MSS),
        ],
        "fragments": [
            eth(ipv4(udp(40000, 53, bytes(32), length=400), 17, frag=0x2000)),
            eth(ipv4(bytes(40), 17, frag=0x2005)),
            eth(ipv4(bytes(24), 17, frag=0x000A)),
            eth(ipv4(tcp(40000, 23, SYN)[:8], 6, frag=0x2000)),
            eth(ipv4(tcp(40000, 23, SYN)[8:], 6, frag=0x0001)),
            eth(ipv4(icmp(8, 0, bytes(40)), 1, frag=0x2000)),
            eth(ipv4(udp(40000, 53, bytes(8)), 17, frag=0x4000)),
        ],
        "arp": [
            arp(1, B, A), arp(1, B, "10.0.0.200"), arp(1, B, C), arp(2, B, A), arp(1, "0.0.0.0", A),
            eth(struct.pack(">HHBBH", 6, 0x0800, 6, 4, 1) + bytes(20), 0x0806),
        ],
        "tunnel": [
            eth(ipv4(plain[14:], 4, C, A)),
            eth(ipv4(tcp4(1, 80, SYN)[14:], 4, C, A)),
            eth(ipv4(ipv4(plain[14:], 4), 4, C, A)),
            eth(ipv4(struct.pack(">HH", 0, 0x0800) + plain[14:], 47, C, A)),
            eth(ipv4(six, 41, C, A)),
            eth(ipv4(b"", 4, C, A)),
        ],
        "short": [
            plain[:14], plain[:15], plain[:33], plain[:34], plain[:38], plain[:41], plain[:42], plain[:46], plain[:54],
            tcp4(40000, 80, SYN)[:53], eth(six, 0x86DD)[:53], eth(six, 0x86DD)[:54], eth(six, 0x86DD)[:60],
            eth(vlan(plain[14:], 10), 0x8100)[:16], eth(vlan(plain[14:], 10), 0x8100)[:18], arp(1, B, A)[:30],
            eth(b"", 0x9000), plain[:63], plain[:64],
        ],
        "malformed": [
            eth(ipv4(udp(1, 53, bytes(20)), 17, version=5)),
            eth(ipv4(udp(1, 53, bytes(20)), 17, ihl=4)),
            eth(ipv4(udp(1, 53, bytes(20)), 17, ihl=15)),
            eth(ipv4(udp(1, 53, bytes(20)), 17, length=10)),
            eth(ipv4(udp(1, 53, bytes(20), length=4), 17)),
            eth(ipv4(udp(1, 53, bytes(20)), 17, bad_sum=True)),
            eth(ipv4(tcp(1, 80, SYN, doff=3), 6)),
            eth(ipv4(tcp(1, 80, SYN, doff=15), 6)),
            eth(ipv6(bytes(20), 17, version=4), 0x86DD),
            eth(ipv4(tcp(1, 80, 0), 6, ttl=0)),
            eth(bytes(46), 0x0800),
            eth(b"\xff" * 50, 0x0800),
        ],
        "flood": [
            tcp4(1024 + 97 * i, 80, SYN, f"172.16.{i % 7}.{i + 1}", "10.0.0.100", seq=i * 7919) for i in range(40)
        ] + [
            udp4(2000 + 31 * i, 53, bytes([i] * (i % 23)), f"172.17.{i % 5}.{i + 1}", "10.0.0.100") for i in range(24)
        ],
    }  # fmt: skip
    found["mixed"] = [frame for frames in found.values() for frame in frames[:2]]
    return found


def write_pcap(path: Path, frames: list[bytes]) -> None:
    """A classic pcap file, little endian, microseconds, Ethernet."""
    out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for number, frame in enumerate(frames):
        out.append(struct.pack("<IIII", 1_700_000_000, number * 1000, len(frame), len(frame)) + frame)
    path.write_bytes(b"".join(out))


if __name__ == "__main__":
    for name, frames in captures().items():
        write_pcap(Path(__file__).resolve().parent / f"{name}.pcap", frames)
