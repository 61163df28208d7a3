// rejected: BPF_EXIT instruction in main prog cannot be used inside bpf_spin_lock-ed region
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_rate_limiter that returns with the lock held when there are no tokens. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct bucket {
	struct bpf_spin_lock lock;
	__u32 tokens;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

SEC("xdp")
int xdp_rate_limiter_locked(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct bucket *bucket;
	__be32 source;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	source = ip->saddr;
	bucket = bpf_map_lookup_elem(&buckets, &source);
	if (!bucket)
		return XDP_PASS;
	bpf_spin_lock(&bucket->lock);
	if (!bucket->tokens)
		return XDP_DROP;                /* and the lock? */
	bucket->tokens--;
	bpf_spin_unlock(&bucket->lock);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
