"""Random programs through the path walk: is it sound, and does a live kernel say the same?

    python tests/verifier_fuzz.py [COUNT] [SEED] [--no-live] [--without NAME] [--kernel K]     concrete against abstract
    python tests/verifier_fuzz.py [COUNT] [SEED] --live [--reduced]       verdict, message, counts as bpf(2) of this host

Programs come from `bpfbench.generate`; some fields of some instructions are then changed, so that about half are
refused. COUNT programs are made from SEED on (1 when it is not named) and as many from a fresh seed, on all cores.

An accepted program is run by the interpreter on a random packet. Every state met (all registers, the stack of the
current function) has to lie inside *one* state that the walk passed at the same instruction, called from the same
places:

    run     insn 5: r3 = 17, fp-8 = 0        walk   insn 5: r3 = scalar(umax=20), fp-8 = 0       inside
                                                    insn 5: r3 = 30, fp-8 = mmmmmmmm             (another path)

The walk compared in full is one in which a checkpoint covers a state only when it holds everything (`without`
precision and liveness): the default walk may end a path at a checkpoint with another number when the number does not
matter. In the default walk everything but such numbers is compared: pointers, their offsets, proven packet ranges.

A violation is printed with the smallest program found that still shows it.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from typing import Final

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from bpfbench.errors import BpfbenchError
from bpfbench.generate import generate
from bpfbench.interp.machine import Machine, _result
from bpfbench.interp.observe import Observer as RunObserver
from bpfbench.interp.runtime import surroundings
from bpfbench.program.program import Program
from bpfbench.verifier import regstate as rs
from bpfbench.verifier import state as st
from bpfbench.verifier.observe import Observer
from bpfbench.verifier.regstate import RegState
from bpfbench.verifier.verification import verify

TYPES: Final = ("xdp", "sched_cls", "socket_filter", "cgroup_skb")
OFFSETS: Final = (-16, -8, -4, -1, 0, 1, 2, 4, 8, 12, 16, 76, 80)
NUMBERS: Final = (0, 1, -1, 8, 16, 63, 255, 4096, -8, 0x7FFFFFFF, -0x80000000)
PROFILE: Final = "linux-6.18"
STEPS: Final = 1000             # of a run that are compared
WALK: Final = 10_000            # instructions a walk may take
LONG: Final = 60_000            # instructions a walk that is compared with a kernel may take
EXACT: Final = ("precision", "liveness")
SIZES: Final = (12, 20, 35, 60)
NOTHING: Final = bytes.fromhex("0500000000000000")      # goto +0

Place = tuple[int, tuple[int, ...]]                     # instruction, calls that led there
Claim = tuple[list[RegState], list[st.Slot]]


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
    return with_code(prog, bytes(raw))


def with_code(prog: Program, raw: bytes) -> Program:
    record = prog.to_json()
    record["insns"] = raw.hex()
    return Program.from_json(record)


def program(number: int) -> tuple[Program, random.Random]:
    """The program with that number, and the generator that goes on to make its packet."""
    rng = random.Random(number)
    return mutated(generate(number, rng.choice(TYPES), size=rng.choice(SIZES)), rng), rng


class TooLong(Exception):
    """The walk takes more instructions than the fuzzer waits for."""


class NotCompared(Exception):
    """The interpreter refuses what the kernel lets pass."""


# The run ------------------------------------------------------------------------------------------------------------


class Met(RunObserver):
    """The first `STEPS` states of a run."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.packet = (0, 0)                # at the step being compared
        self.steps: list[tuple[Place, list[int], bytes, tuple[int, int]]] = []

    def visit(self, step: int, pc: int, registers: list[int]) -> None:
        if len(self.steps) < STEPS:
            machine = self.machine
            calls = tuple(frame.back - 1 for frame in machine.frames)
            packet = machine.runtime.packet
            span = (packet.start, packet.end) if packet is not None else (0, 0)         # helpers may move it
            self.steps.append(((pc, calls), registers[:], bytes(machine.stack(len(machine.frames)).buf), span))


def executed(prog: Program, packet: bytes, seed: int) -> tuple[Met, str]:
    """What a run meets, and why it traps ("" when it does not)."""
    machine = Machine(prog, surroundings(prog, packet, None, None, 1, seed), STEPS * 12)
    met = Met(machine)
    machine.observer = met
    for depth in range(8):
        machine.stack(depth)
    result = _result(machine, None)
    trap = "" if result.trap is None or "more than" in str(result.trap) else str(result.trap)
    return met, trap


# The walk -----------------------------------------------------------------------------------------------------------


class Claims(Observer):
    """Every state that the walk passes, by place."""

    def __init__(self) -> None:
        self.at: dict[Place, list[Claim]] = {}

    def visit(self, step: int, pc: int, state: st.State) -> None:
        if step > WALK:
            raise TooLong
        if state.speculative:
            return
        frames = state.frames
        here = (pc, tuple(f.callsite for f in frames[1:])) if len(frames) > 1 else (pc, ())
        top = frames[-1]
        claim = (top.regs[:], top.stack[:])
        found = self.at.get(here)
        if found is None:
            self.at[here] = [claim]
        else:
            found.append(claim)


class Bounded(Observer):
    """Stops a walk that takes too long."""

    def visit(self, step: int, pc: int, state: st.State) -> None:
        if step > LONG:
            raise TooLong


# Inside? ------------------------------------------------------------------------------------------------------------


def allows(reg: RegState, value: int, met: Met, numbers: bool) -> bool:
    """Does what the walk says of a register or slot allow the value of the run?"""
    kind = reg.kind
    if kind == rs.NOT_INIT:
        return True
    if kind == rs.SCALAR:
        return not numbers or reg.scalar.holds(value)
    if kind & rs.MAYBE_NULL and value == 0:
        return True
    base = kind & rs.BASE
    machine = met.machine
    start, end = met.packet
    if base == rs.STACK:
        return reg.scalar.holds(value - machine.stacks[reg.frame].hi - reg.off)
    if base == rs.CTX:
        return reg.scalar.holds(value - machine.arguments[0] - reg.off)
    if base == rs.PACKET:
        return reg.scalar.holds(value - start - reg.off) and (reg.range <= 0 or value - reg.off + reg.range <= end)
    if base == rs.PACKET_END:
        return value == end
    if base == rs.MAP_VALUE and reg.map is not None:
        region = machine.memory.find(value)
        if region is None or reg.map.inner is not None:
            return value != 0
        stride = (reg.map.value_size + 7) // 8 * 8
        away = value - region.base - reg.off
        return any(reg.scalar.holds(away - at) for at in range(0, len(region.buf), stride or 8))
    return value != 0


def slot_allows(slot: st.Slot, raw: bytes, met: Met, numbers: bool) -> bool:
    """The same of eight bytes of stack; `types[7]` is the lowest address."""
    types = slot.types
    if types[7] == st.SPILL:
        size = types.count(st.SPILL)
        value = int.from_bytes(raw[:size], "little")
        if size == 8:
            if not allows(slot.reg, value, met, numbers):
                return False
        elif numbers and (value ^ slot.reg.scalar.v) & ~slot.reg.scalar.m & (1 << 8 * size) - 1:
            return False            # of a number saved in part, the low bits are what counts
    return not numbers or all(raw[i] == 0 for i in range(8) if types[7 - i] == st.ZEROED)


def first_wrong(claim: Claim, registers: list[int], stack: bytes, met: Met, live: int, numbers: bool) -> str:
    """The register or slot outside the claim, "" when all are inside."""
    for r, reg in enumerate(claim[0][:10]):
        if live >> r & 1 and not allows(reg, registers[r], met, numbers):
            return f"r{r} = {registers[r]:#x} is not in {reg!r}"
    if not numbers:
        return ""           # a slot that nothing reads any more may hold anything
    for i, slot in enumerate(claim[1]):
        raw = stack[504 - 8 * i:512 - 8 * i]
        if not slot_allows(slot, raw, met, numbers):
            return f"fp-{8 * i + 8} = {raw.hex(' ')} is not in {slot!r}"
    return ""


def outside(claims: Claims, met: Met, live: list[int] | None) -> str:
    """The first state of the run that no claim allows; `live` for the walk that forgets numbers."""
    for here, registers, stack, packet in met.steps:
        met.packet = packet
        if -2 in here[1]:
            continue        # inside a callback: the run does not say whose
        wrong = "the walk never comes here"
        for claim in claims.at.get(here, ()):
            mask = 0x3FF if live is None else live[here[0]]
            wrong = first_wrong(claim, registers, stack, met, mask, live is None)
            if not wrong:
                break
        if wrong:
            return f"insn {here[0]}{f' called from {here[1]}' if here[1] else ''}: {wrong}"
    return ""


def wrong_with(prog: Program, packet: bytes, seed: int, without: tuple[str, ...], kernel: str = PROFILE) -> str:
    """What the walk got wrong about an accepted program, or ""; raises TooLong, NotCompared."""
    met, trap = executed(prog, packet, seed)
    if "reserved field" in trap:
        raise NotCompared
    if trap:
        return f"accepted, but the run traps: {trap}"
    if kernel == PROFILE:               # older kernels find out on the way, path by path, what is live
        claims = Claims()
        verdict = verify(prog, kernel, observer=claims, without=without)
        wrong = outside(claims, met, verdict.liveness)
        if wrong:
            return f"{wrong} (default walk)"
    claims = Claims()
    verdict = verify(prog, kernel, observer=claims, without=(*without, *EXACT))
    return outside(claims, met, None) if verdict.accepted else ""


def smallest(prog: Program, packet: bytes, seed: int, without: tuple[str, ...], kernel: str = PROFILE) -> Program:
    """Instructions replaced by `goto +0` as long as the program is accepted and still shows something wrong."""
    progress = True
    while progress:
        progress = False
        for at in range(0, len(prog.raw), 8):
            if prog.raw[at:at + 8] == NOTHING:
                continue
            try:
                tried = with_code(prog, prog.raw[:at] + NOTHING + prog.raw[at + 8:])
                if verify(tried, kernel, observer=Bounded(), without=without).accepted and \
                        wrong_with(tried, packet, seed, without, kernel):
                    prog, progress = tried, True
            except (BpfbenchError, TooLong, NotCompared):
                continue
    return prog


# Many ---------------------------------------------------------------------------------------------------------------


def check(number: int, live: bool, without: tuple[str, ...],
          kernel: str = PROFILE) -> tuple[list[str], list[str]]:
    """One program: (what to count, what to print)."""
    prog, rng = program(number)
    try:
        first = verify(prog, kernel, observer=Bounded(), without=without)
    except TooLong:
        return ["long"], []
    except BpfbenchError as error:
        bad = "not supported" not in str(error).lower()
        return (["crash"], [f"{number}: {error}"]) if bad else (["not supported"], [])
    except Exception as error:
        return ["crash"], [f"{number}: {type(error).__name__}: {error}"]
    counts = ["accepted" if first.accepted else "refused"]
    said: list[str] = []
    if live:
        from bpfbench.kernel.verify import verify as ask

        want = ask(prog, 0)
        agrees = want.accepted == first.accepted
        counts.append("verdict as the kernel" if agrees else "other verdict")
        if not agrees:
            said.append(f"{number}: accepted={first.accepted} {first.message!r}, kernel {want.message!r}")
    if not first.accepted:
        return counts, said
    packet, seed = rng.randbytes(rng.choice((0, 14, 31, 32, 33, 64, 200))), rng.randrange(1 << 30)
    try:
        wrong = wrong_with(prog, packet, seed, without, kernel)
    except TooLong:
        return [*counts, "run, but long to compare"], said
    except NotCompared:
        return [*counts, "not compared: the interpreter is stricter about reserved fields"], said
    if wrong:
        from bpfbench.isa.text import format_insn

        small = smallest(prog, packet, seed, without, kernel)
        text = "\n".join(f"    {pc}: {format_insn(insn)}" for pc, insn in enumerate(small.insns)
                         if insn is not None and small.raw[pc * 8:pc * 8 + 8] != NOTHING)
        said.append(f"{number}: {wrong}\n  smallest: {wrong_with(small, packet, seed, without, kernel)}\n{text}")
    return [*counts, "wrong" if wrong else "every state inside"], said


def _share(work: tuple[int, int, bool, tuple[str, ...], str]) -> Counter[str]:
    first, count, live, without, kernel = work
    seen: Counter[str] = Counter()
    for number in range(first, first + count):
        counts, said = check(number, live, without, kernel)
        seen.update(counts)
        seen["programs"] += 1
        for line in said:
            print(line, flush=True)
    return seen


def soundness(count: int, seeds: tuple[int, ...], live: bool = True, without: tuple[str, ...] = (),
              kernel: str = PROFILE) -> Counter[str]:
    """`count` programs from each seed on, on all cores; prints what is wrong, and one line of figures."""
    if live:
        from bpfbench import kernel as running

        live = bool(running.available())
    started = time.time()
    cores = os.cpu_count() or 1
    chunk = max(min(count // cores, 250), 1)
    work = [(at, min(chunk, seed + count - at), live, without, kernel) for seed in seeds
            for at in range(seed, seed + count, chunk)]
    total: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        for seen in pool.imap_unordered(_share, work):
            total.update(seen)
    seconds = time.time() - started
    names = ["programs", *sorted(set(total) - {"programs"}, key=lambda name: -total[name])]
    print(f"soundness from seeds {', '.join(map(str, seeds))}: " + ", ".join(f"{total[name]} {name}" for name in names)
          + f"; wrong {total['wrong']}, crashes {total['crash']}, other verdicts {total['other verdict']}"
          + f"; {seconds:.0f} s, {total['programs'] / seconds:.0f}/s", flush=True)
    return total


def live(count: int, seed: int, reduced: bool) -> int:
    """Programs judged differently by this host's kernel; prints them."""
    from bpfbench.kernel.verify import verify as ask

    seen: Counter[str] = Counter()
    started = time.time()
    for number in range(seed, seed + count):
        try:
            prog, _ = program(number)
            want = ask(prog, 0, not reduced)
            have = verify(prog, privileged=not reduced, observer=Bounded())
        except TooLong:
            seen["long"] += 1
            continue
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
    without: tuple[str, ...] = ()
    if "--without" in arguments:
        at = arguments.index("--without")
        without = tuple(arguments[at + 1].split(","))
        del arguments[at:at + 2]
    kernel = PROFILE
    if "--kernel" in arguments:
        at = arguments.index("--kernel")
        kernel = arguments[at + 1]
        del arguments[at:at + 2]
    numbers = [int(a) for a in arguments if not a.startswith("-")]
    count, seed = (numbers + [2000, 1][len(numbers):])[:2]
    if "--live" in arguments:
        return 1 if live(count, seed, "--reduced" in arguments) else 0
    fresh = int(time.time()) * 1000
    asked = "--no-live" not in arguments and not without and kernel == PROFILE
    total = soundness(count, (seed, fresh), asked, without, kernel)
    return 1 if total["wrong"] or total["crash"] or total["other verdict"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
