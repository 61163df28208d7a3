/* SPDX-License-Identifier: BSD-3-Clause */
/* Packet parser: Ethernet, up to two VLAN tags, IPv4 with options, IPv6 with extension headers, fragments, TCP, UDP, ICMP.
 * What it finds goes to a per-CPU record and to counters by kind; malformed packets are dropped. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

#define MAX_TAGS       2
#define MAX_EXTENSIONS 6

enum kind { OTHER, IPV4, IPV6, TCP, UDP, ICMP, FRAGMENT, MALFORMED, KINDS };

struct summary {
	__u32 length;
	__u16 vlan[MAX_TAGS];
	__u16 ethertype;
	__u8  protocol, ttl;
	__u16 sport, dport;
	__u16 l3_offset, l4_offset;
	__u8  options, extensions;
	__u16 flags;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct summary);
} last SEC(".maps");

__u64 kinds[KINDS];

struct cursor {
	void *at, *start, *end;
};

static __always_inline int parse_ports(struct cursor *c, struct summary *s)
{
	struct udphdr *udp = c->at;
	struct tcphdr *tcp = c->at;
	struct icmphdr *icmp = c->at;

	s->l4_offset = c->at - c->start;
	switch (s->protocol) {
	case IPPROTO_TCP:
		if ((void *)(tcp + 1) > c->end || tcp->doff < 5)
			return MALFORMED;
		s->sport = bpf_ntohs(tcp->source);
		s->dport = bpf_ntohs(tcp->dest);
		s->flags = tcp->fin | tcp->syn << 1 | tcp->rst << 2 | tcp->ack << 4;
		return TCP;
	case IPPROTO_UDP:
		if ((void *)(udp + 1) > c->end || bpf_ntohs(udp->len) < sizeof(*udp))
			return MALFORMED;
		s->sport = bpf_ntohs(udp->source);
		s->dport = bpf_ntohs(udp->dest);
		return UDP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((void *)(icmp + 1) > c->end)
			return MALFORMED;
		s->sport = icmp->type;
		s->dport = icmp->code;
		return ICMP;
	}
	return s->ethertype == ETH_P_IP ? IPV4 : IPV6;
}

static __always_inline int parse_ipv4(struct cursor *c, struct summary *s)
{
	struct iphdr *ip = c->at;
	int length;

	if ((void *)(ip + 1) > c->end || ip->version != 4)
		return MALFORMED;
	length = ip->ihl * 4;
	if (length < (int)sizeof(*ip) || c->at + length > c->end)
		return MALFORMED;
	s->options = length - sizeof(*ip);
	s->protocol = ip->protocol;
	s->ttl = ip->ttl;
	if (ip->frag_off & bpf_htons(0x1fff))
		return FRAGMENT;
	c->at += length;
	return parse_ports(c, s);
}

static __always_inline int parse_ipv6(struct cursor *c, struct summary *s)
{
	struct ipv6hdr *ip = c->at;
	__u8 next;

	if ((void *)(ip + 1) > c->end || ip->version != 6)
		return MALFORMED;
	next = ip->nexthdr;
	s->ttl = ip->hop_limit;
	c->at = ip + 1;
	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		struct ipv6_opt_hdr *header = c->at;
		struct frag_hdr *fragment = c->at;

		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
			break;
		if ((void *)(fragment + 1) > c->end)
			return MALFORMED;
		s->extensions++;
		if (next == IPPROTO_FRAGMENT) {
			if (fragment->frag_off & bpf_htons(0xfff8))
				return FRAGMENT;
			c->at = fragment + 1;
		} else {
			c->at += (header->hdrlen + 1) * 8;
		}
		next = header->nexthdr;
	}
	s->protocol = next;
	return parse_ports(c, s);
}

static __always_inline int parse(struct cursor *c, struct summary *s)
{
	struct ethhdr *eth = c->at;
	__be16 type;

	if ((void *)(eth + 1) > c->end)
		return MALFORMED;
	type = eth->h_proto;
	c->at = eth + 1;
#pragma unroll
	for (int i = 0; i < MAX_TAGS; i++) {
		struct vlan_hdr *tag = c->at;

		if (type != bpf_htons(ETH_P_8021Q) && type != bpf_htons(ETH_P_8021AD))
			break;
		if ((void *)(tag + 1) > c->end)
			return MALFORMED;
		s->vlan[i] = bpf_ntohs(tag->h_vlan_TCI) & 0xfff;
		type = tag->h_vlan_encapsulated_proto;
		c->at = tag + 1;
	}
	s->ethertype = bpf_ntohs(type);
	s->l3_offset = c->at - c->start;
	if (type == bpf_htons(ETH_P_IP))
		return parse_ipv4(c, s);
	if (type == bpf_htons(ETH_P_IPV6))
		return parse_ipv6(c, s);
	return OTHER;
}

SEC("xdp")
int xdp_parser(struct xdp_md *ctx)
{
	struct cursor c = {(void *)(long)ctx->data, (void *)(long)ctx->data, (void *)(long)ctx->data_end};
	struct summary *s;
	__u32 zero = 0;
	int kind;

	s = bpf_map_lookup_elem(&last, &zero);
	if (!s)
		return XDP_ABORTED;
	memset(s, 0, sizeof(*s));
	s->length = c.end - c.start;
	kind = parse(&c, s);
	__sync_fetch_and_add(&kinds[kind & 7], 1);
	return kind == MALFORMED ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
