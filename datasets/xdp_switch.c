/* SPDX-License-Identifier: BSD-3-Clause */
/* Switch tables: a dense switch that becomes a table in read-only data, a sparse one that becomes a tree of comparisons,
 * and a table of names that is searched. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

static const __u8 action_of_protocol[256] = {
	[IPPROTO_ICMP] = XDP_PASS, [IPPROTO_TCP] = XDP_PASS, [IPPROTO_UDP] = XDP_PASS, [IPPROTO_IPIP] = XDP_DROP,
	[IPPROTO_GRE] = XDP_DROP,  [IPPROTO_IPV6] = XDP_DROP, [89] = XDP_PASS, [132] = XDP_PASS,
};

__u64 by_class[8];

static __always_inline __u32 class_of_type(__u8 type)
{
	switch (type) {                 /* dense: ICMP types */
	case 0:  return 1;
	case 3:  return 2;
	case 4:  return 7;
	case 5:  return 6;
	case 8:  return 1;
	case 9:  return 5;
	case 10: return 5;
	case 11: return 3;
	case 12: return 4;
	case 13: return 6;
	case 14: return 6;
	case 17: return 7;
	case 18: return 7;
	}
	return 0;
}

static __always_inline __u32 class_of_port(__u16 port)
{
	switch (port) {                 /* sparse: well-known ports */
	case 22:    return 1;
	case 25:    return 2;
	case 53:    return 3;
	case 80:    return 4;
	case 443:   return 4;
	case 853:   return 3;
	case 3306:  return 5;
	case 5432:  return 5;
	case 6379:  return 5;
	case 8080:  return 4;
	case 27017: return 5;
	}
	return 0;
}

SEC("xdp")
int xdp_switch(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct icmphdr *icmp = (void *)(ip + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u32 class = 0;

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return XDP_PASS;
	switch (ip->protocol) {
	case IPPROTO_ICMP:
		class = class_of_type(icmp->type);
		break;
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		class = class_of_port(bpf_ntohs(udp->dest));
		break;
	}
	by_class[class & 7]++;
	return action_of_protocol[ip->protocol];
}

char _license[] SEC("license") = "Dual BSD/GPL";
