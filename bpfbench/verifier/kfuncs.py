"""Kernel functions that programs may call: prototypes from a BTF, flags and availability from a table.

A kfunc has no number; a call names its BTF type, and its prototype is the C prototype.  What C cannot say stands in
the names of parameters (`data__sz` is the length of the parameter before it) and in flags that the kernel keeps in a
section of its own, so those are a table here.

    void *bpf_dynptr_slice(const struct bpf_dynptr *p, u32 offset, void *buffer__opt, u32 buffer__szk)
          RET_NULL          ptr dynptr                 scalar      mem, may be NULL   constant size of it

    >>> FLAGS["bpf_dynptr_slice"], available("bpf_dynptr_slice", "xdp"), available("bpf_dynptr_from_skb", "xdp")
    ('ret_null', True, False)

Suffixes: __sz __szk (size of the memory before it; constant), __k (constant), __opt __nullable (may be NULL), __ign
(not checked), __uninit (written), __alloc (allocated object), __refcounted_kptr, __str (constant string), __map,
__irq_flag.

Source: kernel/bpf/verifier.c (`check_kfunc_args`, `get_kfunc_ptr_arg_type`), BTF_KFUNCS_START sets all over the kernel;
Documentation/bpf/kfuncs.rst.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.elf.btf import Btf
from bpfbench.elf.btf_types import ENUM, FUNC, INT, PTR, STRUCT, UNION
from bpfbench.errors import BtfError

SCALAR, POINTER, VOID = "scalar", "pointer", "void"

# Flags: acquire release ret_null trusted rcu rcu_protected sleepable destructive iter_new iter_next iter_destroy
FLAGS: Final[dict[str, str]] = {
    # objects of the program's own types
    "bpf_obj_new_impl": "acquire ret_null", "bpf_percpu_obj_new_impl": "acquire ret_null",
    "bpf_obj_drop_impl": "release", "bpf_percpu_obj_drop_impl": "release",
    "bpf_refcount_acquire_impl": "acquire ret_null rcu",
    "bpf_list_push_front_impl": "", "bpf_list_push_back_impl": "",
    "bpf_list_pop_front": "acquire ret_null", "bpf_list_pop_back": "acquire ret_null",
    "bpf_rbtree_remove": "acquire ret_null", "bpf_rbtree_add_impl": "", "bpf_rbtree_first": "ret_null",
    # tasks and cgroups
    "bpf_task_acquire": "acquire rcu ret_null", "bpf_task_release": "release", "bpf_task_from_pid": "acquire ret_null",
    "bpf_task_under_cgroup": "rcu", "bpf_task_get_cgroup1": "acquire rcu ret_null",
    "bpf_cgroup_acquire": "acquire rcu ret_null", "bpf_cgroup_release": "release",
    "bpf_cgroup_ancestor": "acquire rcu ret_null", "bpf_cgroup_from_id": "acquire ret_null",
    # casts, locks, exceptions
    "bpf_cast_to_kern_ctx": "", "bpf_rdonly_cast": "", "bpf_rcu_read_lock": "", "bpf_rcu_read_unlock": "",
    "bpf_preempt_disable": "", "bpf_preempt_enable": "", "bpf_throw": "", "crash_kexec": "destructive",
    # dynamic pointers
    "bpf_dynptr_slice": "ret_null", "bpf_dynptr_slice_rdwr": "ret_null", "bpf_dynptr_adjust": "",
    "bpf_dynptr_is_null": "", "bpf_dynptr_is_rdonly": "", "bpf_dynptr_size": "", "bpf_dynptr_clone": "",
    "bpf_dynptr_from_skb": "trusted", "bpf_dynptr_from_xdp": "",
    # iterators
    "bpf_iter_num_new": "iter_new", "bpf_iter_num_next": "iter_next ret_null", "bpf_iter_num_destroy": "iter_destroy",
    "bpf_iter_bits_new": "iter_new", "bpf_iter_bits_next": "iter_next ret_null",
    "bpf_iter_bits_destroy": "iter_destroy",
    "bpf_iter_task_new": "iter_new trusted rcu_protected", "bpf_iter_task_next": "iter_next ret_null",
    "bpf_iter_task_destroy": "iter_destroy", "bpf_iter_task_vma_new": "iter_new rcu",
    "bpf_iter_task_vma_next": "iter_next ret_null", "bpf_iter_task_vma_destroy": "iter_destroy",
    "bpf_iter_css_new": "iter_new trusted rcu_protected", "bpf_iter_css_next": "iter_next ret_null",
    "bpf_iter_css_destroy": "iter_destroy", "bpf_iter_css_task_new": "iter_new trusted",
    "bpf_iter_css_task_next": "iter_next ret_null", "bpf_iter_css_task_destroy": "iter_destroy",
    # work queues, strings, maps
    "bpf_wq_init": "", "bpf_wq_set_callback_impl": "", "bpf_wq_start": "", "bpf_copy_from_user_str": "sleepable",
    "bpf_map_sum_elem_count": "trusted",
    # CPU masks
    "bpf_cpumask_create": "acquire ret_null", "bpf_cpumask_release": "release",
    "bpf_cpumask_acquire": "acquire trusted",
    **{f"bpf_cpumask_{name}": "rcu" for name in (
        "first first_zero first_and set_cpu clear_cpu test_cpu test_and_set_cpu test_and_clear_cpu setall clear and "
        "or xor equal intersects subset empty full copy any_distribute any_and_distribute weight").split()},
    # cryptography
    "bpf_crypto_ctx_create": "acquire ret_null sleepable", "bpf_crypto_ctx_release": "release",
    "bpf_crypto_ctx_acquire": "acquire rcu ret_null", "bpf_crypto_encrypt": "rcu", "bpf_crypto_decrypt": "rcu",
    # network
    "bpf_sock_addr_set_sun_path": "", "bpf_sk_assign_tcp_reqsk": "trusted", "bpf_sock_destroy": "trusted",
    "bpf_xdp_metadata_rx_timestamp": "trusted", "bpf_xdp_metadata_rx_hash": "trusted",
    "bpf_xdp_metadata_rx_vlan_tag": "trusted",
    "bpf_xdp_ct_alloc": "acquire ret_null", "bpf_xdp_ct_lookup": "acquire ret_null",
    "bpf_skb_ct_alloc": "acquire ret_null", "bpf_skb_ct_lookup": "acquire ret_null",
    "bpf_ct_insert_entry": "acquire ret_null release", "bpf_ct_release": "release",
    "bpf_ct_set_timeout": "trusted", "bpf_ct_change_timeout": "trusted", "bpf_ct_set_status": "trusted",
    "bpf_ct_change_status": "trusted",
    # tracing
    "bpf_session_is_return": "", "bpf_session_cookie": "", "bpf_lookup_user_key": "acquire ret_null sleepable",
    "bpf_lookup_system_key": "acquire ret_null", "bpf_key_put": "release", "bpf_verify_pkcs7_signature": "sleepable",
}

_ALL: Final = "*"
_SKB: Final = "sched_cls sched_act sk_skb socket_filter cgroup lwt netfilter tracing"
_GENERIC: Final = "tracing sched_cls xdp struct_ops syscall cgroup"
# Types that share what is offered to one of them.
_GROUPS: Final = {
    **{name: "cgroup" for name in ("cgroup_skb", "cgroup_sock", "cgroup_sock_addr", "cgroup_sockopt", "cgroup_device",
                                   "cgroup_sysctl", "sock_ops")},
    **{name: "tracing" for name in ("tracing", "tracepoint", "perf_event", "lsm")},
    **{name: "lwt" for name in ("lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local")},
}
# First prefix that fits decides; "*" is every type.
OFFERED: Final[list[tuple[str, str]]] = [
    # names that begin with           program types
    ("bpf_dynptr_from_skb",           _SKB),
    ("bpf_dynptr_from_xdp",           "xdp"),
    ("bpf_dynptr_",                   _ALL),
    ("bpf_iter_",                     _ALL),
    ("bpf_cast_to_kern_ctx",          _ALL),
    ("bpf_rdonly_cast",               _ALL),
    ("bpf_rcu_read_",                 _ALL),
    ("bpf_preempt_",                  _ALL),
    ("bpf_wq_",                       _ALL),
    ("bpf_copy_from_user_str",        _ALL),
    ("bpf_map_sum_elem_count",        _ALL),
    ("bpf_cpumask_",                  "tracing struct_ops syscall"),
    ("bpf_crypto_ctx_",               "syscall"),
    ("bpf_crypto_",                   "sched_cls sched_act xdp syscall"),
    ("bpf_sock_addr_",                "cgroup"),
    ("bpf_sk_assign_tcp_reqsk",       "sched_cls"),
    ("bpf_sock_destroy",              "tracing"),
    ("bpf_xdp_metadata_",             "xdp"),
    ("bpf_xdp_ct_",                   "xdp sched_cls"),
    ("bpf_skb_ct_",                   "xdp sched_cls"),
    ("bpf_ct_",                       "xdp sched_cls"),
    ("bpf_session_",                  "kprobe"),
    ("bpf_verify_pkcs7",              "tracing"),
    ("",                              _GENERIC),
]
_KEYS: Final = frozenset(("bpf_lookup_user_key", "bpf_lookup_system_key", "bpf_key_put", "bpf_verify_pkcs7_signature"))
_SUFFIXES: Final = ("__szk", "__sz", "__k", "__opt", "__nullable", "__ign", "__uninit", "__alloc", "__refcounted_kptr",
                    "__str", "__map", "__irq_flag")


@final
class KfuncArg:
    """One argument: `name` in C, `kind` (scalar or pointer), `struct` it points to, `size` in bytes of what it points
    to or is (0: unknown), `suffix` of the name ("__sz", … or "")."""

    __slots__ = ("name", "kind", "struct", "size", "suffix", "target")

    def __init__(self, name: str, kind: str, struct: str, size: int, suffix: str, target: int = 0) -> None:
        self.name = name
        self.kind = kind
        self.struct = struct
        self.size = size
        self.suffix = suffix
        self.target = target            # type pointed to, without qualifiers; 0: void, or no pointer

    @property
    def maybe_null(self) -> bool:
        return self.suffix in ("__opt", "__nullable")

    def __repr__(self) -> str:
        return f"{self.name}: {self.kind}{' ' + self.struct if self.struct else ''}"


@final
class Kfunc:
    """A kernel function: `name`, BTF `id`, `ret` (scalar, pointer, void) with `ret_struct` and `ret_size` in bytes of
    what it returns or points to, `args`, `flags`."""

    __slots__ = ("name", "id", "ret", "ret_struct", "ret_size", "args", "flags")

    def __init__(self, name: str, id: int, ret: str, ret_struct: str, args: list[KfuncArg],
                 flags: frozenset[str], ret_size: int = 0) -> None:
        self.name = name
        self.id = id
        self.ret = ret
        self.ret_struct = ret_struct
        self.ret_size = ret_size
        self.args = args
        self.flags = flags

    def __repr__(self) -> str:
        return f"Kfunc({self.name}#{self.id}({', '.join(map(repr, self.args))}) -> {self.ret_struct or self.ret})"


def prototype(btf: Btf, id: int) -> Kfunc:
    """The prototype of the function with that type id; BtfError when it is not a function."""
    function = btf.type(id) if 0 < id < len(btf) else None
    if function is None or function.kind != FUNC:
        raise BtfError(f"kernel btf_id {id} is not a function")
    proto = btf.type(function.type)
    args = [_argument(btf, param.name, param.type) for param in proto.params if param.type]
    ret, struct, size = _type(btf, proto.type)
    return Kfunc(function.name, id, ret, struct, args, frozenset(FLAGS.get(function.name, "").split()), size)


def named(btf: Btf, name: str) -> Kfunc | None:
    """The prototype of a kernel function by name, None when the kernel has none of that name."""
    id = btf.find(name, FUNC)
    return prototype(btf, id) if id is not None else None


def available(name: str, prog_type: str, version: tuple[int, int] = (6, 18)) -> bool:
    """Whether programs of that type may call the function ("calling kernel function %s is not allowed" when not)."""
    if name not in FLAGS:
        return False
    if name in _KEYS and version < (6, 17):
        return _GROUPS.get(prog_type) == "tracing"
    types = next(types for prefix, types in OFFERED if name.startswith(prefix))
    return types == _ALL or _GROUPS.get(prog_type, prog_type) in types.split()


def _argument(btf: Btf, name: str, type: int) -> KfuncArg:
    kind, struct, size = _type(btf, type)
    suffix = next((s for s in _SUFFIXES if name.endswith(s)), "")
    t = btf.type(btf.resolve(type))
    target = btf.resolve(t.type) if t.kind == PTR and t.type else 0
    return KfuncArg(name, kind, struct, size, suffix, target)


def _type(btf: Btf, id: int) -> tuple[str, str, int]:
    """(kind, structure pointed to, size in bytes) of a type."""
    if id == 0:
        return VOID, "", 0
    t = btf.type(btf.resolve(id))
    if t.kind != PTR:
        return SCALAR, "", t.size if t.kind in (INT, ENUM) else 8
    if t.type == 0 or btf.resolve(t.type) == 0:
        return POINTER, "", 0
    target = btf.type(btf.resolve(t.type))
    if target.kind in (STRUCT, UNION):
        return POINTER, target.name, target.size
    return POINTER, "", target.size if target.kind in (INT, ENUM) else 0
