/* SPDX-License-Identifier: BSD-3-Clause */
/* Token bucket for each IPv4 source: `rate` packets a second, bursts up to `burst`.  The bucket is locked, because several
 * CPUs may see packets of the same source. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct bucket {
	struct bpf_spin_lock lock;
	__u32 tokens;
	__u64 filled;           /* when, in nanoseconds */
	__u64 dropped;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

const volatile __u32 rate = 1000;
const volatile __u32 burst = 64;

SEC("xdp")
int xdp_rate_limiter(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct bucket *bucket, fresh = {};
	int action = XDP_PASS;
	__be32 source;
	__u64 now, earned;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	source = ip->saddr;
	now = bpf_ktime_get_ns();
	bucket = bpf_map_lookup_elem(&buckets, &source);
	if (!bucket) {
		fresh.tokens = burst - 1;
		fresh.filled = now;
		bpf_map_update_elem(&buckets, &source, &fresh, BPF_NOEXIST);
		return XDP_PASS;
	}
	bpf_spin_lock(&bucket->lock);
	earned = (now - bucket->filled) * rate / 1000000000ULL;
	if (earned) {
		__u64 tokens = bucket->tokens + earned;

		bucket->tokens = tokens > burst ? burst : tokens;
		bucket->filled = now;
	}
	if (bucket->tokens) {
		bucket->tokens--;
	} else {
		bucket->dropped++;
		action = XDP_DROP;
	}
	bpf_spin_unlock(&bucket->lock);
	return action;
}

char _license[] SEC("license") = "Dual BSD/GPL";
