"""The x86-64 target: choices between encodings, what kernels and configurations change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bpfbench.jit.facts import Facts

from .rules import compiled, native, unequal

Records = Callable[[str], Iterator[dict[str, Any]]]
K = "linux-6.18"


@pytest.mark.parametrize("kernel", ["linux-6.18", "linux-6.12", "linux-6.1"])
def test_recorded_images(records: Records, kernel: str) -> None:
    """Every eighth program here; all of them in `make parity`."""
    lines = [r for i, r in enumerate(records(f"kernel-jit/x86_64-{kernel}")) if i % 8 == 0]
    count, different = unequal(lines, "x86_64", kernel)
    assert not different
    assert count > 700


@pytest.mark.parametrize(
    "text,expected",
    [
        ("r1 = 0", ["xor edi, edi"]),                               # two bytes, clears all 64 bits
        ("r1 = 5", ["mov edi, 5"]),                                 # zero-extends
        ("r1 = -5", ["mov rdi, 0xfffffffffffffffb"]),               # needs sign extension
        ("w1 = -5", ["mov edi, 0xfffffffb"]),
        ("r0 += 1000", ["add rax, 0x3e8"]),                         # the form with rax implied
        ("r5 += 7", ["add r8, 7"]),
        ("r1 <<= 1", ["shl rdi, 1"]),
        ("r1 <<= r4", ["shl rdi, cl"]),                             # the count is in rcx already
        ("r1 <<= r2", ["shlx rdi, rdi, rsi"]),
        ("r1 = be16 r1", ["ror di, 8", "movzx edi, di"]),
        ("if r1 > 5 goto +0", ["cmp rdi, 5", "ja 0x12"]),
        ("*(u8 *)(r10 - 1) = r1", ["mov byte ptr [rbp - 1], dil"]),
    ],
)
def test_one_instruction(text: str, expected: list[str]) -> None:
    assert native(text, "x86_64", K) == expected


def test_division_saves_what_it_clobbers() -> None:
    assert native("r1 /= r2", "x86_64", K) == [
        "push rax", "push rdx", "mov rax, rdi", "xor edx, edx", "div rsi", "mov rdi, rax", "pop rdx", "pop rax",
    ]  # fmt: skip


def test_fetch_and_needs_a_loop() -> None:
    rows = native("r2 = atomic64_fetch_and((u64 *)(r10 - 8), r2)", "x86_64", K)
    assert "lock cmpxchg qword ptr [rbp - 8], r11" in rows
    assert any(row.startswith("jne ") for row in rows)


def test_configuration_shows() -> None:
    plain = {"return_thunk": False, "sls": False, "ibt": False}
    endings = {
        "thunk": compiled("r0 = 0", "x86_64", K).bytes[-5:-4].hex(),
        "ret": compiled("r0 = 0", "x86_64", K, features=plain).bytes[-1:].hex(),
        "ret, int3": compiled("r0 = 0", "x86_64", K, features={**plain, "sls": True}).bytes[-2:].hex(),
    }
    assert endings == {"thunk": "e9", "ret": "c3", "ret, int3": "c3cc"}
    assert compiled("r0 = 0", "x86_64", K, features={**plain, "ibt": True}).bytes[:4].hex() == "f30f1efa"


def test_before_62_a_shift_saves_rcx_needlessly() -> None:
    assert native("r4 <<= r1", "x86_64", "linux-6.1") == [
        "mov r11, rcx", "push rcx", "mov rcx, rdi", "shl r11, cl", "pop rcx", "mov rcx, r11",
    ]  # fmt: skip


def test_a_private_stack_is_found_through_r9() -> None:
    facts = Facts([64], [False], private_stack=[True])
    code = compiled("*(u64 *)(r10 - 8) = 1\ncall ktime_get_ns", "x86_64", K, facts=facts)
    texts = [row.text for row in code.insns]
    assert "mov qword ptr [r9 - 8], 1" in texts
    assert texts[texts.index("push r9") + 2] == "pop r9"


def test_a_long_program_mixes_short_and_long_jumps() -> None:
    body = "\n".join("r0 += 100000" for _ in range(40))
    rows = native(f"if r1 == 0 goto end\nif r1 == 1 goto +1\n{body}\n end: r0 = 1", "x86_64", K, pc=0)
    assert rows[1].startswith("je ")
    code = compiled(f"if r1 == 0 goto end\nif r1 == 1 goto +1\n{body}\n end: r0 = 1", "x86_64", K)
    sizes = [len(row.bytes) for row in code.insns if row.text.startswith("je ")]
    assert sizes == [6, 2]
