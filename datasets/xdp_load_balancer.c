/* SPDX-License-Identifier: BSD-3-Clause */
/* L4 load balancer with consistent hashing: the flow's hash picks a slot of a table that was filled so that each backend
 * owns its share of slots and keeps most of them when others come and go (as in Maglev).  The packet is sent back out
 * with the backend's addresses; checksums are patched, not recomputed. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

#define SLOTS 251               /* a prime, as consistent hashing wants */

struct backend {
	__be32 address;
	__u8   mac[ETH_ALEN];
	__u16  weight;
};

struct flow {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u32  protocol;
};

struct service {
	__be32 address;
	__be16 port;
	__u16  protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, struct service);
	__type(value, __u32);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} forwarded SEC(".maps");

const volatile __u32 seed = 0x9e3779b9;

static __always_inline __u32 rotate(__u32 x, int by)
{
	return x << by | x >> (32 - by);
}

/* Mixes three words into one (the finish of a Jenkins-style hash). */
static __always_inline __u32 mix(__u32 a, __u32 b, __u32 c)
{
	c ^= b; c -= rotate(b, 14);
	a ^= c; a -= rotate(c, 11);
	b ^= a; b -= rotate(a, 25);
	c ^= b; c -= rotate(b, 16);
	a ^= c; a -= rotate(c, 4);
	b ^= a; b -= rotate(a, 14);
	c ^= b; c -= rotate(b, 24);
	return c;
}

static __always_inline __u32 hash_flow(const struct flow *flow)
{
	__u32 ports = (__u32)flow->sport << 16 | flow->dport;

	return mix(flow->saddr + seed, flow->daddr + flow->protocol, ports);
}

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* The checksum after a 32-bit word changed from `old` to `new` (RFC 1624, equation 3). */
static __always_inline __u16 patch(__u16 check, __u32 old, __u32 new)
{
	__u32 sum = (__u16)~check;

	sum += (__u16)~old + (__u16)~(old >> 16);
	sum += (__u16)new + (__u16)(new >> 16);
	return ~fold(sum);
}

SEC("xdp")
int xdp_load_balancer(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);
	struct tcphdr *tcp = data + sizeof(*eth) + sizeof(*ip);
	struct udphdr *udp = (void *)tcp;
	struct service service = {};
	struct flow flow = {};
	__u16 *check;

	if ((void *)(ip + 1) > end)
		return XDP_PASS;
	if (eth->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4 || ip->ihl != 5)
		return XDP_PASS;
	if (ip->frag_off & bpf_htons(0x3fff))
		return XDP_PASS;
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return XDP_DROP;
		check = &tcp->check;
	} else if (ip->protocol == IPPROTO_UDP) {
		if ((void *)(udp + 1) > end)
			return XDP_DROP;
		check = &udp->check;
	} else {
		return XDP_PASS;
	}

	service.address = ip->daddr;
	service.port = udp->dest;
	service.protocol = ip->protocol;
	if (!bpf_map_lookup_elem(&services, &service))
		return XDP_PASS;

	flow.saddr = ip->saddr;
	flow.daddr = ip->daddr;
	flow.sport = udp->source;
	flow.dport = udp->dest;
	flow.protocol = ip->protocol;

	__u32 slot = hash_flow(&flow) % SLOTS;
	__u32 *chosen = bpf_map_lookup_elem(&ring, &slot);

	if (!chosen)
		return XDP_ABORTED;

	__u32 index = *chosen;
	struct backend *backend = bpf_map_lookup_elem(&backends, &index);

	if (!backend || !backend->address)
		return XDP_DROP;

	__u64 *count = bpf_map_lookup_elem(&forwarded, &index);

	if (count)
		*count += 1;
	ip->check = patch(ip->check, ip->daddr, backend->address);
	if (*check || ip->protocol == IPPROTO_TCP)
		*check = patch(*check, ip->daddr, backend->address);
	ip->daddr = backend->address;
	memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	memcpy(eth->h_dest, backend->mac, ETH_ALEN);
	return XDP_TX;
}

char _license[] SEC("license") = "Dual BSD/GPL";
