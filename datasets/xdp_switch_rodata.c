// rejected: write into map forbidden, value_size=256 off=0 size=1
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_switch that counts in its table of constants: read-only data is read-only for programs too. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

volatile const __u8 action_of_protocol[256] = {[IPPROTO_TCP] = XDP_PASS, [IPPROTO_UDP] = XDP_PASS};

SEC("xdp")
int xdp_switch_rodata(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	volatile __u8 *action;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	action = (volatile __u8 *)&action_of_protocol[ip->protocol];
	*action = XDP_DROP;
	return *action;
}

char _license[] SEC("license") = "Dual BSD/GPL";
