// rejected: R1 offset is outside of the packet
/* SPDX-License-Identifier: BSD-3-Clause */
/* nfp_memcpy that copies more than it checked: 64 bytes are there, the copy ends at 66. */
#include <bpf/helpers.h>

SEC("xdp")
int nfp_memcpy_short(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	char copy[24];

	if (data + 64 > end)
		return XDP_PASS;
	memcpy(copy, data + 42, sizeof(copy));
	barrier_var(data);
	memcpy(data, copy, sizeof(copy));
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
