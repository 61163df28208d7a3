/* SPDX-License-Identifier: BSD-3-Clause */
/* Sampler: one packet in `every` goes to a ring buffer through a dynamic pointer: a header, then as many bytes as fit. */
#include <bpf/helpers.h>

#define SNAP 128

struct sample {
	__u32 length, captured, queue, number;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} samples SEC(".maps");

const volatile __u32 every = 4;
__u32 number, lost;

SEC("xdp")
int xdp_sampler(struct xdp_md *ctx)
{
	__u32 mine = __sync_fetch_and_add(&number, 1), length = ctx->data_end - ctx->data, size;
	struct sample sample = {length, length, ctx->rx_queue_index, mine};
	struct bpf_dynptr room;
	__u8 bytes[SNAP];

	if (every && mine % every)
		return XDP_PASS;
	size = length < SNAP ? length : SNAP;
	if (bpf_ringbuf_reserve_dynptr(&samples, sizeof(sample) + SNAP, 0, &room) < 0) {
		bpf_ringbuf_discard_dynptr(&room, 0);
		lost++;
		return XDP_PASS;
	}
	sample.captured = size;
	bpf_dynptr_write(&room, 0, &sample, sizeof(sample), 0);
	memset(bytes, 0, sizeof(bytes));
	barrier_var(size);
	if (size) {
		barrier_var(size);      /* two comparisons, not one of size - 1: the verifier follows those */
		if (size <= SNAP && bpf_xdp_load_bytes(ctx, 0, bytes, size) == 0)
			bpf_dynptr_write(&room, sizeof(sample), bytes, SNAP, 0);
	}
	bpf_ringbuf_submit_dynptr(&room, 0);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
