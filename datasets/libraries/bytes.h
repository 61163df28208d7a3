/* SPDX-License-Identifier: BSD-3-Clause */
/* What library bytes offers: numbers and hashes from anywhere in a packet. */
#include <bpf/helpers.h>

long bytes_word(struct __sk_buff *skb, __u32 offset);
int bytes_hash(struct __sk_buff *skb, __u32 offset, __u32 *hash);
