/* SPDX-License-Identifier: BSD-3-Clause */
/* Library headers: takes the context, reads the packet. */
#include <bpf/endian.h>
#include <bpf/library.h>
#include <bpf/net.h>
#include "headers.h"

BPF_LIBRARY("headers 1.0");

static __noinline int ports(struct xdp_md *ctx, struct flow *flow)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u16 *port = data + sizeof(struct ethhdr) + sizeof(struct iphdr);

	if ((void *)(port + 2) > end)
		return -1;
	flow->source_port = bpf_ntohs(port[0]);
	flow->target_port = bpf_ntohs(port[1]);
	return 0;
}

__noinline int headers_flow(struct xdp_md *ctx, struct flow *flow)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);

	if (!flow || (void *)(ip + 1) > end)
		return -1;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return -1;
	flow->source = bpf_ntohl(ip->saddr);
	flow->target = bpf_ntohl(ip->daddr);
	flow->length = end - data;
	return ports(ctx, flow);
}

char _license[] SEC("license") = "Dual BSD/GPL";
