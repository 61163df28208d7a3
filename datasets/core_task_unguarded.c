// rejected: invalid func unknown#195896080
/* SPDX-License-Identifier: BSD-3-Clause */
/* core_task that reads a field which no kernel has, without asking first whether it exists. */
#include <bpf/core.h>

CORE_BEGIN
struct task_struct {
	int pid;
	long happiness;
};
CORE_END

long last;

SEC("tp/sched/sched_process_exec")
int core_task_unguarded(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	last = BPF_CORE_READ(task, happiness);
	return 0;
}

char _license[] SEC("license") = "GPL";
