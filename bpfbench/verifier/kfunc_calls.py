"""Calls of kernel functions: named by a type id in the kernel's BTF, checked against the C prototype.

| parameter in C | register must be |
|---|---|
| a number (`__k`: known; `__ign`: unchecked) | a number |
| the program's context | the context |
| `struct bpf_dynptr *` (`__uninit`: made by the call) | a stack pointer to one |
| `struct bpf_iter_… *` | a stack pointer to an iterator (iterators.py) |
| a structure, when a pointer to a structure is passed | that structure, or one that begins with it |
| memory (`__sz`, `__szk`: with its size) | memory of that size, readable and writable |

Without the kernel's types only a call of nothing (type id 0) can be judged: the kernel skips it in the walk and refuses
the program afterwards if the call is still there.  Lists, trees, work queues, allocated objects and functions called
back say "not supported".

Source: kernel/bpf/verifier.c `add_kfunc_call`, `check_kfunc_call`, `check_kfunc_args`, `fixup_kfunc_call`.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.elf.btf_types import FUNC, KINDS, STRUCT
from bpfbench.errors import BtfError, VerifierError, Where
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import arguments as ar
from bpfbench.verifier import calls, dynptr, iterators, kfuncs, regions
from bpfbench.verifier import helper_protos as hp
from bpfbench.verifier import kernel_btf as kb
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.arguments import Call
from bpfbench.verifier.kfuncs import Kfunc, KfuncArg
from bpfbench.verifier.precision import mark_chain
from bpfbench.verifier.references import acquire, release_reference
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import ZERO, s64
from bpfbench.verifier.state import Slot
from bpfbench.verifier.walk import EACCES, EFAULT, EINVAL, Refuse, Walk

CONTEXTS: Final[dict[str, str]] = {
    **{name: "__sk_buff" for name in ("socket_filter", "sched_cls", "sched_act", "cgroup_skb", "lwt_in", "lwt_out",
                                      "lwt_xmit", "lwt_seg6local", "sk_skb")},
    "xdp": "xdp_md", "cgroup_sock_addr": "bpf_sock_addr", "cgroup_sock": "bpf_sock", "sk_msg": "sk_msg_md",
    "sock_ops": "bpf_sock_ops", "cgroup_sockopt": "bpf_sockopt", "cgroup_sysctl": "bpf_sysctl",
    "sk_lookup": "bpf_sk_lookup", "sk_reuseport": "sk_reuseport_md", "cgroup_device": "bpf_cgroup_dev_ctx",
    "flow_dissector": "__sk_buff", "netfilter": "bpf_nf_ctx",
}  # fmt: skip
KERNEL_CONTEXTS: Final[dict[str, str]] = {          # what bpf_cast_to_kern_ctx gives
    "__sk_buff": "sk_buff", "xdp_md": "xdp_buff", "bpf_sock_addr": "bpf_sock_addr_kern", "bpf_sock": "sock",
    "sk_msg_md": "sk_msg", "bpf_sock_ops": "bpf_sock_ops_kern", "bpf_sockopt": "bpf_sockopt_kern",
    "bpf_sysctl": "bpf_sysctl_kern", "bpf_sk_lookup": "bpf_sk_lookup_kern",
    "sk_reuseport_md": "sk_reuseport_kern", "bpf_cgroup_dev_ctx": "bpf_cgroup_dev_ctx",
}  # fmt: skip
SOCKETS: Final[dict[int, str]] = {rs.SOCKET: "sock", rs.SOCK_COMMON: "sock_common", rs.TCP_SOCK: "tcp_sock",
                                  rs.MAP_PTR: "bpf_map"}
FASTCALL: Final = frozenset(("bpf_cast_to_kern_ctx", "bpf_rdonly_cast"))
_LATER: Final = frozenset((
    "bpf_list_head", "bpf_list_node", "bpf_rb_root", "bpf_rb_node", "bpf_wq", "bpf_res_spin_lock"))
_SPECIAL: Final = ("__alloc", "__refcounted_kptr", "__irq_flag", "__str")


# Before the walk ----------------------------------------------------------------------------------------------------


def add(w: Walk, pc: int, type_id: int) -> None:
    """A call found in the program: what function is it? (`add_kfunc_call`)"""
    btf = w.btf
    if btf is None:
        return
    if not 0 < type_id < len(btf) or btf.kind_of(type_id) != FUNC:
        raise w.refuse(f"kernel btf_id {type_id & 0xFFFFFFFF} is not a function", EINVAL)
    func = kfuncs.prototype(btf, type_id)
    w.kfuncs[pc] = func
    w.note(pc).kfunc = func.name
    if "iter_next" in func.flags and kfuncs.available(func.name, w.prog.type, w.k.version):
        w.note(pc).iter_next = True


# The call -----------------------------------------------------------------------------------------------------------


@final
class Facts:
    """What the arguments of one call have told (`struct bpf_kfunc_call_arg_meta`)."""

    __slots__ = ("func", "ref", "release", "constant", "dynptr", "iterator", "size", "rdonly", "call")

    def __init__(self, func: Kfunc) -> None:
        self.func = func
        self.ref = 0
        self.release = 0
        self.constant = -1
        self.dynptr: RegState | None = None
        self.iterator: iterators.Place | None = None
        self.size = 0                   # of the memory returned
        self.rdonly = False
        self.call = Call(NO_PROTO)      # for the checks that helpers share


NO_PROTO: Final = hp.HelperProto(0, "kfunc", hp.RET_INTEGER, False, "", (), "")


def call_kfunc(w: Walk, insn: Instruction) -> None:
    """call kfunc"""
    if insn.imm == 0:
        return
    if w.state.active_locks and w.k.version < (6, 2):
        raise w.refuse("function calls are not allowed while holding a lock", EINVAL)
    func = w.kfuncs.get(w.pc)
    if func is None:
        raise unsupported(w, f"call of kernel function {insn.imm} needs the kernel's type information")
    assert w.btf is not None
    if not kfuncs.available(func.name, w.prog.type, w.k.version):
        if func.name not in kfuncs.FLAGS and kb.tagged(w.btf, func.id, "bpf_kfunc"):
            raise unsupported(w, f"kernel function {func.name}")
        raise w.refuse(f"calling kernel function {func.name} is not allowed", EACCES)
    if w.state.active_locks:
        raise unsupported(w, "a kernel function under a lock")
    if "sleepable" in func.flags and not w.sleepable:
        raise w.refuse(f"program must be sleepable to call sleepable kfunc {func.name}", EACCES)
    facts = Facts(func)
    skip = False
    for n, arg in enumerate(func.args):
        if skip:
            skip = False
        else:
            skip = _argument(w, n, arg, facts)
    if "release" in func.flags and not facts.release:
        raise w.refuse(f"release kernel function {func.name} expects refcounted PTR_TO_BTF_ID", EINVAL)
    _critical_sections(w, func)
    frame = w.state.frames[-1]
    if w.k.liveness == 0:
        from bpfbench.verifier.chain import mark_read

        for n in range(len(func.args)):
            mark_read(w, frame, n + 1)
    if facts.release and not release_reference(w, frame.regs[facts.release].ref):
        raise w.refuse(f"kfunc {func.name}#{func.id} reference has not been acquired before", EINVAL)
    if func.name == "bpf_throw":
        raise unsupported(w, "exceptions")
    given = frame.regs[1:6]
    calls.clear_caller_saved(w, frame)
    frame.regs[0] = _result(w, facts, given)
    if facts.iterator is not None and "iter_next" in func.flags:
        iterators.next_call(w, facts.iterator)


def unsupported(w: Walk, what: str) -> VerifierError:
    return VerifierError(f"not supported: {what}", Where(pc=w.pc))


# Arguments ----------------------------------------------------------------------------------------------------------


def _argument(w: Walk, n: int, arg: KfuncArg, facts: Facts) -> bool:
    """Check argument n (0-based); True when it covers the next one, too."""
    r = n + 1
    if arg.suffix == "__ign":
        return False
    reg = w.state.frames[-1].regs[r]            # never set is not refused as such, but by the check of its kind
    if arg.kind == kfuncs.SCALAR:
        _number(w, r, reg, arg, facts)
        return False
    func = facts.func
    trusted = "trusted" in func.flags or "release" in func.flags
    rcu = "rcu" in func.flags
    if (trusted or rcu) and (reg.is_null or reg.kind & rs.MAYBE_NULL) and arg.suffix != "__nullable":
        raise w.refuse(f"Possibly NULL pointer passed to trusted arg{n}", EACCES)
    if reg.ref:
        if "release" in func.flags:
            if facts.ref:
                raise w.refuse(f"more than one arg with ref_obj_id R{r} {reg.ref} {facts.ref}", EFAULT)
            facts.release = r
        facts.ref = reg.ref
    return _pointer(w, n, r, reg, arg, facts, trusted, rcu)


def _number(w: Walk, r: int, reg: RegState, arg: KfuncArg, facts: Facts) -> None:
    if reg.kind != rs.SCALAR:
        raise w.refuse(f"R{r} is not a scalar", EINVAL)
    sized = arg.name in ("rdonly_buf_size", "rdwr_buf_size")
    if arg.suffix != "__k" and not sized:
        return
    if reg.scalar.m:
        raise w.refuse(f"R{r} {'must be a known constant' if not sized else 'is not a const'}", EINVAL)
    mark_chain(w, r)
    if sized:
        facts.size, facts.rdonly = reg.scalar.v, arg.name == "rdonly_buf_size"
    else:
        facts.constant = reg.scalar.v


def _pointer(w: Walk, n: int, r: int, reg: RegState, arg: KfuncArg, facts: Facts, trusted: bool, rcu: bool) -> bool:
    func = facts.func
    btf = w.btf
    assert btf is not None
    if func.name == "bpf_cast_to_kern_ctx" or (arg.struct and arg.struct == CONTEXTS.get(w.prog.type)):
        _offset(w, r, reg, facts)
        if reg.kind != rs.CTX:
            raise w.refuse(f"arg#{n} expected pointer to ctx, but got {w.named(reg.kind)}", EINVAL)
        return False
    if arg.maybe_null and arg.suffix == "__nullable" and reg.is_null:
        return False
    if arg.struct in _LATER or arg.suffix in _SPECIAL:
        raise unsupported(w, f"argument {arg.name} of kernel function {func.name}")
    if arg.struct in ("bpf_dynptr", "bpf_dynptr_kern"):
        _offset(w, r, reg, facts)
        _dynptr(w, r, reg, arg, facts)
        return False
    if arg.struct.startswith("bpf_iter_") and (n == 0 and func.name.startswith("bpf_iter_")):
        _offset(w, r, reg, facts)
        facts.iterator = iterators.argument(w, r, reg, func, arg)
        held = facts.iterator.ref
        facts.ref = held or facts.ref
        return False
    base = reg.kind & rs.BASE
    if arg.suffix == "__map" or base == rs.BTF_ID or base in SOCKETS:
        if arg.suffix == "__map" and reg.map is None:
            raise w.refuse(f"pointer in R{r} isn't map pointer", EINVAL)
        _structure(w, n, r, reg, arg, facts, trusted, rcu)
        return False
    if arg.target and btf.kind_of(arg.target) == 13:
        raise unsupported(w, f"a callback of kernel function {func.name}")
    following = func.args[n + 1] if n + 1 < len(func.args) else None
    sized = following is not None and following.kind == kfuncs.SCALAR and following.suffix in ("__sz", "__szk") \
        and w.state.frames[-1].regs[r + 1].kind == rs.SCALAR
    if not (arg.target and kb.scalars_only(btf, arg.target)) and not (sized and not arg.target):
        raise w.refuse(f"arg#{n} pointer type {_word(w, arg)} must point to {'void, ' if sized else ''}scalar, or struct "
                       "with scalar", EINVAL)
    _offset(w, r, reg, facts)
    if sized and following is not None:
        _sized_memory(w, n, r, reg, arg, following, facts)
        return True
    _memory(w, r, reg, btf.size_of(arg.target))
    return False


def _offset(w: Walk, r: int, reg: RegState, facts: Facts) -> None:
    release = "release" in facts.func.flags and bool(reg.ref)
    ar._offset(w, r, reg, hp.ARG_ANYTHING, hp.RELEASE if release else 0)


def _dynptr(w: Walk, r: int, reg: RegState, arg: KfuncArg, facts: Facts) -> None:
    name = facts.func.name
    if arg.suffix == "__uninit":
        made, clone_ref = "", 0
        if name.startswith("bpf_dynptr_from_"):
            made = name.removeprefix("bpf_dynptr_from_")
            if made not in ("skb", "xdp"):
                raise unsupported(w, f"kernel function {name}")
        elif facts.dynptr is not None and facts.dynptr.special is not None:
            made, clone_ref = facts.dynptr.special.type, facts.dynptr.ref
        ar.dynamic_pointer(w, r, reg, hp.UNINIT, made, clone_ref)
        return
    ar.dynamic_pointer(w, r, reg, hp.RDONLY if reg.kind == rs.DYNPTR else 0)
    facts.dynptr = dynptr.saved(w, reg)


def is_trusted(reg: RegState) -> bool:
    """Referenced, or of a kind that is valid while the program runs (`is_trusted_reg`)."""
    if reg.ref or (reg.kind & rs.BASE in SOCKETS and not reg.kind & rs.MAYBE_NULL):
        return True
    flags = reg.kind & ~rs.BASE
    return bool(flags & rs.TRUSTED) and not flags & rs.UNTRUSTED


def _structure(w: Walk, n: int, r: int, reg: RegState, arg: KfuncArg, facts: Facts, trusted: bool, rcu: bool) -> None:
    """A pointer to a structure of the kernel (`process_kf_arg_ptr_to_btf_id`)."""
    func = facts.func
    assert w.btf is not None
    if not arg.struct and arg.suffix != "__map":
        raise w.refuse(f"kernel function {func.name} args#{n} pointer type {_word(w, arg)} is not supported", EINVAL)
    if (trusted or rcu) and not is_trusted(reg):
        if not rcu:
            raise w.refuse(f"R{r} must be referenced or trusted", EINVAL)
        if not reg.kind & rs.RCU:
            raise w.refuse(f"R{r} must be a rcu pointer", EINVAL)
    _offset(w, r, reg, facts)
    base = reg.kind & rs.BASE
    unsafe = rs.MAYBE_NULL | rs.UNTRUSTED | rs.PERCPU | rs.USER | rs.ALLOC | rs.NON_OWNING
    if base == rs.BTF_ID and reg.kind & unsafe & ~(rs.MAYBE_NULL if arg.suffix == "__nullable" else 0):
        shown = rs.BTF_ID | reg.kind & (rs.TRUSTED | rs.ALLOC | rs.RCU)
        raise w.refuse(f"arg#{n} is {w.named(reg.kind)} expected {w.named(shown)} or socket", EINVAL)
    have = SOCKETS.get(base, reg.struct)
    wanted = arg.struct or "bpf_map"
    strict = "release" in func.flags and bool(reg.ref)
    if f"__{have}" == wanted or (have, wanted) == ("xdp_buff", "xdp_md"):
        return              # the context as the kernel knows it, where the function takes the program's
    if not kb.contains(w.btf, have, reg.off, wanted, strict):
        raise w.refuse(f"kernel function {func.name} args#{n} expected pointer to STRUCT {wanted} but R{r} has a "
                       f"pointer to STRUCT {have}", EINVAL)


def _word(w: Walk, arg: KfuncArg) -> str:
    """Kind and name of what the parameter points to."""
    assert w.btf is not None
    if not arg.target:
        return "UNKNOWN "
    t = w.btf.type(arg.target)
    return f"{KINDS[t.kind][0].upper()} {t.name}"


def _memory(w: Walk, r: int, reg: RegState, size: int) -> None:
    """Memory that is read and written (`check_mem_reg`); null is no memory."""
    if reg.is_null:
        return
    regs = w.state.frames[-1].regs
    if reg.kind & rs.MAYBE_NULL:
        regs[r] = reg.with_kind(reg.kind & ~rs.MAYBE_NULL, reg.id)
    ar.memory(w, r, size, False, True, None)
    ar.memory(w, r, size, True, True, None)
    regs[r] = reg


def _sized_memory(w: Walk, n: int, r: int, reg: RegState, arg: KfuncArg, following: KfuncArg, facts: Facts) -> None:
    """Memory and its size in the next argument (`check_kfunc_mem_size_reg`)."""
    size = w.state.frames[-1].regs[r + 1]
    if not (reg.is_null and arg.suffix == "__opt"):
        regs = w.state.frames[-1].regs
        if reg.kind & rs.MAYBE_NULL:
            regs[r] = reg.with_kind(reg.kind & ~rs.MAYBE_NULL, reg.id)
        try:
            ar.size_of_memory(w, r + 1, size, False, True, facts.call)
            ar.size_of_memory(w, r + 1, size, True, True, facts.call)
        except Refuse as no:
            raise w.refuse(f"arg#{n} arg#{n + 1} memory, len pair leads to invalid memory access", no.errno) from None
        regs[r] = reg
    if following.suffix == "__szk":
        if size.scalar.m:
            raise w.refuse(f"R{r + 1} must be a known constant", EINVAL)
        facts.constant = size.scalar.v


# Effects ------------------------------------------------------------------------------------------------------------


def _critical_sections(w: Walk, func: Kfunc) -> None:
    """Read-side critical sections, and preemption."""
    state = w.state
    name = func.name
    if name == "bpf_rcu_read_lock":
        if state.rcu_locks:
            raise w.refuse(f"nested rcu read lock (kernel function {name})", EINVAL)
        state.rcu_locks += 1
    elif name == "bpf_rcu_read_unlock":
        if not state.rcu_locks:
            raise w.refuse(f"unmatched rcu read unlock (kernel function {name})", EINVAL)
        state.rcu_locks -= 1
        if not state.rcu_locks:
            _forget_rcu(w)
    elif name == "bpf_preempt_disable":
        state.preempt_locks += 1
    elif name == "bpf_preempt_enable":
        if not state.preempt_locks:
            raise w.refuse(f"unmatched attempt to enable preemption (kernel function {name})", EINVAL)
        state.preempt_locks -= 1


def _forget_rcu(w: Walk) -> None:
    """Pointers that were valid in the critical section are so no longer."""
    for frame in w.state.frames:
        for i, reg in enumerate(frame.regs):
            if reg.kind & rs.RCU:
                frame.regs[i] = reg.with_kind(reg.kind & ~(rs.RCU | rs.MAYBE_NULL) | rs.UNTRUSTED, reg.id)
        for i, slot in enumerate(frame.stack):
            if slot.reg.kind & rs.RCU:
                old = slot.reg
                frame.stack[i] = Slot(slot.types, old.with_kind(old.kind & ~(rs.RCU | rs.MAYBE_NULL) | rs.UNTRUSTED,
                                                                old.id))


def _result(w: Walk, facts: Facts, given: list[RegState]) -> RegState:
    """r0 after the call."""
    func = facts.func
    if func.ret == kfuncs.VOID:
        return rs.UNINIT
    if func.ret == kfuncs.SCALAR:
        return w.unknown_reg
    kind, struct, size, slice_of, ref = _points_to(w, facts)
    if kind == rs.SCALAR:
        return w.unknown_reg
    id = 0
    if "ret_null" in func.flags:
        kind |= rs.MAYBE_NULL
        id = w.new_id()
    if "acquire" in func.flags:
        ref = acquire(w)
        if "ret_null" in func.flags:
            id = ref
    return RegState(kind, ZERO, id=id, ref=ref, struct=struct, size=size, dynptr=slice_of)


def _points_to(w: Walk, facts: Facts) -> tuple[int, str, int, int, int]:
    """(kind, structure, size, id of the dynamic pointer, reference) of what is returned."""
    func = facts.func
    assert w.btf is not None
    if func.name == "bpf_cast_to_kern_ctx":
        return rs.BTF_ID | rs.TRUSTED, KERNEL_CONTEXTS[CONTEXTS[w.prog.type]], 0, 0, 0
    if func.name == "bpf_rdonly_cast":
        return _cast(w, facts.constant)
    if func.name in ("bpf_dynptr_slice", "bpf_dynptr_slice_rdwr"):
        kind = rs.MEM
        if func.name == "bpf_dynptr_slice":
            kind |= rs.RDONLY
        elif not regions.may_use_packet(w, True, None):
            raise w.refuse("the prog does not allow writes to packet data", EINVAL)
        assert facts.dynptr is not None
        return kind, "", facts.constant, facts.dynptr.id, 0
    if func.name.startswith(("bpf_obj_", "bpf_percpu_", "bpf_list_", "bpf_rbtree_", "bpf_refcount_")):
        raise unsupported(w, f"kernel function {func.name}")
    if not func.ret_struct:
        if not facts.size and not func.ret_size:
            return rs.SCALAR, "", 0, 0, 0
        rdonly = facts.rdonly if facts.size else True
        return rs.MEM | (rs.RDONLY if rdonly else 0), "", facts.size or func.ret_size, 0, facts.ref
    kind = rs.BTF_ID
    if facts.iterator is not None and "iter_next" in func.flags:
        kind |= rs.RCU if facts.iterator.rcu else rs.TRUSTED
    return kind, func.ret_struct, 0, 0, 0


def _cast(w: Walk, id: int) -> tuple[int, str, int, int, int]:
    """A pointer that may be read through as if it pointed to a structure (`bpf_rdonly_cast`)."""
    assert w.btf is not None
    try:
        t = w.btf.type(id)
    except BtfError:
        t = None
    if w.k.version >= (6, 17) and id == 0:
        return rs.MEM | rs.RDONLY | rs.UNTRUSTED, "", 0, 0, 0
    if t is None and w.k.version >= (6, 17):
        raise w.refuse(f"Unknown type ID {s64(id)} passed to kfunc bpf_rdonly_cast", EINVAL)
    if t is None or t.kind != STRUCT:
        either = " or void" if w.k.version >= (6, 17) else ""
        raise w.refuse(f"kfunc bpf_rdonly_cast type ID argument must be of a struct{either}", EINVAL)
    return rs.BTF_ID | rs.UNTRUSTED, t.name, 0, 0, 0


def check_eliminated(w: Walk) -> None:
    """A call of nothing that some path reaches is still there when calls are linked, and is refused."""
    for insn, seen in zip(w.insns, w.seen, strict=True):
        if insn is not None and insn.kind == ops.CALL_KFUNC and not insn.imm and seen:
            raise w.refuse("invalid kernel function call not eliminated in verifier pass", EINVAL)
