// rejected: R0 invalid mem access 'map_value_or_null'
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_load_balancer that trusts its tables: a lookup in a hash map may find nothing, and the result is used as it is. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct backend {
	__be32 address;
	__u8   mac[ETH_ALEN];
	__u16  weight;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

SEC("xdp")
int xdp_load_balancer_null(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct backend *backend;
	__u32 hash;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	hash = (ip->saddr ^ ip->daddr) * 0x9e3779b1 >> 26;
	backend = bpf_map_lookup_elem(&backends, &hash);
	ip->daddr = backend->address;           /* there may be none */
	memcpy(eth->h_dest, backend->mac, ETH_ALEN);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
