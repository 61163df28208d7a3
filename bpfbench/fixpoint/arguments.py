"""Arguments of helper calls against the helper's prototype.

A prototype is a row of `verifier/helper_protos.py`; `ADMITS` says which kinds of values each kind of argument takes, and
`_condition` what else must hold: as many readable bytes as the map's keys have, a bounded size for the memory before
it, a reference for what is released.

Source: kernel/bpf/verifier.c `check_func_arg`, `check_reg_type`, `check_helper_mem_access`; slide 24.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.fixpoint import cells, memory
from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.context import Analysis
from bpfbench.fixpoint.state import State
from bpfbench.fixpoint.values import ANY_NUMBER, NUMBER, Region, Value
from bpfbench.isa.helpers import helper_id
from bpfbench.verifier import helper_protos as hp
from bpfbench.verifier.scalar import Scalar

MAX_SIZE: Final = 1 << 29
_MEM: Final = frozenset((vs.STACK, vs.PACKET, vs.META, vs.KEY, vs.VALUE, vs.MEM, vs.RECORD))
_SOCKS: Final = frozenset((vs.SOCK_COMMON, vs.SOCKET, vs.TCP_SOCK, vs.XDP_SOCK))
_NUMBERS: Final = frozenset((NUMBER,))
ADMITS: Final[dict[int, frozenset[int]]] = {
    hp.ARG_MAP_KEY: _MEM, hp.ARG_MAP_VALUE: _MEM, hp.ARG_MEM: _MEM, hp.ARG_FIXED_MEM: _MEM,
    hp.ARG_CONST_SIZE: _NUMBERS, hp.ARG_CONST_SIZE_OR_ZERO: _NUMBERS, hp.ARG_CONST_ALLOC_SIZE: _NUMBERS,
    hp.ARG_CONST_MAP_PTR: frozenset((vs.MAP,)), hp.ARG_CTX: frozenset((vs.CTX,)), hp.ARG_SOCK_COMMON: _SOCKS,
    hp.ARG_SOCKET: frozenset((vs.SOCKET,)), hp.ARG_BTF_ID_SOCK_COMMON: _SOCKS | {vs.STRUCT},
    hp.ARG_BTF_ID: frozenset((vs.STRUCT,)), hp.ARG_SPIN_LOCK: frozenset((vs.VALUE,)),
    hp.ARG_RINGBUF_MEM: frozenset((vs.RECORD,)), hp.ARG_PERCPU_BTF_ID: frozenset(), hp.ARG_FUNC: frozenset((vs.FUNC,)),
    hp.ARG_STACK: frozenset((vs.STACK,)), hp.ARG_CONST_STR: frozenset((vs.VALUE,)), hp.ARG_TIMER: frozenset((vs.VALUE,)),
    hp.ARG_KPTR: frozenset((vs.VALUE,)), hp.ARG_DYNPTR: frozenset((vs.STACK, vs.DYNPTR)),
}
_MAY_MOVE: Final = _MEM | {NUMBER, vs.STRUCT}
_LOCK: Final = helper_id("spin_lock")
_MAP_CHECKED: Final = frozenset(helper_id(n) for n in (
    "tail_call map_lookup_elem map_update_elem map_delete_elem map_push_elem map_pop_elem map_peek_elem for_each_map_elem "
    "redirect_map map_lookup_percpu_elem").split())
_WRITES_MAP: Final = frozenset(helper_id(n) for n in "map_delete_elem map_update_elem map_push_elem map_pop_elem".split())


@final
class Call:
    """What the arguments have told: the map, the size of the result, the reference released, the function called back.

    `key` is the constant key of an array lookup or -1; `size_max` the largest size; `dynptr` the dynamic pointer's type.
    """

    __slots__ = ("proto", "region", "size_max", "mem_size", "released", "reference", "function", "key", "dynptr", "ident")

    def __init__(self, proto: hp.HelperProto) -> None:
        self.proto = proto
        self.region: Region | None = None
        self.size_max = 0
        self.mem_size = 0
        self.released = 0                   # register, 0 for none
        self.reference: Value | None = None
        self.function = -1
        self.key = -1
        self.dynptr = ""
        self.ident = 0


def argument(w: Analysis, state: State, n: int, call: Call) -> None:
    """Check argument n (0-based), in register n + 1."""
    arg = call.proto.args[n]
    r = n + 1
    v = w.read(state, r)
    kind = arg.kind
    if kind == hp.ARG_ANYTHING:
        return
    if v.kind in vs.IN_PACKET and not _packet_ok(w, call):
        raise w.refuse("argument", f"bpf_{call.proto.name} does not take packet memory, r{r}", r)
    if kind == hp.ARG_MAP_VALUE:
        if call.region is None:
            raise w.refuse("argument", f"no map before the value in r{r}", r)
        if call.region.spec.type in ("sockmap", "sockhash"):
            kind = hp.ARG_BTF_ID_SOCK_COMMON
    null = v.is_zero and arg.maybe_null
    if not null:
        _kind(w, r, v, kind, arg, call)
    if arg.flags & hp.RELEASE and kind != hp.ARG_DYNPTR:
        if not v.ref and not v.is_zero:
            raise w.refuse("reference", f"r{r} is no reference that could be released: {vs.text(v)}", r)
        call.released = r
    if v.ref:
        call.reference = v
    _condition(w, state, n, r, v, kind, call, null)


def _packet_ok(w: Analysis, call: Call) -> bool:
    return w.row is not None and w.row.may_access_packet(False) and call.proto.pkt_access


def _kind(w: Analysis, r: int, v: Value, kind: int, arg: hp.Arg, call: Call) -> None:
    admitted = ADMITS[kind]
    if v.kind not in admitted or (v.nullable and not arg.maybe_null):
        rule = "maybe-null" if v.kind in admitted else "argument"
        wanted = " or ".join(vs.NAMES[k] for k in sorted(admitted)) or "a per-CPU kernel variable"
        raise w.refuse(rule, f"bpf_{call.proto.name} takes {wanted} in r{r}, not {vs.text(v)}", r)
    if v.kind == vs.STRUCT:
        raise w.unsupported(f"pointers to struct {v.note} as arguments (needs the kernel's type information)")
    moved = v.scalar.m != 0 or v.scalar.v != 0
    if moved and v.kind > NUMBER and (v.kind not in _MAY_MOVE or (arg.flags & hp.RELEASE and kind != hp.ARG_DYNPTR)):
        raise w.refuse("argument", f"r{r} has been moved: {vs.text(v)}", r)


def _condition(w: Analysis, state: State, n: int, r: int, v: Value, kind: int, call: Call, null: bool) -> None:
    arg = call.proto.args[n]
    region = call.region
    if kind == hp.ARG_CONST_MAP_PTR:
        call.region = v.region
        _map(w, call)
    elif kind == hp.ARG_MAP_KEY:
        if region is None:
            raise w.refuse("argument", f"no map before the key in r{r}", r)
        use(w, state, r, v, region.spec.key_size, False, False)
        if region.spec.type in ("array", "percpu_array"):
            call.key = constant_key(state, v, region.spec.key_size, "keys" in w.beyond)
    elif kind == hp.ARG_MAP_VALUE:
        if not null and region is not None:
            use(w, state, r, v, region.spec.value_size, bool(arg.flags & hp.WRITE), False)
    elif kind == hp.ARG_FIXED_MEM:
        use(w, state, r, v, arg.size, not arg.flags & hp.RDONLY, False)
        if arg.flags & hp.ALIGNED and (v.scalar.v | v.scalar.m) & (arg.size - 1) and v.kind in _MEM:
            raise w.refuse("alignment", f"r{r} must be aligned to {arg.size} bytes: {vs.text(v)}", r)
    elif kind in (hp.ARG_CONST_SIZE, hp.ARG_CONST_SIZE_OR_ZERO):
        size_of_memory(w, state, r, v, kind == hp.ARG_CONST_SIZE_OR_ZERO, call, call.proto.args[n - 1])
    elif kind == hp.ARG_CONST_ALLOC_SIZE:
        if v.scalar.m:
            raise w.refuse("size", f"r{r} must be a constant size, it is {vs.text(v)}", r)
        call.mem_size = v.scalar.v
    elif kind == hp.ARG_FUNC:
        call.function = v.size
    elif kind not in (hp.ARG_MEM, hp.ARG_CTX, hp.ARG_STACK, hp.ARG_BTF_ID_SOCK_COMMON, hp.ARG_SOCK_COMMON, hp.ARG_SOCKET,
                      hp.ARG_RINGBUF_MEM):
        _special(w, state, r, v, kind, arg, call)


def _special(w: Analysis, state: State, r: int, v: Value, kind: int, arg: hp.Arg, call: Call) -> None:
    if kind == hp.ARG_SPIN_LOCK:
        _field(w, r, v, "spin_lock")
        _lock(w, state, r, v, call.proto.id == _LOCK)
    elif kind == hp.ARG_TIMER:
        _field(w, r, v, "timer")
        call.region = v.region
    elif kind == hp.ARG_DYNPTR:
        from bpfbench.fixpoint.dynptrs import dynamic_pointer

        dynamic_pointer(w, state, r, v, arg, call)
    elif kind == hp.ARG_CONST_STR:
        _string(w, r, v)
    elif kind == hp.ARG_KPTR and v.region is not None and not v.region.has_btf:
        raise w.refuse("special-field", f"{v.region} has no kernel pointer at {vs.text(v)}", r)
    else:
        raise w.unsupported(f"argument {r} of bpf_{call.proto.name}")


def _map(w: Analysis, call: Call) -> None:
    """Does the helper work on that map?"""
    region, number = call.region, call.proto.id
    assert region is not None
    spec = region.spec
    if not hp.map_admits(spec.type, number, w.program.type, (6, 18)):
        raise w.refuse("map-kind", f"bpf_{call.proto.name} does not work on {spec.type} maps", 1)
    if number in _WRITES_MAP and spec.flags & memory.RDONLY_PROG:
        raise w.refuse("read-only", f"programs may not write to {region}", 1)


def _field(w: Analysis, r: int, v: Value, kind: str) -> None:
    region = v.region
    at = region.field(kind) if region is not None else -1
    if at < 0 or v.scalar.m or v.scalar.v != at:
        raise w.refuse("special-field", f"r{r} does not point to a {kind}: {vs.text(v)}", r)


def _lock(w: Analysis, state: State, r: int, v: Value, lock: bool) -> None:
    index = v.region.index if v.region is not None else -1
    if lock:
        if state.lock is not None:
            raise w.refuse("lock", "a second spin lock is taken", r)
        state.lock = (v.ident, index)
        return
    if state.lock is None:
        raise w.refuse("lock", "no spin lock is held", r)
    if state.lock != (v.ident, index):
        raise w.refuse("lock", "another spin lock is held than the one released", r)
    state.lock = None


def _string(w: Analysis, r: int, v: Value) -> None:
    spec = v.region.spec if v.region is not None else None
    if spec is None or not (spec.flags & memory.RDONLY_PROG and spec.frozen) or v.scalar.m or spec.type != "array":
        raise w.refuse("argument", f"r{r} must point to a constant string in a read-only map", r)
    if 0 not in (spec.contents or b"").ljust(spec.value_size, b"\0")[v.scalar.v:]:
        raise w.refuse("argument", f"the string at r{r} does not end", r)


# Memory that a helper uses ------------------------------------------------------------------------------------------


def size_of_memory(w: Analysis, state: State, r: int, v: Value, zero_ok: bool, call: Call, before: hp.Arg) -> None:
    """A size, and with it the memory in the register before it."""
    s = v.scalar
    call.size_max = s.umax
    if s.smin < 0:
        raise w.refuse("size", f"the size in r{r} may be negative: {vs.text(v)}", r)
    if s.umin == 0 and not zero_ok:
        raise w.refuse("size", f"the size in r{r} may be 0: {vs.text(v)}", r)
    if s.umax >= MAX_SIZE:
        raise w.refuse("size", f"the size in r{r} is not bounded: {vs.text(v)}", r)
    ptr = state.regs[r - 1]
    if ptr.is_zero:
        if not before.maybe_null and s.umax:
            raise w.refuse("argument", f"r{r - 1} is null", r - 1)
        if s.umax:
            raise w.refuse("argument", f"r{r - 1} is null but the size in r{r} is {vs.text(v)}", r - 1, r)
        return
    if ptr.nullable:
        raise w.refuse("maybe-null", f"r{r - 1} may be null: {vs.text(ptr)}", r - 1)
    use(w, state, r - 1, ptr, s.umax, not before.flags & hp.RDONLY, zero_ok, s)


def use(w: Analysis, state: State, r: int, ptr: Value, size: int, write: bool, zero_ok: bool,
        sizes: Scalar | None = None) -> None:
    """A helper reads, and perhaps writes, `size` bytes at register r."""
    if size == 0 and not zero_ok:
        raise w.refuse("size", f"no bytes at r{r}", r)
    kind = ptr.kind
    if kind == vs.STACK:
        _use_stack(w, state, r, ptr, size, write)
    elif kind in vs.IN_PACKET:
        if write and (w.row is None or not w.row.may_access_packet(True)):
            raise w.refuse("read-only", f"a {w.program.type} program may not write to the packet", r)
        memory.packet(w, state, r, ptr, 0, size)
    elif kind == vs.VALUE:
        assert ptr.region is not None
        memory.map_flags(w, r, ptr, write)
        memory.block(w, r, ptr, 0, size, ptr.region.spec.value_size)
        memory.special_fields(w, r, ptr, 0, size, False)
    elif kind == vs.KEY:
        assert ptr.region is not None
        if write:
            raise w.refuse("read-only", f"r{r} points to a map's key", r)
        memory.block(w, r, ptr, 0, size, ptr.region.spec.key_size)
    elif kind in (vs.MEM, vs.RECORD):
        if write and ptr.note == "ro":
            raise w.refuse("read-only", f"the memory behind r{r} may only be read", r)
        memory.block(w, r, ptr, 0, size, ptr.size)
    else:
        raise w.refuse("argument", f"r{r} is {vs.text(ptr)}, not memory", r)


def _use_stack(w: Analysis, state: State, r: int, ptr: Value, size: int, write: bool) -> None:
    low, high = memory.stack_span(w, state, r, ptr, 0, size)
    held = state.frames[ptr.frame].cells
    if write:
        memory.dynptrs_hit(w, state, ptr.frame, low, high)
        cells.forget(held, low, high)
        return
    for at in cells.overlapping(held, low, high):
        if held[at][1].kind == vs.DYNPTR:
            raise w.refuse("dynptr", f"r{r} reaches into a dynamic pointer", r)


def constant_key(state: State, ptr: Value, size: int, anywhere: bool) -> int:
    """The key of an array lookup where the stack holds a known one, else -1; `anywhere`: not only in an aligned slot."""
    if ptr.kind != vs.STACK or ptr.scalar.m:
        return -1
    found = cells.read(state.frames[ptr.frame].cells, ptr.scalar.smin, size) if size in (1, 2, 4, 8) else None
    if found is None or found is ANY_NUMBER or found.kind != NUMBER or found.scalar.m:
        return -1
    at = ptr.scalar.smin
    cell = state.frames[ptr.frame].cells.get(at)
    whole = cell is not None and cell[0] == size
    return found.scalar.v if anywhere or (whole and at % 8 == 0) or (found.scalar.v == 0 and at % 8) else -1
