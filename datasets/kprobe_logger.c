/* SPDX-License-Identifier: BSD-3-Clause */
/* Logs opened files: a record of who and what goes to a ring buffer; when it is full, the loss is counted. */
#include <bpf/helpers.h>
#include <bpf/tracing.h>

struct record {
	__u64 time;
	__u32 process, thread, user;
	__s32 directory;
	char  comm[16];
	char  path[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} records SEC(".maps");

const volatile __u32 only_user = 0xffffffff;
__u64 lost;

SEC("kprobe/do_sys_openat2")
int kprobe_logger(struct pt_regs *regs)
{
	struct record *record;
	__u64 id = bpf_get_current_pid_tgid();
	__u32 user = bpf_get_current_uid_gid();

	if (only_user != 0xffffffff && user != only_user)
		return 0;
	record = bpf_ringbuf_reserve(&records, sizeof(*record), 0);
	if (!record) {
		__sync_fetch_and_add(&lost, 1);
		return 0;
	}
	record->time = bpf_ktime_get_ns();
	record->process = id >> 32;
	record->thread = id;
	record->user = user;
	record->directory = PT_REGS_PARM1(regs);
	bpf_get_current_comm(record->comm, sizeof(record->comm));
	if (bpf_probe_read_user_str(record->path, sizeof(record->path), (void *)PT_REGS_PARM2(regs)) < 0) {
		bpf_ringbuf_discard(record, 0);
		return 0;
	}
	bpf_ringbuf_submit(record, 0);
	return 0;
}

char _license[] SEC("license") = "GPL";
