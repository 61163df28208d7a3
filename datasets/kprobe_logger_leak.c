// rejected: BPF_EXIT instruction in main prog would lead to reference leak
/* SPDX-License-Identifier: BSD-3-Clause */
/* kprobe_logger that forgets its record when the path cannot be read: a reservation must be submitted or discarded. */
#include <bpf/helpers.h>
#include <bpf/tracing.h>

struct record {
	__u64 time;
	char  path[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} records SEC(".maps");

SEC("kprobe/do_sys_openat2")
int kprobe_logger_leak(struct pt_regs *regs)
{
	struct record *record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);

	if (!record)
		return 0;
	record->time = bpf_ktime_get_ns();
	if (bpf_probe_read_user_str(record->path, sizeof(record->path), (void *)PT_REGS_PARM2(regs)) < 0)
		return 0;                       /* the record stays reserved for ever */
	bpf_ringbuf_submit(record, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
