"""Relocation of an NFP image: the back-end links its programs itself (slide 42).

While an image can still be moved, the top byte of each word says what its branch target or constant means, and
branches that leave the program carry a placeholder:

    63      56 55          45 44                 0
    +---------+--------------+--------------------+      RELOCATIONS[type] -> where the branch goes,
    |  type   |      0       |      payload       |      or what is added to the constant
    +---------+--------------+--------------------+

`relocate` resolves them for one place in the code store, clears the type and adds the ECC.
Source: `nfp_bpf_relo_for_vnic` in the driver's bpf/jit.c.
"""

from __future__ import annotations

from typing import Final, final

from bpfbench.errors import JitError
from bpfbench.machine import nfp

PLACEHOLDER: Final = 15000  # the target of a branch whose destination is not known yet; plus its number for a helper
TYPE_SHIFT: Final = 56

# fmt: off
NONE, BR_REL, GO_OUT, GO_ABORT, GO_PUSH, GO_POP, NEXT_PACKET, HELPER, IMMED_REL = range(9)
#              type         meaning
RELOCATIONS: Final = {
    NONE:        "nothing to do",
    BR_REL:      "branch within the program: add its start",
    GO_OUT:      "branch to the common exit",
    GO_ABORT:    "branch to the exit for aborted packets",
    GO_PUSH:     "branch to the routine that saves R6-R9",
    GO_POP:      "branch to the routine that restores R6-R9",
    NEXT_PACKET: "branch to the firmware: the packet is done",
    HELPER:      "branch to a helper of the firmware",
    IMMED_REL:   "constant of 16 bits: add the start of the program",
}
# fmt: on


@final
class Place:
    """Where an image goes: start and done are instruction numbers in the code store, the others are in the image.

    `push` and `pop` are 0 when the program has no such routine; `helpers` gives firmware addresses by helper number.
    """

    __slots__ = ("start", "done", "out", "abort", "push", "pop", "helpers")

    def __init__(
        self, start: int, done: int, out: int, abort: int, push: int = 0, pop: int = 0,
        helpers: dict[int, int] | None = None,
    ) -> None:  # fmt: skip
        self.start = start
        self.done = done
        self.out = out
        self.abort = abort
        self.push = push
        self.pop = pop
        self.helpers = helpers or {}


def _branch_target(kind: int, old: int, place: Place, index: int) -> int:
    if kind == BR_REL:
        return old + place.start
    if kind == NEXT_PACKET:
        return place.done
    if kind == HELPER:
        if old - PLACEHOLDER not in place.helpers:
            raise JitError(f"NFP word {index}: the firmware has no helper {old - PLACEHOLDER}")
        return place.helpers[old - PLACEHOLDER]
    routine = {GO_OUT: place.out, GO_ABORT: place.abort, GO_PUSH: place.push, GO_POP: place.pop}[kind]
    if not routine:
        raise JitError(f"NFP word {index}: {RELOCATIONS[kind]}, which the program does not have")
    return routine + place.start


def _moved_constant(payload: int, start: int, index: int) -> int:
    row = nfp.format_of(payload)
    fields = row.unpack(payload)
    if row.name != "immed" or fields["inv"] or fields["shift"] or fields["width"]:
        raise JitError(f"NFP word {index}: only a plain immed can be relocated")
    low = "a" if fields["a"] >> 8 == 3 else "b"
    value = (fields["hi"] << 8 | fields[low] & 0xFF) + start
    if value > 0xFFFF:
        raise JitError(f"NFP word {index}: constant {value:#x} exceeds 16 bits after relocation")
    return row.pack(**fields | {"hi": value >> 8, low: 0x300 | value & 0xFF})


def relocate(words: list[int], place: Place) -> list[int]:
    """The image as the card executes it; JitError names the word that cannot be placed.

    >>> place = Place(start=0, done=7777, out=8, abort=5)
    >>> [hex(word) for word in relocate([0x020001DEA6008038], place)]
    ['0xce0d802008038']
    """
    image = []
    for index, word in enumerate(words):
        kind, payload = word >> TYPE_SHIFT, word & nfp.PAYLOAD
        if kind not in RELOCATIONS:
            raise JitError(f"NFP word {index}: relocation type {kind} does not exist")
        if kind == IMMED_REL:
            payload = _moved_constant(payload, place.start, index)
        elif kind:
            row = nfp.format_of(payload)
            fields = row.unpack(payload)
            if row.name not in ("br", "br_bit"):
                raise JitError(f"NFP word {index}: {RELOCATIONS[kind]}, but the word is no branch")
            target = _branch_target(kind, fields["addr"], place, index)
            if target >= nfp.CODE_STORE:
                raise JitError(f"NFP word {index}: branch target {target} is beyond the code store")
            payload = row.pack(**fields | {"addr": target})
        image.append(nfp.protect(payload))
    return image
