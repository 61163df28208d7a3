"""Does the live kernel, asked through `bpfbench.kernel`, say what the recordings of the same release hold?

    BPFBENCH_RECORDINGS=… python benchmarks/kernel_agreement.py

Compares verdict, errno, message, processed instructions and state counts of all recorded programs, with all privileges
and with CAP_BPF and CAP_NET_ADMIN only, and prints what differs, the counts, and the time it took.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from bpfbench import Program, kernel
from bpfbench.errors import BpfbenchError

REDUCED = ("verdict", "errno", "error", "processed", "total_states")
PRIVILEGED = (*REDUCED, "max_states_per_insn", "peak_states", "mark_read")


def answer(verdict: kernel.KernelVerdict) -> dict[str, Any]:
    """A verdict with the recordings' keys."""
    return {
        "verdict": "accept" if verdict.accepted else "reject", "errno": verdict.errno, "error": verdict.message,
        "processed": verdict.insns_processed, "total_states": verdict.total_states,
        "max_states_per_insn": verdict.max_states_per_insn, "peak_states": verdict.peak_states,
        "mark_read": verdict.mark_read,
    }  # fmt: skip


def compare(programs: list[Program], expected: list[dict[str, Any]], privileged: bool) -> None:
    keys = PRIVILEGED if privileged else REDUCED
    begin, agree = time.perf_counter(), 0
    verdicts = kernel.verify_many(programs, privileged=privileged)
    for prog, record, found in zip(programs, expected, verdicts, strict=True):
        wanted = record if privileged else record["reduced"]
        said = {} if isinstance(found, BpfbenchError) else answer(found)
        differing = [key for key in keys if said.get(key) != wanted.get(key)]
        agree += not differing
        if differing:
            print(f"{prog.name}: {', '.join(f'{k} {said.get(k)!r}, recorded {wanted.get(k)!r}' for k in differing)}")
    who = "privileged" if privileged else "reduced"
    print(f"{who}: {agree} of {len(programs)} agree, {time.perf_counter() - begin:.1f} s")


def main() -> int:
    state = kernel.available()
    release = ".".join(platform.release().split(".")[:2])
    default = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("BPFBENCH_RECORDINGS", str(default))) / "kernel-verifier"
    recording = folder / f"linux-{release}.jsonl.gz"
    if not state or not recording.is_file():
        print(state.reason or f"no recording of this kernel: {recording}", file=sys.stderr)
        return 2
    with gzip.open(folder / "programs.jsonl.gz", "rt") as lines:
        programs = [Program.from_json(line) for line in lines]
    with gzip.open(recording, "rt") as lines:
        expected = [json.loads(line) for line in lines]
    for privileged in (True, False):
        if privileged or "reduced" in expected[0]:
            compare(programs, expected, privileged)
    return 0


if __name__ == "__main__":
    sys.exit(main())
