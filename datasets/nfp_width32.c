/* SPDX-License-Identifier: BSD-3-Clause */
/* 32-bit arithmetic throughout, for the NFP's 32-bit data path: three hashes of the flow (FNV-1a, Jenkins, Murmur3) and a
 * CRC by nibbles; the verdict is taken from them. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

static __always_inline __u32 rotate(__u32 x, __u32 by)
{
	return x << by | x >> (32 - by);
}

static __always_inline __u32 fnv(const __u8 *bytes)
{
	__u32 hash = 0x811c9dc5;

#pragma unroll
	for (int i = 0; i < 12; i++)
		hash = (hash ^ bytes[i]) * 0x01000193;
	return hash;
}

static __always_inline __u32 jenkins(const __u8 *bytes)
{
	__u32 hash = 0;

#pragma unroll
	for (int i = 0; i < 12; i++) {
		hash += bytes[i];
		hash += hash << 10;
		hash ^= hash >> 6;
	}
	hash += hash << 3;
	hash ^= hash >> 11;
	return hash + (hash << 15);
}

static __always_inline __u32 murmur(const __u32 *words)
{
	__u32 hash = 0x12345678;

#pragma unroll
	for (int i = 0; i < 3; i++) {
		__u32 k = words[i] * 0xcc9e2d51;

		hash ^= rotate(k, 15) * 0x1b873593;
		hash = rotate(hash, 13) * 5 + 0xe6546b64;
	}
	hash ^= 12;
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	return hash ^ hash >> 16;
}

static __always_inline __u32 crc_step(__u32 crc, __u32 nibble)
{
	__u32 x = (crc ^ nibble) & 15, t = 0;

	if (x & 1) t ^= 0x1db71064;
	if (x & 2) t ^= 0x3b6e20c8;
	if (x & 4) t ^= 0x76dc4190;
	if (x & 8) t ^= 0xedb88320;
	return crc >> 4 ^ t;
}

SEC("xdp")
int nfp_width32(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	__u8 *bytes = data + ETH_HLEN + 12;     /* addresses and ports */
	__u32 words[3], sum, crc = ~0u, i;

	if ((void *)bytes + 12 > end)
		return XDP_PASS;
	memcpy(words, bytes, 12);
	sum = fnv(bytes) ^ jenkins(bytes) ^ murmur(words);
#pragma unroll
	for (i = 0; i < 4; i++) {
		crc = crc_step(crc, bytes[i]);
		crc = crc_step(crc, bytes[i] >> 4);
	}
	sum ^= ~crc;
	if ((__s32)sum < 0)
		sum = -sum;
	return sum % 7 == 0 ? XDP_DROP : sum / 13 & 1 ? XDP_TX : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
