"""The verdict on a program, and everything that led to it.

`verify` is the whole of this folder in one call.  It returns a `Verification`: accepted or not, the `Rejection` if not,
the counts that the kernel reports, and on request the trace of every step; the log and explanations are computed when
asked for, by walking once more with a recorder, which is exact because the walk is deterministic.

>>> from bpfbench.program.program import from_assembly
>>> verify(from_assembly("r0 = 0\\nexit", type="xdp"))
<accepted: 2 insns processed, 0 states>
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final, final

from bpfbench.elf.btf import Btf
from bpfbench.errors import VerifierError
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn
from bpfbench.program.liveness import components, live_registers, postorder
from bpfbench.program.program import Program, SourceLine
from bpfbench.trace import Trace
from bpfbench.verifier import checks, progtypes, slides
from bpfbench.verifier.depth import check_stack_depth
from bpfbench.verifier.features import Features, features
from bpfbench.verifier.flawed_text import UNSPEC, flawed_text, is_plain
from bpfbench.verifier.helpers import TAIL_CALL
from bpfbench.verifier.kernel_btf import BtfGiven, needs_btf, open_btf
from bpfbench.verifier.kfunc_calls import check_eliminated
from bpfbench.verifier.kfuncs import Kfunc
from bpfbench.verifier.log import Log
from bpfbench.verifier.observe import Observer, Recorder
from bpfbench.verifier.trail import Decision, Trail
from bpfbench.verifier.walk import E2BIG, EINVAL, ERRNO_NAMES, Refuse, Walk
from bpfbench.verifier.walker import walk_function, walk_main

if TYPE_CHECKING:
    from bpfbench.verifier.explanation import Explanation


@final
class Request:
    """What is to be verified, and how: enough to walk again."""

    __slots__ = ("program", "kernel", "privileged", "without", "btf")

    def __init__(self, program: Program, kernel: str, privileged: bool, without: tuple[str, ...],
                 btf: Btf | None = None) -> None:
        self.program = program
        self.kernel = kernel
        self.privileged = privileged
        self.without = without
        self.btf = btf


INTERRUPTED: Final = "interrupted"      # the rule of a walk that was ended from outside, as a signal ends the kernel's


@final
class Rejection:
    """Why a program is refused.

    `rule` is a stable code (a row of rules.py), `message` the kernel's last line, `messages` all lines of it, `errno`
    symbolic; `pc` where it happened (-1: before the walk), `line` the C line if known.

    >>> from bpfbench.program.program import from_assembly
    >>> no = verify(from_assembly("r0 = 0\\nif r1 == 0 goto +1\\nr0 = r3\\nexit", type="xdp")).rejection
    >>> no, no.path
    (<EACCES at 2: R3 !read_ok>, [<1 not taken>, <2>])
    """

    __slots__ = ("rule", "errno", "message", "messages", "pc", "line", "_again", "_path")

    def __init__(self, rule: str, errno: str, message: str, messages: list[str], pc: int, line: SourceLine | None,
                 path: list[Decision] | None = None, again: Request | None = None) -> None:
        self.rule = rule
        self.errno = errno
        self.message = message
        self.messages = messages
        self.pc = pc
        self.line = line
        self._again = again
        self._path = path

    @property
    def path(self) -> list[Decision]:
        """The decisions that lead to the refused instruction, which is the last element; empty before the walk.

        Found by walking once more when first asked for (trail.py), so it is there with and without a trace.
        """
        if self._path is None:
            self._path = _path(self._again) if self._again is not None and self.pc >= 0 else []
        return self._path

    def __repr__(self) -> str:
        return f"<{self.errno} at {self.pc}: {self.message}>"


@final
class Stats:
    """What the kernel prints in its last line, and the stack each function uses."""

    __slots__ = ("processed", "max_states_per_insn", "total_states", "peak_states", "mark_read", "stack_depths")

    def __init__(self, w: Walk) -> None:
        self.processed = w.processed
        self.max_states_per_insn = w.max_states_per_insn
        self.total_states = w.total_states
        self.peak_states = w.peak_states
        self.mark_read = w.longest_mark_read
        self.stack_depths = [sub.stack_depth for sub in w.subprogs]

    def __repr__(self) -> str:
        return (f"processed {self.processed} insns (limit 1000000) max_states_per_insn {self.max_states_per_insn} "
                f"total_states {self.total_states} peak_states {self.peak_states} mark_read {self.mark_read}")


@final
class Verification:
    """See the module text.  `walk` is the finished walk, for those who look inside."""

    __slots__ = ("request", "program", "kernel", "privileged", "without", "accepted", "rejection", "stats", "trace",
                 "walk")

    def __init__(self, request: Request, walk: Walk, rejection: Rejection | None, trace: Trace | None) -> None:
        self.request = request
        self.program = request.program
        self.kernel = request.kernel
        self.privileged = request.privileged
        self.without = request.without
        self.walk = walk
        self.rejection = rejection
        self.accepted = rejection is None
        self.stats = Stats(walk)
        self.trace = trace

    def __repr__(self) -> str:
        if self.rejection is not None:
            return f"<rejected: {self.rejection.message}>"
        return f"<accepted: {self.stats.processed} insns processed, {self.stats.total_states} states>"

    # The same names as the live kernel's verdict has (kernel/verify.py), so that the two read alike.

    @property
    def errno(self) -> str | None:
        return self.rejection.errno if self.rejection is not None else None

    @property
    def message(self) -> str | None:
        """The kernel's last line; None when accepted, or when the kernel gives none."""
        return (self.rejection.message or None) if self.rejection is not None else None

    @property
    def pc(self) -> int | None:
        """Where it was refused; None when accepted or refused before the walk."""
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
        """The kernel's log at level 1 (the failing path) or 2 (everything)."""
        log = Log(level, features(self.kernel, self.without).log_gen)
        _run(self.request, log, None)
        return log.text()

    def observe(self, observer: Observer) -> None:
        """Walk again for an observer."""
        _run(self.request, None, observer)

    def at(self, pc: int) -> list[object]:
        """The trace's events at an instruction (needs trace=True)."""
        return [e for e in self.trace.at(pc)] if self.trace is not None else []

    @property
    def liveness(self) -> list[int]:
        """For each slot the mask of registers live before it."""
        return [mask & 0x7FF for mask in self.walk.live]

    def explain(self) -> Explanation:
        """What was refused, what the verifier knew and wanted, the steps that lead there, and what to change."""
        from bpfbench.verifier.explanation import explain

        return explain(self)


def verify(prog: Program, kernel: str = "linux-6.18", privileged: bool = True, trace: bool = False,
           without: tuple[str, ...] = (), observer: Observer | None = None,
           kernel_btf: BtfGiven = None, keep: bool = False) -> Verification:
    """Verify a program as the named kernel would.

    `privileged=False` is a process without CAP_PERFMON (pointers must not leak, speculative paths count);
    `without` switches algorithms off by name (features.py); an `observer` is told everything instead of the recorder that
    `trace` means.  `kernel_btf` are the types of that kernel (a `Btf`, bytes, or a path), which calls of kernel
    functions are named by; not named, those of the running kernel are taken if it is of that release (kernel_btf.py).
    A KeyboardInterrupt ends the walk; with `keep` what was found until then is returned, refused by the rule
    "interrupted".  Raises VerifierError only for what is not supported, BtfError for types that cannot be read.
    """
    btf = None
    if kernel_btf is not None or needs_btf(prog):
        btf = open_btf(kernel_btf, features(kernel, tuple(without)).version)
    request = Request(prog, kernel, privileged, tuple(without), btf)
    recorder = Recorder() if trace and observer is None else None
    frozen = gc.isenabled()
    if frozen:
        gc.disable()
    try:
        w, rejection = _run(request, None, observer or recorder, keep)
    finally:
        if frozen:
            gc.enable()
    return Verification(request, w, rejection, recorder.trace if recorder is not None else None)


def _run(request: Request, log: Log | None, observer: Observer | None,
         keep: bool = False) -> tuple[Walk, Rejection | None]:
    k = features(request.kernel, request.without)
    w = Walk(request.program, k, request.privileged, log, observer)
    w.btf = request.btf
    rejection: Rejection | None = None
    walking = [False]
    try:
        _passes(w, k, walking)
    except Refuse as no:
        rejection = _rejection(w, no.errno, walking[0], request)
        if observer is not None:
            observer.reject(w.processed, w.pc, rejection.message, w.state if w.state.frames else None)
    except KeyboardInterrupt:
        if not keep:
            raise
        said = f"interrupted after {w.processed} instructions, with {len(w.pending)} paths waiting"
        rejection = Rejection(INTERRUPTED, "EAGAIN", said, [said], w.pc, None, [])
    except RecursionError as deep:
        raise VerifierError("not supported: nesting too deep for the path walk") from deep
    if log is not None and walking[0] is not None:
        stats = Stats(w)
        if k.slides:
            if rejection is None:
                depths = "+".join(str(depth) for depth in stats.stack_depths)
                log.line(f"processed {stats.processed} insns (limit {k.insn_limit}), stack depth {depths}")
        elif w.processed or rejection is None or w.lines:
            log.line(repr(stats))
    return w, rejection


def _path(again: Request) -> list[Decision]:
    trail = Trail(again.program.insns)
    _run(again, None, trail)
    return trail.path


def _rejection(w: Walk, errno: int, walking: bool, again: Request) -> Rejection:
    from bpfbench.verifier.why import rule_of

    message = w.lines[-1] if w.lines else ""
    pc = w.pc if walking else -1
    return Rejection(rule_of(message), ERRNO_NAMES.get(errno, str(errno)), message, w.lines[:], pc,
                     w.prog.source_line(pc) if pc >= 0 else None, None, again)


def _passes(w: Walk, k: Features, walking: list[bool]) -> None:
    prog = w.prog
    _may_load(w)
    raw = prog.raw
    code = checks.slots(raw)
    if not code:
        raise Refuse(EINVAL if k.version < (6, 0) else 7)
    from bpfbench.verifier.func_info import check_records, read_func_info

    if k.slides:
        if len(code) > slides.MAX_INSNS:
            raise Refuse(E2BIG)
        checks.resolve_loads(w, code)
        checks.find_subprogs(w, code)
        checks.check_jumps(w, code)
    else:
        if k.version >= (6, 6) and prog.func_info and prog.btf:
            check_records(w)
        checks.find_subprogs(w, code)
        checks.check_jumps(w, code)
        read_func_info(w)
        checks.check_abnormal(w)
        checks.resolve_loads(w, code)
    checks.walk_cfg(w, code)
    _check_attach(w)
    insns = w.insns = checks.whole_wide_loads(prog.insns, code)
    starts = [sub.start for sub in w.subprogs]
    w.postorder, begins = postorder(insns, starts)
    for sub, at in zip(w.subprogs, begins, strict=True):
        sub.post_start = at
    w.insn_text = texts(insns, w.kfuncs, k.version) if w.log is not None else []
    if k.scc:
        callbacks = {pc for pc, a in enumerate(w.aux) if a.calls_callback and k.callback_loops}
        w.scc = components(insns, callbacks)
    if k.liveness == 1:
        w.live = live_registers(insns, checks.call_arguments(w, code), w.postorder)
        _log_live(w)
    if k.fastcall:
        checks.fastcall_patterns(w, code)
    newer = {since for since in {insn.op.since for insn in insns if insn is not None} if _newer(since, k.version)}
    strange = [insn is not None and (_flawed(insn) or insn.op.since in newer) for insn in prog.insns]
    walking[0] = True
    if k.version >= (6, 8):
        walk_main(w, code, strange)
        _global_functions(w, code, strange)
    else:
        _global_functions(w, code, strange)
        walk_main(w, code, strange)
    walking[0] = False
    check_stack_depth(w)
    for pc, insn in enumerate(insns):
        if insn is not None and insn.kind == ops.CALL and insn.imm == TAIL_CALL and w.aux[pc].map_poisoned \
                and not w.bypass_v1:
            raise w.refuse("tail_call abusing map_ptr", EINVAL)
    check_eliminated(w)


def _flawed(insn: Instruction) -> bool:
    """Whether the kernel objects to the encoding: it never looks at the offset of an exit."""
    if insn.kind == ops.EXIT and insn.off and not (insn.dst or insn.src or insn.imm):
        return False
    return bool(insn.flaw)


def _newer(since: str, version: tuple[int, int]) -> bool:
    major, _, minor = since.partition(".")
    return bool(minor) and (int(major), int(minor)) > version


def _global_functions(w: Walk, code: list[checks.Slot], strange: list[bool]) -> None:
    again = True
    while again:
        again = False
        for i in range(1, len(w.subprogs)):
            sub = w.subprogs[i]
            if not sub.is_global or sub.verified or (w.k.version >= (6, 8) and not sub.called):
                continue
            if w.log is not None:
                w.log.line(f"Validating {sub.name}() func#{i}...")
            walk_function(w, i, code, strange)
            if w.log is not None:
                w.log.line(f"Func#{i} ('{sub.name}') is safe for any args that match its prototype")
            sub.verified = True
            again = True


def _may_load(w: Walk) -> None:
    """What bpf(2) refuses without a log."""
    prog = w.prog
    if not progtypes.attach_accepted(prog.type, prog.attach_type, w.k.version):
        raise Refuse(EINVAL)
    if progtypes.load_errno(prog.type, True, True, w.perfmon):
        raise Refuse(1)


def _check_attach(w: Walk) -> None:
    """Which programs may and must sleep (`check_attach_btf_id`)."""
    if w.prog.type == "syscall":
        if not w.sleepable:
            raise w.refuse("Syscall programs can only be sleepable", EINVAL)
    elif w.sleepable and w.prog.type not in progtypes.MAY_SLEEP:
        raise w.refuse("Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable",
                       EINVAL)


def texts(insns: list[Instruction | None], kernel_functions: dict[int, Kfunc] | None = None,
          version: tuple[int, int] = (6, 18)) -> list[str]:
    """The text of every instruction as the log prints it."""
    out: list[str] = []
    for pc, insn in enumerate(insns):
        if insn is None:
            out.append("")
        elif (insn.flaw and insn.kind != ops.CALL_KFUNC) or is_plain(insn, version):
            out.append(flawed_text(insn, version))
        elif insn.kind == ops.CALL and not insn.imm:
            out.append(UNSPEC)
        elif insn.kind == ops.LDDW and insn.op.fn in (ops.MAP_FD, ops.MAP_VALUE):
            out.append(f"(18) r{insn.dst} = map[{insn.imm}]+{insn.imm2}")
        elif insn.kind == ops.CALL_KFUNC:
            func = (kernel_functions or {}).get(pc)
            name = func.name if func is not None else "kernel-function" if insn.imm else ""
            out.append(f"(85) call {name}#{insn.imm}")
        elif insn.kind == ops.LDDW and insn.op.fn == ops.FUNC:
            out.append(f"(18) r{insn.dst} = {insn.imm & 0xFFFFFFFF | (insn.imm2 & 0xFFFFFFFF) << 32:#x}")
        else:
            out.append(format_insn(insn, with_code=True))
    return out


def _log_live(w: Walk) -> None:
    if w.log is None or w.log.level < 2:
        return
    w.log.line("Live regs before insn:")
    for pc, insn in enumerate(w.insns):
        if insn is None:
            continue
        live = "".join(str(r) if w.live[pc] >> r & 1 else "." for r in range(10))
        scc = f"{w.scc[pc]:3d} " if w.scc[pc] else "    "
        w.log.line(f"{scc}{pc:3d}: {live} {w.insn_text[pc]}")
