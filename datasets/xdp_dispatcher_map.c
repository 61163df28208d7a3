// rejected: expected prog array map for tail call
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_dispatcher with an array where a program array belongs. */
#include <bpf/helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} stages SEC(".maps");

SEC("xdp")
int xdp_dispatcher_map(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &stages, ctx->rx_queue_index & 3);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
