"""Spill slots: eight bytes of the stack that behave like a register, so that chains go through them.

    *(u64 *)(r10 - 8) = r6       a definition of slot -8           Both are two words on the NFP, of which the upper one is
    ...                                                            dead when nobody needs the upper half of what is filled,
    r6 = *(u64 *)(r10 - 8)       a use of it                       as with addresses in the packet.

Eight bytes at a fixed place in a function's own frame are a slot if nothing else can touch them:

    * every access to any of them stores or loads just these eight, at an offset that is the same on all paths; the
      verifier knows the offset also where the pointer is not r10
    * where there are such pointers, no function of the program is called with one, nor the firmware for more than a key
    * no key of a map starts at or below their last byte: the firmware reads upwards from there
"""

from __future__ import annotations

from typing import Final

from bpfbench.isa import ops
from bpfbench.nfp.notes import Step

FIRST: Final = 16               # slots are numbered behind the registers
WHOLE: Final = 8
MEMORY: Final = (ops.LDX, ops.ST, ops.STX, ops.ATOMIC)
KEYED: Final = (1, 3)           # helpers that read a key of the stack, and nothing else of it
NO_STACK: Final = (7, 44, 65)   # helpers that read nothing of it
FRAME_POINTER: Final = 10


def functions(steps: list[Step]) -> list[list[Step]]:
    """The instructions that have code, function by function."""
    found: list[list[Step]] = [[]]
    for s in steps:
        if s.function > 0:
            found.append([])
        if not s.removed:
            found[-1].append(s)
    return found


def leaks(body: list[Step]) -> bool:
    """May somebody else reach this frame by a pointer?"""
    derived = any(s.insn.kind == ops.ALU64 and s.insn.op.fn == ops.MOV and not s.insn.op.imm
                  and s.insn.src == FRAME_POINTER for s in body)  # fmt: skip
    harmless = set(KEYED) | set(NO_STACK)
    called = any(s.insn.kind == ops.CALL_LOCAL or s.insn.kind == ops.CALL and s.insn.imm not in harmless for s in body)
    return derived and called


def slots_of(body: list[Step]) -> set[int]:
    """Offsets from the frame's top of the slots of a function."""
    places: set[tuple[int, int]] = set()
    for s in body:
        if s.insn.kind in MEMORY and s.note.ptr in ("stack", ""):
            if s.note.varies or s.note.foreign or not s.note.ptr:
                return set()
            places.add((s.note.off + s.insn.off, s.width if s.insn.kind in (ops.LDX, ops.STX) else 0))
        if s.insn.kind == ops.CALL and s.insn.imm in KEYED and (s.note.key_varies or s.note.key_off is None):
            return set()
    keys = [s.note.key_off for s in body if s.insn.kind == ops.CALL and s.insn.imm in KEYED]
    whole = {off for off, width in places if width == WHOLE}
    return {off for off in whole if not any(key is not None and key < off + WHOLE for key in keys)
            and all(at == off and width == WHOLE or at + width <= off or off + WHOLE <= at for at, width in places)}


def spills(steps: list[Step], driver: bool) -> None:
    """Number the slots: `Step.slot` of what spills and fills them."""
    if driver:
        return
    number = FIRST
    for body in functions(steps):
        if leaks(body):
            continue
        numbers = {off: number + n for n, off in enumerate(sorted(slots_of(body)))}
        number += len(numbers)
        for s in body:
            if s.insn.kind in (ops.LDX, ops.STX) and s.note.ptr == "stack" and s.width == WHOLE:
                s.slot = numbers.get(s.note.off + s.insn.off, -1)
