"""Helpers to state what a target makes of one eBPF instruction, and to compare whole images with recordings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bpfbench import assemble
from bpfbench.errors import BpfbenchError
from bpfbench.execute import run
from bpfbench.jit import compile_program, jit_record
from bpfbench.jit.code import Code

from .random_programs import random_program


def compiled(text: str, target: str, kernel: str, zext_inserted: bool = True, **options: Any) -> Code:
    """A program (an exit is added); by default one in which the verifier has inserted the zero extensions."""
    return compile_program(
        assemble(text + "\nexit", type="socket_filter"), target, kernel, rewritten=zext_inserted, **options
    )


def native(text: str, target: str, kernel: str, pc: int = 0, **options: Any) -> list[str]:
    """The native instructions that slot `pc` of the program became."""
    return [row.text for row in compiled(text, target, kernel, **options).insns if row.owner == pc]


def unequal(lines: Iterable[dict[str, Any]], target: str, kernel: str) -> tuple[int, list[str]]:
    """How many recorded programs there are, and the names of those whose image differs outside relocations."""
    count, different = 0, []
    for record in lines:
        count += 1
        image = bytes.fromhex(record["image"])
        try:
            code = jit_record(record, target, kernel)
        except BpfbenchError as error:
            different.append(f"{record['name']}: {error}")
            continue
        ours = bytearray(code.bytes)
        for r in code.relocations:
            ours[r.offset : r.offset + r.size] = image[r.offset : r.offset + r.size]
        if ours != image:
            different.append(record["name"])
    return count, different


def disagreements(target: str, seeds: range) -> list[str]:
    """Random programs whose result under emulation is not the interpreter's."""
    found = []
    for seed in seeds:
        program = random_program(seed)
        expected, got = run(program), run(program, engine=f"emulate:{target}")
        assert expected.trap is None
        if got.trap is not None or got.r0 != expected.r0:
            found.append(f"{program.name}: {got}, interpreter {expected}")
    return found
