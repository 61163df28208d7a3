/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers pings, for IPv4 and IPv6, by turning the request around in place. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

static __always_inline void swap_macs(struct ethhdr *eth)
{
	__u8 mac[ETH_ALEN];

	memcpy(mac, eth->h_dest, ETH_ALEN);
	memcpy(eth->h_dest, eth->h_source, ETH_ALEN);
	memcpy(eth->h_source, mac, ETH_ALEN);
}

/* The type byte went down by `by`: the sum goes up by as much (RFC 1624). */
static __always_inline __u16 adjust(__u16 check, __u32 by)
{
	__u32 sum = check + bpf_htons(by << 8);

	return (sum & 0xffff) + (sum >> 16);
}

SEC("xdp")
int xdp_icmp_echo(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);
		struct icmphdr *icmp = (void *)(ip + 1);
		__be32 address;

		if ((void *)(icmp + 1) > end || ip->ihl != 5 || ip->protocol != IPPROTO_ICMP)
			return XDP_PASS;
		if (icmp->type != 8 || icmp->code != 0 || ip->frag_off & bpf_htons(0x3fff))
			return XDP_PASS;
		icmp->type = 0;
		icmp->checksum = adjust(icmp->checksum, 8);
		address = ip->saddr;
		ip->saddr = ip->daddr;
		ip->daddr = address;
		swap_macs(eth);
		return XDP_TX;
	}
	if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(eth + 1);
		struct icmp6hdr *icmp = (void *)(ip + 1);
		struct in6_addr address;
		__u32 sum;

		if ((void *)(icmp + 1) > end || ip->nexthdr != IPPROTO_ICMPV6 || icmp->icmp6_type != 128)
			return XDP_PASS;
		icmp->icmp6_type = 129;
		sum = icmp->icmp6_cksum + bpf_htons(0xfeff);
		icmp->icmp6_cksum = (sum & 0xffff) + (sum >> 16);
		address = ip->saddr;
		ip->saddr = ip->daddr;
		ip->daddr = address;
		swap_macs(eth);
		return XDP_TX;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
