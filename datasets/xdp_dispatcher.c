/* SPDX-License-Identifier: BSD-3-Clause */
/* Tail calls: a root program looks at the EtherType and jumps to the program for it; those jump on by protocol.  The
 * program array is filled when the object is loaded. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

enum { ON_IPV4, ON_IPV6, ON_ARP, ON_TCP, ON_UDP, STAGES };

int xdp_ipv4(struct xdp_md *ctx);
int xdp_ipv6(struct xdp_md *ctx);
int xdp_tcp(struct xdp_md *ctx);
int xdp_udp(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, STAGES);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct xdp_md *));
} stages SEC(".maps") = {
	.values = {
		[ON_IPV4] = (void *)&xdp_ipv4,
		[ON_IPV6] = (void *)&xdp_ipv6,
		[ON_TCP] = (void *)&xdp_tcp,
		[ON_UDP] = (void *)&xdp_udp,
	},
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STAGES + 1);
	__type(key, __u32);
	__type(value, __u64);
} visits SEC(".maps");

static __always_inline void visit(__u32 stage)
{
	__u64 *count = bpf_map_lookup_elem(&visits, &stage);

	if (count)
		*count += 1;
}

SEC("xdp")
int xdp_dispatcher(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	visit(STAGES);
	if ((void *)(eth + 1) > end)
		return XDP_DROP;
	if (eth->h_proto == bpf_htons(ETH_P_IP))
		bpf_tail_call(ctx, &stages, ON_IPV4);
	else if (eth->h_proto == bpf_htons(ETH_P_IPV6))
		bpf_tail_call(ctx, &stages, ON_IPV6);
	else if (eth->h_proto == bpf_htons(ETH_P_ARP))
		bpf_tail_call(ctx, &stages, ON_ARP);    /* nobody there: falls through */
	return XDP_PASS;
}

SEC("xdp")
int xdp_ipv4(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;

	visit(ON_IPV4);
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	if (ip->protocol == IPPROTO_TCP)
		bpf_tail_call(ctx, &stages, ON_TCP);
	if (ip->protocol == IPPROTO_UDP)
		bpf_tail_call(ctx, &stages, ON_UDP);
	return XDP_PASS;
}

SEC("xdp")
int xdp_ipv6(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip = data + ETH_HLEN;

	visit(ON_IPV6);
	if ((void *)(ip + 1) > end)
		return XDP_DROP;
	return ip->hop_limit > 1 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int xdp_tcp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = data + ETH_HLEN + sizeof(*ip);

	visit(ON_TCP);
	if ((void *)(tcp + 1) > end)
		return XDP_DROP;
	return tcp->syn && tcp->fin ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int xdp_udp(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = data + ETH_HLEN + sizeof(*ip);

	visit(ON_UDP);
	if ((void *)(udp + 1) > end)
		return XDP_DROP;
	return udp->source == udp->dest ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
