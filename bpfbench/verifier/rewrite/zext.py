"""Zero extension, for machines that do not clear the upper half of a register with a 32-bit operation.

eBPF defines 32-bit results as zero extended.  x86-64, AArch64 and others do that for free; for ARM, MIPS, PowerPC and
RISC-V the kernel inserts `w = w` (with `imm` 1, as a mark) after each 32-bit result whose upper half is read later.

    w0 += w1        w0 += w1
                    w0 = w0

Source: kernel/bpf/verifier.c (`opt_subreg_zext_lo32_rnd_hi32`), bpf_jit_needs_zext() of each architecture.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.verifier.rewrite.body import Body, Line, op

# A 32-bit compare-and-exchange that fails leaves the old r0 on every machine, so that one is extended everywhere.
NEEDS_ZEXT = frozenset(("arm", "mips64", "ppc64", "riscv64"))


def insert_zext(body: Body, all_results: bool) -> None:
    """After every original 32-bit result that the verifier marked, or only after compare-and-exchange."""
    patches: dict[int, list[Line]] = {}
    for i, line in enumerate(body.lines):
        if line.hint is None or line.pc < 0 or not line.hint.zext:
            continue
        insn = line.insn
        if not all_results and not (insn.kind == ops.ATOMIC and insn.op.fn == ops.CMPXCHG):
            continue
        target = insn.src if insn.kind == ops.ATOMIC else insn.dst
        if insn.kind == ops.ATOMIC and insn.op.fn == ops.CMPXCHG:
            target = 0
        if insn.kind == ops.ALU32 and insn.op.fn == ops.MOV and not insn.op.imm and insn.imm == 1:
            continue
        patches[i] = [line, Line(op(0xBC, target, target, 0, 1))]
    body.rebuild(patches)
