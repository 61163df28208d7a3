"""What surrounds a running program: its memory, maps, packet and context, the clock, and what it has said and done.

A `Runtime` belongs to one run and knows nothing of how instructions are executed: the interpreter, the emulator and
native code share it, and with it the helpers.  Whoever executes sets `call`, by which helpers run callbacks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Final

from bpfbench.errors import InterpError
from bpfbench.interp.contexts import LAYOUT_OF, PLAIN_SIZE, Context
from bpfbench.interp.map_kinds import make_map, set_entry
from bpfbench.interp.maps import Map
from bpfbench.interp.memory import Memory, Region
from bpfbench.interp.packet import ETH_HLEN, Packet, packet_bytes, skb_packet, xdp_packet
from bpfbench.program.program import MapSpec, Program

ContextGiven = Mapping[str, object] | bytes | None
# where a call into a shared library goes: (the calling program, number of the import) -> (program, slot)
Imports = Callable[[Program, int], tuple[Program, int]]

SKB_TYPES: Final = (
    "socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "sk_skb",
    "flow_dissector",
)  # fmt: skip
L2_TYPES: Final = ("sched_cls", "sched_act")            # those whose data still begins with the Ethernet header
PACKET_TYPES: Final = ("xdp", *SKB_TYPES)
LOOPBACK: Final = 1                                     # ifindex of the device a test run pretends to receive from
DEFAULT_PACKET: Final = bytes(64)                       # the smallest Ethernet frame
PACKET_HOST, PACKET_BROADCAST, PACKET_MULTICAST, PACKET_OTHERHOST = range(4)
ETH_P_802_3_MIN: Final = 0x600
ETH_P_802_2: Final = 0x0004


class Maps:
    """The maps of a run, by index and by name; give them to the next run and they keep their contents."""

    def __init__(self, memory: Memory | None = None, cpus: int = 1) -> None:
        self.memory = memory if memory is not None else Memory()
        self.cpus = cpus
        self.all: list[Map] = []

    def link(self, specs: list[MapSpec]) -> list[Map]:
        """The maps a program refers to: those of the same name and shape that exist, else new ones."""
        return [self._one(spec) for spec in specs]

    def _one(self, spec: MapSpec) -> Map:
        for known in self.all:
            same = (known.type, known.key_size, known.value_size) == (spec.type, spec.key_size, spec.value_size)
            if spec is known.spec or (spec.name and spec.name == known.name and same):
                return known
        fresh = make_map(spec, self.memory, self.cpus)
        self.all.append(fresh)
        return fresh

    def __getitem__(self, which: int | str) -> Map:
        if isinstance(which, int):
            return self.all[which]
        for known in self.all:
            if known.name == which:
                return known
        raise KeyError(which)

    def __iter__(self) -> Iterator[Map]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __repr__(self) -> str:
        return f"Maps({', '.join(repr(m) for m in self.all)})"


class Sk:
    """The headers of an sk_buff: addresses of the link and network header, and what eth_type_trans found."""

    __slots__ = ("network", "mac", "protocol", "vlan_proto", "vlan_tci", "hash", "encapsulation")

    def __init__(self, mac: int, network: int, protocol: int) -> None:
        self.mac = mac
        self.network = network
        self.protocol = protocol            # as in the packet: two bytes in network order
        self.vlan_proto = 0
        self.vlan_tci = -1                  # -1: no tag beside the packet
        self.hash = 0
        self.encapsulation = False


class Runtime:
    """One run's surroundings.

    `call(address, args)` runs a function of the program and returns its r0; set by the engine
    `printed`   what bpf_trace_printk wrote, a line each
    `redirect`  (map name or "", index or ifindex, flags) of the last redirect helper, None before one
    `notes`     what the run did not do for real ("timer … never fires"), for the user to see
    """

    def __init__(self, program: Program, maps: Maps, cpus: int = 1, seed: int = 0) -> None:
        self.program = program
        self.memory = maps.memory
        self.maps = maps
        self.cpus = cpus
        self.cpu = 0
        self.random = Random(seed)
        self.clock: Callable[[], int] = time.monotonic_ns
        self.packet: Packet | None = None
        self.skb: Sk | None = None
        self.context: Context | None = None
        self.context_region: Region | None = None
        self.call: Callable[[int, tuple[int, ...]], int] = _no_callbacks
        self.imports: Imports | None = None
        self.printed: list[str] = []
        self.redirect: tuple[str, int, int] | None = None
        self.notes: list[str] = []
        self.objects: dict[str, int] = {}           # addresses of a task, a socket, … once something asked for them
        self.retval = 0
        self.locks: set[int] = set()

    @property
    def data(self) -> bytes:
        """The packet as the kernel's test run returns it: metadata and Ethernet header included."""
        if self.packet is None:
            return b""
        if self.program.type == "xdp":
            return self.packet.metadata + self.packet.content
        if self.program.type in L2_TYPES:
            return self.packet.content
        return bytes(ETH_HLEN) + self.packet.content

    def object(self, kind: str, size: int) -> int:
        """Address of the one object of its kind (task, socket, …) in this run: zeroed memory."""
        if kind not in self.objects:
            self.objects[kind] = self.memory.add(kind, size).base
        return self.objects[kind]


def _no_callbacks(address: int, args: tuple[int, ...]) -> int:
    raise InterpError("this engine does not run callbacks")


def surroundings(
    program: Program, data: bytes | str = b"", ctx: ContextGiven = None, maps: object = None, cpus: int = 1,
    seed: int = 0, memory: Memory | None = None,
) -> Runtime:  # fmt: skip
    """Everything a run of `program` needs.

    `data` is the packet (networking types) or the context's bytes (all others); `ctx` sets context fields by name, or
    gives the context's bytes; `maps` is the `Maps` of an earlier run, or {map name or index: {key: value}}.
    Raises `InterpError`.
    """
    kept = maps if isinstance(maps, Maps) else Maps(memory, cpus)
    runtime = Runtime(program, kept, kept.cpus, seed)
    linked = kept.link(program.maps)
    if isinstance(maps, Mapping):
        _fill(runtime, linked, maps)
    elif maps is not None and not isinstance(maps, Maps):
        raise InterpError(f"maps must be {{name: {{key: value}}}} or the maps of a run, not {type(maps).__name__}")
    content = packet_bytes(data)
    if program.type in PACKET_TYPES:
        _packet(runtime, content or DEFAULT_PACKET)
    elif content and ctx is None:
        ctx = content
    _context(runtime, ctx)
    return runtime


def _fill(runtime: Runtime, linked: list[Map], given: Mapping[str | int, Mapping[bytes | int, object]]) -> None:
    by_name = {m.name: m for m in linked}
    for which, entries in given.items():
        if isinstance(which, int):
            target = linked[which] if 0 <= which < len(linked) else None
        else:
            target = by_name.get(which)
        if target is None:
            raise InterpError(f"the program has no map {which!r}")
        if not isinstance(entries, Mapping):
            raise InterpError(f"map {which!r}: give {{key: value}}")
        for key, value in entries.items():
            set_entry(target, key, value, runtime.memory, runtime.cpus)


def _packet(runtime: Runtime, content: bytes) -> None:
    kind = runtime.program.type
    if kind == "xdp":
        runtime.packet = xdp_packet(runtime.memory, content)
        return
    runtime.packet = skb_packet(runtime.memory, content, pulled=kind not in L2_TYPES)
    network = runtime.packet.start + (ETH_HLEN if kind in L2_TYPES else 0)
    wire = int.from_bytes(content[12:14], "big")
    protocol = wire if wire >= ETH_P_802_3_MIN else ETH_P_802_2
    runtime.skb = Sk(network - ETH_HLEN, network, int.from_bytes(protocol.to_bytes(2, "big"), "little"))


def _context(runtime: Runtime, given: ContextGiven) -> None:
    layout = LAYOUT_OF.get(runtime.program.type, "memory")
    if layout == "memory":
        raw = given if isinstance(given, bytes) else b""
        if isinstance(given, Mapping):
            raise InterpError(f"{runtime.program.type} programs have no named context fields; give bytes")
        region = runtime.memory.add("ctx", len(raw) or PLAIN_SIZE)
        region.buf[: len(raw)] = raw
        runtime.context_region = region
        return
    context = Context(layout, None)
    defaults = {"xdp_md": _xdp_fields, "__sk_buff": _skb_fields}.get(layout)
    if defaults is not None:
        defaults(runtime, context)
    if isinstance(given, Mapping):
        for name, value in given.items():
            context.set(name, value)
    elif given is not None:
        if len(given) > len(context.raw):
            raise InterpError(f"{len(given)} bytes of context; {layout} has {len(context.raw)}")
        context.raw[: len(given)] = given
    if "sk" in context.fields and layout != "__sk_buff":
        context.compute("sk", lambda: runtime.object("socket", 128))
    runtime.context = context
    runtime.context_region = runtime.memory.add("ctx", len(context.raw), view=context)


def _bounds(runtime: Runtime, context: Context, packet: Packet) -> None:
    context.compute("data", lambda: packet.start)
    context.compute("data_end", lambda: packet.end)
    if "data_meta" in context.fields:
        context.compute("data_meta", lambda: packet.meta)


def _xdp_fields(runtime: Runtime, context: Context) -> None:
    context.set("ingress_ifindex", LOOPBACK)
    if runtime.packet is not None:
        _bounds(runtime, context, runtime.packet)


def _skb_fields(runtime: Runtime, context: Context) -> None:
    packet, skb = runtime.packet, runtime.skb
    if packet is None or skb is None:
        return
    _bounds(runtime, context, packet)
    context.compute("len", lambda: len(packet))
    context.compute("protocol", lambda: skb.protocol)
    context.compute("vlan_present", lambda: int(skb.vlan_tci >= 0))
    context.compute("vlan_tci", lambda: max(skb.vlan_tci, 0))
    context.compute("vlan_proto", lambda: skb.vlan_proto)
    context.compute("hash", lambda: skb.hash)
    context.compute("sk", lambda: runtime.object("socket", 128))
    context.compute("flow_keys", lambda: runtime.object("flow keys", 64))
    context.set("ifindex", LOOPBACK)
    _received(context, packet, skb, runtime.program.type in L2_TYPES)


def _received(context: Context, packet: Packet, skb: Sk, is_l2: bool) -> None:
    """What eth_type_trans and the test run leave in the fields of a freshly received packet."""
    destination = packet.get(0 if is_l2 else -ETH_HLEN, 6)
    if destination == bytes(6):
        kind = PACKET_HOST
    else:
        kind = PACKET_MULTICAST if destination[0] & 1 else PACKET_OTHERHOST
    context.set("pkt_type", kind)
    header = packet.get(skb.network - packet.start, 40)
    if skb.protocol == 0x0008:
        context.set("family", 2)
        context.set("remote_ip4", header[16:20])
        context.set("local_ip4", header[12:16])
    elif skb.protocol == 0xDD86:
        context.set("family", 10)
        context.set("remote_ip6", header[24:40])
        context.set("local_ip6", header[8:24])


def sign(value: int, bits: int = 64) -> int:
    """A register as the signed C integer of that width."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


