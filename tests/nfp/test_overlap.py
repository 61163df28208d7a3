"""A copy is not gathered when a load reads what an earlier, wider store of it has written."""

from __future__ import annotations

from bpfbench.jit.nfp import OWN, compile_nfp
from bpfbench.program.program import from_assembly

CHECKED = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2\nr4 += 64\nif r4 > r3 goto out\n"


def reads(first: int, second: int) -> int:
    """Commands that read, in a copy of four bytes by `first` and then of two bytes by `second`."""
    body = (f"r5 = *(u32 *)(r2 +8)\n*(u32 *)(r2 +{8 + first}) = r5\n"
            f"r5 = *(u16 *)(r2 +12)\n*(u16 *)(r2 +{12 + second}) = r5\n")
    code = compile_nfp(from_assembly(CHECKED + body + "out: r0 = 1\nexit", "xdp"), OWN)
    return sum(row.text.startswith("mem[read") for row in code.insns)


def test_a_narrow_load_may_see_the_end_of_a_wide_store() -> None:
    assert reads(20, 20) == 1
    assert reads(4, 4) == 2              # bytes 12 to 15 are written, 12 and 13 are read
    assert reads(2, 2) == 2              # bytes 10 to 13 are written
