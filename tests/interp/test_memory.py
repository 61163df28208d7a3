"""Every access is checked, and a trap says where: region, offset, instruction."""

from __future__ import annotations

import pytest

from bpfbench import interp
from bpfbench.interp.memory import Memory
from bpfbench.program.program import MapSpec, from_assembly

MAPS = ".map m array 4 16 4\n"
LOOKUP = """
    *(u32 *)(r10 - 4) = 0
    r1 = m ll
    r2 = r10
    r2 += -4
    call bpf_map_lookup_elem
"""
TRAPS = [
    # program                                                          kind         region, offset       pc
    ("r0 = *(u64 *)(r10 + 0)\nexit",                                   "memory",    ("stack", 0),        0),
    ("r0 = *(u64 *)(r10 - 520)\nexit",                                 "memory",    ("stack", -520),     0),
    ("r0 = *(u8 *)(r10 - 513)\nexit",                                  "memory",    ("stack", -513),     0),
    ("r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 64)\nexit",             "memory",    ("packet", 64),      1),
    ("r2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 - 1)\nexit",              "memory",    ("packet", -1),      1),
    ("r2 = *(u32 *)(r1 + 0)\n*(u64 *)(r2 + 60) = 0\nexit",             "memory",    ("packet", 60),      1),
    ("r0 = 0\nr0 = *(u64 *)(r0 + 8)\nexit",                            "memory",    ("NULL", 8),         1),
    ("r0 = *(u32 *)(r1 + 24)\nexit",                                   "context",   ("ctx", 24),         0),
    ("*(u32 *)(r1 + 0) = 1\nexit",                                     "context",   ("ctx", 0),          0),
    (MAPS + LOOKUP + "r0 = *(u64 *)(r0 + 64)\nexit",                   "memory",    ("value of m", 64),  6),
    (MAPS + "r1 = m ll\nr0 = *(u64 *)(r1 + 0)\nexit",                  "memory",    ("map m", 0),        2),
    ("r1 = 5\nr2 = r10\nr2 += -8\ncall bpf_map_lookup_elem\nexit",     "helper",    ("", 0),             3),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "place", "pc"), TRAPS, ids=[row[0][:40] for row in TRAPS])
def test_a_trap_names_its_place(text: str, kind: str, place: tuple[str, int], pc: int) -> None:
    trap = interp.run(from_assembly(text)).trap
    assert trap is not None
    assert (trap.kind, (trap.region, trap.offset), trap.pc) == (kind, place, pc)


def test_the_message_shows_the_instruction() -> None:
    trap = interp.run(from_assembly("r0 = *(u64 *)(r10 - 520)\nexit")).trap
    assert str(trap) == "insn 0 (r0 = *(u64 *)(r10 -520)): read of 8 bytes at stack-520: outside memory"


def test_accesses_up_to_the_edge_are_fine() -> None:
    text = "*(u8 *)(r10 - 512) = 7\nr2 = *(u32 *)(r1 + 0)\nr0 = *(u8 *)(r2 + 63)\nr3 = *(u8 *)(r10 - 512)\n"
    text += "r0 += r3\nexit"
    assert interp.run(from_assembly(text), bytes(63) + b"\x05").r0 == 12


def test_read_only_map_values() -> None:
    prog = from_assembly(MAPS + LOOKUP + "*(u8 *)(r0 + 0) = 1\nr0 = 0\nexit")
    prog.maps = [MapSpec("array", 4, 16, 4, flags=1 << 7, name="m")]
    trap = interp.run(prog).trap
    assert trap is not None and trap.kind == "read-only" and trap.region == "value of m"


def test_every_frame_has_a_stack_of_its_own() -> None:
    text = """
        *(u64 *)(r10 - 8) = 1
        r1 = r10
        r1 += -8
        call f                      ; writes its own r10-8, and 5 through the pointer
        r0 = *(u64 *)(r10 - 8)
        exit
    f:  *(u64 *)(r10 - 8) = 9
        *(u64 *)(r1 + 0) = 5
        r0 = 0
        exit
    """
    assert interp.run(from_assembly(text)).r0 == 5


def test_regions_know_pointers_that_ran_away() -> None:
    memory = Memory()
    region = memory.add("buffer", 100)
    assert memory.find(region.base - 1) is region and memory.find(region.base + 5000) is region
    memory.drop(region)
    assert memory.find(region.base) is None
