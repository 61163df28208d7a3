/* SPDX-License-Identifier: BSD-3-Clause */
/* Library bytes: takes the context, calls a helper with it, and a function that it calls back. */
#include <bpf/endian.h>
#include <bpf/library.h>
#include "bytes.h"

BPF_LIBRARY("bytes 1.1");

struct walk {
	struct __sk_buff *skb;
	__u32 offset;
	__u32 hash;
};

__noinline long bytes_word(struct __sk_buff *skb, __u32 offset)
{
	__u32 word;

	if (bpf_skb_load_bytes(skb, offset, &word, sizeof(word)) < 0)
		return -1;
	return bpf_ntohl(word);
}

static long mix(__u32 i, struct walk *w)
{
	long word = bytes_word(w->skb, w->offset + 4 * i);

	if (word < 0)
		return 1;
	w->hash = (w->hash ^ (__u32)word) * 0x01000193;
	return 0;
}

__noinline int bytes_hash(struct __sk_buff *skb, __u32 offset, __u32 *hash)
{
	struct walk w = {skb, offset, 0x811c9dc5};
	long done = bpf_loop(8, mix, &w, 0);

	if (!hash)
		return -1;
	*hash = w.hash;
	return done;
}

char _license[] SEC("license") = "Dual BSD/GPL";
