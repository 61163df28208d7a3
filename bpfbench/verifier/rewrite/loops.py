"""Loops the verifier lets programs have: bpf_loop without a call per round trip, and the budget of may_goto.

`bpf_loop(n, callback, ctx, 0)` with a known callback becomes a loop that calls the callback directly; r6-r8 hold bound,
counter and context and are kept on an extended stack meanwhile.  `may_goto` counts down an 8-byte (16-byte since 6.15)
cell below the stack:

    may_goto +3        r11 = *(u64 *)(r10 -16)
                       if r11 == 0x0 goto +5
                       r11 -= 1
                       *(u64 *)(r10 -16) = r11

Source: kernel/bpf/verifier.c (`inline_bpf_loop`, `do_misc_fixups`).
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.isa.helpers import helper_id
from bpfbench.verifier.rewrite.body import Body, Line, op
from bpfbench.verifier.rewrite.hints import Function

_LOOP = helper_id("loop")
_MAX_LOOPS = 8 * 1024 * 1024
_E2BIG = 7


def inline_loops(body: Body, functions: list[Function]) -> None:
    """Every bpf_loop call whose callback is the same on all paths and whose flags are 0."""
    starts = {line.function: line for line in body.lines if line.function >= 0}
    patches: dict[int, list[Line]] = {}
    current = 0
    extra: dict[int, int] = {}
    for i, line in enumerate(body.lines):
        current = line.function if line.function >= 0 else current
        if line.insn.kind == ops.CALL and line.insn.imm == _LOOP and line.hint is not None and line.hint.callback > 0:
            depth = functions[current].stack_depth
            extra[current] = 24 + (-depth % 8)
            patches[i] = _loop(-(depth + extra[current]), starts[line.hint.callback])
    body.rebuild(patches)
    for number, more in extra.items():
        functions[number].stack_depth += more


def _loop(base: int, callback: Line) -> list[Line]:
    r6, r7, r8 = base, base + 8, base + 16
    patch = [Line(x) for x in (
        op(0xB5, 1, 0, 2, _MAX_LOOPS), op(0xB4, 0, 0, 0, -_E2BIG), op(0x05, 0, 0, 16),
        op(0x7B, 10, 6, r6), op(0x7B, 10, 7, r7), op(0x7B, 10, 8, r8),
        op(0xBF, 6, 1), op(0xB4, 7, 0, 0, 0), op(0xBF, 8, 3),
        op(0x3D, 7, 6, 5), op(0xBF, 1, 7), op(0xBF, 2, 8), op(0x85, 0, 1),
        op(0x07, 7, 0, 0, 1), op(0x15, 0, 0, -6, 0), op(0xBF, 0, 7),
        op(0x79, 6, 10, r6), op(0x79, 7, 10, r7), op(0x79, 8, 10, r8))]
    patch[12].target = callback
    return patch


def expand_may_goto(body: Body, functions: list[Function], version: tuple[int, int]) -> None:
    """Every may_goto, and the initialisation of its counter at the start of the function."""
    timed = version >= (6, 15)
    patches: dict[int, list[Line]] = {}
    used: set[int] = set()
    current = 0
    for i, line in enumerate(body.lines):
        current = line.function if line.function >= 0 else current
        if line.insn.kind == ops.MAY_GOTO and line.pc >= 0:
            cell = -functions[current].stack_depth - (16 if timed else 8)
            patches[i] = _timed(line, cell) if timed else _counted(line, cell)
            used.add(current)
    body.rebuild(patches)
    for number in used:
        functions[number].extra = 16 if timed else 8
        functions[number].stack_depth += functions[number].extra


def start_may_goto(body: Body, functions: list[Function], version: tuple[int, int]) -> None:
    """Set the counters, once all other patches are in; jumps to the start skip this."""
    for number, function in enumerate(functions):
        if not function.extra:
            continue
        first = next(line for line in body.lines if line.function == number)
        cells = [op(0x7A, 10, 0, -function.stack_depth, _MAX_LOOPS if function.extra == 8 else 0xFFFF)]
        if function.extra == 16:
            cells.append(op(0x7A, 10, 0, -function.stack_depth + 8, 0))
        new = [Line(x) for x in cells]
        new[0].function, first.function = number, -1
        at = body.lines.index(first)
        body.lines[at:at] = new
        for line in body.lines:
            if line.target is first and line.insn.kind in (ops.CALL_LOCAL, ops.LDDW):
                line.target = new[0]


def _counted(line: Line, cell: int) -> list[Line]:
    out = Line(op(0x15, 11, 0, 0, 0))
    out.target = line.target
    return [Line(op(0x79, 11, 10, cell)), out, Line(op(0x17, 11, 0, 0, 1)), Line(op(0x7B, 10, 11, cell))]


def _timed(line: Line, cell: int) -> list[Line]:
    """With a time limit too: at 0 the kernel is asked whether to go on."""
    out = Line(op(0x15, 11, 0, 0, 0))
    out.target = line.target
    return [Line(op(0x79, 11, 10, cell)), out, Line(op(0x17, 11, 0, 0, 1)), Line(op(0x55, 11, 0, 2, 0)),
            Line(op(0xB7, 11, 0, 0, cell)), Line(op(0x85), symbol="arch_bpf_timed_may_goto"),
            Line(op(0x7B, 10, 11, cell))]
