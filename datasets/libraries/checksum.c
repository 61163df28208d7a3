/* SPDX-License-Identifier: BSD-3-Clause */
/* Library checksum: no maps, no context, only numbers. */
#include <bpf/library.h>
#include "checksum.h"

BPF_LIBRARY("checksum 1.2");

static __noinline __u32 carry(__u32 sum)
{
	return (sum & 0xffff) + (sum >> 16);
}

__noinline __u32 checksum_add(__u32 sum, __u32 word)
{
	return carry(sum) + (word & 0xffff) + (word >> 16);
}

__noinline __u32 checksum_fold(__u32 sum)
{
	return carry(carry(sum));
}

char _license[] SEC("license") = "Dual BSD/GPL";
