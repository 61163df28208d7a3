/* SPDX-License-Identifier: BSD-3-Clause */
/* Counts system calls: by number for the whole machine, and in total for each process (by its thread group). */
#include <bpf/helpers.h>

#define SYSCALLS 512

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} by_process SEC(".maps");

__u64 by_number[SYSCALLS];
__u64 out_of_range;

SEC("raw_tracepoint/sys_enter")
int raw_tp_syscalls(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 number = ctx->args[1], one = 1, *count;
	__u32 process = bpf_get_current_pid_tgid() >> 32;

	if (number < SYSCALLS)
		__sync_fetch_and_add(&by_number[number], 1);
	else
		__sync_fetch_and_add(&out_of_range, 1);
	count = bpf_map_lookup_elem(&by_process, &process);
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&by_process, &process, &one, BPF_NOEXIST);
	return 0;
}

char _license[] SEC("license") = "GPL";
