/* SPDX-License-Identifier: BSD-3-Clause */
/* How long runnable tasks wait for a CPU: a histogram in powers of two of microseconds, from wakeup to switch. */
#include <bpf/helpers.h>
#include <bpf/tracing.h>

#define BUCKETS 26

struct wakeup_args {
	struct trace_entry ent;
	char  comm[16];
	__s32 pid, prio, target_cpu;
};

struct switch_args {
	struct trace_entry ent;
	char  prev_comm[16];
	__s32 prev_pid, prev_prio;
	__s64 prev_state;
	char  next_comm[16];
	__s32 next_pid, next_prio;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u64);
} woken SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, BUCKETS);
	__type(key, __u32);
	__type(value, __u64);
} histogram SEC(".maps");

static __always_inline __u32 log2_of(__u64 value)
{
	__u32 high = value >> 32, low = value, result = 0;

	if (high) {
		result = 32;
		low = high;
	}
	if (low >> 16) { result += 16; low >>= 16; }
	if (low >> 8)  { result += 8;  low >>= 8; }
	if (low >> 4)  { result += 4;  low >>= 4; }
	if (low >> 2)  { result += 2;  low >>= 2; }
	return result + (low >> 1);
}

SEC("tracepoint/sched/sched_wakeup")
int tp_wakeup(struct wakeup_args *args)
{
	__u32 pid = args->pid;
	__u64 now = bpf_ktime_get_ns();

	if (pid)
		bpf_map_update_elem(&woken, &pid, &now, BPF_ANY);
	return 0;
}

SEC("tracepoint/sched/sched_switch")
int tp_latency(struct switch_args *args)
{
	__u32 pid = args->next_pid, bucket;
	__u64 *since, *count, waited;

	since = bpf_map_lookup_elem(&woken, &pid);
	if (!since)
		return 0;
	waited = (bpf_ktime_get_ns() - *since) / 1000;
	bpf_map_delete_elem(&woken, &pid);
	bucket = log2_of(waited);
	if (bucket >= BUCKETS)
		bucket = BUCKETS - 1;
	count = bpf_map_lookup_elem(&histogram, &bucket);
	if (count)
		*count += 1;
	return 0;
}

char _license[] SEC("license") = "GPL";
