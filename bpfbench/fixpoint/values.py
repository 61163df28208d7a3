"""What a register or a stack cell holds: a number, or a pointer into a region.

A `Value` is a kind with the facts that belong to it.  A number has a `scalar`, the verifier's domain of known bits and
ranges; a pointer stands for

      start of its region  +  offset,          the offset is the `scalar`, fixed and variable part together

Two kinds of names tie values together:

| name | equal names mean | used for |
|---|---|---|
| `sym`, `delta` | number (or offset) = symbol + delta modulo 2**64 | zones.py, refining copies |
| `ident` | the same object: null together, locked and released together | nullable pointers, references |

Symbol `ZERO` is the number 0, so a constant is `ZERO` + itself.  Names are only names: states that differ in nothing but
names are equal, and joins rename (state.py).

The order of the domain:  NOTHING (not readable)  above  any number  above  every number and every pointer; a pointer
that is a number on another path has become "any number": it can no longer be followed, and that is sound.

>>> constant(5), pointer(STACK, -8)
(<5>, <fp-8>)
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.program.program import MapSpec
from bpfbench.verifier.scalar import UNKNOWN, Scalar, s64

NOTHING: Final = 0
NUMBER: Final = 1
CTX: Final = 2
MAP: Final = 3                  # the map itself
VALUE: Final = 4                # a value in a map
KEY: Final = 5                  # a key in a map, given to a callback
STACK: Final = 6
META: Final = 7                 # packet metadata, ends where the packet begins
PACKET: Final = 8
END: Final = 9                  # one past the packet's last byte
FLOW_KEYS: Final = 10
SOCKET: Final = 11
SOCK_COMMON: Final = 12
TCP_SOCK: Final = 13
XDP_SOCK: Final = 14
TP_BUFFER: Final = 15
STRUCT: Final = 16              # a structure of the kernel
MEM: Final = 17                 # a block of `size` bytes
RECORD: Final = 18              # the same, a record of a ring buffer
FUNC: Final = 19
DYNPTR: Final = 20              # a dynamic pointer: 16 bytes of stack, or a callback's argument

NAMES: Final = (
    "nothing", "number", "ctx", "map", "map_value", "map_key", "fp", "pkt_meta", "pkt", "pkt_end", "flow_keys", "sock",
    "sock_common", "tcp_sock", "xdp_sock", "tp_buffer", "kernel structure", "mem", "ringbuf_mem", "func", "dynptr",
)  # fmt: skip
SOCKETS: Final = frozenset((SOCKET, SOCK_COMMON, TCP_SOCK, XDP_SOCK))
IN_PACKET: Final = frozenset((PACKET, META))

# Symbols that are always there; those of numbers met on the way count from 2.
ZERO: Final = 0                 # the number 0
ANON: Final = 1                 # no name: not known to be the same as anything else
LENGTH: Final = -1              # bytes in the packet
META_LENGTH: Final = -2         # bytes of metadata before it
_LENGTHS: Final = -3            # and below: the length of the packet as learnt through one load of its address


@final
class Region:
    """A map as pointers know it: its `index`, `spec`, special `fields` of the value; for an inner map `inner` is true."""

    __slots__ = ("index", "spec", "fields", "has_btf", "inner")

    def __init__(self, index: int, spec: MapSpec, fields: tuple[tuple[str, int, int], ...], has_btf: bool,
                 inner: bool = False) -> None:
        self.index = index
        self.spec = spec
        self.fields = fields
        self.has_btf = has_btf
        self.inner = inner

    def field(self, kind: str) -> int:
        """Offset of a special field in the value, or -1."""
        return next((at for name, at, _ in self.fields if name == kind), -1)

    def __repr__(self) -> str:
        return f"<map {self.spec.name or self.index}>"


@final
class Value:
    """See the module text.  Immutable.

    `fixed` the constants that were added to a pointer (a hint, no fact: only for "offsets" in context.BEYOND)
    `region` the map of MAP, VALUE and KEY · `size` bytes of MEM and RECORD · `frame` of STACK · `note` name of a STRUCT,
    type of a DYNPTR, "ro" of read-only memory, function number of FUNC (in `size`) · `ref` it stands for a reference
    `frame` of packet pointers: 1 + pc of the load from the context, where that matters (`length_symbol`)
    """

    __slots__ = ("kind", "scalar", "sym", "delta", "nullable", "ident", "ref", "region", "size", "frame", "note",
                 "fixed")

    def __init__(self, kind: int, scalar: Scalar, sym: int = 0, delta: int = 0, nullable: bool = False, ident: int = 0,
                 ref: bool = False, region: Region | None = None, size: int = 0, frame: int = 0,
                 note: str = "", fixed: int = 0) -> None:
        self.kind = kind
        self.scalar = scalar
        self.sym = sym
        self.delta = delta
        self.nullable = nullable
        self.ident = ident
        self.ref = ref
        self.region = region
        self.size = size
        self.frame = frame
        self.note = note
        self.fixed = fixed

    def at(self, scalar: Scalar, sym: int, delta: int, step: int = 0) -> Value:
        """The same kind with another number or offset; `step` is the constant by which a pointer was moved."""
        return Value(self.kind, scalar, sym, delta, self.nullable, self.ident, self.ref, self.region, self.size,
                     self.frame, self.note, self.fixed + step)

    def named(self, sym: int, delta: int, ident: int) -> Value:
        """The same under other names."""
        if sym == self.sym and delta == self.delta and ident == self.ident:
            return self
        return Value(self.kind, self.scalar, sym, delta, self.nullable, ident, self.ref, self.region, self.size,
                     self.frame, self.note, self.fixed)

    def settled(self) -> Value:
        """A nullable pointer found not to be null."""
        kind, region = self.kind, self.region
        if kind == VALUE and region is not None:
            inner = region.spec.inner
            if inner is not None:
                return Value(MAP, ZERO_SCALAR, region=Region(region.index, inner, (), False, True))
            if region.spec.type == "xskmap":
                kind = XDP_SOCK
            elif region.spec.type in ("sockmap", "sockhash"):
                kind = SOCKET
        return Value(kind, self.scalar, self.sym, self.delta, False, self.ident, self.ref, region, self.size, self.frame,
                     self.note, self.fixed)

    @property
    def is_number(self) -> bool:
        return self.kind == NUMBER

    @property
    def is_pointer(self) -> bool:
        return self.kind > NUMBER

    @property
    def is_zero(self) -> bool:
        return self.kind == NUMBER and self.scalar.m == 0 and self.scalar.v == 0

    def alike(self, o: Value) -> bool:
        """The same in everything but names and the number or offset."""
        return (self.kind == o.kind and self.nullable == o.nullable and self.ref == o.ref and self.size == o.size
                and self.frame == o.frame and self.note == o.note
                and (self.region is o.region or same_region(self.region, o.region)))

    def __eq__(self, o: object) -> bool:
        return isinstance(o, Value) and (self is o or (
            self.alike(o) and self.scalar.same(o.scalar) and self.sym == o.sym and self.delta == o.delta
            and self.ident == o.ident))

    def __hash__(self) -> int:
        return hash((self.kind, self.scalar.v, self.scalar.m, self.sym, self.delta))

    def __repr__(self) -> str:
        return f"<{text(self)}>"


def same_region(a: Region | None, b: Region | None) -> bool:
    return a is not None and b is not None and a.index == b.index and a.inner == b.inner


def length_symbol(ptr: Value) -> int:
    """The symbol of the region's length that comparisons of this pointer with the end are about.

    It is the same number for all pointers.  Linux learns it for each load of the packet's address anew
    (`find_good_pkt_pointers` extends the pointers there are); a pointer with a `frame` does so, too.
    """
    if ptr.kind == META:
        return META_LENGTH
    return _LENGTHS - ptr.frame if ptr.frame else LENGTH


ZERO_SCALAR: Final = Scalar.const(0)
NO_VALUE: Final = Value(NOTHING, UNKNOWN)
ANY_NUMBER: Final = Value(NUMBER, UNKNOWN, ANON)


def constant(value: int) -> Value:
    """A known number; its name is ZERO + itself."""
    return Value(NUMBER, Scalar.const(value), ZERO, s64(value))


def number(scalar: Scalar, sym: int = ANON) -> Value:
    """A number of which something is known."""
    if scalar.m == 0:
        return Value(NUMBER, scalar, ZERO, s64(scalar.v))
    return Value(NUMBER, scalar, sym)


def pointer(kind: int, off: int = 0, region: Region | None = None, size: int = 0, frame: int = 0, note: str = "") -> Value:
    """A pointer at a fixed offset of its region."""
    return Value(kind, Scalar.const(off), ZERO, off, region=region, size=size, frame=frame, note=note, fixed=off)


def text(v: Value) -> str:
    """As shown to people: `0..255`, `pkt+14`, `map_value(m)+0..48 or null`."""
    if v.kind == NOTHING:
        return "nothing"
    if v.kind == NUMBER:
        return span_text(v.scalar)
    name = NAMES[v.kind]
    if v.kind == STRUCT and v.note:
        name = f"struct {v.note}"
    if v.region is not None:
        name += f"({v.region.spec.name or v.region.index})"
    if v.kind == FUNC:
        name += f"({v.size})"
    if v.frame and v.kind == STACK:
        name = f"fp[{v.frame}]"
    s = v.scalar
    if s.m == 0:
        off = s64(s.v)
        name += f"{off:+d}" if off else ""
    else:
        name += f"+({span_text(s)})"
    return name + (" or null" if v.nullable else "")


def span_text(s: Scalar) -> str:
    """A number's range, and its known bits where they say more: `0..60 step 4`."""
    if s.m == 0:
        return str(s64(s.v))
    low = (s.v | s.m) & -(s.v | s.m)
    step = low if s.v == 0 and low > 1 else 1
    if s.smin == -(1 << 63) and s.smax == (1 << 63) - 1 and s.umin == 0 and s.umax == (1 << 64) - 1:
        out = "any"
    elif s.smin < 0:
        out = f"{s.smin}..{s.smax}"
    else:
        most = s.umax - s.umax % step
        out = f"{s.umin}..{most}" if most < 1 << 32 else f"{s.umin:#x}..{most:#x}"
    if step > 1:
        out += f" step {step}"
    elif out == "any" and s.m != (1 << 64) - 1:
        out = f"bits {s.v:#x}/{s.m:#x}"
    return out
