"""How each field of a context is read from the kernel's own structures: one row per field.

A recipe is a list of steps that leave the value in the destination register.

    sk_buff.len           load that member, from the context first, from the destination register afterwards
    ?                     if the register is 0, stop here (the next step is skipped)
    << 16, & 7, = 1       w = operation on the value            napi  0 below the smallest NAPI id
    shinfo                the end of the packet's buffer, where struct skb_shared_info lies; ?N skips N instructions
    -1                    the value is the constant -1          queue  -1 for "no queue"

    ("sk_buff", "ifindex")    sk_buff.dev   ?   net_device.ifindex

    r0 = *(u32 *)(r1 +40)     r0 = *(u64 *)(r1 +OFFSET of dev)
                              if r0 == 0x0 goto +1
                              r0 = *(u32 *)(r0 +OFFSET of ifindex)

`size` is the size of the value that the kernel has (a narrow read is cut from it); `@` marks addresses whose elements
are addressed by the access, `write` the store if one is allowed.

Source: net/core/filter.c (`bpf_convert_ctx_access`, `xdp_convert_ctx_access`, `bpf_sock_convert_ctx_access`, …).
"""

from __future__ import annotations

from typing import Final

# steps, size of the kernel's value (0: as loaded), member to write or ""
Recipe = tuple[str, int, str]

_SK: Final = "sk_buff.sk"
SK_BUFF: Final[dict[str, Recipe]] = {
    # field            steps                                              size  write
    "len":             ("sk_buff.len",                                      4, ""),
    "pkt_type":        ("sk_buff.__pkt_type_offset:1 & 7",                  1, ""),
    "mark":            ("sk_buff.mark",                                     4, "sk_buff.mark"),
    "queue_mapping":   ("sk_buff.queue_mapping",                            2, "sk_buff.queue_mapping"),
    "protocol":        ("sk_buff.protocol",                                 2, ""),
    "vlan_present":    ("sk_buff.vlan_all ? =1",                            4, ""),
    "vlan_tci":        ("sk_buff.vlan_tci",                                 2, ""),
    "vlan_proto":      ("sk_buff.vlan_proto",                               2, ""),
    "priority":        ("sk_buff.priority",                                 4, "sk_buff.priority"),
    "ingress_ifindex": ("sk_buff.skb_iif",                                  4, ""),
    "ifindex":         ("sk_buff.dev ? net_device.ifindex",                 4, ""),
    "tc_index":        ("sk_buff.tc_index",                                 2, "sk_buff.tc_index"),
    "cb":              ("@sk_buff.cb+qdisc_skb_cb.data",                    0, "@sk_buff.cb+qdisc_skb_cb.data"),
    "hash":            ("sk_buff.hash",                                     4, ""),
    "tc_classid":      ("sk_buff.cb+qdisc_skb_cb.tc_classid:2",             2, "sk_buff.cb+qdisc_skb_cb.tc_classid:2"),
    "data":            ("sk_buff.data",                                     8, ""),
    "data_end":        ("sk_buff.cb+bpf_skb_data_end.data_end:8",           8, ""),
    "data_meta":       ("sk_buff.cb+bpf_skb_data_end.data_meta:8",          8, ""),
    "napi_id":         ("sk_buff.napi_id napi",                             4, ""),
    "family":          (_SK + " sock_common.skc_family",                    2, ""),
    "remote_ip4":      (_SK + " sock_common.skc_daddr",                     4, ""),
    "local_ip4":       (_SK + " sock_common.skc_rcv_saddr",                 4, ""),
    "remote_ip6":      (_SK + " @sock_common.skc_v6_daddr:4",               4, ""),
    "local_ip6":       (_SK + " @sock_common.skc_v6_rcv_saddr:4",           4, ""),
    "remote_port":     (_SK + " sock_common.skc_dport << 16",               2, ""),
    "local_port":      (_SK + " sock_common.skc_num",                       2, ""),
    "tstamp":          ("tstamp",                                           8, "tstamp"),
    "tstamp_type":     ("sk_buff.__mono_tc_offset:1 & 3",                   1, ""),
    "wire_len":        ("sk_buff.cb+qdisc_skb_cb.pkt_len:4",                4, ""),
    "gso_segs":        ("shinfo skb_shared_info.gso_segs",                  2, ""),
    "gso_size":        ("shinfo skb_shared_info.gso_size",                  2, ""),
    "hwtstamp":        ("shinfo skb_shared_info.hwtstamps",                 8, ""),
    "sk":              (_SK,                                                8, ""),
}
# Programs that always run with a device need no check for it.
TC_IFINDEX: Final[Recipe] = ("sk_buff.dev net_device.ifindex", 4, "")

FLOW: Final[dict[str, Recipe]] = {
    "data":            ("bpf_flow_dissector.data",                          8, ""),
    "data_end":        ("bpf_flow_dissector.data_end",                      8, ""),
    "flow_keys":       ("bpf_flow_dissector.flow_keys",                     8, ""),
}
XDP: Final[dict[str, Recipe]] = {
    "data":            ("xdp_buff.data",                                    8, ""),
    "data_end":        ("xdp_buff.data_end",                                8, ""),
    "data_meta":       ("xdp_buff.data_meta",                               8, ""),
    "ingress_ifindex": ("xdp_buff.rxq xdp_rxq_info.dev net_device.ifindex", 4, ""),
    "rx_queue_index":  ("xdp_buff.rxq xdp_rxq_info.queue_index",            4, ""),
    "egress_ifindex":  ("xdp_buff.txq xdp_txq_info.dev net_device.ifindex", 4, ""),
}
SOCK: Final[dict[str, Recipe]] = {
    "bound_dev_if":    ("sock_common.skc_bound_dev_if",                     4, "sock_common.skc_bound_dev_if"),
    "family":          ("sock_common.skc_family",                           2, ""),
    "type":            ("sock.sk_type",                                     2, ""),
    "protocol":        ("sock.sk_protocol",                                 2, ""),
    "mark":            ("sock.sk_mark",                                     4, "sock.sk_mark"),
    "priority":        ("sock.sk_priority",                                 4, "sock.sk_priority"),
    "src_ip4":         ("*sock_common.skc_rcv_saddr:4",                     4, ""),
    "src_ip6":         ("*@sock_common.skc_v6_rcv_saddr:4",                 4, ""),
    "src_port":        ("sock_common.skc_num",                              2, ""),
    "dst_port":        ("sock_common.skc_dport",                            2, ""),
    "dst_ip4":         ("*sock_common.skc_daddr:4",                         4, ""),
    "dst_ip6":         ("*@sock_common.skc_v6_daddr:4",                     4, ""),
    "state":           ("sock_common.skc_state",                            1, ""),
    "rx_queue_mapping": ("sock_common.skc_rx_queue_mapping queue",          0, ""),
}
TCP_SOCK: Final[dict[str, Recipe]] = {
    name: (f"tcp_sock.{name}", 0, "") for name in (
        "snd_cwnd srtt_us snd_ssthresh rcv_nxt snd_nxt snd_una mss_cache ecn_flags rate_delivered rate_interval_us "
        "packets_out retrans_out total_retrans segs_in data_segs_in segs_out data_segs_out lost_out sacked_out "
        "bytes_received bytes_acked dsack_dups delivered delivered_ce").split()
}
TCP_SOCK["rtt_min"] = ("tcp_sock.rtt_min+minmax_sample.v:4", 4, "")
TCP_SOCK["icsk_retransmits"] = ("inet_connection_sock.icsk_retransmits", 0, "")
XDP_SOCK: Final[dict[str, Recipe]] = {"queue_id": ("xdp_sock.queue_id", 2, "")}
SK_MSG: Final[dict[str, Recipe]] = {
    "data":            ("sk_msg.data",                                      8, ""),
    "data_end":        ("sk_msg.data_end",                                  8, ""),
    "family":          ("sk_msg.sk sock_common.skc_family",                 2, ""),
    "remote_ip4":      ("sk_msg.sk sock_common.skc_daddr",                  4, ""),
    "local_ip4":       ("sk_msg.sk sock_common.skc_rcv_saddr",              4, ""),
    "remote_ip6":      ("sk_msg.sk @sock_common.skc_v6_daddr:4",            4, ""),
    "local_ip6":       ("sk_msg.sk @sock_common.skc_v6_rcv_saddr:4",        4, ""),
    "remote_port":     ("sk_msg.sk sock_common.skc_dport << 16",            2, ""),
    "local_port":      ("sk_msg.sk sock_common.skc_num",                    2, ""),
    "size":            ("sk_msg.sg+sk_msg_sg.size:4",                       4, ""),
    "sk":              ("sk_msg.sk",                                        8, ""),
}
SK_REUSEPORT: Final[dict[str, Recipe]] = {
    "data":            ("sk_reuseport_kern.skb sk_buff.data",               8, ""),
    "data_end":        ("sk_reuseport_kern.data_end",                       8, ""),
    "len":             ("sk_reuseport_kern.skb sk_buff.len",                4, ""),
    "eth_protocol":    ("sk_reuseport_kern.skb sk_buff.protocol",           2, ""),
    "ip_protocol":     ("sk_reuseport_kern.sk sock.sk_protocol",            2, ""),
    "bind_inany":      ("sk_reuseport_kern.bind_inany",                     1, ""),
    "hash":            ("sk_reuseport_kern.hash",                           4, ""),
    "sk":              ("sk_reuseport_kern.sk",                             8, ""),
    "migrating_sk":    ("sk_reuseport_kern.migrating_sk",                   8, ""),
}
SK_LOOKUP: Final[dict[str, Recipe]] = {
    "sk":              ("bpf_sk_lookup_kern.selected_sk",                   8, ""),
    "family":          ("bpf_sk_lookup_kern.family",                        2, ""),
    "protocol":        ("bpf_sk_lookup_kern.protocol",                      2, ""),
    "remote_ip4":      ("bpf_sk_lookup_kern.v4.saddr",                      4, ""),
    "remote_ip6":      ("bpf_sk_lookup_kern.v6.saddr:8 ? @0:4",             4, ""),
    "remote_port":     ("bpf_sk_lookup_kern.sport",                         2, ""),
    "padding":         ("=0",                                               2, ""),
    "local_ip4":       ("bpf_sk_lookup_kern.v4.daddr",                      4, ""),
    "local_ip6":       ("bpf_sk_lookup_kern.v6.daddr:8 ? @0:4",             4, ""),
    "local_port":      ("bpf_sk_lookup_kern.dport",                         2, ""),
    "ingress_ifindex": ("bpf_sk_lookup_kern.ingress_ifindex",               4, ""),
}
PERF_EVENT: Final[dict[str, Recipe]] = {
    "sample_period":   ("bpf_perf_event_data_kern.data perf_sample_data.period", 8, ""),
    "addr":            ("bpf_perf_event_data_kern.data perf_sample_data.addr", 8, ""),
    "regs":            ("bpf_perf_event_data_kern.regs @0:8",               8, ""),
}
CGROUP_SOCKOPT: Final[dict[str, Recipe]] = {
    "sk":              ("bpf_sockopt_kern.sk",                              8, ""),
    "optval":          ("bpf_sockopt_kern.optval",                          8, ""),
    "optval_end":      ("bpf_sockopt_kern.optval_end",                      8, ""),
    "level":           ("bpf_sockopt_kern.level",                           4, "bpf_sockopt_kern.level"),
    "optname":         ("bpf_sockopt_kern.optname",                         4, "bpf_sockopt_kern.optname"),
    "optlen":          ("bpf_sockopt_kern.optlen",                          4, "bpf_sockopt_kern.optlen"),
    "retval":          ("bpf_sockopt_kern.current_task task_struct.bpf_ctx bpf_cg_run_ctx.retval", 4,
                        "nested:bpf_sockopt_kern.tmp_reg"),
}
CGROUP_SYSCTL: Final[dict[str, Recipe]] = {
    "write":           ("*bpf_sysctl_kern.write:4",                         4, ""),
    "file_pos":        ("bpf_sysctl_kern.ppos *0:4",                        4, "nested:bpf_sysctl_kern.tmp_reg"),
}
# `full:` members are read from a full socket only, and are 0 otherwise (sock_ops.py).
_OPS_SK: Final = "bpf_sock_ops_kern.sk"
SOCK_OPS: Final[dict[str, Recipe]] = {
    "op":              ("bpf_sock_ops_kern.op",                             1, ""),
    "reply":           ("bpf_sock_ops_kern.reply:4",                        4, "bpf_sock_ops_kern.reply:4"),
    "args":            ("@bpf_sock_ops_kern.reply+4:4",                     4, ""),
    "family":          (_OPS_SK + " sock_common.skc_family",                2, ""),
    "remote_ip4":      (_OPS_SK + " sock_common.skc_daddr",                 4, ""),
    "local_ip4":       (_OPS_SK + " sock_common.skc_rcv_saddr",             4, ""),
    "remote_ip6":      (_OPS_SK + " @sock_common.skc_v6_daddr:4",           4, ""),
    "local_ip6":       (_OPS_SK + " @sock_common.skc_v6_rcv_saddr:4",       4, ""),
    "remote_port":     (_OPS_SK + " sock_common.skc_dport << 16",           2, ""),
    "local_port":      (_OPS_SK + " sock_common.skc_num",                   2, ""),
    "is_fullsock":     ("bpf_sock_ops_kern.is_fullsock",                    1, ""),
    "state":           (_OPS_SK + " sock_common.skc_state",                 1, ""),
    "rtt_min":         ("rtt:tcp_sock.rtt_min+minmax_sample.v:4",          4, ""),
    "bpf_sock_ops_cb_flags": ("full:tcp_sock.bpf_sock_ops_cb_flags",        1, ""),
    "sk_txhash":       ("full:sock.sk_txhash",                              4, "full:sock.sk_txhash"),
    **{name: (f"full:tcp_sock.{name}", 0, "") for name in (
        "snd_cwnd srtt_us snd_ssthresh rcv_nxt snd_nxt snd_una mss_cache ecn_flags rate_delivered rate_interval_us "
        "packets_out retrans_out total_retrans segs_in data_segs_in segs_out data_segs_out lost_out sacked_out "
        "bytes_received bytes_acked").split()},
    "sk":              ("full:",                                            8, ""),
    "skb_data":        ("bpf_sock_ops_kern.skb ? sk_buff.data",             8, ""),
    "skb_data_end":    ("bpf_sock_ops_kern.skb_data_end",                   8, ""),
    "skb_len":         ("bpf_sock_ops_kern.skb ? sk_buff.len",              4, ""),
    "skb_tcp_flags":   ("bpf_sock_ops_kern.skb ? sk_buff.cb+tcp_skb_cb.tcp_flags", 0, ""),
    "skb_hwtstamp":    ("bpf_sock_ops_kern.skb ?4 shinfo skb_shared_info.hwtstamps", 8, ""),
}
SK_SKB: Final[dict[str, Recipe]] = {
    **SK_BUFF,
    "cb":              ("@sk_buff.cb+sk_skb_cb.data",                       0, "@sk_buff.cb+sk_skb_cb.data"),
    "data_end":        ("linear_end",                                       8, ""),
}
SOCK_ADDR: Final[dict[str, Recipe]] = {
    "user_family":     ("bpf_sock_addr_kern.uaddr sockaddr.sa_family",      2, ""),
    "family":          ("bpf_sock_addr_kern.sk sock_common.skc_family",     2, ""),
    "type":            ("bpf_sock_addr_kern.sk sock.sk_type",               2, ""),
    "protocol":        ("bpf_sock_addr_kern.sk sock.sk_protocol",           2, ""),
    "sk":              ("bpf_sock_addr_kern.sk",                            8, ""),
    "user_ip4":        ("bpf_sock_addr_kern.uaddr *sockaddr_in.sin_addr:4", 4, "nested:bpf_sock_addr_kern.tmp_reg"),
    "user_ip6":        ("bpf_sock_addr_kern.uaddr *@sockaddr_in6.sin6_addr:4", 4, "nested:bpf_sock_addr_kern.tmp_reg"),
    "user_port":       ("bpf_sock_addr_kern.uaddr *sockaddr_in6.sin6_port:2", 2, "nested:bpf_sock_addr_kern.tmp_reg"),
    "msg_src_ip4":     ("bpf_sock_addr_kern.t_ctx *0:4",                    4, "nested:bpf_sock_addr_kern.tmp_reg"),
    "msg_src_ip6":     ("bpf_sock_addr_kern.t_ctx *@0:4",                   4, "nested:bpf_sock_addr_kern.tmp_reg"),
}

_SKB_TYPES: Final = ("socket_filter", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local", "sched_cls",
                     "sched_act")
BY_TYPE: Final[dict[str, dict[str, Recipe]]] = {
    **{name: SK_BUFF for name in _SKB_TYPES},
    "flow_dissector": FLOW, "xdp": XDP, "cgroup_sock": SOCK, "sk_msg": SK_MSG, "sk_reuseport": SK_REUSEPORT,
    "sk_lookup": SK_LOOKUP, "perf_event": PERF_EVENT, "cgroup_sockopt": CGROUP_SOCKOPT, "cgroup_sock_addr": SOCK_ADDR,
    "cgroup_sysctl": CGROUP_SYSCTL, "sock_ops": SOCK_OPS, "sk_skb": SK_SKB,
}
BY_POINTER: Final[dict[str, dict[str, Recipe]]] = {
    "socket": SOCK, "sock_common": SOCK, "tcp_sock": TCP_SOCK, "xdp_sock": XDP_SOCK,
}
# Types whose context is the kernel's own structure: nothing to convert.
PLAIN: Final = frozenset(("kprobe", "tracepoint", "raw_tracepoint", "raw_tracepoint_writable", "syscall", "netfilter",
                          "cgroup_device", "lirc_mode2", "tracing", "lsm", "struct_ops", "ext"))
