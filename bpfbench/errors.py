"""Errors that name a place: one class per layer, one clear line each.

Every error that leaves bpfbench derives from `BpfbenchError` and carries a `Where`.  Text errors (assembly, C) show
the offending line and a caret.  What a *verifier* refuses is not an error but a value (`Rejection`); what a *program*
does wrong at run time is a `Trap` value; an exception here means that the input or the call was wrong.
"""

from __future__ import annotations

from typing import final


@final
class Where:
    """A place in somebody's input.  Fields that do not apply keep their default.

    >>> str(Where(file="xdp.o", section="xdp", offset=0x40))
    'xdp.o, section xdp, offset 0x40'
    >>> str(Where(file="a.s", line=3, column=7))
    'a.s:3:7'
    """

    __slots__ = ("file", "line", "column", "section", "pc", "offset")

    def __init__(
        self, file: str = "", line: int = 0, column: int = 0, section: str = "", pc: int = -1, offset: int = -1
    ) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.section = section
        self.pc = pc
        self.offset = offset

    def __str__(self) -> str:
        head = self.file
        if self.line:
            head = f"{self.file or '<text>'}:{self.line}" + (f":{self.column}" if self.column else "")
        parts = [head] if head else []
        if self.section:
            parts.append(f"section {self.section}")
        if self.offset >= 0:
            parts.append(f"offset {self.offset:#x}")
        if self.pc >= 0:
            parts.append(f"insn {self.pc}")
        return ", ".join(parts)

    def __repr__(self) -> str:
        return f"Where({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Where) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))


class BpfbenchError(Exception):
    """Base of all errors.  `message` is one line; `where` the place; `source_line` the text it happened in, if any."""

    def __init__(self, message: str, where: Where | None = None, source_line: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where if where is not None else Where()
        self.source_line = source_line

    def __str__(self) -> str:
        place = str(self.where)
        text = f"{place}: {self.message}" if place else self.message
        if self.source_line:
            text += f"\n    {self.source_line}"
            if self.where.column:
                text += "\n    " + " " * (self.where.column - 1) + "^"
        return text


class UsageError(BpfbenchError):
    """The call itself is wrong: an unknown option, target, kernel or file."""


class NotSupported(BpfbenchError):
    """Something that exists but that bpfbench does not do; the message says what."""

    def __init__(self, message: str, where: Where | None = None, source_line: str = "") -> None:
        super().__init__(f"not supported: {message}", where, source_line)


class DecodeError(BpfbenchError):
    """Bytes that are not instructions (isa)."""


class EncodeError(BpfbenchError):
    """An operand that does not fit its field (isa)."""


class ParseError(BpfbenchError):
    """Text that is not assembly (isa)."""


class ProgramError(BpfbenchError):
    """A program that is not well formed: program JSON, function partition, map table (program)."""


class MachineError(BpfbenchError):
    """A host-machine instruction that cannot be encoded or decoded (machine)."""


class ElfError(BpfbenchError):
    """A malformed object file (elf)."""


class BtfError(BpfbenchError):
    """Malformed BTF or BTF.ext (elf)."""


class ToolchainError(BpfbenchError):
    """No usable compiler, or the compiler refused the source (toolchain)."""


class VerifierError(BpfbenchError):
    """The verifier could not be run on this input (verifier, fixpoint); a refused program is a `Rejection` instead."""


class InterpError(BpfbenchError):
    """The interpreter could not be set up (interp); what the program does wrong is a `Trap` instead."""


class JitError(BpfbenchError):
    """Code generation failed (jit)."""


class ExecuteError(BpfbenchError):
    """Native or emulated execution could not be set up, or crashed (execute)."""


class Hazard(ExecuteError):
    """NFP code did what the micro-engine leaves undefined; `rule` is a stable code, `cycle` when (execute/nfp_state)."""

    def __init__(self, rule: str, message: str, where: Where | None = None, source_line: str = "", cycle: int = 0) -> None:
        super().__init__(message, where, source_line)
        self.rule = rule
        self.cycle = cycle


class KernelError(BpfbenchError):
    """The live kernel refused a system call (kernel); `errno` and the verifier `log` are kept."""

    def __init__(self, message: str, where: Where | None = None, errno: int = 0, log: str = "") -> None:
        super().__init__(message, where)
        self.errno = errno
        self.log = log


class DynlinkError(BpfbenchError):
    """Linking of BPF objects failed (dynlink)."""


class DebugError(BpfbenchError):
    """Debug information could not be made (debug)."""


class JumptableError(BpfbenchError):
    """An AArch64 binary could not be analysed or rewritten (jumptable)."""


class NotebookError(BpfbenchError):
    """A view could not be built (notebook)."""


class CourseError(BpfbenchError):
    """An exercise or a submission is not usable (course)."""
