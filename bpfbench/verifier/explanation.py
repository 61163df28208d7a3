"""Why a program was refused: a value that reads as text, converts to JSON, and that notebooks show as HTML.

    rule        stable code (rules.py), with the kernel's message
    knew        what the verifier knew, with the register, slot and numbers that failed
    wanted      what would have satisfied it
    path        the steps that matter on the way there, with the value each one made
    history     what the registers concerned held, in order
    fixes       what to change

`explain` makes one from a verification: it walks once more and remembers the way to the refusal (route.py), because a
walk is deterministic.  `explain_case` makes one from any `Case`, also from a log (logread.py).

>>> from bpfbench.isa.assembler import assemble
>>> from bpfbench.verifier.verification import verify
>>> from bpfbench.program.program import from_assembly
>>> why = verify(from_assembly("r2 = 8\\nr0 = *(u64 *)(r2 +0)\\nexit")).explain()
>>> why.rule, why.knew
('deref', 'Instruction 1 (`r0 = *(u64 *)(r2 +0)`) uses r2 as an address, but r2 is the number 8.')
"""

from __future__ import annotations

import gc
import importlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, final

from bpfbench.program.program import SourceLine
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.case import Case
from bpfbench.verifier.reasons import reason
from bpfbench.verifier.route import Kept, Route, Step, history, relevant, untaken_writers, value_text
from bpfbench.verifier.rules import match, rule
from bpfbench.verifier.words import describe

if TYPE_CHECKING:
    from bpfbench.verifier.verification import Verification

FORMAT: Final = 1               # of the JSON
MOST_STEPS: Final = 24
BEFORE_LOADING: Final = "load"  # code of a refusal without a message: the system call failed
UNKNOWN_RULE: Final = "other"


@final
class PathStep:
    """One step that matters: where, what the instruction is, what it did (`note`), its C line if known."""

    __slots__ = ("pc", "text", "note", "line", "depth", "speculative")

    def __init__(self, pc: int, text: str, note: str, line: SourceLine | None, depth: int, speculative: bool) -> None:
        self.pc = pc
        self.text = text
        self.note = note
        self.line = line
        self.depth = depth
        self.speculative = speculative

    def __repr__(self) -> str:
        return f"<{self.pc}: {self.text}; {self.note}>"

    def to_json(self) -> dict[str, Any]:
        return {"pc": self.pc, "instruction": self.text, "note": self.note, "frame": self.depth,
                "speculative": self.speculative, "line": _line_json(self.line)}


@final
class Subject:
    """A register that the refusal is about: its `name`, its `value` in the kernel's notation, and in `words`."""

    __slots__ = ("name", "value", "words", "history")

    def __init__(self, name: str, value: str, words: str, history: list[tuple[int, str, str]]) -> None:
        self.name = name
        self.value = value
        self.words = words
        self.history = history              # (pc, instruction, value after it); pc -1: from the beginning

    def __repr__(self) -> str:
        return f"<{self.name} = {self.value}>"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "words": self.words,
                "history": [{"pc": pc, "instruction": text, "value": value} for pc, text, value in self.history]}


@final
class Explanation:
    """See the module text.  `str()` is the whole explanation; `specific` is False where only the message is known."""

    __slots__ = ("name", "accepted", "verdict", "rule", "errno", "message", "messages", "pc", "instruction", "line",
                 "knew", "wanted", "why", "fixes", "subjects", "path", "omitted", "facts", "specific")

    def __init__(self, name: str) -> None:
        self.name = name
        self.accepted = True
        self.verdict = ""
        self.rule = ""
        self.errno = ""
        self.message = ""
        self.messages: list[str] = []
        self.pc = -1
        self.instruction = ""
        self.line: SourceLine | None = None
        self.knew = ""
        self.wanted = ""
        self.why = ""
        self.fixes: list[str] = []
        self.subjects: list[Subject] = []
        self.path: list[PathStep] = []
        self.omitted = 0                    # steps of the path that are not among `path` although they matter
        self.facts: dict[str, str] = {}
        self.specific = False

    def __repr__(self) -> str:
        return f"<explanation of {self.name}: {'accepted' if self.accepted else self.rule}>"

    def __contains__(self, text: object) -> bool:
        return str(text) in str(self)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str | None:
        """For notebooks that did not import bpfbench.notebook: its view, which is looked up only when asked for."""
        try:
            view = importlib.import_module("bpfbench.notebook.formatters")
        except ImportError:
            return None
        return str(view.VIEW_OF["Explanation"](self))

    def _lines(self) -> list[str]:
        if self.verdict:
            return [self.verdict]
        place = f" at instruction {self.pc}" if self.pc >= 0 else ""
        errno = f" [{self.errno}]" if self.errno else ""
        out = [f"Refused{place}: {self.message or '(no message)'}{errno}   rule {self.rule}"]
        if self.line is not None:
            where = f"{self.line.file}:{self.line.line}  " if self.line.line else ""
            out.append(f"  {where}{self.line.text.strip()}")
        out += ["", "It knew:", *_wrap(self.knew), "It wanted:", *_wrap(self.wanted)]
        if self.path:
            out += ["", "The way there (only the steps that matter):"]
            out += self._steps()
            out += [f"  ... and {self.omitted} more of the same kind, not shown"] if self.omitted else []
        for subject in self.subjects:
            if len(subject.history) > 1:
                out += ["", f"History of {subject.name}:"]
                out += [f"  {'start' if pc < 0 else pc!s:>5}  {value:48.96}  {text}" for pc, text, value
                        in subject.history]
        if self.why:
            out += ["", "Why this rule:", *_wrap(self.why)]
        if self.fixes:
            out += ["", "What to do:"]
            for fix in self.fixes:
                first, *rest = _wrap(fix, 96)
                out += ["  - " + first.strip(), *("  " + line for line in rest)]
        return [line.rstrip() for line in out]

    def _steps(self) -> list[str]:
        out: list[str] = []
        shown: tuple[str, int] | None = None
        for step in self.path:
            if step.line is not None and (step.line.text, step.line.line) != shown:
                shown = (step.line.text, step.line.line)
                where = f"  ({step.line.file.rsplit('/', 1)[-1]}:{step.line.line})" if step.line.line else ""
                out.append(f"         ; {step.line.text.strip()}{where}")
            frame = f"frame {step.depth}: " if step.depth else ""
            spec = " (speculatively)" if step.speculative else ""
            out.append(f"  {step.pc:5}  {step.text:36}  {frame}{step.note}{spec}")
        return out

    def to_json(self) -> dict[str, Any]:
        """Plain values; the keys and the rule codes are stable.

        >>> Explanation("p").to_json()["accepted"]
        True
        """
        return {
            "format": FORMAT, "name": self.name, "accepted": self.accepted, "rule": self.rule or None,
            "errno": self.errno or None, "message": self.message or None, "messages": self.messages,
            "pc": self.pc if self.pc >= 0 else None, "instruction": self.instruction or None,
            "line": _line_json(self.line), "knew": self.knew, "wanted": self.wanted, "why": self.why,
            "fixes": self.fixes, "registers": [s.to_json() for s in self.subjects],
            "path": [p.to_json() for p in self.path], "omitted_steps": self.omitted, "facts": self.facts,
            "specific": self.specific, "explanation": str(self),
        }  # fmt: skip


def _wrap(text: str, width: int = 98) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False) or ["  "]


def _line_json(line: SourceLine | None) -> dict[str, Any] | None:
    return None if line is None else {"file": line.file, "line": line.line, "text": line.text.strip()}


# Making one ----------------------------------------------------------------------------------------------------------


def explain(v: Verification) -> Explanation:
    """Why `v` was refused (or that it was accepted)."""
    r = v.rejection
    if r is None:
        out = Explanation(v.program.name)
        out.verdict = f"Accepted: {v.stats}"
        return out
    if r.rule == "interrupted":
        out = Explanation(v.program.name)
        out.accepted = False
        out.rule, out.errno, out.message, out.pc = r.rule, r.errno, r.message, r.pc
        out.verdict = f"No verdict: {r.message}. Until then: {v.stats}"
        return out
    route = Route()
    if r.pc >= 0 or v.stats.processed:
        _follow(v, route)
    steps = route.steps if r.pc >= 0 else []
    from bpfbench.verifier.features import features

    version = features(v.kernel, v.without).version
    case = Case(v.program, r.messages or ([r.message] if r.message else []), r.pc, r.errno, steps, route.refs, version,
                True, v.privileged)
    return explain_case(case)


def _follow(v: Verification, route: Route) -> None:
    """Walk once more; the collector would look at a million steps again and again in vain."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        v.observe(route)
    finally:
        if collecting:
            gc.enable()


def explain_case(case: Case) -> Explanation:
    """The explanation of a refusal."""
    out = Explanation(case.program.name)
    out.accepted = False
    out.errno = case.errno
    out.message = case.message
    out.messages = list(case.messages)
    out.pc = case.pc
    out.instruction = case.text(case.pc) if case.pc >= 0 else ""
    out.line = case.program.source_line(case.pc) if case.pc >= 0 else None
    found = match(case.message) if case.message else None
    out.rule = found.code if found is not None else UNKNOWN_RULE if case.message else BEFORE_LOADING
    why = reason(case)
    out.knew, out.wanted, out.facts = why.knew, why.wanted, why.facts
    out.specific = why.specific
    out.fixes = list(why.fixes)
    row = rule(out.rule)
    if row is not None:
        out.why = row.why
        if row.fix not in out.fixes:
            out.fixes.append(row.fix)
    out.subjects = _subjects(case)
    kept = _path(case)
    shown = _few(kept)
    out.omitted = len(kept) - len(shown)
    out.path = [_path_step(case, k.step, k.note) for k in shown]
    if case.last is not None and case.pc >= 0:
        here = PathStep(case.pc, case.text(case.pc), "refused here", case.program.source_line(case.pc), case.last.depth,
                        case.last.speculative)
        out.path.append(here)
    return out


def _subjects(case: Case) -> list[Subject]:
    out: list[Subject] = []
    last = case.last
    for r in case.subjects()[:4]:
        reg = case.reg(r)
        if reg is None or last is None:
            continue
        past = [(pc, case.text(pc) if pc >= 0 else "", value) for pc, value
                in history(case.steps, case.program.insns, r)] if r < 10 else []
        out.append(Subject(f"r{r}", case.value(r), describe(reg), past))
    return out


def _path_step(case: Case, step: Step, note: str) -> PathStep:
    return PathStep(step.pc, case.text(step.pc), note, case.program.source_line(step.pc), step.depth,
                    step.speculative)


def _few(kept: list[Kept]) -> list[Kept]:
    """At most MOST_STEPS: of instructions that matter again and again (a loop) the first time and the last two."""
    if len(kept) <= MOST_STEPS:
        return kept
    times = Counter(k.step.pc for k in kept)
    seen: Counter[int] = Counter()
    out: list[Kept] = []
    for k in kept:
        pc = k.step.pc
        seen[pc] += 1
        if times[pc] <= 3:
            out.append(k)
        elif seen[pc] == 1 or seen[pc] > times[pc] - 2:
            out.append(Kept(k.step, f"{k.note} (time {seen[pc]} of {times[pc]})"))
    return out[-MOST_STEPS:]


def _path(case: Case) -> list[Kept]:
    """The steps that matter: a slice; for what was never written the branches past it; for a leak what acquired it."""
    if len(case.steps) < 2:
        return []
    subjects = case.subjects()
    insns = case.program.insns
    kept = relevant(case.steps, insns, case.places(subjects))
    last = case.steps[-1]
    if "!read_ok" in case.message and not kept:
        for r in subjects:
            if last.regs[r].kind == rs.NOT_INIT:
                kept += untaken_writers(case.steps, insns, r)
    if "infinite loop" in case.message:
        return _round(case)
    if "Unreleased" in case.message or "reference leak" in case.message:
        kept = _lifetime(case, kept)
    if not kept:
        kept = _decisions(case)
    return kept


def _lifetime(case: Case, kept: list[Kept]) -> list[Kept]:
    """From where a leaked resource was acquired: the acquisition and the branches taken since."""
    import re

    found = re.search(r"alloc_insn=(\d+)", "\n".join(case.messages))
    alloc = int(found.group(1)) if found else (case.refs[-1][1] if case.refs else -1)
    begin = next((i for i in range(len(case.steps) - 1, -1, -1) if case.steps[i].pc == alloc), -1)
    if begin < 0:
        return kept
    return [Kept(case.steps[begin], "acquires the reference")] + _decisions(case, begin + 1)


def _round(case: Case) -> list[Kept]:
    """The last round of the loop, with what each step did."""
    out: list[Kept] = []
    for i in range(len(case.steps) - 1, -1, -1):
        step = case.steps[i]
        after = case.steps[i + 1] if i + 1 < len(case.steps) else None
        insn = case.insn_at(step.pc)
        note = "once more"
        if insn is not None and after is not None and insn.is_conditional:
            note = "taken" if after.pc != step.pc + 1 else "not taken"
        elif insn is not None and after is not None and after.depth == step.depth:
            note = ", ".join(f"r{r} = {value_text(after.regs[r], after.depth)}" for r in range(10)
                             if insn.writes >> r & 1 and after.regs[r].kind != rs.NOT_INIT) or note
        out.append(Kept(step, note))
        if step.pc == case.pc:
            break
    out.reverse()
    return out


def _decisions(case: Case, begin: int = 0) -> list[Kept]:
    """The branches taken on the way."""
    out: list[Kept] = []
    for i in range(begin, len(case.steps) - 1):
        step, after = case.steps[i], case.steps[i + 1]
        insn = case.insn_at(step.pc)
        if insn is not None and insn.is_conditional and step.depth == after.depth:
            out.append(Kept(step, "taken" if after.pc != step.pc + 1 else "not taken"))
    return out[-12:]
