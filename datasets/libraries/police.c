/* SPDX-License-Identifier: BSD-3-Clause */
/* A classifier over three libraries: it marks a packet with the folded hash of its first bytes and the times it was seen. */
#include <bpf/library.h>
#include "bytes.h"
#include "checksum.h"
#include "counters.h"

BPF_NEEDS("bytes 1");
BPF_NEEDS("checksum 1.2");
BPF_NEEDS("counters 2");

SEC("tc")
int police(struct __sk_buff *skb)
{
	struct count count = {};
	__u32 hash = 0;
	int words = bytes_hash(skb, 14, &hash);

	if (words < 2)
		return TC_ACT_UNSPEC;
	if (counters_add(hash, skb->len) < 0 || counters_get(hash, &count) < 0)
		return TC_ACT_SHOT;
	skb->mark = checksum_fold(checksum_add(hash, bytes_word(skb, 26))) << 16 | (count.packets & 0xffff);
	return count.packets > 2 ? TC_ACT_SHOT : TC_ACT_OK;
}

char _license[] SEC("license") = "Dual BSD/GPL";
