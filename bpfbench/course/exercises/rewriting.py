"""What the kernel does to a verified program (stage 17)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if, inside
from bpfbench.course.exercises.support import first_difference, program
from bpfbench.isa import ops
from bpfbench.isa.assembler import assemble_text
from bpfbench.isa.text import format_insn
from bpfbench.verifier.rewrite import division, rewrite
from bpfbench.verifier.rewrite.body import Line


def _guarded(answer: Any, op: str, wide: bool, dst: int, src: int) -> list[str]:
    """The answer's lines, each as the disassembler writes it."""
    found = answer(op, wide, dst, src)
    if not isinstance(found, (list, tuple)) or not all(isinstance(line, str) for line in found):
        raise Failed(f"guard returns a list of lines of assembly, this is {found!r}"[:200])
    insns = assemble_text("\n".join(found)).insns
    return [format_insn(insn) for insn in insns if insn is not None]


def _guard_step(answer: Any) -> Any:
    """The engine's list of lines, made of the answer's; the division itself stays the line it was."""

    def step(line: Line) -> list[Line]:
        insn = line.insn
        op = "/" if insn.op.fn == ops.DIV else "%"
        out: list[Line] = []
        for new in assemble_text("\n".join(_guarded(answer, op, insn.kind == ops.ALU64, insn.dst, insn.src))).insns:
            assert new is not None
            out.append(line if new == insn else Line(new))
        return out

    return step


def _texts(case: Any) -> Plain:
    return [format_insn(insn) for insn in rewrite(program(case["program"])).insns if insn is not None]


def _engine_guard(op: str, wide: bool, dst: int, src: int) -> list[str]:
    letter = "r" if wide else "w"
    insn = assemble_text(f"{letter}{dst} {op}= {letter}{src}").insns[0]
    assert insn is not None
    return [format_insn(line.insn) for line in division._unsigned(Line(insn, 0))]


def _direct(answer: Any, case: Any) -> Plain:
    return _guarded(answer, case["op"], case["wide"], case["dst"], case["src"])


def _attempt(answer: Any, case: Any) -> Plain:
    if "program" in case:
        return inside("bpfbench.verifier.rewrite.division._unsigned", _guard_step(answer), lambda: _texts(case))
    return _direct(answer, case)


def _expected(case: Any) -> Plain:
    return _texts(case) if "program" in case else _direct(_engine_guard, case)


def _guard(zero: str = "^", skip: bool = True, upper: bool = True, whole: bool = False, off: int = 0) -> Any:
    """guard with one thing wrong."""

    def mistaken(op: str, wide: bool, dst: int, src: int) -> list[str]:
        r = "r" if wide else "w"
        test = "r" if whole else r
        divide = f"{r}{dst} {op}= {r}{src}"
        if op == "/":
            clear = f"w{dst} ^= w{dst}" if zero == "^" else f"{zero}{dst} = 0"
            return [f"if {test}{src} != 0 goto +{2 if skip else 1}", clear, *(["goto +1"] if skip else []), divide]
        if wide or not upper:
            return [f"if {test}{src} == 0 goto +{1 + off}", divide]
        return [f"if {test}{src} == 0 goto +{2 + off}", divide, "goto +1", f"w{dst} = w{dst}"]

    return mistaken


def guard_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for op in "/%":
        for wide in (True, False):
            dst, src = random.sample(range(1, 10), 2)
            made.append({"op": op, "wide": wide, "dst": dst, "src": src})
    lines = ["r6 = *(u32 *)(r1 +16)", "r7 = *(u32 *)(r1 +12)", "r8 = 100"]
    for _ in range(3):
        a, b = random.sample((6, 7, 8), 2)
        r = random.choice("rw")
        lines.append(f"{r}{a} {random.choice('/%')}= {r}{b}")
        lines.append(f"if r{a} > 7 goto +1\nr{b} += 1")
    return [*made, {"program": "\n".join([*lines, "r0 = r6", "exit"])}]


def draw_guard(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    rows = max(len(wanted), len(got))
    left, right = wanted + [""] * (rows - len(wanted)), got + [""] * (rows - len(got))
    return "\n".join(["  expected                      got",
                      *(f"  {a:28}{' ' if a == b else '|'} {b}" for a, b in zip(left, right, strict=True))])


_SEALED: Final = tuple(f"bpfbench.course.exercises.rewriting.{n}" for n in ("_engine_guard", "_guard"))

EXERCISES: Final = [
    Exercise("division-guard", "guard", "No division by zero", 2, 4, "17 after verification", "22, 35",
             public=guard_cases(Random(18)), more=guard_cases, attempt=_attempt, expected=_expected, draw=draw_guard,
             mistakes=(("after the result was set to zero, the division itself has to be jumped over",
                        as_if(_direct, _guard(skip=False))),
                       ("the kernel clears with an exclusive or, not with a move", as_if(_direct, _guard(zero="w"))),
                       ("the kernel clears with an exclusive or of the low half", as_if(_direct, _guard(zero="r"))),
                       ("a remainder on 32 bits clears the upper half of its destination even if the divisor is zero",
                        as_if(_direct, _guard(upper=False))),
                       ("a division on 32 bits looks at the low half of the divisor only: test that half",
                        as_if(_direct, _guard(whole=True))),
                       ("the jump goes one too far", as_if(_direct, _guard(off=1)))),
             seals=("bpfbench.verifier.rewrite.division._unsigned", *_SEALED)),
]  # fmt: skip
