"""Pieces about code generators: right program, right verdict, wrong machine code."""

from __future__ import annotations

from functools import cached_property
from typing import final

from bpfbench.execute.emulate import run as emulate
from bpfbench.execute.shared import compile_for
from bpfbench.interp.machine import Result
from bpfbench.interp.machine import run as interpret
from bpfbench.jit.code import Code
from bpfbench.jit.history import FAULTS
from bpfbench.museum.piece import TODAY, Piece
from bpfbench.verifier.verification import Verification, verify


@final
class CodegenPiece(Piece):
    """A bug of a code generator, on machine `target`.

    >>> from bpfbench.museum import piece
    >>> old = piece("ppc64-negate")
    >>> hex(old.expected.r0), hex(old.wrong_run.r0), hex(old.right_run.r0)
    ('0x80000000', '0xffffffff80000000', '0x80000000')
    """

    kind = "jit"

    def __init__(self, name: str, title: str, text: str, assembly: str, prog_type: str = "xdp",
                 data: bytes = b"") -> None:
        fault = FAULTS[name]
        super().__init__(name, title, fault.commit, fault.kernels, text, assembly, prog_type, data)
        self.target = fault.target

    @cached_property
    def verification(self) -> Verification:
        """The verifier's verdict: accepted, and rightly so."""
        return verify(self.program, TODAY)

    @cached_property
    def wrong_code(self) -> Code:
        """The native code as before the fix (as the emulator runs it)."""
        return compile_for(self.program, self.target, fault=self.name)[1]

    @cached_property
    def right_code(self) -> Code:
        return compile_for(self.program, self.target)[1]

    @property
    def differences(self) -> list[tuple[str, str]]:
        """The native instructions that differ: (before the fix, after), "" where there is none."""
        before, after = ([f"{row.addr:#x}: {row.text}" for row in code.insns]
                         for code in (self.wrong_code, self.right_code))
        width = max(len(before), len(after))
        rows = zip(before + [""] * (width - len(before)), after + [""] * (width - len(after)), strict=True)
        return [(a, b) for a, b in rows if a != b]

    @cached_property
    def expected(self) -> Result:
        """What the program means: its run in the interpreter."""
        return interpret(self.program, self.data)

    @cached_property
    def wrong_run(self) -> Result:
        """The run of the wrong code under emulation."""
        return emulate(self.program, self.data, self.target, fault=self.name)

    @cached_property
    def right_run(self) -> Result:
        return emulate(self.program, self.data, self.target)

    def findings(self) -> list[str]:
        shown = [f"  {before:44s} {after}" for before, after in self.differences[:8]]
        return [
            f"the verifier: {self.verification!r}",
            f"{self.target} before the fix: {outcome(self.wrong_run)}",
            f"{self.target} after the fix:  {outcome(self.right_run)}",
            f"the interpreter:        {outcome(self.expected)}",
            "native code before and after:", *shown,
        ]  # fmt: skip

    def to_json(self) -> dict[str, object]:
        return {**super().to_json(), "target": self.target, "expected": outcome(self.expected),
                "wrong": outcome(self.wrong_run), "right": outcome(self.right_run)}


def outcome(result: Result) -> str:
    """r0, or the trap."""
    return f"trap: {result.trap}" if result.trap is not None else f"r0 = {result.r0:#x}"
