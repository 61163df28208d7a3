/* SPDX-License-Identifier: BSD-3-Clause */
/* SYN cookies before the stack: a SYN is answered with a SYN-ACK whose sequence number is a keyed hash of the flow, and an
 * ACK passes only if it acknowledges such a number.  No state is kept for half-open connections. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct keys {
	__u64 k0, k1;
	__u32 epoch;
	__u32 reserved;
};

enum { SEEN_SYN, SEEN_GOOD_ACK, SEEN_BAD_ACK, SEEN_OTHER, SEEN_KINDS };

struct keys keys = {0x0706050403020100ULL, 0x0f0e0d0c0b0a0908ULL, 7, 0};
__u64 seen[SEEN_KINDS];
const volatile __be16 protected_port = bpf_htons(443);

#define ROTATE(x, b) ((x) << (b) | (x) >> (64 - (b)))
#define ROUND(a, b, c, d)                                       \
	do {                                                    \
		a += b; b = ROTATE(b, 13); b ^= a; a = ROTATE(a, 32); \
		c += d; d = ROTATE(d, 16); d ^= c;              \
		a += d; d = ROTATE(d, 21); d ^= a;              \
		c += b; b = ROTATE(b, 17); b ^= c; c = ROTATE(c, 32); \
	} while (0)

/* SipHash-2-4 of two words (the flow and the epoch), folded to 32 bits. */
static __always_inline __u32 sip(__u64 first, __u64 second)
{
	__u64 words[3] = {first, second, 16ULL << 56};
	__u64 a = keys.k0 ^ 0x736f6d6570736575ULL, b = keys.k1 ^ 0x646f72616e646f6dULL;
	__u64 c = keys.k0 ^ 0x6c7967656e657261ULL, d = keys.k1 ^ 0x7465646279746573ULL;

#pragma unroll
	for (int i = 0; i < 3; i++) {
		d ^= words[i];
		ROUND(a, b, c, d);
		ROUND(a, b, c, d);
		a ^= words[i];
	}
	c ^= 0xff;
#pragma unroll
	for (int i = 0; i < 4; i++)
		ROUND(a, b, c, d);
	a ^= b ^ c ^ d;
	return (__u32)(a ^ a >> 32);
}

static __always_inline __u32 cookie(const struct iphdr *ip, const struct tcphdr *tcp, __u32 epoch)
{
	__u64 addresses = (__u64)ip->saddr << 32 | ip->daddr;
	__u64 ports = (__u64)tcp->source << 48 | (__u64)tcp->dest << 32 | epoch;

	return sip(addresses, ports);
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Turns a SYN into its SYN-ACK, in place. */
static __always_inline void answer(struct ethhdr *eth, struct iphdr *ip, struct tcphdr *tcp)
{
	__u8 mac[ETH_ALEN];
	__be32 address = ip->saddr;
	__be16 port = tcp->source;
	__u32 seq = cookie(ip, tcp, keys.epoch), sum = 0;
	__u16 *word = (void *)tcp;

	memcpy(mac, eth->h_source, ETH_ALEN);
	memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	memcpy(eth->h_dest, mac, ETH_ALEN);
	ip->saddr = ip->daddr;
	ip->daddr = address;
	tcp->source = tcp->dest;
	tcp->dest = port;
	tcp->ack_seq = bpf_htonl(bpf_ntohl(tcp->seq) + 1);
	tcp->seq = bpf_htonl(seq);
	tcp->ack = 1;
	tcp->window = bpf_htons(64240);
	tcp->check = 0;
#pragma unroll
	for (int i = 0; i < (int)sizeof(*tcp) / 2; i++)
		sum += word[i];
	sum += (ip->saddr & 0xffff) + (ip->saddr >> 16);
	sum += (ip->daddr & 0xffff) + (ip->daddr >> 16);
	sum += bpf_htons(IPPROTO_TCP) + bpf_htons(sizeof(*tcp));
	tcp->check = fold(sum);
}

SEC("xdp")
int xdp_syn_cookie(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->version != 4 || ip->ihl != 5 || ip->protocol != IPPROTO_TCP || tcp->dest != protected_port)
		return XDP_PASS;
	if (tcp->syn && !tcp->ack) {
		if (tcp->doff != 5 || ip->tot_len != bpf_htons(sizeof(*ip) + sizeof(*tcp)))
			return XDP_DROP;        /* options are not answered here */
		__sync_fetch_and_add(&seen[SEEN_SYN], 1);
		answer(eth, ip, tcp);
		return XDP_TX;
	}
	if (tcp->ack && !tcp->syn) {
		__u32 acknowledged = bpf_ntohl(tcp->ack_seq) - 1;

		if (acknowledged == cookie(ip, tcp, keys.epoch) || acknowledged == cookie(ip, tcp, keys.epoch - 1)) {
			__sync_fetch_and_add(&seen[SEEN_GOOD_ACK], 1);
			return XDP_PASS;
		}
		__sync_fetch_and_add(&seen[SEEN_BAD_ACK], 1);
		return XDP_DROP;
	}
	__sync_fetch_and_add(&seen[SEEN_OTHER], 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
