// rejected: R1 offset is outside of the packet
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_firewall without the last bounds check: with IP options the ports may lie behind the end of the packet. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u8);
} closed_ports SEC(".maps");

SEC("xdp")
int xdp_firewall_unchecked(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__be16 *ports;
	__u32 port;
	__u8 *closed;

	if ((void *)(ip + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl < 5)
		return XDP_PASS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	ports = (void *)ip + ip->ihl * 4;
	port = bpf_ntohs(ports[1]);             /* nobody looked at `end` again */
	closed = bpf_map_lookup_elem(&closed_ports, &port);
	return closed && *closed ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
