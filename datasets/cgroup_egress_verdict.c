// rejected: At program exit the register R0 has smin=0 smax=7 should have been in [0, 3]
/* SPDX-License-Identifier: BSD-3-Clause */
/* cgroup_egress that returns a number of the packet: only 0 to 3 mean something to the kernel. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

SEC("cgroup_skb/egress")
int cgroup_egress_verdict(struct __sk_buff *skb)
{
	return skb->mark & 7;
}

char _license[] SEC("license") = "Dual BSD/GPL";
