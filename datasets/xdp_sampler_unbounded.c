// rejected: R4 min value is negative, either use unsigned or 'var &= const'
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_sampler with a size that is the difference of two packet pointers in 32 bits: the comparisons bound the lower half,
 * the helper takes all 64, and of the upper half the verifier knows nothing after such a subtraction. */
#include <bpf/helpers.h>

#define SNAP 128

__u8 bytes[SNAP];

SEC("xdp")
int xdp_sampler_unbounded(struct xdp_md *ctx)
{
	__u32 length = ctx->data_end - ctx->data, size = length < SNAP ? length : SNAP;

	barrier_var(size);
	if (size && size <= SNAP)
		bpf_xdp_load_bytes(ctx, 0, bytes, size);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
