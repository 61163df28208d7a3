"""Generated programs: reproducible, of every kind of instruction, and accepted."""

from __future__ import annotations

import pytest

import bpfbench as bb
from bpfbench.errors import UsageError
from bpfbench.generate import TYPES, generate
from bpfbench.isa import ops


def test_they_cover_the_instruction_set() -> None:
    seen = {insn.op.name for seed in range(300) for insn in generate(seed, TYPES[seed % 4]).insns if insn is not None}
    missing = [
        op.name for op in ops.OPS
        if op.name not in seen and not op.internal
        and op.kind not in (ops.CALL_KFUNC, ops.CALLX, ops.GOTOX, ops.ADDR_CAST, ops.LDDW)
    ]  # fmt: skip
    assert missing == []


def test_older_kernels_get_no_newer_instructions() -> None:
    for seed in range(50):
        prog = generate(seed, features=("alu", "jump", "stack", "atomic"))
        assert all(insn.op.since < "6" for insn in prog.insns if insn is not None)


def test_bytes_only_where_packets_may_be_unaligned() -> None:
    for seed in range(50):
        prog = generate(seed, features=("packet",), aligned=True)
        for insn in prog.insns:
            if insn is not None and insn.kind in (ops.LDX, ops.ST, ops.STX):
                base = insn.src if insn.kind == ops.LDX else insn.dst
                assert base != 2 or insn.op.size == 1


def test_unknown_wishes() -> None:
    with pytest.raises(UsageError, match="cannot be generated"):
        generate(1, "kprobe")
    with pytest.raises(UsageError, match="unknown features x"):
        generate(1, features=("alu", "x"))


def test_the_kernel_accepts_them(live_kernel: None) -> None:
    refused = [seed for seed in range(200) if not bb.kernel.verify(generate(seed, TYPES[seed % 4])).accepted]
    assert refused == []
