// rejected: R0 max value is outside of the allowed memory range
/* SPDX-License-Identifier: BSD-3-Clause */
/* tp_latency that adds the bucket to a pointer without a bound: the histogram is 26 entries long, the logarithm of a
 * 64-bit number is anything up to 63 (and the verifier only knows that it is a number). */
#include <bpf/helpers.h>
#include <bpf/tracing.h>

#define BUCKETS 26

struct histogram {
	__u64 counts[BUCKETS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct histogram);
} histograms SEC(".maps");

SEC("tracepoint/sched/sched_switch")
int tp_latency_bucket(void *args)
{
	__u64 waited = bpf_ktime_get_ns() >> 10;
	struct histogram *histogram;
	__u32 zero = 0, bucket = 0;

	histogram = bpf_map_lookup_elem(&histograms, &zero);
	if (!histogram)
		return 0;
	if (waited >> 32) { bucket += 32; waited >>= 32; }
	if (waited >> 16) { bucket += 16; waited >>= 16; }
	if (waited >> 8)  { bucket += 8;  waited >>= 8; }
	if (waited >> 4)  { bucket += 4;  waited >>= 4; }
	bucket += waited;
	histogram->counts[bucket & 31]++;       /* 31 is not 25 */
	return 0;
}

char _license[] SEC("license") = "GPL";
