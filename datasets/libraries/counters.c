/* SPDX-License-Identifier: BSD-3-Clause */
/* Library counters: a map of its own, global data, and a library that it needs itself. */
#include <bpf/library.h>
#include "checksum.h"
#include "counters.h"

BPF_LIBRARY("counters 2.0");
BPF_NEEDS("checksum 1.2");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct count);
} counts SEC(".maps");

__u64 calls;

__noinline int counters_add(__u32 key, __u64 bytes)
{
	struct count fresh = {1, bytes}, *known;

	calls++;
	key = checksum_fold(key);
	known = bpf_map_lookup_elem(&counts, &key);
	if (known) {
		known->packets++;
		known->bytes += bytes;
		return 0;
	}
	return bpf_map_update_elem(&counts, &key, &fresh, BPF_NOEXIST) ? -1 : 1;
}

__noinline int counters_get(__u32 key, struct count *out)
{
	struct count *known;

	if (!out)
		return -1;
	key = checksum_fold(key);
	known = bpf_map_lookup_elem(&counts, &key);
	if (!known)
		return -1;
	*out = *known;
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
