/* SPDX-License-Identifier: BSD-3-Clause */
/* Copies within a packet, of every alignment and some odd lengths; compiled by build.py as LLVM likes it, scheduled, and
 * with -bpf-expand-memcpy-in-order (slides 46, 47). */
#include <bpf/helpers.h>

#define MOVE(type, to, from, size) \
	__builtin_memcpy(__builtin_assume_aligned((char *)data + (to), sizeof(type)), \
			 __builtin_assume_aligned((char *)data + (from), sizeof(type)), size)

SEC("xdp")
int copies(struct xdp_md *ctx)
{
	char *data = (void *)(long)ctx->data;

	if (data + 1024 > (char *)(long)ctx->data_end)
		return XDP_PASS;
	MOVE(__u64, 512, 0, 128);
	MOVE(__u32, 640, 128, 32);
	MOVE(__u16, 704, 160, 30);
	MOVE(__u8, 740, 190, 16);
	MOVE(__u64, 768, 208, 13);      /* eight, four and one */
	MOVE(__u32, 784, 224, 7);       /* four, two and one */
	MOVE(__u8, 801, 241, 6);
	return XDP_TX;
}

char _license[] SEC("license") = "GPL";
