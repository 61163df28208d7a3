"""Why a program is refused: the rules of this analysis, each with a stable code.

The codes are its own; where Linux has a rule for the same thing, the row names a word of its message, so that a
comparison can tell "refused for another reason" from "refused for the same one".

| field | |
|---|---|
| `code` | stable name |
| `safety` | True: an accepted program could break the machine; False: shape, privilege, habit |
| `why` | what could happen |
"""

from __future__ import annotations

from typing import Final, final


@final
class Rule:
    """One row of `RULES`."""

    __slots__ = ("code", "safety", "why")

    def __init__(self, code: str, safety: bool, why: str) -> None:
        self.code = code
        self.safety = safety
        self.why = why

    def __repr__(self) -> str:
        return f"Rule({self.code})"


RULES: Final[dict[str, Rule]] = {row[0]: Rule(*row) for row in (
    # code                safety  why
    ("shape",             True,   "Control could leave the program, or land inside an instruction."),
    ("unreachable",       False,  "Code that no path reaches is refused by Linux; it cannot do harm."),
    ("encoding",          True,   "The instruction has no meaning, or a reserved field is not zero."),
    ("load",              False,  "This kind of program is not loaded this way."),
    ("uninitialised",     True,   "The register holds nothing on some path."),
    ("not-a-pointer",     True,   "A number is used as an address."),
    ("maybe-null",        True,   "The pointer is null on some path."),
    ("frame-pointer",     True,   "r10 cannot be written."),
    ("pointer-arithmetic", True,  "The result would not be a pointer into the region."),
    ("unbounded-offset",  True,   "The offset added to a pointer may be anything."),
    ("out-of-bounds",     True,   "The access may lie outside its region."),
    ("packet-bounds",     True,   "Nothing proves that the packet has the bytes."),
    ("stack-bounds",      True,   "The access may lie outside the frame."),
    ("alignment",         True,   "The access is not aligned where it has to be."),
    ("partial-pointer",   True,   "Half a pointer would be read or written."),
    ("caller-stack",      True,   "The address of a frame would outlive the frame."),
    ("context",           True,   "The context has no such field for this kind of program."),
    ("read-only",         True,   "The region may not be written."),
    ("write-only",        True,   "The region may not be read."),
    ("special-field",     True,   "The bytes belong to the kernel (a lock, a timer)."),
    ("mixed-pointers",    True,   "One instruction would have to be rewritten in two ways."),
    ("atomic",            True,   "Memory of this kind has no atomic operations."),
    ("divide",            True,   "Division by the constant zero, or a shift by the width or more."),
    ("helper",            False,  "The program may not call that helper."),
    ("argument",          True,   "A helper is given what it does not take."),
    ("size",              True,   "The size of a buffer is not bounded, or negative."),
    ("map-kind",          True,   "The helper does not work on that kind of map."),
    ("reference",         True,   "A resource is not released, or released twice."),
    ("lock",              True,   "A lock is held at a place where it must not be."),
    ("return-value",      True,   "What the program returns is not one of the values its hook understands."),
    ("call-depth",        True,   "Frames of called functions exceed eight, or recursion."),
    ("stack-depth",       True,   "The frames of a chain of calls exceed 512 bytes."),
    ("callback",          True,   "A callback may not do, or return, that."),
    ("endless",           True,   "Nothing shows that the loop ends."),
    ("dynptr",            True,   "A dynamic pointer is not in the state the helper needs."),
    ("too-complex",       False,  "The analysis gave up before a fixed point."),
    ("not-supported",     False,  "This analysis does not model the construct."),
)}  # fmt: skip


class Refused(Exception):
    """A check failed: `rule`, `message`, the `pc` and the registers that the check depends on.

    Never leaves this folder: verify.py turns it into a `Rejection`.
    """

    def __init__(self, rule: str, message: str, pc: int, regs: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.rule = rule
        self.message = message
        self.pc = pc
        self.regs = regs
        self.state: object = None
