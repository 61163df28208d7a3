"""Words of map values by use: read by the program, or counted by atomic additions, never both.

The memory unit counts in big-endian words, the program loads little-endian ones.  So the driver gives each word of a
value one use, and the host swaps the bytes of counted words when it reads or writes an entry:

    struct { u64 packets; u32 limit; }     words 0, 1 atomic (swapped by the host)     word 2 read

Source: `nfp_bpf_map_mark_used`, `nfp_bpf_map_update_value_ok` of the driver's bpf/verifier.c; `nfp_map_bpf_byte_swap`
of its bpf/offload.c.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from bpfbench.isa import ops
from bpfbench.program.program import Program
from bpfbench.verifier.state import EMPTY, SPILL, ZEROED, Slot

if TYPE_CHECKING:
    from bpfbench.nfp.gather import Gatherer

READ, ATOMIC = "read", "atomic"
WORD: Final = 4
SLOT: Final = 8


def uses(program: Program, watch: Gatherer) -> Iterator[tuple[int, int, int, str]]:
    """(slot, map, word, use) of every access to a map value whose offset is known."""
    for pc in sorted(watch.seen):
        insn = program.insns[pc]
        if insn is None or insn.kind not in (ops.LDX, ops.ATOMIC) or watch.notes[pc].ptr != "map_value":
            continue
        use = ATOMIC if insn.kind == ops.ATOMIC else READ
        for reg in watch.values.get(pc, []):
            if reg.map is None or reg.scalar.m:
                continue
            start = reg.off + reg.scalar.v + insn.off
            for word in range(start // WORD, (start + insn.op.size - 1) // WORD + 1):
                yield pc, reg.map.index, word, use


def unsure_words(stack: list[Slot], off: int, size: int) -> Iterator[tuple[int, bool]]:
    """Words of a value on the stack that are not known to be 0: (word, the register saved there is not 0 either)."""
    for at in range(size):
        below = -(off + at) - 1
        slot = stack[below // SLOT] if below // SLOT < len(stack) else EMPTY
        if slot.types[below % SLOT] != ZEROED:
            yield at // WORD, not (slot.types[below % SLOT] == SPILL and slot.reg.is_null)


def conflicts(program: Program, watch: Gatherer, ours: bool = False) -> Iterator[tuple[int, str]]:
    """(slot, message) where a word gets a second use, or may start from another value than 0.

    The driver knows only zeros stored as such, `ours` also a register that holds 0.
    """
    known: dict[tuple[int, int], str] = {}
    for pc, number, word, use in uses(program, watch):
        before = known.setdefault((number, word), use)
        if before != use:
            yield pc, f"map value use type conflict {before} vs {use} off: {WORD * word}"
    for pc, words in watch.updates.items():
        for number, word, surely in sorted(words):
            if known.get((number, word)) == ATOMIC and (surely or not ours):
                yield pc, f"value at offset {WORD * word} may be non-zero, atomic counters start from zero"
                break


def atomic_words(program: Program) -> dict[int, set[int]]:
    """The counted words of each map of a verified program."""
    if not any(insn is not None and insn.kind == ops.ATOMIC for insn in program.insns):
        return {}
    from bpfbench.nfp.gather import gather

    found: dict[int, set[int]] = {}
    for _, number, word, use in uses(program, gather(program)[1]):
        if use == ATOMIC:
            found.setdefault(number, set()).add(word)
    return found


def swapped(value: bytes, words: set[int]) -> bytes:
    """A value with the bytes of its counted words in the other order.

    >>> swapped(bytes(range(8)), {1}).hex()
    '0001020307060504'
    """
    content = bytearray(value)
    for word in words:
        content[WORD * word : WORD * word + WORD] = content[WORD * word : WORD * word + WORD][::-1]
    return bytes(content)
