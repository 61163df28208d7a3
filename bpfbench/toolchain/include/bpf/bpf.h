/* SPDX-License-Identifier: BSD-3-Clause */
/* What programs and kernel agree on: program contexts, map types, return codes, flags.
 * The layouts are those of the kernel's user interface (include/uapi/linux/bpf.h), whose numbers never change. */
#ifndef BPFBENCH_BPF_H
#define BPFBENCH_BPF_H

#include <bpf/types.h>

enum bpf_map_type {
	BPF_MAP_TYPE_UNSPEC, BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_PROG_ARRAY,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_STACK_TRACE,
	BPF_MAP_TYPE_CGROUP_ARRAY, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_LPM_TRIE,
	BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS, BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_SOCKMAP,
	BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP, BPF_MAP_TYPE_SOCKHASH, BPF_MAP_TYPE_CGROUP_STORAGE,
	BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK,
	BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_STRUCT_OPS, BPF_MAP_TYPE_RINGBUF,
	BPF_MAP_TYPE_INODE_STORAGE, BPF_MAP_TYPE_TASK_STORAGE, BPF_MAP_TYPE_BLOOM_FILTER, BPF_MAP_TYPE_USER_RINGBUF,
	BPF_MAP_TYPE_CGRP_STORAGE, BPF_MAP_TYPE_ARENA,
};

/* update flags */
#define BPF_ANY     0
#define BPF_NOEXIST 1
#define BPF_EXIST   2
#define BPF_F_LOCK  4

/* map creation flags */
#define BPF_F_NO_PREALLOC     (1U << 0)
#define BPF_F_NO_COMMON_LRU   (1U << 1)
#define BPF_F_RDONLY          (1U << 3)
#define BPF_F_WRONLY          (1U << 4)
#define BPF_F_ZERO_SEED       (1U << 6)
#define BPF_F_RDONLY_PROG     (1U << 7)
#define BPF_F_WRONLY_PROG     (1U << 8)
#define BPF_F_MMAPABLE        (1U << 10)
#define BPF_F_INNER_MAP       (1U << 12)

/* helper flags */
#define BPF_F_RECOMPUTE_CSUM  (1ULL << 0)
#define BPF_F_INVALIDATE_HASH (1ULL << 1)
#define BPF_F_HDR_FIELD_MASK  0xfULL
#define BPF_F_PSEUDO_HDR      (1ULL << 4)
#define BPF_F_MARK_MANGLED_0  (1ULL << 5)
#define BPF_F_INGRESS         (1ULL << 0)
#define BPF_F_CURRENT_CPU     0xffffffffULL
#define BPF_F_CURRENT_NETNS   (-1L)
#define BPF_F_USER_STACK      (1ULL << 8)
#define BPF_RB_NO_WAKEUP      (1ULL << 0)
#define BPF_RB_FORCE_WAKEUP   (1ULL << 1)
#define BPF_RB_AVAIL_DATA     0
#define BPF_LOCAL_STORAGE_GET_F_CREATE (1ULL << 0)

enum xdp_action { XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX, XDP_REDIRECT };

#define TC_ACT_UNSPEC     (-1)
#define TC_ACT_OK         0
#define TC_ACT_RECLASSIFY 1
#define TC_ACT_SHOT       2
#define TC_ACT_PIPE       3
#define TC_ACT_STOLEN     4
#define TC_ACT_REDIRECT   7

struct xdp_md {
	__u32 data, data_end, data_meta;
	__u32 ingress_ifindex, rx_queue_index, egress_ifindex;
};

struct bpf_sock {
	__u32  bound_dev_if, family, type, protocol, mark, priority;
	__u32  src_ip4, src_ip6[4], src_port;
	__be16 dst_port;
	__u16  : 16;
	__u32  dst_ip4, dst_ip6[4], state;
	__s32  rx_queue_mapping;
};

struct bpf_flow_keys;

struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto, priority;
	__u32 ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end, napi_id;
	__u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port;
	__u32 data_meta;
	struct bpf_flow_keys *flow_keys __attribute__((aligned(8)));
	__u64 tstamp;
	__u32 wire_len, gso_segs;
	struct bpf_sock *sk __attribute__((aligned(8)));
	__u32 gso_size;
	__u8  tstamp_type;
	__u32 : 24;
	__u64 hwtstamp;
};

struct bpf_sock_addr {
	__u32 user_family, user_ip4, user_ip6[4], user_port, family, type, protocol, msg_src_ip4, msg_src_ip6[4];
	struct bpf_sock *sk __attribute__((aligned(8)));
};

struct bpf_sock_tuple {
	union {
		struct { __be32 saddr, daddr; __be16 sport, dport; } ipv4;
		struct { __be32 saddr[4], daddr[4]; __be16 sport, dport; } ipv6;
	};
};

struct bpf_sock_ops {
	__u32 op;
	union { __u32 args[4], reply, replylong[4]; };
	__u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port, is_fullsock;
	__u32 snd_cwnd, srtt_us, bpf_sock_ops_cb_flags, state, rtt_min, snd_ssthresh, rcv_nxt, snd_nxt, snd_una;
	__u32 mss_cache, ecn_flags, rate_delivered, rate_interval_us, packets_out, retrans_out, total_retrans;
	__u32 segs_in, data_segs_in, segs_out, data_segs_out, lost_out, sacked_out, sk_txhash;
	__u64 bytes_received, bytes_acked;
	struct bpf_sock *sk __attribute__((aligned(8)));
	void *skb_data __attribute__((aligned(8)));
	void *skb_data_end __attribute__((aligned(8)));
	__u32 skb_len, skb_tcp_flags;
	__u64 skb_hwtstamp;
};

struct bpf_sysctl { __u32 write, file_pos; };

struct bpf_cgroup_dev_ctx { __u32 access_type, major, minor; };

struct bpf_perf_event_data;

struct bpf_raw_tracepoint_args { __u64 args[0]; };

struct bpf_spin_lock { __u32 val; };

struct bpf_timer { __u64 opaque[2]; } __attribute__((aligned(8)));

struct bpf_dynptr { __u64 opaque[2]; } __attribute__((aligned(8)));

struct bpf_lpm_trie_key { __u32 prefixlen; __u8 data[]; };

struct bpf_fib_lookup {
	__u8   family, l4_protocol;
	__be16 sport, dport;
	__u16  tot_len;
	__u32  ifindex;
	union { __u8 tos; __be32 flowinfo; __u32 rt_metric; };
	union { __be32 ipv4_src; __u32 ipv6_src[4]; };
	union { __be32 ipv4_dst; __u32 ipv6_dst[4]; };
	union { struct { __be16 h_vlan_proto, h_vlan_TCI; }; __u32 tbid; };
	union { __u32 mark; struct { __u8 smac[6], dmac[6]; }; };
};

#endif
