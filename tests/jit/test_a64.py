"""The AArch64 target: immediates, the frame, atomics with and without LSE."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .rules import compiled, native, unequal

Records = Callable[[str], Iterator[dict[str, Any]]]
K = "linux-6.12"


def test_recorded_images(records: Records) -> None:
    """Every fourth program here; all of them in `make parity`."""
    lines = [r for i, r in enumerate(records("kernel-jit/aarch64-linux-6.12")) if i % 4 == 0]
    count, different = unequal(lines, "aarch64", K)
    assert not different
    assert count > 1500


@pytest.mark.parametrize(
    "text,expected",
    [
        ("r0 = 1", ["movz x7, #1"]),
        ("r0 = -1", ["movn x7, #0"]),
        ("r0 = 305419896", ["movz x7, #0x5678", "movk x7, #0x1234, lsl #0x10"]),
        ("r0 = 0xffff0000ffff1234 ll", ["movn x7, #0xffff, lsl #32", "movk x7, #0x1234"]),
        ("r1 += 4096", ["add x0, x0, #1, lsl #12"]),
        ("r1 += -1", ["sub x0, x0, #1"]),
        ("r1 &= 255", ["and x0, x0, #0xff"]),                              # a bit pattern is one instruction
        ("r1 &= 5", ["movz x10, #5", "and x0, x0, x10"]),                  # no bit pattern
        ("r1 %= r2", ["udiv x10, x0, x1", "msub x0, x10, x1, x0"]),
        ("r1 <<= 3", ["lsl x0, x0, #3"]),
        ("r0 = *(u32 *)(r1 + 4)", ["ldr w7, [x0, #4]"]),
        ("r0 = *(u32 *)(r1 - 4)", ["movn x10, #3", "ldr w7, [x0, x10]"]),
        ("lock *(u64 *)(r1 + 0) &= r2", ["mvn x11, x1", "stclr x11, [x0]"]),
    ],
)
def test_one_instruction(text: str, expected: list[str]) -> None:
    assert [spelled(row) for row in native(text, "aarch64", K)] == expected


def spelled(text: str) -> str:
    """A shift amount is printed in hexadecimal or not."""
    return text.replace("lsl #0x20", "lsl #32")


def test_the_bpf_stack_is_addressed_from_sp() -> None:
    """Displacements from sp are positive, so they fit the unsigned field that those from r10 would not."""
    rows = native("*(u64 *)(r10 - 8) = 1", "aarch64", K)
    assert rows[-1] == "str x10, [sp, #8]"


def test_atomics_without_lse_are_loops() -> None:
    rows = native("r2 = atomic64_fetch_add((u64 *)(r1 + 0), r2)", "aarch64", K, features={"lse": False})
    assert [row.split()[0] for row in rows] == ["add", "ldxr", "add", "stlxr", "cbnz", "dmb"]


def test_pointer_authentication_and_landing_pads() -> None:
    texts = [r.text for r in compiled("r0 = 0", "aarch64", K, features={"pac": False, "bti": True}).insns]
    assert texts[0] == "bti jc" and "paciasp" not in texts
