"""Regions of memory: may an access go there, and what does a load yield?

One function per kind of pointer, all with one signature; each checks an access of `size` bytes at the pointer's
register `r` plus `off` (which includes the pointer's fixed offset) and, for a load into `dst`, puts what is loaded
there.

| pointer to | limit | checked by |
|---|---|---|
| stack | 512 bytes per function | stack.py |
| map value, map key, memory block | its size, for the smallest and largest offset | `block` |
| packet | what a comparison with data_end has proven | `packet` |
| context | the fields of the program type | `context` |
| socket, flow keys | their fields | `socket`, `flow_keys` |
| kernel structure, map | read-only through BTF | `structure` |

Sources: kernel/bpf/verifier.c `check_mem_access`, `check_mem_region_access`, `check_packet_access`; slides 18, 19.
"""

from __future__ import annotations

from typing import Final

from bpfbench.verifier import contexts, progtypes, slides
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.log import tnum_text
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import S64_MIN, ZERO, s32
from bpfbench.verifier.walk import EINVAL, Refuse, Walk

MAX_VAR_OFF: Final = 1 << 29
MAX_PACKET_OFF: Final = 0xFFFF

CTX_KINDS: Final[dict[int, int]] = {
    contexts.PACKET: rs.PACKET, contexts.PACKET_END: rs.PACKET_END, contexts.PACKET_META: rs.PACKET_META,
    contexts.SOCKET: rs.SOCKET, contexts.SOCKET_OR_NULL: rs.SOCKET | rs.MAYBE_NULL,
    contexts.SOCK_COMMON_OR_NULL: rs.SOCK_COMMON | rs.MAYBE_NULL, contexts.FLOW_KEYS: rs.FLOW_KEYS,
    contexts.TP_BUFFER: rs.TP_BUFFER, contexts.BTF_ID: rs.BTF_ID | rs.TRUSTED,
}  # fmt: skip


def text(w: Walk, reg: RegState) -> str:
    return tnum_text(reg.scalar.v, reg.scalar.m, w.k.log_gen)


def bad_range(w: Walk, r: int, reg: RegState, off: int, size: int, limit: int) -> None:
    """The message of an access outside a block (`__check_mem_access`)."""
    kind = reg.kind
    off = s32(off)
    if kind == rs.MAP_KEY:
        w.say(f"invalid access to map key, key_size={limit} off={off} size={size}")
    elif kind == rs.MAP_VALUE:
        w.say(f"invalid access to map value, value_size={limit} off={off} size={size}")
    elif kind in (rs.PACKET, rs.PACKET_META, rs.PACKET_END):
        w.say(f"invalid access to packet, off={off} size={size}, R{r}(id={reg.id},off={off},r={limit})")
    else:
        w.say(f"invalid access to memory, mem_size={limit} off={off} size={size}")


def block(w: Walk, r: int, off: int, size: int, limit: int, zero_ok: bool) -> None:
    """A block of `limit` bytes (`check_mem_region_access`)."""
    reg = w.state.frames[-1].regs[r]
    s = reg.scalar
    if s.smin < 0 and (s.smin == S64_MIN or s32(off + s.smin) != off + s.smin or s.smin + off < 0):
        raise w.refuse(f"R{r} min value is negative, either use unsigned index or do a if (index >=0) check.")
    size_ok = size > 0 or (size == 0 and zero_ok)
    low = s32(s.smin + off)
    if low < 0 or not size_ok or low + size > limit:
        bad_range(w, r, reg, low, size, limit)
        raise w.refuse(f"R{r} min value is outside of the {_range_words(w)} range")
    if s.umax >= MAX_VAR_OFF:
        which = "array access into a map" if w.k.slides else "such access"
        raise w.refuse(f"R{r} unbounded memory access, make sure to bounds check any {which}")
    high = s32(s.umax + off)
    if high < 0 or high + size > limit:
        bad_range(w, r, reg, high, size, limit)
        raise w.refuse(f"R{r} max value is outside of the {_range_words(w)} range")


def _range_words(w: Walk) -> str:
    return "array" if w.k.slides else "allowed memory"


def map_type_access(w: Walk, r: int, off: int, size: int, write: bool) -> None:
    m = w.state.frames[-1].regs[r].map
    assert m is not None
    if write and m.flags & 0x80:        # BPF_F_RDONLY_PROG
        raise w.refuse(f"write into map forbidden, value_size={m.value_size} off={off} size={size}")
    if not write and m.flags & 0x100:   # BPF_F_WRONLY_PROG
        raise w.refuse(f"read from map forbidden, value_size={m.value_size} off={off} size={size}")


FIELD_TYPES: Final[dict[str, str]] = {"spin_lock": "bpf_spin_lock", "timer": "bpf_timer", "wq": "bpf_wq",
                                      "kptr": "kptr", "list_head": "bpf_list_head", "rb_root": "bpf_rb_root"}


def map_value(w: Walk, r: int, off: int, size: int, zero_ok: bool, helper: bool) -> None:
    """A map's value, without its special fields (`check_map_access`)."""
    reg = w.state.frames[-1].regs[r]
    m = reg.map
    assert m is not None
    if w.k.slides:
        slides.log_state(w)
    block(w, r, off, size, m.value_size, zero_ok)
    s = reg.scalar
    for kind, at, length in m.fields:
        if s.smin + off < at + length and at < s.umax + off + size:
            if kind == "kptr" and not helper:
                if s.m:
                    raise w.refuse("kptr access cannot have variable offset")
                if at != off + s.v:
                    raise w.refuse(f"kptr access misaligned expected={at} off={off + s.v}")
                if size != 8:
                    raise w.refuse("kptr access size must be BPF_DW")
            elif kind == "kptr":
                raise w.refuse("kptr cannot be accessed indirectly by helper")
            else:
                raise w.refuse(f"{FIELD_TYPES.get(kind, kind)} cannot be accessed directly by load/store")


def read_constant(w: Walk, reg: RegState, off: int, size: int, signed: bool) -> int | None:
    """The bytes of a read-only, frozen map with contents (`bpf_map_direct_read`)."""
    m = reg.map
    if m is None or not (m.flags & 0x80 and m.frozen) or m.type != "array" or m.max_entries != 1 or reg.scalar.m:
        return None
    at = off + reg.scalar.v
    held = (m.contents or b"").ljust(m.value_size, b"\0")
    return int.from_bytes(held[at:at + size], "little", signed=signed)


def packet(w: Walk, r: int, off: int, size: int, zero_ok: bool) -> None:
    """Packet bytes, up to the proven range (`check_packet_access`)."""
    reg = w.state.frames[-1].regs[r]
    s = reg.scalar
    if s.smin < 0:
        raise w.refuse(f"R{r} min value is negative, either use unsigned index or do a if (index >=0) check.")
    if reg.range < 0:
        w.say(f"R{r} offset is outside of the packet")
        raise Refuse(EINVAL)
    size_ok = size > 0 or (size == 0 and zero_ok)
    if off < 0 or not size_ok or off + size > reg.range:
        bad_range(w, r, reg, off, size, reg.range)
        raise w.refuse(f"R{r} offset is outside of the packet")
    w.max_pkt_offset = max(w.max_pkt_offset, off + s.umax + size - 1)


def pointer_offset(w: Walk, reg: RegState, r: int, fixed_ok: bool) -> None:
    """Pointers that may not be moved (`__check_ptr_off_reg`)."""
    if reg.off < 0 and w.k.version >= (5, 18):
        raise w.refuse(f"negative offset {w.named(reg.kind)} ptr R{r} off={reg.off} disallowed")
    if not fixed_ok and reg.off:
        raise w.refuse(f"dereference of modified {w.named(reg.kind)} ptr R{r} off={reg.off} disallowed")
    if reg.scalar.m or reg.scalar.v:
        raise w.refuse(f"variable {w.named(reg.kind)} access var_off={text(w, reg)} disallowed")


def context(w: Walk, r: int, reg: RegState, off: int, size: int, write: bool, dst: int, signed: bool) -> RegState | None:
    """A field of the context; answers what a load yields (`check_ctx_access`)."""
    pointer_offset(w, reg, r, False)
    field = contexts.access(w.prog.type, w.prog.attach_type, off, size, write, w.k.version, w.bpf_capable)
    if field is None and write and contexts.offloaded_write(w.prog, off, size):
        return None
    if field is None or (signed and field.kind != contexts.SCALAR and w.k.movsx):
        raise w.refuse(f"invalid bpf_context access off={off} size={size}")
    if write or dst < 0:
        return None
    if field.kind == contexts.SCALAR:
        return w.unknown_reg
    kind = CTX_KINDS[field.kind]
    id = w.new_id() if kind & rs.MAYBE_NULL else 0
    return RegState(kind, ZERO, id=id, struct=field.struct)


def flow_keys(w: Walk, off: int, size: int) -> None:
    if off < 0 or off + size > 56:
        raise w.refuse(f"invalid access to flow keys off={off} size={size}")


SOCK_STRUCTS: Final[dict[int, str]] = {rs.SOCKET: "sock", rs.SOCK_COMMON: "sock_common", rs.TCP_SOCK: "tcp_sock",
                                       rs.XDP_SOCK: "xdp_sock"}


def socket(w: Walk, r: int, reg: RegState, off: int, size: int) -> None:
    if reg.scalar.smin < 0:
        raise w.refuse(f"R{r} min value is negative, either use unsigned index or do a if (index >=0) check.")
    if contexts.sock_access(SOCK_STRUCTS[reg.kind], off, size) is None:
        raise w.refuse(f"R{r} invalid {w.named(reg.kind)} access off={off} size={size}")


def buffer(w: Walk, r: int, reg: RegState, off: int, size: int, name: str) -> None:
    if off < 0:
        raise w.refuse(f"R{r} invalid {name} buffer access: off={off}, size={size}")
    if reg.scalar.m or reg.scalar.v:
        raise w.refuse(f"R{r} invalid variable buffer offset: off={off}, var_off={text(w, reg)}")


# Alignment ----------------------------------------------------------------------------------------------------------

_DESCRIBED: Final[dict[int, str]] = {
    rs.FLOW_KEYS: "flow keys ", rs.MAP_KEY: "key ", rs.MAP_VALUE: "value ", rs.CTX: "context ", rs.STACK: "stack ",
    rs.SOCKET: "sock ", rs.SOCK_COMMON: "sock_common ", rs.TCP_SOCK: "tcp_sock ", rs.XDP_SOCK: "xdp_sock ",
}  # fmt: skip


def alignment(w: Walk, reg: RegState, off: int, size: int, strict_once: bool) -> None:
    """Stack accesses are aligned always, others where asked for (`check_ptr_alignment`)."""
    strict = w.strict_align or strict_once or reg.kind == rs.STACK
    if not strict or size == 1 or reg.kind == rs.ARENA:
        return
    s = reg.scalar
    if reg.kind in rs.PACKET_KINDS:
        at = 2 + reg.off + off
        what = f"misaligned packet access off 2+{text(w, reg)}+{reg.off}+{off} size {size}"
    else:
        at = reg.off + off
        what = f"misaligned {_DESCRIBED.get(reg.kind, '')}access off {text(w, reg)}+{reg.off}+{off} size {size}"
    from bpfbench.verifier import tnum

    if not tnum.is_aligned(tnum.add((s.v, s.m), (at & tnum.M64, 0)), size):
        raise w.refuse(what)


def may_use_packet(w: Walk, write: bool, helper_ok: bool | None) -> bool:
    """Direct packet access for the program type; `helper_ok`: the helper's word, None outside calls."""
    row = progtypes.prog_type(w.prog.type)
    allowed = row is not None and row.may_access_packet(write)
    if allowed and helper_ok is not None and w.prog.type != "cgroup_sockopt":
        return helper_ok
    if allowed:
        w.seen_direct_write = True
    return allowed


def structure(w: Walk, r: int, reg: RegState, off: int, size: int, write: bool, dst: int) -> RegState:
    """A kernel structure, or the structure behind a map pointer: needs the kernel's type information."""
    if reg.kind == rs.MAP_PTR:
        from bpfbench.verifier.kernel_types import map_field

        return map_field(w, r, reg, off, size, write)
    from bpfbench.verifier.kernel_types import struct_field

    return struct_field(w, r, reg, off, size, write)

