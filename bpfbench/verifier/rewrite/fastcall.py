"""Fast calls: spills and fills around a helper that keeps r1-r5 are not needed.

A compiler that knows the contract of a helper (`bpf_fastcall`) spills what it may destroy around the call, in a form a
verifier can recognise; where the kernel writes the helper out inline, these spills are dropped and the stack shrinks.

    *(u64 *)(r10 -16) = r1       goto +0
    call bpf_get_smp_processor_id
    r1 = *(u64 *)(r10 -16)       goto +0

Source: kernel/bpf/verifier.c (`remove_fastcall_spills_fills`, since 6.12).
"""

from __future__ import annotations

from bpfbench.verifier.rewrite.body import Body, op
from bpfbench.verifier.rewrite.hints import Function


def drop_spills(body: Body, functions: list[Function]) -> None:
    """Blank the spills and fills that the verifier matched, and give back their stack."""
    current, changed = 0, set()
    for i, line in enumerate(body.lines):
        current = line.function if line.function >= 0 else current
        pairs = line.hint.spills if line.hint is not None else 0
        for step in range(1, pairs + 1):
            for near in (i - step, i + step):
                blank = body.lines[near]
                blank.insn = op(0x05)
                blank.target = body.lines[near + 1] if near + 1 < len(body.lines) else None
        if pairs:
            changed.add(current)
    for number in changed:
        if functions[number].fast_off > -32768:
            functions[number].stack_depth = -functions[number].fast_off
