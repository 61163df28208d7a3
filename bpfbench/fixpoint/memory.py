"""Loads, stores and atomic operations: is the access inside the region, and what does a load yield?

One function per kind of region, all asking the same: may `size` bytes at pointer + `off` be touched on *every* path
that leads here?

| pointer to | limit | from |
|---|---|---|
| stack | 512 bytes below r10, aligned | cells.py |
| map value, map key, block, record | its size | range of the offset |
| packet, metadata | the length of the packet | differences, zones.py |
| context, socket | a field of the program type's structure | verifier/contexts.py |

Sources: the conditions are those of kernel/bpf/verifier.c `check_mem_access` and what it calls.
"""

from __future__ import annotations

from typing import Final

from bpfbench.fixpoint import cells
from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.arithmetic import cut, extended
from bpfbench.fixpoint.context import VERSION, Analysis
from bpfbench.fixpoint.state import State, symbol_range
from bpfbench.fixpoint.values import ANON, ANY_NUMBER, NUMBER, Value, constant, pointer
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import contexts, tnum

MAX_OFFSET: Final = 1 << 29
RDONLY_PROG: Final = 0x80           # BPF_F_RDONLY_PROG: programs may not write
WRONLY_PROG: Final = 0x100
MAP_FIELDS: Final = 64              # bytes of struct bpf_map that every kernel has
_REWRITTEN: Final = frozenset((vs.CTX, vs.SOCKET, vs.SOCK_COMMON, vs.TCP_SOCK, vs.XDP_SOCK, vs.STRUCT))
_CTX_KINDS: Final = {
    contexts.PACKET: vs.PACKET, contexts.PACKET_END: vs.END, contexts.PACKET_META: vs.META,
    contexts.SOCKET: vs.SOCKET, contexts.SOCKET_OR_NULL: vs.SOCKET, contexts.SOCK_COMMON_OR_NULL: vs.SOCK_COMMON,
    contexts.FLOW_KEYS: vs.FLOW_KEYS, contexts.TP_BUFFER: vs.TP_BUFFER, contexts.BTF_ID: vs.STRUCT,
}
_OR_NULL: Final = (contexts.SOCKET_OR_NULL, contexts.SOCK_COMMON_OR_NULL)
_SOCK_STRUCTS: Final = {vs.SOCKET: "sock", vs.SOCK_COMMON: "sock_common", vs.TCP_SOCK: "tcp_sock", vs.XDP_SOCK: "xdp_sock"}


# Instructions -------------------------------------------------------------------------------------------------------


def load(w: Analysis, state: State, insn: Instruction) -> None:
    """dst = *(size *)(src + off)"""
    ptr = w.read(state, insn.src)
    signed = insn.kind == ops.LDXS
    found = access(w, state, insn.src, ptr, insn.off, insn.op.size, False, signed=signed)
    if ptr.kind == vs.CTX and found.kind == vs.PACKET and found.frame:
        state.zones.forget(vs.length_symbol(found))
    if found.kind == NUMBER and insn.op.size < 8:
        found = extended(found, insn.op.size, 64) if signed else cut(found, insn.op.size)
    w.write(state, insn.dst, found)


def store(w: Analysis, state: State, insn: Instruction) -> None:
    """*(size *)(dst + off) = src, or the immediate"""
    value = w.read(state, insn.src) if insn.kind != ops.ST else constant(insn.imm)
    if insn.kind != ops.ST and value.kind == NUMBER and value.sym == ANON and value.scalar.m:
        value = name(w, state, insn.src)
    ptr = w.read(state, insn.dst)
    access(w, state, insn.dst, ptr, insn.off, insn.op.size, True, value, value_reg=insn.src)


def atomic(w: Analysis, state: State, insn: Instruction) -> None:
    """Read, modify, write; with fetch the old value lands in a register (r0 for compare-and-exchange)."""
    w.read(state, insn.src)
    ptr = w.read(state, insn.dst)
    compare = insn.op.fn == ops.CMPXCHG
    if compare:
        w.read(state, 0)
    _no_atomic(w, insn.dst, ptr)
    found = access(w, state, insn.dst, ptr, insn.off, insn.op.size, False, aligned=True)
    access(w, state, insn.dst, ptr, insn.off, insn.op.size, True, ANY_NUMBER, aligned=True)
    if insn.op.fn & 1:
        w.write(state, 0 if compare else insn.src, cut(found, insn.op.size) if found.kind == NUMBER else found)


def load_acquire(w: Analysis, state: State, insn: Instruction) -> None:
    ptr = w.read(state, insn.src)
    _no_atomic(w, insn.src, ptr)
    found = access(w, state, insn.src, ptr, insn.off, insn.op.size, False, aligned=True)
    w.write(state, insn.dst, cut(found, insn.op.size) if found.kind == NUMBER else found)


def store_release(w: Analysis, state: State, insn: Instruction) -> None:
    value = w.read(state, insn.src)
    ptr = w.read(state, insn.dst)
    _no_atomic(w, insn.dst, ptr)
    access(w, state, insn.dst, ptr, insn.off, insn.op.size, True, value, aligned=True, value_reg=insn.src)


def _no_atomic(w: Analysis, r: int, ptr: Value) -> None:
    if ptr.kind in (vs.CTX, vs.FLOW_KEYS, *vs.IN_PACKET, *vs.SOCKETS):
        raise w.refuse("atomic", f"atomic operation on {w.named(ptr)} in r{r}", r)


def name(w: Analysis, state: State, r: int) -> Value:
    """Give the number in a register a symbol, so that copies of it are known to be the same."""
    v = state.regs[r]
    if v.kind == NUMBER and v.sym == ANON and v.scalar.m:
        v = v.at(v.scalar, w.names.fresh(), 0)
        state.regs[r] = v
    return v


# Accesses -----------------------------------------------------------------------------------------------------------


def access(w: Analysis, state: State, r: int, ptr: Value, off: int, size: int, write: bool, value: Value = ANY_NUMBER,
           aligned: bool = False, signed: bool = False, value_reg: int = -1) -> Value:
    """Check an access through register r; answers what a load yields (before it is cut to size)."""
    kind = ptr.kind
    if kind == NUMBER:
        raise w.refuse("not-a-pointer", f"r{r} is a number ({vs.text(ptr)}), not an address", r)
    if ptr.nullable:
        raise w.refuse("maybe-null", f"r{r} may be null: {vs.text(ptr)}", r)
    _one_kind(w, r, kind)
    _alignment(w, r, ptr, off, size, aligned)
    if kind == vs.STACK:
        return _stack(w, state, r, ptr, off, size, write, value, value_reg)
    if kind == vs.CTX:
        return _context(w, r, ptr, off, size, write, signed)
    if kind in vs.IN_PACKET:
        if write and (w.row is None or not w.row.may_access_packet(True)):
            raise w.refuse("read-only", f"a {w.program.type} program may not write to the packet", r)
        packet(w, state, r, ptr, off, size)
        return ANY_NUMBER
    if kind == vs.VALUE:
        return _map_value(w, r, ptr, off, size, write, signed)
    return _elsewhere(w, r, ptr, off, size, write)


def _elsewhere(w: Analysis, r: int, ptr: Value, off: int, size: int, write: bool) -> Value:
    kind = ptr.kind
    if kind in (vs.MEM, vs.RECORD):
        if write and ptr.note == "ro":
            raise w.refuse("read-only", f"the memory behind r{r} may only be read", r)
        block(w, r, ptr, off, size, ptr.size)
        return ANY_NUMBER
    if kind == vs.KEY:
        if write:
            raise w.refuse("read-only", f"r{r} points to a map's key, which may not be changed", r)
        assert ptr.region is not None
        block(w, r, ptr, off, size, ptr.region.spec.key_size)
        return ANY_NUMBER
    if kind == vs.FLOW_KEYS:
        block(w, r, ptr, off, size, contexts.FLOW_KEYS_SIZE)
        return ANY_NUMBER
    if kind in vs.SOCKETS:
        at = fixed(w, r, ptr, off)
        if write or contexts.sock_access(_SOCK_STRUCTS[kind], at, size) is None:
            raise w.refuse("context", f"{vs.NAMES[kind]} has no such field: offset {at}, {size} bytes", r)
        return ANY_NUMBER
    if kind == vs.TP_BUFFER:
        if off < 0 or ptr.scalar.m or ptr.scalar.v:
            raise w.refuse("out-of-bounds", f"r{r} has been moved in the tracepoint's buffer", r)
        return ANY_NUMBER
    if kind == vs.MAP and not write and 0 <= fixed(w, r, ptr, off) <= MAP_FIELDS - size:
        return ANY_NUMBER
    if kind == vs.STRUCT and not write:
        raise w.unsupported(f"members of struct {ptr.note} (needs the kernel's type information)")
    raise w.refuse("out-of-bounds", f"no access through r{r}, {w.named(ptr)}", r)


def _one_kind(w: Analysis, r: int, kind: int) -> None:
    """An instruction is rewritten in one way, so all paths must bring it the same kind of context or socket."""
    if not w.checking:
        return
    seen = w.kinds.setdefault(w.pc, kind)
    if seen != kind and (seen in _REWRITTEN or kind in _REWRITTEN):
        raise w.refuse("mixed-pointers", f"r{r} is {vs.NAMES[kind]} here and {vs.NAMES[seen]} on another path", r)


def _alignment(w: Analysis, r: int, ptr: Value, off: int, size: int, aligned: bool) -> None:
    """The stack is always accessed aligned, other memory where the operation or a flag asks for it."""
    if size == 1 or not (aligned or w.strict or ptr.kind == vs.STACK):
        return
    at = off + (2 if ptr.kind in vs.IN_PACKET else 0)
    s = ptr.scalar
    if not tnum.is_aligned(tnum.add((s.v, s.m), (at & tnum.M64, 0)), size):
        raise w.refuse("alignment", f"{size} bytes at {vs.text(ptr)}{off:+d} are not aligned", r)


def fixed(w: Analysis, r: int, ptr: Value, off: int) -> int:
    """The offset of a pointer that may not have moved by an unknown amount."""
    if ptr.scalar.m:
        raise w.refuse("pointer-arithmetic", f"r{r} ({vs.text(ptr)}) has a variable offset", r)
    return ptr.scalar.smin + off


def block(w: Analysis, r: int, ptr: Value, off: int, size: int, limit: int) -> None:
    """`size` bytes inside a region of `limit` bytes, for the smallest and the largest offset."""
    low, high = ptr.scalar.smin + off, ptr.scalar.smax + off + size
    _variable_part(w, r, ptr)
    if low < 0 or high > limit:
        raise w.refuse("out-of-bounds", f"bytes {low} to {high - 1} of {vs.text(ptr)}, which has {limit}", r)


def _variable_part(w: Analysis, r: int, ptr: Value) -> None:
    """Linux wants the part of an offset that is not a sum of constants not to be negative by itself."""
    if ptr.scalar.m and ptr.scalar.smin < ptr.fixed and "offsets" not in w.beyond:
        raise w.refuse("out-of-bounds", f"the variable part of {vs.text(ptr)} in r{r} may be negative", r)


def _map_value(w: Analysis, r: int, ptr: Value, off: int, size: int, write: bool, signed: bool) -> Value:
    region = ptr.region
    assert region is not None
    map_flags(w, r, ptr, write)
    block(w, r, ptr, off, size, region.spec.value_size)
    special_fields(w, r, ptr, off, size, True)
    spec = region.spec
    if not write and spec.flags & RDONLY_PROG and spec.frozen and spec.type == "array" and spec.max_entries == 1 \
            and not ptr.scalar.m and not region.inner:
        at = ptr.scalar.v + off
        held = (spec.contents or b"").ljust(spec.value_size, b"\0")
        return constant(int.from_bytes(held[at:at + size], "little", signed=signed))
    return ANY_NUMBER


def map_flags(w: Analysis, r: int, ptr: Value, write: bool) -> None:
    assert ptr.region is not None
    if write and ptr.region.spec.flags & RDONLY_PROG:
        raise w.refuse("read-only", f"programs may not write to {ptr.region}", r)
    if not write and ptr.region.spec.flags & WRONLY_PROG:
        raise w.refuse("write-only", f"programs may not read from {ptr.region}", r)


def special_fields(w: Analysis, r: int, ptr: Value, off: int, size: int, kptr_ok: bool) -> None:
    """Locks, timers and kernel pointers in a value are not data."""
    assert ptr.region is not None
    low, high = ptr.scalar.smin + off, ptr.scalar.smax + off + size
    for kind, at, length in ptr.region.fields:
        if low < at + length and at < high:
            if kind == "kptr" and kptr_ok:
                raise w.unsupported("pointers to kernel objects in map values")
            raise w.refuse("special-field", f"bytes {low} to {high - 1} of {vs.text(ptr)} hit its {kind}", r)


def packet(w: Analysis, state: State, r: int, ptr: Value, off: int, size: int) -> None:
    """Does the packet (or its metadata) have the bytes?"""
    _variable_part(w, r, ptr)
    if ptr.scalar.smin + off < 0 or (ptr.scalar.m and ptr.fixed + off < 0 and "offsets" not in w.beyond):
        raise w.refuse("packet-bounds", f"r{r} ({vs.text(ptr)}) may point before the packet", r)
    past = past_end(state, ptr, "relations" in w.beyond)
    if past is None or past + off + size > 0:
        said = "" if past is None else f" ({max(-past - off, 0)} are proven)"
        place = f"{vs.text(ptr)}{off:+d}"
        raise w.refuse("packet-bounds", f"nothing proves that the packet has {size} bytes at {place}{said}", r)


def past_end(state: State, ptr: Value, relations: bool) -> int | None:
    """The best known bound of  offset - length of the packet  (of the metadata).

    Without `relations` it is what a comparison with the end has said about this symbol (or, for a fixed offset, about
    one): Linux knows no more.
    """
    end = vs.length_symbol(ptr)
    zones = state.zones
    best: int | None = None
    if ptr.scalar.m == 0 or relations:
        base = zones.bound(vs.ZERO, end) if relations else zones.edges.get(vs.ZERO, {}).get(end)
        best = None if base is None else base + ptr.scalar.smax
    if ptr.sym > ANON and symbol_range(ptr) is not None:
        known = zones.bound(ptr.sym, end) if relations else zones.edges.get(ptr.sym, {}).get(end)
        if known is not None and (best is None or known + ptr.delta < best):
            best = known + ptr.delta
    return best


def _context(w: Analysis, r: int, ptr: Value, off: int, size: int, write: bool, signed: bool) -> Value:
    at = fixed(w, r, ptr, off)
    if ptr.scalar.v and w.program.type != "syscall":
        raise w.refuse("context", f"r{r} is {vs.text(ptr)}: the context is accessed from its start only", r)
    if w.program.type in contexts.NEEDS_BTF:
        raise w.unsupported(f"the context of {w.program.type} programs (needs the kernel's type information)")
    field = contexts.access(w.program.type, w.program.attach_type, at, size, write, VERSION, True)
    if field is None or (signed and field.kind != contexts.SCALAR):
        raise w.refuse("context", f"the context of {w.program.type} has no {'writable ' if write else ''}field at offset "
                                  f"{at} of {size} bytes", r)
    if write or field.kind == contexts.SCALAR:
        return ANY_NUMBER
    kind = _CTX_KINDS[field.kind]
    if field.kind in _OR_NULL:
        return Value(kind, vs.ZERO_SCALAR, nullable=True, ident=w.names.fresh())
    if kind == vs.PACKET and "lengths" not in w.beyond:
        return pointer(kind, frame=w.pc + 1)
    return pointer(kind, note=field.struct)


# The stack ----------------------------------------------------------------------------------------------------------


def stack_span(w: Analysis, state: State, r: int, ptr: Value, off: int, size: int) -> tuple[int, int]:
    """First and one past the last byte that an access may touch, as offsets from the frame's top."""
    low, high = ptr.scalar.smin + off, ptr.scalar.smax + off + size
    if low < -cells.DEPTH or high > 0 or size < 0:
        raise w.refuse("stack-bounds", f"bytes {low} to {high - 1} of a frame that has -{cells.DEPTH} to -1", r)
    function = state.frames[ptr.frame].function
    w.depth[function] = max(w.depth[function], -low)
    return low, high


def _stack(w: Analysis, state: State, r: int, ptr: Value, off: int, size: int, write: bool, value: Value,
           value_reg: int) -> Value:
    low, high = stack_span(w, state, r, ptr, off, size)
    held = state.frames[ptr.frame].cells
    one_place = high - low == size
    if write:
        if value.kind > NUMBER and one_place:
            if size != 8:
                raise w.refuse("partial-pointer", f"{size} bytes of the pointer in r{value_reg} would be stored", value_reg)
            if value.kind == vs.STACK and ptr.frame != len(state.frames) - 1:
                raise w.refuse("caller-stack", f"r{value_reg}: address of a frame stored in a caller's", value_reg)
        dynptrs_hit(w, state, ptr.frame, low, high)
        if one_place:
            cells.write(held, low, size, value, "bytes" in w.beyond)
        else:
            zeros = {at: held[at] for at in cells.overlapping(held, low, high) if held[at][1].is_zero}
            cells.forget(held, low, high, "bytes" in w.beyond)
            if value.is_zero:
                held.update(zeros)
        return ANY_NUMBER
    for at in cells.overlapping(held, low, high):
        if held[at][1].kind == vs.DYNPTR:
            raise w.refuse("dynptr", "a dynamic pointer may be read by helpers only", r)
    if not one_place:
        return ANY_NUMBER
    found = cells.read(held, low, size, "bytes" in w.beyond)
    if found is None:
        raise w.refuse("partial-pointer", f"{size} bytes at fp{low} are part of a pointer", r)
    if low % 8 and not found.is_zero and "bytes" not in w.beyond:
        return ANY_NUMBER
    return found


def dynptrs_hit(w: Analysis, state: State, frame: int, low: int, high: int) -> None:
    """A store on a dynamic pointer destroys it, and what was taken from it; a record must not get lost that way."""
    held = state.frames[frame].cells
    for at in cells.overlapping(held, low - 8, high):
        found = held.get(at)
        if found is None or found[1].kind != vs.DYNPTR or at + 16 <= low:
            continue
        if found[1].ref:
            raise w.refuse("dynptr", "a dynamic pointer that must be released would be overwritten")
        del held[at]
        drop_slices(state)


def drop_slices(state: State) -> None:
    """A dynamic pointer is gone: what was taken from it (or from another one) is no pointer any more."""
    for f in state.frames:
        f.regs = [ANY_NUMBER if v.note == "slice" else v for v in f.regs]
        for at, (size, v) in list(f.cells.items()):
            if v.note == "slice":
                f.cells[at] = (size, ANY_NUMBER)
