"""Random programs through the path walk: is it sound, and does a live kernel say the same?

    python tests/verifier_fuzz.py [COUNT] [SEED]                     every value of a run is one the walk allows
    python tests/verifier_fuzz.py [COUNT] [SEED] --live [--reduced]  verdict, message, counts as bpf(2) of this host

Programs come from `bpfbench.generate`; some fields of some instructions are then changed, so that about half are
refused. A soundness case is an accepted program: the interpreter runs it on a random packet, and the walk (without
pruning, so that every path is walked to its end) has to pass through the very same instructions with registers that
allow the values met.

    run     0 1 2 5 6 …      r3 = 17           the prefix 0 1 2 5 names one abstract path; there r3 = scalar(umax=20) holds
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter

from bpfbench.errors import BpfbenchError
from bpfbench.generate import generate
from bpfbench.interp.machine import run
from bpfbench.interp.observe import Observer as RunObserver
from bpfbench.program.program import Program
from bpfbench.verifier import regstate as rs
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.state import State
from bpfbench.verifier.verification import verify

TYPES = ("xdp", "sched_cls", "socket_filter", "cgroup_skb")
OFFSETS = (-16, -8, -4, -1, 0, 1, 2, 4, 8, 12, 16, 76, 80)
NUMBERS = (0, 1, -1, 8, 16, 63, 255, 4096, -8, 0x7FFFFFFF, -0x80000000)
STEPS = 3000            # of a run that is compared
WALK = 30_000           # instructions a walk without pruning may take


def mutated(prog: Program, rng: random.Random, most: int = 3) -> Program:
    """The program with up to `most` fields changed or instructions moved."""
    raw = bytearray(prog.raw)
    slots = len(raw) // 8
    for _ in range(rng.choice((0, 0, 1, 1, most - 1, most))):
        at, kind = rng.randrange(slots) * 8, rng.randrange(6)
        if kind == 0:
            raw[at + 1] = raw[at + 1] & 0xF0 | rng.randrange(11)
        elif kind == 1:
            raw[at + 1] = raw[at + 1] & 0x0F | rng.randrange(11) << 4
        elif kind == 2:
            raw[at + 2:at + 4] = rng.choice(OFFSETS).to_bytes(2, "little", signed=True)
        elif kind == 3:
            raw[at + 4:at + 8] = rng.choice(NUMBERS).to_bytes(4, "little", signed=True)
        elif kind == 4:
            raw[at] = raw[rng.randrange(slots) * 8]
        else:
            other = rng.randrange(slots) * 8
            raw[at:at + 8], raw[other:other + 8] = raw[other:other + 8], raw[at:at + 8]
    record = prog.to_json()
    record["insns"] = raw.hex()
    return Program.from_json(record)


class TooLong(Exception):
    """The walk without pruning takes more instructions than the fuzzer waits for."""


class Met(RunObserver):
    """The first `STEPS` states of a run, by the hash of the instructions that led there."""

    def __init__(self) -> None:
        self.at: dict[int, tuple[int, list[int]]] = {}
        self.path = 0

    def visit(self, step: int, pc: int, registers: list[int]) -> None:
        if len(self.at) < STEPS:
            self.path = hash((self.path, pc))
            self.at[self.path] = (pc, list(registers))


class Inside(Observer):
    """Compares every state of the walk with the state of the run that took the same path."""

    def __init__(self, met: Met) -> None:
        self.met = met
        self.paths: dict[int, tuple[State, int]] = {}
        self.reached: set[int] = set()
        self.last = 0
        self.before = 0
        self.held: set[int] = set()
        self.wrong: dict[int, str] = {}
        self.joined = False

    def visit(self, step: int, pc: int, state: State) -> None:
        if step > WALK:
            raise TooLong
        self.before = self.paths.get(id(state), (state, 0))[1]
        path = self.last = hash((self.before, pc))
        self.paths[id(state)] = (state, path)
        found = self.met.at.get(path)
        if found is None:
            return
        self.reached.add(path)
        registers = found[1]
        frame = state.frames[-1]
        for r, reg in enumerate(frame.regs[:10]):
            value = registers[r]
            if reg.kind == rs.SCALAR:
                good = reg.scalar.holds(value)
            elif reg.kind == rs.STACK and reg.frame == len(state.frames) - 1:
                good = reg.scalar.holds(value - registers[10] - reg.off)
            else:
                continue
            if not good:
                self.wrong[path] = f"insn {pc}: r{r} = {value:#x} is not in {reg.scalar} (offset {reg.off})"
                return
        self.held.add(path)

    def fork(self, step: int, pc: int, target: int, state: State, speculative: bool) -> None:
        self.paths[id(state)] = (state, self.before if target == pc else self.last)

    def loop(self, step: int, pc: int, state: State) -> None:
        self.joined = True

    def prune(self, step: int, pc: int, old: State, state: State) -> None:
        self.joined = True


def sound(prog: Program, rng: random.Random) -> str:
    """"" or what the walk got wrong; raises TooLong."""
    met = Met()
    packet = rng.randbytes(rng.choice((0, 14, 31, 32, 33, 64, 200)))
    result = run(prog, packet, observe=met, budget=STEPS * 4, seed=rng.randrange(1 << 30))
    if result.trap is not None and "reserved field" in str(result.trap):
        raise TooLong           # the interpreter is stricter than the kernel about the offset of an exit
    if result.trap is not None and "more than" not in str(result.trap):
        return f"accepted, but the run traps: {result.trap}"
    watch = Inside(met)
    verify(prog, without=("pruning",), observer=watch)
    wrong = [text for path, text in watch.wrong.items() if path not in watch.held]
    if wrong:
        return wrong[0]
    if not watch.joined and len(watch.reached) != len(met.at):
        missed = next(pc for path, (pc, _) in met.at.items() if path not in watch.reached)
        return f"insn {missed}: the run passes here on a path that the walk takes for impossible"
    return ""


def soundness(count: int, seed: int) -> int:
    """Programs with something wrong; prints what it found."""
    seen: Counter[str] = Counter()
    started = time.time()
    for number in range(seed, seed + count):
        rng = random.Random(number)
        try:
            prog = mutated(generate(number, rng.choice(TYPES)), rng)
            first = verify(prog)
            if not first.accepted or first.stats.processed > WALK:
                seen["refused" if not first.accepted else "long"] += 1
                continue
            wrong = sound(prog, rng)
            seen["wrong" if wrong else "sound"] += 1
            if wrong:
                print(f"seed {number}: {wrong}", flush=True)
        except TooLong:
            seen["too long without pruning"] += 1
        except BpfbenchError as error:
            seen[f"not compared: {type(error).__name__}"] += 1
            if "not supported" not in str(error).lower():
                print(f"seed {number}: {error}", flush=True)
    figures = ", ".join(f"{n} {what}" for what, n in seen.most_common())
    print(f"soundness: {count} programs from seed {seed}: {figures}; {time.time() - started:.0f} s")
    return seen["wrong"]


def live(count: int, seed: int, reduced: bool) -> int:
    """Programs judged differently by this host's kernel; prints them."""
    from bpfbench.kernel.verify import verify as ask

    seen: Counter[str] = Counter()
    started = time.time()
    for number in range(seed, seed + count):
        rng = random.Random(number)
        try:
            prog = mutated(generate(number, rng.choice(TYPES)), rng)
            want = ask(prog, 0, not reduced)
            if (want.insns_processed or 0) > WALK:
                seen["long"] += 1
                continue
            have = verify(prog, privileged=not reduced)
        except BpfbenchError as error:
            seen[f"not compared: {type(error).__name__}"] += 1
            continue
        seen["compared"] += 1
        message = have.rejection.message if have.rejection is not None else ""
        if have.accepted != want.accepted:
            seen["other verdict"] += 1
            print(f"seed {number}: accepted={have.accepted} {message!r}, kernel {want.message!r}", flush=True)
        elif message != (want.message or ""):
            seen["other message"] += 1
            print(f"seed {number}: {message!r}, kernel {want.message!r}", flush=True)
        elif want.insns_processed is not None and have.stats.processed != want.insns_processed:
            seen["other count"] += 1
            print(f"seed {number}: processed {have.stats.processed}, kernel {want.insns_processed}", flush=True)
    figures = ", ".join(f"{n} {what}" for what, n in seen.most_common())
    mode = "without CAP_PERFMON" if reduced else "privileged"
    print(f"live ({mode}): {count} programs from seed {seed}: {figures}; {time.time() - started:.0f} s")
    return seen["other verdict"]


def main(arguments: list[str]) -> int:
    numbers = [int(a) for a in arguments if not a.startswith("-")]
    count, seed = (numbers + [2000, int(time.time())][len(numbers):])[:2]
    if "--live" in arguments:
        return 1 if live(count, seed, "--reduced" in arguments) else 0
    return 1 if soundness(count, seed) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
