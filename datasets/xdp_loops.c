/* SPDX-License-Identifier: BSD-3-Clause */
/* Bounded loops: a checksum over the UDP payload, a walk over TCP options, and a search for a byte; each has a bound that
 * does not depend on the packet. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

#define MAX_WORDS   64
#define MAX_OPTIONS 10

__u32 last_sum;
__u16 last_mss;

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

static __always_inline __u32 sum_payload(void *at, void *end)
{
	__u32 sum = 0;

	for (int i = 0; i < MAX_WORDS; i++) {
		__u16 *word = at;

		if ((void *)(word + 1) > end)
			break;
		sum += *word;
		at = word + 1;
	}
	return fold(sum);
}

/* The maximum segment size among the options, 0 if there is none. */
static __always_inline __u16 find_mss(struct tcphdr *tcp, void *end)
{
	__u8 *option = (void *)(tcp + 1);
	__u8 *last = (void *)tcp + tcp->doff * 4;

	for (int i = 0; i < MAX_OPTIONS; i++) {
		if (option + 4 > last || (void *)(option + 4) > end)
			return 0;
		if (option[0] == 0)
			return 0;
		if (option[0] == 1) {
			option++;
			continue;
		}
		if (option[0] == 2)
			return option[2] << 8 | option[3];
		if (option[1] < 2)
			return 0;
		option += option[1] & 63;
	}
	return 0;
}

SEC("xdp")
int xdp_loops(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->ihl != 5)
		return XDP_PASS;
	if (ip->protocol == IPPROTO_UDP) {
		last_sum = sum_payload(udp + 1, end);
		return last_sum == 0xffff ? XDP_DROP : XDP_PASS;
	}
	if (ip->protocol == IPPROTO_TCP && (void *)(tcp + 1) <= end && tcp->syn) {
		last_mss = find_mss(tcp, end);
		return last_mss && last_mss < 536 ? XDP_DROP : XDP_PASS;
	}
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
