"""Mutants of known programs, judged by bpfbench and by the running kernel: the programs that nobody wrote.

    python tests/parity_mutants.py [COUNT] [--seed N] [--reduced] [--source NAMES] [--log] [--differences N] [--only N]

The parents are the kernel's own verifier tests (of the tree that BPFBENCH_KERNEL_TREE names), the recorded programs
(BPFBENCH_RECORDINGS, or ../shared/data beside the repository) and the data sets of this repository. A mutant is a
parent with one to three changes, near the border between right and wrong:

    field       a register, a size, an offset, a constant, a condition, an opcode gets another value
    helper      a call gets another helper; an argument is set before it
    order       an instruction moves, is doubled, is lost (`goto +0` stands in its place)
    splice      a stretch of another parent of the same maps is put in, jumps go where they went by distance
    kind        another program type, another attach type

Compared are the verdict, the last message, `processed`, the total of states and, with `--log`, the level-2 log line by
line. Mutant N of a seed is always the same; `--only N` shows one with both logs where they part.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bpfbench.errors import BpfbenchError
from bpfbench.isa.text import format_insn
from bpfbench.program.program import PROG_TYPES, Program
from bpfbench.verifier.verification import verify
from tests.parity_verifier import facts, recordings
from tests.verifier_fuzz import Bounded, TooLong

ROOT: Final = Path(__file__).resolve().parents[1]
OFFSETS: Final = (-512, -64, -24, -16, -8, -7, -4, -1, 0, 1, 2, 3, 4, 7, 8, 12, 16, 20, 24, 48, 76, 80, 96, 200)
NUMBERS: Final = (0, 1, 2, -1, 3, 4, 7, 8, 15, 16, 31, 32, 48, 63, 64, 128, 255, 4096, 65535, -8, -16, 0x7FFFFFFF,
                  -0x80000000, 1 << 29, -(1 << 29))
HELPERS: Final = (*range(1, 40), 44, 50, 51, 57, 65, 66, 68, 69, 80, 84, 85, 86, 87, 93, 94, 95, 96, 97, 98, 99, 107,
                  112, 113, 115, 120, 124, 125, 130, 131, 132, 133, 134, 135, 136, 147, 150, 153, 154, 164, 168, 169,
                  170, 171, 174, 179, 181, 184, 191, 194, 195, 196, 197, 198, 201, 202, 203, 209, 211)
SIZES: Final = (0x00, 0x08, 0x10, 0x18)
NOTHING: Final = bytes.fromhex("0500000000000000")
LONGEST: Final = 3000           # slots of a parent
UNLOADABLE: Final = ("unspec", "struct_ops", "ext", "tracing", "lsm")       # need something to be written for


# Parents ------------------------------------------------------------------------------------------------------------


def parents(sources: list[str]) -> list[dict[str, Any]]:
    """The programs that are changed, as records."""
    found: list[dict[str, Any]] = []
    tree = os.environ.get("BPFBENCH_KERNEL_TREE", "")
    if "selftests" in sources and tree:
        from bpfbench.kernel import selftests

        found += [test.program.to_json() for test in selftests.read(tree)
                  if not test.needs and len(test.program) <= LONGEST]
    path = recordings() / "programs.jsonl.gz"
    if "recordings" in sources and path.is_file():
        with gzip.open(path, "rt") as lines:
            found += [json.loads(line) for line in lines]
    if "datasets" in sources:
        from bpfbench import load

        for file in sorted((ROOT / "datasets").glob("*.o")):
            try:
                found += [prog.to_json() for prog in load(str(file)).programs.values() if len(prog) <= LONGEST]
            except BpfbenchError:
                continue
    return found


# Changes ------------------------------------------------------------------------------------------------------------


def change_field(raw: bytearray, rng: random.Random) -> None:
    at, kind = rng.randrange(len(raw) // 8) * 8, rng.randrange(9)
    code = raw[at]
    if kind == 0:
        raw[at + 1] = raw[at + 1] & 0xF0 | rng.choice((*range(11), rng.randrange(16)))
    elif kind == 1:
        raw[at + 1] = raw[at + 1] & 0x0F | rng.choice((*range(11), rng.randrange(16))) << 4
    elif kind == 2:
        put(raw, at + 2, 2, rng.choice(OFFSETS))
    elif kind == 3:
        put(raw, at + 2, 2, int.from_bytes(raw[at + 2:at + 4], "little", signed=True) + rng.choice((-8, -4, -1, 1, 4, 8)))
    elif kind == 4:
        put(raw, at + 4, 4, rng.choice(NUMBERS))
    elif kind == 5:
        put(raw, at + 4, 4, int.from_bytes(raw[at + 4:at + 8], "little", signed=True) + rng.choice((-8, -1, 1, 8)))
    elif kind == 6 and code & 7 < 4:
        raw[at] = code & 0xE7 | rng.choice(SIZES)
    elif kind == 6:
        raw[at] = code & 0x0F | rng.randrange(16) << 4           # another operation or condition
    elif kind == 7:
        raw[at] = code ^ rng.choice((0x08, 0x01, 0x03, 0x02, 0x60, 0x20, 0x40, 0x80))
    else:
        raw[at] = raw[rng.randrange(len(raw) // 8) * 8]


def change_helper(raw: bytearray, rng: random.Random) -> None:
    calls = [at for at in range(0, len(raw), 8) if raw[at] == 0x85]
    if not calls:
        return change_field(raw, rng)
    at = rng.choice(calls)
    if rng.random() < 0.5:
        raw[at + 1] &= 0x0F
        put(raw, at + 4, 4, rng.choice(HELPERS))
    elif at:
        argument = bytearray(8)
        register, source = rng.randrange(1, 6), rng.randrange(11)
        argument[0], argument[1] = rng.choice(((0xB7, register), (0xBF, register | source << 4)))
        if argument[0] == 0xB7:
            put(argument, 4, 4, rng.choice(NUMBERS))
        put_in(raw, at, bytes(argument))
    return None


def change_order(raw: bytearray, rng: random.Random) -> None:
    slots, kind = len(raw) // 8, rng.randrange(4)
    at, other = rng.randrange(slots) * 8, rng.randrange(slots) * 8
    if kind == 0:
        raw[at:at + 8], raw[other:other + 8] = raw[other:other + 8], raw[at:at + 8]
    elif kind == 1:
        raw[at:at + 8] = raw[other:other + 8]
    elif kind == 2:
        raw[at:at + 8] = NOTHING
    else:
        put_in(raw, at, bytes(raw[other:other + 8]))


def put(raw: bytearray, at: int, size: int, number: int) -> None:
    raw[at:at + size] = (number & (1 << 8 * size) - 1).to_bytes(size, "little")


def put_in(raw: bytearray, at: int, piece: bytes) -> None:
    """`piece` before the slot at `at`; jumps and calls over it are stretched."""
    grown = len(piece) // 8
    for here in range(0, len(raw), 8):
        code = raw[here]
        call = code == 0x85 and raw[here + 1] >> 4 == 1
        if call or (code & 7 in (5, 6) and code & 0xF0 not in (0x80, 0x90)):
            place, size = (4, 4) if call or code == 0x06 else (2, 2)
            off = int.from_bytes(raw[here + place:here + place + size], "little", signed=True)
            target = here + 8 + 8 * off
            if here < at < target:
                put(raw, here + place, size, off + grown)
            elif target <= at <= here:
                put(raw, here + place, size, off - grown)
    raw[at:at] = piece


def mutant(number: int, seed: int, known: list[dict[str, Any]]) -> Program:
    """Mutant `number` of a seed."""
    rng = random.Random(seed << 32 | number)
    record = dict(rng.choice(known))
    raw = bytearray.fromhex(record["insns"])
    record["name"] = f"mutant {number} of {record['name']}"
    changes = rng.choice((0, 1, 1, 1, 1, 2, 2, 3))
    for _ in range(changes):
        choice = rng.random()
        if choice < 0.6:
            change_field(raw, rng)
        elif choice < 0.72:
            change_helper(raw, rng)
        elif choice < 0.9:
            change_order(raw, rng)
        else:
            splice(raw, record, rng.choice(known), rng)
    if rng.random() < 0.15 or not changes:
        record["prog_type"] = rng.choice([kind for kind in PROG_TYPES if kind not in UNLOADABLE])
        record["expected_attach_type"] = rng.choice((0, 0, 0, rng.randrange(60)))
        record.pop("attach_to", None)
    if rng.random() < 0.02:
        record["license"] = "Proprietary"
    record.pop("line_info", None)             # its lines would be of other instructions
    record["insns"] = bytes(raw).hex()
    return Program.from_json(record)


def splice(raw: bytearray, record: dict[str, Any], other: dict[str, Any], rng: random.Random) -> None:
    """A stretch of another program; maps are taken from it when this one has none."""
    if record["maps"] and other["maps"] and record["maps"] != other["maps"]:
        return
    theirs = bytes.fromhex(other["insns"])
    first = rng.randrange(len(theirs) // 8)
    stretch = theirs[8 * first:8 * (first + rng.randrange(1, 8))].replace(bytes.fromhex("9500000000000000"), NOTHING)
    if not record["maps"]:
        record["maps"] = other["maps"]
    put_in(raw, rng.randrange(len(raw) // 8) * 8, stretch)


# Comparing ----------------------------------------------------------------------------------------------------------

_CLOCK: Final = re.compile(r"verification time \d+ usec")         # may stand behind a message without an end of line
_NUMBER: Final = re.compile(r"-?\b\d+\b|0x[0-9a-f]+")


def judge(prog: Program, reduced: bool, log: bool) -> tuple[str, str]:
    """(what to count it as, what differs)"""
    from bpfbench.kernel.verify import verify as ask

    try:
        want = ask(prog, 0, not reduced)
    except BpfbenchError as error:
        return f"not asked: {type(error).__name__}", ""
    try:
        have = verify(prog, privileged=not reduced, observer=Bounded())
    except TooLong:
        return "long", ""
    except BpfbenchError as error:
        return "not supported", f"{_NUMBER.sub('N', str(error))}; kernel {want.message!r}"
    except Exception as error:
        return "crash", f"{type(error).__name__}: {error}"
    message, theirs = have.message or "", want.message or ""
    if have.accepted != want.accepted:
        what = "accepted, the kernel refuses" if have.accepted else "refused, the kernel accepts"
        return what, f"{message!r}, kernel {want.errno} {theirs!r}"
    if have.errno != want.errno:
        return "other errno", f"{have.errno} {message!r}, kernel {want.errno} {theirs!r}"
    if message != theirs:
        return "other message", f"{message!r}, kernel {theirs!r}"
    if want.insns_processed is not None and have.stats.processed != want.insns_processed:
        return "other count", f"processed {have.stats.processed}, kernel {want.insns_processed}"
    ours, kernels = (have.total_states, have.peak_states), (want.total_states, want.peak_states)
    if want.total_states is not None and ours != kernels:
        return "other states", f"total and peak {ours}, kernel {kernels}"
    if log and (want.insns_processed or 0) < 3000:
        parted = first_difference(have.log(2), ask(prog, 2, not reduced).log)
        if parted:
            return "other log", parted
    return "accepted alike" if have.accepted else "refused alike", ""


def timeless(log: str) -> list[str]:
    """The lines of a log that do not depend on the clock."""
    return [line for line in facts(_CLOCK.sub("", log)) if not line.startswith("stack depth")]


def first_difference(mine: str, theirs: str) -> str:
    have, want = timeless(mine), timeless(theirs)
    for ours, kernels in zip(have, want, strict=False):
        if ours != kernels:
            return f"{ours!r}, kernel {kernels!r}"
    shorter = min(len(have), len(want))
    return "" if len(have) == len(want) else f"{have[shorter:shorter + 1]}, kernel {want[shorter:shorter + 1]}"


_KNOWN: list[dict[str, Any]] = []
GOOD: Final = ("accepted alike", "refused alike", "long")


def _share(work: tuple[int, int, int, bool, bool, list[str]]) -> tuple[Counter[str], Counter[str], list[str]]:
    first, count, seed, reduced, log, sources = work
    if not _KNOWN:
        _KNOWN.extend(parents(sources))
    seen: Counter[str] = Counter()
    types: Counter[str] = Counter()
    said: list[str] = []
    for number in range(first, first + count):
        prog = mutant(number, seed, _KNOWN)
        what, how = judge(prog, reduced, log)
        seen[what] += 1
        if what in GOOD:
            types[prog.type] += 1
        elif not what.startswith("not asked"):
            said.append(f"{what}: {number} ({prog.type}): {how}")
    return seen, types, said


def show(number: int, seed: int, reduced: bool, sources: list[str]) -> None:
    from bpfbench.kernel.verify import verify as ask

    prog = mutant(number, seed, parents(sources))
    print(prog.name, prog.type, prog.attach_type, prog.license, prog.maps)
    for pc, insn in enumerate(prog.insns):
        if insn is not None:
            print(f"  {pc:4} {prog.raw[8 * pc:8 * pc + 8].hex()}  {format_insn(insn)}")
    print(*judge(prog, reduced, True))
    have, want = timeless(verify(prog, privileged=not reduced).log(2)), timeless(ask(prog, 2, not reduced).log)
    at = next((i for i, (a, b) in enumerate(zip(have, want, strict=False)) if a != b), min(len(have), len(want)))
    for title, lines in (("same", have[max(at - 12, 0):at]), ("bpfbench", have[at:at + 8]), ("kernel", want[at:at + 8])):
        print(f"-- {title}", *lines, sep="\n    ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--reduced", action="store_true", help="as a process without CAP_PERFMON")
    parser.add_argument("--log", action="store_true", help="compare the level-2 logs too")
    parser.add_argument("--source", default="selftests,recordings,datasets")
    parser.add_argument("--differences", type=int, default=20, metavar="N", help="how many differences to list")
    parser.add_argument("--only", type=int, metavar="N", help="show mutant N")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    sources = args.source.split(",")
    from bpfbench import kernel as running

    if not running.available():
        print(f"no kernel to compare with: {running.available()}")
        return 0
    if args.only is not None:
        show(args.only, args.seed, args.reduced, sources)
        return 0
    started = time.time()
    work = [(at, min(250, args.first + args.count - at), args.seed, args.reduced, args.log, sources)
            for at in range(args.first, args.first + args.count, 250)]
    seen: Counter[str] = Counter()
    types: Counter[str] = Counter()
    said: list[str] = []
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for counts, kinds, lines in pool.imap(_share, work):
            seen.update(counts)
            types.update(kinds)
            said += lines
    report(args.count, args.seed, args.reduced, seen, types, time.time() - started)
    for line in sorted(said)[:args.differences]:
        print("   ", line)
    return 1 if seen["accepted, the kernel refuses"] or seen["crash"] else 0


def report(count: int, seed: int, reduced: bool, seen: Counter[str], types: Counter[str], seconds: float) -> None:
    asked = sum(n for what, n in seen.items() if not what.startswith("not asked")) - seen["long"]
    other = sum(seen[what] for what in ("accepted, the kernel refuses", "refused, the kernel accepts", "not supported",
                                        "crash"))
    mode = "without CAP_PERFMON" if reduced else "privileged"
    print(f"mutants ({mode}) of seed {seed}: {count} in {seconds:.0f} s, {asked} compared, "
          f"same verdict {asked - other} ({100 * (asked - other) / max(asked, 1):.2f} %)")
    print("  " + ", ".join(f"{n} {what}" for what, n in seen.most_common()))
    print("  alike, by program type: " + ", ".join(f"{kind} {n}" for kind, n in types.most_common()))


if __name__ == "__main__":
    sys.exit(main())
