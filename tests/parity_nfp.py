"""Relocation held to the recorded driver: `words` of each program relocated to its `config` has to give its `image`.

    python tests/parity_nfp.py [recordings]

Prints how many programs agree; the exit status is 1 when one does not.  Code generation is not compared here.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

from bpfbench.isa.helpers import helper_id
from bpfbench.jit.nfp_link import Place, relocate


def main() -> int:
    default = os.environ.get("BPFBENCH_RECORDINGS", str(Path(__file__).parents[2] / "shared" / "data"))
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else default)
    total, equal = 0, 0
    with gzip.open(folder / "kernel-jit" / "nfp-linux-6.1.jsonl.gz", "rt") as lines:
        for record in map(json.loads, lines):
            config, targets = record["config"], record["targets"]
            helpers = {helper_id(name): address for name, address in config["helpers"].items()}
            place = Place(
                config["start_off"], config["tgt_done"], targets["out"], targets["abort"],
                targets["call_push_regs"], targets["call_pop_regs"], helpers,
            )  # fmt: skip
            image = relocate([int(word, 16) for word in record["words"]], place)
            total += 1
            if image == [int(word, 16) for word in record["image"]]:
                equal += 1
            else:
                print("differs:", record["name"])
    print(f"relocation: {equal} of {total} images equal")
    return int(equal != total or not total)


if __name__ == "__main__":
    sys.exit(main())
