"""What each pass achieved: instructions before and after, which code changed, and why that was legal.

    pass              whose    before  after  saved   why it is legal
    negate            driver       61     59      2   x + -c and x - c are the same modulo 2^64, and carry alike
    memcpy            driver       59     47     12   stored as loaded, and no load sees a store of the chain
    ...

The program is translated once without any pass and once more after each: the passes are short, and nothing has to be
believed.  `before` and `after` count NFP instructions, without the nops behind the program.

>>> from bpfbench.program.program import from_assembly
>>> found = reports(from_assembly("r2 = *(u32 *)(r1 + 0)\\nr2 += -8\\nr0 = 2\\nexit"))
>>> found["negate"]
Report(negate: 24 -> 22 instructions)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, final

from bpfbench.isa.text import format_insn
from bpfbench.nfp.passes import BOTH, NAMES, PASSES, check_names
from bpfbench.profiles import profile
from bpfbench.program.program import Program

if TYPE_CHECKING:
    from bpfbench.jit.nfp import NfpCode

OWN: Final = "bpfbench"
PREFETCH: Final = 8             # nops behind every program
MOVES: Final = re.compile(r"\[[^\]]*\]")


@final
class Change:
    """The instruction at `pc`, its code `before` and `after` the pass, and `why` it has none, where it has none."""

    __slots__ = ("pc", "insn", "before", "after", "why")

    def __init__(self, pc: int, insn: str, before: list[str], after: list[str], why: str) -> None:
        self.pc = pc
        self.insn = insn
        self.before = before
        self.after = after
        self.why = why

    @property
    def saved(self) -> int:
        return len(self.before) - len(self.after)

    def __str__(self) -> str:
        note = f"    ; {self.why}" if self.why else ""
        lines = [f"{self.pc:4}: {self.insn}{note}"]
        for line in range(max(len(self.before), len(self.after))):
            old = self.before[line] if line < len(self.before) else ""
            new = self.after[line] if line < len(self.after) else ""
            lines.append(f"        {old:52} {new}".rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Change({self.pc}: {self.insn}, {len(self.before)} -> {len(self.after)})"


@final
class Report:
    """One pass: `whose` is "driver" or "ours", `changes` the instructions whose code it changed."""

    __slots__ = ("name", "whose", "why", "before", "after", "changes")

    def __init__(self, name: str, whose: str, why: str, before: int, after: int, changes: list[Change]) -> None:
        self.name = name
        self.whose = whose
        self.why = why
        self.before = before
        self.after = after
        self.changes = changes

    @property
    def saved(self) -> int:
        return self.before - self.after

    def __str__(self) -> str:
        head = f"{self.name} ({self.whose}): {self.before} -> {self.after} instructions; {self.why}"
        return "\n".join([head, *map(str, self.changes)])

    def __repr__(self) -> str:
        return f"Report({self.name}: {self.before} -> {self.after} instructions)"

    def to_json(self) -> dict[str, Any]:
        changes = [{"pc": c.pc, "insn": c.insn, "before": c.before, "after": c.after, "why": c.why} for c in self.changes]
        return {"pass": self.name, "whose": self.whose, "before": self.before, "after": self.after, "saved": self.saved,
                "why": self.why, "changes": changes}  # fmt: skip


@final
class Reports:
    """The passes of one translation in order; `found[name]` is one of them, `code` the result."""

    __slots__ = ("name", "kernel", "passes", "code")

    def __init__(self, name: str, kernel: str, passes: list[Report], code: NfpCode) -> None:
        self.name = name
        self.kernel = kernel
        self.passes = passes
        self.code = code

    @property
    def before(self) -> int:
        return self.passes[0].before

    @property
    def after(self) -> int:
        return self.passes[-1].after

    def __getitem__(self, name: str) -> Report:
        return next(p for p in self.passes if p.name == name)

    def __iter__(self) -> Any:
        return iter(self.passes)

    def __len__(self) -> int:
        return len(self.passes)

    def __str__(self) -> str:
        lines = [f"{self.name} ({self.kernel}): {self.before} -> {self.after} instructions",
                 f"{'pass':18}{'whose':8}{'before':>7}{'after':>7}{'saved':>7}   why it is legal"]  # fmt: skip
        for p in self.passes:
            lines.append(f"{p.name:18}{p.whose:8}{p.before:7}{p.after:7}{p.saved:7}   {p.why}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"Reports({self.name}, {self.before} -> {self.after} instructions, {len(self.passes)} passes)"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "kernel": self.kernel, "before": self.before, "after": self.after,
                "passes": [p.to_json() for p in self.passes]}  # fmt: skip


def size(code: NfpCode) -> int:
    """Instructions without those that only fill the prefetch window."""
    return len(code.words) - PREFETCH


def code_of(code: NfpCode) -> dict[int, list[str]]:
    """The text of each instruction's code, by pc; what a branch or a return address says when code moves is left out."""
    found: dict[int, list[str]] = {s.pc: [] for s in code.steps}
    for row in code.insns:
        if row.owner >= 0:
            found[row.owner].append(MOVES.sub("[...]", row.text) if row.note else row.text)
    return found


def differences(first: NfpCode, second: NfpCode, source: Program) -> list[Change]:
    old, new = code_of(first), code_of(second)
    reasons = {s.pc: s.removed for s in second.steps}
    changes = []
    for pc in sorted(new):
        insn = source.insns[pc]
        if old[pc] != new[pc] and insn is not None:
            changes.append(Change(pc, format_insn(insn), old[pc], new[pc], reasons[pc]))
    return changes


def reports(program: Program, kernel: str = OWN, without: tuple[str, ...] = (), offload: bool = True) -> Reports:
    """Translate once without any pass, and once more after each of them.

    `kernel`  "bpfbench" for all passes, linux-* for the driver's       `without`  passes left out
    Raises NotSupported for what cannot be offloaded (`offload=False`: what cannot be translated).
    """
    from bpfbench.jit.nfp import compile_from, facts_of

    check_names(without)
    if kernel != OWN:
        profile(kernel)
    facts = facts_of(program, kernel, offload)
    chosen = [row for row in PASSES if row[0] not in without and (kernel == OWN or row[2] == BOTH)]
    done: list[str] = []
    last = compile_from(program, facts, kernel, NAMES)
    found = []
    for name, _, whose, why in chosen:
        done.append(name)
        code = compile_from(program, facts, kernel, tuple(n for n in NAMES if n not in done))
        found.append(Report(name, whose, why, size(last), size(code), differences(last, code, program)))
        last = code
    return Reports(program.name, kernel, found, last)
