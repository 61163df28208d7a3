/* SPDX-License-Identifier: BSD-3-Clause */
/* DNS filter: reads the question's name label by label, hashes it in lower case, and drops queries for names on a list; the
 * response code of answers is counted. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

#define MAX_NAME 64

struct dnshdr {
	__be16 id, flags, questions, answers, authorities, additional;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} blocked_names SEC(".maps");

__u64 queries, malformed, responses[16];

SEC("xdp")
int xdp_dns(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct dnshdr *dns = (void *)(udp + 1);
	__u8 *at = (void *)(dns + 1);
	__u32 hash = 0x811c9dc5, left = 0, *action;

	if ((void *)(dns + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	if (udp->source == bpf_htons(53)) {
		responses[bpf_ntohs(dns->flags) & 15]++;
		return XDP_PASS;
	}
	if (udp->dest != bpf_htons(53) || dns->questions != bpf_htons(1))
		return XDP_PASS;
	queries++;
	for (int i = 0; i < MAX_NAME; i++) {
		__u8 byte;

		if ((void *)(at + 1) > end)
			goto bad;
		byte = *at++;
		if (!left) {
			if (!byte)
				goto whole;
			if (byte > 63)
				goto bad;       /* a pointer has no place in a question */
			left = byte;
			byte = '.';
		} else {
			left--;
			if (byte >= 'A' && byte <= 'Z')
				byte += 'a' - 'A';
		}
		hash = (hash ^ byte) * 0x01000193;
	}
bad:
	malformed++;
	return XDP_DROP;
whole:
	action = bpf_map_lookup_elem(&blocked_names, &hash);
	return action ? (*action & 1 ? XDP_DROP : XDP_PASS) : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
