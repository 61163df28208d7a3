/* SPDX-License-Identifier: BSD-3-Clause */
/* Router: the longest prefix that matches names the next hop; TTL and checksum are adjusted, and the packet is redirected
 * through a device map. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct route_key {
	__u32  length;
	__be32 address;
};

struct next_hop {
	__u32 port;
	__u8  source[ETH_ALEN], destination[ETH_ALEN];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct route_key);
	__type(value, struct next_hop);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 16);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} ports SEC(".maps");

enum { ROUTED, NO_ROUTE, EXPIRED, OUTCOMES };

__u64 outcomes[OUTCOMES];

SEC("xdp")
int xdp_lpm_router(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct route_key key = {.length = 32};
	struct next_hop *hop;
	__u32 sum;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4)
		return XDP_PASS;
	if (ip->ttl <= 1) {
		outcomes[EXPIRED]++;
		return XDP_PASS;        /* the stack answers */
	}
	key.address = ip->daddr;
	hop = bpf_map_lookup_elem(&routes, &key);
	if (!hop) {
		outcomes[NO_ROUTE]++;
		return XDP_PASS;
	}
	sum = ip->check + bpf_htons(0x0100);
	ip->check = sum + (sum >= 0xffff);
	ip->ttl--;
	memcpy(eth->h_source, hop->source, ETH_ALEN);
	memcpy(eth->h_dest, hop->destination, ETH_ALEN);
	outcomes[ROUTED]++;
	return bpf_redirect_map(&ports, hop->port, XDP_DROP);
}

char _license[] SEC("license") = "Dual BSD/GPL";
