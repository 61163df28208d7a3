/* SPDX-License-Identifier: BSD-3-Clause */
/* Service addresses for a cgroup: connections to a virtual address are sent to a real one, a port can be forbidden, and the
 * number of connections is kept. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

struct address {
	__be32 ip;
	__be16 port;
	__u16  protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct address);
	__type(value, struct address);
} services SEC(".maps");

__u64 redirected, refused;

SEC("cgroup/connect4")
int cgroup_connect(struct bpf_sock_addr *ctx)
{
	struct address key = {
		.ip = ctx->user_ip4,
		.port = ctx->user_port,
		.protocol = ctx->protocol,
	};
	struct address *real = bpf_map_lookup_elem(&services, &key);

	if (real) {
		ctx->user_ip4 = real->ip;
		ctx->user_port = real->port;
		__sync_fetch_and_add(&redirected, 1);
		return 1;
	}
	if (key.protocol == IPPROTO_TCP && key.port == bpf_htons(25)) {
		__sync_fetch_and_add(&refused, 1);
		return 0;
	}
	return 1;
}

char _license[] SEC("license") = "Dual BSD/GPL";
