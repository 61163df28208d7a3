"""Kernel structures that a program may look into: as far as the verifier needs their members.

Accesses through pointers to kernel structures are checked against the kernel's type information (struct_walk.py).
Without it (none given, and the running kernel is another) only what every kernel of a profile has in the same place is
known: the first members of `struct bpf_map`, and that loads of ordinary members give numbers.

A pointer loaded from a structure that is trusted is itself

| trusted | when the member is listed in `SAFE` as living as long as its structure |
| rcu     | when it is listed as, or tagged, protected by RCU: until the program ends |
| as old  | otherwise: may be read through, and is accepted by old helpers |

Source: kernel/bpf/verifier.c `check_ptr_to_map_access`, `check_ptr_to_btf_access`, BTF_TYPE_SAFE_*.
"""

from __future__ import annotations

from typing import Final

from bpfbench.elf.btf_types import STRUCT, UNION
from bpfbench.verifier import regstate as rs
from bpfbench.verifier import struct_walk
from bpfbench.verifier.kernel_btf import open_btf
from bpfbench.verifier.regions import text
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import ZERO
from bpfbench.verifier.walk import EINVAL, EPERM, Refuse, Walk


def map_field(w: Walk, r: int, reg: RegState, off: int, size: int, write: bool) -> RegState:
    """A load through a map pointer: the members of struct bpf_map."""
    name = "bpf_map"
    if reg.map is not None and w.k.version >= (5, 9):
        name = MAP_STRUCTS.get(reg.map.type, "bpf_map")
    if not w.allow_ptr_leaks:
        raise w.refuse(f"'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", EPERM)
    if off < 0:
        raise w.refuse(f"R{r} is {name} invalid negative access: off={off}")
    if write:
        raise w.refuse(f"only read from {name} is supported")
    found = walk(w, name, off, size)
    if found is None:
        return member(w, name, off, size)
    flags = TAGS[found.tag] | (rs.UNTRUSTED if found.untrusted else 0)
    return loaded(w, found, flags)


MAP_STRUCTS = {
    "hash": "bpf_htab", "percpu_hash": "bpf_htab", "lru_hash": "bpf_htab", "lru_percpu_hash": "bpf_htab",
    "hash_of_maps": "bpf_htab", "array": "bpf_array", "percpu_array": "bpf_array", "array_of_maps": "bpf_array",
    "prog_array": "bpf_array", "perf_event_array": "bpf_array", "cgroup_array": "bpf_array", "lpm_trie": "lpm_trie",
    "stack_trace": "bpf_stack_map", "queue": "bpf_queue_stack", "stack": "bpf_queue_stack", "devmap": "bpf_dtab",
    "devmap_hash": "bpf_dtab", "cpumap": "bpf_cpu_map", "xskmap": "xsk_map", "sockmap": "bpf_stab",
    "sockhash": "bpf_shtab", "ringbuf": "bpf_ringbuf_map", "cgroup_storage": "bpf_cgroup_storage_map",
    "reuseport_sockarray": "reuseport_array", "sk_storage": "bpf_local_storage_map", "bloom_filter": "bpf_bloom_filter",
}


def struct_field(w: Walk, r: int, reg: RegState, off: int, size: int, write: bool) -> RegState:
    """A load through a pointer to a kernel structure."""
    name = reg.struct
    if not w.allow_ptr_leaks:
        raise w.refuse(f"'struct {name}' access is allowed only to CAP_PERFMON and CAP_SYS_ADMIN", EPERM)
    if not w.gpl:
        raise w.refuse(f"Cannot access kernel 'struct {name}' from non-GPL compatible program", EINVAL)
    if off < 0:
        raise w.refuse(f"R{r} is ptr_{name} invalid negative access: off={off}")
    if reg.scalar.m or reg.scalar.v:
        raise w.refuse(f"R{r} is ptr_{name} invalid variable offset: off={off}, var_off={text(w, reg)}")
    if write:
        raise w.refuse("only read is supported")
    found = walk(w, name, off, size) if not reg.kind & rs.ALLOC else None
    if found is None:
        return member(w, name, off, size)
    return loaded(w, found, _trust(w, reg, name, found))


def walk(w: Walk, name: str, off: int, size: int) -> struct_walk.Found | None:
    """What lies there by the kernel's types, None when they are not known; raises Refuse."""
    if w.btf is None:
        w.btf = open_btf(None, w.k.version)
    btf = w.btf
    id = None if btf is None else btf.find(name, STRUCT) or btf.find(name, UNION)
    if btf is None or id is None:
        return None
    found = struct_walk.find(btf, id, off, size)
    if found.wrong:
        w.say(found.wrong)
        raise Refuse(found.errno)
    return found


def loaded(w: Walk, found: struct_walk.Found, flags: int) -> RegState:
    """The register after the load."""
    if not found.struct or w.btf is None:
        return w.unknown_reg
    id = w.new_id() if flags & rs.MAYBE_NULL else 0
    return RegState(rs.BTF_ID | flags, ZERO, id=id, struct=w.btf.type(found.struct).name)


def _trust(w: Walk, reg: RegState, name: str, found: struct_walk.Found) -> int:
    """Flags of a pointer that was loaded through `reg`."""
    if reg.kind & rs.UNTRUSTED:
        return rs.UNTRUSTED
    flags = TAGS[found.tag] | (rs.UNTRUSTED if found.untrusted else 0)
    if w.k.version < (6, 3) or not (reg.ref or reg.kind & (rs.TRUSTED | rs.RCU)):
        return flags & ~(rs.TRUSTED | rs.RCU)
    member = (name, found.member)
    if SAFE.get(member) == rs.TRUSTED and not (member == ("dentry", "d_inode") and w.k.version >= (6, 16)):
        return flags | rs.TRUSTED
    if SAFE.get(member, 0) & rs.TRUSTED:
        return flags | rs.TRUSTED | rs.MAYBE_NULL
    if w.sleepable and not w.state.rcu_locks and not w.state.active_locks:
        return rs.UNTRUSTED
    if SAFE.get(member) == rs.RCU:
        return flags | rs.RCU
    if SAFE.get(member, 0) & rs.RCU:
        return (flags | rs.RCU | rs.MAYBE_NULL) & ~rs.UNTRUSTED
    if flags & rs.RCU:
        return flags | rs.MAYBE_NULL
    return flags


TAGS: Final = {"": 0, "user": rs.USER, "percpu": rs.PERCPU, "rcu": rs.RCU}

# (structure, member): what a pointer loaded from it is when the structure is trusted
SAFE: Final[dict[tuple[str, str], int]] = {
    ("task_struct", "cpus_ptr"): rs.RCU,       ("task_struct", "cgroups"): rs.RCU,
    ("task_struct", "real_parent"): rs.RCU,    ("task_struct", "group_leader"): rs.RCU,
    ("cgroup", "kn"): rs.RCU,                  ("css_set", "dfl_cgrp"): rs.RCU,
    ("mm_struct", "exe_file"): rs.RCU | rs.MAYBE_NULL,
    ("sk_buff", "sk"): rs.RCU | rs.MAYBE_NULL, ("request_sock", "sk"): rs.RCU | rs.MAYBE_NULL,
    ("bpf_iter_meta", "seq"): rs.TRUSTED,      ("bpf_iter__task", "meta"): rs.TRUSTED,
    ("bpf_iter__task", "task"): rs.TRUSTED,    ("linux_binprm", "file"): rs.TRUSTED,
    ("file", "f_inode"): rs.TRUSTED,           ("dentry", "d_inode"): rs.TRUSTED,
    ("socket", "sk"): rs.TRUSTED | rs.MAYBE_NULL,
}  # fmt: skip


def member(w: Walk, name: str, off: int, size: int) -> RegState:
    """What a load of `size` bytes at `off` of the structure gives."""
    rows = MEMBERS.get((name, w.k.version)) or MEMBERS.get((name, (0, 0)))
    if rows is None:
        if name.startswith("bpf_") or name in ("lpm_trie", "xsk_map", "reuseport_array"):
            rows = MEMBERS.get(("bpf_map", w.k.version), [])
        else:
            return w.unknown_reg
    for at, length, kind, field in rows:
        if at <= off < at + length:
            if kind == "ptr":
                if off != at or size != 8:
                    raise w.refuse(f"cannot access ptr member {field} with moff {at} in struct bpf_map with off {off} "
                                   f"size {size}")
                return RegState(rs.BTF_ID | rs.UNTRUSTED, ZERO, struct=field)
            return w.unknown_reg
    return w.unknown_reg


def struct_matches(have: str, wanted: str) -> bool:
    """May a pointer to structure `have` be passed where `wanted` is expected: the same, or it begins with it."""
    seen = have
    while seen:
        if seen == wanted:
            return True
        seen = FIRST_MEMBER.get(seen, "")
    return False


FIRST_MEMBER = {
    "tcp6_sock": "tcp_sock", "tcp_sock": "inet_connection_sock", "inet_connection_sock": "inet_sock", "inet_sock": "sock",
    "udp6_sock": "udp_sock", "udp_sock": "inet_sock", "sock": "sock_common", "tcp_request_sock": "inet_request_sock",
    "inet_request_sock": "request_sock", "request_sock": "sock_common", "tcp_timewait_sock": "inet_timewait_sock",
    "inet_timewait_sock": "sock_common", "mptcp_sock": "inet_connection_sock", "unix_sock": "sock",
}

# (offset, size, kind, name) of the first members; the rest reads as numbers
MEMBERS: dict[tuple[str, tuple[int, int]], list[tuple[int, int, str, str]]] = {
    ("bpf_map", (6, 1)): [(0, 8, "ptr", "ops"), (8, 8, "ptr", "inner_map_meta"), (16, 8, "ptr", "security")],
    ("bpf_map", (6, 12)): [(0, 8, "ptr", "ops"), (8, 8, "ptr", "inner_map_meta"), (16, 8, "ptr", "security")],
}
