// rejected: R0 pointer arithmetic on map_value_or_null prohibited, null-check it first
/* SPDX-License-Identifier: BSD-3-Clause */
/* tc_queues that does arithmetic on the pointer to a map value which may be null. */
#include <bpf/helpers.h>

struct slots {
	__u32 marks[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct slots);
} recent SEC(".maps");

SEC("tc")
int tc_queues_pointer(struct __sk_buff *skb)
{
	__u32 key = skb->len & 3;
	__u32 *mark = bpf_map_lookup_elem(&recent, &key);

	mark += skb->queue_mapping & 7;
	barrier_var(mark);              /* keep the compiler from testing first */
	if (!mark)
		return TC_ACT_OK;
	*mark = skb->mark;
	return TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
