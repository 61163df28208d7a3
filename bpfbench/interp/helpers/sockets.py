"""Socket and routing helpers on a host without sockets, routes or neighbours: lookups find nothing, and say so."""

from __future__ import annotations

from errno import EAFNOSUPPORT, EINVAL, ENODEV, ENOENT, EOPNOTSUPP
from typing import Final

from bpfbench.bits import U32_MAX
from bpfbench.interp.helpers.row import Row
from bpfbench.interp.packet import SKB_MAX_LEN
from bpfbench.interp.runtime import LOOPBACK, Runtime, sign

FIB_LKUP_RET_FWD_DISABLED: Final = 5     # this host forwards nothing
MTU_RET_SUCCESS, MTU_RET_FRAG_NEEDED = 0, 1
OVERFLOW_UID: Final = 65534
PARAMS_SIZE: Final = 64              # sizeof(struct bpf_fib_lookup)


def no_socket(rt: Runtime, *arguments: int) -> int:
    return 0


def same_socket(rt: Runtime, socket: int) -> int:
    return socket


def get_socket_cookie(rt: Runtime, ctx: int) -> int:
    return 1


def get_socket_uid(rt: Runtime, ctx: int) -> int:
    return 0 if rt.skb is not None else OVERFLOW_UID       # a test run's socket belongs to root


def refused(rt: Runtime, *arguments: int) -> int:
    return -EINVAL


def not_found(rt: Runtime, *arguments: int) -> int:
    return -ENOENT


def unsupported(rt: Runtime, *arguments: int) -> int:
    return -EOPNOTSUPP


def fib_lookup(rt: Runtime, ctx: int, params: int, size: int, flags: int) -> int:
    if sign(size, 32) < PARAMS_SIZE:
        return -EINVAL
    given = rt.memory.read(params, PARAMS_SIZE)
    if given[0] not in (2, 10):
        return -EAFNOSUPPORT
    if int.from_bytes(given[8:12], "little") != LOOPBACK:
        return -ENODEV
    return FIB_LKUP_RET_FWD_DISABLED


def check_mtu(rt: Runtime, ctx: int, ifindex: int, mtu_len: int, diff: int, flags: int) -> int:
    """Compare the packet's length, or *mtu_len if given, with the loopback device's MTU."""
    if ifindex & U32_MAX not in (0, LOOPBACK):
        return -ENODEV
    if flags & ~1 or rt.packet is None:
        return -EINVAL
    mtu = SKB_MAX_LEN - 14
    given = rt.memory.load(mtu_len, 4)
    size = (given or len(rt.packet) - 14) + sign(diff, 32)
    rt.memory.store(mtu_len, 4, mtu)
    return MTU_RET_SUCCESS if size <= mtu else MTU_RET_FRAG_NEEDED


# name                          function            arguments
ROWS: Final[list[Row]] = [
    Row("sk_lookup_tcp",            no_socket,          5),
    Row("sk_lookup_udp",            no_socket,          5),
    Row("skc_lookup_tcp",           no_socket,          5),
    Row("sk_release",               no_socket,          1),
    Row("sk_fullsock",              same_socket,        1),
    Row("tcp_sock",                 no_socket,          1),
    Row("get_listener_sock",        no_socket,          1),
    Row("skc_to_tcp_sock",          no_socket,          1),
    Row("skc_to_tcp6_sock",         no_socket,          1),
    Row("skc_to_udp6_sock",         no_socket,          1),
    Row("skc_to_tcp_timewait_sock", no_socket,          1),
    Row("skc_to_tcp_request_sock",  no_socket,          1),
    Row("skc_to_unix_sock",         no_socket,          1),
    Row("skc_to_mptcp_sock",        no_socket,          1),
    Row("tcp_check_syncookie",      not_found,          5),
    Row("tcp_gen_syncookie",        refused,            5),
    Row("sk_assign",                refused,            3),
    Row("sk_select_reuseport",      not_found,          4),
    Row("sock_map_update",          unsupported,        4),
    Row("sock_hash_update",         unsupported,        4),
    Row("get_socket_cookie",        get_socket_cookie,  1),
    Row("get_socket_uid",           get_socket_uid,     1),
    Row("setsockopt",               refused,            5),
    Row("getsockopt",               refused,            5),
    Row("bind",                     refused,            3),
    Row("sock_ops_cb_flags_set",    no_socket,          2),
    Row("msg_apply_bytes",          no_socket,          2),
    Row("msg_cork_bytes",           no_socket,          2),
    Row("fib_lookup",               fib_lookup,         4),
    Row("check_mtu",                check_mtu,          5),
]  # fmt: skip
