"""Dead code: branches that go one way only, instructions that no path reaches, jumps to the next instruction.

The walk has tried every path, so what it never saw cannot run.  A privileged program gets it removed; an unprivileged
one keeps its shape (speculation might still go there), with a jump to itself in place of every dead instruction.

    if r1 > 0x1 goto +2     never taken       goto +0  -> removed
    r0 = 1                                    r0 = 1
    exit                                      exit
    r0 = 2                  not reached       removed
    exit                    not reached       removed

Source: kernel/bpf/verifier.c (`opt_hard_wire_dead_code_branches`, `opt_remove_dead_code`, `opt_remove_nops`,
`sanitize_dead_code`); slide 22.
"""

from __future__ import annotations

from bpfbench.isa import ops
from bpfbench.verifier.rewrite.body import Body, Line, op

_JA = 0x05


def hard_wire_branches(body: Body) -> None:
    """A conditional jump with one dead side becomes an unconditional one."""
    for i, line in enumerate(body.lines):
        if line.insn.kind not in (ops.JMP, ops.JMP32, ops.MAY_GOTO) or line.hint is None:
            continue
        following = body.lines[i + 1] if i + 1 < len(body.lines) else None
        if following is not None and following.hint is not None and not following.hint.seen:
            line.insn = op(_JA)
        elif line.target is not None and line.target.hint is not None and not line.target.hint.seen:
            line.insn = op(_JA)
            line.target = following


def remove_dead(body: Body) -> None:
    """Instructions that were never seen go."""
    body.remove({i for i, line in enumerate(body.lines) if line.hint is not None and not line.hint.seen})


def remove_nops(body: Body, may_goto: bool) -> None:
    """Jumps to the next instruction go; from 6.14 on also `may_goto` to the next.

    The order shows in the result: a jump over nothing but a removed jump stays, except before a removed `may_goto`.
    """
    lines = body.lines
    i = 0
    while i + 1 < len(lines):
        line, following = lines[i], lines[i + 1]
        nothing = _follow(line.target) is following
        jump = line.insn.kind == ops.JA and not line.insn.op.fn and nothing
        counted = may_goto and line.insn.kind == ops.MAY_GOTO and nothing
        if not jump and not counted:
            i += 1
            continue
        line.moved_to = following
        if line.function >= 0:
            following.function = line.function
        del lines[i]
        if counted and i:
            i -= 1
    body.forward()


def _follow(line: Line | None) -> Line | None:
    while line is not None and line.moved_to is not None:
        line = line.moved_to
    return line


def trap_dead(body: Body) -> None:
    """Unprivileged: a dead instruction becomes a jump to itself."""
    out: list[Line] = []
    for line in body.lines:
        if line.hint is not None and not line.hint.seen:
            for slot in range(line.insn.slots):
                trap = line if slot == 0 else Line(op(_JA), line.pc + 1, body.hints[line.pc + 1])
                trap.insn, trap.target = op(_JA, 0, 0, -1), trap
                out.append(trap)
        else:
            out.append(line)
    body.lines = out
