"""The two verifiers on the same program: where do verdicts, precision and cost differ, and at which first instruction?

The path walk (`verifier/`, as Linux does it) and the static analysis (`fixpoint/`) answer the same question in different
ways.  Side by side, at the entry of every block and for every live register:

    walk      the join of all states in which the walk came here      exact along each path, but only along paths it took
    static    the join of the block's invariants                      whatever path led here

| relation | |
|---|---|
| same | both know the same |
| wider | the static analysis allows more: it has joined paths, or widened a loop |
| narrower | it allows less: a fact that the walk does not keep, or a path that it found impossible |
| lost | a pointer of the walk is any number here: on another path it is none |

The walk prunes: what a pruned path would have brought is not in its join, so "wider" may also mean that the walk did not
look; `without=("pruning",)` shows the difference where it ends in reasonable time.
"""

from __future__ import annotations

import time
from typing import Final, final

from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.values import Value
from bpfbench.fixpoint.verify import FixpointVerification, verify_static
from bpfbench.fixpoint.widening import join
from bpfbench.program.program import Program
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.scalar import Scalar
from bpfbench.verifier.state import State
from bpfbench.verifier.verification import Verification, verify

SAME: Final = "same"
WIDER: Final = "wider"
NARROWER: Final = "narrower"
OTHER: Final = "neither"
LOST: Final = "lost"


@final
class Difference:
    """Register `reg` at the entry of the block that starts at `pc`: what each knows, and how the static one `compares`."""

    __slots__ = ("pc", "reg", "walk", "static", "compares")

    def __init__(self, pc: int, reg: int, walk: str, static: str, compares: str) -> None:
        self.pc = pc
        self.reg = reg
        self.walk = walk
        self.static = static
        self.compares = compares

    def __repr__(self) -> str:
        return f"<insn {self.pc} r{self.reg}: walk {self.walk}, static {self.static} ({self.compares})>"


@final
class SideBySide:
    """See the module text.  `counts` of registers by relation; `differences` in program order."""

    __slots__ = ("program", "walk", "static", "walk_seconds", "counts", "differences")

    def __init__(self, program: Program, walk: Verification, static: FixpointVerification, walk_seconds: float,
                 counts: dict[str, int], differences: list[Difference]) -> None:
        self.program = program
        self.walk = walk
        self.static = static
        self.walk_seconds = walk_seconds
        self.counts = counts
        self.differences = differences

    @property
    def same_verdict(self) -> bool:
        return self.walk.accepted == self.static.accepted

    @property
    def first(self) -> Difference | None:
        """The first instruction at which the static analysis knows less (else: at which the two differ at all)."""
        less = [d for d in self.differences if d.compares in (WIDER, LOST, OTHER)]
        return less[0] if less else self.differences[0] if self.differences else None

    def to_json(self) -> dict[str, object]:
        first = self.first
        return {
            "name": self.program.name,
            "walk": {"accepted": self.walk.accepted, "message": self.walk.message, "pc": self.walk.pc,
                     "insns_processed": self.walk.insns_processed, "seconds": self.walk_seconds},
            "static": {"accepted": self.static.accepted, "message": self.static.message, "pc": self.static.pc,
                       "rule": self.static.rejection.rule if self.static.rejection is not None else None,
                       "steps": self.static.stats.steps, "seconds": self.static.stats.seconds},
            "registers": self.counts,
            "first_difference": None if first is None else {
                "pc": first.pc, "register": first.reg, "walk": first.walk, "static": first.static,
                "static_is": first.compares},
        }  # fmt: skip

    def __str__(self) -> str:
        w, s = self.walk, self.static
        rows = [
            ("", "path walk", "static analysis"),
            ("verdict", "accepted" if w.accepted else "rejected", "accepted" if s.accepted else "rejected"),
            ("at insn", _or_dash(w.pc), _or_dash(s.pc)),
            ("cost", f"{w.insns_processed} insns processed", f"{s.stats.steps} steps"),
            ("kept", f"{w.total_states} states", f"{sum(len(i.states) for i in s.invariants.values())} states"),
            ("time", f"{self.walk_seconds * 1000:.1f} ms", f"{s.stats.seconds * 1000:.1f} ms"),
        ]
        lines = [f"{a:8} {b:28} {c}" for a, b, c in rows]
        if not w.accepted:
            lines.append(f"path walk: {w.message}")
        if not s.accepted:
            lines.append(f"static analysis: {s.message}")
        total = sum(self.counts.values())
        counts = ", ".join(f"{n} {what}" for what, n in self.counts.items() if n)
        lines.append(f"registers at block entries, static against walk: {counts or 'none'} (of {total})")
        if self.first is not None:
            d = self.first
            lines.append(f"first difference: insn {d.pc}, r{d.reg}: walk {d.walk}, static {d.static} ({d.compares})")
        return "\n".join(lines)

    def __repr__(self) -> str:
        verdicts = "same verdict" if self.same_verdict else "other verdict"
        return f"<{self.program.name}: {verdicts}, {len(self.differences)} differences>"


def _or_dash(n: int | None) -> str:
    return "-" if n is None else str(n)


def side_by_side(prog: Program, without: tuple[str, ...] = (), beyond: tuple[str, ...] = ()) -> SideBySide:
    """Run both verifiers (of Linux 6.18) and compare.

    >>> from bpfbench.program.program import from_assembly
    >>> s = side_by_side(from_assembly("r0 = 1\\nif r1 == 0 goto +1\\nr0 = 3\\nexit"))
    >>> s.same_verdict, s.counts["same"]
    (True, 2)
    """
    static = verify_static(prog, beyond=beyond)
    started = time.perf_counter()
    walk = verify(prog, without=without)
    seconds = time.perf_counter() - started
    met = _Met({b.start for b in static.cfg.blocks})
    walk.observe(met)
    counts = {SAME: 0, WIDER: 0, NARROWER: 0, OTHER: 0, LOST: 0}
    differences: list[Difference] = []
    for block in static.cfg.blocks:
        invariant = static.invariant(block.index)
        walked = met.at.get(block.start)
        if walked is None or not invariant.reachable:
            continue
        for r in range(10):
            have = invariant.reg(r)
            if have.kind == vs.NOTHING or r not in walked:
                continue
            relation, shown = walked[r].against(have)
            counts[relation] += 1
            if relation != SAME:
                differences.append(Difference(block.start, r, shown, vs.text(have), relation))
    return SideBySide(prog, walk, static, seconds, counts, differences)


@final
class _Register:
    """All that the walk had in one register at one place."""

    __slots__ = ("numbers", "pointers", "kinds")

    def __init__(self) -> None:
        self.numbers: Scalar | None = None
        self.pointers: Scalar | None = None
        self.kinds: set[str] = set()

    def take(self, reg: RegState) -> None:
        if reg.kind == rs.SCALAR:
            self.numbers = reg.scalar if self.numbers is None else join(self.numbers, reg.scalar)
            return
        offset = reg.scalar if reg.scalar.m else Scalar.const(reg.scalar.v + reg.off)
        if reg.scalar.m and reg.off:
            offset = reg.scalar.copy()
            offset.smin += reg.off
            offset.smax += reg.off
        self.pointers = offset if self.pointers is None else join(self.pointers, offset)
        self.kinds.add(rs.kind_text(reg.kind))

    def against(self, v: Value) -> tuple[str, str]:
        """How the static value compares, and this one as text."""
        shown = " or ".join([*sorted(self.kinds), *([vs.span_text(self.numbers)] if self.numbers is not None else [])])
        if self.kinds:
            if v.kind == vs.NUMBER:
                return LOST, shown
            assert self.pointers is not None
            if v.nullable and self.numbers is None and not any("or_null" in k for k in self.kinds):
                return WIDER, shown
            return _order((v.scalar.smin, v.scalar.smax), (self.pointers.smin, self.pointers.smax)), shown
        if v.kind != vs.NUMBER:
            return NARROWER, shown
        assert self.numbers is not None
        a, b = v.scalar, self.numbers
        if a.same(b):
            return SAME, shown
        return WIDER if b.within(a) else NARROWER if a.within(b) else OTHER, shown


def _order(a: tuple[int, int], b: tuple[int, int]) -> str:
    if a == b:
        return SAME
    if a[0] <= b[0] and b[1] <= a[1]:
        return WIDER
    return NARROWER if b[0] <= a[0] and a[1] <= b[1] else OTHER


class _Met(Observer):
    """The walk's registers at the entries of blocks."""

    def __init__(self, starts: set[int]) -> None:
        self.starts = starts
        self.at: dict[int, dict[int, _Register]] = {}

    def visit(self, step: int, pc: int, state: State) -> None:
        if pc not in self.starts:
            return
        here = self.at.setdefault(pc, {})
        for r, reg in enumerate(state.frames[-1].regs[:10]):
            if reg.kind != rs.NOT_INIT:
                here.setdefault(r, _Register()).take(reg)
