/* SPDX-License-Identifier: BSD-3-Clause */
/* TC classifier: maps DSCP to a class and a mark, marks DNS, and drops what claims an address that it must not. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

enum { BEST_EFFORT = 1, BULK, INTERACTIVE, REALTIME, CLASSES };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CLASSES);
	__type(key, __u32);
	__type(value, __u64);
} bytes SEC(".maps");

static __always_inline __u32 class_of(__u8 tos)
{
	switch (tos >> 2) {
	case 46:                        /* expedited forwarding */
	case 44:
		return REALTIME;
	case 34: case 36: case 38:      /* assured forwarding 4x */
	case 26: case 28: case 30:
		return INTERACTIVE;
	case 8:                         /* lower effort */
	case 10: case 12: case 14:
		return BULK;
	}
	return BEST_EFFORT;
}

SEC("tc")
int tc_classifier(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	__u32 class = BEST_EFFORT;
	__u64 *total;

	if ((void *)(eth + 1) > end)
		return TC_ACT_SHOT;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return TC_ACT_SHOT;
		if ((ip->saddr & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000))
			return TC_ACT_SHOT;
		class = class_of(ip->tos);
		if (ip->protocol == IPPROTO_UDP) {
			struct udphdr *udp = (void *)ip + ip->ihl * 4;

			if ((void *)(udp + 1) <= end && udp->dest == bpf_htons(53))
				skb->mark = 53;
		}
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(eth + 1);

		if ((void *)(ip + 1) > end)
			return TC_ACT_SHOT;
		class = class_of(ip->priority << 4 | ip->flow_lbl[0] >> 4);
	}
	skb->tc_classid = class;
	skb->priority = class == REALTIME ? 6 : class == INTERACTIVE ? 4 : 0;
	skb->cb[0] = class;
	total = bpf_map_lookup_elem(&bytes, &class);
	if (total)
		*total += skb->len;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
