/* SPDX-License-Identifier: BSD-3-Clause */
/* Egress policy of a cgroup: destinations are allowed by longest prefix, with a default; every decision is counted by
 * prefix length.  Returns 1 to let the packet out. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct prefix {
	__u32 length;
	__u8  address[16];
};

struct policy {
	__u32 allow;
	__u32 length;
	__u64 packets;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, struct policy);
} policies SEC(".maps");

const volatile __u32 allow_by_default = 1;
__u64 allowed, denied;

SEC("cgroup_skb/egress")
int cgroup_egress(struct __sk_buff *skb)
{
	struct prefix key = {};
	struct policy *policy;
	__u32 allow = allow_by_default;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
			return 0;
		key.length = 128;
		key.address[10] = key.address[11] = 0xff;       /* IPv4-mapped */
		memcpy(&key.address[12], &ip.daddr, 4);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) < 0)
			return 0;
		key.length = 128;
		memcpy(key.address, &ip.daddr, 16);
	} else {
		return 1;
	}
	policy = bpf_map_lookup_elem(&policies, &key);
	if (policy) {
		__sync_fetch_and_add(&policy->packets, 1);
		allow = policy->allow;
	}
	if (allow) {
		__sync_fetch_and_add(&allowed, 1);
		return 1;
	}
	__sync_fetch_and_add(&denied, 1);
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
