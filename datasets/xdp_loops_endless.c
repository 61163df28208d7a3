// rejected: infinite loop detected at insn 9
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_loops whose walk over TCP options does not move on at an option of length zero. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

SEC("xdp")
int xdp_loops_endless(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u8 *option = data + ETH_HLEN + 40;

	if (data + ETH_HLEN + 60 > end)
		return XDP_PASS;
	while (*option != 0) {
		if (*option == 2)
			return XDP_TX;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
