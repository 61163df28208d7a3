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
from bpfbench.verifier.rewrite.subregs import definition

# A 32-bit compare-and-exchange that fails leaves the old r0 on every machine, so that one is extended everywhere.
NEEDS_ZEXT = frozenset(("arm", "mips64", "ppc64", "riscv64"))


def insert_zext(body: Body, all_results: bool) -> None:
    """After every 32-bit result whose upper half matters, or (not `all_results`) after compare-and-exchange only.

    Of what earlier passes put in, the kernel does not know more than that it is 32 bits wide, so it is all extended.
    """
    patches: dict[int, list[Line]] = {}
    for i, line in enumerate(body.lines):
        insn = line.insn
        target, narrow = definition(insn)
        exchange = insn.kind == ops.ATOMIC and insn.op.fn == ops.CMPXCHG
        wanted = narrow if line.patched or line.hint is None else line.hint.zext
        if wanted and target >= 0 and (all_results or exchange):
            patches[i] = [line, Line(op(0xBC, target, target, 0, 1))]
    body.rebuild(patches)
