"""Helper prototypes: what each helper expects in r1-r5, what it leaves in r0, and which programs may call it.

The verifier checks a call against a row of data.  A row names the arguments in a shorthand that expands to the kernel's
ARG_* types, and the return value to its RET_* types:

    "map_update_elem"   int     map key value any        p
     name               ret     r1  r2  r3    r4         flags

    map      ARG_CONST_MAP_PTR            size, size0  ARG_CONST_SIZE, …_OR_ZERO: length of the memory before it
    key      ARG_PTR_TO_MAP_KEY           alloc0       ARG_CONST_ALLOC_SIZE_OR_ZERO: a constant, sizes the result
    value    ARG_PTR_TO_MAP_VALUE         out          ARG_PTR_TO_UNINIT_MEM: the helper writes all of it
    mem      ARG_PTR_TO_MEM               rmem wmem    the same with MEM_RDONLY (helper only reads), MEM_WRITE
    fixedN   ARG_PTR_TO_FIXED_SIZE_MEM    ctx any      ARG_PTR_TO_CTX, ARG_ANYTHING
    sk skc   full socket, sock_common     btf:T        ARG_PTR_TO_BTF_ID of kernel structure T (`*`: given by a map's
    BTF) btfskc   sock_common by BTF or socket ringmem      memory of a ring buffer record
    func     callback                     stack        pointer to own stack (callback context)
    dynptr   dynamic pointer              lock timer kptr percpu str
    X?       or NULL        X+flag        ro uninit write aligned release ringbuf local

flags: g = GPL only, p = may be given packet pointers, s = may sleep, f = follows the fast-call contract (r1-r5
survive). Some helpers have another prototype in some program types (`VARIANTS`) or had one in older kernels (`OLDER`).

Availability is sets: what every program has (by capability), a set per program type, and conditions on the attach type.
6.18 was asked itself for each of its program types and helpers (tests/verifier_tables); 6.1 and 6.12 are from source.

Sources: kernel/bpf/helpers.c (`bpf_base_func_proto`), net/core/filter.c and kernel/trace/bpf_trace.c (`*_func_proto`),
kernel/bpf/verifier.c (`check_map_func_compatibility`); slide 24.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.isa.helpers import helper_id, helper_name

# Kinds of arguments ---------------------------------------------------------------------------------------------------

ARG_ANYTHING: Final = 0
ARG_CONST_MAP_PTR: Final = 1
ARG_MAP_KEY: Final = 2
ARG_MAP_VALUE: Final = 3
ARG_MEM: Final = 4               # length in the next argument
ARG_FIXED_MEM: Final = 5         # length in Arg.size
ARG_CONST_SIZE: Final = 6
ARG_CONST_SIZE_OR_ZERO: Final = 7
ARG_CONST_ALLOC_SIZE: Final = 8
ARG_CTX: Final = 9
ARG_SPIN_LOCK: Final = 10
ARG_SOCK_COMMON: Final = 11
ARG_SOCKET: Final = 12
ARG_BTF_ID: Final = 13
ARG_BTF_ID_SOCK_COMMON: Final = 14
ARG_RINGBUF_MEM: Final = 15
ARG_PERCPU_BTF_ID: Final = 16
ARG_FUNC: Final = 17
ARG_STACK: Final = 18
ARG_CONST_STR: Final = 19
ARG_TIMER: Final = 20
ARG_KPTR: Final = 21
ARG_DYNPTR: Final = 22

_ARG_KINDS: Final[dict[str, int]] = {
    "any": ARG_ANYTHING, "map": ARG_CONST_MAP_PTR, "key": ARG_MAP_KEY, "value": ARG_MAP_VALUE, "mem": ARG_MEM,
    "fixed": ARG_FIXED_MEM, "size": ARG_CONST_SIZE, "size0": ARG_CONST_SIZE_OR_ZERO, "alloc0": ARG_CONST_ALLOC_SIZE,
    "ctx": ARG_CTX, "lock": ARG_SPIN_LOCK, "skc": ARG_SOCK_COMMON, "sk": ARG_SOCKET, "btf": ARG_BTF_ID,
    "btfskc": ARG_BTF_ID_SOCK_COMMON, "ringmem": ARG_RINGBUF_MEM, "percpu": ARG_PERCPU_BTF_ID, "func": ARG_FUNC,
    "stack": ARG_STACK, "str": ARG_CONST_STR, "timer": ARG_TIMER, "kptr": ARG_KPTR, "dynptr": ARG_DYNPTR,
}

# Flags of arguments
MAYBE_NULL: Final = 1
RDONLY: Final = 2                # the helper only reads
UNINIT: Final = 4                # need not be initialised
WRITE: Final = 8                 # the helper writes
ALIGNED: Final = 16
RELEASE: Final = 32              # consumes the reference
DYNPTR_RINGBUF: Final = 64
DYNPTR_LOCAL: Final = 128

_FLAGS: Final[dict[str, int]] = {
    "ro": RDONLY, "uninit": UNINIT, "write": WRITE, "aligned": ALIGNED, "release": RELEASE,
    "ringbuf": DYNPTR_RINGBUF, "local": DYNPTR_LOCAL,
}

# Kinds of return values; `HelperProto.ret_null` says "or NULL".
RET_INTEGER: Final = 0
RET_VOID: Final = 1
RET_MAP_VALUE: Final = 2
RET_SOCKET: Final = 3
RET_TCP_SOCK: Final = 4
RET_SOCK_COMMON: Final = 5
RET_RINGBUF_MEM: Final = 6
RET_DYNPTR_MEM: Final = 7
RET_BTF_ID: Final = 8
RET_BTF_ID_TRUSTED: Final = 9
RET_MEM_OR_BTF_ID: Final = 10

_RETS: Final[dict[str, int]] = {
    "int": RET_INTEGER, "void": RET_VOID, "value": RET_MAP_VALUE, "sk": RET_SOCKET, "tcpsk": RET_TCP_SOCK,
    "skc": RET_SOCK_COMMON, "ringmem": RET_RINGBUF_MEM, "dynmem": RET_DYNPTR_MEM, "btf": RET_BTF_ID,
    "btf!": RET_BTF_ID_TRUSTED, "membtf": RET_MEM_OR_BTF_ID,
}


@final
class Arg:
    """One argument: `kind` (ARG_*), `flags` (bits above), `size` in bytes for ARG_FIXED_MEM, `btf` structure name."""

    __slots__ = ("kind", "flags", "size", "btf")

    def __init__(self, kind: int, flags: int, size: int, btf: str) -> None:
        self.kind: Final = kind
        self.flags: Final = flags
        self.size: Final = size
        self.btf: Final = btf

    @property
    def maybe_null(self) -> bool:
        return self.flags & MAYBE_NULL != 0

    def __repr__(self) -> str:
        name = next(name for name, kind in _ARG_KINDS.items() if kind == self.kind)
        return f"Arg({name}{self.size or ''}{'?' if self.maybe_null else ''}{self.btf and ':' + self.btf})"


@final
class HelperProto:
    """One prototype: `id`, `name` (without bpf_), `ret` (RET_*), `ret_null`, `ret_btf`, `args` and the four flags."""

    __slots__ = ("id", "name", "ret", "ret_null", "ret_btf", "args", "gpl_only", "pkt_access", "might_sleep",
                 "fastcall")

    def __init__(self, number: int, name: str, ret: int, ret_null: bool, ret_btf: str, args: tuple[Arg, ...],
                 flags: str) -> None:
        self.id: Final = number
        self.name: Final = name
        self.ret: Final = ret
        self.ret_null: Final = ret_null
        self.ret_btf: Final = ret_btf
        self.args: Final = args
        self.gpl_only: Final = "g" in flags
        self.pkt_access: Final = "p" in flags
        self.might_sleep: Final = "s" in flags
        self.fastcall: Final = "f" in flags

    def __repr__(self) -> str:
        return f"HelperProto(bpf_{self.name}#{self.id}{list(self.args)})"


# The prototypes -------------------------------------------------------------------------------------------------------

PROTOS: Final[list[tuple[str, str, str, str]]] = [
    # name                         returns   arguments                                    flags
    ("map_lookup_elem",            "value?", "map key",                                   "p"),
    ("map_update_elem",            "int",    "map key value any",                         "p"),
    ("map_delete_elem",            "int",    "map key",                                   "p"),
    ("probe_read",                 "int",    "out size0 any",                             "g"),
    ("ktime_get_ns",               "int",    "",                                          ""),
    ("trace_printk",               "int",    "rmem size",                                 "g"),
    ("get_prandom_u32",            "int",    "",                                          ""),
    ("get_smp_processor_id",       "int",    "",                                          ""),
    ("skb_store_bytes",            "int",    "ctx any rmem size any",                     ""),
    ("l3_csum_replace",            "int",    "ctx any any any any",                       ""),
    ("l4_csum_replace",            "int",    "ctx any any any any",                       ""),
    ("tail_call",                  "void",   "ctx map any",                               ""),
    ("clone_redirect",             "int",    "ctx any any",                               ""),
    ("get_current_pid_tgid",       "int",    "",                                          ""),
    ("get_current_uid_gid",        "int",    "",                                          ""),
    ("get_current_comm",           "int",    "out size",                                  ""),
    ("get_cgroup_classid",         "int",    "ctx",                                       ""),
    ("skb_vlan_push",              "int",    "ctx any any",                               ""),
    ("skb_vlan_pop",               "int",    "ctx",                                       ""),
    ("skb_get_tunnel_key",         "int",    "ctx out size any",                          ""),
    ("skb_set_tunnel_key",         "int",    "ctx rmem size any",                         ""),
    ("perf_event_read",            "int",    "map any",                                   "g"),
    ("redirect",                   "int",    "any any",                                   ""),
    ("get_route_realm",            "int",    "ctx",                                       ""),
    ("perf_event_output",          "int",    "ctx map any rmem size0",                    "g"),
    ("skb_load_bytes",             "int",    "ctx any out size",                          ""),
    ("get_stackid",                "int",    "ctx map any",                               "g"),
    ("csum_diff",                  "int",    "rmem? size0 rmem? size0 any",               "p"),
    ("skb_get_tunnel_opt",         "int",    "ctx out size",                              ""),
    ("skb_set_tunnel_opt",         "int",    "ctx rmem size",                             ""),
    ("skb_change_proto",           "int",    "ctx any any",                               ""),
    ("skb_change_type",            "int",    "ctx any",                                   ""),
    ("skb_under_cgroup",           "int",    "ctx map any",                               ""),
    ("get_hash_recalc",            "int",    "ctx",                                       ""),
    ("get_current_task",           "int",    "",                                          "g"),
    ("probe_write_user",           "int",    "any rmem size",                             "g"),
    ("current_task_under_cgroup",  "int",    "map any",                                   ""),
    ("skb_change_tail",            "int",    "ctx any any",                               ""),
    ("skb_pull_data",              "int",    "ctx any",                                   ""),
    ("csum_update",                "int",    "ctx any",                                   ""),
    ("set_hash_invalid",           "int",    "ctx",                                       ""),
    ("get_numa_node_id",           "int",    "",                                          ""),
    ("skb_change_head",            "int",    "ctx any any",                               ""),
    ("xdp_adjust_head",            "int",    "ctx any",                                   ""),
    ("probe_read_str",             "int",    "out size0 any",                             "g"),
    ("get_socket_cookie",          "int",    "ctx",                                       ""),
    ("get_socket_uid",             "int",    "ctx",                                       ""),
    ("set_hash",                   "int",    "ctx any",                                   ""),
    ("setsockopt",                 "int",    "ctx any any rmem size",                     ""),
    ("skb_adjust_room",            "int",    "ctx any any any",                           ""),
    ("redirect_map",               "int",    "map any any",                               ""),
    ("sk_redirect_map",            "int",    "ctx map any any",                           ""),
    ("sock_map_update",            "int",    "ctx map key any",                           "p"),
    ("xdp_adjust_meta",            "int",    "ctx any",                                   ""),
    ("perf_event_read_value",      "int",    "map any out size",                          "g"),
    ("perf_prog_read_value",       "int",    "ctx out size",                              "g"),
    ("getsockopt",                 "int",    "ctx any any out size",                      ""),
    ("override_return",            "int",    "ctx any",                                   "g"),
    ("sock_ops_cb_flags_set",      "int",    "ctx any",                                   ""),
    ("msg_redirect_map",           "int",    "ctx map any any",                           ""),
    ("msg_apply_bytes",            "int",    "ctx any",                                   ""),
    ("msg_cork_bytes",             "int",    "ctx any",                                   ""),
    ("msg_pull_data",              "int",    "ctx any any any",                           ""),
    ("bind",                       "int",    "ctx rmem size",                             ""),
    ("xdp_adjust_tail",            "int",    "ctx any",                                   ""),
    ("skb_get_xfrm_state",         "int",    "ctx any out size any",                      ""),
    ("get_stack",                  "int",    "ctx out size0 any",                         "g"),
    ("skb_load_bytes_relative",    "int",    "ctx any out size any",                      ""),
    ("fib_lookup",                 "int",    "ctx wmem size any",                         "g"),
    ("sock_hash_update",           "int",    "ctx map key any",                           "p"),
    ("msg_redirect_hash",          "int",    "ctx map key any",                           ""),
    ("sk_redirect_hash",           "int",    "ctx map key any",                           ""),
    ("lwt_push_encap",             "int",    "ctx any rmem size",                         ""),
    ("lwt_seg6_store_bytes",       "int",    "ctx any rmem size",                         ""),
    ("lwt_seg6_adjust_srh",        "int",    "ctx any any",                               ""),
    ("lwt_seg6_action",            "int",    "ctx any rmem size",                         ""),
    ("rc_repeat",                  "int",    "ctx",                                       "g"),
    ("rc_keydown",                 "int",    "ctx any any any",                           "g"),
    ("skb_cgroup_id",              "int",    "ctx",                                       ""),
    ("get_current_cgroup_id",      "int",    "",                                          ""),
    ("get_local_storage",          "value",  "map any",                                   ""),
    ("sk_select_reuseport",        "int",    "ctx map key any",                           ""),
    ("skb_ancestor_cgroup_id",     "int",    "ctx any",                                   ""),
    ("sk_lookup_tcp",              "sk?",    "ctx rmem size0 any any",                    "p"),
    ("sk_lookup_udp",              "sk?",    "ctx rmem size0 any any",                    "p"),
    ("sk_release",                 "int",    "btfskc+release",                            ""),
    ("map_push_elem",              "int",    "map value any",                             "p"),
    ("map_pop_elem",               "int",    "map value+uninit+write",                    ""),
    ("map_peek_elem",              "int",    "map value+uninit+write",                    ""),
    ("msg_push_data",              "int",    "ctx any any any",                           ""),
    ("msg_pop_data",               "int",    "ctx any any any",                           ""),
    ("rc_pointer_rel",             "int",    "ctx any any",                               "g"),
    ("spin_lock",                  "void",   "lock",                                      ""),
    ("spin_unlock",                "void",   "lock",                                      ""),
    ("sk_fullsock",                "sk?",    "skc",                                       ""),
    ("tcp_sock",                   "tcpsk?", "skc",                                       ""),
    ("skb_ecn_set_ce",             "int",    "ctx",                                       ""),
    ("get_listener_sock",          "sk?",    "skc",                                       ""),
    ("skc_lookup_tcp",             "skc?",   "ctx rmem size0 any any",                    "p"),
    ("tcp_check_syncookie",        "int",    "btfskc rmem size rmem size",                "gp"),
    ("sysctl_get_name",            "int",    "ctx mem size any",                          ""),
    ("sysctl_get_current_value",   "int",    "ctx out size",                              ""),
    ("sysctl_get_new_value",       "int",    "ctx out size",                              ""),
    ("sysctl_set_new_value",       "int",    "ctx rmem size",                             ""),
    ("strtol",                     "int",    "rmem size any fixed8+uninit+write+aligned", ""),
    ("strtoul",                    "int",    "rmem size any fixed8+uninit+write+aligned", ""),
    ("sk_storage_get",             "value?", "map btfskc value? any",                     ""),
    ("sk_storage_delete",          "int",    "map btfskc",                                ""),
    ("send_signal",                "int",    "any",                                       ""),
    ("tcp_gen_syncookie",          "int",    "btfskc rmem size rmem size",                "gp"),
    ("skb_output",                 "int",    "btf:sk_buff map any rmem size0",            "g"),
    ("probe_read_user",            "int",    "out size0 any",                             "g"),
    ("probe_read_kernel",          "int",    "out size0 any",                             "g"),
    ("probe_read_user_str",        "int",    "out size0 any",                             "g"),
    ("probe_read_kernel_str",      "int",    "out size0 any",                             "g"),
    ("tcp_send_ack",               "int",    "btf:tcp_sock any",                          ""),
    ("send_signal_thread",         "int",    "any",                                       ""),
    ("jiffies64",                  "int",    "",                                          ""),
    ("read_branch_records",        "int",    "ctx mem? size0 any",                        "g"),
    ("get_ns_current_pid_tgid",    "int",    "any any out size",                          ""),
    ("xdp_output",                 "int",    "btf:xdp_buff map any rmem size0",           "g"),
    ("get_netns_cookie",           "int",    "ctx?",                                      ""),
    ("get_current_ancestor_cgroup_id", "int", "any",                                      ""),
    ("sk_assign",                  "int",    "ctx btfskc any",                            ""),
    ("ktime_get_boot_ns",          "int",    "",                                          ""),
    ("seq_printf",                 "int",    "btf:seq_file rmem size rmem? size0",        "g"),
    ("seq_write",                  "int",    "btf:seq_file rmem size0",                   "g"),
    ("sk_cgroup_id",               "int",    "btfskc",                                    ""),
    ("sk_ancestor_cgroup_id",      "int",    "btfskc any",                                ""),
    ("ringbuf_output",             "int",    "map rmem size0 any",                        ""),
    ("ringbuf_reserve",            "ringmem?", "map alloc0 any",                          ""),
    ("ringbuf_submit",             "void",   "ringmem+release any",                       ""),
    ("ringbuf_discard",            "void",   "ringmem+release any",                       ""),
    ("ringbuf_query",              "int",    "map any",                                   ""),
    ("csum_level",                 "int",    "ctx any",                                   ""),
    ("skc_to_tcp6_sock",           "btf?:tcp6_sock", "btfskc",                            ""),
    ("skc_to_tcp_sock",            "btf?:tcp_sock", "btfskc",                             ""),
    ("skc_to_tcp_timewait_sock",   "btf?:tcp_timewait_sock", "btfskc",                    ""),
    ("skc_to_tcp_request_sock",    "btf?:tcp_request_sock", "btfskc",                     ""),
    ("skc_to_udp6_sock",           "btf?:udp6_sock", "btfskc",                            ""),
    ("get_task_stack",             "int",    "btf:task_struct out size0 any",             ""),
    ("load_hdr_opt",               "int",    "ctx wmem size any",                         ""),
    ("store_hdr_opt",              "int",    "ctx rmem size any",                         ""),
    ("reserve_hdr_opt",            "int",    "ctx any any",                               ""),
    ("inode_storage_get",          "value?", "map btf?:inode value? any",                 ""),
    ("inode_storage_delete",       "int",    "map btf?:inode",                            ""),
    ("d_path",                     "int",    "btf:path mem size0",                        ""),
    ("copy_from_user",             "int",    "out size0 any",                             "s"),
    ("snprintf_btf",               "int",    "mem size rmem size any",                    ""),
    ("seq_printf_btf",             "int",    "btf:seq_file rmem size0 any",               "g"),
    ("skb_cgroup_classid",         "int",    "ctx",                                       ""),
    ("redirect_neigh",             "int",    "any rmem? size0 any",                       ""),
    ("per_cpu_ptr",                "membtf?", "percpu any",                               ""),
    ("this_cpu_ptr",               "membtf", "percpu",                                    ""),
    ("redirect_peer",              "int",    "any any",                                   ""),
    ("task_storage_get",           "value?", "map btf?:task_struct value? any",           ""),
    ("task_storage_delete",        "int",    "map btf?:task_struct",                      ""),
    ("get_current_task_btf",       "btf!:task_struct", "",                                "g"),
    ("bprm_opts_set",              "int",    "btf:linux_binprm any",                      ""),
    ("ktime_get_coarse_ns",        "int",    "",                                          ""),
    ("ima_inode_hash",             "int",    "btf:inode out size",                        "s"),
    ("sock_from_file",             "btf?:socket", "btf:file",                             ""),
    ("check_mtu",                  "int",    "ctx any fixed4+write+aligned any any",      "g"),
    ("for_each_map_elem",          "int",    "map func stack? any",                       ""),
    ("snprintf",                   "int",    "mem? size0 str rmem? size0",                "g"),
    ("sys_bpf",                    "int",    "any rmem size",                             "s"),
    ("btf_find_by_name_kind",      "int",    "rmem size any any",                         "s"),
    ("sys_close",                  "int",    "any",                                       "s"),
    ("timer_init",                 "int",    "timer map any",                             "g"),
    ("timer_set_callback",         "int",    "timer func",                                "g"),
    ("timer_start",                "int",    "timer any any",                             "g"),
    ("timer_cancel",               "int",    "timer",                                     "g"),
    ("get_func_ip",                "int",    "ctx",                                       "g"),
    ("get_attach_cookie",          "int",    "ctx",                                       ""),
    ("task_pt_regs",               "btf:pt_regs", "btf:task_struct",                      "g"),
    ("get_branch_snapshot",        "int",    "out size0",                                 "g"),
    ("trace_vprintk",              "int",    "rmem size rmem? size0",                     "g"),
    ("skc_to_unix_sock",           "btf?:unix_sock", "btfskc",                            ""),
    ("kallsyms_lookup_name",       "int",    "mem size0 any fixed8+uninit+write+aligned", ""),
    ("find_vma",                   "int",    "btf:task_struct any func stack? any",       ""),
    ("loop",                       "int",    "any func stack? any",                       ""),
    ("strncmp",                    "int",    "rmem size str",                             ""),
    ("get_func_arg",               "int",    "ctx any fixed8+uninit+write+aligned",       ""),
    ("get_func_ret",               "int",    "ctx fixed8+uninit+write+aligned",           ""),
    ("get_func_arg_cnt",           "int",    "ctx",                                       ""),
    ("get_retval",                 "int",    "",                                          ""),
    ("set_retval",                 "int",    "any",                                       ""),
    ("xdp_get_buff_len",           "int",    "ctx",                                       ""),
    ("xdp_load_bytes",             "int",    "ctx any out size",                          ""),
    ("xdp_store_bytes",            "int",    "ctx any rmem size",                         ""),
    ("copy_from_user_task",        "int",    "out size0 any btf:task_struct any",         "gs"),
    ("skb_set_tstamp",             "int",    "ctx any any",                               ""),
    ("ima_file_hash",              "int",    "btf:file out size",                         "s"),
    ("kptr_xchg",                  "btf?:*", "kptr btf?:*+release",                       ""),
    ("map_lookup_percpu_elem",     "value?", "map key any",                               "p"),
    ("skc_to_mptcp_sock",          "btf?:mptcp_sock", "skc",                              ""),
    ("dynptr_from_mem",            "int",    "out size0 any dynptr+local+uninit+write",   ""),
    ("ringbuf_reserve_dynptr",     "int",    "map any any dynptr+ringbuf+uninit+write",   ""),
    ("ringbuf_submit_dynptr",      "void",   "dynptr+ringbuf+release any",                ""),
    ("ringbuf_discard_dynptr",     "void",   "dynptr+ringbuf+release any",                ""),
    ("dynptr_read",                "int",    "out size0 dynptr+ro any any",               ""),
    ("dynptr_write",               "int",    "dynptr+ro any rmem size0 any",              ""),
    ("dynptr_data",                "dynmem?", "dynptr+ro any alloc0",                     ""),
    ("tcp_raw_gen_syncookie_ipv4", "int",    "fixed20 mem size0",                         "gp"),
    ("tcp_raw_gen_syncookie_ipv6", "int",    "fixed40 mem size0",                         "gp"),
    ("tcp_raw_check_syncookie_ipv4", "int",  "fixed20 fixed20",                           "gp"),
    ("tcp_raw_check_syncookie_ipv6", "int",  "fixed40 fixed20",                           "gp"),
    ("ktime_get_tai_ns",           "int",    "",                                          ""),
    ("user_ringbuf_drain",         "int",    "map func stack? any",                       ""),
    ("cgrp_storage_get",           "value?", "map btf?:cgroup value? any",                ""),
    ("cgrp_storage_delete",        "int",    "map btf?:cgroup",                           ""),
]

_TRACING: Final = "kprobe tracepoint perf_event raw_tracepoint raw_tracepoint_writable tracing lsm"
# The per-CPU number helper follows the fast-call contract only in these types; elsewhere it is another function.
_FAST_CPU: Final = _TRACING + " sched_cls sched_act xdp lwt_in lwt_out lwt_xmit lwt_seg6local"

VARIANTS: Final[list[tuple[str, str, str, str, str]]] = [
    # name                 program types                       returns   arguments                     flags
    ("get_smp_processor_id", _FAST_CPU,                        "int",    "",                           "f"),
    ("get_socket_cookie",  "sk_reuseport tracing syscall",     "int",    "btfskc?",                    ""),
    ("sk_storage_get",     "cgroup_sock",                      "value?", "map ctx value? any",         ""),
    ("sk_storage_get",     "tracing syscall",                  "value?", "map btf?:sock_common value? any", ""),
    ("sk_storage_delete",  "tracing syscall",                  "int",    "map btf?:sock_common",       ""),
    ("sk_assign",          "sk_lookup",                        "int",    "ctx sk? any",                ""),
    ("setsockopt",         "cgroup_sockopt lsm",               "int",    "btfskc any any rmem size",   ""),
    ("getsockopt",         "cgroup_sockopt lsm",               "int",    "btfskc any any out size",    ""),
    ("sk_lookup_tcp",      "cgroup_sock_addr",                 "sk?",    "ctx rmem size0 any any",     ""),
    ("sk_lookup_udp",      "cgroup_sock_addr",                 "sk?",    "ctx rmem size0 any any",     ""),
    ("skc_lookup_tcp",     "cgroup_sock_addr",                 "skc?",   "ctx rmem size0 any any",     ""),
    ("get_stack",          "raw_tracepoint raw_tracepoint_writable tracing lsm syscall",
                                                               "int",    "ctx rmem size0 any",         "g"),
    ("get_stackid",        "perf_event",                       "int",    "ctx map any",                ""),
    ("xdp_get_buff_len",   "tracing syscall",                  "int",    "btf:xdp_buff",               ""),
    # Programs that run in a task of their own ask for that task's class, not a packet's.
    ("get_cgroup_classid", "cgroup_skb socket_filter xdp cgroup_sock cgroup_sock_addr cgroup_sockopt cgroup_device "
                           "cgroup_sysctl sk_msg sock_ops sk_skb sk_reuseport sk_lookup flow_dissector netfilter "
                           "syscall "
                           + _TRACING,                         "int",    "",                           ""),
]

# Prototypes as they were before the named version.
OLDER: Final[list[tuple[str, tuple[int, int], str, str, str]]] = [
    # name                   before   returns   arguments                                       flags
    ("get_smp_processor_id", (6, 10), "int",    "",                                             ""),
    ("sk_lookup_tcp",        (6, 10), "sk?",    "ctx rmem size any any",                        "p"),
    ("sk_lookup_udp",        (6, 10), "sk?",    "ctx rmem size any any",                        "p"),
    ("skc_lookup_tcp",       (6, 10), "skc?",   "ctx rmem size any any",                        "p"),
    ("strncmp",              (6, 6),  "int",    "mem size str",                                 ""),
    ("dynptr_data",          (6, 4),  "dynmem?", "dynptr any alloc0",                           ""),
    ("dynptr_read",          (6, 4),  "int",    "out size0 dynptr any any",                     ""),
    ("dynptr_write",         (6, 4),  "int",    "dynptr any rmem size0 any",                    ""),
    ("get_current_task_btf", (6, 2),  "btf:task_struct", "",                                    "g"),
    ("check_mtu",            (6, 12), "int",    "ctx any fixed4+uninit+write+aligned any any",  "g"),
    ("tcp_raw_gen_syncookie_ipv4", (6, 2), "int", "fixed20 mem size",                           "gp"),
    ("tcp_raw_gen_syncookie_ipv6", (6, 2), "int", "fixed40 mem size",                           "gp"),
    ("task_storage_get",     (6, 2),  "value?", "map btf:task_struct value? any",               ""),
    ("task_storage_delete",  (6, 2),  "int",    "map btf:task_struct",                          ""),
    ("inode_storage_get",    (6, 2),  "value?", "map btf:inode value? any",                     ""),
    ("inode_storage_delete", (6, 2),  "int",    "map btf:inode",                                ""),
    ("get_stack",            (6, 11), "int",    "ctx out size0 any",                            "g"),
    ("fib_lookup",           (6, 13), "int",    "ctx mem size any",                            "g"),
    ("sys_bpf",              (6, 4),  "int",    "any rmem size",                                ""),
    ("sys_close",            (6, 4),  "int",    "any",                                          ""),
]

# Who may call what ----------------------------------------------------------------------------------------------------
# cap: "" everybody, "bpf" CAP_BPF, "perfmon" CAP_PERFMON as well.  since: first kernel that offers it to all types.

BASE: Final[list[tuple[str, tuple[int, int], str]]] = [
    # cap       since    helpers
    ("",        (4, 18), "map_lookup_elem map_update_elem map_delete_elem get_prandom_u32 get_smp_processor_id "
                         "tail_call "
                         "ktime_get_ns get_numa_node_id"),
    ("",        (5, 8),  "map_push_elem map_pop_elem map_peek_elem ktime_get_boot_ns ringbuf_output ringbuf_reserve "
                         "ringbuf_submit ringbuf_discard ringbuf_query"),
    ("",        (6, 1),  "map_lookup_percpu_elem ktime_get_tai_ns strncmp strtol strtoul"),
    ("",        (6, 10), "get_current_pid_tgid get_ns_current_pid_tgid"),
    ("",        (6, 16), "get_current_uid_gid"),
    ("bpf",     (6, 1),  "spin_lock spin_unlock jiffies64 per_cpu_ptr this_cpu_ptr timer_init timer_set_callback "
                         "timer_start timer_cancel kptr_xchg for_each_map_elem loop user_ringbuf_drain "
                         "ringbuf_reserve_dynptr ringbuf_submit_dynptr ringbuf_discard_dynptr dynptr_from_mem "
                         "dynptr_read "
                         "dynptr_write dynptr_data"),
    ("bpf",     (6, 2),  "cgrp_storage_get cgrp_storage_delete"),
    ("bpf",     (6, 7),  "get_current_cgroup_id get_current_ancestor_cgroup_id"),
    ("bpf",     (6, 16), "current_task_under_cgroup get_cgroup_classid task_storage_get task_storage_delete"),
    ("perfmon", (4, 18), "trace_printk"),
    ("perfmon", (6, 1),  "get_current_task get_current_task_btf probe_read_user probe_read_kernel probe_read_user_str "
                         "probe_read_kernel_str snprintf_btf snprintf task_pt_regs trace_vprintk"),
    ("perfmon", (6, 16), "copy_from_user copy_from_user_task find_vma get_branch_snapshot get_current_comm "
                         "get_task_stack "
                         "perf_event_read perf_event_read_value send_signal send_signal_thread"),
]
# Converters of socket pointers: socket programs with CAP_PERFMON.
SOCK_BASE: Final = ("skc_to_tcp6_sock skc_to_tcp_sock skc_to_tcp_timewait_sock skc_to_tcp_request_sock "
                    "skc_to_udp6_sock "
                    "skc_to_unix_sock skc_to_mptcp_sock")
_CGROUP_CURRENT: Final = "get_current_uid_gid get_current_comm get_cgroup_classid current_task_under_cgroup"
_SYNCOOKIE: Final = ("tcp_check_syncookie tcp_gen_syncookie tcp_raw_gen_syncookie_ipv4 tcp_raw_gen_syncookie_ipv6 "
                     "tcp_raw_check_syncookie_ipv4 tcp_raw_check_syncookie_ipv6")
_LWT: Final = ("skb_load_bytes skb_pull_data csum_diff get_cgroup_classid get_route_realm get_hash_recalc "
               "perf_event_output skb_under_cgroup ktime_get_coarse_ns")
_TRACE: Final = ("get_current_pid_tgid get_ns_current_pid_tgid get_current_cgroup_id get_current_ancestor_cgroup_id "
                 "get_current_task get_current_task_btf task_pt_regs get_current_uid_gid get_current_comm "
                 "trace_printk perf_event_read probe_read probe_read_str probe_read_user "
                 "probe_read_kernel probe_read_user_str probe_read_kernel_str current_task_under_cgroup send_signal "
                 "send_signal_thread perf_event_read_value get_task_stack copy_from_user copy_from_user_task "
                 "snprintf_btf "
                 "task_storage_get task_storage_delete snprintf get_func_ip get_branch_snapshot find_vma trace_vprintk "
                 "get_stackid get_stack perf_event_output get_attach_cookie probe_write_user")
_SOCK_LOOKUP: Final = "sk_lookup_tcp sk_lookup_udp sk_release skc_lookup_tcp"
_CGROUP_RETVAL: Final = "get_retval set_retval"

EXTRA: Final[dict[str, str]] = {
    "socket_filter": "skb_load_bytes skb_load_bytes_relative get_socket_cookie get_socket_uid perf_event_output "
                     "ktime_get_coarse_ns",
    "sched_cls":     "skb_store_bytes skb_load_bytes skb_load_bytes_relative skb_pull_data csum_diff csum_update "
                     "csum_level "
                     "l3_csum_replace l4_csum_replace clone_redirect get_cgroup_classid skb_vlan_push skb_vlan_pop "
                     "skb_change_proto skb_change_type skb_adjust_room skb_change_tail skb_change_head "
                     "skb_get_tunnel_key skb_set_tunnel_key skb_get_tunnel_opt skb_set_tunnel_opt redirect "
                     "redirect_neigh redirect_peer get_route_realm get_hash_recalc set_hash_invalid set_hash "
                     "perf_event_output skb_under_cgroup get_socket_cookie get_socket_uid fib_lookup check_mtu "
                     "sk_fullsock "
                     "sk_storage_get sk_storage_delete skb_get_xfrm_state skb_cgroup_classid skb_cgroup_id "
                     "skb_ancestor_cgroup_id tcp_sock get_listener_sock skb_ecn_set_ce sk_assign skb_set_tstamp "
                     "ktime_get_coarse_ns " + _SOCK_LOOKUP + " " + _SYNCOOKIE,
    "xdp":           "perf_event_output csum_diff xdp_adjust_head xdp_adjust_meta xdp_adjust_tail redirect "
                     "redirect_map "
                     "xdp_get_buff_len xdp_load_bytes xdp_store_bytes fib_lookup check_mtu ktime_get_coarse_ns "
                     + _SOCK_LOOKUP + " " + _SYNCOOKIE,
    "cgroup_skb":    "get_local_storage skb_load_bytes skb_load_bytes_relative get_socket_cookie get_socket_uid "
                     "sk_fullsock "
                     "sk_storage_get sk_storage_delete perf_event_output skb_cgroup_id skb_ancestor_cgroup_id "
                     "sk_cgroup_id "
                     "sk_ancestor_cgroup_id tcp_sock get_listener_sock skb_ecn_set_ce ktime_get_coarse_ns "
                     "" + _SOCK_LOOKUP,
    "lwt_out":       _LWT,
    "lwt_in":        _LWT + " lwt_push_encap",
    "lwt_xmit":      _LWT + " skb_get_tunnel_key skb_set_tunnel_key skb_get_tunnel_opt skb_set_tunnel_opt redirect "
                     "clone_redirect skb_change_tail skb_change_head skb_store_bytes csum_update csum_level "
                     "l3_csum_replace "
                     "l4_csum_replace set_hash_invalid lwt_push_encap",
    "lwt_seg6local": _LWT + " lwt_seg6_store_bytes lwt_seg6_action lwt_seg6_adjust_srh",
    "sock_ops":      "get_local_storage setsockopt getsockopt sock_ops_cb_flags_set sock_map_update sock_hash_update "
                     "get_socket_cookie perf_event_output sk_storage_get sk_storage_delete get_netns_cookie "
                     "load_hdr_opt "
                     "store_hdr_opt reserve_hdr_opt tcp_sock ktime_get_coarse_ns",
    "sk_skb":        "skb_store_bytes skb_load_bytes skb_pull_data skb_change_tail skb_change_head skb_adjust_room "
                     "get_socket_cookie get_socket_uid sk_redirect_map sk_redirect_hash perf_event_output "
                     "ktime_get_coarse_ns " + _SOCK_LOOKUP,
    "sk_msg":        "msg_redirect_map msg_redirect_hash msg_apply_bytes msg_cork_bytes msg_pull_data msg_push_data "
                     "msg_pop_data perf_event_output get_current_uid_gid sk_storage_get sk_storage_delete "
                     "get_netns_cookie "
                     "get_cgroup_classid ktime_get_coarse_ns get_current_pid_tgid get_current_cgroup_id "
                     "get_current_ancestor_cgroup_id",
    "sk_reuseport":  "sk_select_reuseport skb_load_bytes skb_load_bytes_relative get_socket_cookie ktime_get_coarse_ns",
    "sk_lookup":     "perf_event_output sk_assign sk_release ktime_get_coarse_ns",
    "flow_dissector": "skb_load_bytes ktime_get_coarse_ns",
    "netfilter":     "",
    "cgroup_sock":   "get_local_storage get_socket_cookie get_netns_cookie perf_event_output sk_storage_get "
                     "ktime_get_coarse_ns " + _CGROUP_CURRENT,
    "cgroup_sock_addr": "get_local_storage get_socket_cookie get_netns_cookie perf_event_output sk_storage_get "
                     "sk_storage_delete setsockopt getsockopt bind ktime_get_coarse_ns " + _SOCK_LOOKUP + " "
                     + _CGROUP_CURRENT,
    "cgroup_sockopt": "get_local_storage get_netns_cookie sk_storage_get sk_storage_delete tcp_sock perf_event_output "
                     "setsockopt getsockopt " + _CGROUP_CURRENT,
    "cgroup_device": "get_local_storage perf_event_output " + _CGROUP_CURRENT,
    "cgroup_sysctl": "get_local_storage perf_event_output sysctl_get_name sysctl_get_current_value "
                     "sysctl_get_new_value "
                     "sysctl_set_new_value ktime_get_coarse_ns " + _CGROUP_CURRENT,
    "lirc_mode2":    "rc_repeat rc_keydown rc_pointer_rel map_lookup_elem",
    "kprobe":        _TRACE + " override_return",
    "tracepoint":    _TRACE,
    "perf_event":    _TRACE + " perf_prog_read_value read_branch_records",
    "raw_tracepoint": _TRACE,
    "tracing":       _TRACE + " skb_output xdp_output sk_storage_get sk_storage_delete sock_from_file "
                              "get_socket_cookie "
                     "xdp_get_buff_len d_path seq_printf seq_write seq_printf_btf get_func_arg get_func_ret "
                     "get_func_arg_cnt " + SOCK_BASE,
    "syscall":       "sys_bpf btf_find_by_name_kind sys_close kallsyms_lookup_name",
}
SAME_AS: Final = {"sched_act": "sched_cls", "raw_tracepoint_writable": "raw_tracepoint"}
# Socket-like types that have the converters of SOCK_BASE.
_WITH_SOCK_BASE: Final = frozenset((
    "socket_filter", "sched_cls", "sched_act", "xdp", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local",
    "sock_ops", "sk_skb", "sk_msg", "sk_lookup", "flow_dissector", "cgroup_sock_addr"))
_CGROUP: Final = frozenset((
    "cgroup_skb", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt", "cgroup_device", "cgroup_sysctl", "sock_ops"))

# Additions to one type since a version, and the odd one out.
ADDED: Final[list[tuple[str, tuple[int, int], str]]] = [
    ("raw_tracepoint", (6, 10), "get_attach_cookie"),
    ("socket_filter",  (6, 15), "get_netns_cookie"),
    ("sched_cls",      (6, 15), "get_netns_cookie"),
    ("cgroup_skb",     (6, 15), "get_netns_cookie"),
    ("lwt_seg6local",  (6, 15), "skb_pull_data"),
    ("syscall",        (6, 16), _TRACE.replace(" get_attach_cookie", "") + " skb_output xdp_output sk_storage_get "
                                "sk_storage_delete sock_from_file get_socket_cookie xdp_get_buff_len d_path "
                                "" + SOCK_BASE),
]
# Attach types (numbers of enum bpf_attach_type) in which a cgroup program has no return value to get or set:
# skb ingress and egress, sock_ops, recvmsg, getpeername, getsockname.
_NO_RETVAL: Final = frozenset((0, 1, 3, 19, 20, 29, 30, 31, 32, 51, 52, 53))
_CONNECT: Final = frozenset((10, 11))
_UNIX_NAMES: Final = frozenset((52, 53))                   # no socket options there
_SETSOCKOPT: Final = 22
_MULTI_PROBES: Final = frozenset((42, 48, 56))             # kprobe, uprobe multi; kprobe session
# 6.18 lists the two only where the configuration (error injection) and CAP_SYS_ADMIN allow them.
_NEEDS_SYS_ADMIN: Final = frozenset(("probe_write_user", "override_return"))

# What calls do besides ------------------------------------------------------------------------------------------------

CHANGES_PACKET: Final = frozenset(helper_id(name) for name in (
    "clone_redirect l3_csum_replace l4_csum_replace lwt_push_encap lwt_seg6_action lwt_seg6_adjust_srh "
    "lwt_seg6_store_bytes msg_pop_data msg_pull_data msg_push_data skb_adjust_room skb_change_head skb_change_proto "
    "skb_change_tail skb_pull_data skb_store_bytes skb_vlan_pop skb_vlan_push store_hdr_opt xdp_adjust_head "
    "xdp_adjust_meta xdp_adjust_tail").split())
_TAIL_CALL: Final = helper_id("tail_call")
ACQUIRES: Final = frozenset(helper_id(n) for n in (
    "sk_lookup_tcp", "sk_lookup_udp", "skc_lookup_tcp", "ringbuf_reserve", "kptr_xchg"))
CASTS: Final = frozenset(helper_id(n) for n in (
    "tcp_sock", "sk_fullsock", "skc_to_tcp_sock", "skc_to_tcp6_sock", "skc_to_udp6_sock", "skc_to_mptcp_sock",
    "skc_to_tcp_timewait_sock", "skc_to_tcp_request_sock"))
CALLS_BACK: Final = frozenset(helper_id(n) for n in ("for_each_map_elem", "find_vma", "loop", "user_ringbuf_drain"))
CALLS_BACK_LATER: Final = frozenset((helper_id("timer_set_callback"),))
STORAGE_GET: Final = frozenset(helper_id(n) for n in ("sk_storage_get", "inode_storage_get", "task_storage_get",
                                                      "cgrp_storage_get"))


def changes_packet(number: int, version: tuple[int, int] = (6, 18)) -> bool:
    """Whether packet pointers are void after the call (a tail call counts since 6.13, with its stable backports).

    >>> changes_packet(44), changes_packet(1)
    (True, False)
    """
    return number in CHANGES_PACKET or (number == _TAIL_CALL and version >= (6, 12))


# Which helper works with which map ------------------------------------------------------------------------------------
# Read in both directions: a map of the type on the left admits only these helpers ...

MAP_ADMITS: Final[dict[str, str]] = {
    "prog_array":           "tail_call",
    "perf_event_array":     "perf_event_read perf_event_output skb_output perf_event_read_value xdp_output",
    "ringbuf":              "ringbuf_output ringbuf_reserve ringbuf_query ringbuf_reserve_dynptr ringbuf_submit_dynptr "
                            "ringbuf_discard_dynptr",
    "user_ringbuf":         "user_ringbuf_drain",
    "stack_trace":          "get_stackid",
    "cgroup_array":         "skb_under_cgroup current_task_under_cgroup",
    "cgroup_storage":       "get_local_storage",
    "percpu_cgroup_storage": "get_local_storage",
    "devmap":               "redirect_map map_lookup_elem",
    "devmap_hash":          "redirect_map map_lookup_elem",
    "cpumap":               "redirect_map",
    "xskmap":               "redirect_map map_lookup_elem",
    "array_of_maps":        "map_lookup_elem",
    "hash_of_maps":         "map_lookup_elem",
    "sockmap":              "sk_redirect_map sock_map_update msg_redirect_map sk_select_reuseport map_lookup_elem",
    "sockhash":             "sk_redirect_hash sock_hash_update msg_redirect_hash sk_select_reuseport map_lookup_elem",
    "reuseport_sockarray":  "sk_select_reuseport",
    "queue":                "map_peek_elem map_pop_elem map_push_elem",
    "stack":                "map_peek_elem map_pop_elem map_push_elem",
    "sk_storage":           "sk_storage_get sk_storage_delete kptr_xchg",
    "inode_storage":        "inode_storage_get inode_storage_delete kptr_xchg",
    "task_storage":         "task_storage_get task_storage_delete kptr_xchg",
    "cgrp_storage":         "cgrp_storage_get cgrp_storage_delete kptr_xchg",
    "bloom_filter":         "map_peek_elem map_push_elem",
}
# ... and a helper on the left works only with these maps.
HELPER_ADMITS: Final[dict[str, str]] = {
    "tail_call": "prog_array",
    "perf_event_read": "perf_event_array", "perf_event_output": "perf_event_array",
    "perf_event_read_value": "perf_event_array", "skb_output": "perf_event_array", "xdp_output": "perf_event_array",
    "ringbuf_output": "ringbuf", "ringbuf_reserve": "ringbuf", "ringbuf_query": "ringbuf",
    "ringbuf_reserve_dynptr": "ringbuf", "ringbuf_submit_dynptr": "ringbuf", "ringbuf_discard_dynptr": "ringbuf",
    "user_ringbuf_drain": "user_ringbuf", "get_stackid": "stack_trace",
    "current_task_under_cgroup": "cgroup_array", "skb_under_cgroup": "cgroup_array",
    "redirect_map": "devmap devmap_hash cpumap xskmap",
    "sk_redirect_map": "sockmap", "msg_redirect_map": "sockmap", "sock_map_update": "sockmap",
    "sk_redirect_hash": "sockhash", "msg_redirect_hash": "sockhash", "sock_hash_update": "sockhash",
    "get_local_storage": "cgroup_storage percpu_cgroup_storage",
    "sk_select_reuseport": "reuseport_sockarray sockmap sockhash",
    "map_pop_elem": "queue stack", "map_peek_elem": "queue stack bloom_filter",
    "map_push_elem": "queue stack bloom_filter",
    "map_lookup_percpu_elem": "percpu_array percpu_hash lru_percpu_hash",
    "sk_storage_get": "sk_storage", "sk_storage_delete": "sk_storage",
    "inode_storage_get": "inode_storage", "inode_storage_delete": "inode_storage",
    "task_storage_get": "task_storage", "task_storage_delete": "task_storage",
    "cgrp_storage_get": "cgrp_storage", "cgrp_storage_delete": "cgrp_storage",
}
# Types in which a program may change a sockmap by map_update_elem and map_delete_elem.
_SOCKMAP_UPDATERS: Final = frozenset((
    "socket_filter", "sched_cls", "sched_act", "xdp", "sk_reuseport", "flow_dissector", "sk_lookup"))
_UPDATE: Final = helper_id("map_update_elem")
_DELETE: Final = helper_id("map_delete_elem")

_map_admits: Final = {kind: frozenset(helper_id(h) for h in names.split()) for kind, names in MAP_ADMITS.items()}
_helper_admits: Final = {helper_id(h): frozenset(kinds.split()) for h, kinds in HELPER_ADMITS.items()}


def map_admits(map_type: str, number: int, prog_type: str, version: tuple[int, int] = (6, 18)) -> bool:
    """Whether helper `number` may be given a map of that type ("cannot pass map_type %d into func %s#%d" when not).

    >>> map_admits("prog_array", 1, "xdp"), map_admits("hash", 1, "xdp")
    (False, True)
    """
    admitted = _map_admits.get(map_type)
    if admitted is not None and number not in admitted:
        if not (map_type in ("sockmap", "sockhash") and may_update_sockmap(number, prog_type, version)):
            return False
    wanted = _helper_admits.get(number)
    return wanted is None or map_type in wanted


def may_update_sockmap(number: int, prog_type: str, version: tuple[int, int] = (6, 18)) -> bool:
    """Whether the type may update or delete from a sockmap; "cannot update sockmap in this context" when not."""
    if number != _UPDATE and number != _DELETE:
        return False
    return prog_type in _SOCKMAP_UPDATERS or (prog_type == "sock_ops" and number == _DELETE)


# Looking up -----------------------------------------------------------------------------------------------------------

_tables: dict[tuple[str, int, tuple[int, int], bool, bool], dict[int, HelperProto]] = {}


def proto(number: int, prog_type: str, attach_type: int = 0, version: tuple[int, int] = (6, 18), cap_bpf: bool = True,
          cap_perfmon: bool = True) -> HelperProto | None:
    """The prototype under which this program may call helper `number`, or None when it may not.

    >>> proto(1, "xdp")
    HelperProto(bpf_map_lookup_elem#1[Arg(map), Arg(key)])
    >>> proto(44, "socket_filter") is None
    True
    """
    return table(prog_type, attach_type, version, cap_bpf, cap_perfmon).get(number)


def known(number: int) -> bool:
    """Whether any kernel knows a helper of that number ("invalid func unknown#%d" when not)."""
    return helper_name(number) != ""


def table(prog_type: str, attach_type: int = 0, version: tuple[int, int] = (6, 18), cap_bpf: bool = True,
          cap_perfmon: bool = True) -> dict[int, HelperProto]:
    """All helpers this program may call: number -> prototype."""
    key = (prog_type, attach_type, version, cap_bpf, cap_perfmon)
    found = _tables.get(key)
    if found is None:
        names = _names(prog_type, attach_type, version, cap_bpf, cap_perfmon)
        found = _tables[key] = {helper_id(name): _proto(name, prog_type, attach_type, version) for name in names}
    return found


def _names(prog_type: str, attach_type: int, version: tuple[int, int], cap_bpf: bool, cap_perfmon: bool) -> set[str]:
    like = SAME_AS.get(prog_type, prog_type)
    names = set(EXTRA.get(like, "").split())
    for owner, since, added in ADDED:
        if owner == like:
            names.update(added.split()) if version >= since else names.difference_update(added.split())
    if version >= (6, 16) and not cap_perfmon:
        names.discard("get_current_comm")
        if like == "syscall":
            names.discard("sys_bpf")
    for cap, since, helpers in BASE:
        if version >= since and (cap == "" or (cap_bpf and (cap == "bpf" or cap_perfmon))):
            names.update(helpers.split())
    if prog_type in _WITH_SOCK_BASE and cap_perfmon:
        names.update(SOCK_BASE.split())
    if prog_type in _CGROUP and attach_type not in _NO_RETVAL:
        names.update(_CGROUP_RETVAL.split())
    _by_attach_type(names, prog_type, attach_type, version)
    return names - _NEEDS_SYS_ADMIN if version >= (6, 16) else names


def _by_attach_type(names: set[str], prog_type: str, attach_type: int, version: tuple[int, int]) -> None:
    if prog_type == "cgroup_sock_addr":
        if attach_type not in _CONNECT:
            names.discard("bind")
        if attach_type in _UNIX_NAMES and version < (6, 15):
            names -= {"setsockopt", "getsockopt"}
    if prog_type == "cgroup_sockopt" and attach_type != _SETSOCKOPT:
        names -= {"setsockopt", "getsockopt"}


def _proto(name: str, prog_type: str, attach_type: int, version: tuple[int, int]) -> HelperProto:
    ret, args, flags = _signature(name, prog_type, version)
    if name == "get_func_ip" and prog_type == "kprobe" and attach_type in _MULTI_PROBES:
        flags = ""
    head, _, struct = ret.partition(":")
    null = head.endswith("?")
    parsed = tuple(_arg(token) for token in args.split())
    return HelperProto(helper_id(name), name, _RETS[head.rstrip("?")], null, struct, parsed, flags)


def _signature(name: str, prog_type: str, version: tuple[int, int]) -> tuple[str, str, str]:
    for wanted, before, ret, args, flags in OLDER:
        if wanted == name and version < before:
            if prog_type == "cgroup_sock_addr":
                flags = flags.replace("p", "")
            if name != "get_stack":
                return ret, args, flags
    for wanted, types, ret, args, flags in VARIANTS:
        if wanted == name and prog_type in types.split() and not (name == "get_stack" and version >= (6, 18)):
            return ret, args, flags
    return _rows[name]


_rows: Final = {name: (ret, args, flags) for name, ret, args, flags in PROTOS}


def _arg(token: str) -> Arg:
    """Expand one shorthand token, see the table in the module's text."""
    head, *words = token.split("+")
    flags = 0
    for word in words:
        flags |= _FLAGS[word]
    head, _, struct = head.partition(":")
    if head.endswith("?"):
        flags |= MAYBE_NULL
        head = head[:-1]
    size = 0
    if head.startswith("fixed"):
        head, size = "fixed", int(head[5:])
    if head == "rmem":
        head, flags = "mem", flags | RDONLY
    elif head == "wmem":
        head, flags = "mem", flags | WRITE
    elif head == "out":
        head, flags = "mem", flags | UNINIT | WRITE
    return Arg(_ARG_KINDS[head], flags, size, struct)
