"""Generated x86-64 code against the JIT of the running kernel: features that no recording has.

Each program is loaded, its rewritten form compiled with the facts of our own verification, and the two images compared
in every byte outside relocations.
"""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

import bpfbench as bb
from bpfbench.errors import KernelError
from bpfbench.jit import jit_record
from bpfbench.program.program import MapSpec, Program
from tests.parity_jit import difference

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the running kernel's JIT is not x86-64's"),
]

PROG_ARRAY = MapSpec("prog_array", 4, 4, 4)
ARRAY = MapSpec("array", 4, 16, 8)

PROGRAMS = {
    "bpf-to-bpf calls": """
        r6 = r1
        r1 = 3
        call square
        r7 = r0
        r1 = 5
        call square
        r0 += r7
        exit
     square:
        *(u64 *)(r10 - 16) = r1
        r0 = r1
        r0 *= r1
        exit
    """,
    "direct tail call": """
        r2 = map[0]
        r3 = 1
        call tail_call
        r0 = 0
        exit
    """,
    "indirect tail call, with stack": """
        r3 = *(u32 *)(r1 + 0)
        *(u64 *)(r10 - 24) = r3
        r2 = map[0]
        call tail_call
        r0 = 0
        exit
    """,
    "map lookup": """
        *(u32 *)(r10 - 4) = 1
        r2 = r10
        r2 += -4
        r1 = map[1]
        call map_lookup_elem
        if r0 == 0 goto out
        r1 = 1
        lock *(u64 *)(r0 + 8) += r1
     out:
        r0 = 0
        exit
    """,
    "load-acquire, store-release": """
        *(u64 *)(r10 - 8) = 7
        r1 = load_acquire((u32 *)(r10 - 8))
        store_release((u64 *)(r10 - 16), r1)
        r0 = *(u64 *)(r10 - 16)
        exit
    """,
}


def program(name: str) -> Program:
    prog = bb.assemble(PROGRAMS[name], type="socket_filter")
    prog.maps = [PROG_ARRAY, ARRAY]
    return prog


def compared(prog: Program) -> str:
    """"" if our code for the kernel's rewritten program is the kernel's code."""
    image = bb.kernel.jit(prog)
    record = {
        **prog.to_json(), "xlated": image.xlated.hex(), "image": image.image.hex(),
        "functions": [list(f) for f in image.functions],
    }  # fmt: skip
    return difference(jit_record(record, "x86_64", "linux-6.18", bb.verify), record)


@pytest.mark.parametrize("name", PROGRAMS)
def test_same_code_as_the_running_kernel(name: str, live_kernel: None) -> None:
    assert compared(program(name)) == ""


def test_the_data_sets(live_kernel: None, datasets: Path) -> None:
    """All that the running kernel accepts: callbacks, private stacks, tail calls in subprograms."""
    equal, different = 0, []
    for path in sorted(datasets.glob("*.o")):
        for name, prog in bb.load(path).programs.items():
            try:
                found = compared(prog)
            except KernelError:
                continue
            if found:
                different.append(f"{path.name} {name}: {found}")
            else:
                equal += 1
    assert not different
    assert equal >= 40
