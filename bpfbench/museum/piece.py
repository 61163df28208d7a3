"""What a piece is: the story of a bug, a program, and what happens to it before and after the fix.

Everything is computed when asked for and then kept; nothing is stored that a verifier could have said.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Final

from bpfbench.debug.stepper import Stepper, record
from bpfbench.errors import BpfbenchError
from bpfbench.museum.contradiction import Contradiction, first_contradiction
from bpfbench.museum.typed import Prototype, with_types
from bpfbench.program.program import Program, from_assembly
from bpfbench.verifier.history import SWITCHES
from bpfbench.verifier.verification import Verification, verify

TODAY: Final = "linux-6.18"
RULER: Final = "-" * 78


class Piece:
    """One bug.

    `name`      the CVE number, or a word where there is none · `title`  what it was about, in a line
    `text`      the story: what the rule was, why it is wrong, what one could do with it, what fixed it
    `commit`    the Linux commit that fixed it · `kernels`  those that had it
    `assembly`  the program's text; comments say what the faulty kernel believed and what is true
    """

    kind = ""

    def __init__(self, name: str, title: str, commit: str, kernels: str, text: str, assembly: str,
                 prog_type: str = "xdp", data: bytes = b"", functions: dict[str, Prototype] | None = None) -> None:
        self.name = name
        self.title = title
        self.commit = commit
        self.kernels = kernels
        self.text = text.strip()
        self.assembly = assembly.strip("\n").rstrip()
        self.prog_type = prog_type
        self.data = data
        self.functions = functions or {}

    @cached_property
    def program(self) -> Program:
        """The program, with type information where its functions need some."""
        made = from_assembly(self.assembly, self.prog_type, self.name.lower().replace("-", "_"))
        return with_types(made, self.functions) if self.functions else made

    @property
    def today(self) -> Verification:
        """What the verifier of the newest profile says."""
        return verify(self.program, TODAY)

    def live(self) -> Any:
        """The running kernel's verdict on the program, or None where it cannot be asked; nothing is attached."""
        from bpfbench.kernel import available, verify

        return verify(self.program) if available() else None

    def show(self) -> str:
        """The whole piece as text: story, program, and each of the things that can be done with it."""
        head = [f"{self.name}: {self.title}", f"fixed by Linux commit {self.commit}; in kernels {self.kernels}", RULER]
        return "\n".join([*head, self.text, "", self.assembly, "", *self.findings()])

    def findings(self) -> list[str]:
        raise NotImplementedError

    def to_json(self) -> dict[str, object]:
        return {"name": self.name, "kind": self.kind, "title": self.title, "commit": self.commit,
                "kernels": self.kernels}

    def __repr__(self) -> str:
        return f"<{self.name}: {self.title}>"


class VerifierPiece(Piece):
    """A bug of the verifier; `kernel` is the profile that the wrong rule is put back into.

    >>> from bpfbench.museum import piece
    >>> old = piece("CVE-2017-16995")
    >>> old.faulty.accepted, old.fixed
    (True, <rejected: R6 invalid mem access 'inv'>)
    """

    kind = "verifier"

    def __init__(self, name: str, title: str, kernel: str, text: str, assembly: str, prog_type: str = "xdp",
                 data: bytes = b"", functions: dict[str, Prototype] | None = None) -> None:
        switch = SWITCHES[name]
        super().__init__(name, title, switch.commit, switch.kernels, text, assembly, prog_type, data, functions)
        self.kernel = kernel

    @cached_property
    def faulty(self) -> Verification:
        """The verification without the fix, with its trace."""
        return verify(self.program, self.kernel, trace=True, without=(self.name,))

    @cached_property
    def fixed(self) -> Verification:
        """The verification by the same kernel profile as it should be."""
        return verify(self.program, self.kernel, trace=True)

    @cached_property
    def run(self) -> Stepper:
        """The program run on the piece's input in the interpreter, beside the states of the faulty verification."""
        return record(self.program, self.data, verification=self.faulty)

    @cached_property
    def contradiction(self) -> Contradiction:
        """The first moment of the run that the faulty verifier's states do not cover."""
        found = first_contradiction(self.run)
        if found is None:
            raise BpfbenchError(f"museum piece {self.name}: the run does not contradict the verifier")
        return found

    def findings(self) -> list[str]:
        live = self.live()
        return [
            f"without the fix ({self.kernel}): {self.faulty!r}",
            f"its run:\n{indented(str(self.contradiction))}",
            f"with the fix ({self.kernel}): {self.fixed!r}",
            f"today ({TODAY}): {self.today!r}",
            f"the running kernel: {live!r}" if live is not None else "the running kernel cannot be asked here",
        ]

    def to_json(self) -> dict[str, object]:
        found, live = self.contradiction, self.live()
        return {
            **super().to_json(), "profile": self.kernel, "faulty": repr(self.faulty), "fixed": repr(self.fixed),
            "contradiction": {"kind": found.kind, "pc": found.pc, "register": found.register, "value": found.value,
                              "claimed": found.claimed, "trap": str(found.trap) if found.trap else None},
            "live": live.to_json() if live is not None else None,
        }  # fmt: skip


def indented(text: str) -> str:
    return "\n".join("  " + line for line in text.splitlines())
