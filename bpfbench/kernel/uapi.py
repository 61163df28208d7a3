"""The numbers of `include/uapi/linux/bpf.h` that bpf(2) is called with, as tables.

Program and map types are named as in `bpfbench.program.program`, which has the two enums themselves.
"""

from __future__ import annotations

import errno
from typing import Final

# bpf(2) commands (enum bpf_cmd)
MAP_CREATE: Final = 0
MAP_LOOKUP_ELEM: Final = 1
MAP_UPDATE_ELEM: Final = 2
MAP_DELETE_ELEM: Final = 3
MAP_GET_NEXT_KEY: Final = 4
PROG_LOAD: Final = 5
PROG_TEST_RUN: Final = 10
OBJ_GET_INFO_BY_FD: Final = 15
BTF_LOAD: Final = 18
MAP_LOOKUP_AND_DELETE_ELEM: Final = 21
MAP_FREEZE: Final = 22

COMMAND_NAMES: Final = {
    MAP_CREATE: "BPF_MAP_CREATE",
    MAP_LOOKUP_ELEM: "BPF_MAP_LOOKUP_ELEM",
    MAP_UPDATE_ELEM: "BPF_MAP_UPDATE_ELEM",
    MAP_DELETE_ELEM: "BPF_MAP_DELETE_ELEM",
    MAP_GET_NEXT_KEY: "BPF_MAP_GET_NEXT_KEY",
    PROG_LOAD: "BPF_PROG_LOAD",
    PROG_TEST_RUN: "BPF_PROG_TEST_RUN",
    OBJ_GET_INFO_BY_FD: "BPF_OBJ_GET_INFO_BY_FD",
    BTF_LOAD: "BPF_BTF_LOAD",
    MAP_LOOKUP_AND_DELETE_ELEM: "BPF_MAP_LOOKUP_AND_DELETE_ELEM",
    MAP_FREEZE: "BPF_MAP_FREEZE",
}

# Verifier log levels (include/linux/bpf_verifier.h)
LOG_PATH: Final = 1  # the instructions and states of the path being walked
LOG_STATES: Final = 2  # every state, every path
LOG_STATS: Final = 4  # messages and the statistics line only

# Maps whose value user space sees once per possible CPU, each rounded up to eight bytes
PERCPU_MAPS: Final = frozenset({"percpu_hash", "percpu_array", "lru_percpu_hash", "percpu_cgroup_storage"})
# Maps whose values are file descriptors when written and identifiers when read
FD_MAPS: Final = frozenset({
    "prog_array", "perf_event_array", "cgroup_array", "array_of_maps", "hash_of_maps", "devmap", "devmap_hash",
    "cpumap", "sockmap", "sockhash", "xskmap", "reuseport_sockarray",
})  # fmt: skip
# Maps without keys that can be walked
KEYLESS_MAPS: Final = frozenset({"queue", "stack", "ringbuf", "user_ringbuf", "bloom_filter", "arena", "struct_ops"})

# Maps that accept only programs like the first one that used them
OWNED_MAPS: Final = frozenset({
    "prog_array", "devmap", "devmap_hash", "cpumap", "cgroup_storage", "percpu_cgroup_storage",
})  # fmt: skip

# How BPF_PROG_TEST_RUN takes its input (struct bpf_prog_ops.test_run of each type; 6.12 and 6.18)
#            type             data  context            note
TEST_RUN: Final = {
    "socket_filter":           (True, "__sk_buff"),
    "sched_cls":               (True, "__sk_buff"),
    "sched_act":               (True, "__sk_buff"),
    "cgroup_skb":              (True, "__sk_buff"),
    "lwt_in":                  (True, "__sk_buff"),
    "lwt_out":                 (True, "__sk_buff"),
    "lwt_xmit":                (True, "__sk_buff"),
    "lwt_seg6local":           (True, "__sk_buff"),
    "xdp":                     (True, "xdp_md"),
    "flow_dissector":          (True, "bpf_flow_keys"),
    "netfilter":               (True, ""),
    "sk_lookup":               (False, "bpf_sk_lookup"),
    "raw_tracepoint":          (False, "u64[]"),
    "raw_tracepoint_writable": (False, "u64[]"),
    "syscall":                 (False, "program defined"),
}  # fmt: skip

# Errno values that Linux has and the C library does not
_KERNEL_ERRNO: Final = {"ERESTARTSYS": 512, "ENOTSUPP": 524}
ERRNO_NAME: Final = {**errno.errorcode, 95: "EOPNOTSUPP", 11: "EAGAIN", 35: "EDEADLK",
                     **{number: name for name, number in _KERNEL_ERRNO.items()}}  # fmt: skip


def errno_name(number: int) -> str:
    """The symbol of an errno value.

    >>> errno_name(13), errno_name(524)
    ('EACCES', 'ENOTSUPP')
    """
    return ERRNO_NAME.get(number, str(number))
