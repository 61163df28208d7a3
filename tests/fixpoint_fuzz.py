"""Random programs through the static analysis: is what it accepts safe, and do its invariants hold?

    python tests/fixpoint_fuzz.py [COUNT] [SEED] [--beyond] [--processes N] [--walk] [--live]

Three kinds of programs, by seed: those of `bpfbench.generate`, the same with some fields changed (tests/verifier_fuzz.py),
and `pointed` ones made here, which compute an offset in some way, limit it in some way that may be one off, and then
use it on a map value, the packet or the stack, in straight lines, joins and loops; or relate two numbers, so that one
side of a comparison is impossible, or is not.

Each accepted program runs in the interpreter on random packets and maps.  A run must not trap, and whenever it enters a
block, one of the block's states must allow the registers: numbers in their ranges, pointers at their offsets, equal
symbols equal numbers, differences within their bounds.  `--walk` counts how the path walk judges the same programs.

`--live` asks the running kernel, too (loaded and test-run, never attached).  A program that is accepted here and that the
kernel refuses is printed with both answers, to be judged by a reader: it is wrong if there is an input that breaks it.  What
both accept runs in the kernel and in the interpreter on one packet; different results are a counterexample.  Changed
programs are not compared: they return addresses, or bytes of the stack that nobody wrote, which no two runs share.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bpfbench import kernel
from bpfbench.errors import BpfbenchError, InterpError
from bpfbench.fixpoint import values as vs
from bpfbench.fixpoint.state import State, symbol_range
from bpfbench.fixpoint.verify import FixpointVerification, verify_static
from bpfbench.generate import generate
from bpfbench.interp.machine import run
from bpfbench.interp.observe import Observer
from bpfbench.isa import ops
from bpfbench.program.program import Program, from_assembly
from tests.verifier_fuzz import mutated

TYPES = ("xdp", "sched_cls", "socket_filter", "cgroup_skb")
STEPS = 4000            # of a run that is compared
BUDGET = 60_000         # instructions of a run
COMPARED = ("xdp",)     # program types whose context is the packet and nothing else
VARYING = (5, 7, 8, 14)  # helpers whose answer is another one each time: time, random numbers, the processor, the process
UNWRITTEN = (-64, -512)  # offsets in the stack where `Pointed` has written nothing
U64 = (1 << 64) - 1
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 12, 15, 16, 17, 24, 31, 32, 40, 63, 64, 100, 255, 256, -1, -2, -8, -16, -64)


# Programs -----------------------------------------------------------------------------------------------------------


class Pointed:
    """Writes one program as assembly text; r6 context, r7 index, r8 region, r9 second number."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.lines: list[str] = []
        self.labels = 0

    def pick(self, *choices: str) -> str:
        return self.rng.choice(choices)

    def n(self, *extra: int) -> int:
        return self.rng.choice(NUMBERS + extra)

    def add(self, *lines: str) -> None:
        self.lines += lines

    def label(self) -> str:
        self.labels += 1
        return f"L{self.labels}"

    def program(self) -> Program:
        rng = self.rng
        size = rng.choice((8, 16, 17, 24, 32, 64, 100))
        self.add(f".map a array 4 {size} 4", f".map h hash 8 {size} 8", ".type xdp", "r6 = r1", "r7 = 0", "r9 = 0",
                 "*(u64 *)(r10 -8) = 0", "*(u64 *)(r10 -16) = 0", "*(u64 *)(r10 -24) = 0")
        self.source("r7")
        for _ in range(rng.randrange(1, 4)):
            rng.choice((self.arithmetic, self.limit, self.branch, self.spill, self.source9, self.mix, self.either,
                        self.relate))()
        rng.choice((self.value, self.packet, self.stack, self.loop, self.loop, self.packet_loop, self.two, self.call,
                    self.never))(size)
        if rng.random() < 0.4:
            rng.choice((self.value, self.packet, self.stack, self.loop))(size)
        self.add("out:", "r0 = 1", "exit")
        if any("goto bad" in line for line in self.lines):
            self.add("bad:", "r1 = 0", "r0 = *(u8 *)(r1 +0)", "exit")
        if any("pc_sub" in line for line in self.lines):
            self.lines = [line.replace("call pc_sub", "call sub") for line in self.lines]
            self.add("sub:", "r0 = r1", f"if r0 > {self.n()} goto subz", "exit", "subz:", f"r0 = {abs(self.n())}", "exit")
        return from_assembly("\n".join(self.lines))

    def source(self, r: str) -> None:
        """Some number."""
        done = self.label()
        kind = self.rng.randrange(5)
        if kind == 0:
            self.add("call get_prandom_u32", f"{r} = r0")
        elif kind == 1:
            self.add("call ktime_get_ns", f"{r} = r0", f"{r} {self.pick('&=', '>>=', 's>>=')} {self.rng.randrange(1, 62)}")
        elif kind == 2:
            self.add("r2 = *(u32 *)(r6 +0)", "r3 = *(u32 *)(r6 +4)", "r4 = r2", "r4 += 14", f"if r4 > r3 goto {done}",
                     f"{r} = *({self.pick('u8', 'u16', 'u32', 'u64')} *)(r2 +{self.rng.randrange(7)})", f"{done}:")
        elif kind == 3:
            self.lookup(done)
            self.add(f"{r} = *({self.pick('u8', 'u16', 'u32', 'u64', 's8', 's16', 's32')} *)(r0 +0)", f"{done}:")
        else:
            self.add(f"{r} = {self.n()}")

    def source9(self) -> None:
        self.source("r9")

    def lookup(self, missing: str, map: str = "a") -> None:
        key = self.rng.choice((0, 0, 1, 3, 4, 9))
        self.add(f"*(u64 *)(r10 -8) = {key}", "r2 = r10", "r2 += -8", f"r1 = map[{map}]", "call map_lookup_elem")
        if self.rng.random() < 0.93:
            self.add(f"if r0 == 0 goto {missing}")

    def arithmetic(self) -> None:
        r, w = "r7", self.rng.random() < 0.3
        reg = "w7" if w else r
        other = "w9" if w else "r9"
        op = self.pick("+=", "-=", "*=", "&=", "|=", "^=", "<<=", ">>=", "s>>=", "/=", "%=")
        amount = self.n()
        if op in ("<<=", ">>=", "s>>="):
            amount = self.rng.randrange(1, 31 if w else 63)
        if op in ("/=", "%="):
            amount = abs(amount) + 1
        self.add(f"{reg} {op} {other if self.rng.random() < 0.25 else amount}")

    def limit(self) -> None:
        """A bound that may not be enough."""
        self.add(*self.rng.choice((
            (f"r7 &= {self.rng.choice((3, 7, 15, 16, 31, 63, 255))}",),
            (f"if r7 {self.pick('>', '>=', 's>', '==', '!=')} {self.n()} goto out",),
            (f"if r7 s< {self.n()} goto out", f"if r7 s> {self.n()} goto out"),
            (f"if w7 {self.pick('>', '>=', 's>', 's<')} {self.n()} goto out",),
            (f"if r7 {self.pick('>', '>=', '<', '<=')} r9 goto out",),
            (f"r7 %= {abs(self.n()) + 1}",),
            (f"if r7 & {self.n()} goto out",),
        )))

    def branch(self) -> None:
        other, end = self.label(), self.label()
        self.add(f"if r9 {self.pick('>', '==', 's<', '!=')} {self.n()} goto {other}")
        self.arithmetic()
        if self.rng.random() < 0.5:
            self.limit()
        self.add(f"goto {end}", f"{other}:")
        self.rng.choice((self.arithmetic, self.limit))()
        self.add(f"{end}:")

    def spill(self) -> None:
        size = self.pick("u64", "u32", "u16", "u8")
        self.add(f"*({size} *)(r10 -24) = r7")
        if self.rng.random() < 0.5:
            self.limit()
        at = -24 + self.rng.choice((0, 0, 0, 2, 4))
        back = self.pick("u64", "u32", "u16", "u8") if at == -24 else self.pick("u8", "u16")
        self.add(f"r7 = *({back} *)(r10 {at})")

    def mix(self) -> None:
        """Copies, linked numbers."""
        self.add(*self.rng.choice((
            ("r9 = r7", f"r9 += {self.n()}", f"if r9 > {self.n()} goto out"),
            ("r9 = r7", f"if r9 > {self.n()} goto out"),
            (f"if r7 != {self.n()} goto out",) if self.rng.random() < 0.3 else (f"if r7 == {self.n()} goto out",),
            ("w9 = w7", f"if w9 > {abs(self.n())} goto out"),
            (f"if r9 > {self.n()} goto out", "if r7 >= r9 goto out"),
            ("r7 = -r7",), ("r7 = bswap16 r7",) if self.rng.random() < 0.3 else ("r7 = be16 r7",),
        )))

    def either(self) -> None:
        """One way a constant, the other way something else; the ways meet."""
        other, end = self.label(), self.label()
        r, q = self.rng.choice((("r7", "r9"), ("r9", "r7")))
        self.add(f"if {q} {self.pick('&', '>', 's<', '==')} {self.n()} goto {other}", f"{r} = {self.n()}")
        if self.rng.random() < 0.5:
            self.add(f"{q} = {self.n()}")
        self.add(f"goto {end}", f"{other}:", self.rng.choice((f"{r} = {q}", f"{r} += {self.n()}", f"{r} = -{r}",
                                                              f"if {r} > {q} goto out")), f"{end}:")

    def relate(self) -> None:
        """Differences between the two numbers."""
        self.add(*self.rng.choice((
            (f"if r7 {self.pick('>', '>=', '<', '<=', 's>', 's<=')} r9 goto out",),
            (f"if r9 {self.pick('>', '>=', '<', '<=', 's>', 's<=')} r7 goto out",),
            ("r8 = r7", f"r7 += {self.n()}", f"if r8 {self.pick('>', '<', '==')} r9 goto out"),
            ("r8 = r9", f"r8 += {self.n()}", f"if r7 {self.pick('>', '<=')} r8 goto out"),
            ("if r7 == r9 goto out",), ("r9 = r7",), ("r9 -= r7",), ("r7 += r9",),
        )))

    def never(self, size: int) -> None:
        """A comparison whose one side should be impossible after another; the access there is wrong in any case."""
        done = self.label()
        r, q = self.rng.choice((("r7", "r9"), ("r9", "r7")))
        op, against = self.rng.choice(((">", ">"), (">", "=="), (">=", ">="), ("<", "<"), ("<=", "<"), ("!=", "!="),
                                       ("s>", "s>"), ("s<", "s<"), ("s>=", ">"), (">", "s>")))
        self.add(f"if {r} {op} {q} goto {done}")
        for _ in range(self.rng.randrange(3)):
            self.rng.choice((self.either, self.relate, self.spill, self.arithmetic))()
        self.add(f"if {r} {against} {q} goto bad", f"{done}:")

    def access(self, base: str, most: int) -> None:
        size, kind = self.rng.choice(((1, "u8"), (2, "u16"), (4, "u32"), (8, "u64")))
        at = self.rng.choice((0, 0, 0, 1, 4, 8, most - size, most - size + 1, -1, -8))
        if self.rng.random() < 0.5:
            self.add(f"r7 = *({kind} *)({base} {at:+d})")
        else:
            self.add(f"*({kind} *)({base} {at:+d}) = r9")

    def value(self, size: int) -> None:
        self.lookup("out", self.pick("a", "h"))
        if self.rng.random() < 0.6:
            self.limit()
        self.add(f"r0 += {self.rng.choice((0, 0, 4, 8, -8, 16))}", f"r0 {self.pick('+=', '+=', '+=', '-=')} r7")
        self.access("r0", self.rng.choice((size, 4, 8)))

    def packet(self, size: int) -> None:
        room = self.rng.choice((1, 2, 4, 8, 14, 34))
        self.add("r2 = *(u32 *)(r6 +0)", "r3 = *(u32 *)(r6 +4)")
        if self.rng.random() < 0.7:
            if self.rng.random() < 0.7:
                self.add("r7 &= 255")
            self.add(f"r2 += {self.rng.choice((0, 14))}", "r2 += r7")
        self.add("r4 = r2", f"r4 += {room}")
        form = self.rng.randrange(4)
        self.add((f"if r4 {self.pick('>', '>=')} r3 goto out", f"if r3 {self.pick('<', '<=')} r4 goto out",
                  f"if r4 {self.pick('<', '<=')} r3 goto pc_in", f"if r3 {self.pick('>', '>=')} r4 goto pc_in")[form])
        if form >= 2:
            inside = self.label()
            self.lines[-1] = self.lines[-1].replace("pc_in", inside)
            self.add("goto out", f"{inside}:")
        self.access("r2", room)

    def stack(self, size: int) -> None:
        self.add("r2 = r10", f"r2 += {self.rng.choice((-24, -64, -8, -512))}")
        if self.rng.random() < 0.8:
            self.limit()
        if self.rng.random() < 0.4:
            self.add("r7 &= 8")
        self.add("r2 += r7")
        self.access("r2", 8)

    def loop(self, size: int) -> None:
        """A counter and a pointer, or a counter as index."""
        top, step, bound = self.label(), self.rng.choice((1, 1, 2, 4, 8)), self.rng.choice((4, 8, 16, size, size + 1, 64))
        self.lookup("out")
        self.add("r8 = r0", f"r9 = {self.rng.choice((0, 0, 1, 4))}", f"{top}:")
        style = self.rng.randrange(3)
        if style == 0:
            self.add("r1 = r8", "r1 += r9", f"r7 = *({self.pick('u8', 'u16', 'u32')} *)(r1 +0)", f"r9 += {step}",
                     f"if r9 {self.pick('<', '!=', '<=', 's<')} {bound} goto {top}")
        elif style == 1:
            self.add(f"*(u8 *)(r8 +0) = {self.n() & 127}", f"r8 += {step}", "r9 += 1",
                     f"if r9 < {self.rng.choice((2, 4, 8, bound))} goto {top}")
        else:
            self.add(f"if r9 {self.pick('>=', '>', '==')} {bound} goto out", "r1 = r8", "r1 += r9")
            self.arithmetic()
            self.add("*(u8 *)(r1 +0) = r7", f"r9 += {step}", f"goto {top}")

    def packet_loop(self, size: int) -> None:
        top, end = self.label(), self.label()
        self.add("r2 = *(u32 *)(r6 +0)", "r3 = *(u32 *)(r6 +4)", "r9 = 0", f"{top}:", "r4 = r2",
                 f"r4 += {self.rng.choice((1, 2, 4))}", f"if r4 {self.pick('>', '>=')} r3 goto {end}",
                 f"r7 = *({self.pick('u8', 'u16', 'u32')} *)(r2 +0)", f"r2 += {self.rng.choice((1, 2, 4, 8))}", "r9 += 1",
                 f"if r9 < {self.rng.choice((4, 16, 40, 200))} goto {top}", f"{end}:")

    def two(self, size: int) -> None:
        """Two pointers joined under a flag."""
        other, end = self.label(), self.label()
        self.lookup("out")
        self.add("r8 = r0", f"if r9 > {self.n()} goto {other}", f"r8 += {self.rng.choice((0, 4, 8))}", "r9 = 1",
                 f"goto {end}", f"{other}:", self.pick("r8 = r10", "r8 = 0", "r8 += 1", f"r8 += {size - 1}"),
                 "r9 = 0", f"{end}:")
        if self.rng.random() < 0.5:
            self.add(f"if r9 == {self.pick('0', '1')} goto out")
        self.access("r8", 8)

    def call(self, size: int) -> None:
        self.add("r1 = r7", "call pc_sub", "r7 = r0")
        self.value(size)


def program(seed: int) -> tuple[str, Program]:
    """The program of a seed, and its kind."""
    rng = random.Random(seed)
    kind = seed % 4
    if kind == 0:
        return "generated", generate(seed, rng.choice(TYPES))
    if kind == 1:
        return "mutated", mutated(generate(seed, rng.choice(TYPES)), rng)
    prog = Pointed(rng).program()
    return ("pointed", prog) if kind == 2 else ("pointed, mutated", mutated(prog, rng, 2))


# Runs ---------------------------------------------------------------------------------------------------------------


class Entries(Observer):
    """Registers at the entries of blocks, the first `STEPS` steps."""

    def __init__(self, v: FixpointVerification) -> None:
        self.starts = {b.start: b.index for b in v.cfg.blocks}
        self.met: list[tuple[int, list[int]]] = []

    def visit(self, step: int, pc: int, registers: list[int]) -> None:
        if step < STEPS and pc in self.starts:
            self.met.append((self.starts[pc], list(registers)))


def allows(state: State, registers: list[int]) -> str:
    """"" or why the state does not allow the registers."""
    top = len(state.frames) - 1
    symbols: dict[int, int] = {vs.ZERO: 0}
    base = end = None
    regs = state.frames[-1].regs
    for r, v in enumerate(regs[:10]):
        if v.kind == vs.PACKET and v.scalar.m == 0:
            base = registers[r] - v.scalar.smin
        if v.kind == vs.END:
            end = registers[r]
    for r, v in enumerate(regs[:10]):
        value = registers[r]
        off = None
        if v.kind == vs.NUMBER:
            off = value
        elif v.kind == vs.STACK and v.frame == top:
            off = value - registers[10]
        elif v.kind == vs.PACKET and base is not None:
            off = value - base
        elif v.kind > vs.NUMBER and value == 0 and not v.nullable:
            return f"r{r} is null, not {vs.text(v)}"
        if off is None or (v.nullable and value == 0):
            continue
        if not v.scalar.holds(off):
            return f"r{r} = {off:#x} is not {vs.text(v)}"
        if v.sym > vs.ANON and symbol_range(v) is not None:
            number = (off - v.delta) & U64
            if symbols.setdefault(v.sym, number) != number:
                return f"r{r} = {off:#x} does not have the symbol it is said to have"
    if base is not None and end is not None:
        for x, row in state.zones.edges.items():
            for s in (x, *row):
                if s < 0 and s != vs.META_LENGTH:
                    symbols[s] = end - base
    for x, y, c in state.zones.pairs():
        if x in symbols and y in symbols and symbols[x] - symbols[y] > c:
            return f"a difference is {symbols[x] - symbols[y]}, not at most {c}"
    return ""


def wrong(prog: Program, v: FixpointVerification, rng: random.Random) -> str:
    """"" or what a run contradicts."""
    for _ in range(2):
        entries = Entries(v)
        packet = rng.randbytes(rng.choice((14, 15, 31, 32, 33, 40, 64, 200, 300)))
        content = _contents(prog, rng)
        result = run(prog, packet, maps=content, observe=entries, budget=BUDGET, seed=rng.randrange(1 << 30))
        trap = result.trap
        if trap is not None and trap.kind != "budget" and "reserved field" not in str(trap):
            return f"the run traps: {trap}"
        if trap is not None and trap.kind == "budget" and not prog_may_be_long(v):
            return "the run does not end"
        states = v.invariants
        for block, registers in entries.met:
            found = states.get(block)
            if found is None:
                return f"block {block} is entered, which is said to be unreachable"
            why = [allows(s, registers) for s in found.states]
            if all(why):
                return f"block {block} (insn {v.cfg.blocks[block].start}): {why[0]}"
    return ""


def prog_may_be_long(v: FixpointVerification) -> bool:
    return bool(v.cfg.loops) or any(i is not None and i.kind == ops.CALL for i in v.program.insns)


def _contents(prog: Program, rng: random.Random) -> dict[int, dict[bytes, bytes]]:
    """Random values in maps that take them."""
    found: dict[int, dict[bytes, bytes]] = {}
    for i, spec in enumerate(prog.maps):
        if spec.type in ("array", "hash") and not spec.inner and spec.contents is None and not spec.flags:
            keys = range(spec.max_entries) if spec.type == "array" else range(3)
            found[i] = {k.to_bytes(spec.key_size, "little"): rng.choice((rng.randbytes(spec.value_size),
                        bytes(spec.value_size), bytes([rng.randrange(20)]).ljust(spec.value_size, b"\0")))
                        for k in keys}  # fmt: skip
    return found


def live(prog: Program, kind: str, accepted: bool, rng: random.Random) -> tuple[str, str]:
    """(what the running kernel says and does, what is wrong)"""
    verdict = kernel.verify(prog)
    if not verdict.accepted or not accepted:
        return "kernel accepts" if verdict.accepted else "kernel refuses", ""
    varies = any(i is not None and ((i.kind == ops.CALL and i.imm in VARYING) or (i.op.imm and i.imm in UNWRITTEN))
                 for i in prog.insns)
    if varies or "mutated" in kind or prog.type not in COMPARED:
        return "kernel accepts", ""
    packet = rng.randbytes(rng.choice((64, 200, 300)))
    there, here = kernel.run(prog, packet, read_maps=False), run(prog, packet, budget=BUDGET)
    if here.trap is not None:
        return "kernel accepts", "" if here.trap.kind == "budget" else f"traps here, not in the kernel: {here.trap}"
    if (there.r0, there.data) == (here.r0 & 0xFFFF_FFFF, here.data):
        return "kernel accepts and runs alike", ""
    return "kernel accepts", f"r0 is {here.r0:#x} here and {there.r0:#x} in the kernel, or the packets differ"


def case(job: tuple[int, tuple[str, ...], bool, bool]) -> tuple[int, str, str, str]:
    """(seed, kind, outcome, what is wrong)"""
    seed, beyond, walk, ask = job
    try:
        kind, prog = program(seed)
    except BpfbenchError as error:
        return seed, "", f"no program: {type(error).__name__}", ""
    try:
        v = verify_static(prog, beyond=beyond)
        outcome = "accepted" if v.accepted else "refused" if v.supported else "not supported"
        if v.rejection is not None and v.rejection.rule == "too-complex":
            outcome = "gave up"
        said = wrong(prog, v, random.Random(seed)) if v.accepted else ""
        if walk:
            from bpfbench.verifier.verification import verify

            outcome += ", walk " + ("accepts" if verify(prog).accepted else "refuses")
        if ask:
            answer, difference = live(prog, kind, v.accepted, random.Random(seed))
            outcome, said = f"{outcome}, {answer}", said or difference
            if v.accepted and answer == "kernel refuses":
                print(f"seed {seed} ({kind}): accepted here, the kernel says: {kernel.verify(prog).message}", flush=True)
    except BpfbenchError as error:
        known = isinstance(error, InterpError) or "not supported" in str(error).lower()
        return seed, kind, f"not run: {type(error).__name__}", "" if known else str(error)
    except Exception as error:      # a crash of ours is a finding, too
        return seed, kind, "crash", f"{type(error).__name__}: {error}"
    return seed, kind, outcome, said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=2000)
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("--beyond", action="store_true", help="with all facts that Linux does not keep")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--walk", action="store_true", help="ask the path walk, too")
    parser.add_argument("--live", action="store_true", help="ask the running kernel, too; compare results")
    args = parser.parse_args()
    started = time.time()
    beyond = ("all",) if args.beyond else ()
    if args.live and not kernel.available():
        parser.error(f"no live kernel to ask: {kernel.available().reason}")
    jobs = ((seed, beyond, args.walk, args.live) for seed in range(args.seed, args.seed + args.count))
    seen: Counter[tuple[str, str]] = Counter()
    bad = 0
    with multiprocessing.Pool(args.processes) as pool:
        for seed, kind, outcome, said in pool.imap_unordered(case, jobs, chunksize=32):
            seen[(kind, outcome)] += 1
            if said:
                bad += 1
                print(f"seed {seed} ({kind}): {said}", flush=True)
    for kind in sorted({k for k, _ in seen}):
        figures = ", ".join(f"{n} {what}" for (k, what), n in seen.most_common() if k == kind)
        print(f"  {kind or 'none'}: {figures}")
    accepted = sum(n for (_, what), n in seen.items() if what.startswith("accepted"))
    print(f"{args.count} programs from seed {args.seed}, {accepted} accepted and run: {bad} wrong; "
          f"{time.time() - started:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
