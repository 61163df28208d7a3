"""Loads, stores and atomic operations: dispatch on what the address register points to.

Sources: kernel/bpf/verifier.c `check_mem_access`, `check_load_mem`, `check_store_reg`, `check_atomic`; slides 18, 19.
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import bounds, regions, stack
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.regstate import RegState, constant
from bpfbench.verifier.stack_range import check_bounds
from bpfbench.verifier.walk import EINVAL, Walk

_SOCKS: Final = (rs.SOCKET, rs.SOCK_COMMON, rs.TCP_SOCK, rs.XDP_SOCK)


def access(w: Walk, r: int, off: int, size: int, write: bool, value: int, strict_once: bool, signed: bool) -> None:
    """An access of `size` bytes at register r + off; `value`: register stored from or loaded into, -1 none."""
    regs = w.state.frames[-1].regs
    reg = regs[r]
    regions.alignment(w, reg, off, size, strict_once)
    off += reg.off
    kind = reg.kind
    if kind == rs.STACK:
        check_bounds(w, r, off, size, False, write)
        if write:
            stack.write(w, r, off, size, value)
        else:
            stack.read(w, r, off, size, value)
    else:
        loaded = _elsewhere(w, r, reg, kind, off, size, write, value, signed)
        if not write and value >= 0 and loaded is not None:
            regs[value] = loaded
    if not write and value >= 0 and size < 8:
        _narrow(w, regs, value, size, signed)


def _narrow(w: Walk, regs: list[RegState], value: int, size: int, signed: bool) -> None:
    """What was loaded has only `size` bytes."""
    reg = regs[value]
    if reg.kind != rs.SCALAR:
        return
    s = reg.scalar
    fresh = bounds.sign_extended(s, size, 64) if signed else bounds.truncated(s, size, w.k.deduce)
    if fresh is not s:
        regs[value] = reg.with_scalar(fresh)


def _elsewhere(w: Walk, r: int, reg: RegState, kind: int, off: int, size: int, write: bool, value: int,
               signed: bool) -> RegState | None:
    base = kind & rs.BASE
    unknown = w.unknown_reg
    if kind == rs.MAP_VALUE:
        return _map_value(w, r, reg, off, size, write, value, signed)
    if kind == rs.CTX:
        _no_leak(w, write, value, "ctx")
        return regions.context(w, r, reg, off, size, write, value, signed)
    if kind in rs.PACKET_KINDS:
        if write and not regions.may_use_packet(w, True, None):
            raise w.refuse("cannot write into packet")
        _no_leak(w, write, value, "packet")
        regions.packet(w, r, off, size, False)
        return unknown
    if base == rs.MEM:
        return _mem(w, r, reg, off, size, write, value)
    if kind == rs.MAP_KEY:
        if write:
            raise w.refuse(f"write to change key R{r} not allowed")
        assert reg.map is not None
        regions.block(w, r, off, size, reg.map.key_size, False)
        return unknown
    if kind == rs.FLOW_KEYS:
        _no_leak(w, write, value, "flow keys")
        regions.flow_keys(w, off, size)
        return unknown
    if kind in _SOCKS:
        if write:
            raise w.refuse(f"R{r} cannot write into {w.named(kind)}")
        regions.socket(w, r, reg, off, size)
        return unknown
    if kind == rs.TP_BUFFER:
        regions.buffer(w, r, reg, off, size, "tracepoint")
        return unknown
    if (base == rs.BTF_ID and not kind & rs.MAYBE_NULL) or kind == rs.MAP_PTR:
        return regions.structure(w, r, reg, off, size, write, value)
    if base == rs.BUF and not kind & rs.MAYBE_NULL:
        if kind & rs.RDONLY and write:
            raise w.refuse(f"R{r} cannot write into {w.named(kind)}")
        regions.buffer(w, r, reg, off, size, "rdonly" if kind & rs.RDONLY else "rdwr")
        return unknown
    if kind == rs.ARENA:
        return unknown
    raise w.refuse(f"R{r} invalid mem access '{w.named(kind)}'")


def _no_leak(w: Walk, write: bool, value: int, where: str) -> None:
    if write and value >= 0 and w.leaks(w.state.frames[-1].regs[value]):
        raise w.refuse(f"R{value} leaks addr into {where}")


def _map_value(w: Walk, r: int, reg: RegState, off: int, size: int, write: bool, value: int,
               signed: bool) -> RegState | None:
    _no_leak(w, write, value, "map")
    regions.map_type_access(w, r, off, size, write)
    regions.map_value(w, r, off, size, False, False)
    if write or value < 0:
        return None
    known = regions.read_constant(w, reg, off, size, signed)
    return w.unknown_reg if known is None else constant(known)


def _mem(w: Walk, r: int, reg: RegState, off: int, size: int, write: bool, value: int) -> RegState | None:
    kind = reg.kind
    if kind & rs.MAYBE_NULL:
        raise w.refuse(f"R{r} invalid mem access '{w.named(kind)}'")
    if write and kind & rs.RDONLY:
        raise w.refuse(f"R{r} cannot write into {w.named(kind)}")
    _no_leak(w, write, value, "mem")
    if not (kind & rs.UNTRUSTED and kind & rs.RDONLY):
        regions.block(w, r, off, size, reg.size, False)
    return w.unknown_reg


# Instructions -------------------------------------------------------------------------------------------------------

_STRICT_KINDS: Final = frozenset((rs.CTX, rs.SOCKET, rs.SOCK_COMMON, rs.TCP_SOCK, rs.XDP_SOCK, rs.BTF_ID, rs.ARENA))


def remember_kind(w: Walk, kind: int, may_differ: bool) -> None:
    """One instruction is rewritten in one way, so all paths must bring compatible pointers (`save_aux_ptr_type`)."""
    aux = w.aux[w.pc]
    seen = aux.ptr_kind
    if seen == rs.NOT_INIT:
        w.note(w.pc).ptr_kind = kind
    elif kind != seen and ((kind & rs.BASE) in _STRICT_KINDS or (seen & rs.BASE) in _STRICT_KINDS):
        mixable = (rs.BTF_ID, rs.MEM) if w.k.version >= (6, 17) else (rs.BTF_ID,)
        if may_differ and w.k.version >= (6, 2) and kind & rs.BASE in mixable and seen & rs.BASE in mixable:
            merged = rs.MEM if rs.MEM in (kind & rs.BASE, seen & rs.BASE) else rs.BTF_ID
            aux.ptr_kind = merged | ((kind | seen) & (rs.UNTRUSTED | rs.RDONLY))
            return
        raise w.refuse("same insn cannot be used with different pointers", EINVAL)


def load(w: Walk, insn: Instruction) -> None:
    """dst = *(size *)(src + off)"""
    kind = w.read(insn.src).kind
    w.writable(insn.dst)
    access(w, insn.src, insn.off, insn.op.size, False, insn.dst, False, insn.kind == ops.LDXS)
    remember_kind(w, kind, True)


def store(w: Walk, insn: Instruction) -> None:
    """*(size *)(dst + off) = src"""
    w.read(insn.src)
    kind = w.read(insn.dst).kind
    access(w, insn.dst, insn.off, insn.op.size, True, insn.src, False, False)
    remember_kind(w, kind, False)


def store_immediate(w: Walk, insn: Instruction) -> None:
    """*(size *)(dst + off) = imm"""
    kind = w.read(insn.dst).kind
    if kind == rs.CTX and w.k.version < (6, 4):
        raise w.refuse(f"BPF_ST stores into R{insn.dst} {'context' if w.k.slides else 'ctx'} is not allowed")
    access(w, insn.dst, insn.off, insn.op.size, True, -1, False, False)
    remember_kind(w, kind, False)


def _atomic_ok(w: Walk, kind: int) -> bool:
    if kind in (rs.CTX, rs.FLOW_KEYS) or kind in rs.PACKET_KINDS:
        return False
    return kind & rs.BASE not in _SOCKS


def atomic(w: Walk, insn: Instruction) -> None:
    """Read, modify, write in one step; with fetch the old value lands in a register."""
    w.read(insn.src)
    w.read(insn.dst)
    compare = insn.op.fn == ops.CMPXCHG
    if compare:
        if w.leaks(w.read(0)):
            raise w.refuse("R0 leaks addr into mem")
    if w.leaks(w.state.frames[-1].regs[insn.src]):
        raise w.refuse(f"R{insn.src} leaks addr into mem")
    kind = w.state.frames[-1].regs[insn.dst].kind
    if not _atomic_ok(w, kind):
        name = w.named(kind)
        if w.k.slides:
            name = "context" if kind == rs.CTX else "packet"
        raise w.refuse(f"BPF_{'XADD' if w.k.slides else 'ATOMIC'} stores into R{insn.dst} {name} is not allowed")
    into = -1
    if insn.op.fn & 1:
        into = 0 if compare else insn.src
        w.overwrite(into)
    access(w, insn.dst, insn.off, insn.op.size, False, -1, True, False)
    if into >= 0:
        access(w, insn.dst, insn.off, insn.op.size, False, into, True, False)
    remember_kind(w, w.state.frames[-1].regs[insn.dst].kind, False)
    access(w, insn.dst, insn.off, insn.op.size, True, -1, True, False)


def load_acquire(w: Walk, insn: Instruction) -> None:
    kind = w.read(insn.src).kind
    w.writable(insn.dst)
    access(w, insn.src, insn.off, insn.op.size, False, insn.dst, True, False)
    remember_kind(w, kind, False)
    kind = w.state.frames[-1].regs[insn.src].kind       # after the load, as the kernel looks
    if not _atomic_ok(w, kind):
        raise w.refuse(f"BPF_ATOMIC loads from R{insn.src} {w.named(kind)} is not allowed")


def store_release(w: Walk, insn: Instruction) -> None:
    w.read(insn.src)
    kind = w.read(insn.dst).kind
    access(w, insn.dst, insn.off, insn.op.size, True, insn.src, True, False)
    remember_kind(w, kind, False)
    if not _atomic_ok(w, kind):
        raise w.refuse(f"BPF_ATOMIC stores into R{insn.dst} {w.named(kind)} is not allowed")

