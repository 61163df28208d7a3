"""Program types: what the kind of a program decides before its first instruction is looked at.

A program's type (and, for cgroup and tracing programs, its expected attach type) decides who may load it, whether it
may touch packets directly, whether the legacy `ld_abs` works, which numbers it may return, and whether a kernel type
(BTF) must name its attach target.  One row per type; what hangs on the attach type has tables of its own.

    type            privileges   packet   ld_abs   attach types            exit value
    socket_filter   -            -        yes      any                     any
    xdp             net_admin    rw       no       any                     any
    cgroup_skb      -            r        no       0, 1                    0..1, egress 0..3
    …

Sources: kernel/bpf/syscall.c (`bpf_prog_load_check_attach`, `is_net_admin_prog_type`, `is_perfmon_prog_type`),
kernel/bpf/verifier.c (`may_access_direct_pkt_data`, `may_access_skb`, `check_return_code`); the attach types and ranges
of 6.18 were asked of the kernel.  Slides 17, 24, 31.
"""

from __future__ import annotations

from typing import Final, final

# include/uapi/linux/bpf.h, enum bpf_attach_type, in numeric order
ATTACH_TYPES: Final = (
    "cgroup_inet_ingress cgroup_inet_egress cgroup_inet_sock_create cgroup_sock_ops sk_skb_stream_parser "
    "sk_skb_stream_verdict cgroup_device sk_msg_verdict cgroup_inet4_bind cgroup_inet6_bind cgroup_inet4_connect "
    "cgroup_inet6_connect cgroup_inet4_post_bind cgroup_inet6_post_bind cgroup_udp4_sendmsg cgroup_udp6_sendmsg "
    "lirc_mode2 flow_dissector cgroup_sysctl cgroup_udp4_recvmsg cgroup_udp6_recvmsg cgroup_getsockopt "
    "cgroup_setsockopt trace_raw_tp trace_fentry trace_fexit modify_return lsm_mac trace_iter "
    "cgroup_inet4_getpeername cgroup_inet6_getpeername cgroup_inet4_getsockname cgroup_inet6_getsockname xdp_devmap "
    "cgroup_inet_sock_release xdp_cpumap sk_lookup xdp sk_skb_verdict sk_reuseport_select "
    "sk_reuseport_select_or_migrate perf_event trace_kprobe_multi lsm_cgroup struct_ops netfilter tcx_ingress "
    "tcx_egress "
    "trace_uprobe_multi cgroup_unix_connect cgroup_unix_sendmsg cgroup_unix_recvmsg cgroup_unix_getpeername "
    "cgroup_unix_getsockname netkit_primary netkit_peer trace_kprobe_session trace_uprobe_session"
).split()
ATTACH_TYPE_IDS: Final = {name: number for number, name in enumerate(ATTACH_TYPES)}

# Who may load it
NOBODY_SPECIAL: Final = 0        # the unprivileged too, where the system allows that
CAP_BPF: Final = 1
CAP_NET_ADMIN: Final = 2         # and CAP_BPF
CAP_PERFMON: Final = 3           # and CAP_BPF


@final
class ProgType:
    """One program type: `name`, `privilege`, `packet` ("", "r" or "rw"), `ld_abs`, `needs_btf`, `tracing`."""

    __slots__ = ("name", "privilege", "packet", "ld_abs", "needs_btf", "tracing")

    def __init__(self, name: str, privilege: int, packet: str, ld_abs: bool, needs_btf: bool, tracing: bool) -> None:
        self.name: Final = name
        self.privilege: Final = privilege
        self.packet: Final = packet
        self.ld_abs: Final = ld_abs
        self.needs_btf: Final = needs_btf      # its context and exit value come from the BTF of the attach target
        self.tracing: Final = tracing          # may not use spin locks and timers

    def may_access_packet(self, write: bool) -> bool:
        return self.packet == "rw" or (self.packet == "r" and not write)

    def __repr__(self) -> str:
        return f"ProgType({self.name})"


_N, _B, _A, _P = NOBODY_SPECIAL, CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON
PROG_TYPES: Final[dict[str, ProgType]] = {row[0]: ProgType(*row) for row in (
    # name                     privilege packet ld_abs needs_btf tracing
    ("socket_filter",           _N,      "",    True,  False,    False),
    ("kprobe",                  _P,      "",    False, False,    True),
    ("sched_cls",               _A,      "rw",  True,  False,    False),
    ("sched_act",               _A,      "rw",  True,  False,    False),
    ("tracepoint",              _P,      "",    False, False,    True),
    ("xdp",                     _A,      "rw",  False, False,    False),
    ("perf_event",              _P,      "",    False, False,    True),
    ("cgroup_skb",              _N,      "r",   False, False,    False),
    ("cgroup_sock",             _A,      "",    False, False,    False),
    ("lwt_in",                  _A,      "r",   False, False,    False),
    ("lwt_out",                 _A,      "r",   False, False,    False),
    ("lwt_xmit",                _A,      "rw",  False, False,    False),
    ("sock_ops",                _A,      "",    False, False,    False),
    ("sk_skb",                  _A,      "rw",  False, False,    False),
    ("cgroup_device",           _A,      "",    False, False,    False),
    ("sk_msg",                  _A,      "rw",  False, False,    False),
    ("raw_tracepoint",          _P,      "",    False, False,    True),
    ("cgroup_sock_addr",        _A,      "",    False, False,    False),
    ("lwt_seg6local",           _A,      "r",   False, False,    False),
    ("lirc_mode2",              _B,      "",    False, False,    False),
    ("sk_reuseport",            _B,      "r",   False, False,    False),
    ("flow_dissector",          _A,      "r",   False, False,    False),
    ("cgroup_sysctl",           _A,      "",    False, False,    False),
    ("raw_tracepoint_writable", _P,      "",    False, False,    True),
    ("cgroup_sockopt",          _A,      "rw",  False, False,    False),
    ("tracing",                 _P,      "",    False, True,     False),
    ("struct_ops",              _P,      "",    False, True,     False),
    ("ext",                     _P,      "",    False, True,     False),
    ("lsm",                     _P,      "",    False, True,     False),
    ("sk_lookup",               _B,      "",    False, False,    False),
    ("syscall",                 _B,      "",    False, False,    False),
    ("netfilter",               _A,      "",    False, False,    False),
)}

_SOCK_ADDR: Final = (8, 9, 10, 11, 14, 15, 19, 20, 29, 30, 31, 32)
_SOCK_ADDR_UNIX: Final = (49, 50, 51, 52, 53)
ACCEPTED: Final[dict[str, tuple[int, ...]]] = {
    # Types not listed take any number.
    "cgroup_skb": (0, 1), "cgroup_sock": (0, 2, 12, 13, 34), "cgroup_sock_addr": _SOCK_ADDR + _SOCK_ADDR_UNIX,
    "cgroup_sockopt": (21, 22), "sk_lookup": (36,), "sk_reuseport": (0, 39, 40), "netfilter": (45,), "syscall": (0,),
    "ext": (0,),
}
# Types that were not built into the kernels of the profiles (CONFIG_BPF_LIRC_MODE2).
ABSENT: Final = frozenset(("lirc_mode2",))

SINCE: Final[dict[str, tuple[int, int]]] = {
    "sk_lookup": (5, 9), "syscall": (5, 14), "netfilter": (6, 4), "lsm": (5, 7), "ext": (5, 6), "struct_ops": (5, 6),
    "tracing": (5, 5), "cgroup_sockopt": (5, 3), "raw_tracepoint_writable": (5, 2), "cgroup_sysctl": (5, 2),
    "flow_dissector": (4, 20), "sk_reuseport": (4, 19),
}

EXIT_RANGES: Final[dict[str, tuple[int, int]]] = {
    # Types not listed may return anything.
    "cgroup_skb": (0, 1), "cgroup_sock": (0, 1), "cgroup_sock_addr": (0, 1), "sock_ops": (0, 1),
    "cgroup_device": (0, 1), "cgroup_sysctl": (0, 1), "cgroup_sockopt": (0, 1), "sk_lookup": (0, 1),
    "netfilter": (0, 1),
}
EXIT_RANGES_ATTACH: Final[dict[tuple[str, int], tuple[int, int]]] = {
    ("cgroup_skb", 1): (0, 3),                              # egress: also congestion notification
    ("cgroup_sock_addr", 8): (0, 3), ("cgroup_sock_addr", 9): (0, 3),   # bind
    **{("cgroup_sock_addr", attach): (1, 1) for attach in (19, 20, 29, 30, 31, 32, 51, 52, 53)},
    ("kprobe", 56): (0, 1),                                 # sessions: whether to call again at return
    ("kprobe", 57): (0, 1),
}
_EXIT_SINCE: Final = {("kprobe", 56): (6, 10), ("kprobe", 57): (6, 13)}


def prog_type(name: str) -> ProgType | None:
    """The row of a program type, None for a name that is not one.

    >>> prog_type("xdp"), prog_type("xdp").packet
    (ProgType(xdp), 'rw')
    """
    return PROG_TYPES.get(name)


def attach_accepted(name: str, attach_type: int, version: tuple[int, int] = (6, 18)) -> bool:
    """Whether loading takes this expected attach type (EINVAL without a log when not), and whether the type exists yet.

    >>> attach_accepted("xdp", 77), attach_accepted("sk_lookup", 0), attach_accepted("netfilter", 45, (6, 1))
    (True, False, False)
    """
    if name not in PROG_TYPES or name in ABSENT or version < SINCE.get(name, (0, 0)):
        return False
    accepted = ACCEPTED.get(name)
    if accepted is None:
        return True
    if attach_type in _SOCK_ADDR_UNIX and name == "cgroup_sock_addr" and version < (6, 7):
        return False
    return attach_type in accepted


def effective_attach_type(name: str, attach_type: int) -> int:
    """The attach type that counts: 0 stands for the oldest one in two types.

    >>> effective_attach_type("cgroup_sock", 0), effective_attach_type("xdp", 0)
    (2, 0)
    """
    if attach_type == 0 and name == "cgroup_sock":
        return 2
    if attach_type == 0 and name == "sk_reuseport":
        return 39
    return attach_type


def exit_range(name: str, attach_type: int, version: tuple[int, int] = (6, 18)) -> tuple[int, int] | None:
    """The inclusive range of numbers the program may return, None when any will do.

    The range of programs with BTF targets (tracing, LSM, struct_ops) is not in these tables: None as well.

    >>> exit_range("cgroup_skb", 1), exit_range("cgroup_sock_addr", 19), exit_range("xdp", 0)
    ((0, 3), (1, 1), None)
    """
    key = (name, attach_type)
    special = EXIT_RANGES_ATTACH.get(key)
    if special is not None and version >= _EXIT_SINCE.get(key, (0, 0)):
        return special
    return EXIT_RANGES.get(name)


def load_errno(name: str, cap_bpf: bool, cap_net_admin: bool, cap_perfmon: bool) -> str:
    """"EPERM" when these capabilities do not suffice to load a program of that type, else "".

    >>> load_errno("xdp", True, False, True), load_errno("xdp", True, True, False)
    ('EPERM', '')
    """
    privilege = PROG_TYPES[name].privilege
    if privilege != NOBODY_SPECIAL and not cap_bpf:
        return "EPERM"
    if privilege == CAP_NET_ADMIN and not cap_net_admin:
        return "EPERM"
    if privilege == CAP_PERFMON and not cap_perfmon:
        return "EPERM"
    return ""


# Programs that may be loaded as sleepable; of tracing programs not all attach types.
MAY_SLEEP: Final = frozenset(("tracing", "lsm", "kprobe", "struct_ops", "syscall"))

# Maps a sleepable program may use; others are refused at load.
SLEEPABLE_MAPS: Final = frozenset((
    "hash", "lru_hash", "array", "percpu_hash", "percpu_array", "lru_percpu_hash", "array_of_maps", "hash_of_maps",
    "ringbuf", "user_ringbuf", "inode_storage", "sk_storage", "task_storage", "cgrp_storage", "queue", "stack", "arena",
))


def map_refused(name: str, field: str) -> str:
    """The kernel's message when a map with a special `field` (spin_lock, timer, workqueue, list_head) is used, or "".

    >>> map_refused("kprobe", "spin_lock")
    'tracing progs cannot use bpf_spin_lock yet'
    """
    tracing = PROG_TYPES[name].tracing
    if field == "spin_lock" and name == "socket_filter":
        return "socket filter progs cannot use bpf_spin_lock yet"
    words = {"spin_lock": "bpf_spin_lock", "timer": "bpf_timer", "workqueue": "bpf_wq",
             "list_head": "bpf_{list_head,rb_root}", "rb_root": "bpf_{list_head,rb_root}"}
    return f"tracing progs cannot use {words[field]} yet" if tracing and field in words else ""
