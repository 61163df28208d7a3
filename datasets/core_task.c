/* SPDX-License-Identifier: BSD-3-Clause */
/* CO-RE tracing: who started what, at every exec.  Offsets of kernel fields are put in by the loader; a field that moved
 * to another structure, or got another name, is found by asking what exists. */
#include <bpf/core.h>
#include <bpf/helpers.h>

CORE_BEGIN
struct signal_struct {
	int nr_threads;
};

struct task_struct {
	int pid, tgid;
	struct task_struct *real_parent;
	struct signal_struct *signal;
	char comm[16];
	unsigned in_iowait : 1;
	long __state;
	__u64 start_boottime;
};

struct task_struct___old {              /* before 5.14 */
	long state;
	__u64 real_start_time;          /* before 5.5 */
};
CORE_END

struct started {
	__u64 since;
	__u32 pid, parent, threads, waiting;
	__s64 state;
	char  comm[16], parent_comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} events SEC(".maps");

SEC("tp/sched/sched_process_exec")
int core_task(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task(), *parent;
	struct task_struct___old *old = (void *)task;
	struct started started = {};

	parent = BPF_CORE_READ(task, real_parent);
	started.pid = BPF_CORE_READ(task, tgid);
	started.parent = BPF_CORE_READ(parent, tgid);
	started.threads = BPF_CORE_READ(task, signal, nr_threads);
	started.waiting = BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait);
	if (bpf_core_field_exists(task->__state))
		started.state = BPF_CORE_READ(task, __state);
	else
		started.state = BPF_CORE_READ(old, state);
	if (bpf_core_field_exists(task->start_boottime))
		started.since = BPF_CORE_READ(task, start_boottime);
	else
		started.since = BPF_CORE_READ(old, real_start_time);
	bpf_core_read_str(started.comm, sizeof(started.comm), &task->comm);
	bpf_core_read_str(started.parent_comm, sizeof(started.parent_comm), &parent->comm);
	bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &started, sizeof(started));
	return 0;
}

char _license[] SEC("license") = "GPL";
