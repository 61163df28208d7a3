"""What the verifier knows about one register, or about a register saved on the stack.

A register holds nothing yet, a number, or a pointer.  A pointer is a *kind* (what it points into), a fixed offset `off`
and a variable part `scalar`; the address it stands for is

      start of the region  +  off (known constant)  +  scalar (bits and ranges)

Further fields belong to some kinds only: the map of a map value, the proven `range` of a packet pointer, the size of a
memory block, the frame of a stack pointer.  `id` ties copies of one value together: numbers copied from each other are
refined together, copies of a nullable pointer are checked together.  `ref` is the id of a resource to be released.

A RegState is **immutable**: forking a path, recording a trace and comparing states share it; what changes is which
RegState a register refers to.

Sources: struct bpf_reg_state, enum bpf_reg_type in include/linux/bpf_verifier.h and include/linux/bpf.h; slides 19,
29-33.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.verifier.scalar import UNKNOWN, ZERO, Scalar

# Kinds --------------------------------------------------------------------------------------------------------------
NOT_INIT: Final = 0
SCALAR: Final = 1
CTX: Final = 2
MAP_PTR: Final = 3              # the map itself
MAP_VALUE: Final = 4
MAP_KEY: Final = 5
STACK: Final = 6
PACKET_META: Final = 7
PACKET: Final = 8
PACKET_END: Final = 9
FLOW_KEYS: Final = 10
SOCKET: Final = 11
SOCK_COMMON: Final = 12
TCP_SOCK: Final = 13
TP_BUFFER: Final = 14
XDP_SOCK: Final = 15
BTF_ID: Final = 16              # structure of the kernel or of the program, named in `struct`
MEM: Final = 17
ARENA: Final = 18
BUF: Final = 19
FUNC: Final = 20
DYNPTR: Final = 21
INSN: Final = 22                # address of an instruction, from a jump table
BASE: Final = 0xFF              # mask of the above

MAYBE_NULL: Final = 1 << 8
RDONLY: Final = 1 << 9
RINGBUF: Final = 1 << 10
USER: Final = 1 << 11
PERCPU: Final = 1 << 12
UNTRUSTED: Final = 1 << 13
ALLOC: Final = 1 << 14
TRUSTED: Final = 1 << 15
RCU: Final = 1 << 16
NON_OWNING: Final = 1 << 17

ADD_CONST64: Final = 1 << 31    # in `id`: the number is that of the same id plus `off`
ADD_CONST32: Final = 1 << 30    # the same, computed on 32 bits
ADD_CONST: Final = ADD_CONST64 | ADD_CONST32

NAMES: Final = (
    "?", "scalar", "ctx", "map_ptr", "map_value", "map_key", "fp", "pkt_meta", "pkt", "pkt_end", "flow_keys", "sock",
    "sock_common", "tcp_sock", "tp_buffer", "xdp_sock", "ptr_", "mem", "arena", "buf", "func", "dynptr_ptr", "insn",
)  # fmt: skip
_PREFIXES: Final = ((RDONLY, "rdonly_"), (RINGBUF, "ringbuf_"), (USER, "user_"), (PERCPU, "percpu_"), (RCU, "rcu_"),
                    (UNTRUSTED, "untrusted_"), (TRUSTED, "trusted_"))

PACKET_KINDS: Final = (PACKET, PACKET_META)
SPILLABLE: Final = frozenset((MAP_VALUE, STACK, CTX, PACKET, PACKET_META, PACKET_END, FLOW_KEYS, MAP_PTR, SOCKET,
                              SOCK_COMMON, TCP_SOCK, XDP_SOCK, BTF_ID, BUF, MEM, FUNC, MAP_KEY, ARENA, INSN))

AT_END: Final = -1              # `range` of a packet pointer proven to lie at the end, or beyond it
BEYOND_END: Final = -2


def kind_text(kind: int, gen: int = 2) -> str:
    """A kind as the kernel names it, e.g. `map_value_or_null`."""
    base = kind & BASE
    text = NAMES[base]
    if kind & MAYBE_NULL:
        text += "or_null_" if base == BTF_ID else "_or_null"
    if kind > BASE:
        for flag, prefix in reversed(_PREFIXES):
            if kind & flag:
                text = (prefix if gen or flag != RINGBUF else "alloc_") + text
    return text


@final
class MapView:
    """A map as the verifier sees it.  `uid` of `MapSpec`s is identity: two lookups of one map share one MapView."""

    __slots__ = ("index", "type", "key_size", "value_size", "max_entries", "flags", "inner", "contents", "frozen",
                 "fields", "name", "has_btf", "kernel_type")

    def __init__(self, index: int, type: str, key_size: int, value_size: int, max_entries: int, flags: int,
                 inner: MapView | None, contents: bytes | None, frozen: bool, fields: list[tuple[str, int, int]],
                 name: str, has_btf: bool, kernel_type: int) -> None:
        self.index = index
        self.type = type
        self.key_size = key_size
        self.value_size = value_size
        self.max_entries = max_entries
        self.flags = flags
        self.inner = inner
        self.contents = contents
        self.frozen = frozen
        self.fields = fields            # special fields of the value: (kind, offset, size)
        self.name = name
        self.has_btf = has_btf
        self.kernel_type = kernel_type

    def field(self, kind: str) -> int:
        """Offset of a special field ("spin_lock", "timer", …) in the value, or -1."""
        for name, off, _ in self.fields:
            if name == kind:
                return off
        return -1

    def __repr__(self) -> str:
        return f"<map[{self.index}] {self.type}>"


@final
class Special:
    """The rarer facts of a register: dynamic pointers and iterators (`type`, `first`, `state`, `depth`)."""

    __slots__ = ("type", "first", "state", "depth", "name")

    def __init__(self, type: str, first: bool, state: int = 0, depth: int = 0, name: str = "") -> None:
        self.type = type
        self.first = first
        self.state = state
        self.depth = depth
        self.name = name

    def same(self, o: Special | None) -> bool:
        return o is not None and self.type == o.type and self.first == o.first and self.state == o.state \
            and self.depth == o.depth and self.name == o.name


@final
class RegState:
    """See the module text.  `off` of a number is the constant of an ADD_CONST link."""

    __slots__ = ("kind", "scalar", "off", "id", "ref", "precise", "map", "range", "size", "frame", "subprog", "struct",
                 "dynptr", "special", "map_uid")

    def __init__(self, kind: int, scalar: Scalar, off: int = 0, id: int = 0, ref: int = 0, precise: bool = False,
                 map: MapView | None = None, range: int = 0, size: int = 0, frame: int = 0, subprog: int = 0,
                 struct: str = "", dynptr: int = 0, special: Special | None = None, map_uid: int = 0) -> None:
        self.kind = kind
        self.scalar = scalar
        self.off = off
        self.id = id
        self.ref = ref
        self.precise = precise
        self.map = map
        self.range = range
        self.size = size
        self.frame = frame
        self.subprog = subprog
        self.struct = struct
        self.dynptr = dynptr
        self.special = special
        self.map_uid = map_uid

    @property
    def nullable(self) -> bool:
        return bool(self.kind & MAYBE_NULL)

    @property
    def is_null(self) -> bool:
        """The number zero."""
        return self.kind == SCALAR and self.scalar.m == 0 and self.scalar.v == 0

    @property
    def is_const(self) -> bool:
        return self.kind == SCALAR and self.scalar.m == 0

    # Copies with one thing changed; `self` where nothing changes.

    def with_scalar(self, scalar: Scalar) -> RegState:
        return RegState(self.kind, scalar, self.off, self.id, self.ref, self.precise, self.map, self.range, self.size,
                        self.frame, self.subprog, self.struct, self.dynptr, self.special, self.map_uid)

    def with_kind(self, kind: int, id: int) -> RegState:
        return RegState(kind, self.scalar, self.off, id, self.ref, self.precise, self.map, self.range, self.size,
                        self.frame, self.subprog, self.struct, self.dynptr, self.special, self.map_uid)

    def with_id(self, id: int) -> RegState:
        if id == self.id:
            return self
        return RegState(self.kind, self.scalar, self.off, id, self.ref, self.precise, self.map, self.range, self.size,
                        self.frame, self.subprog, self.struct, self.dynptr, self.special, self.map_uid)

    def with_link(self, id: int, off: int) -> RegState:
        """Another id and offset (of a number), or another offset (of a pointer)."""
        return RegState(self.kind, self.scalar, off, id, self.ref, self.precise, self.map, self.range, self.size,
                        self.frame, self.subprog, self.struct, self.dynptr, self.special, self.map_uid)

    def moved(self, off: int, scalar: Scalar, id: int, range: int) -> RegState:
        """A pointer moved within its region."""
        return RegState(self.kind, scalar, off, id, self.ref, self.precise, self.map, range, self.size,
                        self.frame, self.subprog, self.struct, self.dynptr, self.special, self.map_uid)

    def with_range(self, range: int) -> RegState:
        return RegState(self.kind, self.scalar, self.off, self.id, self.ref, self.precise, self.map, range, self.size,
                        self.frame, self.subprog, self.struct, self.dynptr, self.special, self.map_uid)

    def with_ref(self, id: int, ref: int) -> RegState:
        return RegState(self.kind, self.scalar, self.off, id, ref, self.precise, self.map, self.range, self.size,
                        self.frame, self.subprog, self.struct, self.dynptr, self.special, self.map_uid)

    def with_special(self, special: Special) -> RegState:
        return RegState(self.kind, self.scalar, self.off, self.id, self.ref, self.precise, self.map, self.range,
                        self.size, self.frame, self.subprog, self.struct, self.dynptr, special, self.map_uid)

    def with_precise(self, precise: bool) -> RegState:
        if precise == self.precise:
            return self
        return RegState(self.kind, self.scalar, self.off, self.id, self.ref, precise, self.map, self.range, self.size,
                        self.frame, self.subprog, self.struct, self.dynptr, self.special, self.map_uid)

    def same_but_ids(self, o: RegState) -> bool:
        """Equal up to `id`, `ref` and precision (the part of the kernel's structure before `id`)."""
        return self is o or (
            self.kind == o.kind and self.off == o.off and self.scalar.same(o.scalar) and self.map is o.map
            and self.range == o.range and self.size == o.size and self.subprog == o.subprog
            and self.struct == o.struct and self.dynptr == o.dynptr and self.map_uid == o.map_uid
            and (self.special is o.special or (self.special is not None and self.special.same(o.special))))

    def same_region(self, o: RegState) -> bool:
        """Equal in everything but the variable part, ids and precision."""
        return (
            self.kind == o.kind and self.off == o.off and self.map is o.map and self.range == o.range
            and self.size == o.size and self.subprog == o.subprog and self.struct == o.struct
            and self.dynptr == o.dynptr and self.map_uid == o.map_uid)

    def __repr__(self) -> str:
        from bpfbench.verifier.log import register_text

        return f"<{register_text(self, self.frame)}>"


UNINIT: Final = RegState(NOT_INIT, UNKNOWN)
UNKNOWN_NUMBER: Final = RegState(SCALAR, UNKNOWN)
UNKNOWN_PRECISE: Final = RegState(SCALAR, UNKNOWN, precise=True)
CONSTANTS: Final[list[RegState]] = [RegState(SCALAR, Scalar.const(n)) for n in range(1024)]


def number(scalar: Scalar) -> RegState:
    """A register with a number in it.

    >>> number(Scalar.const(5))
    <5>
    """
    if scalar is UNKNOWN:
        return UNKNOWN_NUMBER
    return RegState(SCALAR, scalar)


def constant(value: int) -> RegState:
    if 0 <= value < 1024:
        return CONSTANTS[value]
    return RegState(SCALAR, Scalar.const(value))


def pointer(kind: int) -> RegState:
    """A pointer to the start of a region."""
    return RegState(kind, ZERO)
