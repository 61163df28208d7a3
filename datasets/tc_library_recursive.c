// rejected: the call stack of 9 frames is too deep
/* SPDX-License-Identifier: BSD-3-Clause */
/* tc_library with a function that calls itself: the stack of a program has a fixed number of frames. */
#include <bpf/helpers.h>

static __noinline __u32 depth(__u32 n)
{
	volatile __u32 below = 0;

	if (n > 1)
		below = depth(n >> 1);
	return below + 1;
}

SEC("tc")
int tc_library_recursive(struct __sk_buff *skb)
{
	skb->cb[0] = depth(skb->len);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
