/* SPDX-License-Identifier: BSD-3-Clause */
/* Which devices a cgroup may open: a list in read-only data. */
#include <bpf/helpers.h>

#define BLOCK 1
#define CHAR  2
#define READ  2
#define WRITE 4

struct rule {
	__u16 kind, access;
	__u32 major, minor;
};

static const struct rule rules[] = {
	{CHAR, READ | WRITE, 1, 3},     /* null */
	{CHAR, READ | WRITE, 1, 5},     /* zero */
	{CHAR, READ, 1, 8},             /* random */
	{CHAR, READ, 1, 9},             /* urandom */
	{CHAR, READ | WRITE, 5, 0},     /* tty */
	{BLOCK, READ, 7, 0},            /* loop0 */
};

SEC("cgroup/dev")
int cgroup_device(struct bpf_cgroup_dev_ctx *ctx)
{
	__u32 kind = ctx->access_type & 0xffff, access = ctx->access_type >> 16;
	__u32 major = ctx->major, minor = ctx->minor;

	for (unsigned int i = 0; i < ARRAY_SIZE(rules); i++) {
		const volatile struct rule *rule = &rules[i];

		if (rule->kind == kind && rule->major == major && rule->minor == minor)
			return (access & ~rule->access) == 0;
	}
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
