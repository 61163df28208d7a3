/* SPDX-License-Identifier: BSD-3-Clause */
/* IP in IP: one program puts an outer IPv4 header in front (the packet grows at its head), the other takes it off. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

const volatile __be32 tunnel_from = bpf_htonl(0xc0000201);      /* 192.0.2.1 */
const volatile __be32 tunnel_to = bpf_htonl(0xc6336401);        /* 198.51.100.1 */

static __always_inline __u16 header_sum(struct iphdr *ip)
{
	__u16 *word = (void *)ip;
	__u32 sum = 0;

#pragma unroll
	for (int i = 0; i < 10; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return ~((sum & 0xffff) + (sum >> 16));
}

SEC("xdp")
int xdp_encap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data, head;
	struct iphdr *ip = (void *)(eth + 1);
	__u16 length;
	__u8 tos;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	memcpy(&head, eth, sizeof(head));
	length = bpf_ntohs(ip->tot_len);
	tos = ip->tos;
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(struct iphdr)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	eth = data;
	ip = (void *)(eth + 1);
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	memcpy(eth, &head, sizeof(head));
	memset(ip, 0, sizeof(*ip));
	ip->version = 4;
	ip->ihl = 5;
	ip->tos = tos;
	ip->tot_len = bpf_htons(length + sizeof(*ip));
	ip->ttl = 64;
	ip->protocol = IPPROTO_IPIP;
	ip->saddr = tunnel_from;
	ip->daddr = tunnel_to;
	ip->check = header_sum(ip);
	return XDP_TX;
}

SEC("xdp")
int xdp_decap(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data, head;
	struct iphdr *outer = (void *)(eth + 1);

	if ((void *)(outer + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (outer->ihl != 5 || outer->protocol != IPPROTO_IPIP)
		return XDP_PASS;
	memcpy(&head, eth, sizeof(head));
	if (bpf_xdp_adjust_head(ctx, sizeof(struct iphdr)))
		return XDP_DROP;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	if (data + sizeof(head) > end)
		return XDP_DROP;
	memcpy(data, &head, sizeof(head));
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
