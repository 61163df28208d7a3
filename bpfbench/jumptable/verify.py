"""Point 1 of the post, second step: with the graph built, does the guess hold?  Ten rules, each with its verdict.

A guess that breaks a rule is withdrawn (or becomes the look-alike that it is) and says which.  The numbers are those
under which the rules are listed in the documentation.

    1  the array lies in memory the program cannot write, outside of decoded code
    2  every target is an aligned instruction of the owning function
    3  with branch-target marking, every target begins with `bti j`
    4  the stride of the index is the width of the entry
    6  the array overlaps no other table, unless it is the very same one
    7  no target lies in another fragment (.cold) of the function
    8  the sizes agree: compare against decodable entries
    9  the targets are not the entries of other functions (then it is a table of functions)
"""

from __future__ import annotations

from typing import final

from . import a64
from .cfg import Cfg
from .entries import decode
from .functions import Function, FunctionMap
from .guess import Guess, Shape
from .image import Image
from .sizes import Size


@final
class Check:
    """One rule's verdict; a `fatal` failure withdraws the guess."""

    __slots__ = ("rule", "ok", "fatal", "text")

    def __init__(self, rule: int, ok: bool, fatal: bool, text: str) -> None:
        self.rule = rule
        self.ok = ok
        self.fatal = fatal
        self.text = text

    def __repr__(self) -> str:
        return f"rule {self.rule} {'holds' if self.ok else 'FAILS'}: {self.text}"


def verify(
    image: Image, functions: FunctionMap, cfg: Cfg, owner: Function, guess: Guess, size: Size, targets: list[int]
) -> list[Check]:
    """All rules for one guessed table."""
    assert guess.shape is not None
    shape = guess.shape
    return [
        _memory(image, cfg, shape, size),
        *_targets(functions, owner, shape, targets),
        _landing(image, cfg, owner, targets),
        _sizes(size),
    ]


def targets_of(image: Image, shape: Shape, count: int) -> list[int]:
    """The first few targets, as far as they decode."""
    return decode(image, shape, count)


def _memory(image: Image, cfg: Cfg, shape: Shape, size: Size) -> Check:
    start, length = shape.entry.table, size.count * shape.entry.size
    if size.count <= 0 or image.read(start, length) is None:
        return Check(1, False, True, f"{start:#x}..+{length} is not in the file")
    if not image.constant(start):
        return Check(1, False, True, f"{start:#x} is writable")
    sec = image.section(start)
    if sec is not None and start + length > sec.end:
        return Check(1, False, True, f"array leaves {sec.name}")
    if image.executable(start):
        for b in cfg.blocks:
            if b.reached and b.start < start + length and start < b.end:
                return Check(1, False, True, f"array overlaps the code at {b.start:#x}")
        return Check(1, True, False, "in text, outside of the code that is reached")
    return Check(1, True, False, f"in {sec.name if sec else 'a read-only segment'}")


def _targets(functions: FunctionMap, owner: Function, shape: Shape, targets: list[int]) -> list[Check]:
    outside = [
        t
        for k, t in enumerate(targets)
        if (t not in owner or t & 3) and not (shape.relative and t == shape.entry.table + shape.entry.size * k)
    ]  # unused entries are 0
    if not targets:
        return [Check(2, False, True, "no entry decodes")]
    if not outside:
        return [Check(2, True, False, f"all {len(targets)} targets in {owner.name}")]
    t = outside[0]
    entries = sum(t in functions.starts and t != owner.start for t in targets)
    if entries == len(targets):
        return [Check(9, False, True, "every target is the entry of another function")]
    other = functions.at(t)
    if other is not None and other.name.startswith(owner.name + ".cold"):
        return [Check(7, False, True, f"target {t:#x} lies in {other.name}")]
    return [Check(2, False, True, f"target {t:#x} is no instruction of {owner.name}")]


def _landing(image: Image, cfg: Cfg, owner: Function, targets: list[int]) -> Check:
    if not image.bti:
        return Check(3, True, False, "no branch-target marking")
    for t in targets:
        if t in owner:
            insn = cfg.insn(t)
            if insn.op != a64.BTI or not insn.imm & 2:
                return Check(3, False, False, f"target {t:#x} has no bti j")
    return Check(3, True, False, "every target begins with bti j")


def _sizes(size: Size) -> Check:
    if size.agreed:
        return Check(8, True, False, repr(size))
    return Check(8, False, False, f"sources disagree: {size!r}")


def confidence(size: Size, checks: list[Check]) -> str:
    """proven (a bound, and all rules hold), bounded (a bound, some rule does not), guessed (no bound), rejected."""
    if any(not c.ok and c.fatal for c in checks):
        return "rejected"
    if not size.proven:
        return "guessed"
    return "proven" if all(c.ok for c in checks) else "bounded"
