"""Where the kernel keeps what the contexts show: offsets of members of its own structures.

They differ with version and configuration, so they come from the BTF of the kernel in question.  The table below was
read from the BTF of the machine that the profile `linux-6.18` describes; of the recorded kernels only what their
recordings show is known.  Anything else raises `NotSupported` and asks for a BTF.

    >>> layout_of("linux-6.18").member("sk_buff.len")
    (112, 4)

Members are written `structure.member`, nested ones `structure.member.member`; sizes are in bytes.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import STRUCT, UNION
from bpfbench.errors import NotSupported

Member = tuple[int, int]                        # offset, size

# What recipes (ctx_recipes.py) name; `member()` answers for these and, with a BTF, for any other.
TABLES: Final[dict[str, dict[str, Member]]] = {
    "linux-6.18": {
        "MIN_NAPI_ID": (257, 0),                # a constant, not a member: one more than CONFIG_NR_CPUS
        "bpf_array.pptrs": (312, 0), "bpf_array.value": (312, 0), "bpf_cg_run_ctx.retval": (8, 4),
        "bpf_flow_dissector.data": (16, 8), "bpf_flow_dissector.data_end": (24, 8),
        "bpf_flow_dissector.flow_keys": (0, 8), "bpf_lru_node.ref": (19, 1), "bpf_perf_event_data_kern.data": (8, 8),
        "bpf_perf_event_data_kern.regs": (0, 8), "bpf_sk_lookup_kern.dport": (6, 2),
        "bpf_sk_lookup_kern.family": (0, 2), "bpf_sk_lookup_kern.ingress_ifindex": (40, 4),
        "bpf_sk_lookup_kern.protocol": (2, 2), "bpf_sk_lookup_kern.selected_sk": (32, 8),
        "bpf_sk_lookup_kern.sport": (4, 2), "bpf_sk_lookup_kern.v4.daddr": (12, 4),
        "bpf_sk_lookup_kern.v4.saddr": (8, 4), "bpf_sk_lookup_kern.v6.daddr": (24, 8),
        "bpf_sk_lookup_kern.v6.saddr": (16, 8), "bpf_skb_data_end.data_end": (40, 8),
        "bpf_skb_data_end.data_meta": (32, 8), "bpf_sock_addr_kern.sk": (0, 8), "bpf_sock_addr_kern.t_ctx": (24, 8),
        "bpf_sock_addr_kern.tmp_reg": (16, 8), "bpf_sock_addr_kern.uaddr": (8, 8),
        "bpf_sock_ops_kern.is_fullsock": (49, 1), "bpf_sock_ops_kern.is_locked_tcp_sock": (50, 1),
        "bpf_sock_ops_kern.op": (48, 1), "bpf_sock_ops_kern.reply": (8, 4), "bpf_sock_ops_kern.sk": (0, 8),
        "bpf_sock_ops_kern.skb": (32, 8), "bpf_sock_ops_kern.skb_data_end": (40, 8),
        "bpf_sock_ops_kern.temp": (56, 8), "bpf_sockopt_kern.current_task": (40, 8),
        "bpf_sockopt_kern.level": (24, 4), "bpf_sockopt_kern.optlen": (32, 4), "bpf_sockopt_kern.optname": (28, 4),
        "bpf_sockopt_kern.optval": (8, 8), "bpf_sockopt_kern.optval_end": (16, 8), "bpf_sockopt_kern.sk": (0, 8),
        "bpf_sockopt_kern.tmp_reg": (48, 8), "bpf_sysctl_kern.ppos": (56, 8), "bpf_sysctl_kern.tmp_reg": (64, 8),
        "bpf_sysctl_kern.write": (52, 4), "htab_elem.key": (48, 0), "htab_elem.lru_node": (16, 24),
        "inet_connection_sock.icsk_retransmits": (1249, 1), "minmax_sample.v": (4, 4),
        "net_device.ifindex": (224, 4), "perf_sample_data.addr": (184, 8), "perf_sample_data.period": (8, 8),
        "qdisc_skb_cb.data": (8, 20), "qdisc_skb_cb.pkt_len": (0, 4), "qdisc_skb_cb.tc_classid": (6, 2),
        "sk_buff.__cloned_offset": (126, 0), "sk_buff.__mono_tc_offset": (129, 0),
        "sk_buff.__pkt_type_offset": (128, 0), "sk_buff.cb": (40, 48), "sk_buff.data": (200, 8),
        "sk_buff.data_len": (116, 4), "sk_buff.dev": (16, 8), "sk_buff.end": (188, 4), "sk_buff.hash": (148, 4),
        "sk_buff.head": (192, 8), "sk_buff.len": (112, 4), "sk_buff.mark": (164, 4), "sk_buff.napi_id": (156, 4),
        "sk_buff.priority": (140, 4), "sk_buff.protocol": (176, 2), "sk_buff.queue_mapping": (124, 2),
        "sk_buff.sk": (24, 8), "sk_buff.skb_iif": (144, 4), "sk_buff.tc_index": (132, 2), "sk_buff.tstamp": (32, 8),
        "sk_buff.vlan_all": (152, 4), "sk_buff.vlan_proto": (152, 2), "sk_buff.vlan_tci": (154, 2),
        "sk_msg.data": (640, 8), "sk_msg.data_end": (648, 8), "sk_msg.sg": (0, 640), "sk_msg.sk": (688, 8),
        "sk_msg_sg.size": (12, 4), "sk_reuseport_kern.bind_inany": (48, 1), "sk_reuseport_kern.data_end": (32, 8),
        "sk_reuseport_kern.hash": (40, 4), "sk_reuseport_kern.migrating_sk": (24, 8), "sk_reuseport_kern.sk": (8, 8),
        "sk_reuseport_kern.skb": (0, 8), "sk_skb_cb.data": (0, 20), "sk_skb_cb.temp_reg": (40, 8),
        "skb_shared_info.gso_segs": (6, 2), "skb_shared_info.gso_size": (4, 2), "skb_shared_info.hwtstamps": (16, 8),
        "sock.sk_mark": (524, 4), "sock.sk_priority": (520, 4), "sock.sk_protocol": (532, 2),
        "sock.sk_txhash": (564, 4), "sock.sk_type": (534, 2), "sock_common.skc_bound_dev_if": (20, 4),
        "sock_common.skc_daddr": (0, 4), "sock_common.skc_dport": (12, 2), "sock_common.skc_family": (16, 2),
        "sock_common.skc_num": (14, 2), "sock_common.skc_rcv_saddr": (4, 4),
        "sock_common.skc_rx_queue_mapping": (122, 2), "sock_common.skc_state": (18, 1),
        "sock_common.skc_v6_daddr": (56, 16), "sock_common.skc_v6_rcv_saddr": (72, 16), "sockaddr.sa_family": (0, 2),
        "sockaddr_in.sin_addr": (4, 4), "sockaddr_in6.sin6_addr": (8, 16), "sockaddr_in6.sin6_port": (2, 2),
        "task_struct.bpf_ctx": (3008, 8), "tcp_skb_cb.tcp_flags": (12, 2),
        "tcp_sock.bpf_sock_ops_cb_flags": (2232, 1), "tcp_sock.bytes_acked": (1824, 8),
        "tcp_sock.bytes_received": (1752, 8), "tcp_sock.data_segs_in": (1764, 4),
        "tcp_sock.data_segs_out": (1540, 4), "tcp_sock.delivered": (1692, 4), "tcp_sock.delivered_ce": (1696, 4),
        "tcp_sock.dsack_dups": (1864, 4), "tcp_sock.ecn_flags": (1640, 1), "tcp_sock.lost_out": (1452, 4),
        "tcp_sock.mss_cache": (1440, 4), "tcp_sock.packets_out": (1684, 4), "tcp_sock.rate_delivered": (1780, 4),
        "tcp_sock.rate_interval_us": (1784, 4), "tcp_sock.rcv_nxt": (1664, 4), "tcp_sock.retrans_out": (1480, 4),
        "tcp_sock.rtt_min": (1496, 24), "tcp_sock.sacked_out": (1456, 4), "tcp_sock.segs_in": (1760, 4),
        "tcp_sock.segs_out": (1536, 4), "tcp_sock.snd_cwnd": (1444, 4), "tcp_sock.snd_nxt": (1668, 4),
        "tcp_sock.snd_ssthresh": (1492, 4), "tcp_sock.snd_una": (1672, 4), "tcp_sock.srtt_us": (1680, 4),
        "tcp_sock.total_retrans": (2200, 4), "xdp_buff.data": (0, 8), "xdp_buff.data_end": (8, 8),
        "xdp_buff.data_meta": (16, 8), "xdp_buff.rxq": (32, 8), "xdp_buff.txq": (40, 8), "xdp_rxq_info.dev": (0, 8),
        "xdp_rxq_info.queue_index": (8, 4), "xdp_sock.queue_id": (880, 2), "xdp_txq_info.dev": (0, 8),
        "xsk_map.xsk_map": (304, 0),
    },
    "linux-6.12": {"sk_buff.len": (112, 4)},
    "linux-6.1": {"sk_buff.len": (112, 4)},
    "linux-6.1 arm": {"sk_buff.len": (84, 4)},
}


@final
class KernelLayout:
    """Offsets of one kernel: from its BTF if given, else from the table of its profile."""

    __slots__ = ("name", "table", "btf")

    def __init__(self, name: str, table: dict[str, Member], btf: Btf | None = None) -> None:
        self.name = name
        self.table = dict(table)
        self.btf = btf

    def member(self, path: str) -> Member:
        """(offset, size) of `structure.member`; NotSupported when this kernel's layout is not known."""
        found = self.table.get(path)
        if found is None and self.btf is not None:
            found = member_of(self.btf, path)
            if found is not None:
                self.table[path] = found
        if found is None:
            raise NotSupported(f"the offset of {path} in {self.name} is not known; give a BTF of that kernel")
        return found

    def has(self, path: str) -> bool:
        """Whether the structure of this kernel has that member."""
        try:
            self.member(path)
        except NotSupported:
            return False
        return True

    def __repr__(self) -> str:
        return f"KernelLayout({self.name}, {len(self.table)} members{', BTF' if self.btf is not None else ''})"


def layout_of(kernel: str, btf: Btf | None = None) -> KernelLayout:
    """The layout of a profile's kernel; a BTF replaces the profile's table."""
    table = TABLES.get(kernel, {})
    constants = {name: value for name, value in table.items() if "." not in name}
    return KernelLayout(kernel, constants if btf is not None else table, btf)


def member_of(btf: Btf, path: str) -> Member | None:
    """(offset, size) of a member, looked for in anonymous structures and unions as well; None when there is none."""
    head, *names = path.split(".")
    current = btf.find(head, STRUCT) or btf.find(head, UNION)
    offset, size = 0, 0
    for name in names:
        if current is None:
            return None
        found = _within(btf, btf.resolve(current), name)
        if found is None:
            return None
        offset += found[0]
        current = found[1]
        size = btf.size_of(current)
    return offset, size


def _within(btf: Btf, id: int, name: str) -> tuple[int, int] | None:
    t = btf.type(id)
    if t.kind not in (STRUCT, UNION):
        return None
    for member in t.members:
        if member.name == name:
            return member.offset // 8, member.type
        if member.name == "":
            inner = _within(btf, btf.resolve(member.type), name)
            if inner is not None:
                return member.offset // 8 + inner[0], inner[1]
    return None
