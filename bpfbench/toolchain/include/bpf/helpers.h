/* SPDX-License-Identifier: BSD-3-Clause */
/* Sections, map declarations, and the kernel's helper functions. */
#ifndef BPFBENCH_HELPERS_H
#define BPFBENCH_HELPERS_H

#include <bpf/bpf.h>

/* SEC("xdp") puts a program (or map, license, …) into a section; the section's name says what it is. */
#define SEC(name) __attribute__((section(name), used))

#define __noinline     __attribute__((noinline))
#define __always_inline inline __attribute__((always_inline))
#define __hidden       __attribute__((visibility("hidden")))
#define __weak         __attribute__((weak))
#define __ksym         __attribute__((section(".ksyms")))
#define __kconfig      __attribute__((section(".kconfig")))
#define __kptr         __attribute__((btf_type_tag("kptr")))
#define __arg_ctx      __attribute__((btf_decl_tag("arg:ctx")))
#define __arg_nonnull  __attribute__((btf_decl_tag("arg:nonnull")))
#define __packed       __attribute__((packed))

/* Members of a map declared in SEC(".maps"): __uint(max_entries, 64); __type(key, __u32); … */
#define __uint(name, value)  int (*name)[value]
#define __type(name, what)   typeof(what) *name
#define __array(name, what)  typeof(what) *name[]

#define LIBBPF_PIN_NONE    0
#define LIBBPF_PIN_BY_NAME 1

/* The compiler must not look through these. */
#define barrier()        asm volatile("" ::: "memory")
#define barrier_var(var) asm volatile("" : "+r"(var))

#define offsetof(type, member) __builtin_offsetof(type, member)
#define sizeof_field(type, member) sizeof(((type *)0)->member)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define memcpy(to, from, size)  __builtin_memcpy(to, from, size)
#define memmove(to, from, size) __builtin_memmove(to, from, size)
#define memset(to, byte, size)  __builtin_memset(to, byte, size)

/* A helper is called by its number. */
#define BPF_HELPER(number, result, name, ...) static result (*const name)(__VA_ARGS__) = (void *)number

/* maps */
BPF_HELPER(1,   void *, bpf_map_lookup_elem, void *map, const void *key);
BPF_HELPER(2,   long,   bpf_map_update_elem, void *map, const void *key, const void *value, __u64 flags);
BPF_HELPER(3,   long,   bpf_map_delete_elem, void *map, const void *key);
BPF_HELPER(87,  long,   bpf_map_push_elem, void *map, const void *value, __u64 flags);
BPF_HELPER(88,  long,   bpf_map_pop_elem, void *map, void *value);
BPF_HELPER(89,  long,   bpf_map_peek_elem, void *map, void *value);
BPF_HELPER(164, long,   bpf_for_each_map_elem, void *map, void *callback, void *ctx, __u64 flags);
BPF_HELPER(195, void *, bpf_map_lookup_percpu_elem, void *map, const void *key, __u32 cpu);
BPF_HELPER(93,  void,   bpf_spin_lock, struct bpf_spin_lock *lock);
BPF_HELPER(94,  void,   bpf_spin_unlock, struct bpf_spin_lock *lock);

/* any program */
BPF_HELPER(5,   __u64,  bpf_ktime_get_ns, void);
BPF_HELPER(125, __u64,  bpf_ktime_get_boot_ns, void);
BPF_HELPER(160, __u64,  bpf_ktime_get_coarse_ns, void);
BPF_HELPER(208, __u64,  bpf_ktime_get_tai_ns, void);
BPF_HELPER(118, __u64,  bpf_jiffies64, void);
BPF_HELPER(6,   long,   bpf_trace_printk, const char *format, __u32 size, ...);
BPF_HELPER(7,   __u32,  bpf_get_prandom_u32, void);
BPF_HELPER(8,   __u32,  bpf_get_smp_processor_id, void);
BPF_HELPER(42,  long,   bpf_get_numa_node_id, void);
BPF_HELPER(12,  long,   bpf_tail_call, void *ctx, void *programs, __u32 index);
BPF_HELPER(165, long,   bpf_snprintf, char *text, __u32 size, const char *format, __u64 *values, __u32 values_size);
BPF_HELPER(181, long,   bpf_loop, __u32 count, void *callback, void *ctx, __u64 flags);
BPF_HELPER(182, long,   bpf_strncmp, const char *a, __u32 size, const char *b);
BPF_HELPER(153, void *, bpf_per_cpu_ptr, const void *percpu, __u32 cpu);
BPF_HELPER(154, void *, bpf_this_cpu_ptr, const void *percpu);
BPF_HELPER(194, void *, bpf_kptr_xchg, void *slot, void *kptr);

/* output */
BPF_HELPER(25,  long,   bpf_perf_event_output, void *ctx, void *map, __u64 flags, void *sample, __u64 size);
BPF_HELPER(130, long,   bpf_ringbuf_output, void *ringbuf, void *sample, __u64 size, __u64 flags);
BPF_HELPER(131, void *, bpf_ringbuf_reserve, void *ringbuf, __u64 size, __u64 flags);
BPF_HELPER(132, void,   bpf_ringbuf_submit, void *sample, __u64 flags);
BPF_HELPER(133, void,   bpf_ringbuf_discard, void *sample, __u64 flags);
BPF_HELPER(134, __u64,  bpf_ringbuf_query, void *ringbuf, __u64 flags);
BPF_HELPER(209, long,   bpf_user_ringbuf_drain, void *map, void *callback, void *ctx, __u64 flags);

/* timers and dynamic pointers */
BPF_HELPER(169, long,   bpf_timer_init, struct bpf_timer *timer, void *map, __u64 flags);
BPF_HELPER(170, long,   bpf_timer_set_callback, struct bpf_timer *timer, void *callback);
BPF_HELPER(171, long,   bpf_timer_start, struct bpf_timer *timer, __u64 nanoseconds, __u64 flags);
BPF_HELPER(172, long,   bpf_timer_cancel, struct bpf_timer *timer);
BPF_HELPER(197, long,   bpf_dynptr_from_mem, void *memory, __u32 size, __u64 flags, struct bpf_dynptr *pointer);
BPF_HELPER(198, long,   bpf_ringbuf_reserve_dynptr, void *ringbuf, __u32 size, __u64 flags, struct bpf_dynptr *pointer);
BPF_HELPER(199, void,   bpf_ringbuf_submit_dynptr, struct bpf_dynptr *pointer, __u64 flags);
BPF_HELPER(200, void,   bpf_ringbuf_discard_dynptr, struct bpf_dynptr *pointer, __u64 flags);
BPF_HELPER(201, long,   bpf_dynptr_read, void *to, __u32 size, const struct bpf_dynptr *from, __u32 offset, __u64 flags);
BPF_HELPER(202, long,   bpf_dynptr_write, const struct bpf_dynptr *to, __u32 offset, void *from, __u32 size, __u64 flags);
BPF_HELPER(203, void *, bpf_dynptr_data, const struct bpf_dynptr *pointer, __u32 offset, __u32 size);

/* packets: XDP */
BPF_HELPER(44,  long,   bpf_xdp_adjust_head, struct xdp_md *ctx, int delta);
BPF_HELPER(54,  long,   bpf_xdp_adjust_meta, struct xdp_md *ctx, int delta);
BPF_HELPER(65,  long,   bpf_xdp_adjust_tail, struct xdp_md *ctx, int delta);
BPF_HELPER(188, __u64,  bpf_xdp_get_buff_len, struct xdp_md *ctx);
BPF_HELPER(189, long,   bpf_xdp_load_bytes, struct xdp_md *ctx, __u32 offset, void *to, __u32 size);
BPF_HELPER(190, long,   bpf_xdp_store_bytes, struct xdp_md *ctx, __u32 offset, void *from, __u32 size);
BPF_HELPER(51,  long,   bpf_redirect_map, void *map, __u64 key, __u64 flags);
BPF_HELPER(23,  long,   bpf_redirect, __u32 ifindex, __u64 flags);
BPF_HELPER(69,  long,   bpf_fib_lookup, void *ctx, struct bpf_fib_lookup *params, int size, __u32 flags);

/* packets: socket buffers */
BPF_HELPER(9,   long,   bpf_skb_store_bytes, struct __sk_buff *skb, __u32 offset, const void *from, __u32 size, __u64 flags);
BPF_HELPER(10,  long,   bpf_l3_csum_replace, struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 size);
BPF_HELPER(11,  long,   bpf_l4_csum_replace, struct __sk_buff *skb, __u32 offset, __u64 from, __u64 to, __u64 flags);
BPF_HELPER(13,  long,   bpf_clone_redirect, struct __sk_buff *skb, __u32 ifindex, __u64 flags);
BPF_HELPER(18,  long,   bpf_skb_vlan_push, struct __sk_buff *skb, __be16 protocol, __u16 tci);
BPF_HELPER(19,  long,   bpf_skb_vlan_pop, struct __sk_buff *skb);
BPF_HELPER(26,  long,   bpf_skb_load_bytes, const void *skb, __u32 offset, void *to, __u32 size);
BPF_HELPER(28,  __s64,  bpf_csum_diff, __be32 *from, __u32 from_size, __be32 *to, __u32 to_size, __wsum seed);
BPF_HELPER(31,  long,   bpf_skb_change_proto, struct __sk_buff *skb, __be16 protocol, __u64 flags);
BPF_HELPER(32,  long,   bpf_skb_change_type, struct __sk_buff *skb, __u32 type);
BPF_HELPER(34,  __u32,  bpf_get_hash_recalc, struct __sk_buff *skb);
BPF_HELPER(38,  long,   bpf_skb_change_tail, struct __sk_buff *skb, __u32 size, __u64 flags);
BPF_HELPER(39,  long,   bpf_skb_pull_data, struct __sk_buff *skb, __u32 size);
BPF_HELPER(40,  __s64,  bpf_csum_update, struct __sk_buff *skb, __wsum sum);
BPF_HELPER(43,  long,   bpf_skb_change_head, struct __sk_buff *skb, __u32 size, __u64 flags);
BPF_HELPER(46,  __u64,  bpf_get_socket_cookie, void *ctx);
BPF_HELPER(47,  __u32,  bpf_get_socket_uid, struct __sk_buff *skb);
BPF_HELPER(50,  long,   bpf_skb_adjust_room, struct __sk_buff *skb, __s32 delta, __u32 mode, __u64 flags);
BPF_HELPER(68,  long,   bpf_skb_load_bytes_relative, const void *skb, __u32 offset, void *to, __u32 size, __u32 start);
BPF_HELPER(79,  __u64,  bpf_skb_cgroup_id, struct __sk_buff *skb);

/* sockets and cgroups */
BPF_HELPER(84,  struct bpf_sock *, bpf_sk_lookup_tcp, void *ctx, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns, __u64 flags);
BPF_HELPER(85,  struct bpf_sock *, bpf_sk_lookup_udp, void *ctx, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns, __u64 flags);
BPF_HELPER(86,  long,   bpf_sk_release, void *sock);
BPF_HELPER(95,  struct bpf_sock *, bpf_sk_fullsock, struct bpf_sock *sock);
BPF_HELPER(107, void *, bpf_sk_storage_get, void *map, void *sock, void *value, __u64 flags);
BPF_HELPER(81,  void *, bpf_get_local_storage, void *map, __u64 flags);
BPF_HELPER(49,  long,   bpf_setsockopt, void *ctx, int level, int name, void *value, int size);
BPF_HELPER(57,  long,   bpf_getsockopt, void *ctx, int level, int name, void *value, int size);
BPF_HELPER(59,  long,   bpf_sock_ops_cb_flags_set, struct bpf_sock_ops *ctx, int flags);
BPF_HELPER(101, long,   bpf_sysctl_get_name, struct bpf_sysctl *ctx, char *to, __u64 size, __u64 flags);
BPF_HELPER(103, long,   bpf_sysctl_get_new_value, struct bpf_sysctl *ctx, char *to, __u64 size);
BPF_HELPER(106, long,   bpf_strtoul, const char *text, __u64 size, __u64 flags, unsigned long *number);

/* tracing */
BPF_HELPER(4,   long,   bpf_probe_read, void *to, __u32 size, const void *from);
BPF_HELPER(112, long,   bpf_probe_read_user, void *to, __u32 size, const void *from);
BPF_HELPER(113, long,   bpf_probe_read_kernel, void *to, __u32 size, const void *from);
BPF_HELPER(114, long,   bpf_probe_read_user_str, void *to, __u32 size, const void *from);
BPF_HELPER(115, long,   bpf_probe_read_kernel_str, void *to, __u32 size, const void *from);
BPF_HELPER(14,  __u64,  bpf_get_current_pid_tgid, void);
BPF_HELPER(15,  __u64,  bpf_get_current_uid_gid, void);
BPF_HELPER(16,  long,   bpf_get_current_comm, void *to, __u32 size);
BPF_HELPER(27,  long,   bpf_get_stackid, void *ctx, void *map, __u64 flags);
BPF_HELPER(35,  __u64,  bpf_get_current_task, void);
BPF_HELPER(67,  long,   bpf_get_stack, void *ctx, void *to, __u32 size, __u64 flags);
BPF_HELPER(80,  __u64,  bpf_get_current_cgroup_id, void);
BPF_HELPER(173, __u64,  bpf_get_func_ip, void *ctx);
BPF_HELPER(174, __u64,  bpf_get_attach_cookie, void *ctx);
BPF_HELPER(156, void *, bpf_task_storage_get, void *map, void *task, void *value, __u64 flags);

/* bpf_printk("x %d", x): the format becomes read-only data. */
#define bpf_printk(format, ...)                                             \
	({                                                                  \
		static const char text[] = format;                          \
		bpf_trace_printk(text, sizeof(text), ##__VA_ARGS__);        \
	})

#include <bpf/helpers_more.h>

#endif
