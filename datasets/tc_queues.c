/* SPDX-License-Identifier: BSD-3-Clause */
/* Queue and stack maps: packet lengths go through a queue of recent ones; interesting marks are pushed on a stack; when
 * the queue is full, the oldest is taken out and compared. */
#include <bpf/helpers.h>

struct seen {
	__u32 length, mark;
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16);
	__type(value, struct seen);
} recent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 8);
	__type(value, __u32);
} marks SEC(".maps");

SEC("tc")
int tc_queues(struct __sk_buff *skb)
{
	struct seen now = {skb->len, skb->mark}, oldest = {};
	__u32 top = 0;

	if (bpf_map_push_elem(&recent, &now, 0) < 0) {
		bpf_map_pop_elem(&recent, &oldest);
		bpf_map_push_elem(&recent, &now, 0);
	}
	if (skb->len > 1000 && bpf_map_push_elem(&marks, &now.length, BPF_EXIST) == 0 &&
	    bpf_map_peek_elem(&marks, &top) == 0 && top != skb->len)
		return TC_ACT_SHOT;     /* cannot be: what was pushed is on top */
	if (oldest.length > skb->len)
		skb->mark = oldest.length;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
