// cpu=v4
/* SPDX-License-Identifier: BSD-3-Clause */
/* What the fourth instruction set added, as a compiler uses it: signed division and modulo, sign-extending moves and loads,
 * byte swaps, and long jumps. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

__s64 balance;
__s32 quotients[4];

SEC("xdp")
int xdp_isa_v4(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	signed char *bytes = data;
	short *words = data;
	int *longs = data;
	__s64 sum = 0;

	if (data + 32 > end)
		return XDP_PASS;
	sum += bytes[0] + bytes[13];                    /* loads that extend the sign */
	sum += words[7] - words[8];
	sum += longs[4];
	sum += (__s64)(__s8)sum + (__s16)(sum >> 3);    /* moves that extend the sign */
	sum += (__s64)(__s32)__builtin_bswap32((__u32)longs[5]);
	sum += __builtin_bswap16((__u16)words[12]);
	sum ^= (__s64)__builtin_bswap64((__u64)sum);
	quotients[0] = (__s32)sum / 7;
	quotients[1] = (__s32)sum % 7;
	quotients[2] = sum / -13;
	quotients[3] = sum % ((__s64)bytes[20] | 1);
	balance += sum / ((__s64)words[11] | 1);
	if (balance < 0)
		return XDP_DROP;
	return quotients[0] < quotients[1] ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
