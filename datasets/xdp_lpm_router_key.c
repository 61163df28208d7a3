// rejected: invalid read from stack R2 off=-4 size=8
/* SPDX-License-Identifier: BSD-3-Clause */
/* xdp_lpm_router whose key has only its first half on the stack: the map reads eight bytes, the frame ends after four. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct route_key {
	__u32  length;
	__be32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct route_key);
	__type(value, __u32);
} routes SEC(".maps");

SEC("xdp")
int xdp_lpm_router_key(struct xdp_md *ctx)
{
	__u32 length = 32, *port = bpf_map_lookup_elem(&routes, &length);

	return port ? XDP_REDIRECT : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
