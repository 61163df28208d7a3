/* SPDX-License-Identifier: BSD-3-Clause */
/* What library checksum offers: sums in one's complement, as IP has them. */
#include <bpf/helpers.h>

__u32 checksum_add(__u32 sum, __u32 word);
__u32 checksum_fold(__u32 sum);
