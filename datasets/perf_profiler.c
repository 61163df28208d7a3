/* SPDX-License-Identifier: BSD-3-Clause */
/* Profiler: samples stacks of kernel and user and counts identical ones; a stack trace map holds them. */
#include <bpf/helpers.h>

struct key {
	__u32 process;
	__s32 kernel_stack, user_stack;
	char  comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 1024);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, 127 * sizeof(__u64));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct key);
	__type(value, __u64);
} counts SEC(".maps");

SEC("perf_event")
int perf_profiler(struct bpf_perf_event_data *ctx)
{
	struct key key = {};
	__u64 one = 1, *count;

	key.process = bpf_get_current_pid_tgid() >> 32;
	if (!key.process)
		return 0;
	key.kernel_stack = bpf_get_stackid(ctx, &stacks, 0);
	key.user_stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	count = bpf_map_lookup_elem(&counts, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&counts, &key, &one, BPF_NOEXIST);
	return 0;
}

char _license[] SEC("license") = "GPL";
