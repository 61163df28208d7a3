"""The NFP back-end held to the recorded driver.

    python tests/parity_nfp.py [recordings]

    relocation   the `words` of each record, relocated to its `config`, have to give its `image`
    words        code generated from its `insns` and `annotations` has to be its `words`
                 (records marked `driver_defect` are counted apart: their words are no model)
    verified     the same from the instructions alone, all facts taken from our own verifier (programs without maps)
    shorter      `--kernel bpfbench` never takes more instructions than the driver, from the same facts
    running      both kernels' code in the simulator on five packets, against the interpreter (programs without maps)

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
from bpfbench.jit.nfp import compile_nfp, compile_notes
from bpfbench.jit.nfp_link import Place, relocate
from bpfbench.nfp.notes import device_from, notes_from
from bpfbench.program.program import Program


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


def from_own_facts(record: dict[str, Any]) -> bool | None:
    """None where a record says too little to verify it: maps are numbers there."""
    insns = decode(bytes.fromhex(record["insns"]))
    if "core_verifier_rejects" in record or any(i and i.kind == ops.LDDW and i.op.fn != ops.IMM for i in insns):
        return None
    program = Program(insns, type="xdp" if record["prog_type"] == 6 else "sched_cls")
    try:
        return [f"{word:016x}" for word in compile_nfp(program).words] == record["words"]
    except BpfbenchError as error:
        print(f"{record['name']}: {error}")
        return False


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


class Runs:
    """Programs run: how many did the same everywhere, and cycles of the driver's code and of ours where both did."""

    def __init__(self) -> None:
        self.same = self.limits = self.slower = 0
        self.refused: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.cycles = [0, 0]

    def program(self, record: dict[str, Any]) -> None:
        insns = decode(bytes.fromhex(record["insns"]))
        if "core_verifier_rejects" in record or any(i and i.kind == ops.LDDW and i.op.fn != ops.IMM for i in insns):
            return
        program = Program(insns, type="xdp" if record["prog_type"] == 6 else "sched_cls")
        for packet in PACKETS:
            try:
                ours = run_on_card(program, packet, kernel="bpfbench")
            except NotSupported as error:
                self.refused[error.message.split(":")[-1].strip()] += 1
                return
            wanted = interpret(program, packet)
            if (ours.r0, ours.data) != (wanted.r0 & 0xFFFFFFFF, wanted.data):
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
        if (ours.r0, ours.data) == (theirs.r0, theirs.data):
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
    verified = [found for r in sound if (found := from_own_facts(r)) is not None]
    print(f"relocation: {images} of {len(records)} images equal")
    print(f"words: {len(sound) - len(differing)} of {len(sound)} programs equal; of {len(records) - len(sound)} with a "
          f"defect of the driver {marked}")  # fmt: skip
    print(f"verified by bpfbench: {sum(verified)} of {len(verified)} programs equal")
    for name in differing:
        print("differs:", name)
    longer = lengths(records)
    runs = Runs()
    for record in records:
        runs.program(record)
    print(f"running: {runs.same} programs the same in the interpreter, in the driver's code (unless marked) and in ours, "
          f"{len(runs.wrong)} not; {runs.limits} at limits of the card; {sum(runs.refused.values())} refused; "
          f"cycles {runs.cycles[0]} and {runs.cycles[1]}, ours slower {runs.slower} times")  # fmt: skip
    for reason, count in runs.refused.most_common():
        print(f"   refused {count}: {reason}")
    for line in runs.wrong:
        print("wrong:", line)
    return int(bool(differing or longer or runs.wrong) or images != len(records) or not records)


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
