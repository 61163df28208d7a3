/* SPDX-License-Identifier: BSD-3-Clause */
/* Maps of maps: every VLAN has an allow list of its own, found through a hash of maps; an array of maps holds defaults. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct allow_list {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __be32);
	__type(value, __u64);
};

struct allow_list shared SEC(".maps"), restricted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 32);
	__type(key, __u32);
	__array(values, struct allow_list);
} tenants SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct allow_list);
} defaults SEC(".maps") = {
	.values = {(void *)&shared, (void *)&restricted},
};

SEC("xdp")
int xdp_tenants(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct vlan_hdr *tag = (void *)(eth + 1);
	struct iphdr *ip = (void *)(tag + 1);
	__u32 vlan, zero = 0;
	__be32 source;
	__u64 *hits;
	void *list;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_8021Q) ||
	    tag->h_vlan_encapsulated_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	vlan = bpf_ntohs(tag->h_vlan_TCI) & 0xfff;
	source = ip->saddr;
	list = bpf_map_lookup_elem(&tenants, &vlan);
	if (!list)
		list = bpf_map_lookup_elem(&defaults, &zero);
	if (!list)
		return XDP_DROP;
	hits = bpf_map_lookup_elem(list, &source);
	if (!hits)
		return XDP_DROP;
	__sync_fetch_and_add(hits, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
