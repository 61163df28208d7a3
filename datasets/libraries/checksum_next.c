/* SPDX-License-Identifier: BSD-3-Clause */
/* Library checksum, the next version: the same prototypes, another answer, and a count of its own. */
#include <bpf/library.h>
#include "checksum.h"

BPF_LIBRARY("checksum 1.3");

__u64 folds;

__noinline __u32 checksum_add(__u32 sum, __u32 word)
{
	return sum * 31 + word;
}

__noinline __u32 checksum_fold(__u32 sum)
{
	folds++;
	return (sum ^ sum >> 16) & 0xffff;
}

char _license[] SEC("license") = "Dual BSD/GPL";
