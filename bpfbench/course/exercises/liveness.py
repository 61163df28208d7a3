"""Which registers an instruction uses, and which matter where (stage 14)."""

from __future__ import annotations

from random import Random
from typing import Any, Final, NamedTuple

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.support import first_difference, hole, marked_listing, numbers, program
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.isa.text import format_insn
from bpfbench.program import liveness

ARGUMENTS: Final = {5: 0, 7: 0, 23: 2, 51: 3}             # of ktime_get_ns, get_prandom_u32, redirect, redirect_map


class Insn(NamedTuple):
    """An instruction as the exercises show it: `constant` if its second operand is one; `arguments` of a call."""

    kind: str
    dst: int
    src: int
    constant: bool
    arguments: int


KINDS: Final = {ops.END: "unary", ops.LDX: "load", ops.LDXS: "load", ops.ST: "store", ops.STX: "store", ops.JMP: "branch",
                ops.JMP32: "branch", ops.JA: "goto", ops.CALL: "call", ops.CALL_LOCAL: "call", ops.EXIT: "exit",
                ops.LDDW: "wide"}  # fmt: skip


def view(insn: Instruction, arguments: int = 5) -> Insn:
    kind = KINDS.get(insn.kind, "")
    if insn.kind in (ops.ALU64, ops.ALU32):
        kind = {ops.MOV: "mov", ops.NEG: "unary"}.get(insn.op.fn, "alu")
    return Insn(kind, insn.dst, insn.src, bool(insn.op.imm) or insn.kind == ops.ST, arguments)


# Reads and writes ----------------------------------------------------------------------------------------------------


def _masks(answer: Any, insn: Instruction, arguments: int) -> tuple[int, int]:
    seen = view(insn, arguments)
    found = answer(seen)
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Failed(f"uses returns two sets, what is read and what is written: this is {found!r}"[:200])
    reads, writes = (numbers(part, "each of the two sets that uses returns") for part in found)
    if any(not 0 <= r <= 10 for r in (*reads, *writes)):
        raise Failed("registers are numbers from 0 to 10")
    return sum(1 << r for r in set(reads)), sum(1 << r for r in set(writes))


def _uses_step(answer: Any) -> Any:
    return lambda insn, calls, pc: _masks(answer, insn, calls.get(pc, 5)) if view(insn).kind else (0xFFFF, 0)


def _each_insn(text: str) -> list[Instruction]:
    return [insn for insn in program(text).insns if insn is not None]


def _bits(mask: int) -> list[int]:
    return [r for r in range(11) if mask >> r & 1]


def _uses_direct(answer: Any, case: Any) -> Plain:
    return [[_bits(mask) for mask in _masks(answer, insn, ARGUMENTS.get(insn.imm, 5))]
            for insn in _each_insn(case["assembly"])]


def _engine_uses(seen: Insn) -> tuple[list[int], list[int]]:
    """The engine's answer, asked with an instruction of the kind that is shown."""
    example = {"unary": "r{d} = -r{d}", "load": "r{d} = *(u64 *)(r{s} +0)", "goto": "goto +0", "call": "call ktime_get_ns",
               "exit": "exit", "wide": "r{d} = 5 ll", "mov": "r{d} = r{s}", "alu": "r{d} += r{s}",
               "branch": "if r{d} > r{s} goto +0", "store": "*(u64 *)(r{d} +0) = r{s}"}[seen.kind]  # fmt: skip
    if seen.constant and seen.kind in ("mov", "alu", "branch", "store"):
        example = example.replace("= r{s}", "= 1").replace("> r{s}", "> 1")
    insn = _each_insn(example.format(d=seen.dst, s=seen.src))[0]
    reads, writes = liveness.use_and_def(insn, {0: seen.arguments}, 0)
    return _bits(reads), _bits(writes)


_uses_attempt, _uses_expected = hole("bpfbench.program.liveness.use_and_def", _uses_step, _uses_direct, _engine_uses)


def _uses(**changed: Any) -> Any:
    """`uses` with the answer for some kinds replaced."""

    def mistaken(i: Insn) -> Any:
        return changed[i.kind](i) if i.kind in changed else _engine_uses(i)

    return mistaken


SNIPPETS: Final = ("r3 = r4", "r5 = 7", "r6 += r7", "r6 += 3", "r8 = -r8", "r2 = *(u32 *)(r10 -8)", "*(u64 *)(r10 -8) = r6",
                   "*(u32 *)(r10 -8) = 5", "if r3 > r4 goto +0", "if r9 == 0 goto +0", "r0 = 0x123456789 ll", "goto +0",
                   "call ktime_get_ns", "call redirect", "w7 ^= w6", "r4 = be16 r4", "r9 = *(u8 *)(r7 +3)")  # fmt: skip


def straight(random: Random) -> str:
    """A program that the verifier accepts and whose registers are used in many ways."""
    lines = ["r6 = *(u32 *)(r1 +16)", "r7 = r6", "r8 = 5", "r9 = 1", "*(u64 *)(r10 -8) = 0"]
    for _ in range(random.randrange(4, 9)):
        a, b = random.sample((6, 7, 8, 9), 2)
        lines.append(random.choice([f"r{a} = r{b}", f"r{a} += r{b}", f"r{a} = -r{a}", f"*(u64 *)(r10 -8) = r{a}",
                                    f"r{a} = *(u64 *)(r10 -8)", f"if r{a} > r{b} goto +0", f"if r{a} > 9 goto +1\nr{b} = 3",
                                    "call ktime_get_ns", "r1 = 1\nr2 = 0\ncall redirect", f"r{a} &= 15"]))  # fmt: skip
    return "\n".join([*lines, f"r0 = r{random.choice((6, 7, 8, 9))}", "exit"])


def uses_cases(random: Random) -> list[Any]:
    made: list[Any] = [{"assembly": "\n".join([*random.sample(SNIPPETS, 5), "exit"])} for _ in range(6)]
    return made + [{"program": straight(random)} for _ in range(3)]


def draw_uses(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    rows = []
    for insn, w, g in zip(_each_insn(case["assembly"]), wanted, got, strict=True):
        wrong = "" if w == g else f"   got reads {g[0]} writes {g[1]}"
        rows.append(f"  {format_insn(insn):26} reads {w[0]!s:18} writes {w[1]}{wrong}")
    return "\n".join(rows)


# Live registers ------------------------------------------------------------------------------------------------------


def _live(answer: Any, insns: list[Instruction | None], calls: dict[int, int], order: list[int]) -> list[int]:
    use, kill = [0] * len(insns), [0] * len(insns)
    for pc, insn in enumerate(insns):
        if insn is not None:
            use[pc], kill[pc] = liveness.use_and_def(insn, calls, pc)
    follow = [liveness.successors(insns, pc) if pc in set(order) else [] for pc in range(len(insns))]
    found = numbers(answer(list(order), follow, use, kill), "what live returns")
    if len(found) != len(insns):
        raise Failed(f"live returns one mask per slot: {len(insns)}, not {len(found)}")
    return [mask if pc in set(order) else 0 for pc, mask in enumerate(found)]


def _live_step(answer: Any) -> Any:
    return lambda insns, calls, order: _live(answer, insns, calls, order)


def _live_direct(answer: Any, case: Any) -> Plain:
    insns = program(case["assembly"]).insns
    order = liveness.postorder(insns, [0])[0]
    return [_bits(mask) for mask in _live(answer, insns, {}, order)]


def _solved(order: list[int], follow: list[list[int]], use: list[int], kill: list[int], *, rounds: int = 1000,
            late: bool = False, every: bool = False) -> list[int]:  # fmt: skip
    """The analysis; the options are mistakes."""
    before = [0] * len(follow)
    for _ in range(rounds):
        last = list(before)
        for pc in order:
            out = -1 if every and follow[pc] else 0
            for s in follow[pc]:
                out = out & before[s] if every else out | before[s]
            before[pc] = (out | use[pc]) & ~kill[pc] if late else (out & ~kill[pc]) | use[pc]
        if last == before:
            break
    return [out & 0x7FF for out in before]


def _solved_with(**mistake: Any) -> Any:
    return lambda order, follow, use, kill: _solved(order, follow, use, kill, **mistake)


_live_attempt, _live_expected = hole("bpfbench.program.liveness.live_registers", _live_step, _live_direct, _solved_with())


def looping(random: Random) -> str:
    """Loops and branches over r6-r9, each of which is read only on some ways."""
    top = random.randrange(2, 5)
    a, b, c = random.sample((6, 7, 8, 9), 3)
    return "\n".join([
        *(f"r{r} = {r}" for r in (6, 7, 8, 9)), f"r2 = {top}",
        f"loop: r{a} += r{b}", f"if r{a} > {random.randrange(20, 40)} goto out", f"r{b} = r{c}" if random.random() < 0.6
        else f"r{c} = {top}", "r2 += -1", "if r2 != 0 goto loop", f"r0 = r{random.choice((a, c))}", "exit",
        f"out: r0 = r{random.choice((b, c))}", "exit"])  # fmt: skip


def live_cases(random: Random) -> list[Any]:
    made: list[Any] = [{"assembly": looping(random)} for _ in range(4)]
    made += [{"assembly": straight(random).replace("call ktime_get_ns", "r6 += 1").replace("call redirect", "r2 += r1")}
             for _ in range(3)]
    return made + [{"program": looping(random)} for _ in range(2)]


def draw_live(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)

    def text(registers: list[int]) -> str:
        return ",".join(f"r{r}" for r in registers) or "nothing"

    notes = {pc: f"live: {text(w)}" + (f"   got {text(g)}" if g != w else "")
             for pc, (w, g) in enumerate(zip(wanted, got, strict=True))}
    return marked_listing(case["assembly"], notes)


_SEALED: Final = tuple(f"bpfbench.course.exercises.liveness.{n}"
                       for n in ("_engine_uses", "_uses", "_solved", "_solved_with"))

EXERCISES: Final = [
    Exercise("use-and-def", "uses", "What an instruction reads and writes", 1, 3, "14 liveness and precision", "32",
             public=[{"assembly": "r3 = r4\nr6 += r7\nr5 = 7\nexit"}, *uses_cases(Random(9))], more=uses_cases,
             attempt=_uses_attempt, expected=_uses_expected, draw=draw_uses,
             mistakes=(("a move only writes its destination, it does not read it",
                        as_if(_uses_direct, _uses(mov=lambda i: ({i.dst} if i.constant else {i.dst, i.src}, {i.dst})))),
                       ("arithmetic reads its destination as well",
                        as_if(_uses_direct, _uses(alu=lambda i: (set() if i.constant else {i.src}, {i.dst})))),
                       ("a store writes memory, no register: dst is the address, and it is read",
                        as_if(_uses_direct, _uses(store=lambda i: (set() if i.constant else {i.src}, {i.dst})))),
                       ("exit reads r0, the result", as_if(_uses_direct, _uses(exit=lambda i: (set(), set())))),
                       ("a call destroys r0 to r5, not only r0",
                        as_if(_uses_direct, _uses(call=lambda i: (set(range(1, 1 + i.arguments)), {0})))),
                       ("a call reads the arguments that its helper takes, not always five",
                        as_if(_uses_direct, _uses(call=lambda i: ({1, 2, 3, 4, 5}, {0, 1, 2, 3, 4, 5}))))),
             seals=("bpfbench.program.liveness.use_and_def", *_SEALED)),
    Exercise("live-registers", "live", "Which registers matter", 3, 6, "14 liveness and precision", "32, 33",
             public=live_cases(Random(10)), more=live_cases, attempt=_live_attempt, expected=_live_expected,
             draw=draw_live,
             mistakes=(("what an instruction reads is live even if it writes it, too: first take away, then add",
                        as_if(_live_direct, _solved_with(late=True))),
                       ("one pass is not enough: around a loop facts arrive late, so repeat until nothing changes",
                        as_if(_live_direct, _solved_with(rounds=1))),
                       ("a register is live if *some* way reads it: join with or, not with and",
                        as_if(_live_direct, _solved_with(every=True)))),
             seals=("bpfbench.program.liveness.live_registers", "bpfbench.program.liveness.fixpoint_steps", *_SEALED)),
]  # fmt: skip
