"""What exercises share: small programs, the log of a walk as plain lines, and where two of them differ."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from bpfbench.course.exercise import Failed, Plain, inside
from bpfbench.program.program import Program, from_assembly
from bpfbench.verifier.verification import Verification, verify


def program(text: str, type: str = "xdp") -> Program:
    return from_assembly(text, type, "prog", "GPL")


def verified(text: str, type: str = "xdp", kernel: str = "linux-6.18", trace: bool = False,
             without: tuple[str, ...] = ()) -> Verification:  # fmt: skip
    """What `bpfbench.verify` says of a program's text."""
    return verify(program(text, type), kernel=kernel, trace=trace, without=without)


def log_lines(text: str, kernel: str = "linux-6.18", type: str = "xdp") -> list[str]:
    """The level-2 log of the verifier without its last line, or what went wrong."""
    v = verify(program(text, type), kernel=kernel, trace=True)
    return [line for line in v.log(2).splitlines() if not line.startswith("verification time")]


def hole(path: str, adapt: Callable[[Any], Callable[..., Any]], direct: Callable[[Any, Any], Plain],
         engine: Callable[..., Any]) -> tuple[Callable[[Any, Any], Plain], Callable[[Any], Plain]]:  # fmt: skip
    """The attempt and the expectation of an exercise whose answer takes the place of the function at `path`.

    A case with a "program" (and perhaps "kernel", "type") is walked with `adapt(answer)` in that place and gives its log;
    any other case is given to `direct(answer, case)`, and what is expected is `direct(engine, case)`.
    """

    def walked(case: Any) -> Plain:
        return log_lines(case["program"], case.get("kernel", "linux-6.18"), case.get("type", "xdp"))

    def attempt(answer: Any, case: Any) -> Plain:
        if "program" not in case:
            return direct(answer, case)
        return inside(path, adapt(answer) if callable(answer) else answer, lambda: walked(case))

    def expected(case: Any) -> Plain:
        return walked(case) if "program" in case else direct(engine, case)

    return attempt, expected


def numbers(found: Any, what: str) -> list[int]:
    """A list of ints out of a list, tuple or set; Failed for anything else."""
    if isinstance(found, (set, frozenset)):
        found = sorted(found)
    if not isinstance(found, (list, tuple)) or not all(type(x) is int for x in found):
        raise Failed(f"{what} is a list of numbers, this is {found!r}"[:200])
    return list(found)


def numbers_program(random: Random, op: str) -> str:
    """Two half-known numbers, combined; the log shows what is known of the result."""
    mask, low = random.randrange(1, 1 << 12), random.randrange(1, 200)
    other = random.randrange(1, 1 << 10)
    mixed = "+=" if op == "&=" else "|="                  # by something that is no part of what is asked
    return (f"r2 = *(u32 *)(r1 +12)\nr3 = *(u32 *)(r1 +16)\nr2 &= {mask}\nr3 &= {other}\nr3 {mixed} {low}\n"
            f"r2 {op} r3\nr2 {op} {random.randrange(2, 50)}\nr0 = r2\nexit")  # fmt: skip


def first_difference(wanted: Any, got: Any) -> str:
    """The first line that differs, with the line before it."""
    if not isinstance(wanted, list) or not isinstance(got, list):
        return f"  expected {wanted}\n  got      {got}"
    for i, line in enumerate(wanted):
        if i >= len(got) or got[i] != line:
            before = [f"    {wanted[i - 1]}"] if i else []
            return "\n".join([*before, f"  - {line}", f"  + {got[i] if i < len(got) else '(nothing)'}"])
    return f"  + {got[len(wanted)]}" if len(got) > len(wanted) else "  (the same)"


def marked_listing(text: str, notes: dict[int, str]) -> str:
    """A program as numbered lines, with notes beside some of them."""
    prog = program(text)
    from bpfbench.isa.text import format_insn

    lines = [(pc, format_insn(insn)) for pc, insn in enumerate(prog.insns) if insn is not None]
    return "\n".join(f"  {pc:3}  {line:32} {notes.get(pc, '')}".rstrip() for pc, line in lines)
