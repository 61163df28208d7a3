"""The NFP back-end held to the recorded driver.

    python tests/parity_nfp.py [recordings]

    relocation   the `words` of each record, relocated to its `config`, have to give its `image`
    words        code generated from its `insns` and `annotations` has to be its `words`
                 (records marked `driver_defect` are counted apart: their words are no model)
    verified     the same from the instructions alone, all facts taken from our own verifier
                 (a recording names maps by number: they get a size that the verifier accepts)
    shorter      `--kernel bpfbench` never takes more instructions than the driver, from the same facts
    running      both kernels' code in the simulator on five packets, against the interpreter

Prints how many agree; the exit status is 1 when a relocation or an unmarked record's words differ, when our code for an
unmarked record is longer than the driver's, or when it does something else.  Where a record is marked, the driver is
wrong, and our code need not be as short; such records are listed when they are longer.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from bpfbench.errors import BpfbenchError, NotSupported
from bpfbench.execute.nfp_sim import run as run_on_card
from bpfbench.interp.machine import run as interpret
from bpfbench.isa import ops
from bpfbench.isa.codec import decode
from bpfbench.isa.helpers import helper_id
from bpfbench.isa.insn import Instruction
from bpfbench.jit.nfp import compile_notes, facts_of
from bpfbench.jit.nfp_link import Place, relocate
from bpfbench.nfp.notes import device_from, notes_from
from bpfbench.program.program import MapSpec, Program


def relocated(record: dict[str, Any]) -> bool:
    config, targets = record["config"], record["targets"]
    helpers = {helper_id(name): address for name, address in config["helpers"].items()}
    place = Place(
        config["start_off"], config["tgt_done"], targets["out"], targets["abort"],
        targets["call_push_regs"], targets["call_pop_regs"], helpers,
    )  # fmt: skip
    image = relocate([int(word, 16) for word in record["words"]], place)
    return image == [int(word, 16) for word in record["image"]]


def generated(record: dict[str, Any]) -> bool:
    insns = decode(bytes.fromhex(record["insns"]))
    code = compile_notes(insns, notes_from(record["annotations"]), device_from(record), "linux-6.1")
    return [f"{word:016x}" for word in code.words] == record["words"]


def programs_of(record: dict[str, Any]) -> list[Program]:
    """The program, once for each size that its maps could have: a recording knows their numbers only."""
    insns = decode(bytes.fromhex(record["insns"]))
    kind = "xdp" if record["prog_type"] == 6 else "sched_cls"
    numbers = list(dict.fromkeys(i.imm for i in insns if i and i.kind == ops.LDDW and i.op.fn == ops.MAP_FD))
    if not numbers:
        return [Program(insns, type=kind)]
    body = [Instruction(i.op, i.dst, i.src, i.off, numbers.index(i.imm)) if i and i.op.fn == ops.MAP_FD
            and i.kind == ops.LDDW else i for i in insns]  # fmt: skip
    events = len(numbers) == 1 and any(i and i.kind == ops.CALL and i.imm == 25 for i in insns)
    found = []
    for key in (4, 8, 16, 64):
        for value in (8, 64, 256):
            spec = MapSpec("perf_event_array", 4, 4, 8, 0) if events else (
                MapSpec("array" if key == 4 else "hash", key, value, 64, 0))  # fmt: skip
            found.append(Program(body, type=kind, maps=[spec for _ in numbers]))
    return found


def verifiable(record: dict[str, Any]) -> Program | None:
    """The first of them that our verifier and the offload's rules take."""
    for program in programs_of(record):
        try:
            facts_of(program, "linux-6.1")
            return program
        except BpfbenchError:
            continue
    return None


def from_own_facts(record: dict[str, Any], program: Program) -> bool:
    notes, device = facts_of(program, "linux-6.1")
    insns = decode(bytes.fromhex(record["insns"]))
    numbers = dict.fromkeys(i.imm for i in insns if i and i.kind == ops.LDDW and i.op.fn == ops.MAP_FD)
    device.maps = dict(enumerate(numbers))
    code = compile_notes(program.insns, notes, device, "linux-6.1")
    return [f"{word:016x}" for word in code.words] == record["words"]


def own_length(record: dict[str, Any]) -> int | None:
    """Instructions of `--kernel bpfbench`, None where it refuses what the driver cuts off (offsets beyond 16 bits)."""
    insns = decode(bytes.fromhex(record["insns"]))
    try:
        return len(compile_notes(insns, notes_from(record["annotations"]), device_from(record), "bpfbench").words)
    except NotSupported:
        return None


PACKETS = [bytes(range(64)), bytes(range(200)), b"\xff" * 90, Random(5).randbytes(128), Random(6).randbytes(300)]
#  the interpreter's limits are the kernel's, the card's are narrower: what these return depends on the machine
LIMITS = ("adjust_head", "adjust_tail")


def seen(result: Any) -> tuple[int, bytes, list[object]]:
    """What the world sees of a run."""
    maps = [m.records if m.type == "perf_event_array" else sorted(m.items()) for m in result.maps]
    return result.r0 & 0xFFFFFFFF, result.data, maps


class Runs:
    """Programs run: how many did the same everywhere, and cycles of the driver's code and of ours where both did."""

    def __init__(self) -> None:
        self.same = self.limits = self.slower = 0
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.cycles = [0, 0]

    def program(self, record: dict[str, Any], program: Program) -> None:
        for packet in PACKETS:
            try:
                ours = run_on_card(program, packet, kernel="bpfbench")
            except NotSupported as error:
                self.refused[error.message.split(":")[-1].strip()] += 1
                return
            wanted = interpret(program, packet)
            if seen(ours) != seen(wanted):
                if record["name"].startswith(LIMITS):
                    self.limits += 1
                else:
                    self.wrong.append(f"{record['name']}: ours differs from the interpreter")
                return
            if not self.driver(record, program, packet, ours):
                return
        self.same += 1

    def driver(self, record: dict[str, Any], program: Program, packet: bytes, ours: Any) -> bool:
        """The driver's code on the same packet: equal, unless the record is marked."""
        marked = "driver_defect" in record
        try:
            theirs = run_on_card(program, packet, kernel="linux-6.1")
        except BpfbenchError as error:
            if not marked:
                self.wrong.append(f"{record['name']}: the driver's code: {error}")
            return marked
        if seen(ours) == seen(theirs):
            self.cycles[0] += theirs.cycles
            self.cycles[1] += ours.cycles
            self.slower += ours.cycles > theirs.cycles and not marked
        elif not marked:
            self.wrong.append(f"{record['name']}: ours differs from the driver's")
            return False
        return True


def main() -> int:
    default = os.environ.get("BPFBENCH_RECORDINGS", str(Path(__file__).parents[2] / "shared" / "data"))
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    with gzip.open(folder / "kernel-jit" / "nfp-linux-6.1.jsonl.gz", "rt") as lines:
        records = [json.loads(line) for line in lines]
    sound = [r for r in records if "driver_defect" not in r]
    images = sum(relocated(r) for r in records)
    differing = [r["name"] for r in sound if not generated(r)]
    marked = sum(generated(r) for r in records if "driver_defect" in r)
    programs = [(r, verifiable(r)) for r in records if "core_verifier_rejects" not in r]
    verified = [from_own_facts(r, program) for r, program in programs if program is not None and "driver_defect" not in r]
    print(f"relocation: {images} of {len(records)} images equal")
    print(f"words: {len(sound) - len(differing)} of {len(sound)} programs equal; of {len(records) - len(sound)} with a "
          f"defect of the driver {marked}")  # fmt: skip
    print(f"verified by bpfbench: {sum(verified)} of {len(verified)} programs equal, "
          f"{sum(program is None for _, program in programs)} not verified, {len(records) - len(programs)} that no "
          "verifier takes")  # fmt: skip
    for name in differing:
        print("differs:", name)
    longer = lengths(records)
    runs = Runs()
    for record, program in programs:
        if program is not None:
            runs.program(record, program)
    print(f"running: {runs.same} programs the same in the interpreter, in the driver's code (unless marked) and in ours, "
          f"{len(runs.wrong)} not; {runs.limits} at limits of the card; {sum(runs.refused.values())} refused; "
          f"cycles {runs.cycles[0]} and {runs.cycles[1]}, ours slower {runs.slower} times")  # fmt: skip
    for reason, count in runs.refused.most_common():
        print(f"   refused {count}: {reason}")
    for line in runs.wrong:
        print("wrong:", line)
    wrong = bool(differing or longer or runs.wrong) or sum(verified) != len(verified)
    return int(wrong or images != len(records) or not records)


def lengths(records: list[dict[str, Any]]) -> list[str]:
    """Say how long our code is; the unmarked programs for which it is longer."""
    theirs = ours = shorter = refused = 0
    wrong, longer = [], []
    for record in records:
        length, driver = own_length(record), len(record["words"])
        if length is None:
            refused += 1
            continue
        theirs, ours, shorter = theirs + driver, ours + length, shorter + (length < driver)
        if length > driver:
            where = f"{record['name']}: {length} instructions, the driver {driver}"
            (longer if "driver_defect" in record else wrong).append(where)
    print(f"shorter: {shorter} of {len(records)} programs, {len(longer) + len(wrong)} longer, {refused} refused; "
          f"{ours} instructions, the driver {theirs}")  # fmt: skip
    for line in longer:
        print("   longer, the driver being wrong:", line)
    for line in wrong:
        print("longer:", line)
    return wrong


if __name__ == "__main__":
    sys.exit(main())
