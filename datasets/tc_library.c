/* SPDX-License-Identifier: BSD-3-Clause */
/* A library of functions that call each other (bpf-to-bpf): static ones, which the verifier walks into at every call, and
 * global ones, which it checks once by their types.  The program answers: is the IPv4 header sum right, is the flow new? */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} flows SEC(".maps");

/* Static: may take pointers of any kind; here the header is a copy on the stack. */
static __noinline __u32 sum_words(const __u16 *words, __u32 count)
{
	__u32 sum = 0;

	for (__u32 i = 0; i < 10 && i < count; i++)
		sum += words[i];
	return sum;
}

static __noinline __u32 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* Global: only numbers in and out. */
__noinline __u32 mix(__u32 a, __u32 b)
{
	a ^= b >> 15;
	a *= 0x85ebca6b;
	a ^= a >> 13;
	return a * 0xc2b2ae35 ^ a >> 16;
}

__noinline int remember(__u32 hash)
{
	__u64 one = 1, *count = bpf_map_lookup_elem(&flows, &hash);

	if (count) {
		__sync_fetch_and_add(count, 1);
		return 0;
	}
	bpf_map_update_elem(&flows, &hash, &one, BPF_NOEXIST);
	return 1;
}

__hidden __noinline int header_is_good(struct __sk_buff *skb, struct iphdr *ip)
{
	if (bpf_skb_load_bytes(skb, ETH_HLEN, ip, sizeof(*ip)) < 0)
		return 0;
	if (ip->version != 4 || ip->ihl != 5)
		return 0;
	return fold(sum_words((void *)ip, sizeof(*ip) / 2)) == 0xffff;
}

SEC("tc")
int tc_library(struct __sk_buff *skb)
{
	struct iphdr ip = {};
	__u32 hash;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (!header_is_good(skb, &ip))
		return TC_ACT_SHOT;
	hash = mix(mix(ip.saddr, ip.daddr), ip.protocol);
	skb->cb[1] = remember(hash);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
