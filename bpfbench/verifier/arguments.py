"""Arguments of helper calls, one by one, against the helper's prototype.

Each argument kind admits certain kinds of pointers (`ADMITS`), and then has its own condition: a key needs as many
readable bytes as the map's keys have, a size bounds the memory before it, a released pointer must be a reference.

Source: kernel/bpf/verifier.c `check_func_arg`, `check_reg_type`, `check_helper_mem_access`; slide 24.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.verifier import dynptr, regions
from bpfbench.verifier import helper_protos as hp
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.precision import Wanted, mark_chain, walk_back
from bpfbench.verifier.regstate import MapView, RegState
from bpfbench.verifier.scalar import s64
from bpfbench.verifier.stack_range import RawWrite, initialized
from bpfbench.verifier.state import SPILL, ZEROED
from bpfbench.verifier.walk import EACCES, EFAULT, EINVAL, Refuse, Walk

MAX_VAR_SIZE: Final = 1 << 29
_MEM: Final = (rs.STACK, rs.PACKET, rs.PACKET_META, rs.MAP_KEY, rs.MAP_VALUE, rs.MEM, rs.MEM | rs.RINGBUF, rs.BUF,
               rs.BTF_ID | rs.TRUSTED)
_SOCKS: Final = (rs.SOCK_COMMON, rs.SOCKET, rs.TCP_SOCK, rs.XDP_SOCK)
_NUMBER: Final = (rs.SCALAR,)
_BTF: Final = (rs.BTF_ID, rs.BTF_ID | rs.TRUSTED, rs.BTF_ID | rs.RCU)

ADMITS: Final[dict[int, tuple[int, ...]]] = {
    hp.ARG_MAP_KEY: _MEM, hp.ARG_MAP_VALUE: _MEM, hp.ARG_MEM: _MEM, hp.ARG_FIXED_MEM: _MEM,
    hp.ARG_CONST_SIZE: _NUMBER, hp.ARG_CONST_SIZE_OR_ZERO: _NUMBER, hp.ARG_CONST_ALLOC_SIZE: _NUMBER,
    hp.ARG_CONST_MAP_PTR: (rs.MAP_PTR,), hp.ARG_CTX: (rs.CTX,), hp.ARG_SOCK_COMMON: _SOCKS, hp.ARG_SOCKET: (rs.SOCKET,),
    hp.ARG_BTF_ID_SOCK_COMMON: (*_SOCKS, rs.BTF_ID, rs.BTF_ID | rs.TRUSTED), hp.ARG_BTF_ID: _BTF,
    hp.ARG_SPIN_LOCK: (rs.MAP_VALUE, rs.BTF_ID | rs.ALLOC), hp.ARG_RINGBUF_MEM: (rs.MEM | rs.RINGBUF,),
    hp.ARG_PERCPU_BTF_ID: (rs.BTF_ID | rs.PERCPU, rs.BTF_ID | rs.PERCPU | rs.RCU, rs.BTF_ID | rs.PERCPU | rs.TRUSTED),
    hp.ARG_FUNC: (rs.FUNC,), hp.ARG_STACK: (rs.STACK,), hp.ARG_CONST_STR: (rs.MAP_VALUE,), hp.ARG_TIMER: (rs.MAP_VALUE,),
    hp.ARG_KPTR: (rs.MAP_VALUE, rs.BTF_ID | rs.ALLOC), hp.ARG_DYNPTR: (rs.STACK, rs.DYNPTR),
}  # fmt: skip


@final
class Call:
    """What the arguments of one call have told: the map, sizes, references."""

    __slots__ = ("proto", "map", "map_uid", "raw", "size_max", "mem_size", "ref", "release", "subprog", "const_key",
                 "dynptr_id", "func")

    def __init__(self, proto: hp.HelperProto) -> None:
        self.proto = proto
        self.func = proto.id
        self.map: MapView | None = None
        self.map_uid = 0
        self.raw = RawWrite(False)
        self.size_max = 0
        self.mem_size = 0
        self.ref = 0
        self.release = 0
        self.subprog = -1
        self.const_key = -1
        self.dynptr_id = 0


def argument(w: Walk, n: int, call: Call) -> None:
    """Check argument n (0-based)."""
    arg = call.proto.args[n]
    r = n + 1
    reg = w.read(r)
    kind, flags = arg.kind, arg.flags
    if kind == hp.ARG_ANYTHING:
        if w.leaks(reg):
            raise w.refuse(f"R{r} leaks addr into helper function")
        return
    if reg.kind in (rs.PACKET, rs.PACKET_META) and not regions.may_use_packet(w, False, call.proto.pkt_access):
        raise w.refuse("helper access to the packet is not allowed")
    if kind == hp.ARG_MAP_VALUE:
        kind = _map_value_kind(w, call)
    null_ok = bool(flags & hp.MAYBE_NULL)
    is_null = reg.is_null
    if is_null and null_ok:
        if w.k.null_precise:
            mark_chain(w, r)
    else:
        _type(w, r, reg, kind, flags, call, null_ok, arg.btf)
        _offset(w, r, reg, kind, flags)
    if flags & hp.RELEASE:
        _release(w, r, reg, kind, call)
    if reg.ref and kind != hp.ARG_KPTR:
        if call.ref and w.k.version < (6, 18):
            raise w.refuse(f"verifier internal error: more than one arg with ref_obj_id R{r} {reg.ref} {call.ref}", EFAULT)
        if call.ref:
            raise w.refuse(f"more than one arg with ref_obj_id R{r} {reg.ref} {call.ref}", EACCES)
        call.ref = reg.ref
    _condition(w, n, r, reg, kind, flags, call, is_null and null_ok)


def _map_value_kind(w: Walk, call: Call) -> int:
    if call.map is None:
        raise w.refuse("invalid map_ptr to access map->type")
    if call.map.type in ("sockmap", "sockhash"):
        return hp.ARG_BTF_ID_SOCK_COMMON
    return hp.ARG_MAP_VALUE


def _type(w: Walk, r: int, reg: RegState, kind: int, flags: int, call: Call, null_ok: bool, struct: str) -> None:
    """Is the register of an admitted kind? (`check_reg_type`)"""
    have = reg.kind
    if flags & hp.RDONLY:
        have &= ~rs.RDONLY
    if null_ok:
        have &= ~rs.MAYBE_NULL
    admitted = _admitted(w, kind)
    if have not in admitted:
        names = ", ".join(w.named(k) for k in admitted)
        raise w.refuse(f"R{r} type={w.named(reg.kind)} expected={names}")
    if reg.kind & rs.BASE != rs.BTF_ID:
        return
    if kind in (hp.ARG_MAP_KEY, hp.ARG_MAP_VALUE, hp.ARG_MEM, hp.ARG_FIXED_MEM):
        if not flags & hp.RDONLY:
            raise w.refuse(f"bpf_{call.proto.name}() may write into memory pointed by R{r} "
                           f"type={w.named(reg.kind)}")
        return
    if kind in (hp.ARG_BTF_ID, hp.ARG_BTF_ID_SOCK_COMMON):
        if reg.kind & rs.MAYBE_NULL and (not null_ok or flags & hp.RELEASE):
            raise w.refuse(f"Possibly NULL pointer passed to helper arg{r}")
        from bpfbench.verifier.kernel_types import struct_matches

        wanted = struct or "sock_common"
        if not struct_matches(reg.struct, wanted):
            raise w.refuse(f"R{r} is of type {reg.struct} but {wanted} is expected")


def _admitted(w: Walk, kind: int) -> tuple[int, ...]:
    return ADMITS[kind] if w.k.version >= (6, 2) else ADMITS_61[kind]


# 6.1 has no pointers to dynptr slices among the memory types, but lists the ring buffer's memory as alloc_mem.
ADMITS_61: Final[dict[int, tuple[int, ...]]] = {
    **ADMITS, hp.ARG_MAP_KEY: _MEM[:5], hp.ARG_MAP_VALUE: _MEM[:5], hp.ARG_MEM: _MEM[:8], hp.ARG_FIXED_MEM: _MEM[:8],
    hp.ARG_BTF_ID: (rs.BTF_ID,), hp.ARG_PERCPU_BTF_ID: (rs.BTF_ID | rs.PERCPU,),
    hp.ARG_BTF_ID_SOCK_COMMON: (*_SOCKS, rs.BTF_ID), hp.ARG_SPIN_LOCK: (rs.MAP_VALUE,), hp.ARG_KPTR: (rs.MAP_VALUE,),
}  # fmt: skip
_OFFSET_FREE: Final = frozenset((rs.STACK, rs.PACKET, rs.PACKET_META, rs.MAP_KEY, rs.MAP_VALUE, rs.MEM,
                                 rs.MEM | rs.RDONLY, rs.MEM | rs.RINGBUF, rs.BUF, rs.BUF | rs.RDONLY, rs.ARENA, rs.SCALAR))


def _offset(w: Walk, r: int, reg: RegState, kind: int, flags: int) -> None:
    """May the pointer have been moved? (`check_func_arg_reg_off`)"""
    if flags & hp.RELEASE:
        if kind == hp.ARG_DYNPTR and reg.kind == rs.STACK:
            return
        if reg.off and w.k.version >= (6, 3):
            raise w.refuse(f"R{r} must have zero offset when passed to release func or trusted arg to kfunc", EINVAL)
        regions.pointer_offset(w, reg, r, False)
        return
    if reg.kind in _OFFSET_FREE:
        return
    regions.pointer_offset(w, reg, r, reg.kind & rs.BASE == rs.BTF_ID)


def _release(w: Walk, r: int, reg: RegState, kind: int, call: Call) -> None:
    if kind == hp.ARG_DYNPTR:
        if reg.kind == rs.STACK:
            spi = dynptr.slot_of(w, reg)
            if spi < 0 or not w.state.frames[reg.frame].stack[spi].reg.ref:
                raise w.refuse(f"arg {r} is an unacquired reference", EINVAL)
        else:
            raise w.refuse("cannot release unowned const bpf_dynptr", EINVAL)
    elif not reg.ref and not reg.is_null:
        raise w.refuse(f"R{r} must be referenced when passed to release function", EINVAL)
    call.release = r


def _condition(w: Walk, n: int, r: int, reg: RegState, kind: int, flags: int, call: Call, null: bool) -> None:
    m = call.map
    write = bool(flags & hp.WRITE)
    if kind == hp.ARG_CONST_MAP_PTR:
        if m is not None and (m is not reg.map or call.map_uid != reg.map_uid):
            raise w.refuse(f"timer pointer in R1 map_uid={call.map_uid} doesn't match map pointer in R2 "
                           f"map_uid={reg.map_uid}", EINVAL)
        call.map, call.map_uid = reg.map, reg.map_uid
    elif kind == hp.ARG_MAP_KEY:
        if m is None:
            raise w.refuse("invalid map_ptr to access map->key")
        memory(w, r, m.key_size, False, False, None)
        if w.k.const_keys and m.type in ("array", "percpu_array"):
            call.const_key = constant_key(w, w.state.frames[-1].regs[r], m.key_size)
    elif kind == hp.ARG_MAP_VALUE:
        if null:
            return
        if m is None:
            raise w.refuse("invalid map_ptr to access map->value")
        call.raw.raw = bool(flags & hp.UNINIT)
        memory(w, r, m.value_size, write, False, call.raw)
    elif kind == hp.ARG_MEM:
        call.raw.raw = bool(flags & hp.UNINIT)
    elif kind == hp.ARG_FIXED_MEM:
        call.raw.raw = bool(flags & hp.UNINIT)
        memory(w, r, call.proto.args[n].size, write, False, call.raw)
        if flags & hp.ALIGNED:
            regions.alignment(w, w.state.frames[-1].regs[r], 0, call.proto.args[n].size, True)
    elif kind in (hp.ARG_CONST_SIZE, hp.ARG_CONST_SIZE_OR_ZERO):
        before = bool(call.proto.args[n - 1].flags & hp.WRITE)
        size_of_memory(w, r, reg, before, kind == hp.ARG_CONST_SIZE_OR_ZERO, call)
    elif kind == hp.ARG_CONST_ALLOC_SIZE:
        if reg.scalar.m:
            raise w.refuse(f"R{r} is not a known constant'")
        call.mem_size = reg.scalar.v
        mark_chain(w, r)
    else:
        _special(w, r, reg, kind, flags, call)


def _special(w: Walk, r: int, reg: RegState, kind: int, flags: int, call: Call) -> None:
    if kind == hp.ARG_SPIN_LOCK:
        from bpfbench.verifier.locks import spin_lock

        spin_lock(w, r, reg, call.proto.name == "spin_lock")
    elif kind == hp.ARG_TIMER:
        from bpfbench.verifier.locks import timer

        timer(w, r, reg, call)
    elif kind == hp.ARG_FUNC:
        call.subprog = reg.subprog
    elif kind == hp.ARG_DYNPTR:
        dynamic_pointer(w, r, reg, flags)
    elif kind == hp.ARG_CONST_STR:
        _constant_string(w, r, reg)
    elif kind == hp.ARG_KPTR:
        raise w.refuse(f"R{r} has no valid kptr" if reg.map is None or reg.map.has_btf else
                       f"map '{reg.map.name}' has to have BTF in order to use bpf_kptr_xchg",
                       EINVAL if w.k.version >= (6, 2) else EACCES)
    elif kind == hp.ARG_PERCPU_BTF_ID and not reg.struct:
        raise w.refuse(f"Helper has invalid btf_id in R{r}")


def dynamic_pointer(w: Walk, r: int, reg: RegState, flags: int, made: str = "", clone_ref: int = 0) -> None:
    """An argument that is a dynamic pointer, of type `made` when the call makes it (`process_dynptr_func`)."""
    if reg.kind not in (rs.STACK, rs.DYNPTR):
        raise w.refuse(f"arg#{r - 1} expected pointer to stack or const struct bpf_dynptr", EINVAL)
    wanted = "ringbuf" if flags & hp.DYNPTR_RINGBUF else "local" if flags & hp.DYNPTR_LOCAL else ""
    if flags & hp.UNINIT:
        if not dynptr.is_uninit(w, reg):
            raise w.refuse("Dynptr has to be an uninitialized dynptr", EINVAL)
        from bpfbench.verifier.memory import access

        for i in (0, 8):
            access(w, r, i, 8, True, -1, False, False)
        dynptr.make(w, w.state.frames[-1].regs[r], made or wanted, clone_ref)
        return
    if reg.kind == rs.DYNPTR and not flags & hp.RDONLY:
        raise w.refuse("cannot pass pointer to const bpf_dynptr, the helper mutates it", EINVAL)
    if not dynptr.is_init(w, reg):
        raise w.refuse(f"Expected an initialized dynptr as arg #{r - 1 if w.k.version >= (6, 9) else r}", EINVAL)
    saved = dynptr.saved(w, reg)
    if wanted and saved.special is not None and saved.special.type != wanted:
        raise w.refuse(f"Expected a dynptr of type {wanted} as arg #{r - 1 if w.k.version >= (6, 9) else r}", EINVAL)
    if reg.kind == rs.STACK and w.k.dynptr_tracked:
        dynptr.mark_read(w, w.state.frames[reg.frame], dynptr.slot_of(w, reg))


def _constant_string(w: Walk, r: int, reg: RegState) -> None:
    m = reg.map
    assert m is not None
    if not (m.flags & 0x80 and m.frozen):
        raise w.refuse(f"R{r} does not point to a readonly map'")
    if reg.scalar.m:
        raise w.refuse(f"R{r} is not a constant address'")
    if m.type != "array":
        raise w.refuse("no direct value access support for this map type")
    regions.map_value(w, r, reg.off, m.value_size - reg.off, False, True)
    held = (m.contents or b"").ljust(m.value_size, b"\0")
    if 0 not in held[reg.off + reg.scalar.v:]:
        raise w.refuse("string is not zero-terminated", EINVAL)


def memory(w: Walk, r: int, size: int, write: bool, zero_ok: bool, raw: RawWrite | None) -> None:
    """A helper uses `size` bytes at the register (`check_helper_mem_access`)."""
    reg = w.state.frames[-1].regs[r]
    kind = reg.kind
    base = kind & rs.BASE
    if kind in rs.PACKET_KINDS:
        regions.packet(w, r, reg.off, size, zero_ok)
    elif base == rs.STACK:
        initialized(w, r, reg.off, size, zero_ok, True, raw, write)
    elif base == rs.MAP_VALUE:
        regions.map_type_access(w, r, reg.off, size, write)
        regions.map_value(w, r, reg.off, size, zero_ok, True)
    elif base == rs.MAP_KEY:
        if write:
            raise w.refuse(f"R{r} cannot write into {w.named(kind)}")
        assert reg.map is not None
        regions.block(w, r, reg.off, size, reg.map.key_size, False)
    elif base == rs.MEM:
        if kind & rs.RDONLY and write:
            raise w.refuse(f"R{r} cannot write into {w.named(kind)}")
        regions.block(w, r, reg.off, size, reg.size, zero_ok)
    elif base == rs.BUF:
        if kind & rs.RDONLY and write:
            raise w.refuse(f"R{r} cannot write into {w.named(kind)}")
        regions.buffer(w, r, reg, reg.off, size, "rdonly" if kind & rs.RDONLY else "rdwr")
    elif base == rs.BTF_ID:
        regions.structure(w, r, reg, reg.off, size, False, -1)
    elif kind == rs.CTX and w.prog.type == "syscall":
        from bpfbench.verifier.memory import access

        if size:
            access(w, r, size - 1, 1, write, -1, False, False)
        elif not zero_ok:
            raise Refuse(EACCES)
    else:
        if zero_ok and size == 0 and reg.is_null:
            return
        raise w.refuse(f"R{r} type={w.named(kind)} expected=fp")


def size_of_memory(w: Walk, r: int, reg: RegState, write: bool, zero_ok: bool, call: Call) -> None:
    """A size, and with it the memory before it (`check_mem_size_reg`)."""
    s = reg.scalar
    call.size_max = s.umax
    raw: RawWrite | None = call.raw if s.m == 0 else None
    if s.smin < 0:
        raise w.refuse(f"R{r} min value is negative, either use unsigned or 'var &= const'")
    if s.umin == 0 and not zero_ok and w.k.version >= (6, 8):
        raise w.refuse(f"R{r} invalid zero-sized read: u64=[{s64(s.umin)},{s64(s.umax)}]")
    if s.umin == 0 and w.k.version < (6, 8):
        memory(w, r - 1, 0, write, zero_ok, raw)
    if s.umax >= MAX_VAR_SIZE:
        raise w.refuse(f"R{r} unbounded memory access, use 'var &= const' or 'if (var < const)'")
    memory(w, r - 1, s.umax, write, zero_ok, raw)
    mark_chain(w, r)


def constant_key(w: Walk, reg: RegState, size: int) -> int:
    """The key of an array lookup where the stack holds a known one, else -1 (`get_constant_map_key`)."""
    if not w.bpf_capable or reg.kind != rs.STACK or reg.scalar.m:
        return -1
    off = reg.off + s64(reg.scalar.v)
    byte = -off - 1
    spi, at = byte >> 3, byte & 7
    slot = w.state.frames[reg.frame].stack[spi]
    zeros = 0
    while zeros <= at and slot.types[at - zeros] == ZEROED:
        zeros += 1
    if zeros >= size:
        return 0
    if not slot.spilled_scalar:
        return -1
    spilled = 0
    while spilled <= at and slot.types[at - spilled] == SPILL:
        spilled += 1
    if spilled != size or slot.reg.scalar.m:
        return -1
    wanted = Wanted(len(w.state.frames) - 1)
    wanted.slots[reg.frame] = 1 << spi
    walk_back(w, w.state, wanted, True)
    return slot.reg.scalar.v
