"""Legacy packet loads become calls of a function that reads the packet.

    r0 = *(u32 *)skb[r7 + 10]        r2 = r7
                                     r2 += 10
                                     r1 = r6
                                     call bpf_skb_load_helper_32_no_cache
                                     if r0 s>= 0x0 goto +2
                                     w0 ^= w0
                                     exit

Source: net/core/filter.c (`bpf_gen_ld_abs`); slide 22.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.verifier.rewrite.body import Body, Line, op

_LOADERS = {1: "bpf_skb_load_helper_8_no_cache", 2: "bpf_skb_load_helper_16_no_cache",
            4: "bpf_skb_load_helper_32_no_cache"}


def expand_packet_loads(body: Body) -> None:
    """Every `ld_abs` and `ld_ind`."""
    patches: dict[int, list[Line]] = {}
    for i, line in enumerate(body.lines):
        insn = line.insn
        if insn.kind not in (ops.LD_ABS, ops.LD_IND):
            continue
        if insn.kind == ops.LD_ABS:
            new = [op(0xB7, 2, 0, 0, insn.imm)]
        else:
            new = [op(0xBF, 2, insn.src)] + ([op(0x07, 2, 0, 0, insn.imm)] if insn.imm else [])
        new.append(op(0xBF, 1, 6))
        patch = [Line(x) for x in new] + [Line(op(0x85), symbol=_LOADERS[insn.op.size])]
        patches[i] = patch + [Line(op(0x75, 0, 0, 2, 0)), Line(op(0xAC, 0, 0)), Line(op(0x95))]
    body.rebuild(patches)
