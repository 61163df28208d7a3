/* SPDX-License-Identifier: BSD-3-Clause */
/* XDP firewall: drops packets whose IPv4 source is on a list, or whose TCP or UDP destination port is closed, and counts
 * what it does.  Handles one VLAN tag and IP options; fragments other than the first have no ports and pass. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

enum { COUNT_PASS, COUNT_SOURCE, COUNT_PORT, COUNT_MALFORMED, COUNTERS };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u64);
} blocked_sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u8);
} closed_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline int count(__u32 which, int action)
{
	__u64 *slot = bpf_map_lookup_elem(&counters, &which);

	if (slot)
		__sync_fetch_and_add(slot, 1);
	return action;
}

SEC("xdp")
int xdp_firewall(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	void *next = eth + 1;
	__be16 proto;

	if (next > end)
		return count(COUNT_MALFORMED, XDP_DROP);
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q)) {
		struct vlan_hdr *tag = next;

		next = tag + 1;
		if (next > end)
			return count(COUNT_MALFORMED, XDP_DROP);
		proto = tag->h_vlan_encapsulated_proto;
	}
	if (proto != bpf_htons(ETH_P_IP))
		return count(COUNT_PASS, XDP_PASS);

	struct iphdr *ip = next;

	if ((void *)(ip + 1) > end || ip->version != 4 || ip->ihl < 5)
		return count(COUNT_MALFORMED, XDP_DROP);

	__be32 source = ip->saddr;
	__u64 *hits = bpf_map_lookup_elem(&blocked_sources, &source);

	if (hits) {
		__sync_fetch_and_add(hits, 1);
		return count(COUNT_SOURCE, XDP_DROP);
	}
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return count(COUNT_PASS, XDP_PASS);
	if (ip->frag_off & bpf_htons(0x1fff))
		return count(COUNT_PASS, XDP_PASS);

	__be16 *ports = (void *)ip + ip->ihl * 4;

	if ((void *)(ports + 2) > end)
		return count(COUNT_MALFORMED, XDP_DROP);

	__u32 port = bpf_ntohs(ports[1]);
	__u8 *closed = bpf_map_lookup_elem(&closed_ports, &port);

	if (closed && *closed)
		return count(COUNT_PORT, XDP_DROP);
	return count(COUNT_PASS, XDP_PASS);
}

char _license[] SEC("license") = "Dual BSD/GPL";
