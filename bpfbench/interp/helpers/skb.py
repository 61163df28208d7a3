"""Helpers on sk_buffs: loading and storing bytes, checksums, room, headers, tags, metadata (net/core/filter.c)."""

from __future__ import annotations

from errno import EACCES, EALREADY, EFAULT, EINVAL, ENOMEM
from typing import Final

from bpfbench.bits import U32_MAX
from bpfbench.interp.helpers import checksum
from bpfbench.interp.helpers.basic import CGROUP_ROOT
from bpfbench.interp.helpers.row import Row
from bpfbench.interp.packet import ETH_HLEN, Packet
from bpfbench.interp.runtime import Runtime, Sk, sign
from bpfbench.interp.trap import ProgramFault

ENOTSUPP: Final = 524                # the kernel's own, not in errno.h
SKB_MAX_ALLOC: Final = 16064         # SKB_MAX_ORDER(0, 2): order-2 pages less the shared info
INT_MAX: Final = 0x7FFF_FFFF
ETH_P_IP, ETH_P_IPV6, ETH_P_8021Q, ETH_P_8021AD = 0x0008, 0xDD86, 0x0081, 0xA888      # as loaded from the packet
NET_BASE: Final = {ETH_P_IP: 20, ETH_P_IPV6: 40}

# flags
RECOMPUTE_CSUM, INVALIDATE_HASH = 1, 2
HDR_FIELD_MASK: Final = 0xF
PSEUDO_HDR, MARK_MANGLED_0, MARK_ENFORCE, CSUM_IPV6 = 1 << 4, 1 << 5, 1 << 6, 1 << 7
ADJ_FIXED_GSO, ENCAP_IPV4, ENCAP_IPV6, ENCAP_GRE, ENCAP_UDP, ADJ_NO_CSUM_RESET, ENCAP_ETH, DECAP_IPV4, DECAP_IPV6 = (
    1 << n for n in range(9)
)
ENCAP_L2_SHIFT: Final = 56
ADJ_ALL: Final = 0x1FF | 0xFF << ENCAP_L2_SHIFT


def skb_of(rt: Runtime) -> tuple[Packet, Sk]:
    if rt.packet is None or rt.skb is None:
        raise ProgramFault("helper", f"a {rt.program.type} program has no sk_buff")
    return rt.packet, rt.skb


# --------------------------------------------------------------------------------------------------------------- bytes
def skb_load_bytes(rt: Runtime, ctx: int, offset: int, out: int, size: int) -> int:
    packet, _ = skb_of(rt)
    offset, size = offset & U32_MAX, size & U32_MAX
    return _loaded(rt, packet.load(offset, size) if offset <= INT_MAX else None, out, size)


def skb_load_bytes_relative(rt: Runtime, ctx: int, offset: int, out: int, size: int, start: int) -> int:
    packet, skb = skb_of(rt)
    offset, size = offset & U32_MAX, size & U32_MAX
    base = {0: skb.mac, 1: skb.network}.get(start & U32_MAX)
    if base is None or offset > 0xFFFF or base + offset + size > packet.end:
        return _loaded(rt, None, out, size)
    return _loaded(rt, packet.get(base - packet.start + offset, size), out, size)


def _loaded(rt: Runtime, content: bytes | None, out: int, size: int) -> int:
    rt.memory.write(out, content if content is not None else bytes(size))
    return 0 if content is not None else -EFAULT


def skb_store_bytes(rt: Runtime, ctx: int, offset: int, source: int, size: int, flags: int) -> int:
    packet, skb = skb_of(rt)
    offset, size = offset & U32_MAX, size & U32_MAX
    if flags & ~(RECOMPUTE_CSUM | INVALIDATE_HASH):
        return -EINVAL
    if offset > INT_MAX or not packet.store(offset, rt.memory.read(source, size)):
        return -EFAULT
    if flags & INVALIDATE_HASH:
        skb.hash = 0
    return 0


def skb_pull_data(rt: Runtime, ctx: int, size: int) -> int:
    return -ENOMEM if size & U32_MAX > len(skb_of(rt)[0]) else 0


# ----------------------------------------------------------------------------------------------------------- checksums
def _check_at(packet: Packet, offset: int) -> int | None:
    """The 16-bit checksum at `offset`, or None where it may not be."""
    raw = packet.load(offset, 2) if offset <= 0xFFFF and not offset & 1 else None
    return None if raw is None else int.from_bytes(raw, "little")


def l3_csum_replace(rt: Runtime, ctx: int, offset: int, old: int, new: int, flags: int) -> int:
    packet, _ = skb_of(rt)
    offset &= U32_MAX
    if flags & ~HDR_FIELD_MASK:
        return -EINVAL
    check = _check_at(packet, offset)
    if check is None:
        return -EFAULT
    if flags == 0 and old == 0:
        check = checksum.replaced_by_difference(check, new & U32_MAX)
    elif flags == 2:
        check = checksum.replaced2(check, old, new)
    elif flags == 4:
        check = checksum.replaced4(check, old, new)
    else:
        return -EINVAL
    packet.store(offset, check.to_bytes(2, "little"))
    return 0


def l4_csum_replace(rt: Runtime, ctx: int, offset: int, old: int, new: int, flags: int) -> int:
    packet, _ = skb_of(rt)
    offset &= U32_MAX
    if flags & ~(MARK_MANGLED_0 | MARK_ENFORCE | PSEUDO_HDR | CSUM_IPV6 | HDR_FIELD_MASK):
        return -EINVAL
    check = _check_at(packet, offset)
    if check is None:
        return -EFAULT
    if flags & MARK_MANGLED_0 and not flags & MARK_ENFORCE and not check:
        return 0
    size = flags & HDR_FIELD_MASK
    if size == 0 and old == 0:
        check = checksum.replaced_by_difference(check, new & U32_MAX)
    elif size == 2:
        check = checksum.replaced4(check, old & 0xFFFF, new & 0xFFFF)
    elif size == 4:
        check = checksum.replaced4(check, old, new)
    else:
        return -EINVAL
    if flags & MARK_MANGLED_0 and not check:
        check = 0xFFFF
    packet.store(offset, check.to_bytes(2, "little"))
    return 0


def csum_update(rt: Runtime, ctx: int, csum: int) -> int:
    return -ENOTSUPP            # a test run's packet has no hardware checksum


def csum_level(rt: Runtime, ctx: int, level: int) -> int:
    return {0: -EACCES, 1: 0, 2: 0, 3: 0}.get(level, -EINVAL)


# ---------------------------------------------------------------------------------------------------------------- room
def skb_change_tail(rt: Runtime, ctx: int, size: int, flags: int) -> int:
    packet, skb = skb_of(rt)
    size &= U32_MAX
    if flags or size > SKB_MAX_ALLOC or size < max(0, skb.network - packet.start):
        return -EINVAL
    if skb.encapsulation:
        return -ENOTSUPP
    packet.move_end(size - len(packet))
    return 0


def skb_change_head(rt: Runtime, ctx: int, size: int, flags: int) -> int:
    packet, skb = skb_of(rt)
    size &= U32_MAX
    if flags or len(packet) + size > SKB_MAX_ALLOC or packet.start - size < packet.region.base:
        return -EINVAL
    packet.move_start(-size)
    packet.put(0, bytes(size))
    skb.mac = packet.start
    return 0


def _gap(packet: Packet, skb: Sk, at: int, size: int) -> None:
    """Insert (or take out, negative) bytes at offset `at` and keep the header positions."""
    packet.open_gap(at, size)
    skb.mac -= size
    skb.network -= size


def skb_change_proto(rt: Runtime, ctx: int, proto: int, flags: int) -> int:
    packet, skb = skb_of(rt)
    proto &= 0xFFFF
    if flags:
        return -EINVAL
    growth = {(ETH_P_IP, ETH_P_IPV6): 20, (ETH_P_IPV6, ETH_P_IP): -20}.get((skb.protocol, proto))
    if growth is None:
        return -ENOTSUPP
    at = skb.network - skb.mac
    if growth < 0 and at + 20 > len(packet):
        return -ENOMEM
    _gap(packet, skb, at, growth)
    skb.protocol, skb.hash = proto, 0
    return 0


def skb_adjust_room(rt: Runtime, ctx: int, diff: int, mode: int, flags: int) -> int:
    packet, skb = skb_of(rt)
    growth = sign(diff, 32)
    if flags & ~ADJ_ALL:
        return -EINVAL
    if abs(growth) > 0xFFF:
        return -EFAULT
    if skb.protocol not in NET_BASE or mode & U32_MAX > 1:
        return -ENOTSUPP
    at = skb.network - skb.mac + (NET_BASE[skb.protocol] if mode & U32_MAX == 0 else 0)
    least = NET_BASE[skb.protocol]
    decap = flags & (DECAP_IPV4 | DECAP_IPV6)
    if decap:
        if growth >= 0 or decap == DECAP_IPV4 | DECAP_IPV6:
            return -EINVAL
        least = 20 if decap == DECAP_IPV4 else 40
    rest = len(packet) - (skb.network - packet.start)
    if growth < 0 and (-growth >= rest or rest + growth < least):
        return -ENOTSUPP
    if growth >= 0 and len(packet) + growth > SKB_MAX_ALLOC:
        return -ENOTSUPP
    return _shrink(packet, skb, at, -growth, flags) if growth < 0 else _grow(packet, skb, at, growth, flags)


def _shrink(packet: Packet, skb: Sk, at: int, size: int, flags: int) -> int:
    if flags & ~(ADJ_FIXED_GSO | DECAP_IPV4 | DECAP_IPV6 | ADJ_NO_CSUM_RESET):
        return -EINVAL
    if at + size > len(packet):
        return -ENOMEM
    _gap(packet, skb, at, -size)
    if flags & DECAP_IPV6 and skb.protocol == ETH_P_IP:
        skb.protocol = ETH_P_IPV6
    elif flags & DECAP_IPV4 and skb.protocol == ETH_P_IPV6:
        skb.protocol = ETH_P_IP
    return 0


def _grow(packet: Packet, skb: Sk, at: int, size: int, flags: int) -> int:
    encap = flags & (ENCAP_IPV4 | ENCAP_IPV6)
    if encap:
        inner = flags >> ENCAP_L2_SHIFT
        if encap == ENCAP_IPV4 | ENCAP_IPV6 or flags & ENCAP_GRE and flags & ENCAP_UDP:
            return -EINVAL
        if flags & ENCAP_ETH and inner < ETH_HLEN:
            return -EINVAL
        if skb.encapsulation:
            return -EALREADY
        if inner > size:
            return -EINVAL
    mac_len = skb.network - skb.mac
    _gap(packet, skb, at, size)
    if encap:
        skb.encapsulation = True
        skb.network = packet.start + mac_len
        if flags & ENCAP_IPV6 and skb.protocol == ETH_P_IP:
            skb.protocol = ETH_P_IPV6
        elif flags & ENCAP_IPV4 and skb.protocol == ETH_P_IPV6:
            skb.protocol = ETH_P_IP
    return 0


# ----------------------------------------------------------------------------------------------------------- VLAN tags
def skb_vlan_push(rt: Runtime, ctx: int, proto: int, tci: int) -> int:
    packet, skb = skb_of(rt)
    proto &= 0xFFFF
    if skb.vlan_tci >= 0:
        packet.open_gap(12, 4)
        packet.put(12, skb.vlan_proto.to_bytes(2, "little") + skb.vlan_tci.to_bytes(2, "big"))
        skb.mac -= 4
        skb.protocol = skb.vlan_proto
        skb.network -= 4
    skb.vlan_proto = proto if proto in (ETH_P_8021Q, ETH_P_8021AD) else ETH_P_8021Q
    skb.vlan_tci = tci & 0xFFFF
    return 0


def skb_vlan_pop(rt: Runtime, ctx: int) -> int:
    packet, skb = skb_of(rt)
    if skb.vlan_tci >= 0:
        skb.vlan_tci, skb.vlan_proto = -1, 0
    elif skb.protocol not in (ETH_P_8021Q, ETH_P_8021AD):
        return 0
    elif _pop_tag(packet, skb) is None:
        return -ENOMEM
    if skb.protocol not in (ETH_P_8021Q, ETH_P_8021AD):
        return 0
    proto = skb.protocol
    tci = _pop_tag(packet, skb)
    if tci is None:
        return -ENOMEM
    skb.vlan_proto, skb.vlan_tci = proto, tci
    return 0


def _pop_tag(packet: Packet, skb: Sk) -> int | None:
    """Take the tag out of the packet; its TCI, or None for a packet too short for one."""
    if len(packet) < ETH_HLEN + 4:
        return None
    tci = int.from_bytes(packet.get(14, 2), "big")
    inner = int.from_bytes(packet.get(16, 2), "big")
    packet.open_gap(12, -4)
    skb.mac += 4
    skb.protocol = int.from_bytes((inner if inner >= 0x600 else 4).to_bytes(2, "big"), "little")
    skb.network = max(skb.network, packet.start + ETH_HLEN)
    return tci


# ------------------------------------------------------------------------------------------------------------ metadata
def skb_change_type(rt: Runtime, ctx: int, kind: int) -> int:
    skb_of(rt)
    kind &= U32_MAX
    if rt.context is None or kind > 3 or rt.context.get("pkt_type") > 3:
        return -EINVAL
    rt.context.set("pkt_type", kind)
    return 0


def get_hash_recalc(rt: Runtime, ctx: int) -> int:
    return skb_of(rt)[1].hash


def set_hash_invalid(rt: Runtime, ctx: int) -> int:
    skb_of(rt)[1].hash = 0
    return 0


def set_hash(rt: Runtime, ctx: int, value: int) -> int:
    skb_of(rt)[1].hash = value & U32_MAX
    return 0


def skb_set_tstamp(rt: Runtime, ctx: int, tstamp: int, kind: int) -> int:
    _, skb = skb_of(rt)
    if skb.protocol not in NET_BASE:
        return -95
    clock = kind & U32_MAX                 # 0 real time, 1 monotonic, 2 TAI; the last two have no time 0
    if rt.context is None or clock > 2 or clock and not tstamp:
        return -EINVAL
    rt.context.set("tstamp", tstamp)
    rt.context.set("tstamp_type", kind)
    return 0


def root_cgroup(rt: Runtime, *arguments: int) -> int:
    return CGROUP_ROOT


def nothing(rt: Runtime, *arguments: int) -> int:
    return 0


def skb_get_tunnel_key(rt: Runtime, ctx: int, key: int, size: int, flags: int) -> int:
    rt.memory.write(key, bytes(size & U32_MAX))
    return -EINVAL              # the packet came through no tunnel


def skb_set_tunnel_key(rt: Runtime, ctx: int, key: int, size: int, flags: int) -> int:
    rt.memory.read(key, size & U32_MAX)
    rt.notes.append("bpf_skb_set_tunnel_key: no tunnel device takes the key")
    return 0


def skb_ecn_set_ce(rt: Runtime, ctx: int) -> int:
    """Mark congestion: 1 if the packet is (now) marked, 0 if it is not ECN-capable."""
    packet, skb = skb_of(rt)
    at = skb.network - packet.start
    if skb.protocol == ETH_P_IP and at + 20 <= len(packet):
        return _ecn_ipv4(packet, at)
    if skb.protocol == ETH_P_IPV6 and at + 40 <= len(packet):
        word = int.from_bytes(packet.get(at, 4), "big")
        if not word >> 20 & 3:
            return 0
        packet.put(at, (word | 3 << 20).to_bytes(4, "big"))
        return 1
    return 0


def _ecn_ipv4(packet: Packet, at: int) -> int:
    tos = packet.get(at + 1, 1)[0]
    if tos & 3 in (0, 3):
        return int(tos & 3 == 3)
    check = int.from_bytes(packet.get(at + 10, 2), "little")
    delta = int.from_bytes((0xFFFB + (tos + 1 & 3)).to_bytes(2, "big"), "little")
    check = checksum.add16(check, delta)
    packet.put(at + 1, bytes([tos | 3]))
    packet.put(at + 10, check.to_bytes(2, "little"))
    return 1


# name                      function                    arguments
ROWS: Final[list[Row]] = [
    Row("skb_load_bytes",           skb_load_bytes,             4),
    Row("skb_load_bytes_relative",  skb_load_bytes_relative,    5),
    Row("skb_store_bytes",          skb_store_bytes,            5),
    Row("skb_pull_data",            skb_pull_data,              2),
    Row("l3_csum_replace",          l3_csum_replace,            5),
    Row("l4_csum_replace",          l4_csum_replace,            5),
    Row("csum_update",              csum_update,                2),
    Row("csum_level",               csum_level,                 2),
    Row("skb_change_tail",          skb_change_tail,            3),
    Row("skb_change_head",          skb_change_head,            3),
    Row("skb_change_proto",         skb_change_proto,           3),
    Row("skb_adjust_room",          skb_adjust_room,            4),
    Row("skb_vlan_push",            skb_vlan_push,              3),
    Row("skb_vlan_pop",             skb_vlan_pop,               1),
    Row("skb_change_type",          skb_change_type,            2),
    Row("get_hash_recalc",          get_hash_recalc,            1),
    Row("set_hash_invalid",         set_hash_invalid,           1),
    Row("set_hash",                 set_hash,                   2),
    Row("skb_set_tstamp",           skb_set_tstamp,             3),
    Row("skb_get_tunnel_key",       skb_get_tunnel_key,         4),
    Row("skb_set_tunnel_key",       skb_set_tunnel_key,         4),
    Row("skb_ecn_set_ce",           skb_ecn_set_ce,             1),
    Row("get_cgroup_classid",       nothing,                    1),
    Row("skb_cgroup_classid",       nothing,                    1),
    Row("get_route_realm",          nothing,                    1),
    Row("skb_cgroup_id",            root_cgroup,                1),
    Row("skb_ancestor_cgroup_id",   nothing,                    2),
]  # fmt: skip
