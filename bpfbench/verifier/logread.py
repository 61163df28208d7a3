"""A kernel's verifier log, read back: the steps of the walk with the state before each, without the program.

People have a log, not a program.  A log of level 1 shows the path that failed, one of level 2 every path; both print an
instruction once it is processed and behind it only the registers and slots that it touched:

    0: R1=ctx() R10=fp0
    0: (61) r2 = *(u32 *)(r1 +4)          ; R1=ctx() R2=pkt_end()        what changed
    from 2 to 6: R0=scalar() R10=fp0                                     a path taken up again, with its whole state
    caller: … callee: … returning from callee: … to caller at 3:         whole states of the frames of a call

So the reader keeps the state and does to it what each instruction does without printing it: calls destroy r1 to r5,
some void packet pointers or released objects, a comparison refines every copy of what it compared.  The result has the
names of a `Verification` (`rejection`, `trace`, `stats`, `explain()`), so that whatever shows one shows the other.

Read: logs of Linux 4.18 to 6.18, also inside libbpf's, bpftool's or cilium/ebpf's messages, from dmesg or a journal,
with `; C line @ file.c:7` lines, cut off at either end.

Sources: kernel/bpf/log.c, kernel/bpf/verifier.c (`do_check`, `print_insn_state`); libbpf `bpf_object_load_prog`.

>>> log = read_log("0: R1=ctx() R10=fp0\\n0: (95) exit\\nR0 !read_ok\\nprocessed 1 insns (limit 1000000) …")
>>> log
<log: 1 step, refused at 0: R0 !read_ok>
>>> print(log.explain().knew)
Instruction 0 (`exit`) reads r0, but on this path r0 holds nothing: nothing on the path to it writes it.
"""

from __future__ import annotations

import re
from typing import Any, Final, final

from bpfbench.errors import ParseError, UsageError, Where
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import parse_insn
from bpfbench.program.program import Program, SourceLine
from bpfbench.trace import Event, Trace
from bpfbench.verifier import logvalues
from bpfbench.verifier.case import Case
from bpfbench.verifier.explanation import Explanation, explain_case
from bpfbench.verifier.logstate import Frames
from bpfbench.verifier.regstate import UNINIT
from bpfbench.verifier.route import Step
from bpfbench.verifier.rules import match
from bpfbench.verifier.verification import Rejection
from bpfbench.verifier.walk import ERRNO_NAMES

MAX_SLOTS: Final = 1 << 20          # a larger pc than this is no instruction of a program

_NOISE: Final = re.compile(             # in front of a line: dmesg, a journal, libbpf of old
    r"^(?:<\d+>)?(?:\[\s*\d+\.\d+\]\s?(?:\[[TC]\d+\]\s?)?"
    r"|\w{3} +\d+ [\d:]{8} \S+ \S+?: (?:\[\s*\d+\.\d+\] )?|libbpf: (?=\d+: |R\d+ |from \d|;))")
_BEGIN: Final = re.compile(r"-+ ?BEGIN (?:PROG LOAD|DUMP) LOG ?-+")
_END: Final = re.compile(r"-+ ?END (?:PROG LOAD|DUMP) LOG ?-+")
_NAME: Final = re.compile(r"prog '([^']+)'")
_INSN: Final = re.compile(r"(\d+): \(([0-9a-f]{2})\) (.*?)(?:\s*;\s?(.*))?$")
_STATE: Final = re.compile(r"(\d+):(\s+(?:frame\d+:|R\d+(?:_\w+)?=|fp-\d+(?:_\w+)?=|refs=).*|\s*)$")
_SAFE: Final = re.compile(r"(\d+): safe$")
_FROM: Final = re.compile(r"from (\d+) to (\d+)( \(speculative execution\))?:(.*)$")
_BARE: Final = re.compile(r"\s*(?:frame\d+:|R\d+(?:_\w+)?=|fp-\d+(?:_\w+)?=)")
_LIVE: Final = re.compile(r"\s*(?:\d+\s+)?(\d+): ([.0-9]{10}) \(([0-9a-f]{2})\) (.*)$")
_CALL: Final = re.compile(r"(?:caller|callee|returning from callee|to caller at (\d{1,7})):$")
_FUNCTION: Final = re.compile(r"Validating \S+\(\) func#\d+|Func#\d+ .*is safe for any args")
_SOURCE: Final = re.compile(r"; (.*?)(?: @ (\S+):(\d+))?$")
_STATS: Final = re.compile(r"processed (\d+) insns(?: \(limit \d+\)(?: max_states_per_insn (\d+) total_states (\d+) "
                           r"peak_states (\d+) mark_read (\d+))?|, stack depth .*)?")  # fmt: skip
_NARRATION: Final = re.compile(
    r"""func\#\d+\ @\d+|Live\ regs\ before\ insn|mark_precise:|last_idx\ |regs=|parent\ (didn't|already|state)
      | propagating\ |frame\ \d+:\ propagating|\(\d+(,\d+)*,?\)\ (frame|live|stack)|SCC\ (enter|exit|backedge)
      | Validating\ .*|Func\#\d+\ .*|stack\ depth\ |verification\ time\ |(cur|old|cb)\ state:|add_subprog
      | \s*(hit|stack=|live\ regs)|processed\ \d+|insns\ processed|reg\ type\ unsupported\ for|falling\ back\ to
      | \s*mark_precise|\s+frame\d+:\ regs=|(max_states|total_states|peak_states)""", re.VERBOSE)
_AFTER_WALK: Final = re.compile(r"combined stack size|stack size of subprog|tail_calls are not allowed when|the call "
                                r"stack of \d+ frames is too deep !|unreachable insn|jump out of range|last insn is")
_UNSET: Final = re.compile(r"R(\d{1,2}) !read_ok")
_LOOP: Final = re.compile(r"infinite loop detected at insn (\d+)")
_OLD_FORM: Final = re.compile(r"ctx\((id=\d+,)?off=0,imm=0\)|=inv|=Pinv|\b[us](32_)?m(in|ax)_value=|\b[us]32_m(in|ax)="
                              r"|vs=\d+,imm=0\)")
_CUT: Final = re.compile(r"(?<=\S)(verification time \d+ usec|processed \d+ insns \(limit).*")


_WORDS: Final = {"permission denied": "EACCES", "operation not permitted": "EPERM", "invalid argument": "EINVAL",
                 "argument list too long": "E2BIG", "no such file or directory": "ENOENT",
                 "bad file descriptor": "EBADF", "numerical result out of range": "ERANGE"}  # fmt: skip


@final
class LogStats:
    """The statistics line; zeros where the log has none."""

    __slots__ = ("processed", "max_states_per_insn", "total_states", "peak_states", "mark_read")

    def __init__(self, counts: list[int]) -> None:
        self.processed, self.max_states_per_insn, self.total_states, self.peak_states, self.mark_read = counts

    def __repr__(self) -> str:
        return (f"processed {self.processed} insns (limit 1000000) max_states_per_insn {self.max_states_per_insn} "
                f"total_states {self.total_states} peak_states {self.peak_states} mark_read {self.mark_read}")


@final
class ReadLog:
    """What a log says; the names are those of a `Verification`.

    `program` has the instructions that the log shows (None elsewhere), `complete` whether those are all;
    `unread` are lines that are neither state nor narration nor a message that is known; `accepted` is None when the
    log ends before it says.
    """

    __slots__ = ("text", "program", "complete", "accepted", "rejection", "stats", "trace", "steps", "unread", "kernel",
                 "privileged", "level", "version")

    def __init__(self, text: str, program: Program) -> None:
        self.text = text
        self.program = program
        self.complete = False
        self.accepted: bool | None = None
        self.rejection: Rejection | None = None
        self.stats = LogStats([0] * 5)
        self.trace = Trace()
        self.steps: list[Step] = []
        self.unread: list[str] = []
        self.kernel = ""
        self.privileged = True
        self.level = 1
        self.version = (6, 18)

    def __repr__(self) -> str:
        count = len(self.trace.of("visit"))
        steps = f"{count} step" + "s" * (count != 1)
        if self.rejection is not None:
            at = f" at {self.rejection.pc}" if self.rejection.pc >= 0 else ""
            return f"<log: {steps}, refused{at}: {self.rejection.message}>"
        return f"<log: {steps}, {'accepted' if self.accepted else 'no verdict'}>"

    @property
    def errno(self) -> str | None:
        """From the loader's line, if it is there; the kernel's log does not say."""
        return (self.rejection.errno or None) if self.rejection is not None else None

    @property
    def message(self) -> str | None:
        return self.rejection.message if self.rejection is not None else None

    @property
    def pc(self) -> int | None:
        return self.rejection.pc if self.rejection is not None and self.rejection.pc >= 0 else None

    @property
    def insns_processed(self) -> int:
        return self.stats.processed

    @property
    def total_states(self) -> int:
        return self.stats.total_states

    @property
    def peak_states(self) -> int:
        return self.stats.peak_states

    @property
    def max_states_per_insn(self) -> int:
        return self.stats.max_states_per_insn

    def log(self, level: int = 1) -> str:
        """The log as it was given."""
        return self.text

    def explain(self) -> Explanation:
        """Why the program was refused, as far as the log tells."""
        if self.rejection is None:
            out = Explanation(self.program.name)
            out.verdict = f"Accepted: {self.stats}" if self.accepted else \
                "The log ends without a verdict; a longer log buffer would show it."
            return out
        r = self.rejection
        return explain_case(Case(self.program, r.messages, r.pc, r.errno, self.steps, [], self.version, self.complete,
                                 self.privileged))


# rules whose templates begin with anything: not enough to tell a log by
_LOOSE: Final = frozenset(("callback-map", "unprivileged-other", "internal", "kfunc", "kfunc-argument", "special-field",
                           "lock-call", "lock-pairing", "reference-leak", "sleep", "dynptr", "map-btf"))


def looks_like_log(text: str) -> bool:
    """Does the text have at least one line that only a verifier's log has?"""
    for line in text.splitlines():
        line = clean(line)
        if _INSN.match(line) or _FROM.match(line) or _STATS.match(line) or _STATE.match(line) and "=" in line:
            return True
        if line and ";" not in line and _KERNEL_WORDS.match(line):
            found = match(line)
            if found is not None and found.code not in _LOOSE:
                return True
    return False


def read_log(text: str, name: str = "", file: str = "") -> ReadLog:
    """Read a log; raises UsageError when the text is none."""
    if not looks_like_log(text):
        raise UsageError("this is not a verifier log: no instruction, state or message of the kernel in it",
                         Where(file=file))
    return _Reader(text, name).read()


def clean(line: str) -> str:
    """The line without what dmesg, a journal or a loader put in front of it."""
    line = _NOISE.sub("", line.rstrip("\r\n"))
    stripped = line.lstrip("\t ")
    if len(stripped) != len(line) and (_INSN.match(stripped) or _FROM.match(stripped) or _STATE.match(stripped)):
        return stripped
    return line if line.startswith((" ", "\t")) and _BARE.match(line) else line.strip() if "\t" in line[:2] else line


@final
class _Reader:
    """One pass over the lines."""

    def __init__(self, text: str, name: str) -> None:
        self.lines = self.inner(text)
        found = _NAME.search(text)
        self.program = Program([], "", name or (found.group(1) if found else "log"))
        self.out = ReadLog(text, self.program)
        self.insns: dict[int, Instruction | None] = {}
        self.top = 0
        self.exact = not _OLD_FORM.search(text)
        self.deltas = any(m is not None and m.group(4) and _BARE.match(m.group(4))
                          for m in map(_INSN.match, self.lines))
        self.frames = Frames(self.exact, _version(text, self.exact), not self.deltas)
        self.live: dict[int, int] = {}
        self.head: Step | None = None
        self.forks: list[tuple[int, Frames, Step | None]] = []
        self.events: list[Event] = []
        self.step = 0
        self.path = 0
        self.speculative = False
        self.messages: list[str] = []
        self.expects = ""               # "caller", "callee", "returning", "to caller": whose state comes next
        self.ended = False
        self.returned_to = -1
        self.begun = False
        self.last_pc = -1
        self.pending_lines: list[SourceLine] = []

    @staticmethod
    def inner(text: str) -> list[str]:
        """The lines between the loader's markers (the last pair that has a log), or all."""
        lines = text.splitlines()
        begins = [i for i, line in enumerate(lines) if _BEGIN.search(line)]
        if begins:
            ends = [i for i, line in enumerate(lines) if _END.search(line) and i > begins[-1]]
            lines = lines[begins[-1] + 1 : ends[0] if ends else len(lines)]
        return [_CUT.sub(r"", clean(line)) if _CUT.search(line) and not line.lstrip().startswith("processed")
                else clean(line) for line in lines]

    def read(self) -> ReadLog:
        for line in self.lines:
            self.line(line)
        for found in map(_STATS.search, self.out.text.splitlines()):
            if found is not None:
                self.out.stats = LogStats([int(n) if n else 0 for n in found.groups()])
                self.out.accepted = not self.messages
        return self.finish()

    def line(self, line: str) -> None:
        if not line.strip():
            return
        found = _INSN.match(line)
        if found is not None:
            self.visit(int(found.group(1)), int(found.group(2), 16), found.group(3), found.group(4))
            return
        found = _FROM.match(line)
        if found is not None:
            self.resume(int(found.group(1)), int(found.group(2)), bool(found.group(3)), found.group(4))
            return
        if _SAFE.match(line):
            self.event("prune", int(line.split(":")[0]), {"by": -1})
            self.ended = True
            return
        found = _STATE.match(line)
        if found is not None:
            self.state(found.group(2), full=not self.deltas or not self.begun)
            return
        found = _CALL.match(line)
        if found is not None:
            self.expects = "to caller at" if found.group(1) else line.rstrip(":")
            self.returned_to = int(found.group(1) or -1)
            return
        if _BARE.match(line):
            self.block(line)
            return
        self.other(line)

    # Lines that are not messages ------------------------------------------------------------------------------------

    def visit(self, pc: int, code: int, text: str, delta: str | None) -> None:
        """An instruction that is processed; its state is the one kept so far."""
        if pc > MAX_SLOTS:
            self.out.unread.append(f"{pc}: {text}")
            return
        insn = self.learn(pc, code, text)
        if self.ended:                                          # level 1: the state line before it was of a new path
            self.ended = False
        self.messages.clear()
        self.step += 1
        if not self.begun and pc == 0:                          # kernels that do not print the first state
            self.frames.start()
        self.begun = True
        self.frames.linked_before = None
        top = self.frames.top
        self.head = Step(self.step, pc, len(self.frames.frames) - 1, top.regs[:], top.slots[:], self.speculative,
                         self.head)
        self.events.append(Event("visit", self.step, pc, {"path": self.path, "regs": self.head.regs,
                                                          "stack": self.head.stack, "frame": self.head.depth}))
        if insn is not None and (insn.is_conditional or insn.is_call):
            self.forks.append((pc, self.frames.copy(), self.head))
        for line in self.pending_lines:
            self.program.lines.setdefault(pc, line)
        self.pending_lines.clear()
        self.frames.executed(insn, self.live.get(pc, 0x7FF))
        self.last_pc = pc
        if delta is not None and (not delta.strip() or _BARE.match(delta)):
            self.state(" " + delta, full=False)
        elif delta:
            self.program.comments[pc] = delta

    def learn(self, pc: int, code: int, text: str) -> Instruction | None:
        """The instruction of a line, read once for each pc."""
        if pc in self.insns:
            return self.insns[pc]
        self.insns[pc] = insn = instruction(text, code)
        self.top = max(self.top, pc + (2 if code == 0x18 else 1))
        return insn

    def state(self, text: str, full: bool) -> None:
        shown = logvalues.state(text, self.exact)
        if not shown.good:
            self.out.unread.append(text.strip())
        self.begun = True
        self.frames.show(shown, full)

    def block(self, line: str) -> None:
        """A state on a line of its own: whose it is was said before."""
        shown = logvalues.state(line, self.exact)
        if self.expects == "callee":
            self.frames.enter(shown)
        elif self.expects == "to caller at":
            self.frames.leave(shown)
        elif self.expects in ("caller", "returning from callee") or not self.begun:
            self.frames.show(shown, full=True)
        elif shown.good and not self.deltas:
            self.frames.show(shown, full=True)
        self.expects = ""

    def resume(self, prev: int, pc: int, speculative: bool, text: str) -> None:
        if text.strip() == "safe":
            self.event("prune", pc, {"by": -1})
            self.ended = True
        taken_up = not (pc == self.returned_to and prev == self.last_pc)
        self.returned_to = -1
        if text.strip() == "safe":
            self.find(prev) if taken_up else None
            return
        if taken_up:
            self.path += 1
            self.messages.clear()
            self.speculative = speculative
            self.head = self.find(prev)
            self.event("resume", pc, {"path": self.path, "from": prev})
        self.ended = False
        self.state(text, full=True)

    def find(self, prev: int) -> Step | None:
        """The fork that this path was put aside at: the youngest at that instruction; younger ones were none."""
        for i in range(len(self.forks) - 1, -1, -1):
            at, frames, head = self.forks[i]
            if at == prev:
                del self.forks[i:]
                self.frames = frames.copy()
                insn = self.insns.get(prev)
                self.frames.executed(insn, self.live.get(prev, 0x7FF))
                return head
        return None

    def event(self, kind: str, pc: int, values: dict[str, object]) -> None:
        self.events.append(Event(kind, self.step, pc, values))

    # Everything else ------------------------------------------------------------------------------------------------

    def other(self, line: str) -> None:
        if line.startswith("; "):
            found = _SOURCE.match(line)
            if found is not None:
                self.pending_lines = [SourceLine(found.group(2) or "source", int(found.group(3) or 0), 0,
                                                 found.group(1))]
            return
        found = _LIVE.match(line)
        if found is not None:
            self.learn(int(found.group(1)), int(found.group(3), 16), found.group(4))
            self.live[int(found.group(1))] = 1 << 10 | sum(1 << r for r in range(10) if found.group(2)[r] != ".")
            self.out.complete = True
            return
        if _FUNCTION.match(line):                               # the walk begins anew, in another function
            self.frames = Frames(self.exact, self.frames.version, self.frames.silent)
            self.frames.fill(self.frames.top)
            self.head = None
            self.begun = False
            self.forks.clear()
            self.path += 1
            return
        if line == "safe" or _NARRATION.match(line):
            return
        if match(line) is None and not _KERNEL_WORDS.search(line):
            self.out.unread.append(line)
            return
        self.messages.append(line)

    def finish(self) -> ReadLog:
        out = self.out
        self.program.insns = [self.insns.get(pc) for pc in range(self.top)]
        out.level = 2 if any(_FROM.match(line) or line.startswith("func#") for line in self.lines) else 1
        out.version = _version(out.text, self.exact)
        out.kernel = f"like Linux {out.version[0]}.{out.version[1]}"
        out.trace = Trace(self.events)
        if self.messages:
            message = self.messages[-1]
            pc = -1 if _AFTER_WALK.match(message) else self.last_pc
            loop = _LOOP.match(message)
            if loop is not None:
                pc = int(loop.group(1))
            found = match(message)
            out.rejection = Rejection(found.code if found else "other", _errno(out.text), message, self.messages[:], pc,
                                      self.program.source_line(pc) if pc >= 0 else None, [])
            out.accepted = False
            self.event("reject", pc, {"message": message})
            out.steps = self.chain() if pc >= 0 else []
            unset = _UNSET.match(message)
            if unset is not None and out.steps and int(unset.group(1)) <= 10:
                out.steps[-1].regs[int(unset.group(1))] = UNINIT        # also when the log begins later
        return out

    def chain(self) -> list[Step]:
        out: list[Step] = []
        at = self.head
        while at is not None:
            out.append(at)
            at = at.before
        out.reverse()
        return out


_KERNEL_WORDS: Final = re.compile(
    r"^(R\d+ |invalid |math between|BPF_|misaligned|cannot |At |In |program |unknown |the |The |arg|func|helper"
    r"|dereference|negative|variable|Unreleased|verifier |kernel |kfunc|map |jump|last |unreachable|back-edge|infinite"
    r"|call|div|frame|only |access|same|value|write|read |tail_|LD_|combined|stack |spilled|attempt|leaking|Possibly"
    r"|Expected|Dynptr|too |missing|off |Caller|Global|global|string|number of|Unsupported|potential|direct|fd|not "
    r"|expected|BUG|sleepable)")


def instruction(text: str, code: int) -> Instruction | None:
    """The instruction that the log prints so, None when it is none of this kind (a rewritten one, say)."""
    text = re.sub(r"= map\[\d+\]\+\d+$", "= 0x0 ll", text) if "map[" in text else text
    if code == 0x18 and " ll" not in text:
        text = text.strip() if re.search(r"= (0x[0-9a-f]+|map\[)", text) else text
    try:
        return parse_insn(text.strip(), code)[0]
    except ParseError:
        return None


def _version(text: str, exact: bool) -> tuple[int, int]:
    """A kernel that writes logs of this form; the youngest where there are several."""
    if "Live regs before insn" in text or exact and not re.search(r"\bR\d+_\w+=", text):
        return (6, 18)
    if exact:
        return (6, 12)
    if "call_-1" in text or "limit 131072" in text:
        return (4, 18)
    if re.search(r"=P?inv|_value=", text):
        return (5, 15)
    return (6, 1)


def _errno(text: str) -> str:
    """What a loader says beside the log: `failed: Permission denied`, `failed to load: -13`."""
    number = re.search(r"failed to load(?: program)?: -(\d+)", text)
    if number:
        return ERRNO_NAMES.get(int(number.group(1)), number.group(1))
    words = re.search(r"(?:failed|load program|loading failed): (\w[\w ]+)(?=:|\.|$)", text, re.MULTILINE)
    return _WORDS.get(words.group(1).lower(), "") if words else ""


def figures(log: ReadLog) -> dict[str, Any]:
    """What reading came to, for the command line and tests."""
    return {"steps": len(log.trace.of("visit")), "unread": len(log.unread), "level": log.level, "form": log.kernel,
            "messages": log.rejection.messages if log.rejection is not None else []}
