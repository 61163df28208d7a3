"""Redirect helpers: they note where the packet should go; nothing leaves this host (net/core/filter.c)."""

from __future__ import annotations

from errno import EINVAL
from typing import Final

from bpfbench.bits import U32_MAX
from bpfbench.interp.helpers.maps import map_at
from bpfbench.interp.helpers.row import Row
from bpfbench.interp.map_kinds import Redirects
from bpfbench.interp.runtime import LOOPBACK, Runtime
from bpfbench.interp.trap import ProgramFault

XDP_ABORTED, XDP_REDIRECT = 0, 4
TC_ACT_SHOT, TC_ACT_REDIRECT = 2, 7
SK_DROP: Final = 0
F_INGRESS: Final = 1
F_BROADCAST, F_EXCLUDE_INGRESS = 8, 16
ACTION_MASK: Final = 3               # the XDP action to return when the lookup fails


def redirect(rt: Runtime, ifindex: int, flags: int) -> int:
    if rt.program.type == "xdp":
        if flags:
            return XDP_ABORTED
        rt.redirect = ("", ifindex & U32_MAX, 0)
        return XDP_REDIRECT
    if flags & ~F_INGRESS:
        return TC_ACT_SHOT
    rt.redirect = ("", ifindex & U32_MAX, flags)
    return TC_ACT_REDIRECT


def redirect_neigh(rt: Runtime, ifindex: int, params: int, size: int, flags: int) -> int:
    if flags or size and size < 20:
        return TC_ACT_SHOT
    rt.redirect = ("", ifindex & U32_MAX, 0)
    return TC_ACT_REDIRECT


def redirect_peer(rt: Runtime, ifindex: int, flags: int) -> int:
    if flags:
        return TC_ACT_SHOT
    rt.redirect = ("", ifindex & U32_MAX, 0)
    return TC_ACT_REDIRECT


def clone_redirect(rt: Runtime, ctx: int, ifindex: int, flags: int) -> int:
    if flags & ~F_INGRESS or ifindex & U32_MAX != LOOPBACK:
        return -EINVAL
    rt.notes.append(f"bpf_clone_redirect: a copy of the packet goes to interface {ifindex}")
    return 0


def redirect_map(rt: Runtime, address: int, key: int, flags: int) -> int:
    target = map_at(rt, address)
    if not isinstance(target, Redirects):
        raise ProgramFault("helper", f"map {target.name} of type {target.type} has nothing to redirect to")
    more = F_BROADCAST | F_EXCLUDE_INGRESS if target.type.startswith("devmap") else 0
    if flags & ~(ACTION_MASK | more):
        return XDP_ABORTED
    if not target.lookup((key & U32_MAX).to_bytes(4, "little")) and not flags & F_BROADCAST:
        return flags & ACTION_MASK
    rt.redirect = (target.name, key & U32_MAX, flags)
    return XDP_REDIRECT


def no_socket(rt: Runtime, *arguments: int) -> int:
    return SK_DROP


# name                      function            arguments
ROWS: Final[list[Row]] = [
    Row("redirect",             redirect,           2),
    Row("redirect_neigh",       redirect_neigh,     4),
    Row("redirect_peer",        redirect_peer,      2),
    Row("clone_redirect",       clone_redirect,     3),
    Row("redirect_map",         redirect_map,       3),
    Row("sk_redirect_map",      no_socket,          4),
    Row("sk_redirect_hash",     no_socket,          4),
    Row("msg_redirect_map",     no_socket,          4),
    Row("msg_redirect_hash",    no_socket,          4),
]  # fmt: skip
