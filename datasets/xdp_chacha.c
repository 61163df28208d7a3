/* SPDX-License-Identifier: BSD-3-Clause */
/* ChaCha20 (RFC 8439): one block of key stream over the first bytes of a UDP payload on a given port.  Twenty rounds of
 * 32-bit additions, exclusive-ors and rotations; the state lives in registers and on the stack. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

#define ROTATE(x, by) ((x) << (by) | (x) >> (32 - (by)))
#define QUARTER(a, b, c, d)                             \
	do {                                            \
		a += b; d ^= a; d = ROTATE(d, 16);      \
		c += d; b ^= c; b = ROTATE(b, 12);      \
		a += b; d ^= a; d = ROTATE(d, 8);       \
		c += d; b ^= c; b = ROTATE(b, 7);       \
	} while (0)

const volatile __u32 key[8] = {0x03020100, 0x07060504, 0x0b0a0908, 0x0f0e0d0c,
			       0x13121110, 0x17161514, 0x1b1a1918, 0x1f1e1d1c};
const volatile __be16 secret_port = bpf_htons(4500);

static __noinline void block(__u32 *out, __u32 counter, __u32 nonce)
{
	__u32 s[16], x[16];

	s[0] = 0x61707865; s[1] = 0x3320646e; s[2] = 0x79622d32; s[3] = 0x6b206574;
#pragma unroll
	for (int i = 0; i < 8; i++)
		s[4 + i] = key[i];
	s[12] = counter; s[13] = nonce; s[14] = 0; s[15] = 0;
#pragma unroll
	for (int i = 0; i < 16; i++)
		x[i] = s[i];
	for (int round = 0; round < 10; round++) {
		QUARTER(x[0], x[4], x[8], x[12]);
		QUARTER(x[1], x[5], x[9], x[13]);
		QUARTER(x[2], x[6], x[10], x[14]);
		QUARTER(x[3], x[7], x[11], x[15]);
		QUARTER(x[0], x[5], x[10], x[15]);
		QUARTER(x[1], x[6], x[11], x[12]);
		QUARTER(x[2], x[7], x[8], x[13]);
		QUARTER(x[3], x[4], x[9], x[14]);
	}
#pragma unroll
	for (int i = 0; i < 8; i++)
		out[i] = x[i] + s[i];
}

SEC("xdp")
int xdp_chacha(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 *payload = (void *)(udp + 1), stream[8];

	if ((void *)(payload + 8) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return XDP_PASS;
	if (ip->protocol != IPPROTO_UDP || udp->dest != secret_port)
		return XDP_PASS;
	block(stream, 1, ip->saddr ^ udp->source);
#pragma unroll
	for (int i = 0; i < 8; i++)
		payload[i] ^= stream[i];
	udp->check = 0;
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
