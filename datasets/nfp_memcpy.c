/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory-heavy, for the NFP's transfer registers: headers are copied to the stack, swapped and copied back in runs of
 * loads and stores of one to eight bytes, which its code generator merges. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct headers {
	__u8 eth[14];
	__u8 ip[20];
	__u8 udp[8];
} __attribute__((packed));

SEC("xdp")
int nfp_memcpy(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct headers *in = data;
	struct headers copy;

	if (data + 64 > end)
		return XDP_PASS;
	if (in->eth[12] != 8 || in->eth[13] != 0 || in->ip[0] != 0x45 || in->ip[9] != IPPROTO_UDP)
		return XDP_PASS;
	memcpy(&copy, in, sizeof(copy));
	memcpy(in->eth, copy.eth + 6, 6);       /* who sent it gets it back */
	memcpy(in->eth + 6, copy.eth, 6);
	memcpy(in->ip + 12, copy.ip + 16, 4);
	memcpy(in->ip + 16, copy.ip + 12, 4);
	memcpy(in->udp, copy.udp + 2, 2);
	memcpy(in->udp + 2, copy.udp, 2);
	memcpy(data + 48, data + 42, 6);        /* the first bytes of the payload, moved up */
	memcpy(data + 54, data + 42, 8);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
