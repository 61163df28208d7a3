"""The RISC-V target: compressed forms, constants, branches that grow with their distance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .rules import compiled, native, unequal

Records = Callable[[str], Iterator[dict[str, Any]]]
K = "linux-6.12"


def test_recorded_images(records: Records) -> None:
    """Every fourth program here; all of them in `make parity`."""
    lines = [r for i, r in enumerate(records("kernel-jit/riscv64-linux-6.12")) if i % 4 == 0]
    count, different = unequal(lines, "riscv64", K)
    assert not different
    assert count > 1500


@pytest.mark.parametrize(
    "text,expected",
    [
        ("r0 = 1", ["c.li a5, 1"]),
        ("r0 = 2047", ["addi a5, zero, 2047"]),
        ("r0 = 2048", ["c.lui a5, 1", "addiw a5, a5, -2048"]),
        ("r0 = 0x100000000 ll", ["c.li a5, 1", "c.slli a5, 32"]),
        ("r1 += 8", ["c.addi a0, 8"]),
        ("r6 += 1000", ["addi s1, s1, 1000"]),
        ("r1 &= r2", ["c.and a0, a1"]),                         # both among the eight short registers
        ("r7 &= r2", ["and s2, s2, a1"]),                       # s2 is not
        ("r1 = be32 r1", ["rev8 a0, a0", "c.srli a0, 32"]),
        ("r0 = *(u32 *)(r1 + 4096)", ["c.lui t1, 1", "c.addiw t1, 0", "c.add t1, a0", "lwu a5, 0(t1)"]),
    ],
)
def test_one_instruction(text: str, expected: list[str]) -> None:
    assert native(text, "riscv64", K) == expected


def test_without_extensions_shifts_do_the_work() -> None:
    plain = {"zba": False, "zbb": False, "rvc": False}
    assert native("r1 = le16 r1", "riscv64", K, features=plain) == ["slli a0, a0, 48", "srli a0, a0, 48"]


def test_a_load_swallows_the_zero_extension_behind_it() -> None:
    from bpfbench.isa.codec import decode
    from bpfbench.jit.compile import compile_insns

    insns = decode(bytes.fromhex("6110000000000000" "bc00000001000000" "9500000000000000"), internal=True)
    code = compile_insns(insns, "riscv64", K, rewritten=True)
    assert code.span(1) is None
    assert [r.text for r in code.insns if r.owner == 0] == ["lwu a5, 0(a0)"]


@pytest.mark.parametrize("count,names", [(10, ["beq"]), (1200, ["bne", "jal"])])
def test_a_branch_grows_with_its_distance(count: int, names: list[str]) -> None:
    body = "\n".join("r0 += 1000000" for _ in range(count))
    rows = native(f"if r1 == r2 goto end\n{body}\n end: r0 = 1", "riscv64", K)
    assert [row.split()[0] for row in rows] == names


def test_only_used_registers_are_saved() -> None:
    saves = [r.text for r in compiled("r6 = 1", "riscv64", K).insns if r.text.startswith("c.sdsp")]
    assert saves == ["c.sdsp s0, 8(sp)", "c.sdsp s1, 0(sp)"]
