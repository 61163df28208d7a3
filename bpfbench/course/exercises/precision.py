"""Walking back to what must be known exactly (stage 14)."""

from __future__ import annotations

from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.liveness import Insn, view
from bpfbench.course.exercises.support import first_difference, hole, numbers, program
from bpfbench.isa import ops
from bpfbench.isa.insn import Instruction
from bpfbench.verifier import precision
from bpfbench.verifier.state import Step

SHOWN: Final = ("mov", "alu", "unary", "load", "store", "wide", "branch")
Sets = tuple[set[int], set[int]]


def _asked(answer: Any, insn: Insn, regs: set[int], slots: set[int], slot: int | None) -> Sets | None:
    found = answer(insn, set(regs), set(slots), slot)
    if found is None:
        return None
    if not isinstance(found, (tuple, list)) or len(found) != 2:
        raise Failed(f"step_back returns (registers, slots) or None, this is {found!r}"[:200])
    registers, kept = (numbers(part, "each of the two sets that step_back returns") for part in found)
    if any(not 0 <= r <= 10 for r in registers) or any(not 0 <= s < 64 for s in kept):
        raise Failed("registers are numbers from 0 to 10, slots from 0 to 63")
    return set(registers), set(kept)


def _mask(numbers_: set[int]) -> int:
    return sum(1 << n for n in numbers_)


def _set(mask: int) -> set[int]:
    return {n for n in range(64) if mask >> n & 1}


def _back_step(answer: Any) -> Any:
    """The engine's step with the student's in its middle: links, calls and the log stay the engine's."""

    def step(w: Any, pc: int, later: int, taken: Step | None, wanted: Any, verbose: bool) -> int:
        insn: Instruction | None = w.insns[pc]
        if insn is None:
            return 0
        f = wanted.frame
        if verbose:
            w.log.line(f"mark_precise: frame{f}: regs={precision.regs_text(wanted.regs[f])} "
                       f"stack={precision.slots_text(wanted.slots[f])} before {pc}: {w.insn_text[pc]}")
        precision._linked(taken, wanted)
        if insn.kind in (ops.CALL, ops.CALL_LOCAL, ops.CALL_KFUNC, ops.EXIT):
            return precision._back_call(w, pc, later, wanted, insn.kind)
        seen = view(insn)
        if seen.kind in SHOWN:
            slot = taken.slot if taken is not None and taken.slot >= 0 else None
            found = _asked(answer, seen, _set(wanted.regs[f]), _set(wanted.slots[f]), slot)
            if found is None:
                return precision.GIVE_UP
            wanted.regs[f], wanted.slots[f] = _mask(found[0]), _mask(found[1])
        precision._linked(taken, wanted)
        return 0

    return step


def _back_direct(answer: Any, case: Any) -> Plain:
    insn = program(f"{case['assembly']}\nexit").insns[0]
    assert insn is not None
    found = _asked(answer, view(insn), set(case["regs"]), set(case["slots"]), case["slot"])
    return None if found is None else [sorted(found[0]), sorted(found[1])]


class _Stage:
    """Just enough of a walk for one step back."""

    jump_chain = fetch_back = True

    def __init__(self, insn: Instruction) -> None:
        self.insns = [insn]
        self.k = self


def _engine_back(seen: Insn, regs: set[int], slots: set[int], slot: int | None) -> Sets | None:
    text = {"mov": "r{d} = r{s}", "alu": "r{d} += r{s}", "unary": "r{d} = -r{d}", "load": "r{d} = *(u64 *)(r10 -8)",
            "store": "*(u64 *)(r{d} -8) = r{s}", "wide": "r{d} = 5 ll", "branch": "if r{d} > r{s} goto +0"}[seen.kind]
    if seen.constant and seen.kind not in ("load", "wide", "unary"):
        text = text.replace("= r{s}", "= 1").replace("> r{s}", "> 1")
    insn = program(text.format(d=seen.dst, s=seen.src) + "\nexit").insns[0]
    assert insn is not None
    wanted = precision.Wanted(0)
    wanted.regs[0], wanted.slots[0] = _mask(regs), _mask(slots)
    stage: Any = _Stage(insn)
    taken = Step(0, 0, 0, -1 if slot is None else slot, 0, ())
    if precision._back(stage, 0, 1, taken, wanted, False) == precision.GIVE_UP:
        return None
    return _set(wanted.regs[0]), _set(wanted.slots[0])


_back_attempt, _back_expected = hole("bpfbench.verifier.precision._back", _back_step, _back_direct, _engine_back)


def _back_but(**changed: Any) -> Any:
    """step_back with some kinds done differently."""

    def mistaken(seen: Insn, regs: set[int], slots: set[int], slot: int | None) -> Any:
        return changed[seen.kind](seen, regs, slots, slot) if seen.kind in changed else _engine_back(seen, regs, slots, slot)

    return mistaken


def _keeps(i: Insn, regs: set[int], slots: set[int], slot: int | None) -> Sets:
    return (regs | ({i.src} if not i.constant and i.dst in regs else set()), slots)


def _drops(i: Insn, regs: set[int], slots: set[int], slot: int | None) -> Sets:
    if i.dst not in regs:
        return regs, slots
    return (regs - {i.dst} | (set() if i.constant else {i.src}), slots)


def _stays_in_slot(i: Insn, regs: set[int], slots: set[int], slot: int | None) -> Sets | None:
    if i.dst in regs:
        return None
    return (regs | ({i.src} if slot in slots and not i.constant else set()), slots)


def _into_memory(i: Insn, regs: set[int], slots: set[int], slot: int | None) -> Sets:
    return (regs - {i.dst}, slots)


def _just_one(i: Insn, regs: set[int], slots: set[int], slot: int | None) -> Sets:
    return (regs, slots)


LINES: Final = ("r{a} = r{b}", "r{a} = 7", "r{a} += r{b}", "r{a} &= 7", "r{a} = -r{a}", "r{a} = 0x11223344556 ll",
                "*(u64 *)(r10 -{s}) = r{a}", "r{a} = *(u64 *)(r10 -{s})", "if r{a} > r{b} goto +0", "if r{a} == 3 goto +0",
                "*(u64 *)(r10 -{s}) = 5", "*(u64 *)(r{a} +0) = r{b}", "r{a} = *(u64 *)(r{b} +0)")  # fmt: skip


def offset_program(random: Random) -> str:
    """An unknown number travels through registers and the stack, and ends as an offset into the stack."""
    lines = ["r6 = *(u32 *)(r1 +16)", "r6 &= 3", "r7 = 1", "r8 = 2", "r9 = 0", "*(u64 *)(r10 -24) = r9"]
    carrier, spare = 6, [7, 8, 9]
    for _ in range(random.randrange(3, 7)):
        other = random.choice(spare)
        way = random.randrange(5)
        if way == 0:
            lines.append(f"r{other} = r{carrier}")
            spare[spare.index(other)], carrier = carrier, other
        elif way == 1:
            lines += [f"*(u64 *)(r10 -32) = r{carrier}", f"r{other} = *(u64 *)(r10 -32)"]
            spare[spare.index(other)], carrier = carrier, other
        elif way == 2:
            lines.append(f"r{carrier} += r{other}")
        elif way == 3:
            lines.append(f"if r{carrier} > r{other} goto +0")
        else:
            lines.append(f"if r{other} == 9 goto +1\nr{other} = {random.randrange(4)}")
    lines += [f"r{carrier} &= 7", "*(u64 *)(r10 -8) = 0", "*(u64 *)(r10 -16) = 0", "r2 = r10", "r2 += -16",
              f"r2 += r{carrier}", "*(u8 *)(r2 +0) = 1", "r0 = 0", "exit"]  # fmt: skip
    return "\n".join(lines)


def back_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for line in random.sample(LINES, len(LINES)):
        a, b = random.sample(range(6, 10), 2)
        spi = random.randrange(0, 4)
        text = line.format(a=a, b=b, s=8 * (spi + 1))
        wanted = sorted({random.choice((a, b, a)), *random.sample(range(6, 10), random.randrange(0, 2))})
        if "*(u64 *)(r10" in text and "= *" not in text or "*(u64 *)(r{a}" in line and random.random() < 0.5:
            wanted = [r for r in wanted if r != a]
        slots = [spi] if random.random() < 0.6 else []
        made.append({"assembly": text, "regs": wanted, "slots": sorted({*slots, (spi + 1) % 4} if slots else slots),
                     "slot": spi if "r10" in text else None})
    return made + [{"program": offset_program(random)} for _ in range(3)]


def draw_back(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)

    def text(found: Any) -> str:
        if found is None:
            return "gives up: all become precise"
        return " ".join([*(f"r{r}" for r in found[0]), *(f"fp-{8 * s + 8}" for s in found[1])]) or "nothing"

    return (f"  wanted after {case['assembly']:30} {text([case['regs'], case['slots']])}\n"
            f"  wanted before, expected{'':20} {text(wanted)}\n  wanted before, got{'':25} {text(got)}")  # fmt: skip


_SEALED: Final = tuple(f"bpfbench.course.exercises.precision.{n}" for n in ("_engine_back", "_back_but", "_drops", "_keeps"))

EXERCISES: Final = [
    Exercise("step-back", "step_back", "One step back in search of a value's origin", 4, 8, "14 liveness and precision",
             "32, 33", public=back_cases(Random(13)), more=back_cases, attempt=_back_attempt, expected=_back_expected,
             draw=draw_back,
             mistakes=(("a move replaces its destination: what was in it before does not matter any more",
                        as_if(_back_direct, _back_but(mov=_keeps))),
                       ("arithmetic needs the old value of its destination as well",
                        as_if(_back_direct, _back_but(alu=_drops))),
                       ("a store to a wanted slot is where its value came from: the slot is not wanted any more",
                        as_if(_back_direct, _back_but(store=_stays_in_slot))),
                       ("a load from a stack slot makes the slot wanted",
                        as_if(_back_direct, _back_but(load=_into_memory))),
                       ("a comparison of two registers ties them together: if one is wanted, both are",
                        as_if(_back_direct, _back_but(branch=_just_one)))),
             seals=("bpfbench.verifier.precision._back", *_SEALED)),
]  # fmt: skip
