/* SPDX-License-Identifier: BSD-3-Clause */
/* A program split over three libraries: it counts the packets of a flow, and drops the flow after the third. */
#include <bpf/library.h>
#include "checksum.h"
#include "counters.h"
#include "headers.h"

BPF_NEEDS("checksum 1.1");
BPF_NEEDS("counters 2");
BPF_NEEDS("headers 1.0");

const volatile __u64 limit = 3;
__u32 last;

SEC("xdp")
int meter(struct xdp_md *ctx)
{
	struct flow flow = {};
	struct count count = {};
	__u32 sum = 0;

	if (headers_flow(ctx, &flow) < 0)
		return XDP_PASS;
	sum = checksum_add(sum, flow.source);
	sum = checksum_add(sum, flow.target);
	sum = checksum_add(sum, (__u32)flow.source_port << 16 | flow.target_port);
	last = checksum_fold(sum);
	if (counters_add(sum, flow.length) < 0 || counters_get(sum, &count) < 0)
		return XDP_ABORTED;
	return count.packets > limit ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
