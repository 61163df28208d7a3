/* SPDX-License-Identifier: BSD-3-Clause */
/* Connection tracking for TCP: a state machine in an LRU map that both directions of a flow share; what does not fit the
 * state is dropped. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

enum state { NONE, SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT, CLOSING, CLOSED };

struct flow {
	__be32 low, high;
	__be16 low_port, high_port;
};

struct connection {
	__u32 state;
	__u32 initiator_is_low;
	__u64 packets[2], bytes[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct flow);
	__type(value, struct connection);
} connections SEC(".maps");

static __noinline __u32 next_state(__u32 state, __u32 flags, __u32 forward)
{
	__u32 syn = flags & 1, ack = flags & 2, fin = flags & 4, rst = flags & 8;

	if (rst)
		return CLOSED;
	switch (state) {
	case SYN_SENT:
		return syn && ack && !forward ? SYN_RECEIVED : syn && forward ? SYN_SENT : NONE;
	case SYN_RECEIVED:
		return ack && !syn && forward ? ESTABLISHED : syn && ack && !forward ? SYN_RECEIVED : NONE;
	case ESTABLISHED:
		return syn ? NONE : fin ? FIN_WAIT : ESTABLISHED;
	case FIN_WAIT:
		return fin ? CLOSING : FIN_WAIT;
	case CLOSING:
		return ack ? CLOSED : CLOSING;
	}
	return NONE;
}

SEC("xdp")
int xdp_conntrack(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct connection *c, fresh = {};
	struct flow flow;
	__u32 from_low, flags, state, forward;

	if ((void *)(tcp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (ip->ihl != 5 || ip->protocol != IPPROTO_TCP)
		return XDP_PASS;
	from_low = ip->saddr < ip->daddr || (ip->saddr == ip->daddr && tcp->source < tcp->dest);
	flow.low = from_low ? ip->saddr : ip->daddr;
	flow.high = from_low ? ip->daddr : ip->saddr;
	flow.low_port = from_low ? tcp->source : tcp->dest;
	flow.high_port = from_low ? tcp->dest : tcp->source;
	flags = tcp->syn | tcp->ack << 1 | tcp->fin << 2 | tcp->rst << 3;
	c = bpf_map_lookup_elem(&connections, &flow);
	if (!c) {
		if (flags != 1)
			return XDP_DROP;
		fresh.state = SYN_SENT;
		fresh.initiator_is_low = from_low;
		fresh.packets[0] = 1;
		fresh.bytes[0] = end - data;
		bpf_map_update_elem(&connections, &flow, &fresh, BPF_NOEXIST);
		return XDP_PASS;
	}
	forward = c->initiator_is_low == from_low;
	state = next_state(c->state, flags, forward);
	if (state == NONE)
		return XDP_DROP;
	c->state = state;
	c->packets[!forward]++;
	c->bytes[!forward] += end - data;
	if (state == CLOSED)
		bpf_map_delete_elem(&connections, &flow);
	return XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
