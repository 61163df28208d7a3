// rejected: invalid bpf_context access off=0 size=4
/* SPDX-License-Identifier: BSD-3-Clause */
/* tc_classifier that changes the length of the packet in its context: that field is read-only. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

SEC("tc")
int tc_classifier_readonly(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	void *end = (void *)(long)skb->data_end;
	struct ethhdr *eth = data;

	if ((void *)(eth + 1) > end)
		return TC_ACT_SHOT;
	skb->mark = eth->h_proto;               /* may be written */
	skb->len = sizeof(*eth);                /* may not */
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
