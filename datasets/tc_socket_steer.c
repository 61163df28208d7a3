/* SPDX-License-Identifier: BSD-3-Clause */
/* Looks up the socket that a packet is for; marks packets that have a listener, drops TCP that has none.  A socket that was
 * found is a reference, and must be released on every path. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

SEC("tc/ingress")
int tc_socket_steer(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sock;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return TC_ACT_OK;
	tuple.ipv4.saddr = ip->saddr;
	tuple.ipv4.daddr = ip->daddr;
	tuple.ipv4.sport = tcp->source;
	tuple.ipv4.dport = tcp->dest;
	sock = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return TC_ACT_SHOT;
	if (sock->state == 10)          /* listening */
		skb->mark = sock->mark | 0x100;
	else
		skb->mark = sock->mark;
	bpf_sk_release(sock);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
