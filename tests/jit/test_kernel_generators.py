"""Our generators against the kernel's own, compiled from its source, on programs that reach every rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.jit.compile import compile_insns
from bpfbench.jit.facts import Facts

from .any_programs import TAIL_CALL, any_program
from .kernel_generators import kernel_generator, kernel_images, kernel_tree

DEPTHS = [0, 8, 16, 24, 40, 104, 512, 7]
Case = tuple[list[Instruction | None], int, bool]


def cases(target: str, kernel: str, count: int, size: int) -> list[Case]:
    """(instructions, stack depth, zero extensions inserted).

    On MIPS64 they always are: without them the kernel's 32-bit compare-and-exchange leaves its result sign-extended,
    and ours does not.
    """
    zext = [target == "mips64" or seed % 3 > 0 for seed in range(count)]
    return [
        (any_program(seed, target, kernel, size, zext[seed]), DEPTHS[seed % len(DEPTHS)], zext[seed])
        for seed in range(count)
    ]


def ours(target: str, kernel: str, case: Case) -> tuple[bytes, list[tuple[int, int]]]:
    """Our image, and the (offset, size) of what addresses decide."""
    insns, depth, zext = case
    leaves = any(i is not None and i.kind == ops.CALL and i.imm == TAIL_CALL for i in insns)
    code = compile_insns(insns, target, kernel, facts=Facts([depth], [leaves], zext), rewritten=True)
    return code.bytes, [(r.offset, r.size) for r in code.relocations]


@pytest.mark.parametrize("count, size", [(300, 60), (3, 9000)], ids=["short", "long"])
@pytest.mark.parametrize("target", ["arm", "mips64", "ppc64"])
def test_images_are_the_kernels(target: str, count: int, size: int, tmp_path: Path) -> None:
    tree, kernel = kernel_tree()
    chosen = cases(target, kernel, count, size)
    images = kernel_images(kernel_generator(tree, kernel, target, tmp_path), chosen)
    different = []
    for number, (case, image) in enumerate(zip(chosen, images, strict=True)):
        made, unknown = ours(target, kernel, case)
        theirs = bytearray.fromhex(image)
        for offset, size_ in unknown:
            theirs[offset : offset + size_] = made[offset : offset + size_]
        if theirs != made:
            different.append(number)
    assert different == []
