/* SPDX-License-Identifier: BSD-3-Clause */
/* Says it is library checksum, but reads where a number points: the verifier must refuse it. */
#include <bpf/library.h>
#include "checksum.h"

BPF_LIBRARY("checksum 1.5");

__noinline __u32 checksum_add(__u32 sum, __u32 word)
{
	return sum + *(__u32 *)(long)word;
}

__noinline __u32 checksum_fold(__u32 sum)
{
	return sum & 0xffff;
}

char _license[] SEC("license") = "Dual BSD/GPL";
