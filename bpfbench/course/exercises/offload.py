"""Optimising for the NFP: copies gathered into one command, upper halves that nobody reads (stages 21, 22)."""

from __future__ import annotations

import contextlib
from random import Random
from typing import Any, Final

from bpfbench.course.exercise import Exercise, Failed, Plain, as_if
from bpfbench.course.exercises.support import first_difference, marked_listing, program
from bpfbench.course.plug import plugged
from bpfbench.jit.nfp import OWN, compile_nfp
from bpfbench.nfp import memcpy, width32
from bpfbench.nfp.defuse import UNKNOWN
from bpfbench.nfp.gather import gather
from bpfbench.nfp.notes import Note, Step, steps_of

PACKET: Final = "r2 = *(u32 *)(r1 +0)\nr3 = *(u32 *)(r1 +4)\nr4 = r2\nr4 += 200\nif r4 > r3 goto out\n"


def firmware(text: str) -> list[str]:
    """The code for the card, a line per instruction: the slot it comes from, and its text."""
    return [f"{row.owner:4}  {row.text}" for row in compile_nfp(program(text), OWN).insns if row.owner >= 0]


# Gathered copies -----------------------------------------------------------------------------------------------------

Pairs = list[tuple[int, int]]


def _joins(answer: Any, copied: Pairs, load: int, store: int, width: int) -> bool:
    found = answer(list(copied), load, store, width)
    if not isinstance(found, bool):
        raise Failed(f"may_join returns True or False, this is {found!r}"[:200])
    return found


def _chains_step(answer: Any) -> Any:
    def step(chain: Any, load: Step, store: Step, driver: bool) -> bool:
        if not chain.loads:
            return True
        head, stored = chain.loads[-1], chain.stores[-1]
        same = (head.insn.dst, head.insn.src, stored.insn.dst, head.width) == (
            load.insn.dst, load.insn.src, store.insn.dst, load.width)  # fmt: skip
        if not same or load.target or load.insn.dst in (load.insn.src, store.insn.dst):
            return False
        copied = [(a.insn.off + a.note.off, b.insn.off + b.note.off)
                  for a, b in zip(chain.loads, chain.stores, strict=True)]
        return _joins(answer, copied, load.insn.off + load.note.off, store.insn.off + store.note.off, load.width)

    return step


def _gather_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    if "program" not in case:
        return _joins(answer, [(a, b) for a, b in case["copied"]], case["load"], case["store"], case["width"])
    with contextlib.ExitStack() as stack:
        stack.enter_context(plugged("bpfbench.nfp.memcpy.chains", _chains_step(answer)))
        stack.enter_context(plugged("bpfbench.nfp.memcpy.crosses", lambda chain, load, driver: False))
        return firmware(case["program"])


def _pair(load: int, store: int, width: int) -> tuple[Step, Step]:
    size = 8 * width
    insns = program(f"r5 = *(u{size} *)(r2 +{load})\n*(u{size} *)(r2 +{store}) = r5\nexit").insns
    notes = [Note(), Note(), Note()]
    for note in notes[:2]:
        note.ptr, note.places = "packet", [(0, 0)]
    first, second, _ = steps_of(insns, notes)
    return first, second


def _engine_join(copied: Pairs, load: int, store: int, width: int) -> bool:
    chain = memcpy.Chain()
    for pair in copied:
        chain.add(*_pair(*pair, width))
    first, second = _pair(load, store, width)
    return memcpy.chains(chain, first, second, False) and not memcpy.crosses(chain, first, False)


def _gather_expected(case: Any) -> Plain:
    if "program" in case:
        return firmware(case["program"])
    return _engine_join([(a, b) for a, b in case["copied"]], case["load"], case["store"], case["width"])


def _join(apart: bool = True, exact: bool = False, first: bool = False, both: bool = True, turn: bool = False,
          upward: bool = False) -> Any:  # fmt: skip
    """may_join with one thing wrong."""

    def mistaken(copied: Pairs, load: int, store: int, width: int) -> bool:
        step = load - copied[-1][0]
        if abs(step) != width or both and store - copied[-1][1] != step or upward and step < 0:
            return False
        if len(copied) > 1 and not turn and (step > 0) != (copied[1][0] > copied[0][0]):
            return False
        seen = [copied[0][1]] if first else [b for _, b in copied]
        return not apart or all(load != b if exact else abs(load - b) >= width for b in seen)

    return mistaken


def join_cases(random: Random) -> list[Any]:
    made: list[Any] = []
    for kind in ("on", "down", "overlap", "touch", "inside", "turn", "aside", "gap", "late", "on"):
        width, count = random.choice((2, 4)), random.randrange(2, 6)
        step = -width if kind == "down" else width
        load = random.randrange(40, 60) & ~3
        store = load + 100
        copied = [(load + i * step, store + i * step) for i in range(count)]
        a, b = load + count * step, store + count * step
        if kind in ("overlap", "touch", "inside", "late"):
            # the next load looks at what a store before it has written, at one byte of it, or just not
            hit = a + {"overlap": 0, "touch": width, "inside": width - 1, "late": -width + 1}[kind]
            at = 0 if kind != "late" else count - 1
            copied = [(x, hit + (i - at) * step) for i, (x, _) in enumerate(copied)]
            b = copied[-1][1] + step
        elif kind == "turn":
            a = copied[-2][0] if count > 1 else a
            b = copied[-2][1]
        elif kind == "aside":
            b += width
        elif kind == "gap":
            a, b = a + width, b + width
        made.append({"copied": [list(pair) for pair in copied], "load": a, "store": b, "width": width})
    return made + [{"program": copying(random, gap)} for gap in (60, 4, random.randrange(5, 16))]


def copying(random: Random, gap: int) -> str:
    """Bytes of a packet copied to `gap` bytes further on."""
    start, lines = random.randrange(0, 30), []
    for i in range(random.randrange(4, 9)):
        lines += [f"r5 = *(u32 *)(r2 +{start + 4 * i})", f"*(u32 *)(r2 +{start + gap + 4 * i}) = r5"]
    return PACKET + "\n".join(lines) + "\nout: r0 = 1\nexit"


def draw_join(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    rows = [*case["copied"], [case["load"], case["store"]]]
    low = min(min(row) for row in rows)
    lines = [f"  offsets from {low}; R is read, W is written"]
    for number, (load, store) in enumerate(rows):
        cells = [" "] * (max(max(row) for row in rows) - low + case["width"])
        for letter, at in (("R", load), ("W", store)):
            for i in range(at - low, at - low + case["width"]):
                cells[i] = letter
        lines.append(f"  {'next' if number == len(rows) - 1 else f'{number}':4} |{''.join(cells)}|")
    return "\n".join([*lines, f"  expected {wanted}, got {got}"])


# Dead upper halves ---------------------------------------------------------------------------------------------------

SOME_USE: Final = 0             # what a pass asks for is not which use needs a definition, but whether any does
KINDS: Final = {width32.NEVER: "never", width32.RESULT: "result", width32.ALWAYS: "always"}
Place = tuple[int, int]


def _places(found: Any) -> set[Place]:
    try:
        return {(int(at), int(register)) for at, register in found}
    except (TypeError, ValueError):
        raise Failed(f"needed returns a set of (index, register), this is {found!r}"[:200]) from None


def _kinds(width: Any) -> dict[Place, str]:
    return {use: KINDS[width32.demand(width.steps[use[0]], use[1])] for use in width.chains.definitions_of}


def _propagate_step(answer: Any, seen: list[set[Place]]) -> Any:
    def step(self: Any) -> None:
        needed = _places(answer(_kinds(self), {use: list(d) for use, d in self.chains.definitions_of.items()}))
        for number, place in enumerate(zip(self.chains.site, self.chains.register)):
            self.asked_by[number] = SOME_USE if place in needed else UNKNOWN
        seen.append(needed)

    return step


def _steps(text: str) -> list[Step]:
    prog = program(text)
    return steps_of(prog.insns, gather(prog)[1].notes)


def _halves_attempt(answer: Any, case: Any) -> Plain:
    if not callable(answer):
        raise Failed(f"the answer must be a function, not {type(answer).__name__}")
    seen: list[set[Place]] = []
    with plugged("bpfbench.nfp.width32.Width._propagate", _propagate_step(answer, seen)):
        if "program" in case:
            return firmware(case["program"])
        width32.Width(_steps(case["assembly"]))
    return sorted([at, register] for at, register in seen[0] if at >= 0)


def _halves_expected(case: Any) -> Plain:
    if "program" in case:
        return firmware(case["program"])
    return sorted([at, register] for at, register in width32.Width(_steps(case["assembly"])).needed if at >= 0)


def _needed(transitive: bool = True, through: tuple[str, ...] = ("result",), seeds: tuple[str, ...] = ("always",),
            one: bool = False) -> Any:  # fmt: skip
    """needed with one thing wrong."""

    def mistaken(kinds: dict[Place, str], definitions_of: dict[Place, list[int]]) -> set[Place]:
        found: set[Place] = set()
        waiting = [use for use, kind in kinds.items() if kind in seeds]
        while waiting:
            use = waiting.pop()
            for at in definitions_of[use][: 1 if one else None]:
                if (at, use[1]) not in found:
                    found.add((at, use[1]))
                    waiting += [u for u, kind in kinds.items() if transitive and u[0] == at and kind in through]
        return found

    return mistaken


def halves_program(random: Random) -> str:
    """Sums of what the packet holds; some end in stores of four bytes, some in comparisons or stores of eight."""
    lines = [f"r{r} = *(u32 *)(r2 +{4 * random.randrange(0, 20)})" for r in (5, 6, 7, 8)]
    for i in range(random.randrange(6, 11)):
        a, b = random.sample((5, 6, 7, 8), 2)
        kind = random.choice(("+=", "+=", "^=", "-=", "=", "<<", "if", "w", ">>"))
        if kind == "<<":
            lines.append(f"r{a} <<= {random.randrange(1, 31)}")
        elif kind == ">>":
            lines.append(f"r{a} >>= {random.randrange(1, 31)}")
        elif kind == "if":
            sign = "" if random.random() < 0.5 else "+"
            lines += [f"if w{b} == {i} goto skip{i}", f"r{a} {sign}= r{b}", f"skip{i}:"]
        elif kind == "w":
            lines.append(f"w{a} += w{b}")
        else:
            lines.append(f"r{a} {kind} r{b}")
    wide = random.random() < 0.7
    lines += [f"*(u32 *)(r2 +{100 + 4 * i}) = r{r}" for i, r in enumerate((5, 6, 7))]
    lines.append("*(u64 *)(r2 +160) = r8" if wide else "*(u32 *)(r2 +160) = r8")
    return PACKET + "\n".join(lines) + "\nout: r0 = 1\nexit"


def halves_cases(random: Random) -> list[Any]:
    chain = (PACKET + "r5 = *(u32 *)(r2 +0)\nr6 = *(u32 *)(r2 +4)\nif w5 == 7 goto s\nr6 = *(u32 *)(r2 +8)\n"
             f"s: r5 += r6\nr7 = r5\nr7 <<= {random.randrange(1, 9)}\n*(u64 *)(r2 +16) = r7\n"
             "*(u32 *)(r2 +24) = r6\nout: r0 = 1\nexit")  # fmt: skip
    made: list[Any] = [{"assembly": halves_program(random)} for _ in range(5)]
    return [{"assembly": chain}, *made, *({"program": halves_program(random)} for _ in range(2))]


def draw_halves(case: Any, wanted: Plain, got: Plain) -> str:
    if "program" in case:
        return first_difference(wanted, got)
    steps = _steps(case["assembly"])
    ours, yours = {tuple(p) for p in wanted}, {tuple(p) for p in got}
    notes: dict[int, str] = {}
    for at, s in enumerate(steps):
        for register in range(10):
            if (at, register) in ours | yours:
                odd = "" if (at, register) in ours & yours else (
                    " (missing)" if (at, register) in ours else " (not needed)")  # fmt: skip
                notes[s.pc] = f"{notes.get(s.pc, '<-')} r{register}{odd}"
    return "  definitions whose upper half is needed:\n" + marked_listing(case["assembly"], notes)


_HERE: Final = "bpfbench.course.exercises.offload."
_SEALED: Final = tuple(_HERE + n for n in ("_engine_join", "_join", "_needed"))

EXERCISES: Final = [
    Exercise("gathered-copy", "may_join", "May this be one copy?", 3, 5, "21 memcpy and packet cache", "44-47",
             public=join_cases(Random(36)), more=join_cases, attempt=_gather_attempt, expected=_gather_expected,
             draw=draw_join,
             mistakes=(("a load may read what an earlier store of the copy has written: then all loads cannot come first",
                        as_if(_gather_attempt, _join(apart=False))),
                       ("a load may read a part of what was stored, at another offset: ranges of bytes overlap",
                        as_if(_gather_attempt, _join(exact=True))),
                       ("every store so far counts, not only the first one", as_if(_gather_attempt, _join(first=True))),
                       ("stores have to go on by the same step as loads", as_if(_gather_attempt, _join(both=False))),
                       ("the direction may not turn around", as_if(_gather_attempt, _join(turn=True))),
                       ("a copy may go downwards, too", as_if(_gather_attempt, _join(upward=True)))),
             seals=("bpfbench.nfp.memcpy.chains", "bpfbench.nfp.memcpy.crosses", *_SEALED)),
    Exercise("dead-halves", "needed", "Upper halves that nobody reads", 4, 7, "22 define-use chains", "56-59",
             public=halves_cases(Random(37)), more=halves_cases, attempt=_halves_attempt, expected=_halves_expected,
             draw=draw_halves,
             mistakes=(("need goes on backwards: what a needed result was made of is needed, too",
                        as_if(_halves_attempt, _needed(transitive=False))),
                       ("a use of kind \"never\" does not pass need on: it reads the lower half only",
                        as_if(_halves_attempt, _needed(through=("never", "result", "always")))),
                       ("a use of kind \"result\" needs the upper half only if that of its own result is needed",
                        as_if(_halves_attempt, _needed(seeds=("always", "result")))),
                       ("several definitions may reach a use: all of them are needed",
                        as_if(_halves_attempt, _needed(one=True)))),
             seals=("bpfbench.nfp.width32.Width._propagate", "bpfbench.nfp.width32.Width._backwards",
                    "bpfbench.nfp.width32.Width._need", *_SEALED)),
]  # fmt: skip
