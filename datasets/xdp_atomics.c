/* SPDX-License-Identifier: BSD-3-Clause */
/* Every atomic operation: counters, bit sets, a maximum by compare-and-exchange, a ticket by fetch-and-add, the last length
 * by exchange. */
#include <bpf/helpers.h>

__u64 packets, longest, last, ticket;
__u64 or_bits, and_bits = ~0ULL, xor_bits;
__u32 packets32, or32, and32 = ~0u, xor32, last32, longest32;

SEC("xdp")
int xdp_atomics(struct xdp_md *ctx)
{
	__u64 length = ctx->data_end - ctx->data, mine, before, seen;
	__u32 length32 = length;

	__sync_fetch_and_add(&packets, 1);
	__sync_fetch_and_or(&or_bits, length);
	__sync_fetch_and_and(&and_bits, length);
	__sync_fetch_and_xor(&xor_bits, length);
	__sync_fetch_and_add(&packets32, 1);
	mine = __sync_fetch_and_add(&ticket, 3);
	before = __sync_lock_test_and_set(&last, length);
	mine += __sync_fetch_and_or(&or32, length32);
	mine += __sync_fetch_and_and(&and32, length32 | 0xff);
	mine += __sync_fetch_and_xor(&xor32, length32);
	mine += __sync_lock_test_and_set(&last32, length32);
	seen = longest;
	if (length > seen)
		__sync_val_compare_and_swap(&longest, seen, length);
	if (length32 > longest32 && __sync_val_compare_and_swap(&longest32, (__u32)seen, length32) != (__u32)seen)
		return XDP_ABORTED;
	return before == length ? XDP_DROP : mine & 1 ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
