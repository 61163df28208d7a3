"""Trip counts against the truth: loops compiled from C and random loops, both run in the interpreter."""

from __future__ import annotations

import random

import pytest

from bpfbench import kernel
from bpfbench.interp.machine import run
from bpfbench.isa import ops
from bpfbench.program import terms
from bpfbench.program.cfg import Cfg, build
from bpfbench.program.counting import first_hit, monotone, satisfying
from bpfbench.program.loops import AT_MOST, EXACT, LoopFacts, analyse
from bpfbench.program.program import from_assembly
from tests.program import loop_corpus

ENDLESS = "unknown (no iteration meets an exit condition: it never ends)"
CONFIGURATIONS = [("-O2", "v3"), ("-O0", "v1")]  # more of them: benchmarks/loops.py


def facts(text: str) -> list[LoopFacts]:
    return analyse(build(from_assembly(text)))


def wrong(found: LoopFacts, seen: set[int], cut: int) -> bool:
    """Does what was observed contradict what was proved?"""
    count = found.trips.count
    if count is None:
        return False
    return max(seen | {cut}) > count or (found.trips.kind == EXACT and bool(seen - {count}))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("r1 = 0\nA: r1 += 1\nif r1 != 10 goto A\nexit", "exactly 10"),
        ("r1 = 10\nA: r1 += -3\nif r1 s> 0 goto A\nexit", "exactly 4"),
        ("w1 = 1\nA: w1 <<= 1\nif w1 != 0 goto A\nexit", "exactly 32"),
        ("r1 = 7\nA: r1 += 2\nif r1 != 0 goto A\nexit", ENDLESS),
        ("w1 = 7\nA: w1 += 2\nif w1 != 1 goto A\nexit", f"exactly {(2**32 - 6) // 2}"),
        ("A: goto A", "unknown (there is no way out)"),
        ("r2 &= 15\nr1 = 0\nA: r1 += 1\nif r1 <= r2 goto A\nexit",
         "at most 16 (1 + the first k with 1 + 1*k > r2 & 15; insn 3: it depends on r2)"),
        ("A: r2 += -1\nif r2 != 0 goto A\nexit", "symbolic (r2; insn 1: it depends on r2 on entry = r2)"),
        ("r1 = 0\nA: r1 += 1\nif r3 == 0 goto +1\nr1 += 1\nif r1 < 9 goto A\nexit",
         "unknown (insn 4: r1 is changed differently on paths that meet at insn 4)"),
        ("r1 = 0\nA: r1 += 1\ncall 5\nif r0 == 5 goto A\nexit",
         "unknown (insn 3: r0 set at insn 2 is not computed from earlier iterations)"),
        ("r6 = 0\nA: r6 += 1\ncall 12\nif r6 < 5 goto A\nexit",
         "at most 5 (the tail call at insn 2 may not come back)"),
        ("*(u64 *)(r10 - 8) = 0\nA: r1 = *(u64 *)(r10 - 8)\nr1 += 1\n*(u64 *)(r10 - 8) = r1\nif r1 < 6 goto A\nexit",
         "exactly 6"),
        ("*(u64 *)(r10 - 8) = 0\nr2 = r10\nA: r1 = *(u64 *)(r10 - 8)\nr1 += 1\n*(u64 *)(r10 - 8) = r1\ncall 5\n"
         "r1 = *(u64 *)(r10 - 8)\nif r1 < 6 goto A\nexit",
         "unknown (insn 7: r1 set at insn 6 is not computed from earlier iterations)"),
    ],
)  # fmt: skip
def test_small_loops(text: str, expected: str) -> None:
    assert str(facts(text)[0].trips) == expected


def test_triangular_nest_is_bounded_by_the_outer_loop() -> None:
    outer, inner = facts("r1 = 0\nA: r2 = r1\nB: r2 += -1\nif r2 s>= 0 goto B\nr1 += 1\nif r1 < 7 goto A\nr0 = 0\nexit")
    assert (outer.trips.kind, outer.trips.count) == (EXACT, 7)
    assert (inner.trips.kind, inner.trips.count) == (AT_MOST, 7)


def test_induction_variables_have_start_step_and_width() -> None:
    (loop,) = facts("r1 = 5\nw2 = 100\nA: r1 += 3\nw2 -= 7\nif w2 s> 20 goto A\nexit")
    found = [(i.variable, str(i.start), i.step, i.bits) for i in loop.inductions]
    assert found == [(1, "5", 3, 64), (2, "100", -7, 32)]
    assert loop.exits[0].condition == "u32(r2 - 7) s<= 20"


def test_what_three_generations_of_kernels_do() -> None:
    (loop,) = facts("r1 = 0\nA: r1 += 1\nif r1 != 10 goto A\nr0 = 0\nexit")
    assert loop.kernels["linux-4.18"] == "refused: back-edge from insn 2 to 1"
    walked = "walked: 10 iterations of up to 2 instructions, if it keeps track of the counter"
    assert loop.kernels["linux-6.18"] == walked


def test_proved_here_and_endless_for_a_walker(live_kernel: None) -> None:
    """The kernel does not follow a division, so nine iterations look endless to it."""
    text = "r1 = 50000\nA: r1 /= 3\nif r1 > 3 goto A\nr0 = 0\nexit"
    (loop,) = facts(text)
    assert (loop.trips.kind, loop.trips.count) == (EXACT, 9)
    verdict = kernel.verify(from_assembly(text))
    if verdict.accepted:
        pytest.skip("this kernel follows divisions")
    assert verdict.message == "infinite loop detected at insn 1"


@pytest.mark.parametrize("modulus", [1, 2, 7, 16, 36])
def test_first_hit_is_the_smallest(modulus: int) -> None:
    for begin in range(modulus):
        for step in range(modulus):
            values = [(begin + k * step) % modulus for k in range(modulus)]
            for low in range(0, modulus, 3):
                for high in range(low, modulus, 2):
                    expected = next((k for k, v in enumerate(values) if low <= v <= high), None)
                    assert first_hit(begin, step, modulus, low, high) == expected


def test_intervals_are_where_the_comparison_holds() -> None:
    for fn in (ops.JEQ, ops.JNE, ops.JGT, ops.JGE, ops.JLT, ops.JLE, ops.JSGT, ops.JSGE, ops.JSLT, ops.JSLE):
        for bound in range(16):
            holds = {v for low, high in satisfying(fn, 4, bound) for v in range(low, high + 1)}
            assert holds == {v for v in range(16) if terms.compare(fn, 4, v, bound)}


def test_monotone_limit_is_never_exceeded() -> None:
    rng = random.Random(3)
    tried = 0
    for _ in range(4000):
        fn = rng.choice((ops.JGE, ops.JGT, ops.JLE, ops.JLT))
        a, b, step = sorted(rng.choices(range(16), k=2)), sorted(rng.choices(range(16), k=2)), rng.randint(-5, 5)
        limit = monotone(fn, 4, (a[0], a[1]), step, (b[0], b[1]))
        if limit is None:
            continue
        tried += 1
        for start in range(a[0], a[1] + 1):
            for bound in range(b[0], b[1] + 1):
                k = next(k for k in range(20) if terms.compare(fn, 4, start + k * step & 15, bound))
                assert k <= limit, (fn, a, step, b)
    assert tried > 300


@pytest.mark.parametrize(("opt", "cpu"), CONFIGURATIONS)
def test_loops_compiled_from_c(opt: str, cpu: str) -> None:
    clang = pytest.importorskip("bpfbench.toolchain.clang")
    if not clang.available():
        pytest.skip("no clang with the BPF target: install clang, or bpfbench[c]")
    obj = clang.compile_c(loop_corpus.source(), name="loops", cpu=cpu, opt=opt, extra=["-fno-unroll-loops", "-w"])
    loops = decided = 0
    for name, prog in obj.programs.items():
        cfg = build(prog)
        truth = loop_corpus.observed(prog, cfg, budget=20_000)
        for found in analyse(cfg):
            seen, cut = truth[found.loop.index]
            assert not wrong(found, seen, cut), (name, found, seen, cut)
            loops += bool(seen or cut)
            decided += found.trips.bounded
    assert loops >= 200 and decided >= 150


def random_loop(rng: random.Random) -> str:
    """A loop over r1-r3 with a body of random arithmetic and one to two exits; often endless, always small."""
    width = rng.choice("rw")
    lines = [f"r{r} = {rng.choice((0, 1, 5, 100, -1, -7, 0x7FFFFFFF))}" for r in (1, 2)]
    lines += [rng.choice(("r3 = 3", "r3 = 12", "w3 = 9")), "A: r0 = 0"]
    for _ in range(rng.randint(1, 5)):
        register, operand = rng.randint(1, 2), rng.choice(("r3", "r1", "1", "2", "-1", "7", "32"))
        operator = rng.choice(("+=", "+=", "+=", "-=", "<<=", ">>=", "s>>=", "*=", "^=", "&=", "|=", "="))
        w = rng.choice((width, "r"))
        operand = operand.replace("r", w) if operand[0] == "r" else operand
        if operator in ("<<=", ">>=", "s>>=") and operand == "32" and w == "w":
            operand = "31"
        lines.append(f"{w}{register} {operator} {operand}")
    for _ in range(rng.randint(0, 1)):
        comparison, bound = rng.choice(("==", "s>", ">=", "<")), rng.choice((0, 3, 64, -2))
        lines.append(f"if {width}{rng.randint(1, 2)} {comparison} {bound} goto B")
    comparison, bound = rng.choice(("!=", "<", "s<", "<=", "s>", ">", "&", "s>=")), rng.choice((0, 9, 50, 1000, -5))
    lines.append(f"if {rng.choice((width, 'r'))}{rng.randint(1, 2)} {comparison} {bound} goto A")
    return "\n".join([*lines, "B: r0 = 0", "exit"])


def test_random_loops_run_as_proved() -> None:
    rng = random.Random(34)
    proved = 0
    for _ in range(150):
        prog = from_assembly(random_loop(rng))
        cfg: Cfg = build(prog)
        watch = loop_corpus.HeaderCounts(cfg)
        result = run(prog, bytes(64), budget=3_000, observe=watch)
        for found in analyse(cfg):
            running = watch.running.get(found.loop.index, 0)
            seen = {running} if result.trap is None and running else set()
            assert not wrong(found, seen, running), (prog.listing(), found, running)
            if result.trap is None:
                assert found.trips.kind != "unknown" or "never" not in found.trips.reason, prog.listing()
                proved += found.trips.kind == EXACT and found.trips.count == running
    assert proved > 40
