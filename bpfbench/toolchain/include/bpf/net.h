/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet headers, as the RFCs draw them. */
#ifndef BPFBENCH_NET_H
#define BPFBENCH_NET_H

#include <bpf/types.h>

#define ETH_ALEN   6
#define ETH_HLEN   14
#define ETH_P_IP   0x0800
#define ETH_P_ARP  0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88A8
#define ETH_P_IPV6 0x86DD

#define IPPROTO_HOPOPTS  0
#define IPPROTO_ICMP     1
#define IPPROTO_IPIP     4
#define IPPROTO_TCP      6
#define IPPROTO_UDP      17
#define IPPROTO_IPV6     41
#define IPPROTO_ROUTING  43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_GRE      47
#define IPPROTO_ICMPV6   58
#define IPPROTO_NONE     59
#define IPPROTO_DSTOPTS  60

struct ethhdr {
	__u8   h_dest[ETH_ALEN], h_source[ETH_ALEN];
	__be16 h_proto;
} __attribute__((packed));

struct vlan_hdr { __be16 h_vlan_TCI, h_vlan_encapsulated_proto; };

struct arphdr { __be16 ar_hrd, ar_pro; __u8 ar_hln, ar_pln; __be16 ar_op; };

struct iphdr {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	__u8 ihl : 4, version : 4;
#else
	__u8 version : 4, ihl : 4;
#endif
	__u8    tos;
	__be16  tot_len, id, frag_off;
	__u8    ttl, protocol;
	__sum16 check;
	__be32  saddr, daddr;
};

struct in6_addr {
	union { __u8 u6_addr8[16]; __be16 u6_addr16[8]; __be32 u6_addr32[4]; } in6_u;
#define s6_addr   in6_u.u6_addr8
#define s6_addr16 in6_u.u6_addr16
#define s6_addr32 in6_u.u6_addr32
};

struct ipv6hdr {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	__u8 priority : 4, version : 4;
#else
	__u8 version : 4, priority : 4;
#endif
	__u8   flow_lbl[3];
	__be16 payload_len;
	__u8   nexthdr, hop_limit;
	struct in6_addr saddr, daddr;
};

struct ipv6_opt_hdr { __u8 nexthdr, hdrlen; };

struct frag_hdr { __u8 nexthdr, reserved; __be16 frag_off; __be32 identification; };

struct icmphdr {
	__u8    type, code;
	__sum16 checksum;
	union { struct { __be16 id, sequence; } echo; __be32 gateway; } un;
};

struct icmp6hdr { __u8 icmp6_type, icmp6_code; __sum16 icmp6_cksum; __be32 icmp6_data; };

struct udphdr { __be16 source, dest, len; __sum16 check; };

struct tcphdr {
	__be16 source, dest;
	__be32 seq, ack_seq;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	__u16 res1 : 4, doff : 4, fin : 1, syn : 1, rst : 1, psh : 1, ack : 1, urg : 1, ece : 1, cwr : 1;
#else
	__u16 doff : 4, res1 : 4, cwr : 1, ece : 1, urg : 1, ack : 1, psh : 1, rst : 1, syn : 1, fin : 1;
#endif
	__be16  window;
	__sum16 check;
	__be16  urg_ptr;
};

#endif
