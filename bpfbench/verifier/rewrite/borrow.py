"""Accesses that need a third register: it is borrowed, its value parked in the context meanwhile.

A rewritten access has two registers, the pointer and the value, and must leave all others as they were.  Where a step
needs one more, the highest of r9, r8, r7 that is free of both is saved to a scratch member of the kernel's context
structure, used, and restored:

    r1 = *(u32 *)(r1 +76)      *(u64 *)(r1 +temp) = r9         r1 is pointer and result: test in r9
    (sock_ops: snd_cwnd)       r9 = *(u8 *)(r1 +is_fullsock)
                               if r9 == 0x0 goto +4
                               r9 = *(u64 *)(r1 +temp)
                               r1 = *(u64 *)(r1 +sk)
                               r1 = *(u32 *)(r1 +snd_cwnd)
                               goto +2
                               r9 = *(u64 *)(r1 +temp)
                               r1 = 0

Source: net/core/filter.c (`SOCK_OPS_GET_FIELD`, `SOCK_OPS_SET_FIELD`, `bpf_convert_data_end_access`).
"""

from __future__ import annotations

from bpfbench.isa.insn import Instruction
from bpfbench.verifier.rewrite.body import op
from bpfbench.verifier.rewrite.kernel_layout import KernelLayout, Member

_AX = 11
_LOAD = {1: 0x71, 2: 0x69, 4: 0x61, 8: 0x79}


def spare(dst: int, src: int) -> int:
    """The register to borrow.

    >>> spare(0, 1), spare(9, 8), spare(1, 9)
    (9, 7, 8)
    """
    reg = 9
    for _ in range(2):
        if reg in (dst, src):
            reg -= 1
    return reg


def from_full_socket(dst: int, src: int, member: Member | None, layout: KernelLayout) -> list[Instruction]:
    """Read a member of the socket (the pointer to it when None) if it is a full one; else 0."""
    park, _ = layout.member("bpf_sock_ops_kern.temp")
    full, full_size = _guard(layout, member is not None)
    sk, _ = layout.member("bpf_sock_ops_kern.sk")
    load = [op(0x79, dst, src, sk)] + ([op(_LOAD[member[1]], dst, dst, member[0])] if member is not None else [])
    if dst != src:
        return [op(_LOAD[full_size], dst, src, full), op(0x15, dst, 0, len(load), 0), *load]
    reg = spare(dst, src)
    return [op(0x7B, src, reg, park), op(_LOAD[full_size], reg, src, full), op(0x15, reg, 0, len(load) + 2, 0),
            op(0x79, reg, src, park), *load, op(0x05, 0, 0, 2), op(0x79, reg, src, park), op(0xB7, dst)]


def _guard(layout: KernelLayout, member: bool) -> Member:
    """What says that the socket may be read; members need a locked one since 6.15."""
    locked = "bpf_sock_ops_kern.is_locked_tcp_sock"
    return layout.member(locked) if member and layout.has(locked) else layout.member("bpf_sock_ops_kern.is_fullsock")


def to_full_socket(dst: int, reg: int, store: Instruction, layout: KernelLayout) -> list[Instruction]:
    """Write a member of the socket if it is a full one; `store` stores through the borrowed register `reg`."""
    park, _ = layout.member("bpf_sock_ops_kern.temp")
    full, full_size = _guard(layout, True)
    sk, _ = layout.member("bpf_sock_ops_kern.sk")
    return [op(0x7B, dst, reg, park), op(_LOAD[full_size], reg, dst, full), op(0x15, reg, 0, 2, 0),
            op(0x79, reg, dst, sk), store, op(0x79, reg, dst, park)]


def linear_end(dst: int, src: int, layout: KernelLayout) -> list[Instruction]:
    """Data plus length minus the length in fragments: the end of the directly readable bytes."""
    park = layout.member("sk_buff.cb")[0] + layout.member("sk_skb_cb.temp_reg")[0]
    start, length, paged = (layout.member(f"sk_buff.{name}")[0] for name in ("data", "len", "data_len"))
    same = dst == src
    reg = spare(dst, src) if same else dst
    body = [op(0x79, reg, src, start), op(0x61, _AX, src, length), op(0x0F, reg, _AX), op(0x61, _AX, src, paged),
            op(0x1F, reg, _AX)]
    if not same:
        return body
    return [op(0x7B, src, reg, park), *body, op(0xBF, _AX, src), op(0xBF, dst, reg), op(0x79, reg, _AX, park)]
