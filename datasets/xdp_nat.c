/* SPDX-License-Identifier: BSD-3-Clause */
/* Source NAT: packets from inside get the public address and a translated port, replies are translated back.  IP and
 * transport checksums are updated from the words that changed (RFC 1624), and the TTL goes down by one. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct endpoint {
	__be32 address;
	__be16 port;
	__u16  protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct endpoint);
	__type(value, struct endpoint);
} inside SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct endpoint);
	__type(value, struct endpoint);
} outside SEC(".maps");

static __always_inline __u16 update(__u16 check, __u16 old, __u16 new)
{
	__u32 sum = (__u16)~check + (__u16)~old + new;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static __always_inline __u16 update_address(__u16 check, __be32 old, __be32 new)
{
	check = update(check, old, new);
	return update(check, old >> 16, new >> 16);
}

static __always_inline void rewrite(struct iphdr *ip, __be32 *address, __be16 *port, __u16 *check,
				    const struct endpoint *to)
{
	if (check && (*check || ip->protocol == IPPROTO_TCP)) {
		*check = update_address(*check, *address, to->address);
		*check = update(*check, *port, to->port);
	}
	ip->check = update_address(ip->check, *address, to->address);
	*address = to->address;
	*port = to->port;
}

static __always_inline void decrement_ttl(struct iphdr *ip)
{
	__u16 old = ip->ttl | ip->protocol << 8;

	ip->ttl--;
	ip->check = update(ip->check, old, ip->ttl | ip->protocol << 8);
}

SEC("xdp")
int xdp_nat(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct endpoint key = {}, *to;
	__u16 *check;

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4 || ip->ihl != 5)
		return XDP_PASS;
	if (ip->ttl <= 1)
		return XDP_DROP;
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return XDP_DROP;
		check = &tcp->check;
	} else if (ip->protocol == IPPROTO_UDP) {
		check = &udp->check;
	} else {
		return XDP_PASS;
	}
	key.protocol = ip->protocol;
	key.address = ip->saddr;
	key.port = udp->source;
	to = bpf_map_lookup_elem(&inside, &key);
	if (to) {
		rewrite(ip, &ip->saddr, &udp->source, check, to);
		decrement_ttl(ip);
		return XDP_TX;
	}
	key.address = ip->daddr;
	key.port = udp->dest;
	to = bpf_map_lookup_elem(&outside, &key);
	if (to) {
		rewrite(ip, &ip->daddr, &udp->dest, check, to);
		decrement_ttl(ip);
		return XDP_TX;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
