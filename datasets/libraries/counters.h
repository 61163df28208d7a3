/* SPDX-License-Identifier: BSD-3-Clause */
/* What library counters offers: packets and bytes by a number of the caller's choice. */
#include <bpf/helpers.h>

struct count {
	__u64 packets;
	__u64 bytes;
};

int counters_add(__u32 key, __u64 bytes);
int counters_get(__u32 key, struct count *out);
