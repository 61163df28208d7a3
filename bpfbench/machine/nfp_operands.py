"""Operands of the NFP micro-engine: what their text says, and the field that each goes to.

One instruction reads at most one register of bank A and one of bank B, because each bank has its own field:

    op(left, right)     left in bank B, or right in bank A:   fields (A, B) = (right, left), swap bit 1
                        otherwise:                            fields (A, B) = (left, right), swap bit 0

A field has ten bits, in formats with restrictions eight, which follow from the ten.
Source: `swreg_to_unrestricted` and `swreg_to_restricted` of the driver's nfp_asm.c.
"""

from __future__ import annotations

import re
from typing import Final, final

from bpfbench.errors import MachineError

CONSTANT: Final = 0x300                         # the bits of a constant beside its value, and of "write nothing"
STEPS: Final = {"++": 0x10, "--": 0x11}         # local memory whose pointer steps after the access
LOCAL: Final = re.compile(r"\*l\$index([0-3])(?:\[(\d+)\]|(\+\+|--))?$")


@final
class Operand:
    """A register, local memory, a constant of eight bits or nothing, as a source.

    `kind`  A, B, xfer, next (the neighbour's), lm, const or none      `bits`  the ten of formats without restrictions
    `high`  the extension bit for local-memory pointers 2 and 3
    """

    __slots__ = ("text", "kind", "bits", "high")

    def __init__(self, text: str, kind: str, bits: int, high: int = 0) -> None:
        self.text = text
        self.kind = kind
        self.bits = bits
        self.high = high


OPERANDS: Final = 1 << 12                       # that are remembered
NOWHERE: Final = Operand("--", "none", CONSTANT)
_known: dict[str, Operand] = {}


def operand(text: str) -> Operand:
    """What an operand's text says; MachineError names one that says nothing.  There are few, so each is read once.

    >>> operand("gprB_4").kind, operand("0x7").bits == CONSTANT | 7
    ('B', True)
    """
    found = _known.get(text)
    if found is None:
        if len(_known) >= OPERANDS:
            _known.clear()
        found = _known[text] = _read(text)
    return found


def forget() -> None:
    """Read operands anew, as in a new process."""
    _known.clear()


def _read(text: str) -> Operand:
    if text.startswith("@"):                    # through the context's own base register
        name = text[1:]
        if name.startswith(("gprA_", "gprB_")):
            return Operand(text, name[3], 0x80 | number(name[5:], 128))
    if text.startswith(("gprA_", "gprB_")):
        return Operand(text, text[3], number(text[5:], 32))
    if text.startswith("$xfer_"):
        index = number(text[6:], 64)
        return Operand(text, "xfer", 0x180 | index & 31 | (index & 32) << 1)
    if text == "--":
        return Operand(text, "none", 0)
    if text.startswith("*l$"):
        return _local(text)
    if text.startswith("n$reg_"):
        return Operand(text, "next", 0x280 | number(text[6:], 128))
    if text[:1].isdigit():
        return Operand(text, "const", CONSTANT | number(text, 256))
    raise MachineError(f"operand {text!r} is not one of gprA_n, gprB_n, $xfer_n, *l$indexN, a constant or --")


def _local(text: str) -> Operand:
    match = LOCAL.match(text)
    if not match or int(match[2] or 0) > 15:
        raise MachineError(f"{text!r} is not *l$indexN[offset], *l$indexN++ or *l$indexN--")
    pointer = int(match[1])
    step = STEPS.get(match[3] or "", int(match[2] or 0))
    return Operand(text, "lm", 0x200 | (pointer & 1) << 5 | step, pointer >> 1)


def destination(text: str) -> Operand:
    """The same as a destination: "--" has the bits of a constant there, and a constant is refused with a MachineError."""
    found = operand(text)
    if found.kind == "const":
        raise MachineError(f"{text}: a constant cannot be written")
    return NOWHERE if found.kind == "none" else found


def number(text: str, limit: int) -> int:
    """A number of an instruction's text, below `limit`; else a MachineError.  A dot before it is an address's."""
    try:
        value = int(text.removeprefix("."), 0)
    except ValueError:
        raise MachineError(f"{text!r} is not a number") from None
    if not 0 <= value < limit:
        raise MachineError(f"{text} is out of range, the limit is {limit - 1:#x}")
    return value


def restricted(source: Operand, limit: int = 128) -> int:
    """Eight bits, made of the ten; of a constant of eight bits (`limit` 256) the topmost is left to the instruction.

    MachineError names an operand that does not fit: other registers, and local memory beyond the eighth word or stepping.
    """
    kind, bits = source.kind, source.bits
    if kind == "none":
        return 0x20 if bits else 0
    if kind == "const":
        value = bits & 0xFF
        if value >= limit:
            raise MachineError(f"{source.text} is out of range, the limit is {limit - 1:#x}")
        return 0x20 | value & 0x1F | (value & 0x60) << 1
    if kind == "xfer":
        return bits & 0xFF
    if kind == "lm":
        if bits & 0x1F > 7:
            raise MachineError(f"{source.text!r}: here local memory is *l$indexN[0..7] without ++ or --")
        return 0x50 | (bits >> 5 & 1) << 3 | bits & 7
    if kind == "next" or bits & 0x80:
        raise MachineError(f"{source.text} does not fit an operand of eight bits")
    return bits


def place(left: Operand, right: Operand) -> tuple[Operand, Operand, bool]:
    """(operand of field A, operand of field B, are they swapped); MachineError where both are of one kind.

    >>> a, b, swapped = place(operand("0x7"), operand("gprA_2"))
    >>> a.text, b.text, swapped
    ('gprA_2', '0x7', True)
    """
    if left.kind == right.kind != "none":
        raise MachineError(f"{left.text} and {right.text} are of the same kind: one instruction reads one of each")
    if left.kind == "B" or right.kind == "A":
        return right, left, True
    return left, right, False
