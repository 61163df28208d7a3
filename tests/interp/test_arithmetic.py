"""What each arithmetic operation, comparison and atomic computes, corner by corner.

The expectation stands beside the program; `test_the_kernel_agrees` puts the same programs to the live kernel.
"""

from __future__ import annotations

import pytest

from bpfbench import interp
from bpfbench.program.program import from_assembly

MIN64, MAX64 = 1 << 63, (1 << 64) - 1
ROWS = [
    # what r0 and r1 hold           operation                       r0 afterwards
    (7, 0,                          "r0 /= r1",                     0),
    (7, 0,                          "r0 %= r1",                     7),
    (0xFFFFFFFF_00000007, 0,        "w0 %= w1",                     7),
    (0xFFFFFFFF_00000007, 0,        "w0 /= w1",                     0),
    (MIN64, MAX64,                  "r0 s/= r1",                    MIN64),
    (MIN64, MAX64,                  "r0 s%= r1",                    0),
    (0x80000000, MAX64,             "w0 s/= w1",                    0x80000000),
    (MAX64 - 6, 2,                  "r0 s/= r1",                    MAX64 - 2),
    (MAX64 - 6, 2,                  "r0 s%= r1",                    MAX64),
    (7, MAX64 - 1,                  "r0 s%= r1",                    1),
    (MAX64 - 6, 0,                  "r0 s%= r1",                    MAX64 - 6),
    (MAX64, 1,                      "w0 += w1",                     0),
    (1, 65,                         "r0 <<= r1",                    2),
    (1, 33,                         "w0 <<= w1",                    2),
    (MAX64, 63,                     "r0 >>= r1",                    1),
    (MIN64, 63,                     "r0 s>>= r1",                   MAX64),
    (0x80000000, 31,                "w0 s>>= w1",                   0xFFFFFFFF),
    (5, 0,                          "r0 = -r0",                     MAX64 - 4),
    (5, 0,                          "w0 = -w0",                     0xFFFFFFFB),
    (MAX64, 0,                      "w0 = 5",                       5),
    (0, 0x80,                       "r0 = (s8)r1",                  MAX64 - 0x7F),
    (0, 0x8000,                     "w0 = (s16)w1",                 0xFFFF8000),
    (0, 0x80000000,                 "r0 = (s32)r1",                 0xFFFFFFFF_80000000),
    (0x1122334455667788, 0,         "r0 = be16 r0",                 0x8877),
    (0x1122334455667788, 0,         "r0 = be32 r0",                 0x88776655),
    (0x1122334455667788, 0,         "r0 = be64 r0",                 0x8877665544332211),
    (0x1122334455667788, 0,         "r0 = le16 r0",                 0x7788),
    (0x1122334455667788, 0,         "r0 = bswap32 r0",              0x88776655),
    (MAX64, MAX64,                  "r0 *= r1",                     1),
    (MAX64, 0,                      "r0 &= -16",                    MAX64 - 15),
    (0, 0,                          "r0 |= -1",                     MAX64),
    (0, 0,                          "w0 |= -1",                     0xFFFFFFFF),
    (MAX64, 0,                      "r0 >>= 32",                    0xFFFFFFFF),
]  # fmt: skip
JUMPS = [
    # r0             r1        comparison      taken
    (MAX64,          1,        "r0 > r1",      True),
    (MAX64,          1,        "r0 s> r1",     False),
    (MAX64,          1,        "r0 s< r1",     True),
    (MIN64,          MIN64,    "r0 s<= r1",    True),
    (1 << 32,        0,        "w0 == w1",     True),
    (1 << 32,        0,        "r0 == r1",     False),
    (0x80000000,     1,        "w0 s< w1",     True),
    (0x80000000,     1,        "r0 s< r1",     False),
    (6,              1,        "r0 & r1",      False),
    (7,              1,        "r0 & r1",      True),
    (MAX64,          0,        "r0 == -1",     True),
    (0xFFFFFFFF,     0,        "w0 == -1",     True),
    (0xFFFFFFFF,     0,        "r0 == -1",     False),
    (5,              5,        "r0 >= r1",     True),
]  # fmt: skip
ATOMICS = [
    # memory holds   r1 (and r0) holds   operation on it                                       memory   r1 afterwards
    (5,              3,  "lock *(u64 *)(r10 - 8) += r1",                                            8,  3),
    (0xFFFFFFFF,     1,  "lock *(u32 *)(r10 - 8) += r1",                                            0,  1),
    (12,             10, "lock *(u64 *)(r10 - 8) &= r1",                                            8,  10),
    (5,              3,  "r1 = atomic64_fetch_add((u64 *)(r10 - 8), r1)",                           8,  5),
    (5,              3,  "r1 = atomic_fetch_xor((u32 *)(r10 - 8), r1)",                             6,  5),
    (5,              3,  "r1 = atomic64_xchg((u64 *)(r10 - 8), r1)",                                3,  5),
    (5,              3,  "r0 = atomic64_cmpxchg((u64 *)(r10 - 8), r0, r1)",                         5,  3),
    (7,              3,  "r0 = atomic64_cmpxchg((u64 *)(r10 - 8), r0, r1)",                         3,  3),
]  # fmt: skip


def program(row: tuple[int, int, str, int]) -> str:
    return f"r0 = {row[0]} ll\nr1 = {row[1]} ll\n{row[2]}\nexit"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]:#x} {row[1]:#x} {row[2]}")
def test_arithmetic(row: tuple[int, int, str, int]) -> None:
    assert interp.run(from_assembly(program(row))).r0 == row[3]


@pytest.mark.parametrize("row", JUMPS, ids=lambda row: f"{row[0]:#x} {row[1]:#x} {row[2]}")
def test_comparisons(row: tuple[int, int, str, bool]) -> None:
    text = f"r0 = {row[0]} ll\nr1 = {row[1]} ll\nif {row[2]} goto yes\nr0 = 0\nexit\nyes: r0 = 1\nexit"
    assert interp.run(from_assembly(text)).r0 == row[3]


@pytest.mark.parametrize("row", ATOMICS, ids=lambda row: row[2])
def test_atomics(row: tuple[int, int, str, int, int]) -> None:
    before, operand, insn, memory, register = row
    text = f"r0 = 7\nr2 = {before}\n*(u64 *)(r10 - 8) = r2\nr1 = {operand}\n{insn}\nr3 = *(u64 *)(r10 - 8)\n"
    assert interp.run(from_assembly(text + "r0 = r3\nexit")).r0 == memory
    assert interp.run(from_assembly(text + "r0 = r1\nexit")).r0 == register


def test_cmpxchg_returns_the_old_value_zero_extended() -> None:
    text = """
        r0 = -1
        r1 = 3
        *(u64 *)(r10 - 8) = 5
        r0 = atomic_cmpxchg((u32 *)(r10 - 8), r0, r1)    ; w0 is not 5, so memory stays and r0 = 5
        exit
    """
    assert interp.run(from_assembly(text)).r0 == 5


def test_the_kernel_agrees(live_kernel: None) -> None:
    """The same programs, on the running kernel: the low 32 bits and the high ones."""
    from bpfbench import kernel

    for row in ROWS:
        low = kernel.run(from_assembly(program(row)), bytes(64)).r0
        high = kernel.run(from_assembly(program(row).replace("\nexit", "\nr0 >>= 32\nexit")), bytes(64)).r0
        assert high << 32 | low == row[3], row
