"""The long programs of the verifier tests, which a table names by a fill function instead of listing them.

Each function here builds the same kind of program from a description of it; `size` is the number that the table passes
in its return-value field, `seed` drives random numbers (the kernel's runner seeds them from the clock).

    name                  program
    ld_abs_vlan_push_pop  51 packet loads with a pushed tag each, 51 with a popped one, five times over
    jump_around_ld_abs    a jump over as many packet loads as 16 bits of offset allow after their expansion
    rand_ld_dw            exclusive or of `size` random 64-bit constants
    scale                 1: 8192 forward jumps in a program of about a million slots; 2: the same, eight calls deep
    torturous_jumps       1, 2: long chains of jumps over jumps; 3: both as functions
    big_prog_with_loop_1  a program one page of slots long whose bpf_loop call gets expanded

What is returned is (slots, return value to expect or None).  Source of the facts: test_verifier.c.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from bpfbench.bits import u32, u64
from bpfbench.isa.helpers import helper_id
from bpfbench.kernel.insn_macros import MACROS, OPCODES, Slot, slot, wide

Filled = tuple[list[Slot], int | None]
_LIMIT: Final = 1_000_000
_JUMPS: Final = 8192
_W, _B, _DW = OPCODES["W"], OPCODES["B"], OPCODES["DW"]
_JEQ, _JNE = OPCODES["JEQ"], OPCODES["JNE"]


def _mov(dst: int, src: int) -> list[Slot]:
    return MACROS["BPF_MOV64_REG"](dst, src)


def _set(dst: int, imm: int) -> list[Slot]:
    return MACROS["BPF_MOV64_IMM"](dst, imm)


def _call(name: str) -> list[Slot]:
    return MACROS["BPF_EMIT_CALL"](helper_id(name))


def _goto(off: int) -> list[Slot]:
    return MACROS["BPF_JMP_A"](off)


def _exit() -> list[Slot]:
    return MACROS["BPF_EXIT_INSN"]()


def _awkward(numbers: random.Random) -> int:
    """A random 64-bit number with a bias to the borders of narrower types."""
    width = numbers.choice((8, 16, 24, 32, 40, 48, 56, 64))
    value = numbers.getrandbits(width) << numbers.choice((0, 0, 8, 16, 32, 48))
    border = numbers.choice((0, 0, 0xFFFFFFFF << 32, 0xFFFF << 16, 1 << 63, 0xF0000000, 1 << 32, 0x7FFFFFFF << 32))
    return u64(value | border) if numbers.random() < 0.5 else u64(border ^ value)


def ld_abs_vlan_push_pop(size: int, seed: int) -> Filled:
    tags = 51
    length = (1 << 15) - tags * 2 * 5 * 6
    slots = _mov(6, 1)
    push = _mov(1, 6) + _set(2, 1) + _set(3, 2) + _call("skb_vlan_push")
    pop = _mov(1, 6) + _call("skb_vlan_pop")
    for _ in range(5):
        for change in [push] * tags + [pop] * tags:
            slots += MACROS["BPF_LD_ABS"](_B, 0)
            slots += MACROS["BPF_JMP32_IMM"](_JNE, 0, 0x34, length - len(slots) - 3)
            slots += change
            slots += MACROS["BPF_JMP_IMM"](_JNE, 0, 0, length - len(slots) - 3)
    slots += _set(0, 0xBEF) * (length - 3 - len(slots))
    return slots + _goto(1) + MACROS["BPF_MOV32_IMM"](0, 0) + _exit(), None


def jump_around_ld_abs(size: int, seed: int) -> Filled:
    length = (1 << 15) // 7
    slots = _mov(6, 1) + MACROS["BPF_LD_ABS"](_B, 0) + MACROS["BPF_JMP_IMM"](_JEQ, 0, 10, length - 4)
    slots += MACROS["BPF_LD_ABS"](_B, 1) * (length - 1 - len(slots))
    return slots + _exit(), None


def rand_ld_dw(size: int, seed: int) -> Filled:
    numbers = random.Random(seed)
    slots = MACROS["BPF_MOV32_IMM"](0, 0)
    total = 0
    xor = MACROS["BPF_ALU64_REG"](OPCODES["XOR"], 0, 1)
    while len(slots) < size:
        value = _awkward(numbers)
        total ^= value
        slots += wide(1, 0, value) + xor
    slots += _mov(1, 0) + MACROS["BPF_ALU64_IMM"](OPCODES["RSH"], 1, 32) + xor + _exit()
    return slots, u32(total ^ (total >> 32))


def scale(size: int, seed: int) -> Filled:
    numbers = random.Random(seed)
    depth = 7 if size == 2 else 0
    slots: list[Slot] = []
    for _ in range(depth):
        slots += MACROS["BPF_CALL_REL"](1) + _exit()
    slots += _mov(6, 1)
    rooms = 64 - 4 * depth
    for k in range(1, _JUMPS + 1):
        slots += _call("get_prandom_u32") + MACROS["BPF_JMP_IMM"](_JEQ, 0, _awkward(numbers), 2) + _mov(1, 10)
        slots += MACROS["BPF_STX_MEM"](_DW, 1, 6, -8 * (k % rooms + 1))
    slots += _set(0, 42) * (_LIMIT - 4 * _JUMPS - len(slots))
    return slots + _exit(), 42


def _chain(half: int) -> list[Slot]:
    """One conditional jump per value into the middle of a ladder of jumps that all lead out."""
    slots = _call("get_prandom_u32")
    for i in range(1, half + 1):
        slots += MACROS["BPF_JMP_IMM"](_JEQ, 0, i, half)
    for i in range(1, half + 1):
        slots += _goto(half - i)
    return slots + _set(0, 1) + _exit()


def _staircase(half: int) -> list[Slot]:
    """As `_chain`, but the ladder leads out in steps of sixteen."""
    slots = _call("get_prandom_u32")
    for i in range(1, half + 1):
        slots += MACROS["BPF_JMP_IMM"](_JEQ, 0, i, half)
    slots += _goto(half)
    for _ in range(half // 16):
        for step in range(16):
            slots += _goto(15 - step)
    return slots + _set(0, 2) + _exit()


def torturous_jumps(size: int, seed: int) -> Filled:
    if size == 1:
        return _chain(128), None
    if size == 2:
        return _staircase(2048), None
    call = MACROS["BPF_CALL_REL"]
    main = call(4) + call(262) + MACROS["BPF_ST_MEM"](_B, 10, -32, 0) + _set(0, 3) + _exit()
    return main + _chain(128) + _staircase(2048), None


def big_prog_with_loop_1(size: int, seed: int) -> Filled:
    length = 4096 - 25
    callback = length - 2
    slots = _set(1, 1) + slot(0x18, 2, 4, 0, callback - 2) + slot(0) + _set(3, 0) + _set(4, 0) + _call("loop")
    slots += _set(0, 0) * (length - 3 - len(slots))
    return slots + _exit() + _set(0, 0) + _exit(), None


FILLS: Final[dict[str, Callable[[int, int], Filled]]] = {
    "ld_abs_vlan_push_pop": ld_abs_vlan_push_pop,
    "jump_around_ld_abs": jump_around_ld_abs,
    "rand_ld_dw": rand_ld_dw,
    "scale": scale,
    "torturous_jumps": torturous_jumps,
    "big_prog_with_loop_1": big_prog_with_loop_1,
}
