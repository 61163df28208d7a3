/* SPDX-License-Identifier: BSD-3-Clause */
/* Says it is library checksum, but checksum_fold takes a pointer: must be refused. */
#include <bpf/helpers.h>
#include <bpf/library.h>

BPF_LIBRARY("checksum 1.4");

__noinline __u32 checksum_add(__u32 sum, __u32 word)
{
	return sum + word;
}

__noinline __u32 checksum_fold(__u32 *sum)
{
	return sum ? *sum : 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
