// rejected: At callback return the register R0 has smin=0 smax=255 should have been in [0, 1]
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_callbacks whose callback returns a byte of the packet: it must return 0 (go on) or 1 (stop). */
#include <bpf/helpers.h>

static long look(__u32 index, struct xdp_md **ctx)
{
	__u8 byte = 0;

	bpf_xdp_load_bytes(*ctx, index, &byte, 1);
	return byte;
}

SEC("xdp")
int xdp_callbacks_result(struct xdp_md *ctx)
{
	bpf_loop(64, look, &ctx, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
