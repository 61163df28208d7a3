// rejected: R6 invalid mem access 'scalar'
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_tunnel that goes on with its old pointers: after the head of the packet has moved, they point into nothing. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

SEC("xdp")
int xdp_tunnel_stale(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *outer = (void *)(eth + 1);

	if ((void *)(outer + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || outer->protocol != IPPROTO_IPIP)
		return XDP_PASS;
	if (bpf_xdp_adjust_head(ctx, sizeof(*outer)))
		return XDP_DROP;
	eth->h_proto = bpf_htons(ETH_P_IP);     /* `eth` was computed before the move */
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
