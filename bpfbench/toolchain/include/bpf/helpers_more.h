/* SPDX-License-Identifier: BSD-3-Clause */
/* The helpers that few programs call; included by <bpf/helpers.h>. */
#ifndef BPFBENCH_HELPERS_MORE_H
#define BPFBENCH_HELPERS_MORE_H

#include <bpf/helpers.h>

/* socket buffers, tunnels, redirection */
BPF_HELPER(17,  __u32, bpf_get_cgroup_classid, struct __sk_buff *skb);
BPF_HELPER(20,  long,  bpf_skb_get_tunnel_key, struct __sk_buff *skb, void *key, __u32 size, __u64 flags);
BPF_HELPER(21,  long,  bpf_skb_set_tunnel_key, struct __sk_buff *skb, void *key, __u32 size, __u64 flags);
BPF_HELPER(24,  __u32, bpf_get_route_realm, struct __sk_buff *skb);
BPF_HELPER(29,  long,  bpf_skb_get_tunnel_opt, struct __sk_buff *skb, void *option, __u32 size);
BPF_HELPER(30,  long,  bpf_skb_set_tunnel_opt, struct __sk_buff *skb, void *option, __u32 size);
BPF_HELPER(33,  long,  bpf_skb_under_cgroup, struct __sk_buff *skb, void *map, __u32 index);
BPF_HELPER(41,  void,  bpf_set_hash_invalid, struct __sk_buff *skb);
BPF_HELPER(48,  long,  bpf_set_hash, struct __sk_buff *skb, __u32 hash);
BPF_HELPER(66,  long,  bpf_skb_get_xfrm_state, struct __sk_buff *skb, __u32 index, void *state, __u32 size, __u64 flags);
BPF_HELPER(83,  __u64, bpf_skb_ancestor_cgroup_id, struct __sk_buff *skb, int level);
BPF_HELPER(97,  long,  bpf_skb_ecn_set_ce, struct __sk_buff *skb);
BPF_HELPER(111, long,  bpf_skb_output, void *ctx, void *map, __u64 flags, void *sample, __u64 size);
BPF_HELPER(121, long,  bpf_xdp_output, void *ctx, void *map, __u64 flags, void *sample, __u64 size);
BPF_HELPER(135, long,  bpf_csum_level, struct __sk_buff *skb, __u64 level);
BPF_HELPER(151, __u64, bpf_skb_cgroup_classid, struct __sk_buff *skb);
BPF_HELPER(152, long,  bpf_redirect_neigh, __u32 ifindex, void *neighbour, int size, __u64 flags);
BPF_HELPER(155, long,  bpf_redirect_peer, __u32 ifindex, __u64 flags);
BPF_HELPER(163, long,  bpf_check_mtu, void *ctx, __u32 ifindex, __u32 *mtu, __s32 difference, __u64 flags);
BPF_HELPER(192, long,  bpf_skb_set_tstamp, struct __sk_buff *skb, __u64 time, __u32 kind);

/* lightweight tunnels, infrared */
BPF_HELPER(73,  long,  bpf_lwt_push_encap, struct __sk_buff *skb, __u32 kind, void *header, __u32 size);
BPF_HELPER(74,  long,  bpf_lwt_seg6_store_bytes, struct __sk_buff *skb, __u32 offset, const void *from, __u32 size);
BPF_HELPER(75,  long,  bpf_lwt_seg6_adjust_srh, struct __sk_buff *skb, __u32 offset, __s32 delta);
BPF_HELPER(76,  long,  bpf_lwt_seg6_action, struct __sk_buff *skb, __u32 action, void *param, __u32 size);
BPF_HELPER(77,  long,  bpf_rc_repeat, void *ctx);
BPF_HELPER(78,  long,  bpf_rc_keydown, void *ctx, __u32 protocol, __u64 scancode, __u32 toggle);
BPF_HELPER(92,  long,  bpf_rc_pointer_rel, void *ctx, __s32 x, __s32 y);

/* sockets, socket maps, messages */
BPF_HELPER(52,  long,  bpf_sk_redirect_map, struct __sk_buff *skb, void *map, __u32 key, __u64 flags);
BPF_HELPER(53,  long,  bpf_sock_map_update, struct bpf_sock_ops *ctx, void *map, void *key, __u64 flags);
BPF_HELPER(60,  long,  bpf_msg_redirect_map, void *message, void *map, __u32 key, __u64 flags);
BPF_HELPER(61,  long,  bpf_msg_apply_bytes, void *message, __u32 bytes);
BPF_HELPER(62,  long,  bpf_msg_cork_bytes, void *message, __u32 bytes);
BPF_HELPER(63,  long,  bpf_msg_pull_data, void *message, __u32 start, __u32 end, __u64 flags);
BPF_HELPER(64,  long,  bpf_bind, struct bpf_sock_addr *ctx, void *address, int size);
BPF_HELPER(70,  long,  bpf_sock_hash_update, struct bpf_sock_ops *ctx, void *map, void *key, __u64 flags);
BPF_HELPER(71,  long,  bpf_msg_redirect_hash, void *message, void *map, void *key, __u64 flags);
BPF_HELPER(72,  long,  bpf_sk_redirect_hash, struct __sk_buff *skb, void *map, void *key, __u64 flags);
BPF_HELPER(82,  long,  bpf_sk_select_reuseport, void *ctx, void *map, void *key, __u64 flags);
BPF_HELPER(90,  long,  bpf_msg_push_data, void *message, __u32 start, __u32 size, __u64 flags);
BPF_HELPER(91,  long,  bpf_msg_pop_data, void *message, __u32 start, __u32 size, __u64 flags);
BPF_HELPER(96,  void *, bpf_tcp_sock, struct bpf_sock *sock);
BPF_HELPER(98,  struct bpf_sock *, bpf_get_listener_sock, struct bpf_sock *sock);
BPF_HELPER(99,  struct bpf_sock *, bpf_skc_lookup_tcp, void *ctx, struct bpf_sock_tuple *tuple, __u32 size, __u64 netns, __u64 flags);
BPF_HELPER(100, long,  bpf_tcp_check_syncookie, void *sock, void *ip, __u32 ip_size, void *tcp, __u32 tcp_size);
BPF_HELPER(108, long,  bpf_sk_storage_delete, void *map, void *sock);
BPF_HELPER(110, __s64, bpf_tcp_gen_syncookie, void *sock, void *ip, __u32 ip_size, void *tcp, __u32 tcp_size);
BPF_HELPER(116, long,  bpf_tcp_send_ack, void *sock, __u32 next);
BPF_HELPER(122, __u64, bpf_get_netns_cookie, void *ctx);
BPF_HELPER(124, long,  bpf_sk_assign, void *ctx, struct bpf_sock *sock, __u64 flags);
BPF_HELPER(128, __u64, bpf_sk_cgroup_id, void *sock);
BPF_HELPER(129, __u64, bpf_sk_ancestor_cgroup_id, void *sock, int level);
BPF_HELPER(136, void *, bpf_skc_to_tcp6_sock, void *sock);
BPF_HELPER(137, void *, bpf_skc_to_tcp_sock, void *sock);
BPF_HELPER(138, void *, bpf_skc_to_tcp_timewait_sock, void *sock);
BPF_HELPER(139, void *, bpf_skc_to_tcp_request_sock, void *sock);
BPF_HELPER(140, void *, bpf_skc_to_udp6_sock, void *sock);
BPF_HELPER(178, void *, bpf_skc_to_unix_sock, void *sock);
BPF_HELPER(196, void *, bpf_skc_to_mptcp_sock, void *sock);
BPF_HELPER(142, long,  bpf_load_hdr_opt, struct bpf_sock_ops *ctx, void *found, __u32 size, __u64 flags);
BPF_HELPER(143, long,  bpf_store_hdr_opt, struct bpf_sock_ops *ctx, const void *from, __u32 size, __u64 flags);
BPF_HELPER(144, long,  bpf_reserve_hdr_opt, struct bpf_sock_ops *ctx, __u32 size, __u64 flags);
BPF_HELPER(204, __s64, bpf_tcp_raw_gen_syncookie_ipv4, void *ip, void *tcp, __u32 size);
BPF_HELPER(205, __s64, bpf_tcp_raw_gen_syncookie_ipv6, void *ip, void *tcp, __u32 size);
BPF_HELPER(206, long,  bpf_tcp_raw_check_syncookie_ipv4, void *ip, void *tcp);
BPF_HELPER(207, long,  bpf_tcp_raw_check_syncookie_ipv6, void *ip, void *tcp);

/* cgroups, settings, text */
BPF_HELPER(37,  long,  bpf_current_task_under_cgroup, void *map, __u32 index);
BPF_HELPER(102, long,  bpf_sysctl_get_current_value, struct bpf_sysctl *ctx, char *to, __u64 size);
BPF_HELPER(104, long,  bpf_sysctl_set_new_value, struct bpf_sysctl *ctx, const char *from, __u64 size);
BPF_HELPER(105, long,  bpf_strtol, const char *text, __u64 size, __u64 flags, long *number);
BPF_HELPER(123, __u64, bpf_get_current_ancestor_cgroup_id, int level);
BPF_HELPER(186, int,   bpf_get_retval, void);
BPF_HELPER(187, int,   bpf_set_retval, int value);
BPF_HELPER(210, void *, bpf_cgrp_storage_get, void *map, void *cgroup, void *value, __u64 flags);
BPF_HELPER(211, long,  bpf_cgrp_storage_delete, void *map, void *cgroup);

/* tracing, tasks, files */
BPF_HELPER(22,  __u64, bpf_perf_event_read, void *map, __u64 flags);
BPF_HELPER(36,  long,  bpf_probe_write_user, void *to, const void *from, __u32 size);
BPF_HELPER(45,  long,  bpf_probe_read_str, void *to, __u32 size, const void *from);
BPF_HELPER(55,  long,  bpf_perf_event_read_value, void *map, __u64 flags, void *to, __u32 size);
BPF_HELPER(56,  long,  bpf_perf_prog_read_value, struct bpf_perf_event_data *ctx, void *to, __u32 size);
BPF_HELPER(58,  long,  bpf_override_return, void *regs, __u64 value);
BPF_HELPER(109, long,  bpf_send_signal, __u32 number);
BPF_HELPER(117, long,  bpf_send_signal_thread, __u32 number);
BPF_HELPER(119, long,  bpf_read_branch_records, struct bpf_perf_event_data *ctx, void *to, __u32 size, __u64 flags);
BPF_HELPER(120, long,  bpf_get_ns_current_pid_tgid, __u64 device, __u64 inode, void *to, __u32 size);
BPF_HELPER(126, long,  bpf_seq_printf, void *file, const char *format, __u32 format_size, const void *values, __u32 size);
BPF_HELPER(127, long,  bpf_seq_write, void *file, const void *from, __u32 size);
BPF_HELPER(141, long,  bpf_get_task_stack, void *task, void *to, __u32 size, __u64 flags);
BPF_HELPER(145, void *, bpf_inode_storage_get, void *map, void *inode, void *value, __u64 flags);
BPF_HELPER(146, int,   bpf_inode_storage_delete, void *map, void *inode);
BPF_HELPER(147, long,  bpf_d_path, void *path, char *to, __u32 size);
BPF_HELPER(148, long,  bpf_copy_from_user, void *to, __u32 size, const void *from);
BPF_HELPER(149, long,  bpf_snprintf_btf, char *text, __u32 size, void *what, __u32 what_size, __u64 flags);
BPF_HELPER(150, long,  bpf_seq_printf_btf, void *file, void *what, __u32 what_size, __u64 flags);
BPF_HELPER(157, long,  bpf_task_storage_delete, void *map, void *task);
BPF_HELPER(158, void *, bpf_get_current_task_btf, void);
BPF_HELPER(159, long,  bpf_bprm_opts_set, void *program, __u64 flags);
BPF_HELPER(161, long,  bpf_ima_inode_hash, void *inode, void *to, __u32 size);
BPF_HELPER(162, void *, bpf_sock_from_file, void *file);
BPF_HELPER(166, long,  bpf_sys_bpf, __u32 command, void *arguments, __u32 size);
BPF_HELPER(167, long,  bpf_btf_find_by_name_kind, char *name, int size, __u32 kind, int flags);
BPF_HELPER(168, long,  bpf_sys_close, __u32 fd);
BPF_HELPER(175, long,  bpf_task_pt_regs, void *task);
BPF_HELPER(176, long,  bpf_get_branch_snapshot, void *to, __u32 size, __u64 flags);
BPF_HELPER(177, long,  bpf_trace_vprintk, const char *format, __u32 format_size, const void *values, __u32 size);
BPF_HELPER(179, long,  bpf_kallsyms_lookup_name, const char *name, int size, int flags, __u64 *address);
BPF_HELPER(180, long,  bpf_find_vma, void *task, __u64 address, void *callback, void *ctx, __u64 flags);
BPF_HELPER(183, long,  bpf_get_func_arg, void *ctx, __u32 number, __u64 *value);
BPF_HELPER(184, long,  bpf_get_func_ret, void *ctx, __u64 *value);
BPF_HELPER(185, long,  bpf_get_func_arg_cnt, void *ctx);
BPF_HELPER(191, long,  bpf_copy_from_user_task, void *to, __u32 size, const void *from, void *task, __u64 flags);
BPF_HELPER(193, long,  bpf_ima_file_hash, void *file, void *to, __u32 size);

#endif
