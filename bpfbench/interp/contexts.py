"""The context r1 points to: one layout per kind of program, and where its fields come from.

A context is a structure on paper (`struct __sk_buff`, `struct xdp_md`, …): plain fields are bytes that the caller may
set by name; *computed* fields are answered when they are loaded, such as the packet's bounds, which change under the
program.  A field of four bytes that stands for a pointer yields all 64 bits of it, as in the kernel, where the load is
rewritten.

Source: include/uapi/linux/bpf.h; net/core/filter.c `bpf_convert_ctx_access`; arch/x86/include/uapi/asm/ptrace.h.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, final

from bpfbench.bits import U64_MAX
from bpfbench.errors import InterpError
from bpfbench.interp.trap import ProgramFault

# name:size, name:size*count for arrays, :size for padding; offsets follow from the order
_IP: Final = "family:4 remote_ip4:4 local_ip4:4 remote_ip6:4*4 local_ip6:4*4 remote_port:4 local_port:4"
_REGS: Final = (
    "r15:8 r14:8 r13:8 r12:8 bp:8 bx:8 r11:8 r10:8 r9:8 r8:8 ax:8 cx:8 dx:8 si:8 di:8 orig_ax:8 ip:8 cs:8 flags:8 "
    "sp:8 ss:8"
)
LAYOUTS: Final[dict[str, str]] = {
    "xdp_md": "data:4 data_end:4 data_meta:4 ingress_ifindex:4 rx_queue_index:4 egress_ifindex:4",
    "__sk_buff": (
        "len:4 pkt_type:4 mark:4 queue_mapping:4 protocol:4 vlan_present:4 vlan_tci:4 vlan_proto:4 priority:4 "
        "ingress_ifindex:4 ifindex:4 tc_index:4 cb:4*5 hash:4 tc_classid:4 data:4 data_end:4 napi_id:4 " + _IP +
        " data_meta:4 flow_keys:8 tstamp:8 wire_len:4 gso_segs:4 sk:8 gso_size:4 tstamp_type:1 :3 hwtstamp:8"
    ),
    "bpf_sock": (
        "bound_dev_if:4 family:4 type:4 protocol:4 mark:4 priority:4 src_ip4:4 src_ip6:4*4 src_port:4 dst_port:2 :2 "
        "dst_ip4:4 dst_ip6:4*4 state:4 rx_queue_mapping:4"
    ),
    "bpf_sock_addr": (
        "user_family:4 user_ip4:4 user_ip6:4*4 user_port:4 family:4 type:4 protocol:4 msg_src_ip4:4 "
        "msg_src_ip6:4*4 :4 sk:8"
    ),
    "bpf_sock_ops": (
        "op:4 args:4*4 " + _IP + " is_fullsock:4 snd_cwnd:4 srtt_us:4 bpf_sock_ops_cb_flags:4 state:4 rtt_min:4 "
        "snd_ssthresh:4 rcv_nxt:4 snd_nxt:4 snd_una:4 mss_cache:4 ecn_flags:4 rate_delivered:4 rate_interval_us:4 "
        "packets_out:4 retrans_out:4 total_retrans:4 segs_in:4 data_segs_in:4 segs_out:4 data_segs_out:4 lost_out:4 "
        "sacked_out:4 sk_txhash:4 :4 bytes_received:8 bytes_acked:8 sk:8 skb_data:8 skb_data_end:8 skb_len:4 "
        "skb_tcp_flags:4 skb_hwtstamp:8"
    ),
    "sk_msg_md": "data:8 data_end:8 " + _IP + " size:4 sk:8",
    "sk_reuseport_md": (
        "data:8 data_end:8 len:4 eth_protocol:4 ip_protocol:4 bind_inany:4 hash:4 :4 sk:8 migrating_sk:8"
    ),
    "bpf_sk_lookup": (
        "sk:8 family:4 protocol:4 remote_ip4:4 remote_ip6:4*4 remote_port:2 :2 local_ip4:4 local_ip6:4*4 local_port:4 "
        "ingress_ifindex:4"
    ),
    "bpf_sockopt": "sk:8 optval:8 optval_end:8 level:4 optname:4 optlen:4 retval:4",
    "bpf_sysctl": "write:4 file_pos:4",
    "bpf_cgroup_dev_ctx": "access_type:4 major:4 minor:4",
    "pt_regs": _REGS,
    "bpf_perf_event_data": _REGS + " sample_period:8 addr:8",
    "bpf_nf_ctx": "state:8 skb:8",
    "args": " ".join(f"arg{n}:8" for n in range(12)),
    "memory": "",
}  # fmt: skip

# program type -> layout; a type that is not here gets plain memory: whatever bytes the caller passes
LAYOUT_OF: Final[dict[str, str]] = {
    "xdp": "xdp_md",
    "socket_filter": "__sk_buff", "sched_cls": "__sk_buff", "sched_act": "__sk_buff", "cgroup_skb": "__sk_buff",
    "lwt_in": "__sk_buff", "lwt_out": "__sk_buff", "lwt_xmit": "__sk_buff", "lwt_seg6local": "__sk_buff",
    "sk_skb": "__sk_buff", "flow_dissector": "__sk_buff",
    "cgroup_sock": "bpf_sock", "cgroup_sock_addr": "bpf_sock_addr", "sock_ops": "bpf_sock_ops",
    "sk_msg": "sk_msg_md", "sk_reuseport": "sk_reuseport_md", "sk_lookup": "bpf_sk_lookup",
    "cgroup_sockopt": "bpf_sockopt", "cgroup_sysctl": "bpf_sysctl", "cgroup_device": "bpf_cgroup_dev_ctx",
    "kprobe": "pt_regs", "perf_event": "bpf_perf_event_data", "netfilter": "bpf_nf_ctx",
    "raw_tracepoint": "args", "raw_tracepoint_writable": "args", "tracing": "args", "lsm": "args",
    "struct_ops": "args", "ext": "args",
}  # fmt: skip
PLAIN_SIZE: Final = 256          # of a context that is plain memory, when the caller gives none
STORED_BITS: Final = {"tc_index": 16, "queue_mapping": 16}     # stores keep no more than the kernel's field holds

Computed = Callable[[], int]


def fields_of(layout: str) -> dict[str, tuple[int, int, int]]:
    """name -> (offset, size of an element, elements), in order.

    >>> fields_of("xdp_md")["data_end"]
    (4, 4, 1)
    """
    fields: dict[str, tuple[int, int, int]] = {}
    offset = 0
    for item in LAYOUTS[layout].split():
        name, _, shape = item.partition(":")
        size, _, count = shape.partition("*")
        if name:
            fields[name] = (offset, int(size), int(count or 1))
        offset += int(size) * int(count or 1)
    return fields


def size_of(layout: str) -> int:
    return max((off + size * count for off, size, count in fields_of(layout).values()), default=0)


@final
class Context:
    """A context in memory (a `View`): `raw` bytes, and the fields that are computed when they are loaded.

    >>> c = Context("xdp_md", {"rx_queue_index": 3}); c.load(16, 4), c.get("rx_queue_index")
    (3, 3)
    """

    __slots__ = ("layout", "fields", "raw", "_computed", "_starts")

    def __init__(self, layout: str, given: Mapping[str, object] | bytes | None = None, size: int = 0) -> None:
        self.layout = layout
        self.fields = fields_of(layout)
        self.raw: bytearray | memoryview = bytearray(size or size_of(layout))
        self._computed: dict[int, Computed] = {}      # offset of the field -> its value
        self._starts: dict[int, int] = {}             # any offset inside it -> offset of the field
        if isinstance(given, Mapping):
            for name, value in given.items():
                self.set(name, value)
        elif given is not None:
            if len(given) > len(self.raw):
                raise InterpError(f"{len(given)} bytes of context; {layout} has {len(self.raw)}")
            self.raw[: len(given)] = given

    def compute(self, name: str, value: Computed) -> None:
        """Answer loads of a field with `value()` from now on."""
        offset, size, count = self.fields[name]
        self._computed[offset] = value
        self._starts.update(dict.fromkeys(range(offset, offset + size * count), offset))

    def computed(self, name: str) -> int | None:
        """The present value of a computed field; None for a plain one."""
        value = self._computed.get(self.fields[name][0])
        return value() if value is not None else None

    def set(self, name: str, value: object) -> None:
        """Set a field by name to a number, bytes, or a list of numbers (arrays)."""
        if name not in self.fields:
            raise InterpError(f"context {self.layout} has no field {name!r}")
        offset, size, count = self.fields[name]
        if isinstance(value, int):
            raw = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")
        elif isinstance(value, bytes):
            raw = value
        elif isinstance(value, list | tuple):
            raw = b"".join((int(v) & ((1 << 8 * size) - 1)).to_bytes(size, "little") for v in value)
        else:
            raise InterpError(f"context field {name!r} cannot be a {type(value).__name__}")
        if len(raw) > size * count:
            raise InterpError(f"context field {name!r} has {size * count} bytes, not {len(raw)}")
        self.raw[offset : offset + len(raw)] = raw

    def get(self, name: str) -> int:
        """The field's (first element's) value."""
        offset, size, _ = self.fields[name]
        return self.load(offset, size)

    def to_json(self) -> dict[str, object]:
        plain: dict[str, object] = {}
        for name, (offset, size, count) in self.fields.items():
            values = [self.load(offset + n * size, size) for n in range(count)]
            plain[name] = values if count > 1 else values[0]
        return plain

    # --------------------------------------------------------------------------------------------- what programs call
    def load(self, off: int, size: int) -> int:
        if off < 0 or off + size > len(self.raw):
            raise ProgramFault("context", f"read of {size} bytes outside {self.layout}", "ctx", off)
        start = self._starts.get(off)
        if start is None:
            return int.from_bytes(self.raw[off : off + size], "little")
        value = self._computed[start]()
        return value if off == start and size >= 4 else value >> 8 * (off - start) & ((1 << 8 * size) - 1)

    def store(self, off: int, size: int, value: int) -> None:
        if off < 0 or off + size > len(self.raw):
            raise ProgramFault("context", f"write of {size} bytes outside {self.layout}", "ctx", off)
        if off in self._starts:
            raise ProgramFault("context", f"write of {size} bytes to a computed field of {self.layout}", "ctx", off)
        for name, bits in STORED_BITS.items():
            if name in self.fields and self.fields[name][0] == off:
                value &= (1 << bits) - 1
        self.raw[off : off + size] = (value & U64_MAX).to_bytes(8, "little")[:size]
