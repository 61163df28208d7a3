"""The plugin protocol of the bpf_conformance suite.

The suite starts a plugin per test: the program arrives as hex (one line on standard input), the initial memory as hex
in an optional argument.  The program is called with r1 = address of the memory and r2 = its length (0 and 0 without
memory); the plugin prints r0 in hex and exits with 0.  A program with a reserved field set must be refused, and a
program that fails must not print a result: then the exit status is not 0 and standard error says why.

Native engines run only what a verifier has accepted, so there the memory becomes a packet: an XDP prologue checks that
it is there and loads r1 and r2, which is also how the suite tests the Linux kernel.  A program to which the suite has
put such a prologue itself runs as an XDP program on every engine.

Source: https://github.com/Alan-Jowett/bpf_conformance (README, plugins).
"""

from __future__ import annotations

import re
import sys

from bpfbench.errors import BpfbenchError, UsageError
from bpfbench.execute import run as execute
from bpfbench.interp.machine import Result, run_memory
from bpfbench.isa.codec import decode, encode
from bpfbench.isa.insn import Instruction
from bpfbench.program.program import Program, from_assembly

# r0 is what the suite's own prologue leaves there; the short exit is taken when the packet lacks the memory
PROLOGUE = """
    r0 = -1
    r6 = r1
    r1 = *(u32 *)(r6 + 0)
    r2 = *(u32 *)(r6 + 4)
    r3 = r1
    r3 += {size}
    if r3 <= r2 goto run
    exit
run:
    r2 = {size}
    r0 = 0
"""
# how a program begins to which the suite (option --xdp_prolog) has put its own prologue
SUITE_PROLOGUE = from_assembly("r0 = -1\nr6 = r1\nr1 = *(u32 *)(r6 + 0)\nr2 = *(u32 *)(r6 + 4)\nr3 = r1").insns
ETHERNET_HEADER = 14


def run(memory: str, program: str, engine: str = "interp") -> int:
    """Answer one test: print r0 (hex) and return 0, or say why not and return 1 (program's fault) or 2 (call's)."""
    try:
        value, failure = answer(unhex(memory, "memory"), unhex(program, "program"), engine)
    except BpfbenchError as error:
        sys.stderr.write(f"bpfbench plugin: {error}\n")
        return 2
    if failure:
        sys.stderr.write(f"bpfbench plugin: {failure}\n")
        return 1
    sys.stdout.write(f"{value:x}\n")
    return 0


def answer(memory: bytes, program: bytes, engine: str = "interp") -> tuple[int, str]:
    """(r0, "") or (0, what the program did wrong); `BpfbenchError` for a program that is refused.

    >>> answer(b"", bytes.fromhex("b7000000020000009500000000000000"))
    (2, '')
    """
    insns = decode(program)
    if not insns:
        raise UsageError("there is no program")
    if insns[: len(SUITE_PROLOGUE)] == SUITE_PROLOGUE:
        result = execute(Program(insns, type="xdp", name="test"), memory.ljust(ETHERNET_HEADER, b"\0"), engine)
    elif engine == "interp":
        result = run_memory(Program(insns, name="test"), memory)
    else:
        result = _as_packet(insns, memory, engine)
    return (result.r0, "") if result.trap is None else (0, str(result.trap))


def _as_packet(insns: list[Instruction | None], memory: bytes, engine: str) -> Result:
    head = from_assembly(PROLOGUE.format(size=len(memory)) + "exit").insns[:-1] if memory else []
    prog = Program(decode(encode(head) + encode(insns)) if head else insns, type="xdp", name="test")
    return execute(prog, memory.ljust(ETHERNET_HEADER, b"\0"), engine)


def unhex(text: str, what: str) -> bytes:
    """Bytes from hex digits with any blanks between them."""
    try:
        return bytes.fromhex(re.sub(r"\s+", " ", text).strip())
    except ValueError:
        raise UsageError(f"the {what} is not hex digits") from None
