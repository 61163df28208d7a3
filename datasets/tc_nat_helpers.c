/* SPDX-License-Identifier: BSD-3-Clause */
/* Destination NAT with the helpers made for it: stores through the socket buffer, incremental checksum helpers, and
 * bpf_csum_diff for what they cannot do. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

#define IP_CHECK (ETH_HLEN + offsetof(struct iphdr, check))
#define IP_DADDR (ETH_HLEN + offsetof(struct iphdr, daddr))
#define L4       (ETH_HLEN + sizeof(struct iphdr))

const volatile __be32 virtual_address = bpf_htonl(0x0a000064);  /* 10.0.0.100 */
const volatile __be32 real_address = bpf_htonl(0x0a000002);     /* 10.0.0.2 */

SEC("tc")
int tc_nat_helpers(struct __sk_buff *skb)
{
	__be32 old = virtual_address, new = real_address;
	struct iphdr ip;
	__u32 check;
	__u64 flags;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) < 0 || ip.ihl != 5 || ip.daddr != old)
		return TC_ACT_OK;
	if (ip.protocol == IPPROTO_TCP) {
		check = L4 + offsetof(struct tcphdr, check);
		flags = BPF_F_PSEUDO_HDR | sizeof(old);
	} else if (ip.protocol == IPPROTO_UDP) {
		check = L4 + offsetof(struct udphdr, check);
		flags = BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | sizeof(old);
	} else {
		return TC_ACT_SHOT;
	}
	if (bpf_l4_csum_replace(skb, check, old, new, flags) < 0)
		return TC_ACT_SHOT;
	if (bpf_l3_csum_replace(skb, IP_CHECK, 0, bpf_csum_diff(&old, sizeof(old), &new, sizeof(new), 0), 0) < 0)
		return TC_ACT_SHOT;
	if (bpf_skb_store_bytes(skb, IP_DADDR, &new, sizeof(new), 0) < 0)
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
