// rejected: BPF_EXIT instruction in main prog would lead to reference leak
/* SPDX-License-Identifier: BSD-3-Clause */
/* tc_socket_steer that keeps the socket when it is not listening: every reference must be released on every path. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

SEC("tc/ingress")
int tc_socket_steer_leak(struct __sk_buff *skb)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sock;

	tuple.ipv4.dport = bpf_htons(80);
	sock = bpf_sk_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return TC_ACT_OK;
	if (sock->state != 10)
		return TC_ACT_SHOT;
	bpf_sk_release(sock);
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
