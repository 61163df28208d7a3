"""The NFP back-end held to the recorded driver.

    python tests/parity_nfp.py [recordings]

    relocation   the `words` of each record, relocated to its `config`, have to give its `image`
    words        code generated from its `insns` and `annotations` has to be its `words`
                 (records marked `driver_defect` are counted apart: their words are no model)
    verified     the same from the instructions alone, all facts taken from our own verifier (programs without maps)

Prints how many agree; the exit status is 1 when a relocation or an unmarked record's words differ.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

from bpfbench.errors import BpfbenchError
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
    return int(bool(differing) or images != len(records) or not records)


if __name__ == "__main__":
    sys.exit(main())
