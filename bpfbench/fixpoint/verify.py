"""The verdict of the static analysis, with the invariants it rests on.

`verify_static` interprets the whole program over abstract states until they are stable (iterate.py) and answers with a
`FixpointVerification`: accepted or why not, what holds at every block, and which instructions the failing check depends
on.  The path walk (`bb.verify`) follows paths one by one as Linux does; this joins them where they meet, so its cost
follows the size of the program and not the number of its paths.

>>> from bpfbench.program.program import from_assembly
>>> v = verify_static(from_assembly("if r1 == 0 goto +1\\nr0 = 1\\nr0 = 2\\nexit"))
>>> v, v.invariant(2).reg(0)
(<accepted: 3 blocks, 4 steps>, <nothing>)
>>> verify_static(from_assembly("r0 = *(u32 *)(r1 +100)\\nexit"))
<rejected at insn 0: context: the context of xdp has no field at offset 100 of 4 bytes>
"""

from __future__ import annotations

import time
from typing import final

from bpfbench.collector import paused
from bpfbench.errors import UsageError
from bpfbench.fixpoint import calls, shape
from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.context import BEYOND, Analysis
from bpfbench.fixpoint.failures import RULES, Refused, Rule
from bpfbench.fixpoint.iterate import Engine
from bpfbench.fixpoint.slice import failure_slice
from bpfbench.fixpoint.state import State
from bpfbench.fixpoint.values import Value
from bpfbench.fixpoint.zones import Zones
from bpfbench.program.cfg import Cfg, build
from bpfbench.program.program import Program, SourceLine


@final
class Invariant:
    """What holds whenever a block is entered: one of the `states`, each with registers, stack cells, differences."""

    __slots__ = ("block", "states")

    def __init__(self, block: int, states: list[State]) -> None:
        self.block = block
        self.states = states

    @property
    def reachable(self) -> bool:
        return bool(self.states)

    def regs(self, r: int) -> list[Value]:
        """The values that register r may hold, one per state."""
        return [s.frames[-1].regs[r] for s in self.states]

    def reg(self, r: int) -> Value:
        """The one value that covers them all."""
        from bpfbench.fixpoint.joins import Join
        from bpfbench.fixpoint.state import Names

        found = self.regs(r)
        out = found[0] if found else vs.NO_VALUE
        for v in found[1:]:
            out = Join(State(), State(), Names(), None).value(out, v)
        return out

    def zones(self) -> list[Zones]:
        return [s.zones for s in self.states]

    def __str__(self) -> str:
        if not self.states:
            return f"block {self.block}: not reached"
        return "\n".join(f"block {self.block}: {state_text(s)}" for s in self.states)

    def __repr__(self) -> str:
        return f"<block {self.block}: {len(self.states)} states>"


def state_text(state: State) -> str:
    """Registers, cells, references and differences of the running function, on one line."""
    frame = state.frames[-1]
    parts = [f"r{i}={vs.text(v)}" for i, v in enumerate(frame.regs[:10]) if v.kind != vs.NOTHING]
    parts += [f"fp{at}={vs.text(v)}" for at, (_, v) in sorted(frame.cells.items())]
    parts += [f"ref@{ref.pc}" for ref in state.refs]
    if state.lock is not None:
        parts.append("lock")
    known = [c for s, c in state.zones.edges.get(vs.ZERO, {}).items() if s < 0 and s != vs.META_LENGTH]
    if known and min(known) < 0:
        parts.append(f"packet>={-min(known)}")
    return " ".join(parts) or "nothing"


@final
class Rejection:
    """Why a program is refused: `rule` (a code of `failures.RULES`), `message`, `pc`, the C `line`, the `state` that
    was there, the registers the check looked at, and the failure slice (`relevant` pcs)."""

    __slots__ = ("rule", "message", "pc", "line", "state", "regs", "relevant")

    def __init__(self, rule: str, message: str, pc: int, line: SourceLine | None, state: State | None,
                 regs: tuple[int, ...], relevant: list[int]) -> None:
        self.rule = rule
        self.message = message
        self.pc = pc
        self.line = line
        self.state = state
        self.regs = regs
        self.relevant = relevant

    @property
    def row(self) -> Rule:
        """The rule's row, which says why it exists."""
        return RULES[self.rule]

    def __repr__(self) -> str:
        return f"<{self.rule} at insn {self.pc}: {self.message}>"


@final
class Statistics:
    """`blocks` of the program, `visits` of blocks, `steps` instructions interpreted, `joins`, `widenings`, `seconds`."""

    __slots__ = ("blocks", "visits", "steps", "joins", "widenings", "seconds")

    def __init__(self, blocks: int, visits: int, steps: int, joins: int, widenings: int, seconds: float) -> None:
        self.blocks = blocks
        self.visits = visits
        self.steps = steps
        self.joins = joins
        self.widenings = widenings
        self.seconds = seconds

    def __repr__(self) -> str:
        return (f"{self.blocks} blocks, {self.visits} visits, {self.steps} steps, {self.joins} joins, "
                f"{self.widenings} widenings, {self.seconds * 1000:.1f} ms")


@final
class FixpointVerification:
    """See the module text."""

    __slots__ = ("program", "cfg", "accepted", "rejection", "stats", "_visited")

    def __init__(self, program: Program, cfg: Cfg, rejection: Rejection | None, stats: Statistics,
                 visited: dict[int, list[State]]) -> None:
        self.program = program
        self.cfg = cfg
        self.rejection = rejection
        self.accepted = rejection is None
        self.stats = stats
        self._visited = visited

    @property
    def supported(self) -> bool:
        """False when the answer is only that the analysis does not model something."""
        return self.rejection is None or self.rejection.rule != "not-supported"

    @property
    def message(self) -> str | None:
        return self.rejection.message if self.rejection is not None else None

    @property
    def pc(self) -> int | None:
        return self.rejection.pc if self.rejection is not None else None

    @property
    def invariants(self) -> dict[int, Invariant]:
        """Of every block that is reached (up to the failing check when there is one)."""
        return {b: Invariant(b, states) for b, states in sorted(self._visited.items())}

    def invariant(self, block: int) -> Invariant:
        """What holds when the block is entered."""
        return Invariant(block, self._visited.get(block, []))

    def at(self, pc: int) -> Invariant:
        """What holds at the entry of the block that has the instruction."""
        return self.invariant(self.cfg.block_of[pc])

    def explain(self) -> str:
        """In a few lines: what failed, what was known there, which instructions matter."""
        no = self.rejection
        if no is None:
            return f"accepted: {self.stats!r}"
        from bpfbench.isa.text import format_insn

        lines = [f"insn {no.pc}: {no.message} [{no.rule}]", no.row.why]
        if no.line is not None:
            lines.append(f"  {no.line!r}")
        if no.state is not None:
            lines.append(f"  at the entry of its block: {state_text(no.state)}")
        if no.relevant:
            lines.append("  instructions that matter:")
            for pc in no.relevant:
                insn = self.program.insns[pc]
                lines.append(f"    {pc}: {format_insn(insn) if insn is not None else ''}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        if self.rejection is not None:
            return f"<rejected at insn {self.rejection.pc}: {self.rejection.rule}: {self.rejection.message}>"
        return f"<accepted: {self.stats.blocks} blocks, {self.stats.steps} steps>"


def verify_static(prog: Program, privileged: bool = True, beyond: tuple[str, ...] = ()) -> FixpointVerification:
    """Verify a program by abstract interpretation, with the tables of Linux 6.18.

    `beyond` names facts to use that Linux does not keep (`context.BEYOND`, or "all"): more programs are then accepted.

    Only programs of privileged processes are judged (addresses may be known, speculation is not looked at):
    `privileged=False` is a UsageError.  A construct that is not modelled is a rejection by the rule "not-supported".
    """
    if not privileged:
        raise UsageError("the static analysis judges programs of privileged processes only")
    unknown = [name for name in beyond if name not in BEYOND and name != "all"]
    if unknown:
        raise UsageError(f"unknown: {', '.join(unknown)}; there are all, {', '.join(BEYOND)}")
    used = frozenset(BEYOND if "all" in beyond else beyond)
    started = time.perf_counter()
    with paused():
        cfg = build(prog)
        w = Analysis(prog, cfg, used)
        engine = Engine(w)
        rejection = _judge(w, engine)
    stats = Statistics(len(cfg.blocks), engine.blocks_visited, w.steps, w.joins, w.widenings, time.perf_counter() - started)
    return FixpointVerification(prog, cfg, rejection, stats, engine.visited)


def _judge(w: Analysis, engine: Engine) -> Rejection | None:
    try:
        shape.check(w)
        w.prepare()
        engine.run(0, [calls.entry_state(w)])
        _others(w, engine)
        shape.check_stack_depth(w, [0, *sorted({function for function, _ in w.async_entries})])
    except Refused as no:
        return _rejection(w, engine, no)
    except RecursionError:
        return _rejection(w, engine, Refused("not-supported", "not supported: loops nested too deep", w.pc))
    return None


def _others(w: Analysis, engine: Engine) -> None:
    """Functions that are verified by themselves: global ones, and callbacks that run later."""
    done: set[tuple[int, int]] = set()
    while True:
        waiting = sorted(({(function, -1) for function in w.called_globals} | set(w.async_entries)) - done)
        if not waiting:
            return
        for which in waiting:
            done.add(which)
            args = w.async_entries.get(which)
            entry = calls.global_entry(w, which[0]) if args is None else calls.async_entry(w, which[0], args)
            engine.run(which[0], [entry])


def _rejection(w: Analysis, engine: Engine, no: Refused) -> Rejection:
    state = no.state if isinstance(no.state, State) else None
    pc = min(max(no.pc, 0), max(len(w.program.insns) - 1, 0))
    relevant = failure_slice(w.cfg, pc, no.regs) if no.regs else []
    line = w.program.source_line(pc) if w.program.insns else None
    return Rejection(no.rule, no.message, pc, line, state, no.regs, relevant)
