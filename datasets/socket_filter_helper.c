// rejected: program of this type cannot use helper bpf_xdp_adjust_tail#65
/* SPDX-License-Identifier: BSD-3-Clause */
/* socket_filter that calls a helper which exists only for XDP programs. */
#include <bpf/helpers.h>

SEC("socket")
int socket_filter_helper(struct __sk_buff *skb)
{
	return bpf_xdp_adjust_tail((void *)skb, -4) ? 0 : -1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
