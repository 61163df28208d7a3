"""Helpers on XDP buffers: moving the packet's ends, and bytes beyond the linear part (net/core/filter.c)."""

from __future__ import annotations

from errno import EACCES, EFAULT, EINVAL
from typing import Final

from bpfbench.bits import U32_MAX
from bpfbench.interp.helpers.row import Row
from bpfbench.interp.packet import ETH_HLEN, XDP_FRAME_SIZE, XDP_PAGE, Packet
from bpfbench.interp.runtime import Runtime, sign
from bpfbench.interp.trap import ProgramFault

META_MAX: Final = 255                # a skb_shared_info field of 8 bits


def packet_of(rt: Runtime) -> Packet:
    if rt.packet is None or rt.skb is not None:
        raise ProgramFault("helper", f"a {rt.program.type} program has no XDP buffer")
    return rt.packet


def xdp_adjust_head(rt: Runtime, ctx: int, delta: int) -> int:
    packet, delta = packet_of(rt), sign(delta, 32)
    metadata = packet.metadata
    first = packet.region.base + XDP_FRAME_SIZE + len(metadata)
    if packet.start + delta < first or packet.start + delta > packet.end - ETH_HLEN:
        return -EINVAL
    packet.move_start(delta)
    packet.meta = packet.start - len(metadata)
    packet.bounds()
    packet.put(-len(metadata), metadata)
    return 0


def xdp_adjust_tail(rt: Runtime, ctx: int, delta: int) -> int:
    packet, delta = packet_of(rt), sign(delta, 32)
    if packet.frags:
        return _adjust_frags(packet, delta)
    if packet.end + delta > packet.limit or packet.end + delta < packet.start + ETH_HLEN:
        return -EINVAL
    packet.move_end(delta)
    return 0


def _adjust_frags(packet: Packet, delta: int) -> int:
    if delta >= 0:
        if delta > -len(packet.frags) % XDP_PAGE:
            return -EINVAL
        packet.frags += bytes(delta)
        return 0
    if -delta > len(packet) - ETH_HLEN:
        return -EINVAL
    cut = min(-delta, len(packet.frags))
    del packet.frags[len(packet.frags) - cut :]
    packet.move_end(delta + cut)
    return 0


def xdp_adjust_meta(rt: Runtime, ctx: int, delta: int) -> int:
    packet = packet_of(rt)
    meta = packet.meta + sign(delta, 32)
    if meta < packet.region.base + XDP_FRAME_SIZE or meta > packet.start:
        return -EINVAL
    if (packet.start - meta) & 3 or packet.start - meta > META_MAX:
        return -EACCES
    packet.meta = meta
    packet.bounds()
    return 0


def xdp_get_buff_len(rt: Runtime, ctx: int) -> int:
    return len(packet_of(rt))


def xdp_load_bytes(rt: Runtime, ctx: int, offset: int, out: int, size: int) -> int:
    offset, size = offset & U32_MAX, size & U32_MAX
    if offset > 0xFFFF or size > 0xFFFF:
        return -EFAULT
    content = packet_of(rt).load(offset, size)
    if content is None:
        return -EINVAL
    rt.memory.write(out, content)
    return 0


def xdp_store_bytes(rt: Runtime, ctx: int, offset: int, source: int, size: int) -> int:
    offset, size = offset & U32_MAX, size & U32_MAX
    if offset > 0xFFFF or size > 0xFFFF:
        return -EFAULT
    return 0 if packet_of(rt).store(offset, rt.memory.read(source, size)) else -EINVAL


# name                  function            arguments
ROWS: Final[list[Row]] = [
    Row("xdp_adjust_head",      xdp_adjust_head,    2),
    Row("xdp_adjust_tail",      xdp_adjust_tail,    2),
    Row("xdp_adjust_meta",      xdp_adjust_meta,    2),
    Row("xdp_get_buff_len",     xdp_get_buff_len,   1),
    Row("xdp_load_bytes",       xdp_load_bytes,     4),
    Row("xdp_store_bytes",      xdp_store_bytes,    4),
]  # fmt: skip
