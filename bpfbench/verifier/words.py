"""A register in plain words: what the kernel's short notation says, as a sentence for people.

    scalar(smin=smin32=0,smax=umax=smax32=umax32=56,var_off=(0x0; 0x3f))
        a number from 0 to 56
    map_value(off=4,ks=4,vs=16,smin=...,umax=7)
        a pointer into a value of a map (16 bytes), at offset 4 plus 0 to 7

The notation itself is log.py's; both say the same.
"""

from __future__ import annotations

from typing import Final

from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import S64_MAX, S64_MIN, U64_MAX, Scalar, s64

# kind -> what a pointer of that kind points to
POINTS_TO: Final[dict[int, str]] = {
    rs.CTX: "the program's context",
    rs.MAP_PTR: "a map",
    rs.MAP_VALUE: "a value of a map",
    rs.MAP_KEY: "a key of a map",
    rs.STACK: "the stack",
    rs.PACKET_META: "the packet's metadata",
    rs.PACKET: "the packet",
    rs.PACKET_END: "the end of the packet",
    rs.FLOW_KEYS: "the flow keys",
    rs.SOCKET: "a socket",
    rs.SOCK_COMMON: "a socket's common part",
    rs.TCP_SOCK: "a TCP socket",
    rs.TP_BUFFER: "a tracepoint's buffer",
    rs.XDP_SOCK: "an XDP socket",
    rs.BTF_ID: "a structure of the kernel",
    rs.MEM: "a block of memory",
    rs.ARENA: "an arena",
    rs.BUF: "a buffer",
    rs.FUNC: "a function of the program",
    rs.DYNPTR: "a dynamic pointer",
    rs.INSN: "an instruction",
}


def integer(n: int) -> str:
    """Small numbers in decimal, large ones in hexadecimal; the ends of the ranges by name."""
    if n in _ENDS:
        return _ENDS[n]
    return str(n) if -0x10000 <= n <= 0x10000 else (f"-{-n:#x}" if n < 0 else f"{n:#x}")


_ENDS: Final = {U64_MAX: "2^64-1", S64_MAX: "2^63-1", S64_MIN: "-2^63", (1 << 32) - 1: "2^32-1",
                (1 << 31) - 1: "2^31-1", -(1 << 31): "-2^31"}  # fmt: skip


def span(s: Scalar) -> str:
    """`5`, `0 to 56`, `-8 to 8 (signed)`, or `anything`.

    >>> span(Scalar.const(5)), span(Scalar.unknown())
    ('5', 'anything')
    """
    if s.m == 0:
        return integer(s64(s.v))
    if s.smin >= 0 or (s.umin, s.umax) != (0, U64_MAX) and s.umax - s.umin <= s.smax - s.smin:
        return f"{integer(s.umin)} to {integer(s.umax)}"
    if (s.smin, s.smax) != (S64_MIN, S64_MAX):
        return f"{integer(s.smin)} to {integer(s.smax)} (signed)"
    if s.m != U64_MAX:
        return f"any of the numbers with the bits {s.v:#x}, where the bits {s.m:#x} are unknown"
    low = f", its low half from {integer(s.u32min)} to {integer(s.u32max)}"
    return "anything" + (low if (s.u32min, s.u32max) != (0, (1 << 32) - 1) else "")


def number(s: Scalar) -> str:
    """A number in words."""
    if s.m == 0:
        return f"the number {integer(s64(s.v))}"
    text = span(s)
    if text == "anything":
        return "a number about which nothing is known"
    return f"a number from {text}" if text[0] in "-0123456789" else f"a number: {text}"


def describe(r: RegState) -> str:
    """What the register holds, in words.

    >>> describe(rs.UNINIT), describe(rs.constant(5)), describe(rs.pointer(rs.CTX))
    ('nothing that may be read', 'the number 5', "a pointer to the program's context")
    """
    if r.kind == rs.NOT_INIT and r.struct:
        return "something that the log does not show"
    if r.kind == rs.NOT_INIT:
        return "nothing that may be read"
    base = r.kind & rs.BASE
    if base == rs.SCALAR:
        return number(r.scalar)
    text = "a pointer " + ("into " if base in (rs.MAP_VALUE, rs.MEM, rs.BUF, rs.MAP_KEY) else "to ") + _target(r, base)
    if base == rs.STACK:
        place = r.off + s64(r.scalar.v) if r.scalar.m == 0 else r.off
        text += f" at r10{place:+d}" + (f" of frame {r.frame}" if r.frame else "")
        if r.scalar.m:
            text += f" plus {span(r.scalar)}"
    elif r.off or r.scalar.m or r.scalar.v:
        text += f", at offset {r.off + (s64(r.scalar.v) if r.scalar.m == 0 else 0)}"
        if r.scalar.m:
            text += f" plus {span(r.scalar)}"
    if base in rs.PACKET_KINDS:
        text += f"; {_known(r.range)} known to exist after its start" if r.range >= 0 else "; it lies at the packet's end"
    if r.kind & rs.MAYBE_NULL:
        text += ", or null (not compared with 0 yet)"
    if r.kind & rs.UNTRUSTED:
        text += ", not to be trusted"
    return text


def count_bytes(n: int) -> str:
    return f"{n} byte" + "s" * (n != 1)


def _known(count: int) -> str:
    return "no byte is" if count == 0 else "1 byte is" if count == 1 else f"{count} bytes are"


def _target(r: RegState, base: int) -> str:
    text = POINTS_TO.get(base, "something")
    if base in (rs.MAP_VALUE, rs.MAP_KEY, rs.MAP_PTR) and r.map is not None:
        name = r.map.name or (r.map.type and f"the {r.map.type} map") or "a map"
        if base == rs.MAP_PTR:
            return f"the map {r.map.name}" if r.map.name else name
        size = r.map.value_size if base == rs.MAP_VALUE else r.map.key_size
        what = "a value" if base == rs.MAP_VALUE else "a key"
        return f"{what} of {name} ({count_bytes(size)})"
    if base == rs.BTF_ID and r.struct:
        return f"struct {r.struct}"
    if base == rs.MEM:
        return f"a block of memory ({count_bytes(r.size)})"
    return text
