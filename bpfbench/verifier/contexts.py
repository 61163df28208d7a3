"""The program's context: which bytes of it a program may read or write, and what it gets.

R1 of every program points to a context, a structure that exists only on paper: the program sees `struct __sk_buff`
or `struct xdp_md`, the kernel has `struct sk_buff` or `struct xdp_buff`, and each access is rewritten after
verification (rewrite/ctx_access.py).  So an access is legal only when it names one field in one of the shapes that
the rewriter knows:

      offset   0        4            8        12             40        44        48
    __sk_buff  | len    | pkt_type   | mark   | queue_map … | ifindex | tc_index | cb[0] …
    rule         narrow   narrow       narrow   narrow        narrow    narrow     any size inside cb
    socket       r        r            r        r             r         r          rw
    tc           r        r            rw       rw            r         rw         rw

A layout below is a table with one row per field.  A field has a *shape* (which sizes may be used on it, legend at
`SHAPES`), a *kind* (what a load yields) and, per program type or attach type, whether it may be read and written.
`access()` is the only question that the verifier asks.

Sources: include/uapi/linux/bpf.h (the structures), net/core/filter.c (`*_is_valid_access`), kernel/trace/bpf_trace.c,
kernel/bpf/cgroup.c, kernel/bpf/syscall.c, net/netfilter/nf_bpf_link.c; slides 17, 24, 30.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

if TYPE_CHECKING:
    from bpfbench.program.program import Program

RX_QUEUE_INDEX: Final = 16

# What a load of the field yields -------------------------------------------------------------------------------------

SCALAR: Final = 0
PACKET: Final = 1               # first byte of the packet
PACKET_END: Final = 2
PACKET_META: Final = 3
SOCKET: Final = 4               # struct bpf_sock, full socket
SOCKET_OR_NULL: Final = 5
SOCK_COMMON_OR_NULL: Final = 6  # struct bpf_sock, perhaps a request or time-wait socket
FLOW_KEYS: Final = 7            # struct bpf_flow_keys
TP_BUFFER: Final = 8            # writable raw tracepoint's buffer
BTF_ID: Final = 9               # trusted kernel pointer, structure named in CtxField.struct

KIND_NAMES: Final = ("scalar", "packet", "packet_end", "packet_meta", "socket", "socket_or_null",
                     "sock_common_or_null", "flow_keys", "tp_buffer", "btf_id")

# Shapes: which (offset, size) pairs inside a field of `size` bytes are accesses.  Every access is aligned to its size.
#   =   exactly the field                                  <   1, 2, 4, 8 bytes up to the field's size, anywhere in it
#   ^   as <, but only at the field's first byte           *   any size inside the whole array
#   d   as <, and 8 bytes over two array elements          2   as <, but at least two bytes
#   4   as <, and also 4 bytes at the field's first byte (a 2-byte field that once was 4 bytes)
# A write always covers the whole field; `*` and `d` admit the same pairs as for reads, `d` only 4 and 8 bytes.
SHAPES: Final = "=<^*d24"


@final
class CtxField:
    """One field of a context: `name` of it, byte `off`set and `size`, `kind` of value, `shape`; for BTF_ID `struct`.

    `size` is the size of one element for arrays. `cap_bpf`: only for a process with CAP_BPF.
    """

    __slots__ = ("name", "off", "size", "kind", "shape", "struct", "cap_bpf")

    def __init__(self, name: str, off: int, size: int, kind: int, shape: str, struct: str = "",
                 cap_bpf: bool = False) -> None:
        self.name: Final = name
        self.off: Final = off
        self.size: Final = size
        self.kind: Final = kind
        self.shape: Final = shape
        self.struct: Final = struct
        self.cap_bpf: Final = cap_bpf

    def __repr__(self) -> str:
        return f"CtxField({self.name} at {self.off}, {self.size} bytes, {KIND_NAMES[self.kind]})"


# struct __sk_buff ----------------------------------------------------------------------------------------------------
# columns: S socket_filter  G cgroup_skb  L lwt_*  T sched_cls, sched_act  K sk_skb  F flow_dissector
# r = read, w = read and write, B = read with CAP_BPF, W = read, write with CAP_BPF, . = refused.

_S: Final = SCALAR
SK_BUFF: Final[list[tuple[str, int, int, int, str, int, str, tuple[int, int]]]] = [
    # name            off size  n  shape kind                 SGLTKF    since
    ("len",             0,  4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("pkt_type",        4,  4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("mark",            8,  4,  1, "<", _S,                  "rwww..", (4, 1)),
    ("queue_mapping",  12,  4,  1, "<", _S,                  "rrrwr.", (4, 1)),
    ("protocol",       16,  4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("vlan_present",   20,  4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("vlan_tci",       24,  4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("vlan_proto",     28,  4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("priority",       32,  4,  1, "<", _S,                  "rwwww.", (4, 1)),
    ("ingress_ifindex", 36, 4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("ifindex",        40,  4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("tc_index",       44,  4,  1, "<", _S,                  "rrrww.", (4, 1)),
    ("cb",             48,  4,  5, "*", _S,                  "wwwwr.", (4, 1)),
    ("hash",           68,  4,  1, "<", _S,                  "rrrrr.", (4, 1)),
    ("tc_classid",     72,  4,  1, "<", _S,                  "...w..", (4, 1)),
    ("data",           76,  4,  1, "=", PACKET,              ".Brrrr", (4, 7)),
    ("data_end",       80,  4,  1, "=", PACKET_END,          ".Brrrr", (4, 7)),
    ("napi_id",        84,  4,  1, "<", _S,                  "rrrrr.", (4, 12)),
    ("family",         88,  4,  1, "<", _S,                  ".r..r.", (4, 14)),
    ("remote_ip4",     92,  4,  1, "=", _S,                  ".r..r.", (4, 14)),
    ("local_ip4",      96,  4,  1, "=", _S,                  ".r..r.", (4, 14)),
    ("remote_ip6",    100,  4,  4, "=", _S,                  ".r..r.", (4, 14)),
    ("local_ip6",     116,  4,  4, "=", _S,                  ".r..r.", (4, 14)),
    ("remote_port",   132,  4,  1, "<", _S,                  ".r..r.", (4, 14)),
    ("local_port",    136,  4,  1, "<", _S,                  ".r..r.", (4, 14)),
    ("data_meta",     140,  4,  1, "=", PACKET_META,         "...r..", (4, 15)),
    ("flow_keys",     144,  8,  1, "=", FLOW_KEYS,           ".....r", (4, 20)),
    ("tstamp",        152,  8,  1, "=", _S,                  ".W.w..", (5, 0)),
    ("wire_len",      160,  4,  1, "<", _S,                  "...r..", (5, 0)),
    ("gso_segs",      164,  4,  1, "<", _S,                  "rrrrr.", (5, 1)),
    ("sk",            168,  8,  1, "=", SOCK_COMMON_OR_NULL, "rrrrr.", (5, 1)),
    ("gso_size",      176,  4,  1, "<", _S,                  "rrrrr.", (5, 7)),
    ("tstamp_type",   180,  1,  1, "=", _S,                  "...r..", (5, 18)),
    ("hwtstamp",      184,  8,  1, "=", _S,                  ".r.r..", (5, 16)),
]
SK_BUFF_COLUMN: Final = {
    "socket_filter": 0, "cgroup_skb": 1, "lwt_in": 2, "lwt_out": 2, "lwt_xmit": 2, "lwt_seg6local": 2,
    "sched_cls": 3, "sched_act": 3, "sk_skb": 4, "flow_dissector": 5,
}

# The other contexts --------------------------------------------------------------------------------------------------
# columns: read, write: "y" always, "." never, or a letter of the layout's attach-type sets (ATTACH_SETS).

_Row = tuple[str, int, int, int, str, int, str, str]
LAYOUTS: Final[dict[str, list[_Row]]] = {
    # name                 off size n  shape kind              read write
    "xdp": [
        ("data",             0,  4, 1, "=", PACKET,              "y", "."),
        ("data_end",         4,  4, 1, "=", PACKET_END,          "y", "."),
        ("data_meta",        8,  4, 1, "=", PACKET_META,         "y", "."),
        ("ingress_ifindex", 12,  4, 1, "=", _S,                  "y", "."),
        ("rx_queue_index",  16,  4, 1, "=", _S,                  "y", "."),
        ("egress_ifindex",  20,  4, 1, "=", _S,                  "D", "."),
    ],
    "cgroup_sock": [
        ("bound_dev_if",     0,  4, 1, "=", _S,                  "C", "C"),
        ("family",           4,  4, 1, "^", _S,                  "y", "."),
        ("type",             8,  4, 1, "^", _S,                  "y", "."),
        ("protocol",        12,  4, 1, "^", _S,                  "y", "."),
        ("mark",            16,  4, 1, "=", _S,                  "C", "C"),
        ("priority",        20,  4, 1, "=", _S,                  "C", "C"),
        ("src_ip4",         24,  4, 1, "<", _S,                  "4", "."),
        ("src_ip6",         28,  4, 4, "<", _S,                  "6", "."),
        ("src_port",        44,  4, 1, "^", _S,                  "P", "."),
        ("dst_port",        48,  2, 1, "4", _S,                  "y", "."),
        ("dst_ip4",         52,  4, 1, "<", _S,                  "y", "."),
        ("dst_ip6",         56,  4, 4, "<", _S,                  "y", "."),
        ("state",           72,  4, 1, "^", _S,                  "y", "."),
        ("rx_queue_mapping", 76, 4, 1, "^", _S,                  "y", "."),
    ],
    "cgroup_sock_addr": [
        ("user_family",      0,  4, 1, "=", _S,                  "y", "."),
        ("user_ip4",         4,  4, 1, "<", _S,                  "a", "a"),
        ("user_ip6",         8,  4, 4, "d", _S,                  "b", "b"),
        ("user_port",       24,  4, 1, "<", _S,                  "y", "y"),
        ("family",          28,  4, 1, "=", _S,                  "y", "."),
        ("type",            32,  4, 1, "=", _S,                  "y", "."),
        ("protocol",        36,  4, 1, "=", _S,                  "y", "."),
        ("msg_src_ip4",     40,  4, 1, "<", _S,                  "s", "s"),
        ("msg_src_ip6",     44,  4, 4, "d", _S,                  "t", "t"),
        ("sk",              64,  8, 1, "=", SOCKET,              "y", "."),
    ],
    "sock_ops": [
        ("op",               0,  4, 1, "=", _S,                  "y", "."),
        ("reply",            4,  4, 1, "=", _S,                  "y", "y"),
        ("args",             8,  4, 3, "=", _S,                  "y", "."),
        ("family",          20,  4, 1, "=", _S,                  "y", "."),
        ("remote_ip4",      24,  4, 1, "=", _S,                  "y", "."),
        ("local_ip4",       28,  4, 1, "=", _S,                  "y", "."),
        ("remote_ip6",      32,  4, 4, "=", _S,                  "y", "."),
        ("local_ip6",       48,  4, 4, "=", _S,                  "y", "."),
        ("remote_port",     64,  4, 1, "=", _S,                  "y", "."),
        ("local_port",      68,  4, 1, "=", _S,                  "y", "."),
        ("is_fullsock",     72,  4, 1, "=", _S,                  "y", "."),
        ("snd_cwnd",        76,  4, 1, "=", _S,                  "y", "."),
        ("srtt_us",         80,  4, 1, "=", _S,                  "y", "."),
        ("bpf_sock_ops_cb_flags", 84, 4, 1, "=", _S,             "y", "."),
        ("state",           88,  4, 1, "=", _S,                  "y", "."),
        ("rtt_min",         92,  4, 1, "=", _S,                  "y", "."),
        ("snd_ssthresh",    96,  4, 1, "=", _S,                  "y", "."),
        ("rcv_nxt",        100,  4, 1, "=", _S,                  "y", "."),
        ("snd_nxt",        104,  4, 1, "=", _S,                  "y", "."),
        ("snd_una",        108,  4, 1, "=", _S,                  "y", "."),
        ("mss_cache",      112,  4, 1, "=", _S,                  "y", "."),
        ("ecn_flags",      116,  4, 1, "=", _S,                  "y", "."),
        ("rate_delivered", 120,  4, 1, "=", _S,                  "y", "."),
        ("rate_interval_us", 124, 4, 1, "=", _S,                 "y", "."),
        ("packets_out",    128,  4, 1, "=", _S,                  "y", "."),
        ("retrans_out",    132,  4, 1, "=", _S,                  "y", "."),
        ("total_retrans",  136,  4, 1, "=", _S,                  "y", "."),
        ("segs_in",        140,  4, 1, "=", _S,                  "y", "."),
        ("data_segs_in",   144,  4, 1, "=", _S,                  "y", "."),
        ("segs_out",       148,  4, 1, "=", _S,                  "y", "."),
        ("data_segs_out",  152,  4, 1, "=", _S,                  "y", "."),
        ("lost_out",       156,  4, 1, "=", _S,                  "y", "."),
        ("sacked_out",     160,  4, 1, "=", _S,                  "y", "."),
        ("sk_txhash",      164,  4, 1, "=", _S,                  "y", "y"),
        ("bytes_received", 168,  8, 1, "=", _S,                  "y", "."),
        ("bytes_acked",    176,  8, 1, "=", _S,                  "y", "."),
        ("sk",             184,  8, 1, "=", SOCKET_OR_NULL,      "y", "."),
        ("skb_data",       192,  8, 1, "=", PACKET,              "y", "."),
        ("skb_data_end",   200,  8, 1, "=", PACKET_END,          "y", "."),
        ("skb_len",        208,  4, 1, "=", _S,                  "y", "."),
        ("skb_tcp_flags",  212,  4, 1, "^", _S,                  "y", "."),
        ("skb_hwtstamp",   216,  8, 1, "=", _S,                  "y", "."),
    ],
    "sk_msg": [
        ("data",             0,  8, 1, "=", PACKET,              "y", "."),
        ("data_end",         8,  8, 1, "=", PACKET_END,          "y", "."),
        ("family",          16,  4, 1, "=", _S,                  "y", "."),
        ("remote_ip4",      20,  4, 1, "=", _S,                  "y", "."),
        ("local_ip4",       24,  4, 1, "=", _S,                  "y", "."),
        ("remote_ip6",      28,  4, 4, "=", _S,                  "y", "."),
        ("local_ip6",       44,  4, 4, "=", _S,                  "y", "."),
        ("remote_port",     60,  4, 1, "=", _S,                  "y", "."),
        ("local_port",      64,  4, 1, "=", _S,                  "y", "."),
        ("size",            68,  4, 1, "=", _S,                  "y", "."),
        ("sk",              72,  8, 1, "=", SOCKET,              "y", "."),
    ],
    "sk_reuseport": [
        ("data",             0,  8, 1, "=", PACKET,              "y", "."),
        ("data_end",         8,  8, 1, "=", PACKET_END,          "y", "."),
        ("len",             16,  4, 1, "<", _S,                  "y", "."),
        ("eth_protocol",    20,  4, 1, "2", _S,                  "y", "."),
        ("ip_protocol",     24,  4, 1, "<", _S,                  "y", "."),
        ("bind_inany",      28,  4, 1, "<", _S,                  "y", "."),
        ("hash",            32,  4, 1, "=", _S,                  "y", "."),
        ("sk",              40,  8, 1, "=", SOCKET,              "y", "."),
        ("migrating_sk",    48,  8, 1, "=", SOCK_COMMON_OR_NULL, "y", "."),
    ],
    "sk_lookup": [
        ("sk",               0,  8, 1, "=", SOCKET_OR_NULL,      "y", "."),
        ("family",           8,  4, 1, "<", _S,                  "y", "."),
        ("protocol",        12,  4, 1, "<", _S,                  "y", "."),
        ("remote_ip4",      16,  4, 1, "<", _S,                  "y", "."),
        ("remote_ip6",      20,  4, 4, "<", _S,                  "y", "."),
        ("remote_port",     36,  2, 1, "4", _S,                  "y", "."),
        ("padding",         38,  2, 1, "<", _S,                  "y", "."),
        ("local_ip4",       40,  4, 1, "<", _S,                  "y", "."),
        ("local_ip6",       44,  4, 4, "<", _S,                  "y", "."),
        ("local_port",      60,  4, 1, "<", _S,                  "y", "."),
        ("ingress_ifindex", 64,  4, 1, "<", _S,                  "y", "."),
    ],
    "cgroup_device": [
        ("access_type",      0,  4, 1, "<", _S,                  "y", "."),
        ("major",            4,  4, 1, "=", _S,                  "y", "."),
        ("minor",            8,  4, 1, "=", _S,                  "y", "."),
    ],
    "cgroup_sysctl": [
        ("write",            0,  4, 1, "<", _S,                  "y", "."),
        ("file_pos",         4,  4, 1, "<", _S,                  "y", "y"),
    ],
    "cgroup_sockopt": [
        ("sk",               0,  8, 1, "=", SOCKET,              "y", "."),
        ("optval",           8,  8, 1, "=", PACKET,              "y", "."),
        ("optval_end",      16,  8, 1, "=", PACKET_END,          "y", "."),
        ("level",           24,  4, 1, "=", _S,                  "y", "S"),
        ("optname",         28,  4, 1, "=", _S,                  "y", "S"),
        ("optlen",          32,  4, 1, "=", _S,                  "y", "y"),
        ("retval",          36,  4, 1, "=", _S,                  "G", "G"),
    ],
    "perf_event": [
        ("regs",             0,  8, 21, "=", _S,                 "y", "."),     # struct pt_regs of x86-64
        ("sample_period",  168,  8, 1, "<", _S,                  "y", "."),
        ("addr",           176,  8, 1, "<", _S,                  "y", "."),
    ],
    "netfilter": [
        ("state",            0,  8, 1, "=", BTF_ID,              "y", "."),
        ("skb",              8,  8, 1, "=", BTF_ID,              "y", "."),
    ],
    "lirc_mode2": [
        ("sample",           0,  4, 1, "=", _S,                  "y", "."),
    ],
}
STRUCTS: Final = {("netfilter", "state"): "nf_hook_state", ("netfilter", "skb"): "sk_buff"}

# The numbers are enum bpf_attach_type (progtypes.ATTACH_TYPES has their names).
ATTACH_SETS: Final[dict[str, frozenset[int]]] = {
    "D": frozenset((33,)),                                  # xdp/devmap
    "C": frozenset((2, 34)),                                # cgroup socket create, release
    "4": frozenset((12,)),                                  # IPv4 post_bind
    "6": frozenset((13,)),                                  # IPv6 post_bind
    "P": frozenset((12, 13)),
    "a": frozenset((8, 10, 14, 19, 29, 31)),                # bind4 connect4 sendmsg4 recvmsg4 getpeername4 getsockname4
    "b": frozenset((9, 11, 15, 20, 30, 32)),                # the same for IPv6
    "s": frozenset((14,)),                                  # sendmsg4
    "t": frozenset((15,)),                                  # sendmsg6
    "G": frozenset((21,)),                                  # getsockopt
    "S": frozenset((22,)),                                  # setsockopt
}

# What socket pointers point to ---------------------------------------------------------------------------------------

SOCK_STRUCTS: Final[dict[str, list[tuple[str, int, int, int, str]]]] = {
    "sock": [(n, off, size, count, shape) for n, off, size, count, shape, _, _, _ in LAYOUTS["cgroup_sock"]],
    "tcp_sock": [
        ("snd_cwnd",          0, 4, 1, "="), ("srtt_us",         4, 4, 1, "="), ("rtt_min",         8, 4, 1, "="),
        ("snd_ssthresh",     12, 4, 1, "="), ("rcv_nxt",        16, 4, 1, "="), ("snd_nxt",        20, 4, 1, "="),
        ("snd_una",          24, 4, 1, "="), ("mss_cache",      28, 4, 1, "="), ("ecn_flags",      32, 4, 1, "="),
        ("rate_delivered",   36, 4, 1, "="), ("rate_interval_us", 40, 4, 1, "="), ("packets_out",  44, 4, 1, "="),
        ("retrans_out",      48, 4, 1, "="), ("total_retrans",  52, 4, 1, "="), ("segs_in",        56, 4, 1, "="),
        ("data_segs_in",     60, 4, 1, "="), ("segs_out",       64, 4, 1, "="), ("data_segs_out",  68, 4, 1, "="),
        ("lost_out",         72, 4, 1, "="), ("sacked_out",     76, 4, 1, "="), ("bytes_received", 80, 8, 1, "="),
        ("bytes_acked",      88, 8, 1, "="), ("dsack_dups",     96, 4, 1, "="), ("delivered",     100, 4, 1, "="),
        ("delivered_ce",    104, 4, 1, "="), ("icsk_retransmits", 108, 4, 1, "="),
    ],
    "xdp_sock": [("queue_id", 0, 4, 1, "=")],
}
# Until the socket is known to be a full one, these bytes do not exist.
SOCK_COMMON_HIDDEN: Final = frozenset(("type", "protocol", "mark", "priority"))

SIZEOF: Final[dict[str, int]] = {          # bytes; only for drawing, access() has its own limits
    "sk_buff": 192, "xdp": 24, "cgroup_sock": 80, "cgroup_sock_addr": 72, "sock_ops": 224, "sk_msg": 80,
    "sk_reuseport": 56, "sk_lookup": 72, "cgroup_device": 12, "cgroup_sysctl": 8, "cgroup_sockopt": 40,
    "perf_event": 184, "netfilter": 16, "flow_keys": 56,
}
PT_REGS_SIZE: Final = 168                  # x86-64
TRACE_SIZE: Final = 8192                   # PERF_MAX_TRACE_SIZE
RAW_TP_SIZE: Final = 96                    # 8 * MAX_BPF_FUNC_ARGS
SYSCALL_SIZE: Final = 0xFFFF
FLOW_KEYS_SIZE: Final = 56

# Contexts that are described by BTF of the attach target, not by a table here.
NEEDS_BTF: Final = frozenset(("tracing", "lsm", "struct_ops", "ext"))

_PLAIN: Final = CtxField("args", 0, 8, SCALAR, "*")
_TP_BUFFER: Final = CtxField("buffer", 0, 8, TP_BUFFER, "=")

_Layout = dict[int, CtxField]
_cache: dict[tuple[str, int, tuple[int, int], bool], tuple[_Layout, _Layout]] = {}


def access(prog_type: str, attach_type: int, off: int, size: int, write: bool,
           version: tuple[int, int] = (6, 18), cap_bpf: bool = True) -> CtxField | None:
    """The field that an access of `size` bytes at byte `off` of the context reaches, or None when it is refused.

    Programs whose context comes from BTF (`NEEDS_BTF`) always get None here.

    >>> access("xdp", 0, 4, 4, False)
    CtxField(data_end at 4, 4 bytes, packet_end)
    >>> access("xdp", 0, 4, 8, False) is None
    True
    >>> access("socket_filter", 0, 9, 1, False)
    CtxField(mark at 8, 4 bytes, scalar)
    """
    if off % size:
        return None
    if off < 0:         # tp_prog_is_valid_access compares with an unsigned 8, and so lets reads before the context pass
        return _PLAIN if prog_type == "tracepoint" and not write else None
    if prog_type in _RANGES:
        first, end, writable = _RANGES[prog_type]
        if off < first or off >= end or (write and not writable):
            return None
        if prog_type != "syscall" and prog_type != "tracepoint" and off + size > end:
            return None
        if prog_type == "raw_tracepoint_writable" and off == 0:
            return _TP_BUFFER if size == 8 and not write else None
        return _PLAIN
    if prog_type == "cgroup_sock" and attach_type == 0:
        attach_type = 2                                     # 0 stands for socket creation
    reads, writes = layout(prog_type, attach_type, version, cap_bpf)
    return (writes if write else reads).get(off * 16 + size)


# prog_type: first byte, end, writable.  Any aligned access inside.
_RANGES: Final[dict[str, tuple[int, int, bool]]] = {
    "kprobe":                  (0, PT_REGS_SIZE, False),
    "tracepoint":              (8, TRACE_SIZE, False),
    "raw_tracepoint":          (0, RAW_TP_SIZE, False),
    "raw_tracepoint_writable": (0, RAW_TP_SIZE, False),
    "syscall":                 (0, SYSCALL_SIZE, True),
}


def layout(prog_type: str, attach_type: int, version: tuple[int, int] = (6, 18),
           cap_bpf: bool = True) -> tuple[dict[int, CtxField], dict[int, CtxField]]:
    """All legal reads and writes of a table-described context, keyed by `off * 16 + size`."""
    key = (prog_type, attach_type, version, cap_bpf)
    found = _cache.get(key)
    if found is None:
        found = _cache[key] = _sk_buff(prog_type, version, cap_bpf) if prog_type in SK_BUFF_COLUMN else \
            _table(prog_type, attach_type, version)
    return found


def sock_access(struct: str, off: int, size: int) -> CtxField | None:
    """The field that a read reaches in `sock`, `sock_common`, `tcp_sock` or `xdp_sock`; None when it is refused.

    Programs never write to sockets through such a pointer.

    >>> sock_access("sock", 4, 4)
    CtxField(family at 4, 4 bytes, scalar)
    >>> sock_access("sock_common", 8, 4) is None
    True
    """
    if off < 0 or off % size:
        return None
    return _sock_reads(struct).get(off * 16 + size)


def flow_keys_access(off: int, size: int) -> bool:
    """Whether `size` bytes at `off` lie in struct bpf_flow_keys (any alignment, reads and writes)."""
    return off >= 0 and off + size <= FLOW_KEYS_SIZE


_sock_cache: dict[str, _Layout] = {}


def _sock_reads(struct: str) -> _Layout:
    found = _sock_cache.get(struct)
    if found is None:
        found = {}
        for name, off, size, count, shape in SOCK_STRUCTS["sock" if struct == "sock_common" else struct]:
            if struct == "sock_common" and name in SOCK_COMMON_HIDDEN:
                continue
            _admit(found, name, off, size, count, shape, SCALAR, "", False, False)
        _sock_cache[struct] = found
    return found


def _sk_buff(prog_type: str, version: tuple[int, int], cap_bpf: bool) -> tuple[_Layout, _Layout]:
    reads: _Layout = {}
    writes: _Layout = {}
    column = SK_BUFF_COLUMN[prog_type]
    for name, off, size, count, shape, kind, allowed, since in SK_BUFF:
        right = allowed[column]
        if right == "." or since > version or (right == "B" and not cap_bpf):
            continue
        _admit(reads, name, off, size, count, shape, kind, "", right == "B", False)
        if right == "w" or (right == "W" and cap_bpf):
            _admit(writes, name, off, size, count, shape, kind, "", right == "W", True)
    return reads, writes


def _table(prog_type: str, attach_type: int, version: tuple[int, int]) -> tuple[_Layout, _Layout]:
    reads: _Layout = {}
    writes: _Layout = {}
    for name, off, size, count, shape, kind, read, write in LAYOUTS.get(prog_type, []):
        struct = STRUCTS.get((prog_type, name), "")
        if name == "skb_hwtstamp" and version < (6, 2):
            continue                                        # came with 6.2
        if read == "y" or attach_type in ATTACH_SETS.get(read, ()):
            _admit(reads, name, off, size, count, shape, kind, struct, False, False)
        if write == "y" or attach_type in ATTACH_SETS.get(write, ()):
            _admit(writes, name, off, size, count, shape, kind, struct, False, True)
    return reads, writes


def _admit(into: _Layout, name: str, off: int, size: int, count: int, shape: str, kind: int, struct: str,
           cap_bpf: bool, write: bool) -> None:
    """Add every legal (offset, size) of a field or of each array element."""
    for i in range(count):
        start = off + i * size
        label = name if count == 1 else f"{name}[{i}]"
        field = CtxField(label, start, size, kind, shape, struct, cap_bpf)
        for at in range(start, start + size):
            for bytes_ in (1, 2, 4, 8):
                if at % bytes_ == 0 and _fits(shape, at - start, bytes_, size, at, off + count * size, write):
                    into[at * 16 + bytes_] = field


def _fits(shape: str, inside: int, bytes_: int, size: int, at: int, array_end: int, write: bool) -> bool:
    """Whether `bytes_` bytes, starting `inside` bytes into a field of `size` bytes, are one access of that shape."""
    if shape == "*":
        return at + bytes_ <= array_end
    if shape == "d" and bytes_ == 8:
        return inside == 0 and at + 8 <= array_end
    if write or shape == "=":
        return inside == 0 and bytes_ == size
    if shape == "^":
        return inside == 0 and bytes_ <= size
    if shape == "2":
        return 2 <= bytes_ <= size
    if shape == "4" and bytes_ == 4:
        return inside == 0
    return bytes_ <= size


def offloaded_write(prog: Program, off: int, size: int) -> bool:
    """The one store that only a program on a card may do: an XDP program chooses the queue (`xdp_is_valid_access`)."""
    return prog.ifindex != 0 and prog.type == "xdp" and off == RX_QUEUE_INDEX and size == 4
