/* SPDX-License-Identifier: BSD-3-Clause */
/* Two socket filters.  `socket_http` keeps TCP segments whose payload begins with an HTTP method; `socket_classic` does
 * what a classic filter ("udp port 53, IPv4 or IPv6") would, with the old packet load instructions.  Where a packet begins
 * depends on the socket, so both count from the network header. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

#define FROM_NETWORK 1                  /* of bpf_skb_load_bytes_relative */
#define NETWORK      (-0x100000)        /* of the packet load instructions */

unsigned long long load_byte(void *skb, unsigned long long offset) asm("llvm.bpf.load.byte");
unsigned long long load_half(void *skb, unsigned long long offset) asm("llvm.bpf.load.half");

SEC("socket")
int socket_http(struct __sk_buff *skb)
{
	struct iphdr ip;
	struct tcphdr tcp;
	char text[4];
	__u32 at;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	if (bpf_skb_load_bytes_relative(skb, 0, &ip, sizeof(ip), FROM_NETWORK) < 0 || ip.protocol != IPPROTO_TCP)
		return 0;
	at = ip.ihl * 4;
	if (bpf_skb_load_bytes_relative(skb, at, &tcp, sizeof(tcp), FROM_NETWORK) < 0)
		return 0;
	at += tcp.doff * 4;
	if (bpf_skb_load_bytes_relative(skb, at, text, sizeof(text), FROM_NETWORK) < 0)
		return 0;
	if (text[0] == 'G' && text[1] == 'E' && text[2] == 'T')
		return -1;
	if (text[0] == 'P' && (text[1] == 'O' || text[1] == 'U'))
		return -1;
	if (text[0] == 'H' && text[1] == 'T' && text[2] == 'T' && text[3] == 'P')
		return -1;
	return 0;
}

SEC("socket")
int socket_classic(struct __sk_buff *skb)
{
	__u32 at;

	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		if (load_byte(skb, NETWORK + 6) != IPPROTO_UDP)
			return 0;
		at = 40;
	} else if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (load_byte(skb, NETWORK + 9) != IPPROTO_UDP)
			return 0;
		if (load_half(skb, NETWORK + 6) & 0x1fff)
			return 0;
		at = (load_byte(skb, NETWORK) & 15) * 4;
	} else {
		return 0;
	}
	if (load_half(skb, NETWORK + at) == 53 || load_half(skb, NETWORK + at + 2) == 53)
		return 0xffff;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
