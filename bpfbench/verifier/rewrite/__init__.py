"""What the kernel does to a program after it has verified it: one small pass per idea.

A verified program is not yet what a JIT compiles.  The kernel removes dead code, converts context accesses, guards
divisions, writes lookups out, binds calls.  Each pass is a file; `rewrite` runs them in the kernel's order and keeps
what the program looked like before and after each.

    verified program
      fast calls      spills around fast helpers dropped            fastcall.py       since 6.12
      loops           bpf_loop written out                          loops.py
      dead code       branches wired, dead code and no-ops removed  dead_code.py
      context         prologue, accesses converted                  ctx_access.py
      barriers        speculation barriers                          masking.py
      fix-ups         division, packet loads, masks, may_goto,      division.py ld_abs.py masking.py loops.py
                      helper calls, lookups                         helper_calls.py map_lookup.py
      zero extension  where the machine needs it                    zext.py
      local calls     numbered                                      (here)

Addresses that only a running kernel knows are left 0 and named in `Rewritten.symbols`.

Source: kernel/bpf/verifier.c (`bpf_check`, its last third); slides 22, 35.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from bpfbench.elf.btf import Btf
from bpfbench.errors import VerifierError, Where
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.profiles import profile
from bpfbench.program.program import Program
from bpfbench.verifier.rewrite import (
    ctx_access,
    dead_code,
    division,
    fastcall,
    helper_calls,
    ld_abs,
    loops,
    masking,
    zext,
)
from bpfbench.verifier.rewrite.body import Body
from bpfbench.verifier.rewrite.hints import Hints, from_walk
from bpfbench.verifier.rewrite.kernel_layout import KernelLayout, layout_of
from bpfbench.verifier.rewrite.subregs import Edges
from bpfbench.verifier.verification import Verification, verify

__all__ = ["Pass", "Rewritten", "rewrite"]


NOTES: Final[dict[str, str]] = {
    "fast calls":     "spills and fills around helpers that keep r1-r5 are blanked",
    "loops":          "bpf_loop with a known callback becomes a loop",
    "branches":       "a branch that goes one way only becomes a jump",
    "dead code":      "what no path reaches goes (unprivileged: becomes a jump to itself)",
    "no-ops":         "jumps to the next instruction go",
    "prologue":       "a program that writes packets first gets a private copy",
    "context":        "fields of contexts and sockets become members of kernel structures",
    "barriers":       "no speculation past the marked instructions",
    "division":       "no division by 0, no overflowing quotient",
    "packet loads":   "ld_abs and ld_ind become calls",
    "masks":          "offsets beyond the limit are masked to 0 without a branch",
    "may_goto":       "a counter below the stack bounds the loop",
    "helper calls":   "numbers become functions; some calls are written out",
    "may_goto start": "the counters are set at the start of the function",
    "zero extension": "upper halves are cleared where they are read",
}


@final
class Pass:
    """One pass that changed something: its `name`, what it does (`notes`), and the program as (slot, text) `before` and
    `after`."""

    __slots__ = ("name", "before", "after", "notes")

    def __init__(self, name: str, before: list[tuple[int, str]], after: list[tuple[int, str]], notes: str) -> None:
        self.name = name
        self.before = before
        self.after = after
        self.notes = notes

    def __repr__(self) -> str:
        return f"Pass({self.name}: {len(self.before)} -> {len(self.after)} instructions)"

    def text(self) -> str:
        """Before and after side by side, changed lines marked with `|`."""
        rows = max(len(self.before), len(self.after))
        left = [f"{at:4} {text}" for at, text in self.before] + [""] * (rows - len(self.before))
        right = [f"{at:4} {text}" for at, text in self.after] + [""] * (rows - len(self.after))
        width = max((len(x) for x in left), default=0)
        rows_ = zip(left, right, strict=True)
        return "\n".join(f"{a:{width}} {' ' if a[5:] == b[5:] else '|'} {b}".rstrip() for a, b in rows_)


@final
class Rewritten:
    """The rewritten program and how it came about.

    `insns` slots as the kernel's JIT is given them · `symbols` slot -> name of the address in `imm` · `passes` those
    that changed something · `origin` slot -> slot in the verified program (-1 for new ones) · `pokes` tail calls the
    kernel patches · `stack_depths` bytes per function
    """

    __slots__ = ("program", "insns", "symbols", "passes", "origin", "pokes", "stack_depths", "layout")

    def __init__(self, program: Program, body: Body, passes: list[Pass], pokes: list[str], depths: list[int],
                 layout: KernelLayout) -> None:
        self.program = program
        self.insns = _numbered_calls(body)
        self.symbols = {line.at: line.symbol for line in body.lines if line.symbol}
        self.origin = {line.at: line.pc for line in body.lines}
        self.passes = passes
        self.pokes = pokes
        self.stack_depths = depths
        self.layout = layout

    def as_program(self) -> Program:
        """The rewritten slots as a program: same type, maps and name; addresses are still 0."""
        old = self.program
        new = Program(self.insns, old.type, old.name, old.license, old.maps, old.attach_type, old.section)
        new.flags = old.flags
        return new

    def __repr__(self) -> str:
        names = ", ".join(p.name for p in self.passes)
        return f"Rewritten({len(self.program)} -> {len(self.insns)} slots, passes: {names})"


def rewrite(subject: Verification | Program, kernel: str = "linux-6.18", machine: str = "x86_64",
            btf: Btf | None = None, pictures: bool = True) -> Rewritten:
    """Rewrite an accepted program as that kernel does before it is compiled for `machine`.

    `btf` is the kernel's BTF, for structures whose offsets the profile does not hold; `pictures=False` keeps no
    before/after. Raises VerifierError for a program that is not accepted, NotSupported for what has no rewriting here.

    >>> from bpfbench.program.program import from_assembly
    >>> rewrite(from_assembly("r0 = *(u32 *)(r1 +16)\\nexit", type="xdp")).insns[:2]
    [<r0 = *(u64 *)(r1 +32)>, <r0 = *(u32 *)(r0 +8)>]
    """
    verified = subject if isinstance(subject, Verification) else verify(subject, kernel)
    if verified.rejection is not None:
        raise VerifierError(f"not accepted, so there is nothing to rewrite: {verified.rejection.message}",
                            Where(verified.program.name))
    chosen = profile(verified.kernel)
    edges = None
    if machine in zext.NEEDS_ZEXT:
        observer = Edges()
        verified.observe(observer)
        edges = observer.taken
    hints = from_walk(verified.walk, edges)
    layout = layout_of(f"{verified.kernel} {machine}" if machine == "arm" else verified.kernel, btf)
    return rewrite_with(verified.program, hints, chosen.version, machine, layout, pictures)


def rewrite_with(prog: Program, hints: Hints, version: tuple[int, int], machine: str, layout: KernelLayout,
                 pictures: bool = True) -> Rewritten:
    """The passes, on hints from wherever."""
    body = Body(prog.insns, hints.insns, [f.start for f in hints.functions])
    passes: list[Pass] = []
    pokes: list[str] = []
    functions = hints.functions

    def run(name: str, action: Callable[[], None]) -> None:
        before = body.snapshot() if pictures else []
        action()
        if pictures:
            after = body.snapshot()
            if after != before:
                passes.append(Pass(name, before, after, NOTES[name]))

    if version >= (6, 12):
        run("fast calls", lambda: fastcall.drop_spills(body, functions))
    run("loops", lambda: loops.inline_loops(body, functions))
    if hints.privileged:
        run("branches", lambda: dead_code.hard_wire_branches(body))
        run("dead code", lambda: dead_code.remove_dead(body))
        run("no-ops", lambda: dead_code.remove_nops(body, version >= (6, 14)))
    else:
        run("dead code", lambda: dead_code.trap_dead(body))
    run("prologue", lambda: ctx_access.unclone_prologue(body, prog, hints, layout))
    run("context", lambda: ctx_access.convert_accesses(body, prog, layout, version, hints.reads_tstamp_type))
    run("barriers", lambda: masking.barriers(body))
    run("division", lambda: division.guard_divisions(body, version))
    run("packet loads", lambda: ld_abs.expand_packet_loads(body))
    run("masks", lambda: masking.mask_pointer_arithmetic(body))
    run("may_goto", lambda: loops.expand_may_goto(body, functions, version))
    run("helper calls", lambda: pokes.extend(helper_calls.fix_calls(body, prog, hints, layout, version, machine)))
    run("may_goto start", lambda: loops.start_may_goto(body, functions, version))
    run("zero extension", lambda: zext.insert_zext(body, machine in zext.NEEDS_ZEXT))
    return Rewritten(prog, body, passes, pokes, [f.stack_depth for f in functions], layout)


def _numbered_calls(body: Body) -> list[Instruction | None]:
    """The slots; a local call carries the callee's number in `imm` and the distance in `off`, the address of a function
    the number in its second `imm`."""
    insns = body.lower()
    numbers: dict[int, int] = {}
    current = -1
    for line in body.lines:
        current = current + 1 if line.function >= 0 else current
        numbers[id(line)] = current
    for line in body.lines:
        if line.insn.kind == ops.CALL_LOCAL and line.target is not None:
            distance = line.target.at - line.at - 1
            insns[line.at] = Instruction(line.insn.op, 0, 1, distance, numbers[id(line.target)])
        elif line.insn.kind == ops.LDDW and line.target is not None:
            distance = line.target.at - line.at - 1
            insn = line.insn
            insns[line.at] = Instruction(insn.op, insn.dst, insn.src, 0, distance, numbers[id(line.target)])
    return insns

