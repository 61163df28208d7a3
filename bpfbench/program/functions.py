"""Function partition: the program is a sequence of functions; make them explicit.

A function starts at slot 0, at the destination of each bpf-to-bpf call and at each function whose address a wide load
takes (a callback).  The encoding of the call gives the destination:

    call destination = pc + imm + 1           2: call +5   ->  function at 2 + 5 + 1 = 8

A function ends where the next one starts.  What does not fit is a `Flaw`, not an exception, so that a program that
every kernel refuses can still be looked at.

Slides 21-25; `kernel/bpf/verifier.c` (add_subprog_and_kfunc, check_subprogs).
"""

from __future__ import annotations

from typing import final

from bpfbench.isa import ops
from bpfbench.program.program import Program


@final
class Flaw:
    """Something about the shape of a program that kernels refuse: the `pc` it is at, and their `message`."""

    __slots__ = ("pc", "message")

    def __init__(self, pc: int, message: str) -> None:
        self.pc = pc
        self.message = message

    def __repr__(self) -> str:
        return f"Flaw(insn {self.pc}: {self.message})"


@final
class Function:
    """Slots `start` up to `end` (exclusive); `name` from the symbol table, else `func N`.  Function 0 is the entry."""

    __slots__ = ("index", "start", "end", "name")

    def __init__(self, index: int, start: int, end: int, name: str) -> None:
        self.index = index
        self.start = start
        self.end = end
        self.name = name

    def __repr__(self) -> str:
        return f"Function({self.name}: {self.start}-{self.end - 1})"


@final
class Call:
    """A call edge between functions: `pc` in `caller` names `callee`; a `callback` is only named there, a helper calls
    it.
    """

    __slots__ = ("pc", "caller", "callee", "callback")

    def __init__(self, pc: int, caller: int, callee: int, callback: bool) -> None:
        self.pc = pc
        self.caller = caller
        self.callee = callee
        self.callback = callback

    def __repr__(self) -> str:
        return f"Call({self.pc}: {self.caller} -> {self.callee}{', callback' if self.callback else ''})"


@final
class Partition:
    """The functions of a program in order of their start, the calls between them, and what was wrong."""

    __slots__ = ("functions", "calls", "flaws", "of")

    def __init__(self, functions: list[Function], calls: list[Call], flaws: list[Flaw], of: list[int]) -> None:
        self.functions = functions
        self.calls = calls
        self.flaws = flaws
        self.of = of  # function index per slot

    def __repr__(self) -> str:
        return f"Partition({', '.join(repr(f) for f in self.functions)})"


def destination(prog: Program, pc: int) -> int | None:
    """Slot of the function that the instruction at `pc` calls or takes the address of; None if it does neither."""
    insn = prog.insns[pc]
    if insn is None or insn.flaw:
        return None
    if insn.kind == ops.CALL_LOCAL or (insn.kind == ops.LDDW and insn.op.fn == ops.FUNC):
        return pc + insn.imm + 1
    return None


def partition(prog: Program) -> Partition:
    """Cut a program into its functions.

    >>> from bpfbench.program.program import from_assembly
    >>> p = partition(from_assembly("call pc+1\\nexit\\nr0 = 7\\nexit"))
    >>> p.functions, p.calls
    ([Function(func 0: 0-1), Function(func 1: 2-3)], [Call(0: 0 -> 1)])
    """
    count = len(prog.insns)
    flaws: list[Flaw] = []
    named: list[tuple[int, int, bool]] = []
    for pc in range(count):
        target = destination(prog, pc)
        if target is None:
            continue
        insn = prog.insns[pc]
        callback = insn is not None and insn.kind == ops.LDDW
        if not 0 <= target < count:
            flaws.append(Flaw(pc, "call to invalid destination"))
        elif prog.insns[target] is None:
            flaws.append(Flaw(pc, f"jump into the middle of ldimm64 insn {target - 1}"))
        else:
            named.append((pc, target, callback))
    starts = sorted({0, *(target for _, target, _ in named)}) if count else []
    names = {pc: name for name, pc in sorted(prog.symbols.items(), reverse=True)}
    functions = [
        Function(i, start, starts[i + 1] if i + 1 < len(starts) else count, names.get(start, f"func {i}"))
        for i, start in enumerate(starts)
    ]
    of = [0] * count
    for function in functions:
        of[function.start : function.end] = [function.index] * (function.end - function.start)
    index = {function.start: function.index for function in functions}
    calls = [Call(pc, of[pc], index[target], callback) for pc, target, callback in named]
    return Partition(functions, calls, flaws, of)
