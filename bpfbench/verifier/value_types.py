"""What the verifier reads from a program's type information: special fields of map values, prototypes of functions.

A lock or a timer inside a map's value is found by the name of its structure; loads and stores must stay off it, and
only the helper for it may be given its address.  A global function is checked against its prototype alone:

| parameter | what the function may assume |
|---|---|
| integer, enum | any number |
| pointer to the program type's context | the context |
| pointer to something of known size | that many bytes, readable and writable; NULL unless tagged `nonnull` |

Sources: kernel/bpf/btf.c `btf_parse_fields`, `btf_prepare_func_args`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from bpfbench.elf.btf import Btf, read_btf
from bpfbench.elf.btf_types import (
    ARRAY,
    DATASEC,
    DECL_TAG,
    ENUM,
    ENUM64,
    FLOAT,
    FUNC,
    FUNC_PROTO,
    INT,
    PTR,
    STRUCT,
    VAR,
)
from bpfbench.errors import BtfError

FIELD_STRUCTS: Final[dict[str, str]] = {
    "bpf_spin_lock": "spin_lock", "bpf_timer": "timer", "bpf_wq": "wq", "bpf_list_head": "list_head",
    "bpf_rb_root": "rb_root", "bpf_list_node": "list_node", "bpf_rb_node": "rb_node", "bpf_refcount": "refcount",
    "bpf_res_spin_lock": "res_spin_lock", "bpf_task_work": "task_work",
}  # fmt: skip
KPTR_TAGS: Final = ("kptr_untrusted", "kptr", "percpu_kptr")
TYPE_TAG: Final = 18

CONTEXTS: Final[dict[str, tuple[str, ...]]] = {
    "__sk_buff": ("socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit",
                  "lwt_seg6local", "sk_skb", "flow_dissector"),
    "xdp_md": ("xdp",), "bpf_sock": ("cgroup_sock",), "bpf_sock_addr": ("cgroup_sock_addr",),
    "bpf_sock_ops": ("sock_ops",), "sk_msg_md": ("sk_msg",), "bpf_user_pt_regs_t": ("kprobe",),
    "pt_regs": ("kprobe",), "bpf_perf_event_data": ("perf_event",), "bpf_cgroup_dev_ctx": ("cgroup_device",),
    "bpf_sysctl": ("cgroup_sysctl",), "bpf_sockopt": ("cgroup_sockopt",), "sk_reuseport_md": ("sk_reuseport",),
    "bpf_sk_lookup": ("sk_lookup",), "bpf_raw_tracepoint_args": ("raw_tracepoint", "raw_tracepoint_writable"),
}  # fmt: skip


@lru_cache(maxsize=16)
def parsed(raw: bytes) -> Btf | None:
    """The BTF of a program, None when it cannot be read."""
    try:
        return read_btf(raw)
    except BtfError:
        return None


def fields_of(raw: bytes, type_id: int) -> list[tuple[str, int, int]]:
    """The special fields of a map value's type: (kind, offset, size in bytes)."""
    btf = parsed(raw)
    if btf is None:
        return []
    out: list[tuple[str, int, int]] = []
    try:
        _collect(btf, type_id, 0, out, 0)
    except BtfError:
        return []
    return sorted(out, key=lambda f: f[1])


def _collect(btf: Btf, type_id: int, base: int, out: list[tuple[str, int, int]], depth: int) -> None:
    t = btf.type(btf.resolve(type_id))
    if depth > 4:
        return
    if t.kind == STRUCT:
        kind = FIELD_STRUCTS.get(t.name)
        if kind is not None and depth:
            out.append((kind, base, t.size))
            return
        for m in t.members:
            if not m.bits:
                _collect(btf, m.type, base + m.offset // 8, out, depth + 1)
    elif t.kind == DATASEC:
        for v in t.variables:
            var = btf.type(v.type)
            if var.kind == VAR:
                _collect(btf, var.type, base + v.offset, out, depth + 1)
    elif t.kind == ARRAY:
        size = btf.size_of(t.type) if t.nelems else 0
        for i in range(min(t.nelems, 64)):
            _collect(btf, t.type, base + i * size, out, depth + 1)
    elif t.kind == PTR and btf.type(t.type).kind == TYPE_TAG and btf.type(t.type).name in KPTR_TAGS:
        out.append(("kptr", base, 8))


def function_of(raw: bytes, type_id: int, prog_type: str) -> tuple[str, int, list[tuple[str, int]] | None]:
    """(name, linkage, arguments) of a function; arguments are (kind, size) or None where the prototype will not do.

    Kinds: "any" a number, "ctx" the context, "mem" memory of that size, "mem?" the same or NULL.
    """
    btf = parsed(raw)
    if btf is None or not 0 < type_id < len(btf):
        return "", 0, None
    try:
        func = btf.type(type_id)
        if func.kind != FUNC:
            return "", 0, None
        proto = btf.type(func.type)
        args = _arguments(btf, type_id, proto.params, prog_type) if proto.kind == FUNC_PROTO else None
        return func.name, func.linkage, args
    except BtfError:
        return "", 0, None


def _arguments(btf: Btf, func: int, params: list, prog_type: str) -> list[tuple[str, int]] | None:  # type: ignore[type-arg]
    if len(params) > 5:
        return None
    out: list[tuple[str, int]] = []
    for i, param in enumerate(params):
        t = btf.type(btf.resolve(param.type))
        tags = _tags(btf, func, i)
        if t.kind in (INT, ENUM, ENUM64):
            out.append(("any", 0))
        elif t.kind == PTR:
            pointee = btf.type(btf.resolve(t.type)) if t.type else None
            named = btf.type(t.type).name if t.type else ""
            if "arg:ctx" in tags or _is_context(pointee.name if pointee is not None else "", named, prog_type):
                out.append(("ctx", 0))
            elif pointee is None or pointee.kind not in (INT, STRUCT, ENUM, ENUM64, ARRAY, FLOAT, 5, PTR):
                return None
            else:
                out.append(("mem" if "arg:nonnull" in tags else "mem?", btf.size_of(t.type)))
        else:
            return None
    return out


def _is_context(name: str, named: str, prog_type: str) -> bool:
    return prog_type in CONTEXTS.get(name, ()) or prog_type in CONTEXTS.get(named, ())


def _tags(btf: Btf, func: int, component: int) -> set[str]:
    return {btf.type(i).name for i in btf if btf.kind_of(i) == DECL_TAG and btf.type(i).type == func
            and btf.type(i).component == component}
