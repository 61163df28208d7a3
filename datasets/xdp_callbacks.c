/* SPDX-License-Identifier: BSD-3-Clause */
/* Functions that the kernel calls back: bpf_loop over payload bytes, bpf_for_each_map_elem over counters, and a timer that
 * would age them. */
#include <bpf/endian.h>
#include <bpf/helpers.h>
#include <bpf/net.h>

#define CLOCK_MONOTONIC 1

struct counter {
	__u64 packets;
	__u64 score;
};

struct ager {
	struct bpf_timer timer;
	__u64 runs;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ager);
} agers SEC(".maps");

struct search {
	struct xdp_md *ctx;
	__u32 start, found, zeros;
};

static long look(__u32 index, struct search *search)
{
	__u8 byte;

	if (bpf_xdp_load_bytes(search->ctx, search->start + index, &byte, 1) < 0)
		return 1;               /* past the end: stop */
	if (!byte)
		search->zeros++;
	if (byte == '!')
		search->found = index + 1;
	return search->found != 0;
}

static long add_up(struct bpf_map *map, __u32 *key, struct counter *counter, __u64 *total)
{
	*total += counter->packets;
	return 0;
}

static int age(void *map, __u32 *key, struct ager *ager)
{
	ager->runs++;
	return 0;
}

SEC("xdp")
int xdp_callbacks(struct xdp_md *ctx)
{
	struct search search = {.ctx = ctx, .start = ETH_HLEN};
	struct counter *counter;
	struct ager *ager;
	__u64 total = 0;
	__u32 key = 0, which;

	bpf_loop(256, look, &search, 0);
	which = ctx->rx_queue_index & 7;
	counter = bpf_map_lookup_elem(&counters, &which);
	if (counter) {
		counter->packets++;
		counter->score += search.zeros;
	}
	bpf_for_each_map_elem(&counters, add_up, &total, 0);
	ager = bpf_map_lookup_elem(&agers, &key);
	if (ager && total == 1) {
		bpf_timer_init(&ager->timer, &agers, CLOCK_MONOTONIC);
		bpf_timer_set_callback(&ager->timer, age);
		bpf_timer_start(&ager->timer, 1000000000, 0);
	}
	return search.found ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "Dual BSD/GPL";
