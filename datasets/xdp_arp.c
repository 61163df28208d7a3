/* SPDX-License-Identifier: BSD-3-Clause */
/* ARP responder: answers requests for the addresses that it has, in place, and lets everything else pass. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct arp_ipv4 {
	struct arphdr header;
	__u8   sender_mac[ETH_ALEN];
	__u8   sender_ip[4];
	__u8   target_mac[ETH_ALEN];
	__u8   target_ip[4];
} __attribute__((packed));

const volatile __u8 own_mac[ETH_ALEN] = {0x02, 0, 0, 0, 0, 0x01};
const volatile __be32 own_network = bpf_htonl(0x0a000000);      /* 10.0.0.0/24 */
const volatile __be32 own_mask = bpf_htonl(0xffffff00);

SEC("xdp")
int xdp_arp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct arp_ipv4 *arp = (void *)(eth + 1);
	__u8 mac[ETH_ALEN];
	__be32 target, sender;

	if ((void *)(arp + 1) > end || eth->h_proto != bpf_htons(ETH_P_ARP))
		return XDP_PASS;
	if (arp->header.ar_hrd != bpf_htons(1) || arp->header.ar_pro != bpf_htons(ETH_P_IP) ||
	    arp->header.ar_op != bpf_htons(1))
		return XDP_PASS;
	memcpy(&target, arp->target_ip, 4);
	memcpy(&sender, arp->sender_ip, 4);
	if ((target & own_mask) != own_network)
		return XDP_PASS;
#pragma unroll
	for (int i = 0; i < ETH_ALEN; i++)
		mac[i] = own_mac[i];
	arp->header.ar_op = bpf_htons(2);
	memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	memcpy(arp->target_ip, &sender, 4);
	memcpy(arp->sender_mac, mac, ETH_ALEN);
	memcpy(arp->sender_ip, &target, 4);
	memcpy(eth->h_dest, arp->target_mac, ETH_ALEN);
	memcpy(eth->h_source, mac, ETH_ALEN);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
