/* SPDX-License-Identifier: BSD-3-Clause */
/* Library checksum, too old for its users, and without one of the functions. */
#include <bpf/helpers.h>
#include <bpf/library.h>

BPF_LIBRARY("checksum 1.0");

__noinline __u32 checksum_add(__u32 sum, __u32 word)
{
	return sum + word;
}

char _license[] SEC("license") = "Dual BSD/GPL";
