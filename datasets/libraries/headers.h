/* SPDX-License-Identifier: BSD-3-Clause */
/* What library headers offers: the addresses and ports of a packet. */
#include <bpf/helpers.h>

struct flow {
	__u32 source;
	__u32 target;
	__u16 source_port;
	__u16 target_port;
	__u32 length;
};

int headers_flow(struct xdp_md *ctx, struct flow *flow);
