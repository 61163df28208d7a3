"""What exercises share: small programs, the log of a walk as plain lines, and where two of them differ."""

from __future__ import annotations

from random import Random
from typing import Any

from bpfbench.program.program import Program, from_assembly
from bpfbench.verifier.verification import Verification, verify


def program(text: str, type: str = "xdp") -> Program:
    return from_assembly(text, type, "prog", "GPL")


def verified(text: str, type: str = "xdp", kernel: str = "linux-6.18", trace: bool = False,
             without: tuple[str, ...] = ()) -> Verification:  # fmt: skip
    """What `bpfbench.verify` says of a program's text."""
    return verify(program(text, type), kernel=kernel, trace=trace, without=without)


def log_lines(text: str, kernel: str = "linux-6.18") -> list[str]:
    """The level-2 log of the verifier without its last line, or what went wrong."""
    v = verify(program(text), kernel=kernel, trace=True)
    return [line for line in v.log(2).splitlines() if not line.startswith("verification time")]


def numbers_program(random: Random, op: str) -> str:
    """Two half-known numbers, combined; the log shows what is known of the result."""
    mask, low = random.randrange(1, 1 << 12), random.randrange(1, 200)
    other = random.randrange(1, 1 << 10)
    return (f"r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr3 = *(u32 *)(r1 +16)\nr2 &= {mask}\nr3 &= {other}\n"
            f"r3 |= {low}\nr2 {op} r3\nr2 {op} {random.randrange(2, 50)}\nr0 = r2\nexit").replace(
                "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\n", "r2 = *(u32 *)(r1 +12)\n")  # fmt: skip


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
