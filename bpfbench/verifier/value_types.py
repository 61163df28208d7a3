"""What the verifier reads from a program's type information: special fields of map values, prototypes of functions.

A lock or a timer inside a map's value is found by the name of its structure; loads and stores must stay off it, and
only the helper for it may be given its address.  A global function is checked against its prototype alone:

| parameter | what the function may assume |
|---|---|
| integer, enum | any number |
| pointer to the program type's context | the context |
| pointer to something of known size | that many bytes, readable and writable; NULL unless tagged `nonnull` |

The main program's prototype is looked at too: nothing depends on it, but what is odd about it stands in the log.

Sources: kernel/bpf/btf.c `btf_parse_fields`, `btf_prepare_func_args`, `btf_is_prog_ctx_type`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, final

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
    TYPEDEF,
    UNION,
    VAR,
    BtfType,
)
from bpfbench.errors import BtfError

FIELD_STRUCTS: Final[dict[str, str]] = {
    "bpf_spin_lock": "spin_lock", "bpf_timer": "timer", "bpf_wq": "wq", "bpf_list_head": "list_head",
    "bpf_rb_root": "rb_root", "bpf_list_node": "list_node", "bpf_rb_node": "rb_node", "bpf_refcount": "refcount",
    "bpf_res_spin_lock": "res_spin_lock", "bpf_task_work": "task_work",
}  # fmt: skip
KPTR_TAGS: Final = ("kptr_untrusted", "kptr", "percpu_kptr")
TYPE_TAG: Final = 18



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


# Prototypes ---------------------------------------------------------------------------------------------------------

EINVAL: Final = 22
EOPNOTSUPP: Final = 95
GLOBAL: Final = 1
MAX_ARGUMENTS: Final = 5
SIZED: Final = (INT, STRUCT, UNION, ENUM, ENUM64, ARRAY, FLOAT, PTR)
KIND_NAMES: Final = ("UNKNOWN", "INT", "PTR", "ARRAY", "STRUCT", "UNION", "ENUM", "FWD", "TYPEDEF", "VOLATILE", "CONST",
                     "RESTRICT", "FUNC", "FUNC_PROTO", "VAR", "DATASEC", "FLOAT", "DECL_TAG", "TYPE_TAG", "ENUM64")

# Structures that are the context of a program type
CONTEXTS: Final[dict[str, tuple[str, ...]]] = {
    "__sk_buff": ("socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit",
                  "lwt_seg6local", "sk_skb", "flow_dissector"),
    "sk_buff": ("socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out", "lwt_xmit",
                "lwt_seg6local", "sk_skb", "flow_dissector"),
    "xdp_buff": ("xdp",), "xdp_md": ("xdp",), "bpf_sock": ("cgroup_sock",), "bpf_sock_addr": ("cgroup_sock_addr",),
    "bpf_sock_ops": ("sock_ops",), "sk_msg_md": ("sk_msg",), "bpf_user_pt_regs_t": ("kprobe",),
    "pt_regs": ("kprobe",), "bpf_perf_event_data": ("perf_event",), "bpf_cgroup_dev_ctx": ("cgroup_device",),
    "bpf_sysctl": ("cgroup_sysctl",), "bpf_sockopt": ("cgroup_sockopt",), "sk_reuseport_md": ("sk_reuseport",),
    "bpf_sk_lookup": ("sk_lookup",), "bpf_raw_tracepoint_args": ("raw_tracepoint", "raw_tracepoint_writable"),
    "bpf_nf_ctx": ("netfilter",),
}  # fmt: skip

Argument = tuple[str, int]      # "any" a number, "ctx" the context, "mem" memory of that size, "mem?" the same or NULL


@final
class Prototype:
    """What is known of a function: `name`, `linkage`, `args`, and what is `odd` about it: (message, errno)."""

    __slots__ = ("name", "linkage", "args", "odd", "errno")

    def __init__(self, name: str, linkage: int) -> None:
        self.name = name
        self.linkage = linkage
        self.args: list[Argument] = []
        self.odd = ""
        self.errno = 0

    def no(self, message: str, errno: int = EINVAL) -> Prototype:
        """The prototype will not do; static functions say no more."""
        self.odd = message if self.linkage == GLOBAL else ""
        self.errno = errno
        return self


def prototype(raw: bytes, type_id: int, prog_type: str) -> Prototype:
    """The prototype of a function, given by its type in the program's BTF."""
    btf = parsed(raw)
    try:
        func = btf.type(type_id) if btf is not None and 0 < type_id < len(btf) else None
        if btf is None or func is None or func.kind != FUNC:
            return Prototype("", 0).no("")
        proto = btf.type(func.type)
        found = Prototype(func.name, func.linkage)
        return _arguments(btf, type_id, proto, prog_type, found) if proto.kind == FUNC_PROTO else found.no("")
    except BtfError:
        return Prototype("", 0).no("")


def _arguments(btf: Btf, func: int, proto: BtfType, prog_type: str, found: Prototype) -> Prototype:
    if len(proto.params) > MAX_ARGUMENTS:
        return found.no(f"Global function {found.name}() with {len(proto.params)} > {MAX_ARGUMENTS} args. "
                        "Buggy compiler.")
    given = btf.type(btf.resolve(proto.type)) if proto.type else None
    if given is None or given.kind not in (INT, ENUM, ENUM64):
        return found.no(f"Global function {found.name}() doesn't return scalar. Only those are supported.")
    for i, param in enumerate(proto.params):
        tags = _tags(btf, func, i)
        if tags and found.linkage != GLOBAL:
            found.linkage = 0
            found.odd, found.errno = f"arg#{i} type tag is not supported in static functions", EOPNOTSUPP
            return found
        t = btf.type(btf.resolve(param.type)) if param.type else None
        if t is not None and t.kind == PTR:
            if not _pointer(btf, t, i, tags, prog_type, found):
                return found
        elif tags:
            return found.no(f"arg#{i} has pointer tag, but is not a pointer type")
        elif t is not None and t.kind in (INT, ENUM, ENUM64):
            found.args.append(("any", 0))
        else:
            kind = KIND_NAMES[t.kind] if t is not None else KIND_NAMES[0]
            return found.no(f"Arg#{i} type {kind} in {found.name}() is not supported yet.")
    return found


def _pointer(btf: Btf, t: BtfType, i: int, tags: set[str], prog_type: str, found: Prototype) -> bool:
    """One pointer; False when it will not do."""
    if "arg:ctx" in tags or is_context(btf, t.type, prog_type):
        found.args.append(("ctx", 0))
        return True
    target = btf.type(btf.resolve(t.type)) if t.type else None
    special = tags & {"arg:trusted", "arg:arena"}
    if special or (target is not None and target.kind == STRUCT and target.name == "bpf_dynptr"):
        found.args.append(("unknown", 0))
        return True
    if found.linkage != GLOBAL:
        found.no("")
        return False
    if target is None or target.kind not in SIZED:
        kind, name = (KIND_NAMES[target.kind], target.name) if target is not None else (KIND_NAMES[0], "")
        found.no(f"arg#{i} reference type('{kind} {name}') size cannot be determined: -22")
        return False
    found.args.append(("mem" if "arg:nonnull" in tags else "mem?", btf.size_of(t.type)))
    return True


def is_context(btf: Btf, id: int, prog_type: str) -> bool:
    """Is it what this program type is given in r1? (`btf_is_prog_ctx_type`)"""
    t = btf.type(id) if id else None
    while t is not None and t.kind != STRUCT and t.type:
        if t.kind == TYPEDEF and t.name == "bpf_user_pt_regs_t" and prog_type == "kprobe":
            return True
        if t.kind == PTR:
            return False
        t = btf.type(t.type)
    return t is not None and t.kind == STRUCT and prog_type in CONTEXTS.get(t.name, ())


def _tags(btf: Btf, func: int, component: int) -> set[str]:
    return {btf.type(i).name for i in btf if btf.kind_of(i) == DECL_TAG and btf.type(i).type == func
            and btf.type(i).component == component}


def function_of(raw: bytes, type_id: int, prog_type: str) -> tuple[str, int, list[Argument] | None]:
    """(name, linkage, arguments) of a function; no arguments where the prototype will not do."""
    found = prototype(raw, type_id, prog_type)
    known = not found.errno and all(kind != "unknown" for kind, _ in found.args)
    return found.name, found.linkage, found.args if known else None
