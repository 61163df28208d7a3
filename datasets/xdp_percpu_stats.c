/* SPDX-License-Identifier: BSD-3-Clause */
/* Statistics without contention: per-CPU counters by protocol and by power of two of the length, and the minimum and maximum
 * ever seen. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct stats {
	__u64 packets, bytes;
	__u32 shortest, longest;
	__u64 sizes[12];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct stats);
} by_protocol SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 512);
	__type(key, __u16);
	__type(value, __u64);
} by_ethertype SEC(".maps");

SEC("xdp")
int xdp_percpu_stats(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u32 length = end - data, protocol = 0, bucket = 0;
	__u64 one = 1, *count;
	struct stats *stats;
	__u16 type;

	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	type = bpf_ntohs(eth->h_proto);
	count = bpf_map_lookup_elem(&by_ethertype, &type);
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&by_ethertype, &type, &one, BPF_ANY);
	if (type == ETH_P_IP) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return XDP_DROP;
		protocol = ip->protocol;
	}
	stats = bpf_map_lookup_elem(&by_protocol, &protocol);
	if (!stats)
		return XDP_PASS;
	stats->packets++;
	stats->bytes += length;
	if (!stats->shortest || length < stats->shortest)
		stats->shortest = length;
	if (length > stats->longest)
		stats->longest = length;
	for (__u32 rest = length; bucket < 11 && rest > 1; rest >>= 1)
		bucket++;
	stats->sizes[bucket]++;
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
